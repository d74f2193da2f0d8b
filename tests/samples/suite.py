"""A suite as users have them, for the tests of `android-replay run`: it passes, fails, is flaky, and crashes.

Each test waits for what the app logs, as a test of a real app would. Run beside an emulated phone, from anywhere:

    android-replay run --device emulated:shop --keep failed --junit out.xml -- \
        python -m pytest --reruns 1 --junitxml out.xml tests/samples
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator

import pytest

SECONDS = 20.0


@pytest.fixture
def logged() -> Iterator[Callable[[str], None]]:
    """Waits until the phone's log has a line with a text; the newest line counts, too."""
    adb = os.environ.get("ADBUTILS_ADB_PATH") or shutil.which("adb") or "adb"
    command = [adb, "-s", os.environ["ANDROID_SERIAL"], "logcat", "-T", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as log:
        deadline = threading.Timer(SECONDS, log.kill)
        deadline.start()

        def wait(text: str) -> None:
            assert log.stdout is not None
            assert any(text in line for line in log.stdout), f"in {SECONDS} s the log had nothing of {text}"

        yield wait
        deadline.cancel()
        log.kill()


def test_that_passes(logged: Callable[[str], None]) -> None:
    logged("ReactNativeJS")


def test_that_fails(logged: Callable[[str], None]) -> None:
    logged("ReactNativeJS")
    raise AssertionError("the receipt is missing")


def test_that_is_flaky(logged: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory) -> None:
    logged("ReactNativeJS")
    first = tmp_path_factory.getbasetemp() / "seen"
    if not first.exists():
        first.touch()
        raise AssertionError("the list was not there yet")


@pytest.mark.skip(reason="not today")
def test_that_is_skipped() -> None:
    raise AssertionError


def test_that_crashes(logged: Callable[[str], None]) -> None:
    logged("ReactNativeJS")
    os._exit(3)
