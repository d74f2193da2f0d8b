"""Which uid the app's lines bear, over new installations and other users of the phone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analytics.install import Install
from bridge.types import Foreground, LogEntry, Stamp

APP, UID, NEW, OTHER = "com.example.shop", 10_231, 10_245, "com.other.diary"


def at(seconds: float) -> Stamp:
    return Stamp(int(seconds * 1e9), int(seconds * 1000))


def line(seconds: float, text: str, *, tag: str = "ActivityManager", uid: int | None = 1000) -> LogEntry:
    stamp = at(seconds)
    return LogEntry(stamp, stamp.mono_ns, 1432, 1432, uid, "I", tag, text)


def started(seconds: float, *values: Any, uid: int = 1000) -> LogEntry:
    stamp = at(seconds)
    words = (stamp, stamp.mono_ns, 1432, 1432, uid, "I", "am_proc_start", str(values), "events", False, values)
    return LogEntry(*words)  # type: ignore[arg-type]


def front(user: int | None, package: str = APP) -> Foreground:
    return Foreground(at(20), package, f"{package}.Main", False, 0, user=user)


@pytest.fixture
def install() -> Install:
    return Install(APP, UID, at(10))


@pytest.mark.parametrize(
    "entry",
    [
        line(11, f"Start proc 4711:{APP}/u0a245 for next-top-activity {{{APP}/.Main}}"),
        line(11, f"Start proc 4711:{APP}:push/u0a245 for service", uid=None),
        started(11, 0, 4711, NEW, APP, "next-top-activity", f"{APP}/.Main"),
        started(11, 0, 4711, NEW, f"{APP}:push", "service", f"{APP}/.Push"),
    ],
)
def test_the_app_is_installed_anew(install: Install, entry: LogEntry) -> None:
    assert install.hear(entry) is True
    assert install.uid == NEW
    assert install.hear(entry) is False


@pytest.mark.parametrize(
    "entry",
    [
        # Before the package manager was asked: of an installation that is gone.
        line(9, f"Start proc 4711:{APP}/u0a245 for next-top-activity"),
        line(11, f"Start proc 4711:{OTHER}/u0a245 for next-top-activity"),
        line(11, f"Start proc 4711:{APP}.debug/u0a245 for next-top-activity"),
        line(11, f"Start proc 4711:{APP}/u0a245 for next-top-activity", uid=10_300),
        line(11, f"Start proc 4711:{APP}/u0a245 for next-top-activity", tag="ReactNativeJS"),
        # An isolated process has a uid for its life.
        line(11, f"Start proc 4711:{APP}:sandbox/u0i12 for service"),
        started(11, 0, 4711, 99_012, f"{APP}:sandbox", "service", ""),
        started(11, 0, 4711, 1000, APP, "service", ""),
        started(11, 0, 4711, NEW, OTHER, "service", ""),
        started(11, 0, 4711, NEW, APP, "service", "", uid=10_300),
        started(11, 0, "4711", NEW),
        started(11),
        # A work profile's app starts behind the one that is in front.
        started(11, 10, 4711, 1_010_231, APP, "service", ""),
    ],
)
def test_what_does_not_say_so(install: Install, entry: LogEntry) -> None:
    assert install.hear(entry) is False
    assert install.uid == UID


def test_another_user_s_app_comes_to_the_front(install: Install) -> None:
    assert install.see(front(10)) is True
    assert install.uid == 1_010_231
    assert install.see(front(10)) is False
    assert [install.see(state) for state in (front(None), front(0, OTHER), front(None, ""))] == [False] * 3
    # After a reconnect the package manager tells of the first user's again.
    install.expect(UID)
    assert install.see(front(10)) is False
    assert install.hear(line(30, "from behind", tag="ReactNativeJS", uid=UID)) is False
    assert install.see(front(0)) is True
    assert install.uid == UID


def test_a_system_app_has_one_uid_for_each_of_its_processes() -> None:
    install = Install("com.android.settings", 1000, at(10))
    assert install.see(front(10, "com.android.settings")) is False
    assert install.uid == 1000


def test_what_the_package_manager_says_counts_from_the_first_line_on(install: Install) -> None:
    install.expect(NEW)
    assert install.hear(line(12, "the old one still says something", uid=UID)) is False
    assert install.uid == UID
    assert install.hear(line(13, "hello", tag="ReactNativeJS", uid=NEW)) is True
    assert install.uid == NEW


@given(st.text(max_size=60), st.sampled_from(["ActivityManager", "am_proc_start", ""]), st.integers(0, 2_000_000))
def test_no_line_is_too_odd(text: str, tag: str, uid: int) -> None:
    install = Install(APP, UID, at(10))
    install.hear(line(11, text, tag=tag, uid=uid))
    install.hear(line(11, f"Start proc 1:{APP}/{text}", uid=1000))
    assert install.uid % 100_000 in range(10_000, 20_000)
