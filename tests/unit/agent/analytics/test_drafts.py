from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analytics.drafts import (
    FROM_OWN_OPTIONS,
    FROM_PROPERTIES_ALONE,
    MAX_WEIGHT,
    Draft,
    Shelf,
    epoch_ms,
    finish,
    integration_id,
    own_session,
    session_event,
)
from agent.analytics.forms import ABSENT, UNKNOWN, Path, Shown
from agent.analytics.hold import Due
from agent.analytics.identity import FROM_ANONYMOUS, FROM_CONTEXT, FROM_INTEGRATIONS, FROM_PROPERTIES
from agent.analytics.sessions import FROM_EVENT, FROM_LINE, FROM_PROCESS, App
from agent.model import NO_SESSION, EventStage
from bridge.types import LogEntry, Stamp

S1, S2 = 1_772_527_272_315, 1_772_538_288_263
ENTRY = LogEntry(Stamp(5, 6), 7, 42, 43, 10_123, "I", "ReactNativeJS", "")
WHOLE = {
    "type": "track", "event": "Opened", "properties": {"a": 1}, "messageId": "m-1",
    "timestamp": "2026-03-03T09:41:12.319Z", "integrations": {"Actions Amplitude": {"session_id": S1}},
    "anonymousId": "anonymous", "context": {"device": {"id": "dev-1"}},
}  # fmt: skip


def draft(
    value: dict[str, object] | None = None,
    stage: EventStage | None = "after",
    *gaps: Path,
    app: App | None = None,
    **more: object,
) -> Draft:
    shown = Shown({**WHOLE, **more} if value is None else value, frozenset(gaps), "json:", saved=stage == "raw")
    return Draft(ENTRY, 10_123, app or App(), shown, "m-1", stage, Due(0, 0, 0), 100)


def without(*names: str) -> dict[str, object]:
    return {name: value for name, value in WHOLE.items() if name not in names}


def test_a_whole_event() -> None:
    event = finish(draft(), strict=False)
    assert (event.stamp, event.pid, event.uid, event.stage, event.kind) == (Stamp(5, 6), 42, 10_123, "after", "track")
    assert (event.name, event.message_id, event.event_ms) == ("Opened", "m-1", 1_772_530_872_319)
    assert (event.session_id, event.session_from) == (S1, FROM_INTEGRATIONS)
    assert (event.device_id, event.device_from) == ("dev-1", FROM_CONTEXT)
    assert (event.complete, event.missing, event.event) == (True, (), WHOLE)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({"type": "track", "event": "E", "name": "N"}, "E"),
        ({"type": "track", "name": "N"}, "N"),
        ({"type": "track", "event": {"x": 1}, "name": "N"}, "N"),
        ({"type": "screen", "event": "E", "name": "N"}, "N"),
        ({"type": "screen", "name": 7}, ""),
        ({"type": "identify"}, ""),
    ],
)
def test_names(value: dict[str, object], name: str) -> None:
    assert draft(value).name == name


def test_the_fuller_report_has_the_higher_rank() -> None:
    ranks = [
        draft({"type": "track", "event": "x"}, "raw").rank,
        draft({"type": "track", "properties": {}}, "raw").rank,
        draft(None, "before").rank,
        draft(without("integrations"), "after").rank,
        draft(None, "after", ("context",)).rank,
        draft(None, "after").rank,
    ]
    assert ranks == [0, 1, 2, 3, 4, 5]
    assert draft(None, None).rank == draft(None, "before").rank


def test_what_cannot_be_told_is_missing() -> None:
    event = finish(draft(without("context", "timestamp"), "after", ()), strict=False)
    assert (event.complete, event.missing, event.event_ms) == (False, ("timestamp", "context"), None)
    event = finish(draft(None, "after", ("properties", "a", "b"), ("extra",)), strict=False)
    assert (event.complete, event.missing) == (False, ("extra", "properties"))
    event = finish(draft(without("context"), "after"), strict=False)
    assert (event.complete, event.missing) == (True, ())
    assert finish(draft(without("context"), "after", ("context",)), strict=False).missing == ("context",)
    identify = finish(draft({"type": "identify"}, "after", ()), strict=False)
    assert identify.missing == ("traits", "messageId", "timestamp", "integrations", "anonymousId", "context")


