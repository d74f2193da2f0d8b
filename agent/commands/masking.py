"""The options by which a command takes privacy rules, and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agent.privacy import Rule

_FIELDS = "FIELD=PATTERN, FIELD one of id, testid, class, desc, text, package; repeatable."

Block = Annotated[
    list[str] | None, typer.Option("--block", help=f"Cover views and leave out what is in them: {_FIELDS}")
]
Mask = Annotated[list[str] | None, typer.Option("--mask", help="Cover views, star their words: as --block.")]
Unmask = Annotated[
    list[str] | None, typer.Option("--unmask", help="Show views in spite of the level, never passwords: as --block.")
]


def rules(block: list[str] | None, mask: list[str] | None, unmask: list[str] | None = None) -> list[Rule] | None:
    """The rules of the flags; None when there are none. Raises ConfigError that names the flag."""
    from agent.privacy import rule

    given = [
        *(rule("block", text) for text in block or ()),
        *(rule("mask", text) for text in mask or ()),
        *(rule("unmask", text) for text in unmask or ()),
    ]
    return given or None
