"""Processes that end, as by SIGKILL, at a chosen file operation.

`crashes` forks, so it wants a process without threads: a test runs its own file as a script with `run_as_script`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "fcntl.flock"}
ROOT = Path(__file__).parents[2]


def crashes(work: Callable[[Path], None], parent: Path) -> Iterator[tuple[Path, bool]]:
    """For n = 1, 2, ...: run `work` on a fresh folder in a process that dies at its n-th file operation there.

    Yields (folder, whether work got through); ends after the first run that did.
    """
    for n in count(1):
        folder = parent / str(n)
        child = os.fork()
        if child == 0:
            _die_at(n, str(parent))
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


def run_as_script(file: str, folder: Path) -> None:
    """Run a test file as a program on `folder`; its asserts are ours."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    done = subprocess.run(
        [sys.executable, file, str(folder)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def _die_at(n: int, below: str) -> None:
    seen = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event in OPERATIONS and (event == "fcntl.flock" or str(arguments[0]).startswith(below)):
            seen += 1
            if seen == n:
                os._exit(9)

    sys.addaudithook(hook)
