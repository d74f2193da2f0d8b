"""The relay over a real adb server and emulated phones, and over kill -9."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from fakes.recorder import SHOP, Recorder
from fakes.relaying import RelayProcess, free_port
from fakes.segment_api import SETTINGS, Say, SegmentApi
from fakes.wait import until

from agent.store.recording import Recording
from bridge.emulated.lab import Lab

PORT = 8378


def event(number: int, **more: Any) -> dict[str, Any]:
    return {"type": "track", "event": f"e{number}", "messageId": f"m{number}", "properties": {"n": number}, **more}


def body(*events: dict[str, Any]) -> bytes:
    return json.dumps({"batch": events, "sentAt": "2026-01-01T00:00:00.000Z", "writeKey": "KEY"}).encode()


def from_phone(lab: Lab, index: int, request: str, content: bytes = b"") -> tuple[int, bytes]:
    """What an app on the phone does: HTTP to localhost, through the phone's own sockets. Status and body."""

    async def ask() -> bytes:
        reader, writer = await lab.phones[index].connect(f"tcp:{PORT}")
        lines = [
            f"{request} HTTP/1.1",
            f"Host: localhost:{PORT}",
            "Connection: close",
            f"Content-Length: {len(content)}",
        ]
        head = "\r\n".join([*lines, "", ""])
        writer.write(head.encode() + content)
        await writer.drain()
        data = await reader.read()
        writer.close()
        return data

    head, _, said = lab.call(ask).partition(b"\r\n\r\n")
    return int(head.split()[1]), said


def led(lab: Lab, index: int) -> str | None:
    return lab.call(lambda: lab.phones[index].reverses.get(f"tcp:{PORT}"))


def relaying(lab: Lab, segment: SegmentApi, folder: Path, *options: str) -> RelayProcess:
    given = ("--all", "--upstream", segment.url, "--folder", str(folder), "--json")
    return RelayProcess(*given, *options, env=lab.environment)


def test_phones_reach_segment_through_adb_reverse(tmp_path: Path) -> None:
    with SegmentApi() as segment, Lab(2, autopilot=False) as lab, relaying(lab, segment, tmp_path) as relay:
        until(lambda: led(lab, 0) and led(lab, 1), "the listeners", 20)
        assert led(lab, 0) != led(lab, 1)
        status, said = from_phone(lab, 0, "GET /v1/projects/KEY/settings")
        assert (status, json.loads(said)) == (200, SETTINGS)
        for index in (0, 1):
            assert from_phone(lab, index, "POST /v1/b", body(event(index)))[0] == 200
        assert [taken["event"] for taken in segment.taken] == ["e0", "e1"]
        until(lambda: len(relay.out) == 2, "the events")
        told = {fact["serial"]: fact["event"]["messageId"] for fact in map(json.loads, relay.out)}
        assert told == {lab.serials[0]: "m0", lab.serials[1]: "m1"}
        assert relay.end() == 0
        assert [led(lab, 0), led(lab, 1)] == [None, None]


def test_the_way_is_made_again_after_a_reboot(tmp_path: Path) -> None:
    with SegmentApi() as segment, Lab(1, autopilot=False) as lab, relaying(lab, segment, tmp_path):
        until(lambda: led(lab, 0), "the listener", 20)
        first = led(lab, 0)
        lab.fault("reboot@0:1")
        until(lambda: led(lab, 0) is None, "the phone to go down", 20)
        until(lambda: led(lab, 0), "the listener again", 60)
        assert led(lab, 0) == first
        assert from_phone(lab, 0, "POST /v1/b", body(event(1)))[0] == 200
        assert [taken["event"] for taken in segment.taken] == ["e1"]


