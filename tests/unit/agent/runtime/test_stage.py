from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import orjson
import pytest
from fakes.device import APP, FakeDevice
from fakes.lines import entry, event_line
from fakes.views import at
from PIL import Image

from agent.analytics.gate import Gate
from agent.analytics.remote import Remote
from agent.analytics.sampling import in_sample
from agent.errors import ConfigError, StorageFull
from agent.model import Draft, Loss, Picture, Relayed, SealedSegment, Snapshot
from agent.privacy import rule
from agent.replay.canvas import COVER
from agent.replay.segment import draft_id, recovered
from agent.replay.validator import validate
from agent.runtime import stage
from agent.runtime.stage import Stage
from agent.runtime.status import DeviceStatus
from agent.settings import Plugin, Privacy, Replay, Settings
from bridge.deadline import Deadline
from bridge.errors import CaptureFailed
from bridge.types import ClockFix, Foreground, Gap, LogEntry, Size, Stamp, Touch

SESSION = 1_760_000_000_123


class Bench:
    """A stage with a clock that a test sets."""

    def __init__(self, package: str | None = APP, gate: Gate | None = None, settings: Settings | None = None) -> None:
        self.seconds = 10.0
        self.kept: list[SealedSegment] = []
        self.status = DeviceStatus("fake-1")
        self.device = FakeDevice("fake-1", self.now)
        self.keep: Callable[[SealedSegment], None] = self.kept.append
        self.stage = Stage(
            package, settings or Settings(), lambda sealed: self.keep(sealed), self.status, self.now, gate=gate
        )
        self.freed = 0

    def now(self) -> Stamp:
        return at(self.seconds)

    def snapshot(self, seconds: float) -> tuple[Snapshot, Callable[[], None]]:
        self.seconds = seconds
        before = self.device.trees.dump(Deadline(1))
        frame = self.device.screens.capture(Deadline(1))
        return Snapshot(frame, before, self.device.trees.dump(Deadline(1))), self.free

    def free(self, blocked: str) -> None:
        self.freed += 1

    def everything(self) -> bytes:
        return b"".join(event for sealed in self.kept for event in sealed.events)


def test_events_give_the_segment_its_ids() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    bench.stage.process([bench.snapshot(10.1), event_line(at(10.2), SESSION, "device-a", "m-1"), bench.snapshot(11.0)])
    bench.stage.advance(at(20))
    bench.stage.finish()
    (sealed,) = bench.kept
    assert (sealed.manifest.session_id, sealed.manifest.device_id) == (SESSION, "device-a")
    assert sealed.manifest.counts.frames == 2
    assert (bench.status.frames, bench.status.events, bench.status.segments) == (2, 1, 1)
    assert bench.freed == 2
    assert sealed.manifest.device["package"] == APP


@pytest.mark.parametrize("set_ms", [3_600_000, -3_600_000])
def test_a_host_clock_that_is_set_is_told_by_each_phone_whoever_measured_it(set_ms: int) -> None:
    bench = Bench()
    moved = 0

    def now() -> Stamp:
        return replace(at(bench.seconds), wall_ms=at(bench.seconds).wall_ms + moved)

    bench.device = FakeDevice("fake-1", now)
    bench.stage = Stage(APP, Settings(), bench.kept.append, bench.status, now)
    bench.stage.attach(bench.device)
    for seconds in range(10, 80):
        bench.seconds = seconds
        moved = set_ms if seconds >= 30 else 0
        pictures = [bench.snapshot(seconds)] if seconds % 10 == 0 else []
        # What was on its way then bears a time of the clock as it was.
        late = [event_line(at(29.9), SESSION, "device-a", "m-late")] if seconds == 30 else []
        bench.stage.process([*late, event_line(now(), SESSION, "device-a", f"m-{seconds}"), *pictures])
        bench.stage.advance(now())
    bench.stage.finish()
    first, *later = [sealed.manifest for sealed in bench.kept]
    assert first.reason == "clock"
    assert first.end_ms <= at(32).wall_ms
    assert later
    assert sum(manifest.counts.events for manifest in (first, *later)) == 71
    assert len(later) == 2
    for manifest in later:
        assert at(28).wall_ms + set_ms <= manifest.start_ms < manifest.end_ms <= at(82).wall_ms + set_ms
    assert bench.everything().count(b'"host clock set"') == 1
    assert f"by {set_ms / 1000:+.3f} s".encode() in bench.everything()


@pytest.mark.parametrize("shown", [True, False])
def test_a_keyboard_that_only_the_window_manager_tells_of_is_covered(shown: bool) -> None:
    bench = Bench(settings=Settings.model_validate({"capture": {"quality": "text"}}))
    bench.stage.attach(bench.device)
    bench.stage.process([event_line(at(10.2), SESSION, "device-a", "m-1")])
    for seconds in (11, 12, 13):
        bench.seconds = seconds
        front = Foreground(at(seconds + 0.5), APP, f"{APP}.Main", shown, 0)
        bench.stage.process([bench.device.trees.dump(Deadline(1)), front])
    bench.stage.finish()
    assert bench.kept[0].manifest.device["screen"] == "none"
    assert (b'"keyboard"' in b"".join(e for e in bench.kept[0].events if b'"rects"' in e)) is shown


