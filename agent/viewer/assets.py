"""The files of the viewer's page as this installation has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.errors import BuildError

STATIC = Path(__file__).parent / "static"
SCRIPT, STYLE = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
PAGE = "index.html"
ENTRY = "viewer.js"
# Made by scripts/build_viewer.py.
PLAYER: Mapping[str, str] = {"vendor/rrweb-player.js": SCRIPT, "vendor/rrweb-player.css": STYLE}
OWN: Mapping[str, str] = {
    **{file.name: SCRIPT for file in sorted(STATIC.glob("*.js"))},
    **{file.name: STYLE for file in sorted(STATIC.glob("*.css"))},
}
FILES: Mapping[str, str] = {**OWN, **PLAYER}


def check_build() -> None:
    """Raises BuildError when this installation lacks the player that a build fetches."""
    missing = [name for name in PLAYER if not (STATIC / name).is_file()]
    if missing:
        raise BuildError(
            f"The viewer's player is missing from this installation ({', '.join(missing)}).",
            "Install again with a network, so that the build can fetch it: pip install --force-reinstall --no-deps "
            "android-replay-agent (in a source tree: pip install -e .).",
        )


def read(name: str) -> str:
    """A file's text. Raises FileNotFoundError."""
    return (STATIC / name).read_text(encoding="utf-8")