def test_a_relay_that_is_killed_and_started_again_loses_nothing(tmp_path: Path) -> None:
    """kill -9 while batches are on their way, on disk, and answered: an app that tries again until 2xx."""
    port, numbers = free_port(), range(60)
    with SegmentApi() as segment:
        # A hang costs ten seconds of somebody's time.
        segment.say(Say(take=True), Say(hang=True, take=True))
        for trouble in (Say(reset=True), Say(503, take=False), Say(reset=True, take=True), Say(500, take=False)) * 4:
            segment.say(trouble, Say())
        options = ("--listen", str(port), "--upstream", segment.url, "--folder", str(tmp_path))
        relay = RelayProcess(*options)
        promised: list[int] = []

        def app(mine: range) -> None:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                for number in mine:
                    while True:
                        try:
                            answer = client.post("/v1/b", content=body(event(number)))
                        except httpx.HTTPError:
                            continue
                        if answer.is_success:
                            promised.append(number)
                            break

        apps = [threading.Thread(target=app, args=(numbers[start::3],)) for start in range(3)]
        for thread in apps:
            thread.start()
        try:
            for count in (2, 6, 20):
                until(lambda count=count: len(promised) >= count, f"{count} promises", 60)
                relay.kill()
                relay = RelayProcess(*options)
            for thread in apps:
                thread.join(90)
            assert sorted(promised) == list(numbers)
            until(lambda: {taken["messageId"] for taken in segment.taken} == {f"m{n}" for n in numbers}, "all", 60)
        finally:
            relay.end()
        by_id: dict[str, dict[str, Any]] = {}
        for taken in segment.taken:
            assert by_id.setdefault(taken["messageId"], taken) == taken
        assert by_id == {f"m{number}": event(number) for number in numbers}
        assert not list(tmp_path.rglob("refused/*.batch")) + list(tmp_path.rglob("damaged/*.batch"))


def test_attach_puts_uploads_beside_the_log_each_event_once(tmp_path: Path) -> None:
    """The phone's app prints its events and uploads them a while later; one of them was never printed."""
    posted: list[str] = []

    with SegmentApi() as segment, Lab(1, profile="small", scenario="shop") as lab:
        flags = {
            "relay.upstream": segment.url,
            "relay.folder": tmp_path / "relay",
            "relay.enrichment": "legacy",
        }
        recorder = Recorder(lab, tmp_path, flags)

        def app() -> None:
            recorder.until(lambda: led(lab, 0), "the listener", 40)
            # What was sent before the recording began is no part of it.
            recorder.wait(lab.serials[0], lambda now: now["frames"] > 0, "a picture")
            known: Callable[[], list[Any]] = lambda: lab.sent()[lab.serials[0]]  # noqa: E731
            start = len(known())
            recorder.until(lambda: len(known()) > start, "events", 40)
            threading.Event().wait(2)
            sent = known()[-1]
            when = _iso(sent.wall_ms)
            ids = {
                "timestamp": when,
                "anonymousId": sent.device_id,
                "integrations": {"Actions Amplitude": {"session_id": sent.session_id}},
            }
            seen = {"type": "track", "event": sent.name, "messageId": sent.message_id, "properties": {}, **ids}
            silent = event(1, **ids, context={"app": {"namespace": SHOP}})
            foreign = event(2, **ids, context={"app": {"namespace": "com.other"}})
            assert from_phone(lab, 0, "POST /v1/b", body(seen, silent, foreign))[0] == 200
            posted.extend((sent.message_id, f"{sent.device_id}/{sent.session_id}"))
            recorder.until(lambda: segment.posts, "the batch at Segment")

        summary, _ = recorder.record([app], every=False, relay=True)
    assert len(posted) == 2
    assert summary["relay"]["passed on"] == 1
    (upload,) = segment.posts
    assert [one["properties"].get("[Amplitude] Session Replay ID") for one in upload.batch] == [posted[1]] * 3
    replays = Recording.open(tmp_path / "replays")
    shown: Counter[str] = Counter()
    for manifest in replays.manifests():
        for line in replays.events(manifest.id):
            data = json.loads(line)["data"]
            if str(data.get("tag", "")).startswith("segment:"):
                shown[data["payload"]["messageId"]] += 1
    assert shown["m1"] == 1
    assert shown["m2"] == 0
    assert shown[posted[0]] == 1
    assert set(shown.values()) == {1}


def _iso(wall_ms: int) -> str:
    return datetime.fromtimestamp(wall_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
