"""The plugin as pytest loads it, in a process of its own, telling over real HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.collector.server import Server
from agent.runs.api import TOKEN, URL, make_app
from agent.runs.ledger import Ledger, Signal
from agent.runs.pytestplugin import Teller

SUITE = """
import os
import pathlib
import pytest

def test_passes(): pass
def test_fails(): raise AssertionError("no receipt")
def test_flaky(tmp_path_factory):
    mark = pathlib.Path("seen")
    if not mark.exists():
        mark.touch()
        raise AssertionError("not there yet")
@pytest.mark.skip(reason="not today")
def test_skipped(): pass
@pytest.fixture
def broken(): raise OSError("no phone")
def test_error(broken): pass
@pytest.fixture
def untidy():
    yield
    raise OSError("left open")
def test_teardown(untidy): pass
@pytest.mark.xfail
def test_expected(): raise AssertionError("known")
"""
CRASH = """
import os
def test_before(): pass
def test_crash(): os._exit(7)
"""

NODE = "test_shop.py::test_flaky"
# Without the others' plugins pytest starts in a third of the time.
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
OURS = ("-p", "agent.runs.pytestplugin")

Told = tuple[Ledger, list[Signal], dict[str, str]]


@pytest.fixture
def told() -> Iterator[Told]:
    ledger, signals = Ledger(), []

    def hear(signal: Signal) -> dict[str, Any] | None:
        signals.append(signal)
        return {} if ledger.hear(signal) else None

    with Server(make_app(hear, lambda: 1000 + len(signals), list, "secret")) as server:
        yield ledger, signals, {URL: server.url, TOKEN: "secret", "ANDROID_SERIAL": "S"}


def run(folder: Path, suite: str, environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_shop.py").write_text(suite)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", *words]
    # Our own suite may run in a worker.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    return subprocess.run(
        command, cwd=folder, env={**inherited, **environment}, capture_output=True, text=True, timeout=60
    )


def test_each_attempt_is_told(told: Told, tmp_path: Path) -> None:
    ledger, _, environment = told
    ended = run(tmp_path, SUITE, environment, "--reruns", "1")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert [(a.case.name, a.number, a.outcome, a.message.partition(":")[2].strip()) for a in ledger] == [
        ("test_passes", 1, "passed", ""),
        ("test_fails", 1, "failed", "no receipt"),
        ("test_fails", 2, "failed", "no receipt"),
        ("test_flaky", 1, "failed", "not there yet"),
        ("test_flaky", 2, "passed", ""),
        ("test_skipped", 1, "skipped", "not today"),
        ("test_error", 1, "error", "no phone"),
        ("test_error", 2, "error", "no phone"),
        ("test_teardown", 1, "error", "left open"),
        ("test_teardown", 2, "error", "left open"),
        ("test_expected", 1, "skipped", "known"),
    ]
    assert {(a.serial, a.case.group, a.case.file) for a in ledger} == {("S", "test_shop", "test_shop.py")}
    assert all(a.end_ms is not None for a in ledger)


def test_workers_tell_and_of_one_that_dies_the_controller(told: Told, tmp_path: Path) -> None:
    ledger, signals, environment = told
    ended = run(tmp_path, CRASH, {**environment, **ALONE}, *OURS, "-p", "xdist", "-n", "1", "--max-worker-restart", "0")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert {a.case.name: (a.number, a.outcome) for a in ledger} == {
        "test_before": (1, "passed"),
        "test_crash": (1, "crashed"),
    }
    assert [(s.case.name, s.event, s.by) for s in signals] == [
        ("test_before", "started", "gw0"),
        ("test_before", "finished", "gw0"),
        ("test_crash", "started", "gw0"),
        ("test_crash", "finished", ""),
    ]


def test_attempts_of_which_the_log_tells_neither_start_nor_teardown(told: Told) -> None:
    """As pytest-rerunfailures before 16 has it."""
    ledger, _, environment = told
    teller = Teller(environment[URL], environment[TOKEN])

    def report(when: str, outcome: str) -> SimpleNamespace:
        failed, skipped = outcome == "failed", outcome == "skipped"
        return SimpleNamespace(nodeid=NODE, when=when, outcome=outcome, failed=failed, skipped=skipped, longrepr=None)

    teller.pytest_runtest_logstart(NODE)
    for when, outcome in (
        ("setup", "passed"),
        ("call", "rerun"),
        ("again", ""),
        ("call", "failed"),
        ("teardown", "passed"),
    ):
        teller.pytest_runtest_setup(SimpleNamespace(nodeid=NODE))
        if outcome:
            teller.pytest_runtest_logreport(report(when, outcome))
    assert [(a.number, a.outcome) for a in ledger] == [(1, "failed"), (2, "failed")]


def test_what_a_test_is_given_may_be_long_or_half_a_character(told: Told, tmp_path: Path) -> None:
    suite = """
import pytest
@pytest.mark.parametrize("sql", [1], ids=["x" * 5000])
def test_long(sql): pass
@pytest.mark.parametrize("sql", [1], ids=["y" * 70_000])
def test_longer(sql): pass
def test_half(): raise AssertionError("pizza \\ud83c")
"""
    ledger, _, environment = told
    ended = run(tmp_path, suite, {**environment, **ALONE}, *OURS, "-s")
    assert sorted((len(each.case.name), each.outcome) for each in ledger) == [(9, "failed"), (5011, "passed")]
    # Said once, and no test fails for it.
    assert ended.stderr.count("is not noted (HTTP 413)") == 1
    assert "2 passed" in ended.stdout


def test_a_run_that_is_gone_fails_no_test(told: Told, tmp_path: Path) -> None:
    ledger, _, environment = told
    ended = run(tmp_path, "def test_a(): pass", {**environment, **ALONE, URL: "http://127.0.0.1:1"}, *OURS)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(ledger) == 0


def test_without_a_run_nothing_is_registered(tmp_path: Path) -> None:
    suite = """
def test_a(pytestconfig):
    plugins = [type(plugin).__name__ for plugin in pytestconfig.pluginmanager.get_plugins()]
    assert "Teller" not in plugins
"""
    ended = run(tmp_path, suite, {**ALONE, URL: ""}, *OURS)
    assert ended.returncode == 0, ended.stdout + ended.stderr
