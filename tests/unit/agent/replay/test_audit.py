from __future__ import annotations

from typing import Any

import orjson
import pytest
from fakes.film import develop, film
from fakes.shown import state_at

from agent.replay import rrweb
from agent.replay.audit import Audit, rects_of, screen_of
from agent.replay.rrweb import Event

START = 1_760_000_000_000
PAY = {"class": "v", "style": "left:0px;top:0px;width:9px;height:9px", "data-class": "a.Button", "data-res": "a:id/pay"}


def box(node_id: int, label: str, **more: str) -> Event:
    return rrweb.element(node_id, "div", {**PAY, "aria-label": label, **more})


def mask(at_ms: int, rects: list[Any], blocked: str = "") -> Event:
    rules = {str(rect[4]): 1 for rect in rects}
    payload = {"count": len(rects), "rules": rules, "blocked": blocked, "rects": rects, "screen": [100, 200]}
    return rrweb.custom(at_ms, "mask", payload)


def opened(at_ms: int, *views: Event) -> list[Event]:
    return [rrweb.meta(at_ms, "android-app://a/.B", 100, 200), rrweb.full_snapshot(at_ms, "picture:a", 100, 200, views)]


def end(at_ms: int) -> Event:
    return rrweb.custom(at_ms, "end", {})


def test_texts_are_told_with_their_first_time_count_length_and_views() -> None:
    audit = Audit()
    events = [
        *opened(START, box(100, "Pay"), box(101, "*****"), box(102, "Pay", **{"data-res": "a:id/pay2"})),
        rrweb.mutation(START + 1000, [(100, {"aria-label": "Paid"})]),
        rrweb.mutation(START + 3000, [(100, {"aria-label": "Pay"})], [102]),
        end(START + 4000),
    ]
    audit.feed("s1", "a", events)
    audit.feed("s2", "a", [*opened(START + 4000, box(100, "Pay")), end(START + 5000)])
    told = {text.text: (text.first_ms - START, text.segment, text.count, text.ms) for text in audit.texts.values()}
    assert told == {"Pay": (0, "s1", 3, 5000), "Paid": (1000, "s1", 1, 2000)}
    assert list(audit.texts["Pay"].views) == [("a:id/pay", "a.Button"), ("a:id/pay2", "a.Button")]
    assert (audit.segments, audit.ms) == (2, 5000)


def test_another_replay_begins_anew() -> None:
    audit = Audit()
    for replay in ("a", "b"):
        audit.feed("s", replay, [*opened(START, box(100, "Pay")), end(START + 10)])
    assert audit.texts["Pay"].count == 2


def test_covers_have_their_share_of_time_and_of_the_screen_and_blocks_their_reason() -> None:
    audit = Audit()
    events = [
        *opened(START),
        mask(START, [[0, 0, 100, 50, "editable"], [0, 0, 10, 10, "web"]]),
        mask(START + 1000, [[0, 0, 100, 100, "editable"]]),
        mask(START + 2000, [[0, 0, 100, 200, "unstable"]], "unstable"),
        mask(START + 2500, [[0, 0, 10, 10, "web"]]),
        end(START + 4000),
    ]
    audit.feed("s", "a", events)
    assert {rule: (span.count, span.ms) for rule, span in audit.covers.items()} == {
        "editable": (1, 2000),
        "web": (2, 2500),
    }
    assert audit.covers["editable"].area == pytest.approx(0.375)
    assert {reason: (span.count, span.ms) for reason, span in audit.blocked.items()} == {"unstable": (1, 500)}


def test_what_goes_on_over_segments_began_once() -> None:
    audit = Audit()
    for n in range(3):
        at = START + 1000 * n
        audit.feed(f"s{n}", "a", [*opened(at), mask(at + 1, [[0, 0, 50, 200, "editable"]]), end(at + 1000)])
    for n in range(3, 5):
        at = START + 1000 * n
        audit.feed(f"s{n}", "a", [*opened(at), mask(at + 1, [], "secure"), end(at + 1000)])
    assert {rule: (span.count, span.ms) for rule, span in audit.covers.items()} == {"editable": (1, 2997)}
    assert {why: (span.count, span.ms) for why, span in audit.blocked.items()} == {"secure": (1, 1998)}


def test_events_of_another_make_are_passed_over() -> None:
    state = state_at(
        [
            *opened(START),
            rrweb.custom(START, "mask", {"rects": [[0, 0, 1], "x", [0, 0, "a", 1, "r"]], "screen": [0, 1]}),
        ],
        START,
    )
    assert rects_of(state) == []
    assert screen_of(state) is None
    audit = Audit()
    audit.feed("s", "a", [{"type": 5}, {"timestamp": START, "data": None}, *opened(START), mask(START, [])])
    assert audit.ms == 0


def test_a_recorded_film_shows_its_words_and_no_secret() -> None:
    taken = film("shop", seconds=12.0)
    sealed, _ = develop(taken)
    audit = Audit()
    for segment in sealed:
        audit.feed(segment.manifest.id, "a", [orjson.loads(event) for event in segment.events])
    assert "Sign in" in audit.texts
    secrets = {secret.text for frame in taken.truth for secret in frame.secrets if len(secret.text) >= 4}
    assert not any(secret in text for text in audit.texts for secret in secrets)
    assert {"system-ui", "editable"} <= audit.covers.keys()
    assert 0 < audit.covers["system-ui"].area < 0.3
    assert 0 < audit.covers["system-ui"].ms <= audit.ms
