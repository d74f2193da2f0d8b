"""Files that an export leaves: whole or not there, never over another file without leave."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import ConfigError
from agent.store.disk import guarded, make_folder, new_part, sync_folder, take


def check_free(path: Path, force: bool | None) -> None:
    """Raises ConfigError when something is at `path` that may not be written over; `force` is None where nobody can ask
    for that."""
    if path.is_dir():
        raise ConfigError(f"{path} is a folder.", "Give the name of a file in it.")
    if path.exists() and not force:
        hint = "Give another name." if force is None else "Give another name, or --force to write over it."
        raise ConfigError(f"{path} is there already.", hint)


@contextmanager
def whole(path: Path, over: bool = True) -> Iterator[Path]:
    """A file beside `path` to write, empty and for the owner only; it becomes `path` when the block ends well, and is
    removed when it does not, by Ctrl-C too. Raises StorageError; ConfigError when something came there meanwhile that
    it may not be written `over`."""
    make_folder(path.parent)
    with guarded(path), new_part(path) as aside:
        yield aside
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        if over:
            aside.replace(path)
        elif not take(aside, path):
            raise ConfigError(f"{path} came while it was being made.", "Give another name.")
        sync_folder(path.parent)
