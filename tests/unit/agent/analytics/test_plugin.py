from __future__ import annotations

import math

import pytest

from agent.analytics.plugin import PluginConfig
from agent.errors import ConfigError
from agent.settings import load

KEY = {"apiKey": "k"}


def test_the_plugin_s_own_defaults() -> None:
    config = PluginConfig.parse(KEY)
    assert config == PluginConfig("k", None, 0.0, True, 2, True, "medium", False, "US", -1, ())


def test_all_options() -> None:
    config = PluginConfig.parse({
        "apiKey": "k", "deviceId": "d", "sampleRate": 0.25, "enableRemoteConfig": False, "logLevel": 4,
        "autoStart": False, "privacyConfig": {"maskLevel": "conservative"}, "optOut": True, "serverZone": "EU",
        "sessionId": 5,
    })  # fmt: skip
    assert config == PluginConfig("k", "d", 0.25, False, 4, False, "conservative", True, "EU", 5, ())


@pytest.mark.parametrize(("value", "expected"), [(0, False), ("", False), (None, False), (1, True), (True, True)])
def test_auto_start_has_a_default_only_when_absent(value: object, expected: bool) -> None:
    assert PluginConfig.parse({**KEY, "autoStart": value}).auto_start is expected


@pytest.mark.parametrize(("value", "expected"), [(-3, 0.0), (0, 0.0), (0.5, 0.5), (1, 1.0), (7, 1.0)])
def test_a_rate_beyond_the_ends_is_never_or_always(value: float, expected: float) -> None:
    assert PluginConfig.parse({**KEY, "sampleRate": value}).sample_rate == expected


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (3, 3), (9, 2), (-1, 2), ("debug", 2), (None, 2), (1.5, 2)])
def test_an_unknown_log_level_warns(value: object, expected: int) -> None:
    assert PluginConfig.parse({**KEY, "logLevel": value}).log_level == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"maskLevel": "light"}, "light"),
        ({"maskLevel": "LIGHT"}, "light"),
        ({"maskLevel": "everything"}, "medium"),
        ({"maskLevel": None}, "medium"),
        ({"maskLevel": "light", "privacyConfig": {}}, "medium"),
        ({"maskLevel": "light", "privacyConfig": {"maskLevel": "Conservative"}}, "conservative"),
        ({"maskLevel": "light", "privacyConfig": None}, "light"),
    ],
)
def test_the_mask_level(options: dict[str, object], expected: str) -> None:
    assert PluginConfig.parse(KEY | options).mask_level == expected


@pytest.mark.parametrize(("zone", "expected"), [("EU", "EU"), ("eu", "US"), ("US", "US"), (None, "US"), (5, "US")])
def test_the_zone_is_eu_only_to_the_letter(zone: object, expected: str) -> None:
    assert PluginConfig.parse({**KEY, "serverZone": zone}).server_zone == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (None, "no JSON object"), ([], "no JSON object"), ("x", "no JSON object"), ({}, "no apiKey"),
        ({"apiKey": ""}, "no apiKey"), ({"apiKey": 5}, "no apiKey"), ({**KEY, "deviceId": 5}, "deviceId"),
        ({**KEY, "sampleRate": "0.5"}, "sampleRate"), ({**KEY, "sampleRate": None}, "sampleRate"),
        ({**KEY, "sampleRate": True}, "sampleRate"), ({**KEY, "sampleRate": float("nan")}, "sampleRate"),
        ({**KEY, "optOut": "no"}, "optOut"), ({**KEY, "enableRemoteConfig": 1}, "enableRemoteConfig"),
        ({**KEY, "privacyConfig": "light"}, "privacyConfig"),
    ],
)  # fmt: skip
def test_what_the_plugin_could_not_run_with_is_named(options: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as raised:
        PluginConfig.parse(options)
    assert raised.value.hint


def test_options_that_the_plugin_does_not_know_are_told() -> None:
    assert PluginConfig.parse({**KEY, "samplerate": 1, "a": 2}).ignored == ("a", "samplerate")


def test_the_options_as_settings() -> None:
    loaded = load({}, plugin=PluginConfig.parse({**KEY, "sampleRate": 0.5, "serverZone": "EU"}).settings())
    assert loaded.settings.plugin.sample_rate == 0.5
    assert loaded.settings.plugin.server_zone == "EU"
    assert loaded.settings.plugin.remote_config is True
    assert loaded.settings.upload.api_key.get_secret_value() == "k"
    assert loaded.origins["plugin.sample_rate"] == "plugin config"


@pytest.mark.parametrize("name", ["sampleRate", "sessionId"])
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_number_without_a_value_is_named(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        PluginConfig.parse({"apiKey": "k", name: value})