def test_what_is_shown_of_another_user_s_app_is_of_that_one_s_session() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    bench.stage.process([event_line(at(10.2), SESSION, "device-a", "m-1"), bench.snapshot(11)])
    bench.stage.advance(at(15))
    bench.stage.process([Foreground(at(20), APP, f"{APP}.Main", False, 0, user=10)])
    bench.stage.process([bench.snapshot(21), bench.snapshot(23)])
    bench.stage.advance(at(26))
    assert bench.status.frames == 3
    line = replace(event_line(at(27), SESSION + 9000, "device-b", "m-2"), uid=1_010_123)
    bench.stage.process([line, bench.snapshot(28)])
    bench.stage.finish()
    frames = {sealed.manifest.device_id: sealed.manifest.counts.frames for sealed in bench.kept}
    assert frames == {"device-a": 1, "device-b": 3}


def test_the_last_moments_before_another_user_s_app_stay_with_their_session() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    bench.stage.process([event_line(at(10.2), SESSION, "device-a", "m-1"), bench.snapshot(11)])
    bench.stage.process([bench.snapshot(19), event_line(at(19.5), SESSION, "device-a", "m-2"), bench.snapshot(19.8)])
    bench.stage.process([Foreground(at(20), APP, f"{APP}.Main", False, 0, user=10), bench.snapshot(21)])
    bench.stage.advance(at(60))
    bench.stage.finish()
    (sealed,) = bench.kept
    assert (sealed.manifest.counts.frames, sealed.manifest.counts.events) == (3, 2)
    assert sealed.manifest.end_ms < at(21).wall_ms
    # That it came to the front, and a picture.
    assert bench.status.losses["timeline: no session"] == 2


@pytest.mark.parametrize("heard", [True, False], ids=["by the log", "by the package manager"])
def test_an_app_that_is_installed_anew_is_followed(heard: bool) -> None:
    """As test runners do between two tests: the system gives it another uid, and the app itself other ids."""
    bench = Bench()
    bench.stage.attach(bench.device)
    bench.stage.process([bench.snapshot(10.1), event_line(at(10.2), SESSION, "device-a", "m-1"), bench.snapshot(11.0)])
    if heard:
        system = replace(event_line(at(20), SESSION, "", ""), uid=1000, tag="ActivityManager")
        bench.stage.process([replace(system, message=f"Start proc 4711:{APP}/u0a124 for next-top-activity")])
    else:
        bench.device.uid = 10124
        bench.stage.attach(bench.device)
    second = SESSION + 20_000
    for n in range(21, 40):
        entry = replace(event_line(at(n), second, "device-b", f"n-{n}"), uid=10124, pid=4711)
        bench.stage.process([entry, bench.snapshot(n + 0.5)])
    bench.stage.finish()
    told = {(sealed.manifest.session_id, sealed.manifest.device_id): sealed.manifest.counts for sealed in bench.kept}
    assert {ids: counts.events for ids, counts in told.items()} == {(SESSION, "device-a"): 1, (second, "device-b"): 19}
    assert told[SESSION, "device-a"].frames == 2
    assert bench.status.logs == 20


def test_what_is_written_is_appended_every_second_and_makes_the_segment_if_nobody_seals_it() -> None:
    bench = Bench()
    appended: list[Draft] = []
    told = [Loss("spool", "a segment", 2)]
    taken: list[Loss] = []

    def lost() -> list[Loss]:
        taken[:], told[:] = told, []
        return taken

    bench.stage = Stage(APP, Settings(), bench.kept.append, bench.status, bench.now, append=appended.append, lost=lost)
    bench.stage.attach(bench.device)
    bench.stage.process([event_line(at(10.1), SESSION, "device-a", "m-1")])
    for seconds in range(11, 31):
        bench.stage.process([bench.snapshot(seconds), event_line(at(seconds), SESSION, "device-a", f"m-{seconds}")])
        bench.stage.advance(bench.now())
    assert bench.kept == []
    assert 10 < len(appended) <= 20
    events = [event for draft in appended for event in draft.events]
    pictures = {digest: shown for draft in appended for digest, shown in draft.pictures.items()}
    assert len({draft_id(draft.manifest) for draft in appended}) == 1
    # The recorder waits two seconds before it writes, and appends once a second.
    assert b'"m-27"' in b"".join(events)
    made = recovered(appended[-1].manifest, events, pictures)
    assert validate(made.events, made.pictures) == []
    assert Loss("spool", "a segment", 2) in made.manifest.losses
    assert made.manifest.counts.events == sum(b"segment:track" in event for event in made.events)
    bench.stage.finish()
    (sealed,) = bench.kept
    assert draft_id(sealed.manifest) == draft_id(appended[0].manifest)
    assert set(events) < set(sealed.events)
    assert sealed.manifest.losses == (Loss("spool", "a segment", 2),)


def test_what_it_cost_is_in_the_manifests() -> None:
    """Of all segments together what the status has of all; captured bytes go on over a loss of the device."""
    bench = Bench()
    appended: list[Draft] = []
    share = [0, 0]
    bench.stage = Stage(
        APP,
        Settings.model_validate({"replay": {"segment_seconds": 5}}),
        bench.kept.append,
        bench.status,
        bench.now,
        append=appended.append,
        share=lambda: (share[0], share[1]),
    )
    bench.stage.attach(bench.device)
    for seconds in range(11, 31):
        share[:] = share[0] + 20, share[1] + 300
        bench.device.received += 5000
        if seconds == 20:
            bench.device = FakeDevice("fake-1", bench.now)
            bench.stage.attach(bench.device)
        bench.stage.process([bench.snapshot(seconds), event_line(at(seconds), SESSION, "device-a", f"m-{seconds}")])
        if seconds in (15, 25):
            failed = Gap(at(seconds), at(seconds), "screen", "CaptureFailed", "")
            bench.stage.process([failed, replace(failed, calls=0)])
        bench.stage.advance(bench.now())
    bench.stage.finish()
    total = bench.status.cost
    assert (total.cpu_ms, total.uploaded, total.captured) == (400, 6000, 100_000)
    assert (total.taken, total.lost) == (bench.status.frames, 2) == (20, 2)
    assert total.blocked == bench.status.blocked
    costs = [sealed.manifest.cost for sealed in bench.kept]
    assert len(costs) >= 4
    for name in ("cpu_ms", "uploaded", "captured", "taken", "blocked", "lost"):
        assert sum(getattr(cost, name) for cost in costs) == getattr(total, name)
        assert all(getattr(cost, name) >= 0 for cost in costs)
    assert [cost.lost for cost in costs].count(1) == 2
    # Drafts are written, too, and what is sealed last.
    drafts = sum(len(event) for draft in appended for event in draft.events)
    drafts += sum(len(shown.data) for draft in appended for shown in draft.pictures.values())
    assert total.written == drafts + sum(sealed.manifest.bytes for sealed in bench.kept)
    # An open segment tells it, too, should it stay open.
    assert any(draft.manifest.cost.cpu_ms > 0 for draft in appended)