def test_an_event_before_the_session_plugin_lacks_its_integrations() -> None:
    event = finish(draft(None, "before"), strict=False)
    assert (event.complete, event.missing) == (False, ("integrations",))
    assert (event.session_id, event.session_from) == (NO_SESSION, "")
    assert event.device_id == "dev-1"


def test_a_line_of_the_sdk_shows_little() -> None:
    event = finish(draft({"type": "track", "event": "x", "properties": {"a": 1}}, "raw"), strict=False)
    assert event.missing == ("messageId", "timestamp", "integrations", "anonymousId", "context")
    assert not event.complete
    assert (event.session_id, event.device_id) == (NO_SESSION, None)


def test_ids_that_the_event_does_not_show_come_from_elsewhere_unless_strict() -> None:
    app = App()
    app.process(42).device = "seen before"
    raw = draft({"type": "track", "event": "x"}, "raw", app=app)
    raw.inferred = (S2, FROM_LINE)
    event = finish(raw, strict=False)
    assert (event.session_id, event.session_from) == (S2, FROM_LINE)
    assert (event.device_id, event.device_from) == ("seen before", FROM_PROCESS)
    event = finish(raw, strict=True)
    assert (event.session_id, event.session_from, event.device_id, event.device_from) == (NO_SESSION, "", None, "")


def test_an_id_that_the_event_shows_is_not_replaced() -> None:
    app = App()
    app.process(42).device = "seen before"
    mine = draft(app=app)
    mine.inferred = (S2, FROM_EVENT)
    assert (finish(mine, strict=False).session_id, finish(mine, strict=False).device_id) == (S1, "dev-1")
    none = draft(None, "after", app=app, integrations={}, context={})
    none.inferred = (S2, FROM_EVENT)
    event = finish(none, strict=False)
    assert (event.session_id, event.session_from) == (NO_SESSION, "")
    assert (event.device_id, event.device_from) == ("anonymous", FROM_ANONYMOUS)


def test_a_hidden_id_is_inferred() -> None:
    app = App()
    app.process(42).device = "seen before"
    hidden = draft(without("integrations", "context", "anonymousId"), "after", (), app=app)
    hidden.inferred = (S2, FROM_LINE)
    event = finish(hidden, strict=False)
    assert (event.session_id, event.session_from, event.device_id) == (S2, FROM_LINE, "seen before")
    assert finish(hidden, strict=True).session_id == NO_SESSION


def test_the_session_in_the_properties() -> None:
    event = finish(draft(None, "after", integrations={}, properties={"session_id": "12"}), strict=False)
    assert (event.session_id, event.session_from) == (12, FROM_PROPERTIES)
    # A property that is not shown may be one.
    value = {**WHOLE, "integrations": {}, "properties": {}}
    assert finish(draft(value, "after", ("properties",)), strict=False).session_from == ""
    hidden = draft(value, "after", ("properties",))
    hidden.inferred = (S2, FROM_LINE)
    assert finish(hidden, strict=False).session_id == S2
    raw = {"type": "track", "event": "x", "properties": {"session_id": 12}}
    event = finish(draft(raw, "raw"), strict=False)
    assert (event.session_id, event.session_from) == (12, FROM_PROPERTIES_ALONE)
    app = App(evidence=True)
    assert finish(draft(raw, "raw", app=app), strict=False).session_from == ""
    assert finish(draft(raw, "raw"), strict=True).session_from == ""


@pytest.mark.parametrize("name", ["session_start", "session_end"])
def test_the_events_of_the_session_itself(name: str) -> None:
    properties = {"integrations": {"Actions Amplitude": {"session_id": S2}}}
    before = draft(None, "before", event=name, properties=properties)
    assert own_session(before) == S2
    assert finish(before, strict=False).session_from == FROM_OWN_OPTIONS
    assert finish(before, strict=True).session_from == ""
    assert own_session(draft(None, event="other", properties=properties)) == NO_SESSION
    assert own_session(draft(None, type="screen", name=name, properties=properties)) == NO_SESSION
    for wrong in (True, "5", None, 1.5, {}):
        options = {"integrations": {"Actions Amplitude": {"session_id": wrong}}}
        assert own_session(draft(None, event=name, properties=options)) == NO_SESSION


