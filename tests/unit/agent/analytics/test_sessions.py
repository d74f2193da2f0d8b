from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.analytics.sessions import (
    FROM_BEFORE_RESTART,
    FROM_EVENT,
    FROM_LINE,
    IDLE_NS,
    MAX_PERSONS,
    MAX_PROCESSES,
    MAX_STYLES,
    App,
)
from agent.model import NO_SESSION

NOTHING = (NO_SESSION, "")
S1, S2 = 1_772_527_272_315, 1_772_538_288_263


def test_nothing_is_known_at_first() -> None:
    app = App()
    assert app.at(1, 0) == NOTHING
    assert app.last_known(1) == NOTHING
    assert not app.evidence


def test_a_session_lasts_until_it_was_idle_for_too_long() -> None:
    app = App()
    app.started(S1, 1, 1000, FROM_LINE)
    assert app.evidence
    assert app.at(1, 1000 + IDLE_NS - 1) == (S1, FROM_LINE)
    assert app.at(1, 1000 + IDLE_NS) == NOTHING
    assert app.last_known(1) == (S1, FROM_LINE)
    app.shown(S1, 1, 5000, "json:")
    assert app.at(1, 1000 + IDLE_NS) == (S1, FROM_EVENT)


def test_a_time_that_goes_back_does_not_shorten_it() -> None:
    app = App()
    app.started(S1, 1, 1000, FROM_LINE)
    app.started(S1, 1, 10, FROM_LINE)
    assert app.last_ns == 1000


def test_an_older_session_that_is_mentioned_again_is_not_the_current_one() -> None:
    app = App()
    app.started(S2, 1, 0, FROM_LINE)
    app.started(S1, 1, 5, FROM_EVENT)
    assert app.at(1, 6) == (S2, FROM_LINE)
    app.started(S2 + 1, 1, 7, FROM_EVENT)
    assert app.at(1, 8) == (S2 + 1, FROM_EVENT)


def test_a_session_that_is_told_as_it_begins_is_the_current_one_though_the_clock_was_set_back() -> None:
    app = App()
    app.started(S2, 1, 0, FROM_LINE)
    app.started(S1, 1, 5, FROM_LINE, now=True)
    assert app.at(1, 6) == (S1, FROM_LINE)


def test_another_anonymous_id_is_dated_and_the_first_is_not() -> None:
    app = App()
    assert app.since("one", 5) is None
    assert app.since("two", 7) == app.since("two", 9) == 7
    assert app.since("one", 11) is None
    for n in range(MAX_PERSONS):
        app.since(f"more {n}", 12)
    assert len(app.persons) == MAX_PERSONS


def test_a_session_outlives_its_process() -> None:
    app = App()
    app.started(S1, 1, 0, FROM_LINE)
    assert app.at(2, 5) == (S1, FROM_BEFORE_RESTART)
    app.shown(S1, 2, 6, "json:")
    assert app.at(2, 7) == (S1, FROM_EVENT)


def test_an_end_ends_its_own_session_alone() -> None:
    app = App()
    app.started(S2, 1, 0, FROM_LINE)
    app.ended(S1)
    assert app.at(1, 1) == (S2, FROM_LINE)
    app.ended(S2)
    assert app.at(1, 1) == app.last_known(1) == NOTHING
    # After an end an older one may start: the phone's clock was set back.
    app.started(S1, 1, 2, FROM_LINE)
    assert app.at(1, 3) == (S1, FROM_LINE)


def test_an_end_alone_shows_that_the_plugin_is_there() -> None:
    app = App()
    app.ended(S1)
    assert app.evidence


def test_a_reset_drops_session_and_device_of_the_process() -> None:
    app = App()
    app.started(S1, 1, 0, FROM_LINE)
    app.process(1).device = "ours"
    app.process(2).device = "other"
    app.reset(1)
    assert app.at(1, 1) == NOTHING
    assert (app.process(1).device, app.process(2).device) == (None, "other")


def test_a_process_without_settings_has_no_session_until_it_shows_one() -> None:
    app = App()
    app.started(S1, 1, 0, FROM_LINE)
    app.process(2).plugin_off = True
    assert app.at(2, 1) == NOTHING
    assert app.at(1, 1) == (S1, FROM_LINE)
    app.shown(S1, 2, 2, "json:")
    assert app.at(2, 3) == (S1, FROM_EVENT)


def test_styles_and_processes_are_bounded() -> None:
    app = App()
    for number in range(3 * MAX_STYLES):
        app.shown(S1, number, number, f"style {number}")
    assert len(app.with_ids) == MAX_STYLES
    assert len(app.processes) == MAX_PROCESSES
    assert next(reversed(app.processes)) == 3 * MAX_STYLES - 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["start", "show", "end", "reset"]), st.integers(1, 4), st.integers(1, 3), st.integers(0, 10)
        ),
        max_size=30,
    )
)
def test_the_current_session_is_one_that_began_and_did_not_end(steps: list[tuple[str, int, int, int]]) -> None:
    app = App()
    alive: set[int] = set()
    for kind, session, pid, now in steps:
        if kind == "start":
            app.started(session, pid, now, FROM_LINE)
            alive.add(session)
        elif kind == "show":
            app.shown(session, pid, now, "s")
            alive.add(session)
        elif kind == "end":
            app.ended(session)
            alive.discard(session)
        else:
            app.reset(pid)
            alive.clear()
        found, source = app.at(pid, now)
        assert (found == NO_SESSION) == (source == "")
        assert found == NO_SESSION or found in alive
