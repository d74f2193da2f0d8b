from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.privacy import Rule, rule
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
        ({}, "privacy = 'conservative'\n", "privacy (file)"),
        ({"privacy.level": "light"}, "privacy = 'conservative'\n", "privacy (file)"),
        ({"privacy.rules": (Rule("mask", (("id", "x"),)),)}, "privacy = 'conservative'\n", "privacy (file)"),
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


def test_privacy_rules_of_all_sources_hold_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "replay.toml"
    file.write_text(
        '[privacy]\nlevel = "light"\n[[privacy.rules]]\naction = "block"\nid = "card_*"\nclass = "EditText"\n'
    )
    monkeypatch.setenv("ANDROID_REPLAY_PRIVACY__RULES", '[{"action": "mask", "text": "Anna Bell"}]')
    loaded = load({"privacy.rules": [rule("unmask", "id=total")]}, file)
    assert [rule.name for rule in loaded.settings.privacy.rules] == [
        "block id=card_* class=EditText",
        "mask text=*****",
        "unmask id=total",
    ]
    assert loaded.settings.privacy.level == "light"
    value, origin = next((value, origin) for name, value, origin in loaded.rows() if name == "privacy.rules")
    assert value == "block id=card_* class=EditText; mask text=*****; unmask id=total"
    assert origin == "flag"
    assert load({}).settings.privacy.rules == (Rule("mask", (("text", "Anna Bell"),)),)


@pytest.mark.parametrize(
    ("text", "environment", "named"),
    [
        (
            '[[privacy.rules]]\naction = "mask"\nid = "a"\n[[privacy.rules]]\nid = "b"\n',
            "",
            "Rule 2 of privacy.rules (file)",
        ),
        ('[privacy]\nrules = "block id=x"\n', "", "privacy.rules (file)"),
        ("", '[{"action": "mask", "text": "/(/"}]', "Rule 1 of privacy.rules (environment)"),
        ("", '[{"action": "mask", ', "environment variable ANDROID_REPLAY_"),
    ],
)
def test_a_privacy_rule_that_is_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, environment: str, named: str
) -> None:
    file = tmp_path / "replay.toml"
    file.write_text(text)
    if environment:
        monkeypatch.setenv("ANDROID_REPLAY_PRIVACY__RULES", environment)
    with pytest.raises(ConfigError) as caught:
        load({}, file)
    assert named in caught.value.message
    assert caught.value.hint


def test_a_quality_names_the_values_that_are_not_given(tmp_path: Path) -> None:
    file = tmp_path / "replay.toml"
    file.write_text('[capture]\nquality = "high"\nwidth = 640\n')
    high = load({}, file).settings.capture
    assert (high.width, high.webp_quality, high.rate, high.touch_rate) == (640, 75, 5.0, 10.0)
    low = load({"capture.quality": "low"}, file).settings.capture
    assert (low.width, low.webp_quality, low.rate) == (640, 30, 1.0)
    assert load({"capture.quality": "medium"}).settings.capture == load({}).settings.capture
    with pytest.raises(ConfigError, match=r"capture\.quality \(flag\)"):
        load({"capture.quality": "best"})


def test_the_key_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("canary-key\nmore\n")
    loaded = load({"upload.api_key_file": file})
    assert loaded.settings.upload.api_key.get_secret_value() == "canary-key"
    rows = {name: (value, origin) for name, value, origin in loaded.rows()}
    assert rows["upload.api_key"] == ("*****", "flag")
    assert "canary" not in repr(loaded)
    both = load({"upload.api_key_file": file, "upload.api_key": "mine"})
    assert both.settings.upload.api_key.get_secret_value() == "mine"


def test_the_token_comes_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("canary-token\n")
    loaded = load({"metrics.token_file": file})
    assert loaded.settings.metrics.token.get_secret_value() == "canary-token"
    assert {name: value for name, value, _ in loaded.rows()}["metrics.token"] == "*****"
    assert "canary" not in repr(loaded)
    with pytest.raises(ConfigError, match=r"metrics\.token_file .* cannot be read") as told:
        load({"metrics.token_file": tmp_path / "none"})
    assert "the token" in told.value.hint


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read"), (b"\nkey", "empty line"), (b"", "empty line"), (b"\xff", "no text")]
)
def test_a_key_file_that_is_none_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        load({"upload.api_key_file": file})


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home folder, as in many a container."""

    def unknown(number: int) -> object:
        raise KeyError(number)

    for name in ("HOME", "XDG_STATE_HOME", "ANDROID_REPLAY_SPOOL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_without_a_home_folder_the_next_step_is_named(
    homeless: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="no home folder") as told:
        load({})
    # And each of the steps leads on.
    for name in ("HOME", "XDG_STATE_HOME", "ANDROID_REPLAY_SPOOL"):
        assert name in told.value.hint
        with monkeypatch.context() as patch:
            patch.setenv(name, str(tmp_path))
            settings = load({}).settings
        for folder in (settings.spool, settings.relay.folder, settings.farm.folder, settings.farm.leases):
            assert folder.is_relative_to(tmp_path)


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "replay.toml"
    file.write_text('spool = "~/here"\n[farm]\nfolder = "~nobody-of-this-name/there"\n')
    monkeypatch.setenv("ANDROID_REPLAY_RELAY__FOLDER", "~/relay")
    loaded = load({}, file).settings
    assert (loaded.spool, loaded.relay.folder) == (tmp_path / "here", tmp_path / "relay")
    assert loaded.farm.folder == Path("~nobody-of-this-name/there")


def test_a_list_from_the_environment_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDROID_REPLAY_REPLAY__KEEP_ON", "crash")
    with pytest.raises(ConfigError, match="replay") as told:
        load({})
    assert '["crash", "signal"]' in told.value.hint


def test_a_quality_of_another_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / "replay.toml").write_text('[capture]\nquality = ["low"]\n')
    with pytest.raises(ConfigError, match=r"capture\.quality"):
        load({}, tmp_path / "replay.toml")


def test_an_empty_path_counts_as_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be the folder in which one stands."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for name in ("SPOOL", "RELAY__FOLDER", "LOG__FILE", "CAPTURE__SCRCPY_SERVER"):
        monkeypatch.setenv(f"ANDROID_REPLAY_{name}", "")
    file = tmp_path / "replay.toml"
    file.write_text('[farm]\nfolder = ""\n')
    loaded = load({}, file)
    home = tmp_path / "android-replay"
    assert (loaded.settings.spool, loaded.settings.relay.folder) == (home / "spool", home / "relay")
    assert loaded.settings.farm.folder == home / "farm"
    assert (loaded.settings.log.file, loaded.settings.capture.scrcpy_server) == (None, None)
    assert {origin for _, _, origin in loaded.rows()} == {"default"}
    # What is set beneath counts.
    file.write_text('spool = "/var/spool/replay"\n')
    assert load({}, file).settings.spool == Path("/var/spool/replay")