def test_an_event_before_the_attach_names_the_session_and_is_no_part_of_it() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    bench.stage.process([event_line(at(4), SESSION, "device-a", "m-old", name="Long ago"), bench.snapshot(11)])
    bench.stage.advance(at(20))
    bench.stage.finish()
    (sealed,) = bench.kept
    assert sealed.manifest.session_id == SESSION
    assert sealed.manifest.counts.events == 0
    assert b"Long ago" not in bench.everything()


def test_another_app_s_events_do_not_count() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    bench.stage.process([event_line(at(11), 99, "thief", "m-1", uid=10999), bench.snapshot(11)])
    bench.stage.advance(at(20))
    bench.stage.finish()
    assert bench.kept == []
    assert bench.status.session_id is None


def test_what_other_apps_log_is_not_recorded() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    own = [event_line(at(11), SESSION, "device-a", "m-1"), entry(at(11.2), "ours")]
    unknown = replace(entry(at(11.4), "nobody's"), uid=None)
    bench.stage.process([*own, entry(at(11.3), "theirs", uid=10999), unknown, bench.snapshot(12)])
    bench.stage.advance(at(20))
    bench.stage.finish()
    assert b"ours" in bench.everything()
    assert b"theirs" not in bench.everything()
    assert b"nobody's" not in bench.everything()
    assert bench.status.logs == 2


def test_the_pieces_of_an_event_s_text_are_not_recorded_beside_it() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    bench.stage.process([event_line(at(11), SESSION, "device-a", "m-1")])
    text = json.dumps({"type": "track", "event": "Paid", "messageId": "m-2", "properties": {"note": "mail anna@exam"}})
    pieces = [entry(at(11.2), f"SegmentReplay/1 m-2 {i + 1}/2 {part}") for i, part in enumerate((text[:90], text[90:]))]
    bench.stage.process([*pieces, entry(at(11.4), "ours"), bench.snapshot(12)])
    bench.stage.advance(at(20))
    bench.stage.finish()
    assert b"Paid" in bench.everything()
    assert b"SegmentReplay/1 m-2 2/2" in bench.everything()
    told = [json.loads(e)["data"]["payload"]["payload"][0] for e in bench.kept[0].events if b'"type":6' in e]
    assert not any("note" in line or "anna" in line for line in told)


def test_no_touch_is_told_before_the_first_dump() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    touches = [Touch(at(t), kind, 0, 500, 900) for t, kind in ((11, "down"), (11.1, "up"), (17, "down"), (17.1, "up"))]
    bench.stage.process([event_line(at(10.5), SESSION, "device-a", "m-1"), *touches[:2], bench.snapshot(15)])
    bench.stage.process(touches[2:])
    bench.stage.advance(at(25))
    bench.stage.finish()
    assert sum(sealed.manifest.counts.touches for sealed in bench.kept) == 2
    assert bench.status.losses == {"touch: where typing would show": 2}


@pytest.mark.parametrize("stopped", [False, True])
def test_a_finger_that_drags_the_app_off_is_known_even_if_it_came_while_stopped(stopped: bool) -> None:
    gate = Gate()
    bench = Bench(gate=gate)
    bench.stage.attach(bench.device)
    bench.stage.process([event_line(at(10.5), SESSION, "device-a", "m-1")])

    def blocked(tenth: int) -> int:
        before = bench.status.blocked
        bench.stage.process([bench.snapshot(tenth / 10)])
        return bench.status.blocked - before

    assert [blocked(tenth) for tenth in range(110, 121, 2)][-2:] == [0, 0]
    if stopped:
        gate.stop()
    bench.stage.process([Touch(at(12.1), "down", 0, 60, 239), Touch(at(12.2), "move", 0, 60, 100)])
    gate.start()
    assert [blocked(tenth) for tenth in (123, 125)] == [1, 1]
    bench.stage.process([Touch(at(12.6), "up", 0, 60, 100)])
    assert [blocked(tenth) for tenth in range(127, 140, 2)] == [1, 1, 1, 0, 0, 0, 0]


def test_an_event_held_for_a_fuller_one_comes_out_when_no_line_follows() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    bench.stage.process([entry(at(11), "'TRACK event saved', { type: 'track', event: 'Opened', properties: {} }")])
    assert bench.status.events == 0
    bench.stage.advance(at(14))
    assert bench.status.events == 1


