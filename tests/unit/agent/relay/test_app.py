"""The relay as an app meets it: real HTTP on both sides."""

from __future__ import annotations

import asyncio
import errno
import gzip
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.rawserver import Connection, raw_server
from fakes.segment_api import SETTINGS, Say, SegmentApi
from fakes.wait import until

from agent.analytics.enrichment import REPLAY_ID, enrich
from agent.errors import StorageError
from agent.relay import app as module
from agent.relay import upstream as client
from agent.relay.queue import Parcel, open_queue
from agent.relay.server import RelayServer
from agent.relay.upstream import Answer, Outcome, Upstream
from agent.store import disk


def event(number: int, **more: Any) -> dict[str, Any]:
    ids = {"messageId": f"m{number}", "anonymousId": "anon", "integrations": {"Actions Amplitude": {"session_id": 77}}}
    return {"type": "track", "event": f"e{number}", "properties": {"n": number}, **ids, **more}


def batch(*numbers: int, key: str = "KEY") -> bytes:
    events = [event(number) for number in numbers]
    return json.dumps({"batch": events, "sentAt": "2026-01-01T00:00:00.000Z", "writeKey": key, "odd": [1]}).encode()


def names(segment: SegmentApi) -> list[str]:
    return [event["event"] for event in segment.taken]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", 0.05)


def test_a_batch_goes_on_byte_by_byte(relay, segment: SegmentApi) -> None:
    body = batch(1, 2)
    answer = relay.post(body, content_type="application/json; charset=utf-8", x_retry_count="3", user_agent="okhttp/4")
    assert (answer.status_code, answer.content) == (200, b'{"success": true}')
    got = segment.posts[0]
    assert (got.path, got.body) == ("/v1/b", body)
    assert got.headers["content-type"] == "application/json; charset=utf-8"
    assert got.headers["x-retry-count"] == "3"
    assert got.headers["user-agent"] == "okhttp/4"
    assert [(door, event["messageId"]) for door, event in relay.told] == [("PHONE", "m1"), ("PHONE", "m2")]
    assert relay.server.queue.batches == 0


@pytest.mark.parametrize("path", ["/v1/b", "/v1/batch", "/b", "/v1", "/", "/v1/"])
def test_every_address_that_an_sdk_makes_of_the_proxy(relay, segment: SegmentApi, path: str) -> None:
    assert relay.client.post(path, content=batch(1)).status_code == 200
    assert segment.posts[0].path == "/v1/b"


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (429, {"Retry-After": "20"}),
        (503, {"Retry-After": "7"}),
        (500, {}),
        (408, {}),
        (400, {"X-Why": "bad"}),
        (401, {}),
        (501, {}),
        (204, {}),
    ],
)
def test_segments_answer_goes_back_as_it_is(relay, segment: SegmentApi, status: int, headers: dict[str, str]) -> None:
    segment.say(Say(status, headers, b"" if status == 204 else b"words"))
    answer = relay.post(batch(1))
    assert answer.status_code == status
    assert {name: answer.headers[name] for name in headers} == headers
    assert answer.content == (b"" if status == 204 else b"words")
    assert relay.server.queue.batches == 0
    assert len(segment.posts) == 1


@pytest.mark.parametrize("trouble", [Say(reset=True), Say(302, {"Location": "http://portal/"}, take=False)])
def test_without_segments_word_a_batch_is_kept_and_sent_later(relay, segment: SegmentApi, trouble: Say) -> None:
    segment.say(trouble)
    answer = relay.post(batch(1))
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    until(lambda: names(segment) == ["e1"], "the batch to arrive")
    until(lambda: relay.server.queue.batches == 0, "the queue to be empty")
    assert segment.posts[0].body == segment.posts[1].body


def test_a_batch_that_segment_took_is_its_own_however_much_it_says_of_it(relay, segment: SegmentApi) -> None:
    wordy = Say(body=b"x" * 70_000)
    segment.say(wordy, Say(reset=True), wordy)
    answer = relay.post(batch(1))
    assert (answer.status_code, answer.content) == (200, b"")
    assert relay.server.counts["passed on"] == 1
    assert relay.server.queue.batches == 0
    # The same goes for one that waited.
    relay.post(batch(2))
    until(lambda: relay.server.counts.get("sent later") == 1, "the batch to leave the queue")
    assert names(segment) == ["e1", "e2"]


