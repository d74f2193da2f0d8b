from __future__ import annotations

from pathlib import Path

from agent.commands.rig import video_settings
from agent.settings import Capture
from bridge.video import VideoSettings


def test_what_video_is_asked_for(tmp_path: Path) -> None:
    jar = tmp_path / "scrcpy-server-v4.1"
    jar.write_bytes(b"PK")
    assert video_settings(Capture()) == VideoSettings(540, 2_000_000, 10, None, "")
    asked = video_settings(Capture(width=720, touch_rate=12, bit_rate=900_000, scrcpy_server=jar))
    assert asked == VideoSettings(720, 900_000, 24, jar, "")
    assert video_settings(Capture(video=False)) is None
    assert video_settings(Capture(quality="text")) is None
