from __future__ import annotations

from itertools import permutations
from typing import Any

from fakes.views import EPOCH, at, event
from hypothesis import given
from hypothesis import strategies as st

from agent.model import SegmentEvent, SessionKey
from agent.replay.timeline import MAX_INTERVALS, GapRuns, PreRoll, Reorder, Sessions
from bridge.types import Gap, Stamp

ONE, TWO = SessionKey(EPOCH + 1000, "d"), SessionKey(EPOCH + 60_000, "d")


def effective(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else -1


def of(seconds: float, session_id: object, device_id: str | None = "d", **more: Any) -> SegmentEvent:
    return event(seconds, session_id, device_id, **more)


def noted(*events: SegmentEvent) -> Sessions:
    sessions = Sessions(effective, 60_000)
    for one in events:
        sessions.note(one)
    return sessions


def ruler(sessions: Sessions, seconds: float) -> SessionKey | None:
    interval = sessions.at(at(seconds).mono_ns)
    return None if interval is None else interval.key


@given(st.lists(st.integers(0, 20)), st.integers(-1, 21))
def test_items_come_out_in_order_of_time_and_equal_ones_in_order_of_arrival(times: list[int], limit: int) -> None:
    reorder: Reorder[int] = Reorder()
    for i, time in enumerate(times):
        reorder.put(Stamp(time, 0), i)
    out = [i for _, i in reorder.until(limit)]
    rest = [i for _, i in reorder.rest()]
    assert out + rest == sorted(range(len(times)), key=times.__getitem__)
    assert all(times[i] <= limit for i in out)
    assert all(times[i] > limit for i in rest)


def test_nobody_rules_before_a_session_is_known() -> None:
    sessions = noted(of(1, -1), of(2, None), of(3, ONE.session_id, None), of(4, ONE.session_id, ""))
    assert not sessions.known
    assert ruler(sessions, 5) is None


def test_a_session_begins_when_its_id_says() -> None:
    sessions = noted(of(31, ONE.session_id), of(65, TWO.session_id))
    assert [i.start for i in (sessions.of(ONE), sessions.of(TWO)) if i] == [at(1), at(60)]
    assert ruler(sessions, 59.9) == ONE
    assert ruler(sessions, 60) == TWO


def test_what_comes_before_the_first_session_is_its_own() -> None:
    assert ruler(noted(of(31, ONE.session_id)), 0.5) == ONE


def test_an_id_that_is_no_time_or_too_old_begins_at_its_event() -> None:
    for session_id, event_ms in (
        (7, EPOCH + 5000),
        (EPOCH - 100_000, EPOCH + 5000),
        (EPOCH + 99_000, EPOCH + 5000),
        (EPOCH, None),
    ):
        sessions = noted(of(5, session_id, event_ms=event_ms))
        interval = sessions.at(0)
        assert interval is not None
        assert interval.start == at(5)


def test_the_devices_clock_may_be_hours_off() -> None:
    off = 5 * 3_600_000
    sessions = noted(of(31, ONE.session_id + off, event_ms=EPOCH + 31_000 + off))
    interval = sessions.at(0)
    assert interval is not None
    assert interval.start == at(1)


def test_ids_going_back_and_forth_at_a_rollover_do_not_switch_back() -> None:
    sessions = noted(
        of(30, ONE.session_id),
        of(60.5, TWO.session_id),
        of(61, ONE.session_id),
        of(61.5, TWO.session_id),
        of(62, ONE.session_id),
    )
    assert ruler(sessions, 59) == ONE
    assert all(ruler(sessions, t) == TWO for t in (60, 61, 61.2, 62.5))


def test_the_lines_of_a_rollover_in_any_order_give_the_same() -> None:
    lines = [of(60.6, TWO.session_id), of(60.5, ONE.session_id), of(60.7, TWO.session_id)]
    for order in (lines, lines[::-1], [lines[1], lines[0], lines[2]]):
        sessions = noted(*order)
        assert ruler(sessions, 59) == ONE
        assert ruler(sessions, 61) == TWO


def test_a_session_of_which_only_the_end_is_heard_does_not_rule_after_it() -> None:
    old = SessionKey(TWO.session_id - 400_000, "d")
    for n, order in enumerate(permutations([(60.2, TWO), (60.25, old), (60.3, TWO)])):
        sessions = noted(*(of(seconds, key.session_id) for seconds, key in order))
        assert ruler(sessions, 59) == old, n
        assert ruler(sessions, 60.3) == ruler(sessions, 75) == TWO, n
        assert sessions.of(old) is not None


def test_another_user_s_app_has_a_session_of_its_own_and_until_it_tells_of_one_nobody_rules() -> None:
    sessions = noted(of(30, ONE.session_id, uid=10_123))
    assert sessions.known
    sessions.follow(1_010_123, at(70))
    assert (sessions.known, sessions.latest) == (False, None)
    # A line that was held, of the one before.
    assert not sessions.note(of(69, ONE.session_id, uid=10_123))
    assert not sessions.known
    other = SessionKey(TWO.session_id, "work")
    assert sessions.note(of(75, other.session_id, "work", uid=1_010_123))
    assert (ruler(sessions, 69), ruler(sessions, 71), sessions.known) == (ONE, other, True)
    # Back again: that one's is known.
    sessions.follow(10_123, at(80))
    assert (ruler(sessions, 79), ruler(sessions, 81), sessions.latest) == (other, ONE, ONE.session_id)


def test_what_was_on_its_way_as_another_user_s_app_came_does_not_rule_it() -> None:
    sessions = noted(of(30, ONE.session_id, uid=10_123))
    sessions.follow(1_010_123, at(70))
    # Uploads through a relay come later, and say nothing of the uid.
    assert not sessions.note(of(69, TWO.session_id, uid=1_010_123))
    assert not sessions.known
    other = SessionKey(TWO.session_id + 15_000, "work")
    assert sessions.note(of(75, other.session_id, "work", uid=1_010_123))
    sessions.follow(10_123, at(80))
    late = SessionKey(TWO.session_id + 19_500, "work")
    sessions.note(of(79.6, late.session_id, "work", uid=1_010_123))
    assert (ruler(sessions, 79.9), ruler(sessions, 81), ruler(sessions, 100)) == (late, ONE, ONE)


def test_before_the_first_session_is_known_another_user_s_is_none() -> None:
    sessions = noted()
    sessions.follow(1_010_123, at(70))
    assert not sessions.note(of(69, ONE.session_id, uid=10_123))
    assert not sessions.known
    assert sessions.note(of(71, TWO.session_id, "work", uid=1_010_123))


def test_a_session_that_begins_after_the_clock_was_set_back_rules() -> None:
    back = SessionKey(TWO.session_id - 30_000, "d")
    sessions = noted(of(60, TWO.session_id), of(64, back.session_id, event_ms=back.session_id + 5))
    assert (ruler(sessions, 63), ruler(sessions, 65)) == (TWO, back)


def test_going_back_and_forth_between_users_fills_no_memory() -> None:
    sessions = noted(of(1, ONE.session_id, uid=1))
    for n in range(2 * MAX_INTERVALS):
        sessions.follow(n % 2, at(10 + n))
    assert len(sessions._intervals) <= MAX_INTERVALS


def test_a_session_without_an_id_never_cuts() -> None:
    sessions = noted(of(30, ONE.session_id), of(31, -1), of(32, 0), of(33, "x"))
    assert ruler(sessions, 34) == ONE


def test_an_old_session_that_stays_rules_again() -> None:
    sessions = noted(of(1, 5), of(10, 6), of(30, 5))
    assert [ruler(sessions, t) for t in (5, 15, 31)] == [SessionKey(n, "d") for n in (5, 6, 5)]


def test_an_event_made_before_the_session_that_rules_is_late_and_no_return() -> None:
    sessions = noted(of(30, ONE.session_id), of(60, TWO.session_id), of(90, ONE.session_id, event_ms=EPOCH + 40_000))
    assert ruler(sessions, 91) == TWO


def test_another_device_id_in_the_same_session_begins_at_its_event() -> None:
    sessions = noted(of(30, ONE.session_id), of(40, ONE.session_id, "e"))
    assert ruler(sessions, 39) == ONE
    assert ruler(sessions, 40) == SessionKey(ONE.session_id, "e")


def test_a_line_that_announces_a_session_says_when_it_began() -> None:
    sessions = noted(of(1, 5), of(10, 6, None, stage="session"), of(14, 6, event_ms=None))
    assert ruler(sessions, 11) == SessionKey(6, "d")


def test_the_memory_is_bounded() -> None:
    sessions = noted(*(of(i, i + 1) for i in range(2 * MAX_INTERVALS)))
    assert ruler(sessions, 2 * MAX_INTERVALS) == SessionKey(2 * MAX_INTERVALS, "d")
    assert sessions.of(SessionKey(1, "d")) is None


def test_the_pre_roll_is_bounded_by_weight_and_age() -> None:
    waiting: PreRoll[str] = PreRoll(10, 100)
    assert waiting.push(Stamp(0, 0), "a", 60) == []
    assert waiting.push(Stamp(1, 0), "b", 60) == ["a"]
    assert waiting.push(Stamp(12, 0), "c", 40) == []
    assert waiting.expire(12) == ["b"]
    assert [item for _, item in waiting.drain()] == ["c"]
    assert list(waiting.drain()) == []


def gap(start: float, end: float, reason: str = "ScreenBlocked", stage: str = "screen") -> Gap:
    return Gap(at(start), at(end), stage, reason)


def test_gaps_that_follow_each_other_are_one() -> None:
    runs = GapRuns()
    assert [run for g in (gap(1, 1.2), gap(1.3, 1.4), gap(1.9, 2)) for run in runs.put(g)] == []
    assert list(runs.over(at(2.5).mono_ns)) == []
    assert list(runs.over(at(2.7).mono_ns)) == [gap(1, 2)]
    assert list(runs.over()) == []
    assert runs.count == 1


def test_gaps_of_another_reason_or_stage_or_later_are_others() -> None:
    runs = GapRuns()
    lost = [gap(1, 2), gap(2, 3, "FrameMalformed"), gap(2, 3, stage="hierarchy"), gap(4, 5, "FrameMalformed")]
    ended = [run for g in lost for run in runs.put(g)]
    assert ended == [lost[0], lost[1]]
    assert sorted(runs.over(), key=lambda g: g.start) == [lost[2], lost[3]]
    assert runs.count == 4


def test_a_run_is_told_while_it_lasts() -> None:
    runs = GapRuns()
    ended = [run for i in range(200) for run in runs.put(gap(i * 0.5, i * 0.5 + 0.4))]
    assert len(ended) == 1
    assert 59 < (ended[0].end.mono_ns - ended[0].start.mono_ns) / 1e9 <= 60