def test_a_hang_is_not_waited_for(start, segment: SegmentApi) -> None:
    relay = start(answer_seconds=0.3)
    segment.say(Say(hang=True))
    assert relay.post(batch(1)).status_code == 200
    until(lambda: names(segment) == ["e1"], "the batch to arrive")
    assert relay.server.counts["kept"] == 1


def test_what_waits_has_the_time_that_its_size_needs(start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LATER_SECONDS", 0.3)

    def script(connection: Connection) -> None:
        if connection.slowly(0.04):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with raw_server(script, parallel=True) as url:
        relay = start(answer_seconds=0.3, upstream=url)
        body = json.dumps({"batch": [event(1, context={"text": "x" * 100_000})], "writeKey": "KEY"}).encode()
        # The app gets its answer as soon as ever.
        assert relay.post(body).json() == {"success": True}
        until(lambda: relay.server.counts.get("sent later") == 1, "the batch to get through")
    assert relay.server.queue.batches == 0


def test_order_is_kept_while_batches_wait(start, segment: SegmentApi) -> None:
    relay = start(answer_seconds=0.3)
    segment.say(Say(hang=True), *[Say(500, take=False)] * 3)
    for number in range(1, 6):
        assert relay.post(batch(number)).status_code == 200
    until(lambda: len(segment.taken) == 5, "all to arrive")
    assert names(segment) == ["e1", "e2", "e3", "e4", "e5"]


def test_another_source_does_not_wait(start, segment: SegmentApi) -> None:
    relay = start(answer_seconds=0.3)
    segment.say(Say(hang=True), Say(429, {"Retry-After": "60"}, take=False))
    relay.post(batch(1))
    until(lambda: len(segment.posts) == 2, "the second try")
    assert relay.post(batch(2, key="OTHER")).status_code == 200
    assert names(segment) == ["e2"]
    assert relay.server.queue.batches == 1


def test_a_waiting_batch_obeys_retry_after(start, segment: SegmentApi) -> None:
    relay = start(answer_seconds=0.3)
    segment.say(Say(reset=True), Say(503, {"Retry-After": "1"}, take=False))
    relay.post(batch(1))
    until(lambda: len(segment.posts) == 2, "the second try")
    assert relay.server.queue.batches == 1
    until(lambda: names(segment) == ["e1"], "the third try")
    assert len(segment.posts) == 3


def test_a_waiting_batch_that_is_refused_is_kept_apart(relay, segment: SegmentApi, tmp_path: Path) -> None:
    segment.say(Say(reset=True), Say(400, take=False))
    relay.post(batch(1))
    relay.post(batch(2))
    until(lambda: relay.server.queue.refused == 1, "the refusal")
    until(lambda: names(segment) == ["e2"], "the next batch")
    kept = list(tmp_path.rglob("refused/*.batch"))
    assert len(kept) == 1
    assert b"m1" in kept[0].read_bytes()


def test_a_disk_that_fails_for_a_while_is_tried_again(
    relay, segment: SegmentApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.05)
    segment.say(Say(reset=True), *[Say(503, take=False)] * 30)
    relay.post(batch(1))
    (file,) = tmp_path.rglob("*.batch")
    away = file.rename(tmp_path / "away")
    file.mkdir()
    until(lambda: "the relay's queue" in caplog.text, "the word of it")
    assert relay.server.queue.batches == 1
    file.rmdir()
    away.rename(file)
    until(lambda: names(segment) == ["e1"], "the batch to arrive")


def test_a_fault_of_our_own_ends_no_lane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.01)

    class Faulty(Upstream):
        async def send_later(self, parcel: Parcel) -> Outcome:
            if not caplog.records:
                raise RuntimeError("not thought of")
            return Answer(200, (), b"")

    async def run() -> int:
        upstream = Faulty(tmp_path)
        relay = module.Relay(queue, upstream, lambda door, events: None, None)
        # Ends when no lane is left.
        async with asyncio.timeout(10), asyncio.TaskGroup() as lanes:
            relay.begin(lanes)
        await upstream.aclose()
        return relay.counts["sent later"]

    with closing(open_queue(tmp_path)) as queue:
        queue.put(Parcel("KEY", (), batch(1), 1))
        assert asyncio.run(run()) == 1
    assert "not thought of" in caplog.text


