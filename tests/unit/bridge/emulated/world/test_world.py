from __future__ import annotations

import io
import json

import numpy as np
from PIL import Image

from bridge.emulated.clock import DeviceClock
from bridge.emulated.logd import Record
from bridge.emulated.world import SECRETS, World, timecode
from bridge.types import Bounds, Size

SIZE = Size(540, 1200)


class Run:
    """A world on a clock that the test turns."""

    def __init__(self, scenario: str = "shop", autopilot: bool = True) -> None:
        self.host_ns = 1_000_000_000
        self.records: list[Record] = []
        clock = DeviceClock(host=lambda: self.host_ns)
        self.world = World(clock, SIZE, 210, scenario, log=self.records.append, autopilot=autopilot)

    def go(self, seconds: float) -> None:
        for _ in range(round(seconds * 50)):
            self.host_ns += 20_000_000
            self.world.tick()

    def events(self) -> list[dict[str, object]]:
        lines = [record.text.split(b" ", 3) for record in self.records if record.text.startswith(b"SegmentReplay/1 ")]
        return [json.loads(line[3]) for line in lines if line[2] == b"1/1"]


def test_the_shop_scenario_has_two_sessions_of_two_devices_within_25_seconds() -> None:
    run = Run()
    run.go(22)
    keys = []
    for event in run.events():
        integrations = event["integrations"]
        assert isinstance(integrations, dict)
        key = (integrations["Actions Amplitude"]["session_id"], event["anonymousId"])
        if key not in keys:
            keys.append(key)
    assert len(keys) == 2
    assert len({session for session, _ in keys}) == len({device for _, device in keys}) == 2


def test_the_strip_says_when_the_picture_came_to_be_after_lossy_encoding() -> None:
    run = Run("idle")
    run.go(4)
    world = run.world
    strip = world.find("timecode")
    assert strip is not None
    file = io.BytesIO()
    Image.fromarray(world.pixels()).convert("RGB").save(file, "WEBP", quality=50, method=0)
    seen = np.asarray(Image.open(file).convert("RGB"))
    assert timecode.read(seen, strip) == world.truth()[-1].code
    assert timecode.read(seen, Bounds(0, 300, 540, 312)) is None


def test_typed_secrets_stand_in_the_truth_and_in_the_tree() -> None:
    run = Run()
    run.go(20)
    shown = {secret.text for frame in run.world.truth() for secret in frame.secrets}
    assert set(SECRETS) <= shown


def test_the_secure_screen_is_black_and_has_a_tree() -> None:
    run = Run(autopilot=False)
    run.world.act("launch")
    run.go(1)
    run.world.act("go:checkout")
    run.world.act("pay")
    assert run.world.secure
    assert not run.world.pixels()[..., :3].any()
    assert b"Confirm with your bank" in run.world.dump_xml()


def test_a_tap_lands_where_the_tree_says() -> None:
    run = Run(autopilot=False)
    run.world.act("launch")
    run.go(1)
    for target in ("permission", "email"):
        bounds = run.world.find(target)
        assert bounds is not None
        x, y = (bounds.left + bounds.right) / 2, (bounds.top + bounds.bottom) / 2
        run.world.touch("down", 0, x, y)
        run.world.touch("up", 0, x, y)
    assert run.world.keyboard_shown


def test_five_minutes_away_begin_a_new_session_for_the_same_device() -> None:
    run = Run("background")
    run.go(15)
    sessions: list[tuple[object, object]] = []
    for event in run.events():
        integrations = event["integrations"]
        assert isinstance(integrations, dict)
        key = (integrations["Actions Amplitude"]["session_id"], event["anonymousId"])
        if key not in sessions:
            sessions.append(key)
    assert len(sessions) == 2
    assert sessions[0][1] == sessions[1][1]
    printed = [record.text.decode() for record in run.records if b"[AmplitudeSession]" in record.text]
    assert printed == [
        f"[AmplitudeSession] startNewSession -> {sessions[0][0]}",
        f"[AmplitudeSession] endSession -> {sessions[0][0]}",
        f"[AmplitudeSession] startNewSession -> {sessions[1][0]}",
    ]


def test_no_typed_password_or_card_reaches_the_log() -> None:
    run = Run()
    run.go(22)
    text = b"".join(record.text for record in run.records).decode()
    assert not any(secret in text for secret in SECRETS[1:])
