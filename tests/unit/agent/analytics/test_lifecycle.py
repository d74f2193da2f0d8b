"""What happened to the app, from the lines and events of real phones and of the emulated one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analytics.lifecycle import MAX_KEPT, MAX_TEXT, Lifecycle, turns
from agent.model import Happening
from bridge.emulated.clock import DeviceClock
from bridge.emulated.logd import BUFFERS, Record
from bridge.emulated.world.shop import PACKAGE
from bridge.emulated.world.world import APP_UID, World
from bridge.eventlog import decode
from bridge.types import Foreground, LogEntry, Size, Stamp

APP, UID, OTHER = "com.example.shop", 10_231, "com.other.diary"


def at(seconds: float) -> Stamp:
    return Stamp(int(seconds * 1e9), int(seconds * 1000))


def line(seconds: float, tag: str, text: str, *, uid: int | None = 1000, pid: int = 1432, level: str = "I") -> LogEntry:
    stamp = at(seconds)
    return LogEntry(stamp, stamp.mono_ns, pid, pid, uid, level, tag, text)  # type: ignore[arg-type]


def event(seconds: float, tag: str, *values: Any, uid: int = 1000) -> LogEntry:
    stamp = at(seconds)
    return LogEntry(stamp, stamp.mono_ns, 1432, 1432, uid, "I", tag, str(values), "events", False, values)


def own(seconds: float, tag: str, text: str, level: str = "E", pid: int = 4242) -> LogEntry:
    return line(seconds, tag, text, uid=UID, pid=pid, level=level)


def heard(*entries: LogEntry, app: Lifecycle | None = None) -> list[tuple[str, dict[str, Any], str]]:
    app = app or Lifecycle(APP, UID)
    told = [happening for entry in entries for happening in app.hear(entry)] + app.flush()
    return [(found.kind, dict(found.facts), found.text) for found in told]


JAVA = f"FATAL EXCEPTION: mqt_v_native\nProcess: {APP}, PID: 4242\njava.lang.IllegalStateException: cart is null"
TOMBSTONE = (
    "*** *** *** *** *** *** *** *** *** *** *** *** *** *** *** ***",
    "Build fingerprint: 'google/panther/panther:14/x'",
    f"pid: 4242, tid: 4271, name: mqt_v_js  >>> {APP} <<<",
    "signal 6 (SIGABRT), code -1 (SI_QUEUE), fault addr --------",
    "Abort message: 'terminating'",
    "    x0  0000000000000000  x1  00000000000010af",
    "backtrace:",
    "      #00 pc 000000000004fa10  /apex/com.android.runtime/lib64/bionic/libc.so (abort+164)",
)
SIGNAL = f"Fatal signal 6 (SIGABRT), code -1 (SI_QUEUE) in tid 4271 (mqt_v_js), pid 4242 ({APP})"


def test_a_java_crash_is_told_once() -> None:
    crash = event(3.2, "am_crash", 0, 4242, APP, 1, "java.lang.IllegalStateException", "cart is null", "C.kt", 41)
    assert heard(own(3, "AndroidRuntime", JAVA), crash) == [("crash", {"kind": "java", "pid": 4242}, JAVA)]


def test_a_crash_of_which_the_activity_manager_alone_told() -> None:
    told = heard(event(3, "am_crash", 0, 4242, APP, 1, "java.lang.OutOfMemoryError", "no room", "C.kt", 41))
    assert told == [("crash", {"kind": "java", "pid": 4242}, "java.lang.OutOfMemoryError: no room")]


def test_another_app_s_crash_is_nobody_s_business() -> None:
    theirs = JAVA.replace(APP, OTHER)
    told = heard(
        line(3, "AndroidRuntime", theirs, uid=10_300),
        line(3, "AndroidRuntime", JAVA, uid=10_300),
        own(3, "AndroidRuntime", "Shutting down VM"),
        event(3, "am_crash", 0, 9, OTHER, 1, "E", "x", "C.kt", 41),
        line(3, "libc", SIGNAL.replace(APP, OTHER), uid=10_300),
        *(line(3.1, "DEBUG", text.replace(APP, OTHER), uid=10_300) for text in TOMBSTONE),
        event(3, "am_anr", 0, 9, OTHER, 1, "x"),
        event(3, "am_proc_died", 0, 9, OTHER, 0, 2),
        event(3, "am_proc_start", 0, 9, 10_300, OTHER, "service", "x"),
        event(3, "killinfo", 9, 10_300, 900),
        line(3, "lowmemorykiller", f"Kill '{OTHER}' (9), uid 10300, oom_score_adj 900 to free 1kB"),
        line(3, "ActivityManager", f"ANR in {OTHER}\nPID: 9"),
        line(3, "ActivityManager", f"Start proc 9:{OTHER}/u0a300 for service {APP}"),
        line(3, "ActivityTaskManager", f"Displayed {OTHER}/.Main: +12ms"),
    )
    assert told == []


def test_what_another_app_writes_in_the_system_s_name_counts_for_nothing() -> None:
    forged = [
        line(3, "ActivityManager", f"ANR in {APP}", uid=10_300),
        line(3, "lowmemorykiller", f"Kill '{APP}' (9), uid 1", uid=10_300),
        line(3, "ReactNativeJS", "Error: x, js engine: hermes", uid=10_300, level="E"),
        event(3, "am_anr", 0, 9, APP, 1, "x", uid=10_300),
        event(3, "screen_toggled", 0, uid=10_300),
    ]
    assert heard(*forged) == []


def test_a_native_crash_has_the_head_of_its_tombstone() -> None:
    handler = [line(3 + i / 100, "DEBUG", text, uid=UID, pid=4500, level="F") for i, text in enumerate(TOMBSTONE)]
    died = event(3.4, "am_proc_died", 0, 4242, APP, 0, 2)
    crash, death = heard(own(2.9, "libc", SIGNAL, "F"), *handler, died)
    assert crash[:2] == ("crash", {"kind": "native", "pid": 4242})
    assert crash[2].split("\n") == [SIGNAL, *TOMBSTONE[2:5], *TOMBSTONE[6:]]
    assert death == ("process", {"state": "died", "pid": 4242}, "")


def test_a_native_crash_waits_a_second_for_its_tombstone_and_keeps_its_time() -> None:
    app = Lifecycle(APP, UID)
    assert app.hear(own(3, "libc", SIGNAL, "F")) == []
    assert app.advance(at(3.9)) == []
    (crash,) = app.advance(at(4))
    assert (crash.stamp, crash.text) == (at(3), SIGNAL)
    late = event(5, "am_crash", 0, 4242, APP, 1, "Native crash", "Aborted", "unknown", 0)
    assert app.hear(late) == app.flush() == []


def test_a_tombstone_whose_signal_was_not_seen() -> None:
    handler = [line(3, "DEBUG", text, uid=1000, pid=88) for text in TOMBSTONE]
    ((kind, facts, text),) = heard(*handler, line(3, "DEBUG", "backtrace:", pid=89))
    assert (kind, facts) == ("crash", {"kind": "native", "pid": 4242})
    assert text.startswith("pid: 4242")
    assert text.count("backtrace") == 1


def test_a_javascript_error_is_told_once_for_each_text() -> None:
    error = "TypeError: undefined is not a function, js engine: hermes"
    lines = [own(3 + i, "ReactNativeJS", error) for i in range(3)]
    told = heard(
        *lines, own(7, "ReactNativeJS", "Error: other, js engine: hermes"), own(8, "ReactNativeJS", "Error: x")
    )
    assert [(kind, facts["kind"], text) for kind, facts, text in told] == [
        ("crash", "javascript", error), ("crash", "javascript", "Error: other, js engine: hermes"),
    ]  # fmt: skip


REASON = f"Input dispatching timed out ({APP}/{APP}.MainActivity (server) is not responding. Waited 5003ms)"


def test_an_anr_is_told_when_it_is_found_and_not_again_with_its_traces() -> None:
    traces = f"ANR in {APP} ({APP}/.MainActivity)\nPID: 4242\nReason: {REASON}\nCPU usage:\n  12% 9/{OTHER}: 8% user"
    early, late = event(3, "am_anr", 0, 4242, APP, 1, REASON), line(8, "ActivityManager", traces, level="E")
    assert heard(early, late) == [("anr", {"pid": 4242}, REASON)]
    assert heard(late) == [("anr", {"pid": 4242}, REASON)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            f"Kill '{APP}' (4242), uid 10231, oom_score_adj 700 to free 18kB rss; reason: low watermark is breached",
            "low watermark is breached",
        ),
        (f"Kill '{APP}' (4242), uid 10231, oom_adj 900 to free 18kB", ""),
        (
            f"Killing '{APP}' (4242), adj 900,\n   to free 45kB on behalf of 'kswapd0' (62) because cache 7kB is low",
            "cache 7kB is low",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("tag", ["lowmemorykiller", "lmkd"])
def test_a_kill_for_want_of_memory(tag: str, text: str, reason: str) -> None:
    died = line(3.2, "ActivityManager", f"Process {APP} (pid 4242) has died: prcp FGS")
    info = event(3.1, "killinfo", 4242, UID, 700, 700, 183_456, 3)
    assert heard(line(3, tag, text, uid=1069), info, died) == [
        ("lowmemory", {"pid": 4242}, reason), ("process", {"state": "died", "pid": 4242}, ""),
    ]  # fmt: skip


def test_processes_begin_and_end_and_begin_again_under_the_same_number() -> None:
    why = f"depends on provider {OTHER}/.P in dying proc {OTHER}"

    def life(seconds: float) -> list[LogEntry]:
        return [
            line(seconds, "ActivityManager", f"Start proc 77:{APP}:push/u0a231 for service {{{APP}/.Push}}"),
            event(seconds, "am_proc_start", 0, 77, UID, f"{APP}:push", "service", f"{APP}/.Push"),
            event(seconds + 1, "am_kill", 0, 77, f"{APP}:push", 900, why),
            line(seconds + 1, "ActivityManager", f"Killing 77:{APP}:push/u0a231 (adj 900): depends on provider"),
            event(seconds + 1.1, "am_proc_died", 0, 77, f"{APP}:push", 900, 19),
        ]  # fmt: skip

    once = [
        ("process", {"state": "started", "process": "push", "pid": 77}, ""),
        ("process", {"state": "died", "process": "push", "pid": 77},
         "depends on provider another app in dying proc another app"),
    ]  # fmt: skip
    assert heard(*life(3), *life(5)) == once * 2


def test_which_of_its_activities_is_in_front_and_that_another_app_is() -> None:
    told = heard(
        event(3, "wm_on_resume_called", 1, f"{APP}.MainActivity", "RESUME_ACTIVITY", uid=UID),
        line(3.1, "ActivityTaskManager", f"Displayed {APP}/.MainActivity for user 0: +1s842ms"),
        event(4, "wm_on_resume_called", 1, f"{OTHER}.Secret", "RESUME_ACTIVITY", uid=10_300),
        event(4.5, "wm_on_resume_called", 1, "com.third.App", "RESUME_ACTIVITY", uid=10_301),
        event(5, "wm_on_resume_called", 1, f"{APP}.PayActivity", "RESUME_ACTIVITY", uid=UID),
    )
    assert told == [
        ("app", {"state": "front", "activity": f"{APP}.MainActivity"}, ""),
        ("app", {"state": "displayed", "activity": f"{APP}.MainActivity", "ms": 1842}, ""),
        ("app", {"state": "another app"}, ""),
        ("app", {"state": "front", "activity": f"{APP}.PayActivity"}, ""),
    ]


def state(seconds: float, package: str = APP, **more: Any) -> Foreground:
    facts = {"activity": f"{package}.Main", "keyboard_shown": False, "rotation": 0} | more
    return Foreground(at(seconds), package, **facts)


def seen(*states: Foreground, app: Lifecycle | None = None) -> list[tuple[str, dict[str, Any]]]:
    app = app or Lifecycle(APP, UID)
    return [(found.kind, dict(found.facts)) for each in states for found in app.see(each)]


def test_what_the_window_manager_says() -> None:
    told = seen(
        state(1),
        state(2, keyboard_shown=True),
        state(3, rotation=1),
        state(4, OTHER, keyboard_shown=True),
        state(5, "", activity=""),
        state(6, awake=False),
        state(7, awake=None),
        state(8, awake=True),
    )
    assert told == [
        ("app", {"state": "front", "activity": f"{APP}.Main"}),
        ("keyboard", {"shown": True}),
        ("keyboard", {"shown": False}),
        ("rotation", {"degrees": 90}),
        ("app", {"state": "another app"}),
        ("rotation", {"degrees": 0}),
        ("app", {"state": "front", "activity": f"{APP}.Main"}),
        ("screen-state", {"state": "off"}),
        ("screen-state", {"state": "on"}),
    ]


def test_an_answer_older_than_the_log_s_line_is_not_believed() -> None:
    app = Lifecycle(APP, UID)
    app.see(state(0.5))
    app.hear(event(2, "wm_on_resume_called", 1, "x.Y", "RESUME_ACTIVITY", uid=10_300))
    app.hear(event(2, "screen_toggled", 0))
    assert seen(state(1.9, awake=True), app=app) == []
    assert seen(state(2.1, awake=True), app=app) == [
        ("app", {"state": "front", "activity": f"{APP}.Main"}), ("screen-state", {"state": "on"}),
    ]  # fmt: skip


def test_the_first_answer_says_what_is_in_front_even_if_the_log_told_so_before() -> None:
    app = Lifecycle(APP, UID)
    app.hear(event(1, "wm_on_resume_called", 1, f"{APP}.Main", "RESUME_ACTIVITY", uid=UID))
    assert seen(state(2), state(3), app=app) == [("app", {"state": "front", "activity": f"{APP}.Main"})]


@pytest.mark.parametrize(
    "entries",
    [
        [event(2, "screen_toggled", 0), event(3, "screen_toggled", 1), event(4, "screen_toggled", 2)],
        [
            line(2, "PowerManagerService", "Going to sleep due to power_button (uid 1000)..."),
            event(2.1, "screen_toggled", 0),
            line(3, "PowerManagerService", "Waking up from Asleep (uid=1000, reason=WAKE_REASON_POWER_BUTTON)..."),
        ],
    ],
)
def test_the_screen_goes_off_and_on(entries: list[LogEntry]) -> None:
    assert heard(*entries) == [("screen-state", {"state": "off"}, ""), ("screen-state", {"state": "on"}, "")]


def test_without_a_uid_only_what_names_the_package_counts() -> None:
    app = Lifecycle(APP, None)
    told = heard(
        own(1, "AndroidRuntime", JAVA),
        line(2, "AndroidRuntime", "FATAL EXCEPTION: main\njava.lang.Error", uid=None),
        own(3, "ReactNativeJS", "Error: x, js engine: hermes"),
        event(3, "wm_on_resume_called", 1, f"{APP}.Main", "R", uid=UID),
        line(4, "ActivityManager", f"Process {APP} (pid 4242) has died", uid=None),
        app=app,
    )
    assert [kind for kind, _, _ in told] == ["crash", "process"]


def test_a_long_text_ends_between_two_words() -> None:
    ((_, _, text),) = heard(own(1, "AndroidRuntime", "FATAL EXCEPTION: main\n" + "word " * 2000))
    assert len(text) < MAX_TEXT
    assert text.endswith("word")


def test_what_makes_it_worth_asking_again() -> None:
    assert turns(event(1, "wm_on_resume_called", 1, "x", "y"))
    assert turns(line(1, "ActivityTaskManager", "Displayed com.a/.B: +3ms"))
    assert not turns(line(1, "ActivityTaskManager", "START u0"))
    assert not turns(line(1, "Other", "Displayed com.a/.B: +3ms"))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["AndroidRuntime", "libc", "DEBUG", "ActivityManager", "lmkd", "PowerManagerService", "ReactNativeJS"]
            ),
            st.text(max_size=60)
            | st.sampled_from([JAVA, SIGNAL, *TOMBSTONE, f"ANR in {APP}", f"Start proc 1:{APP}/u0"]),
            st.sampled_from([None, 0, 1000, UID, 10_300]),
        )
    ),
    st.lists(
        st.tuples(
            st.sampled_from(["am_crash", "am_anr", "am_kill", "am_proc_start", "killinfo", "wm_on_resume_called"]),
            st.lists(st.integers() | st.text(max_size=5) | st.just(APP) | st.just((1, "x")), max_size=8),
        )
    ),
)  # fmt: skip
def test_no_entry_breaks_it(lines: list[tuple[str, str, int | None]], events: list[tuple[str, list[Any]]]) -> None:
    app = Lifecycle(APP, UID)
    for i, (tag, text, uid) in enumerate(lines):
        app.hear(line(i, tag, text, uid=uid, level="E"))
    for i, (tag, values) in enumerate(events):
        app.hear(event(i, tag, *values))
    app.flush()


def test_memory_is_bounded() -> None:
    app = Lifecycle(APP, UID)
    for pid in range(1000):
        app.hear(own(1, "libc", SIGNAL.replace("4242", str(pid)), "F", pid))
        app.hear(line(1, "DEBUG", TOMBSTONE[2].replace("4242", str(pid)), pid=5000 + pid))
        app.hear(own(1, "ReactNativeJS", f"Error: {pid}, js engine: hermes"))
    kept = (app._seen, app._dying, app._writers)
    assert all(len(each) <= MAX_KEPT for each in kept)


def entry_of(record: Record) -> LogEntry:
    """An entry as the binary log shows it, on a clock that is the host's."""
    stamp = Stamp(record.time_ns, record.time_ns // 1_000_000)
    facts = (record.pid, record.tid, record.uid, "??VDIWEF"[record.prio])
    if record.buffer == "events":
        said = decode(record.payload)
        return LogEntry(stamp, record.time_ns, *facts, said.tag, said.text, "events", said.cut, said.values)  # type: ignore[arg-type]
    assert record.buffer in BUFFERS
    return LogEntry(stamp, record.time_ns, *facts, record.tag, record.text.decode(), record.buffer)  # type: ignore[arg-type]


DIED = ("process", "Process {pid} died", {"state": "died"})
AWAY = ("app", "Another app in front", {"state": "another app"})


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (World.crash, [("crash", "Crash", {"kind": "java"}), DIED, AWAY]),
        (World.crash_native, [("crash", "Native crash", {"kind": "native"}), DIED, AWAY]),
        (World.hang, [("anr", "Not responding", {}), DIED, AWAY]),
        (World.run_out, [("lowmemory", "Killed for low memory", {}), DIED, AWAY]),
        (lambda world: world.stop(PACKAGE), [DIED, AWAY]),
        (lambda world: world.switch(on=False), [("screen-state", "Screen off", {"state": "off"})]),
    ],
)
def test_the_faults_of_the_emulated_app(
    fault: Callable[[World], None], expected: list[tuple[str, str, dict[str, object]]]
) -> None:
    now_ns = 1_000_000_000
    app = Lifecycle(PACKAGE, APP_UID)
    told: list[Happening] = []
    clock = DeviceClock(host=lambda: now_ns)
    world = World(
        clock, Size(540, 1200), 210, "idle", log=lambda record: told.extend(app.hear(entry_of(record))), autopilot=False
    )
    world.launch(PACKAGE)

    def go(seconds: float) -> None:
        nonlocal now_ns
        for _ in range(int(seconds * 10)):
            now_ns += 100_000_000
            world.tick()

    go(1)
    world.act("permission")
    pid = world.app_pid
    names = [found.name for found in told]
    assert names == [
        f"Process {pid} started", "MainActivity in front", "MainActivity displayed in 842 ms", "Another app in front",
        "MainActivity in front",
    ]  # fmt: skip
    told.clear()
    fault(world)
    go(4)
    told += app.flush()
    found = [(each.kind, each.name, {k: v for k, v in each.facts.items() if k != "pid"}) for each in told]
    assert sorted(found, key=str) == sorted([(k, name.format(pid=pid), facts) for k, name, facts in expected], key=str)
    assert all(each.facts.get("pid", pid) == pid for each in told)
    assert not any("diary" in each.text for each in told)
