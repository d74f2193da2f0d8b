"""Whose touches are not seen, from the lines that real test runs leave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analytics.drivers import MAX_AT_WORK, REASON, STAGE, Drivers
from bridge.logcat import TextReader
from bridge.types import Gap, LogEntry, Stamp

APP = "com.example.shop"
FIXTURES = Path(__file__).parents[5] / "shared" / "fixtures" / "logcat"


def at(seconds: float) -> Stamp:
    return Stamp(int(seconds * 1e9), int(seconds * 1000))


def line(tag: str, text: str, *, uid: int | None = 1000, pid: int = 1432) -> LogEntry:
    return LogEntry(at(3), 3, pid, pid, uid, "I", tag, text)


def event(tag: str, *values: Any) -> LogEntry:
    return LogEntry(at(3), 3, 1432, 1432, 1000, "I", tag, str(values), "events", False, values)


def told(*entries: LogEntry, drivers: Drivers | None = None) -> list[str]:
    drivers = drivers or Drivers()
    gaps: list[Gap] = [gap for entry in entries for gap in drivers.hear(entry)]
    assert all((gap.stage, gap.reason, gap.start) == (STAGE, REASON, gap.end) for gap in gaps)
    return [gap.detail.removesuffix(" is at work") for gap in gaps]


def stopping(package: str, why: str) -> LogEntry:
    return line("ActivityManager", f"Force stopping {package} appid=10231 user=0: {why}")


ENTRY = "Calling main entry "
APPIUM = "io.appium.uiautomator2.server"
STRETCHES: dict[str, tuple[str, list[LogEntry], list[LogEntry]]] = {
    "instrumentation": ("an instrumented test", [stopping(APP, "start instr")], [stopping(APP, "finished inst")]),
    "test runner": (
        "an instrumented test",
        [line("TestRunner", "run started: 20 tests", uid=10231, pid=7)],
        [line("TestRunner", "run finished: 20 tests, 0 failed, 0 ignored", uid=10231, pid=7)],
    ),
    "test runner that dies": (
        "an instrumented test",
        [line("TestRunner", "started: pays(com.example.PayTest)", uid=10231, pid=7)],
        [line("ActivityManager", f"Process {APP} (pid 7) has died: fg TOP")],
    ),
    "appium": (
        "Appium", [line("ActivityManager", f"Start proc 8:{APPIUM}/u0a9 for added application {APPIUM}")],
        [line("ActivityManager", f"Killing 8:{APPIUM}/u0a9 (adj 0): stop")],
    ),
    "appium's instrumentation": (
        "Appium", [stopping(f"{APPIUM}.test", "start instr")], [stopping(f"{APPIUM}.test", "finished inst")],
    ),
    "maestro": (
        "Maestro", [event("am_proc_start", 0, 8, 10300, "dev.mobile.maestro", "added application", "")],
        [event("am_proc_died", 0, 8, "dev.mobile.maestro", 0, 2)],
    ),
    "monkey": (
        "monkey", [line("AndroidRuntime", f"{ENTRY}com.android.commands.monkey.Monkey", uid=2000, pid=9)],
        [line("AndroidRuntime", "Shutting down VM", uid=2000, pid=9)],
    ),
    "scrcpy": (
        "scrcpy", [line("AndroidRuntime", f"{ENTRY}com.genymobile.scrcpy.Server", uid=2000, pid=9)],
        [line("AndroidRuntime", "Shutting down VM", uid=2000, pid=9)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STRETCHES)
def test_a_stretch_is_told_once_and_the_next_one_again(name: str) -> None:
    who, begin, end = STRETCHES[name]
    drivers = Drivers()
    assert told(*begin, *begin, drivers=drivers) == [who]
    assert drivers.names == (who,)
    assert told(*end, drivers=drivers) == []
    assert drivers.names == ()
    soon, later = ([replace(each, stamp=at(seconds)) for each in begin] for seconds in (32, 90))
    # One test after the other, or one call of `input` after the other, is one stretch.
    assert told(*soon, *(replace(each, stamp=at(33)) for each in end), drivers=drivers) == []
    assert told(*later, drivers=drivers) == [who]


def test_what_was_told_to_nobody_is_told_again() -> None:
    _, begin, end = STRETCHES["monkey"]
    drivers = Drivers()
    told(*begin, *end, drivers=drivers)
    drivers.forget()
    assert told(*begin, drivers=drivers) == ["monkey"]


def test_who_joins_a_stretch_is_not_told_and_it_lasts_as_long_as_anybody_is_at_work() -> None:
    drivers = Drivers()
    (_, one, one_ends), (_, two, two_ends) = STRETCHES["instrumentation"], STRETCHES["monkey"]
    assert told(*one, *two, *one_ends, *one, drivers=drivers) == ["an instrumented test"]
    assert told(*two_ends, *one_ends, *(replace(each, stamp=at(60)) for each in two), drivers=drivers) == ["monkey"]


@pytest.mark.parametrize(
    "entry",
    [
        line("AndroidRuntime", f"{ENTRY}com.wetest.uia2.Main", uid=2000),
        line("AndroidRuntime", f"{ENTRY}com.android.commands.am.Am", uid=2000),
        line("ActivityManager", f"Force stopping {APP} appid=10231 user=0: from pid 812"),
        line("ActivityManager", f"Start proc 8:{APP}/u0a231 for next-top-activity"),
        line("ActivityManager", f"Start proc 8:{APPIUM}/u0a9 for x", uid=10_300),
        line("TestRunner", "finished: pays(com.example.PayTest)"),
        event("am_proc_start", 0),
        event("am_kill", 0, 9),
    ],
)
def test_who_only_looks_or_only_starts_is_no_driver(entry: LogEntry) -> None:
    assert told(entry) == []


def test_uiautomation_in_other_hands_until_it_is_free() -> None:
    drivers = Drivers()
    (gap,) = drivers.held(at(3))
    assert (gap.start, gap.detail) == (at(3), "a tool that holds UiAutomation is at work")
    assert drivers.held(at(4)) == []
    drivers.free(at(5))
    assert drivers.names == ()
    assert drivers.held(at(6)) == []
    drivers.free(at(7))
    assert len(drivers.held(at(40))) == 1


def test_who_instruments_needs_uiautomation_and_who_injects_touches_does_not() -> None:
    drivers = Drivers()
    drivers.hear(line("AndroidRuntime", f"{ENTRY}com.android.commands.monkey.Monkey"))
    drivers.held(at(3))
    assert drivers.holders == ()
    drivers.hear(stopping(APPIUM, "start instr"))
    drivers.hear(stopping(APP, "start instr"))
    assert drivers.holders == ("Appium", "an instrumented test")
    drivers.hear(stopping(APPIUM, "finished inst"))
    drivers.hear(stopping(APP, "finished inst"))
    assert drivers.holders == ()


def test_our_own_mirror_only_looks() -> None:
    drivers = Drivers(frozenset(("scrcpy",)))
    assert told(*STRETCHES["scrcpy"][1], drivers=drivers) == []
    assert drivers.names == ()


def test_memory_is_bounded() -> None:
    drivers = Drivers()
    for number in range(100):
        drivers.hear(stopping(f"com.app{number}", "start instr"))
    assert len(drivers._at_work) == MAX_AT_WORK


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="the shared fixtures are not here")
def test_a_real_test_run_is_one_stretch() -> None:
    reader = TextReader(lambda time_ns: Stamp(time_ns, time_ns // 1_000_000))
    text = (FIXTURES / "05-catbag.log").read_bytes()
    drivers = Drivers()
    entries = [item for item in [*reader.feed(text), *reader.flush()] if isinstance(item, LogEntry)]
    assert told(*entries, drivers=drivers) == ["an instrumented test"]
    assert drivers.names == ()


@given(
    st.lists(st.tuples(st.sampled_from(["TestRunner", "AndroidRuntime", "ActivityManager"]), st.text(max_size=40))),
    st.lists(st.tuples(st.sampled_from(["am_proc_start", "am_kill"]), st.lists(st.integers() | st.text(max_size=4)))),
)
def test_no_entry_breaks_it(lines: list[tuple[str, str]], events: list[tuple[str, list[Any]]]) -> None:
    drivers = Drivers()
    for tag, text in lines:
        drivers.hear(line(tag, text))
    for tag, values in events:
        drivers.hear(event(tag, *values))
