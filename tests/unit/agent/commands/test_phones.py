from __future__ import annotations

import os

import pytest
from fakes.emulate import run_adb

from agent.commands.phones import phones
from agent.errors import ConfigError
from agent.settings import load


def test_an_emulated_phone_is_there_for_the_block() -> None:
    with phones(load({}).settings, ["emulated:idle"]) as found:
        (serial,) = found.specs
        assert found.app == "com.northbay.shop"
        assert found.settings.adb.port == int(found.environment["ANDROID_ADB_SERVER_PORT"])
        environment = {**os.environ, **found.environment}
        assert f"{serial}\tdevice" in run_adb(environment, "devices").stdout.decode()


def test_other_specs_stay_as_they_are() -> None:
    settings = load({}).settings
    with phones(settings, ["usb:R58", "emulator:5554"]) as found:
        assert (found.settings, found.specs, found.environment) == (settings, ("usb:R58", "emulator:5554"), {})


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        (["emulated:holiday"], "no scenario 'holiday'"),
        (["emulated:"], "no scenario ''"),
        (["emulated:shop", "emulated:idle"], "one scenario"),
        (["emulated:shop", "usb:R58"], "adb server of their own"),
    ],
)
def test_what_cannot_be_is_said(specs: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words), phones(load({}).settings, specs):
        raise AssertionError
