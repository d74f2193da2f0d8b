"""A suite as users have them, for the tests of `android-replay run`: it passes, fails, is flaky, and crashes.

Each test waits for what the app logs, as a test of a real app would. Run by its path, so that it is none of our tests.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

PHONE = [os.environ["ADBUTILS_ADB_PATH"], "-s", os.environ["ANDROID_SERIAL"]]


@pytest.fixture
def logged() -> Callable[[str], None]:
    """Waits until the phone's log has a text that it had not before the test."""
    with subprocess.Popen([*PHONE, "logcat", "-T", "1"], stdout=subprocess.PIPE, text=True) as log:

        def wait(text: str) -> None:
            assert log.stdout is not None
            assert any(text in line for line in log.stdout), f"the log ended without {text}"

        yield wait
        log.terminate()


def test_that_passes(logged: Callable[[str], None]) -> None:
    logged("ReactNativeJS")


def test_that_fails(logged: Callable[[str], None]) -> None:
    logged("ReactNativeJS")
    raise AssertionError("the receipt is missing")


def test_that_is_flaky(logged: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory) -> None:
    logged("ReactNativeJS")
    first = Path(os.environ["SUITE_FOLDER"]) / "flaky"
    if not first.exists():
        first.touch()
        raise AssertionError("the list was not there yet")


@pytest.mark.skip(reason="not today")
def test_that_is_skipped() -> None:
    raise AssertionError


def test_that_crashes(logged: Callable[[str], None]) -> None:
    logged("ReactNativeJS")
    os._exit(3)
