from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.outbox.deliveries import Delivery, Entry, due, next_due, replay, rows_of, waits
from agent.outbox.ledger import Row

A, B = "dir:/a", "collector:http://b"
NOW_MS = 1_700_000_000_000
PUT = Row("put", "s", (A, B), 9, at_ms=NOW_MS)

ROWS = st.builds(
    lambda op, segment, sink, attempts: Row(
        op, segment, (A, B) if op == "put" else (sink,), 9 + attempts, attempts, at_ms=NOW_MS
    ),
    st.sampled_from(["put", "ack", "reject", "retry", "expire"]),
    st.sampled_from(["s", "t"]),
    st.sampled_from([A, B]),
    st.integers(0, 3),
)


@given(st.lists(ROWS, max_size=12))
def test_the_rows_of_entries_make_these_entries(rows: list[Row]) -> None:
    entries, finished = replay(rows, {}, NOW_MS)
    assert replay(rows_of(entries), {}, NOW_MS) == (entries, set())
    assert not finished & entries.keys()
    assert not any(entry.finished for entry in entries.values())
    assert entries.size == sum(entry.size for entry in entries.values())


def test_what_all_have_or_was_kept_for_too_long_is_finished() -> None:
    acks = [Row("ack", "s", (sink,)) for sink in (A, B)]
    assert replay([PUT, acks[0]], {}, NOW_MS)[1] == set()
    assert replay([PUT, *acks], {}, NOW_MS) == ({}, {"s"})
    assert replay([PUT, Row("expire", "s", (A, B))], {}, NOW_MS) == ({}, {"s"})
    assert replay([PUT, *acks, PUT], {}, NOW_MS)[1] == set()


def test_a_time_that_nobody_can_have_meant_is_now() -> None:
    entries, _ = replay([Row("put", "s", (A,), 9, at_ms=1000)], {}, NOW_MS)
    assert entries["s"].at_ms == NOW_MS


def test_a_retry_holds_its_session_back_and_no_other() -> None:
    entries = {name: Entry((name[0], 0), 9, {A: Delivery()}) for name in ("a1", "a2", "b1")}
    entries["a1"].sinks[A] = Delivery(attempts=1, not_before=5.0)
    assert (due(entries, A, 4.0), next_due(entries, A, 4.0)) == ("b1", 5.0)
    entries["b1"].sinks[A].state = "acked"
    assert (due(entries, A, 4.0), due(entries, A, 5.0), due(entries, B, 9.0)) == (None, "a1", None)
    assert next_due(entries, A, 5.0) == float("inf")


def test_what_is_hopeless_was_tried_at_every_sink_that_has_not_had_it() -> None:
    down, refused, done = Delivery(failed=True), Delivery("rejected"), Delivery("acked")
    under_way = Delivery("claimed", failed=True)
    hopeless: list[dict[str, Delivery]] = [{}, {A: down}, {A: refused}, {A: down, B: refused}, {A: down, B: done}]
    for sinks in hopeless:
        assert Entry(("d", 1), 9, sinks).hopeless, sinks
    for sinks in ({A: Delivery()}, {A: down, B: Delivery()}, {A: under_way}, {A: refused, B: under_way}):
        assert not Entry(("d", 1), 9, sinks).hopeless, sinks


def test_what_is_claimed_still_waits() -> None:
    assert waits(A, Delivery("claimed"), A)
    assert waits(A, Delivery(), None)
    assert not waits(A, Delivery(), B)
    assert not waits(A, Delivery("rejected"), None)
