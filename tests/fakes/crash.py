"""Processes that end, as by SIGKILL, or are refused by the disk, at a chosen file operation.

`crashes` and `faults` fork, so they want a process without threads: a test runs its own file as a script with
`run_as_script`.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Literal

OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "fcntl.flock"}
# What the product tells besides what Python does (`agent.store.disk`).
OUR_OPERATIONS = {"agent.store.write", "agent.store.sync"}
# A disk without room still lets files be read and removed.
_NEEDS_ROOM = {"open", "os.rename", "os.mkdir", *OUR_OPERATIONS}
ROOT = Path(__file__).parents[2]

Kind = Literal["crash", "torn", "EIO", "ENOSPC", "full"]


def crashes(work: Callable[[Path], None], parent: Path) -> Iterator[tuple[Path, bool]]:
    """For n = 1, 2, ...: run `work` on a fresh folder in a process that dies at its n-th file operation there.

    Yields (folder, whether work got through); ends after the first run that did.
    """
    for n in count(1):
        folder = parent / str(n)
        child = os.fork()
        if child == 0:
            _fault_at(n, str(parent), "crash", OPERATIONS)
            status = 1
            try:
                work(folder)
                status = 0
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, 9), f"the work failed in run {n}"
        yield folder, status == 0
        if status == 0:
            return


def faults(
    work: Callable[[Path, Callable[[str], None]], None],
    parent: Path,
    kind: Kind,
    first: int = 1,
    step: int = 1,
    prepare: Callable[[Path], object] = lambda folder: None,
) -> Iterator[tuple[Path, list[str]]]:
    """For n = first, first + step, ...: run `work` on a folder that `prepare` makes, in a process whose n-th file
    operation there fails.

    `crash`: it dies there; `torn`: half of what it writes is written, then it dies; EIO and ENOSPC: the operation fails
    once, of a write half is done; `full`: from there on nothing that needs room can be done. Yields (folder, what the
    work told); ends after the first run that had fewer operations.
    """
    for n in count(first, step):
        folder = parent / f"{kind}-{n}"
        prepare(folder)
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ours)
            met = _fault_at(n, str(parent), kind, OPERATIONS | OUR_OPERATIONS)
            status = 1
            try:
                work(folder, partial(_tell, theirs))
                status = 0 if met() else 7
            finally:
                os._exit(status)
        os.close(theirs)
        with os.fdopen(ours, "rb") as pipe:
            told = pipe.read().decode().split("\n")[:-1]
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, 7, 9), f"the work failed at {kind} {n}"
        yield folder, told
        if status == 7:
            return


def run_as_script(file: str, folder: Path) -> None:
    """Run a test file as a program on `folder`; its asserts are ours."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    done = subprocess.run(
        [sys.executable, file, str(folder)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def _fault_at(n: int, below: str, kind: Kind, operations: set[str]) -> Callable[[], bool]:
    """From here on this process has a fault at its n-th operation; gives back whether it was met."""
    seen = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event not in operations or not (event == "fcntl.flock" or str(arguments[0]).startswith(below)):
            return
        if kind in ("ENOSPC", "full"):
            if event not in _NEEDS_ROOM or (event == "open" and not _creates(arguments)):
                return
        elif event == "fcntl.flock" and kind == "EIO":
            return
        seen += 1
        if seen < n or (seen > n and kind != "full"):
            return
        if event == "agent.store.write" and kind != "crash":
            _, descriptor, data = arguments
            assert isinstance(descriptor, int)
            assert isinstance(data, bytes)
            os.write(descriptor, data[: len(data) // 2])
        if kind in ("crash", "torn"):
            os._exit(9)
        number = errno.EIO if kind == "EIO" else errno.ENOSPC
        raise OSError(number, os.strerror(number))

    sys.addaudithook(hook)
    return lambda: seen >= n


def _tell(pipe: int, word: str) -> None:
    os.write(pipe, word.encode() + b"\n")


def _creates(arguments: tuple[object, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & os.O_CREAT)
