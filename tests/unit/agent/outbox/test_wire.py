from __future__ import annotations

import base64
import gzip
import re
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime, formatdate
from itertools import pairwise

import orjson
import pytest
from fakes.segments import segment
from hypothesis import given
from hypothesis import strategies as st

from agent.model import Delivered, Rejected, Retry
from agent.outbox import wire
from agent.outbox.wire import Answer

NOW_MS = 1_760_000_000_000


def test_one_body_holds_the_events_as_texts_with_pictures_inside() -> None:
    sealed = segment()
    (body,), too_large = wire.bodies(wire.inlined(sealed))
    document = orjson.loads(body.data)
    assert too_large == 0
    assert (document["version"], body.events) == (1, len(sealed.events))
    assert body.data.startswith(b'{"version":1,"events":["{\\"type\\":4,')
    texts = document["events"]
    assert [orjson.loads(text)["timestamp"] for text in texts] == [orjson.loads(e)["timestamp"] for e in sealed.events]
    shown = [base64.b64decode(data) for text in texts for data in re.findall(r"data:image/webp;base64,([^\"]+)", text)]
    assert shown == [sealed.pictures[digest].data for digest in sealed.manifest.pictures]
    assert "picture:" not in str(texts)
    assert gzip.decompress(wire.compress(body)) == body.data


@given(st.lists(st.text(max_size=200).map(str.encode), min_size=1, max_size=30), st.integers(100, 1000))
def test_bodies_split_at_the_limit_and_lose_nothing(events: list[bytes], limit: int) -> None:
    made, too_large = wire.bodies(events, limit)
    assert too_large == 0
    assert all(len(body.data) <= limit or body.events == 1 for body in made)
    texts = [text for body in made for text in orjson.loads(body.data)["events"]]
    assert [text.encode() for text in texts] == events
    assert [body.events for body in made] == [len(orjson.loads(body.data)["events"]) for body in made]
    # No two neighbours would have fitted into one.
    assert all(len(one.data) + len(two.data) > limit for one, two in pairwise(made))


def test_an_event_that_no_server_takes_is_left_out_and_counted() -> None:
    made, too_large = wire.bodies([b"{}", b'"' + b"x" * wire.EVENT_BYTES + b'"', b"[]"])
    assert too_large == 1
    assert [orjson.loads(body.data)["events"] for body in made] == [["{}", "[]"]]
    assert wire.bodies([]) == ([], 0)


def test_query_is_in_order_and_escaped() -> None:
    manifest = replace(segment().manifest, device_id="a b/ü&x=1")
    assert wire.query(manifest) == "device_id=a+b%2F%C3%BC%26x%3D1&session_id=1760000000000&type=replay"


def test_headers_are_those_of_the_contract() -> None:
    head = wire.headers("key", 0.15)
    assert head["Authorization"] == "Bearer key"
    assert head["Content-Type"] == "application/json"
    assert head["Content-Encoding"] == "gzip"
    assert head["X-Client-Sample-Rate"] == "0.15"
    assert head["X-Sampling-Hash-Alg"] == "xxhash32"
    assert re.fullmatch(r"segment/\d.*", head["X-Client-Library"])
    assert "Idempotency-Key" not in head
    assert wire.headers("key", 1.0)["X-Client-Sample-Rate"] == "1"
    assert wire.idempotency("ab" * 16) == {"Idempotency-Key": "ab" * 16}
    assert wire.idempotency("ab" * 16, 2, 3) == {"Idempotency-Key": f"{'ab' * 16};part=2;of=3"}


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0, "0"),
        (0.0001, "0.0001"),
        (0.00001, "0.00001"),
        (1.5e-6, "0.0000015"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (2.5e-8, "2.5e-8"),
        (1e-10, "1e-10"),
    ],
)
def test_a_rate_is_written_as_javascript_writes_numbers(rate: float, text: str) -> None:
    assert wire.headers("key", rate)["X-Client-Sample-Rate"] == text


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_success_is_delivered(status: int) -> None:
    assert wire.classify(Answer(status, {}, " success "), NOW_MS) == Delivered(f"{status} success")