def test_the_line_of_an_event_that_is_held_says_no_more_than_the_event_however_late_the_log_is() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    moved = "'TRACK event saved', { type: 'track', event: 'Moved', properties: { address: { line1: 'Elm Road 5' } } }"
    bench.stage.process([event_line(at(10.5), SESSION, "device-a", "m-1"), bench.snapshot(11.0)])
    bench.stage.advance(at(13.4))
    bench.stage.process([entry(at(11.5), moved), bench.snapshot(13.6), Foreground(at(14.0), APP, ".Main", False, 0)])
    bench.stage.advance(at(20))
    bench.stage.finish()
    assert b"Moved" in bench.everything()
    assert b"TRACK event saved" in bench.everything()
    assert b"Elm" not in bench.everything()


def test_frames_that_are_no_picture_are_a_gap_and_free_their_lane() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    snapshot, free = bench.snapshot(11)
    broken = Snapshot(
        type(snapshot.frame)(at(11), 0, Size(5, 5), Size(5, 5), 0, "image/png", b"\x89PNG\r\n\x1a\nhalf", 1, "fake"),
        None,
        None,
    )
    bench.stage.process([(broken, free), event_line(at(11.5), SESSION, "device-a", "m-1"), bench.snapshot(12)])
    bench.stage.advance(at(20))
    bench.stage.finish()
    assert bench.freed == 2
    assert bench.status.gaps == 1
    assert bench.status.gap_reasons == {"screen: FrameMalformed": 1}
    assert bench.status.frames == 1
    assert b"FrameMalformed" in bench.everything()


def test_a_package_that_is_not_there_is_the_user_s_error() -> None:
    bench = Bench("com.example.absent")
    with pytest.raises(ConfigError, match=r"com\.example\.absent is not installed on fake-1"):
        bench.stage.attach(bench.device)


def test_without_a_package_an_app_in_front_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(package=None)
    bench.device.fronts = ["", ""]
    bench.stage.attach(bench.device)
    assert bench.status.package == APP
    # Any app would be taken for the one without a name.
    bench = Bench(package=None)
    bench.device.fronts = [""] * 1000
    monkeypatch.setattr(stage, "FRONT_SECONDS", 0.0)
    with pytest.raises(CaptureFailed, match="no app is in front"):
        bench.stage.attach(bench.device)


def test_an_app_in_front_whose_lines_nobody_can_tell_is_not_recorded() -> None:
    bench = Bench(package=None)
    bench.device.fronts = ["com.example.unlisted"]
    with pytest.raises(CaptureFailed, match="whose log lines"):
        bench.stage.attach(bench.device)


def test_without_a_package_the_app_in_front_is_recorded() -> None:
    bench = Bench(None)
    bench.stage.attach(bench.device)
    assert bench.status.package == APP


def test_a_full_disk_ends_the_stage_loudly() -> None:
    bench = Bench()

    def full(sealed: SealedSegment) -> None:
        raise StorageFull("No room.", "Free some.")

    bench.keep = full
    bench.stage.attach(bench.device)
    bench.stage.process([bench.snapshot(11), event_line(at(11.5), SESSION, "device-a", "m-1"), bench.snapshot(12)])
    with pytest.raises(StorageFull):
        bench.stage.finish()


def test_facts_are_counted() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    bench.stage.process(
        [
            Touch(at(11), "down", 0, 5, 5),
            Touch(at(11.1), "up", 0, 5, 5),
            Gap(at(11), at(12), "log", "overwritten"),
            ClockFix(at(12), 0, 3_000_000, 0, 3_000_000),
            entry(at(12), "hello"),
        ]
    )
    assert (bench.status.touches, bench.status.gaps, bench.status.logs) == (1, 1, 1)
    assert bench.status.clock_bound_ms == 3.0


def test_a_session_of_before_a_hole_in_the_log_is_told_as_such() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    bare = "'TRACK event saved', {{ type: 'track',\n  event: '{}',\n  properties: {{}} }}"
    bench.stage.process(
        [
            event_line(at(10), SESSION, "device-a", "m-1"),
            entry(at(11), bare.format("Before")),
            Gap(at(12), at(13), "log", "overwritten"),
            entry(at(14), bare.format("After")),
        ]
    )
    bench.stage.finish()
    events = [json.loads(event)["data"] for sealed in bench.kept for event in sealed.events]
    told = [data["payload"] for data in events if isinstance(data, dict) and data.get("tag") == "segment:track"]
    assert [each["session_from"] for each in told] == [
        "integrations",
        "inferred: other events of the session",
        "inferred: session from before lines that are missing",
    ]


def test_the_manifest_names_the_source_and_the_clock_of_its_time() -> None:
    bench = Bench(settings=Settings(replay=Replay(segment_seconds=5)))
    bench.stage.attach(bench.device)
    bench.stage.process([event_line(at(11), SESSION, "device-a", "m-1"), bench.snapshot(11.5)])
    bench.stage.advance(at(20))
    bench.stage.process([ClockFix(at(21), 7_000_000_123, 3_000_000, 0, 4_000_000)])
    snapshot, free = bench.snapshot(22)
    other = replace(snapshot.frame, source="another", digest=snapshot.frame.digest + 1)
    line = event_line(at(22.5), SESSION, "device-a", "m-2")
    bench.stage.process([(replace(snapshot, frame=other), free), line])
    bench.stage.finish()
    before, after = bench.kept[0].manifest.device, bench.kept[-1].manifest.device
    assert (before["screen"], after["screen"], bench.status.screen) == ("fake", "another", "another")
    assert "clock_offset_ns" not in before
    assert (after["clock_offset_ns"], after["clock_bound_ns"]) == ("7000000123", "3000000")
    assert after["clock_drift_ppm"] == "0.0"


