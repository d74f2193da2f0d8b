from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.settings import load


def test_later_sources_win_and_each_value_knows_where_it_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "replay.toml"
    file.write_text('[privacy]\nlevel = "light"\n[capture]\nwidth = 412\nrate = 1\n')
    monkeypatch.setenv("ANDROID_REPLAY_CAPTURE__RATE", "3")
    monkeypatch.setenv("ANDROID_REPLAY_CAPTURE__WIDTH", "600")

    loaded = load({"capture.width": 720, "privacy.level": None}, file)

    assert (loaded.settings.privacy.level, loaded.settings.capture.rate, loaded.settings.capture.width) == (
        "light",
        3,
        720,
    )
    origins = {name: origin for name, _, origin in loaded.rows()}
    assert origins["privacy.level"] == "file"
    assert origins["capture.rate"] == "environment"
    assert origins["capture.width"] == "flag"
    assert origins["capture.touch_rate"] == "default"


def test_a_secret_never_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDROID_REPLAY_UPLOAD__API_KEY", "canary-key")
    loaded = load({})
    assert loaded.settings.upload.api_key.get_secret_value() == "canary-key"
    assert "canary-key" not in repr(loaded) + "".join(value for _, value, _ in loaded.rows())


@pytest.mark.parametrize(
    ("flags", "text", "named"),
    [
        ({"capture.width": 5}, "", "capture.width (flag)"),
        ({}, "[privacy]\nlevel = 'none'\n", "privacy.level (file)"),
        ({}, "[privacy]\nlevle = 'light'\n", "privacy.levle (file)"),
        ({}, "[privacy\n", "is not TOML"),
    ],
)
def test_a_bad_value_is_named_with_its_origin(tmp_path: Path, flags: dict[str, object], text: str, named: str) -> None:
    file = tmp_path / "replay.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(flags, file)
    assert named in caught.value.message
    assert caught.value.hint


def test_an_absent_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no settings file"):
        load({}, tmp_path / "none.toml")


def test_a_file_that_is_no_text_is_said(tmp_path: Path) -> None:
    file = tmp_path / "replay.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load({}, file)


@pytest.mark.parametrize("port", ["xx", "0", "65536", "-1", "9" * 5000])
def test_an_adb_port_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", port)
    with pytest.raises(ConfigError, match="ANDROID_ADB_SERVER_PORT") as caught:
        load({})
    assert caught.value.hint