def test_the_session_of_an_integration() -> None:
    assert integration_id(draft().shown) == S1
    assert integration_id(draft(integrations={}).shown) is ABSENT
    assert integration_id(draft(integrations={"Actions Amplitude": {"session_id": None}}).shown) is ABSENT
    assert integration_id(draft(integrations={"Actions Amplitude": True}).shown) is ABSENT
    assert integration_id(draft(without("integrations"), "after", ()).shown) is UNKNOWN
    hidden = ("integrations", "Actions Amplitude")
    assert integration_id(draft(None, "after", hidden, integrations={}).shown) is UNKNOWN


def test_a_line_of_the_session_plugin_stands_for_its_event() -> None:
    app = App()
    app.process(42).device = "dev"
    event = session_event(ENTRY, 10_123, app, "end", S1, strict=False)
    assert (event.stage, event.kind, event.name, event.complete) == ("session", "track", "session_end", False)
    assert (event.session_id, event.device_id, event.device_from) == (S1, "dev", FROM_PROCESS)
    event = session_event(ENTRY, 10_123, app, "start", S1, strict=True)
    assert (event.name, event.device_id, event.device_from) == ("session_start", None, "")


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["session_id", "Actions Amplitude", "device", "id"]) | st.text(max_size=3), inner
        )
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from([*WHOLE, "name", "traits", "userId"]), JSONS),
    st.sampled_from(["track", "screen", "identify", "group", "alias"]),
    st.sampled_from(["raw", "before", "after", None]),
    st.lists(st.sampled_from([(), ("integrations",), ("context", "device"), ("properties",), ("messageId",)])),
    st.booleans(),
)
def test_any_value_in_any_field_is_an_event(
    value: dict[str, object], kind: str, stage: EventStage | None, gaps: list[Path], strict: bool
) -> None:
    one = draft({**value, "type": kind}, stage, *gaps)
    event = finish(one, strict=strict)
    assert event.kind == kind
    assert isinstance(event.name, str)
    assert event.device_id is None or isinstance(event.device_id, str)
    assert not (event.complete and event.missing)
    assert own_session(one) == NO_SESSION or one.name in ("session_start", "session_end")


@given(st.datetimes(timezones=st.just(UTC)), st.integers(-14 * 60, 14 * 60))
def test_epoch_milliseconds(moment: datetime, minutes: int) -> None:
    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert epoch_ms(moment.isoformat()) == expected
    assert epoch_ms(moment.isoformat().replace("+00:00", "Z")) == expected
    assert epoch_ms(moment.replace(tzinfo=None).isoformat()) == expected
    zone = timezone(timedelta(minutes=minutes))
    assert epoch_ms(moment.replace(tzinfo=zone).isoformat()) == expected - minutes * 60_000


@given(st.text(max_size=30) | st.text("0123456789-:TZ.+W", max_size=30))
def test_any_timestamp_is_a_number_or_none(text: str) -> None:
    assert epoch_ms(text) is None or isinstance(epoch_ms(text), int)


def test_a_shelf_counts_what_it_holds() -> None:
    shelf = Shelf()
    drafts = [draft() for _ in range(3)]
    for each in drafts:
        shelf.append(each)
    assert not shelf.over(3)
    assert shelf.over(2)
    shelf.remove(drafts[1])
    assert list(shelf) == [drafts[0], drafts[2]]
    assert shelf[0] is shelf.popleft()
    assert len(shelf) == 1
    heavy = draft()
    heavy.weight = MAX_WEIGHT
    shelf.append(heavy)
    assert shelf.over(9)
    shelf.popleft()
    assert not shelf.over(9)  # one alone may be of any weight
    shelf.append(draft())
    assert shelf.over(9)
    shelf.remove(heavy)
    assert not shelf.over(9)


@pytest.mark.parametrize(
    ("late_ms", "bound_ns"), [(0, 9), (12, 12_000_009), (-5, 9), (60_000, 60_000_000_009), (60_001, 9)]
)
def test_the_bound_covers_how_long_after_its_own_time_an_event_was_logged(late_ms: int, bound_ns: int) -> None:
    made = draft()
    made.entry = replace(ENTRY, stamp=Stamp(5, 6, 9), time_ns=(1_772_530_872_319 + late_ms) * 1_000_000)
    event = finish(made, strict=False)
    assert event.stamp == Stamp(5, 6)
    assert event.stamp.bound_ns == bound_ns
    made.shown = Shown(without("timestamp"), frozenset(), "json:")
    assert finish(made, strict=False).stamp.bound_ns == 9
