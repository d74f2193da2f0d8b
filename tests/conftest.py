"""Every test runs with a HOME of its own making and leaves no thread behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How fast examples are made and run is the machine's business, and benchmarks'.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

# Tests that are to outlive their terminal (nohup) hear no hang-up, those in a shell's background no Ctrl-C; what they
# start is to.
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

GRACE_SECONDS = 5.0
# Belong to a web server's loop, which a fixture may keep for several tests.
POOLED = "AnyIO worker thread"
# Folders whose files wait for phones, browsers and programs, for up to a minute each.
LONG = ("browser", "integration", "unit/agent/commands")
FOREIGN = ("ANDROID_", "ADB_", "ADBUTILS_", "XDG_STATE_HOME", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where workers share the files, the long ones begin first, so that none is left when all others have ended."""
    if hasattr(config, "workerinput"):
        folders = tuple(Path(__file__).parent / folder for folder in LONG)
        items.sort(key=lambda item: not any(map(item.path.is_relative_to, folders)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """Say what brings the same order and the same chance back, which -q leaves out."""
    if exitstatus and config.pluginmanager.hasplugin("randomly"):
        terminalreporter.write_line(f"The same again: --randomly-seed={config.getoption('randomly_seed')}")


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A HOME with nothing in it, and nothing of the user's settings, adb server or proxies in the environment."""
    home = tmp_path_factory.mktemp("home")
    patch = pytest.MonkeyPatch()
    for name in list(os.environ):
        if name.upper().startswith(FOREIGN):
            patch.delenv(name)
    patch.setenv("HOME", str(home))
    patch.setenv("NO_PROXY", "*")
    yield home
    patch.undo()


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Threads that a test starts end with it."""
    before = set(threading.enumerate())
    yield
    until = time.monotonic() + GRACE_SECONDS
    left = [thread for thread in threading.enumerate() if thread not in before and thread.name != POOLED]
    while left and time.monotonic() < until:
        # One that another thread is just starting is listed and not yet alive: it cannot be joined.
        if left[0].is_alive():
            left[0].join(0.05)
        else:
            threading.Event().wait(0.01)
        listed = set(threading.enumerate())
        left = [thread for thread in left if thread in listed]
    assert not left, f"threads left: {left}"
