"""The options of Amplitude's Segment Session Replay plugin, as an app gives them, with the plugin's own defaults.

Sources: amplitude/Amplitude-TypeScript at 6deb0623b, `segment-session-replay-plugin.ts`, `session-replay-config.ts`
and `SessionReplayReactNativeModule.kt` of its React Native packages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agent.errors import ConfigError
from agent.model import MaskLevel

DEFAULT_SAMPLE_RATE = 0.0
WARN = 2
_LOG_LEVELS = range(5)
_MASK_LEVELS: tuple[MaskLevel, ...] = ("light", "medium", "conservative")
_KNOWN = frozenset((
    "apiKey", "deviceId", "sampleRate", "enableRemoteConfig", "logLevel", "autoStart", "privacyConfig", "maskLevel",
    "optOut", "serverZone", "sessionId",
))  # fmt: skip
_HINT = "Give the object that the app passes to createSegmentSessionReplayPlugin, as JSON."


@dataclass(frozen=True, slots=True)
class PluginConfig:
    """What the plugin would run with.

    `device_id` and `session_id` are no more than initial values: the first event replaces both, so they never name a
    replay. `ignored` are options that the plugin does not know.
    """

    api_key: str
    device_id: str | None = None
    sample_rate: float = DEFAULT_SAMPLE_RATE
    enable_remote_config: bool = True
    log_level: int = WARN
    auto_start: bool = True
    mask_level: MaskLevel = "medium"
    opt_out: bool = False
    server_zone: Literal["US", "EU"] = "US"
    session_id: int = -1
    ignored: tuple[str, ...] = ()

    @classmethod
    def parse(cls, options: object) -> PluginConfig:
        """Read the options as the plugin does. Raises ConfigError that names the option and what it accepts."""
        if not isinstance(options, Mapping):
            raise ConfigError("The plugin config is no JSON object.", _HINT)
        key = options.get("apiKey")
        if not isinstance(key, str) or not key:
            raise ConfigError("The plugin config has no apiKey; the plugin does not start without.", _HINT)
        device = options.get("deviceId")
        if device is not None and not isinstance(device, str):
            raise ConfigError("deviceId of the plugin config is no text.", _HINT)
        return cls(
            api_key=key,
            device_id=device,
            sample_rate=min(1.0, max(0.0, _number(options, "sampleRate", DEFAULT_SAMPLE_RATE))),
            enable_remote_config=_flag(options, "enableRemoteConfig", default=True),
            log_level=_log_level(options),
            # The plugin gives its default to an absent option only: null counts as false.
            auto_start=bool(options["autoStart"]) if "autoStart" in options else True,
            mask_level=_mask_level(options),
            opt_out=_flag(options, "optOut", default=False),
            server_zone="EU" if options.get("serverZone") == "EU" else "US",
            session_id=int(_number(options, "sessionId", -1)),
            ignored=tuple(sorted(str(name) for name in options if name not in _KNOWN)),
        )

    def settings(self) -> dict[str, object]:
        """The settings of a recording that these options stand for, by name."""
        return {
            "upload.api_key": self.api_key,
            "privacy.level": self.mask_level,
            "plugin.sample_rate": self.sample_rate,
            "plugin.remote_config": self.enable_remote_config,
            "plugin.auto_start": self.auto_start,
            "plugin.opt_out": self.opt_out,
            "plugin.server_zone": self.server_zone,
            "plugin.log_level": self.log_level,
        }


def _number(options: Mapping[object, object], name: str, default: float) -> float:
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{name} of the plugin config is no number: {value!r}.", _HINT)
    return value


def _flag(options: Mapping[object, object], name: str, *, default: bool) -> bool:
    value = options.get(name, default)
    if not isinstance(value, bool):
        raise ConfigError(f"{name} of the plugin config is neither true nor false: {value!r}.", _HINT)
    return value


def _log_level(options: Mapping[object, object]) -> int:
    value = options.get("logLevel", WARN)
    return int(value) if isinstance(value, int | float) and value in _LOG_LEVELS else WARN


def _mask_level(options: Mapping[object, object]) -> MaskLevel:
    """`maskLevel` is the older place and counts only without a `privacyConfig`; an unknown word means medium."""
    privacy = options.get("privacyConfig")
    if privacy is not None and not isinstance(privacy, Mapping):
        raise ConfigError("privacyConfig of the plugin config is no object.", _HINT)
    value = options.get("maskLevel") if privacy is None else privacy.get("maskLevel")
    word = value.lower() if isinstance(value, str) else ""
    return next((level for level in _MASK_LEVELS if level == word), "medium")