def test_a_full_disk_is_no_promise(relay, segment: SegmentApi, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    segment.say(Say(reset=True))
    monkeypatch.setattr(disk.os, "fsync", full)
    answer = relay.post(batch(1))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert relay.server.counts["not kept"] == 1
    assert "No room" in caplog.text


def test_what_cannot_be_read_is_segments_to_judge(relay, segment: SegmentApi) -> None:
    segment.say(Say(400, body=b"no JSON", take=False))
    answer = relay.post(b"\x00{nonsense")
    assert (answer.status_code, answer.content) == (400, b"no JSON")
    assert segment.posts[0].body == b"\x00{nonsense"
    assert relay.told == []


@pytest.mark.parametrize(
    "fault", [StorageError("The output cannot be written.", "Send it to a file."), TypeError("no")]
)
def test_a_batch_that_cannot_be_told_goes_on(
    start, segment: SegmentApi, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    def tell(door: str, events: object) -> None:
        raise fault

    with RelayServer(tmp_path / "mute", tell, upstream=segment.url) as server:
        answer = httpx.post(f"http://localhost:{server.open('PHONE')}/v1/b", content=batch(1))
        assert server.counts["untold"] == 1
    assert answer.status_code == 200
    assert names(segment) == ["e1"]
    assert "could not be told" in caplog.text
    assert ("Traceback" in caplog.text) == isinstance(fault, TypeError)


def test_a_body_beyond_all_measure(relay, segment: SegmentApi) -> None:
    assert relay.post(b" " * (module.BODY_BYTES + 1)).status_code == 413
    assert segment.posts == []


def test_a_gzip_body_goes_on_as_it_came(relay, segment: SegmentApi) -> None:
    body = gzip.compress(batch(1))
    assert relay.post(body, content_encoding="gzip").status_code == 200
    assert segment.posts[0].body == body
    assert segment.posts[0].headers["content-encoding"] == "gzip"
    assert relay.told[0][1]["messageId"] == "m1"


def test_a_bomb_goes_on_unread(relay, segment: SegmentApi) -> None:
    segment.say(Say(400, take=False))
    assert relay.post(gzip.compress(bytes(60_000_000)), content_encoding="gzip").status_code == 400
    assert relay.told == []


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_enrichment_is_all_that_changes(start, segment: SegmentApi, encoding: str) -> None:
    relay = start(enrich=enrich)
    body = batch(1)
    headers = {"content_encoding": encoding} if encoding else {}
    relay.post(gzip.compress(body) if encoding else body, **headers)
    assert "content-encoding" not in segment.posts[0].headers
    wanted = json.loads(body)
    wanted["batch"][0]["properties"][REPLAY_ID] = "anon/77"
    assert json.loads(segment.posts[0].body) == wanted
    # The recording shows the event as the app made it.
    assert relay.told[0][1] == event(1)


def test_a_waiting_batch_is_enriched_once(start, segment: SegmentApi) -> None:
    relay = start(enrich=enrich)
    segment.say(Say(reset=True))
    relay.post(batch(1))
    until(lambda: len(segment.posts) == 2, "the second try")
    assert segment.posts[0].body == segment.posts[1].body
    assert segment.posts[0].body.count(REPLAY_ID.encode()) == 1


@pytest.mark.parametrize("path", ["/v1/projects/KEY/settings", "/v1/KEY/settings", "/projects/KEY/settings"])
def test_settings_pass_through(relay, segment: SegmentApi, path: str) -> None:
    answer = relay.client.get(path, headers={"if-none-match": "x", "cache-control": "no-cache"})
    assert answer.json() == SETTINGS
    got = segment.got[0]
    assert got.path == "/v1/projects/KEY/settings"
    assert "if-none-match" not in got.headers
    assert got.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "trouble", [Say(500), Say(reset=True), Say(body=b"<html>"), Say(302), Say(429), Say(body=b"[]")]
)
def test_settings_of_yesterday_are_better_than_none(relay, segment: SegmentApi, trouble: Say) -> None:
    assert relay.client.get("/v1/projects/KEY/settings").json() == SETTINGS
    segment.settings = trouble
    assert relay.client.get("/v1/projects/KEY/settings").json() == SETTINGS
    other = relay.client.get("/v1/projects/OTHER/settings")
    assert other.status_code == (503 if trouble.reset else trouble.status)


def test_a_source_that_is_gone_is_gone(relay, segment: SegmentApi) -> None:
    relay.client.get("/v1/projects/KEY/settings")
    segment.settings = Say(404)
    assert relay.client.get("/v1/projects/KEY/settings").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/v1/projects/../../etc/passwd/settings",
        "/v1/projects/..%2f..%2fetc/settings",
        "/v1/projects/%2e%2e/settings/../../x",
        "/v1/projects/a b/settings",
        "/v1/projects/a%0d%0aX-Y:1/settings",
        "/v1/projects/KEY/settings/more",
        "/http://169.254.169.254/latest",
        "//evil.example/v1/projects/KEY/settings",
        "/v1/m",
    ],
)
def test_no_other_path_leads_anywhere(relay, segment: SegmentApi, path: str) -> None:
    request = relay.client.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.replace(" ", "%20").encode())
    assert relay.client.send(request).status_code in {404, 405}
    assert segment.got == []