@pytest.mark.parametrize(("code", "word"), [("429", "throttling"), ("4004", "range"), ("4005", "switched off")])
def test_what_a_server_skips_is_done_with_for_the_browser_sdk_and_still_ours_otherwise(code: str, word: str) -> None:
    answer = Answer(200, {wire.SKIP_HEADER: code}, "")
    strict = wire.classify(answer, NOW_MS, strict=True)
    assert isinstance(strict, Delivered)
    assert word in strict.skipped
    assert f"({code})" in strict.skipped
    assert (strict.ends_session, strict.pause_s) == ((False, 60.0) if code == "429" else (True, 0.0))
    ours = wire.classify(answer, NOW_MS)
    assert ours == (Retry(60.0, strict.skipped) if code == "429" else Rejected(strict.skipped, ends_session=True))


def test_an_unknown_skip_code_is_plain_success() -> None:
    assert wire.classify(Answer(200, {wire.SKIP_HEADER: "4711"}, "ok"), NOW_MS) == Delivered("200 ok")


@pytest.mark.parametrize("status", [408, 429, 499, 500, 502, 503, 504, 507, 599])
def test_trouble_that_passes_is_retried(status: int) -> None:
    answer = Answer(status, {"retry-after": "7"}, "busy")
    assert wire.classify(answer, NOW_MS) == Retry(7.0, f"{status} busy")
    # The browser SDK does not read Retry-After.
    assert wire.classify(answer, NOW_MS, strict=True) == Retry(0.0, f"{status} busy")


@pytest.mark.parametrize("status", [300, 301, 302, 307, 308])
def test_a_redirect_is_a_login_page_s_or_a_proxy_s_and_passes(status: int) -> None:
    answer = Answer(status, {"location": "http://portal/", "retry-after": "7"}, "go there")
    assert wire.classify(answer, NOW_MS) == Retry(7.0, f"{status} go there")
    assert wire.classify(answer, NOW_MS, strict=True) == Rejected(f"{status} go there")


@pytest.mark.parametrize("status", [401, 403, 404, 407])
def test_what_is_no_segment_s_fault_bars_all_for_a_while(status: int) -> None:
    assert wire.classify(Answer(status, {}, "no"), NOW_MS) == wire.Barred(0.0, f"{status} no")
    assert wire.classify(Answer(status, {"retry-after": "7"}, "no"), NOW_MS) == wire.Barred(7.0, f"{status} no")
    assert wire.classify(Answer(status, {}, "no"), NOW_MS, strict=True) == Rejected(f"{status} no")


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("status", [100, 400, 402, 413, 422])
def test_all_else_is_rejected(status: int, strict: bool) -> None:
    assert wire.classify(Answer(status, {}, "no"), NOW_MS, strict) == Rejected(f"{status} no")


def test_what_is_too_large_for_a_firewall_is_the_segment_s_own() -> None:
    assert wire.classify(Answer(403, {}, "payload exceeds"), NOW_MS) == Rejected("403 payload exceeds")


@pytest.mark.parametrize(
    ("status", "text", "wanted"),
    [
        (413, "", True),
        (403, "The Payload size\nwould exceed the limit", True),
        (400, "payload exceeds", True),
        (403, "forbidden", False),
        (200, "payload exceeds", False),
        (503, "payload exceeds", False),
    ],
)
def test_too_large_by_status_or_by_the_firewalls_words(status: int, text: str, wanted: bool) -> None:
    assert wire.too_large(Answer(status, {}, text)) is wanted


def date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({}, 0.0),
        ({"retry-after": "120"}, 120.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "soon"}, 0.0),
        ({"retry-after": "²"}, 0.0),
        ({"retry-after": "9" * 400}, 0.0),
        ({"retry-after": date(NOW_MS // 1000 + 90)}, 90.0),
        ({"retry-after": date(NOW_MS // 1000 - 90)}, 0.0),
        # The server's clock is an hour behind ours; its own Date says what it means.
        ({"retry-after": date(NOW_MS // 1000 - 3570), "date": date(NOW_MS // 1000 - 3600)}, 30.0),
        ({"retry-after": date(NOW_MS // 1000 + 90), "date": "yesterday"}, 90.0),
        ({"retry-after": format_datetime(datetime(9999, 12, 31, tzinfo=UTC))}, 1e12),
    ],
)
def test_retry_after_in_both_forms(headers: dict[str, str], wanted: float) -> None:
    found = wire.retry_after(headers, NOW_MS)
    assert found == wanted or (wanted == 1e12 and found > 1e9)


@given(st.text(), st.text())
def test_retry_after_survives_anything(value: str, date: str) -> None:
    assert wire.retry_after({"retry-after": value, "date": date}, NOW_MS) >= 0