def test_a_device_that_is_back_is_recorded_by_the_source_that_it_begins_with() -> None:
    bench = Bench(settings=Settings(replay=Replay(segment_seconds=5)))
    bench.stage.attach(bench.device)
    snapshot, free = bench.snapshot(11.5)
    other = replace(snapshot.frame, source="another")
    bench.stage.process([event_line(at(11), SESSION, "device-a", "m-1"), (replace(snapshot, frame=other), free)])
    bench.stage.advance(at(15))
    bench.stage.attach(bench.device)
    bench.stage.advance(at(20))
    bench.stage.process([bench.snapshot(22), event_line(at(22), SESSION, "device-a", "m-2")])
    bench.stage.finish()
    assert [sealed.manifest.device["screen"] for sealed in (bench.kept[0], bench.kept[-1])] == ["another", "fake"]


def test_a_clock_that_was_set_is_a_gap_and_a_segment_of_its_own() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    bench.stage.process(
        [event_line(at(11), SESSION, "device-a", "m-1"), bench.snapshot(11.5), ClockFix(at(12), 0, 0, 0, 0)]
    )
    bench.stage.process([ClockFix(at(20), 9, 0, 0, 0, jump_ns=-3_200_000_000), bench.snapshot(22)])
    bench.stage.advance(at(30))
    bench.stage.finish()
    first, second = bench.kept
    assert first.manifest.reason == "clock"
    assert second.manifest.counts.gaps == bench.status.gaps == 1
    assert b"by -3.200 s" in b"".join(second.events)


def test_what_never_found_a_session_is_counted() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    bench.stage.process([bench.snapshot(11), entry(at(11), "hello")])
    bench.stage.finish()
    assert bench.kept == []
    assert sum(bench.status.losses.values()) >= 2


def test_finish_before_attach_is_nothing() -> None:
    bench = Bench()
    bench.stage.finish()
    bench.stage.advance(at(12))
    assert bench.kept == []


def test_a_session_that_is_not_in_the_sample_is_counted_and_left_out() -> None:
    bench = Bench(gate=Gate(sample_rate=0.0))
    bench.stage.attach(bench.device)
    assert bench.stage.paused() == ""
    bench.stage.process([event_line(at(10.2), SESSION, "device-a", "m-1"), bench.snapshot(11.0)])
    assert bench.stage.paused() == bench.status.paused == "not in the sample"
    bench.stage.advance(at(20))
    bench.stage.finish()
    assert bench.kept == []
    assert bench.status.losses["session: not in the sample"] == 1
    assert bench.status.losses["session: not in the sample, items left out"] >= 2


def test_the_next_session_is_recorded_again() -> None:
    rate = 0.5
    refused = next(s for s in range(SESSION, SESSION + 50) if not in_sample(s, rate))
    taken = next(s for s in range(refused + 1, refused + 50) if in_sample(s, rate))
    bench = Bench(gate=Gate(sample_rate=rate))
    bench.stage.attach(bench.device)
    bench.stage.process([event_line(at(10.2), refused, "device-a", "m-1"), bench.snapshot(11.0)])
    assert bench.stage.paused()
    bench.stage.process([event_line(at(30), taken, "device-a", "m-2"), bench.snapshot(31.0)])
    assert bench.stage.paused() == ""
    bench.stage.advance(at(40))
    bench.stage.finish()
    assert {sealed.manifest.session_id for sealed in bench.kept} == {taken}


def test_while_stopped_nothing_is_kept_but_the_ids() -> None:
    gate = Gate()
    bench = Bench(gate=gate)
    bench.stage.attach(bench.device)
    bench.stage.process([event_line(at(10.2), SESSION, "device-a", "m-1", name="Seen"), bench.snapshot(11.0)])
    bench.stage.advance(at(14))
    gate.stop()
    assert bench.stage.paused() == "stopped"
    touch = Touch(at(15), "down", 0, 5, 5)
    bench.stage.process(
        [event_line(at(15), SESSION + 1, "device-b", "m-2", name="Hidden"), bench.snapshot(15.2), touch]
    )
    bench.stage.advance(at(19))
    gate.start()
    bench.stage.process([Gap(at(14), at(20), "capture", "stopped"), bench.snapshot(20.5)])
    bench.stage.advance(at(30))
    bench.stage.finish()
    told = bench.everything()
    assert b"Seen" in told
    assert b"Hidden" not in told
    assert b'"stopped"' in told
    assert bench.status.frames == 2
    assert bench.status.losses == {"events: stopped": 1}
    assert sum(sealed.manifest.counts.touches for sealed in bench.kept) == 0
    assert {sealed.manifest.session_id for sealed in bench.kept} == {SESSION, SESSION + 1}