def test_other_methods(relay, segment: SegmentApi) -> None:
    assert relay.client.head("/v1/projects/KEY/settings").status_code == 200
    assert relay.client.head("/v1/projects/KEY/settings").content == b""
    assert relay.client.options("/v1/b").status_code == 405
    assert relay.client.put("/v1/b", content=b"x").status_code == 405
    assert relay.client.get("/v1/b").status_code in {404, 405}
    assert segment.posts == []


def test_neither_another_sites_name_nor_a_page_reaches_it(relay, segment: SegmentApi) -> None:
    assert relay.client.post("/v1/b", content=batch(1), headers={"host": "evil.example"}).status_code == 400
    assert relay.post(batch(1), sec_fetch_site="cross-site").status_code == 403
    assert segment.posts == []
    assert relay.told == []


def test_health(relay) -> None:
    assert relay.client.get("/healthz").json() == {"service": "relay", "waiting": 0, "refused": 0}


def test_secrets_are_not_logged(relay, segment: SegmentApi, caplog: pytest.LogCaptureFixture) -> None:
    segment.say(Say(reset=True), Say(400, take=False))
    relay.post(batch(1, key="SECRETKEY"), authorization="Basic U0VDUkVUS0VZOg==")
    until(lambda: relay.server.queue.refused == 1, "the refusal")
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("agent")]
    assert ours
    assert not any("SECRETKEY" in text or "U0VDU" in text or "m1" in text for text in ours)
    assert segment.posts[1].headers["authorization"] == "Basic U0VDUkVUS0VZOg=="


def test_two_phones_on_one_relay(relay, segment: SegmentApi, start: Callable[..., Any]) -> None:
    import httpx

    other = relay.server.open("OTHER")
    assert other != relay.client.base_url.port
    assert relay.server.open("OTHER") == other
    httpx.post(f"http://localhost:{other}/v1/b", content=batch(2))
    relay.post(batch(1))
    assert [(door, event["messageId"]) for door, event in relay.told] == [("OTHER", "m2"), ("PHONE", "m1")]


@pytest.mark.parametrize("header", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_what_a_page_of_another_site_posts_is_refused(relay, segment: SegmentApi, header: dict[str, str]) -> None:
    assert relay.client.post("/v1/b", content=batch(1), headers=header).status_code == 403
    assert segment.posts == []
    assert relay.told == []
    assert relay.server.queue.batches == 0