def test_gaps_are_counted_by_their_reason_a_run_once(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    gaps = [Gap(at(s), at(s + 0.4), "screen", "ScreenBlocked", "secure") for s in (11, 11.5, 12)]
    gaps += [Gap(at(13), at(14), "device", "DeviceGone"), Gap(at(20), at(21), "device", "DeviceGone")]
    before = bench.status.gap_reasons
    with caplog.at_level("INFO", "agent"):
        bench.stage.process([event_line(at(10.5), SESSION, "device-a", "m-1"), *gaps])
        bench.stage.advance(at(30))
    assert bench.status.gap_reasons == {"screen: ScreenBlocked": 1, "device: DeviceGone": 2}
    # Whoever goes through it in another thread is not disturbed.
    assert before == {}
    assert [words for words in caplog.messages if "missing" in words] == [
        "missing: screen: ScreenBlocked secure", "missing: device: DeviceGone ", "missing: device: DeviceGone ",
    ]  # fmt: skip
    assert f"session {SESSION} of device device-a" in caplog.messages


def test_the_server_s_word_seals_the_session_and_says_why() -> None:
    gate = Gate()
    bench = Bench(gate=gate)
    bench.stage.attach(bench.device)
    bench.stage.process([event_line(at(10.2), SESSION, "device-a", "m-1"), bench.snapshot(11.0)])
    bench.stage.advance(at(14))
    gate.end(SESSION, "capture is switched off for this project (4005)")
    bench.stage.process([bench.snapshot(15.0), event_line(at(15.2), SESSION, "device-a", "m-2", name="Late")])
    bench.stage.advance(at(20))
    bench.stage.finish()
    (sealed,) = bench.kept
    assert sealed.manifest.reason == "stop"
    assert sealed.manifest.counts.gaps == 1
    assert b"4005" in bench.everything()
    assert b"Late" not in bench.everything()
    assert bench.stage.paused().endswith("(4005)")


def test_a_remote_mask_level_only_ever_tightens() -> None:
    gate = Gate()
    bench = Bench(gate=gate)
    bench.stage.attach(bench.device)
    masker = bench.stage._masker
    assert masker is not None
    for level, expected in (("light", "medium"), ("conservative", "conservative"), ("medium", "conservative")):
        gate.configure(Remote("", None, level))  # type: ignore[arg-type]
        bench.stage.process([bench.snapshot(11.0)])
        assert masker.level == expected


def test_the_rules_of_the_settings_are_those_of_the_masker() -> None:
    bench = Bench(settings=Settings(privacy=Privacy(rules=(rule("mask", "text=pay*"),))))
    bench.stage.attach(bench.device)
    event = event_line(at(10.2), SESSION, "device-a", "m-1")
    line = entry(at(10.3), "before paying with PAY-7 now")
    bench.stage.process([bench.snapshot(10.1), event, line, bench.snapshot(11.0)])
    bench.stage.advance(at(20))
    bench.stage.finish()
    assert b"before ***** with ***** now" in bench.everything()


def test_strict_takes_no_id_by_inference() -> None:
    line = entry(at(10.1), f"[AmplitudeSession] startNewSession -> {SESSION}")
    for strict, sessions in ((False, {SESSION}), (True, set())):
        settings = Settings(plugin=Plugin(strict=strict))
        bench = Bench(settings=settings)
        bench.stage.attach(bench.device)
        raw = entry(at(10.3), "'TRACK event saved', { type: 'track', event: 'Opened', properties: {} }")
        whole = event_line(at(10.05), None, "device-a", "m-1")
        bench.stage.process([whole, line, raw, bench.snapshot(11.0)])
        bench.stage.advance(at(20))
        bench.stage.finish()
        assert {sealed.manifest.session_id for sealed in bench.kept} == sessions, strict


def upload(number: int, milliseconds: int, **more: object) -> Relayed:
    """An upload that came at 40 s, of an event whose own time is `milliseconds` after the clock's start."""
    event = {
        "type": "track",
        "event": f"Uploaded {number}",
        "properties": {},
        "messageId": f"m-{number}",
        "timestamp": datetime.fromtimestamp(at(0).wall_ms / 1000 + milliseconds / 1000, UTC).isoformat(),
        "integrations": {"Actions Amplitude": {"session_id": SESSION}},
        "anonymousId": "device-a",
        "context": {"app": {"namespace": APP}},
        **more,
    }
    return Relayed(at(40), event)


def relaying(*, timed: bool = True) -> Bench:
    bench = Bench()
    bench.stage = Stage(APP, Settings(), lambda sealed: bench.keep(sealed), bench.status, bench.now, relay=True)
    bench.stage.attach(bench.device)
    if timed:
        bench.stage.process([clock_fix()])
    return bench


def clock_fix() -> ClockFix:
    return ClockFix(at(10), at(0).wall_ms * 1_000_000 - at(0).mono_ns, 0, 0, 0)


def event_names(bench: Bench) -> list[tuple[str, int]]:
    found = []
    for line in (event for sealed in bench.kept for event in sealed.events):
        event = json.loads(line)
        if str(event["data"].get("tag", "")).startswith("segment:"):
            found.append((event["data"]["payload"]["event"], event["timestamp"] - at(0).wall_ms))
    return found


def test_uploads_alone_give_the_segment_its_ids_and_stand_at_their_own_time() -> None:
    bench = relaying()
    bench.stage.process([bench.snapshot(11.0), bench.snapshot(13.0)])
    bench.stage.process([upload(1, 12_000), upload(2, 11_500)])
    bench.stage.advance(at(60))
    bench.stage.finish()
    (sealed,) = bench.kept
    assert (sealed.manifest.session_id, sealed.manifest.device_id) == (SESSION, "device-a")
    assert event_names(bench) == [("Uploaded 2", 11_500), ("Uploaded 1", 12_000)]


def test_what_log_and_relay_both_show_is_one_event() -> None:
    bench = relaying()
    bench.stage.process([bench.snapshot(11.0), event_line(at(12), SESSION, "device-a", "m-1", name="Logged")])
    saved = "'TRACK event saved', { type: 'track', event: 'Uploaded 2', properties: {} }"
    bench.stage.process([entry(at(13), saved)])
    bench.stage.process([upload(1, 12_000), upload(2, 13_000), upload(2, 13_000), upload(3, 14_000)])
    bench.stage.advance(at(60))
    bench.stage.finish()
    names = [name for name, _ in event_names(bench)]
    assert sorted(names)[-2:] == ["Uploaded 2", "Uploaded 3"]
    assert len(names) == 3


def test_uploads_of_another_app_and_of_another_day_are_nobody_s() -> None:
    bench = relaying()
    other = upload(1, 12_000, context={"app": {"namespace": "com.example.other"}})
    old = upload(2, -86_400_000, integrations={"Actions Amplitude": {"session_id": SESSION - 86_400_000}})
    resumed = upload(3, 2_000)
    bench.stage.process([bench.snapshot(11.0), other, old, resumed])
    bench.stage.advance(at(60))
    bench.stage.finish()
    (sealed,) = bench.kept
    assert sealed.manifest.session_id == SESSION
    assert event_names(bench) == []


def test_uploads_of_before_the_phone_s_clock_is_known_wait_for_it() -> None:
    bench = relaying(timed=False)
    old = upload(1, -86_400_000, integrations={"Actions Amplitude": {"session_id": SESSION - 86_400_000}})
    bench.stage.process([bench.snapshot(11.0), old, upload(2, 12_000), Gap(at(12), at(12), "touch", "x")])
    bench.stage.process([clock_fix()])
    bench.stage.advance(at(60))
    bench.stage.finish()
    assert {sealed.manifest.session_id for sealed in bench.kept} == {SESSION}
    assert event_names(bench) == [("Uploaded 2", 12_000)]


def test_an_upload_that_is_no_event_is_counted() -> None:
    bench = relaying()
    bench.stage.process([bench.snapshot(11.0), upload(1, 12_000), upload(2, 12_000, type="page")])
    bench.stage.finish()
    assert bench.status.losses == {"events: relay: no event of a known type": 1}


def test_without_a_relay_uploads_are_not_read() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    bench.stage.process([bench.snapshot(11.0), upload(1, 12_000)])
    bench.stage.finish()
    assert bench.kept == []


def findings(bench: Bench) -> list[dict[str, object]]:
    events = [orjson.loads(event) for sealed in bench.kept for event in sealed.events]
    return [event["data"]["payload"] for event in events if event["data"].get("tag") == "doctor"]


def test_what_is_wrong_with_the_instrumentation_is_marked_and_counted() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    bench.stage.process(
        [
            bench.snapshot(10.1),
            event_line(at(10.2), SESSION, "device-a", "m-1"),
            entry(at(10.4), "api_key=0f9e8d7c6b5a49382716050403020100 of nora@quill.example"),
            event_line(at(10.5), -1, "device-a", "m-2"),
            event_line(at(10.6), -1, "device-a", "m-3"),
            bench.snapshot(11.0),
        ]
    )
    bench.stage.advance(at(20))
    bench.stage.finish()
    assert bench.status.findings == {"error: api-key-logged": 1, "error: negative-session-id": 2}
    marks = findings(bench)
    assert [mark["rule"] for mark in marks] == ["api-key-logged", "negative-session-id"]
    assert marks[1]["severity"] == "error"
    assert "m-2" in str(marks[1]["proof"])
    assert b"0f9e8d7c" not in bench.everything()
    assert b"quill.example" not in bench.everything()
    for sealed in bench.kept:
        assert validate(sealed.events, sealed.pictures) == []


def test_faults_from_before_the_attach_and_of_other_apps_are_not_counted() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    bench.stage.process(
        [
            event_line(at(4), -1, "device-a", "m-old"),
            event_line(at(10.2), SESSION, "device-a", "m-1"),
            event_line(at(10.4), -1, "device-b", "m-2", uid=10999, name="Their secret"),
            bench.snapshot(11),
        ]
    )
    bench.stage.advance(at(20))
    bench.stage.finish()
    assert bench.status.findings == {"info: several-apps": 1}
    assert b"Their secret" not in bench.everything()


def test_a_log_that_fell_behind_is_a_finding() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    bench.stage.process(
        [
            event_line(at(10.2), SESSION, "device-a", "m-1"),
            Gap(at(10.3), at(10.4), "log", "overrun", "Unexpected EOF!"),
            bench.snapshot(11),
        ]
    )
    bench.stage.advance(at(20))
    bench.stage.finish()
    assert bench.status.findings == {"warning: log-overrun": 1}


def test_what_was_logged_while_stopped_is_no_proof_in_a_recording() -> None:
    gate = Gate()
    bench = Bench(gate=gate)
    bench.stage.attach(bench.device)
    gate.stop()
    hidden = "'TRACK event saved', { type: 'track', event: 'Hidden', properties: {} }"
    bench.stage.process([entry(at(10.2), "api_key=0f9e8d7c6b5a49382716050403020100"), entry(at(10.3), hidden)])
    gate.start()
    shown = "'TRACK event saved', {{ type: 'track', event: 'Seen {}', properties: {{}} }}"
    line = entry(at(11), f"[AmplitudeSession] startNewSession -> {SESSION}")
    bench.stage.process([line, *(entry(at(12 + i), shown.format(i)) for i in range(8))])
    bench.stage.process([event_line(at(20.5), SESSION, "device-a", "m-1"), bench.snapshot(21)])
    bench.stage.advance(at(25))
    bench.stage.finish()
    assert bench.status.findings["error: api-key-logged"] == 1
    assert "warning: raw-events-only" in bench.status.findings
    (mark,) = findings(bench)
    assert (mark["rule"], mark["proof"]) == ("raw-events-only", "")
    assert b"Hidden" not in bench.everything()
    assert b"api_key" not in bench.everything()


def happened(bench: Bench) -> list[tuple[str, str]]:
    """Tag and name of the custom events that tell what happened to the app."""
    data = [json.loads(event)["data"] for sealed in bench.kept for event in sealed.events if b'"type":5' in event]
    return [(each["tag"], each["payload"]["name"]) for each in data if "name" in each["payload"]]


def resumed(seconds: float, activity: str, uid: int) -> LogEntry:
    line = entry(at(seconds), f"[1,{activity},R]", "wm_on_resume_called", uid=uid)
    return replace(line, buffer="events", values=(1, activity, "R"))


def test_what_happens_to_the_app_is_recorded_from_the_attach_on_and_not_as_its_own_lines() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    died = f"Process {APP} (pid 4242) has died: fg TOP"
    bench.stage.process([
        event_line(at(10.1), SESSION, "device-a", "m-1"),
        resumed(9.5, f"{APP}.Early", 10123),
        Foreground(at(10.5), APP, f"{APP}.Main", False, 0),
        bench.snapshot(11),
        resumed(12, "com.other.Secret", 10300),
        resumed(13, f"{APP}.Pay", 10123),
        replace(entry(at(14), "Fatal signal 11 (SIGSEGV), code 1 in tid 5, pid 4242", "libc"), level="F"),
        Foreground(at(15), APP, f"{APP}.Pay", True, 0),
        entry(at(16), died, "ActivityManager", uid=1000, pid=99),
    ])  # fmt: skip
    bench.stage.advance(at(25))
    bench.stage.finish()
    assert happened(bench) == [
        ("app", "Main in front"), ("app", "Another app in front"), ("app", "Pay in front"), ("crash", "Native crash"),
        ("keyboard", "Keyboard shown"), ("process", "Process 4242 died"),
    ]  # fmt: skip
    assert b"Secret" not in bench.everything()
    assert b"Early" not in bench.everything()
    assert b"wm_on_resume_called" not in bench.everything()


def test_a_crash_at_the_very_end_is_recorded() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    crash = entry(at(11.9), "Fatal signal 11 (SIGSEGV), code 1 in tid 5, pid 4242", "libc")
    bench.stage.process([event_line(at(10.1), SESSION, "device-a", "m-1"), bench.snapshot(11), crash])
    bench.stage.finish()
    assert happened(bench) == [("crash", "Native crash")]


def test_nothing_that_happens_in_a_pause_is_recorded() -> None:
    gate = Gate()
    bench = Bench(gate=gate)
    bench.stage.attach(bench.device)
    bench.stage.process([event_line(at(10.1), SESSION, "device-a", "m-1"), bench.snapshot(11)])
    gate.stop()
    bench.stage.process([resumed(12, "com.other.Secret", 10300), Foreground(at(13), APP, ".Main", False, 1)])
    gate.start()
    bench.stage.process([Foreground(at(14), APP, ".Main", False, 2)])
    bench.stage.finish()
    assert [tag for tag, _ in happened(bench)] == ["app", "rotation"]


def gaps_of(bench: Bench, stage: str) -> list[tuple[int, str]]:
    """When and why of one stage's gaps."""
    data = [json.loads(event)["data"] for sealed in bench.kept for event in sealed.events if b'"tag":"gap"' in event]
    return [
        (each["payload"]["from_ms"], each["payload"]["reason"]) for each in data if each["payload"]["stage"] == stage
    ]


def instrumented(seconds: float, words: str) -> LogEntry:
    text = f"Force stopping {APP} appid=10123 user=0: {words}"
    return entry(at(seconds), text, "ActivityManager", uid=1000)


UNSEEN = "injected touches are not seen"


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ([(8, "start instr")], [10.0]),
        ([(7, "start instr"), (8, "finished inst")], []),
        ([(7, "start instr"), (8, "finished inst"), (11, "start instr"), (12, "start instr")], [11.0]),
    ],
)
def test_touches_of_a_test_are_unseen_from_the_attach_on(
    before: list[tuple[float, str]], expected: list[float]
) -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    old = [instrumented(*each) for each in before]
    bench.stage.process([*old, event_line(at(12.5), SESSION, "device-a", "m-1"), bench.snapshot(13)])
    bench.stage.advance(at(25))
    bench.stage.finish()
    assert gaps_of(bench, "touch") == [(at(seconds).wall_ms, UNSEEN) for seconds in expected]


def test_while_another_tool_holds_uiautomation_its_touches_are_unseen() -> None:
    bench = Bench()
    bench.stage.attach(bench.device)
    busy = [Gap(at(s), at(s), "hierarchy", "DeviceBusy", "already registered") for s in (11, 16, 51)]
    bench.stage.process([event_line(at(10.5), SESSION, "device-a", "m-1"), *busy[:2], bench.snapshot(18), busy[2]])
    bench.stage.advance(at(65))
    bench.stage.finish()
    assert gaps_of(bench, "touch") == [(at(11).wall_ms, UNSEEN), (at(51).wall_ms, UNSEEN)]


def test_a_level_that_tightens_on_a_still_screen_leaves_nothing_of_before_in_later_segments() -> None:
    gate = Gate()
    bench = Bench(gate=gate)
    bench.stage.attach(bench.device)
    event = event_line(at(10.2), SESSION, "device-a", "m-1")
    bench.stage.process([bench.snapshot(10.1), event, *map(bench.snapshot, (10.4, 10.7))])
    bench.stage.advance(at(20))
    gate.configure(Remote("", None, "conservative"))
    assert bench.stage.level() == "conservative"
    bench.stage.process([entry(at(50), "a line")])
    bench.stage.advance(at(60))
    bench.stage.finish()
    before, after = bench.kept

    def covered(picture: Picture) -> bool:
        return bool(
            (np.abs(np.asarray(Image.open(io.BytesIO(picture.data)).convert("L")).astype(int) - COVER) < 4).all()
        )

    assert not all(map(covered, before.pictures.values()))
    assert all(map(covered, after.pictures.values()))
