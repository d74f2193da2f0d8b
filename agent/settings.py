"""Settings: one frozen tree from defaults, a TOML file, the environment and flags; each value's origin is known."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from agent import privacy
from agent.errors import ConfigError

Origin = Literal["default", "file", "environment", "plugin config", "flag"]
ENV_PREFIX = "ANDROID_REPLAY_"
RULES = "privacy.rules"
KEY_BYTES = 4096
Quality = Literal["text", "low", "medium", "high"]
# What the fields' defaults say is "medium".
QUALITIES: Mapping[object, Mapping[str, float]] = {
    "text": {"rate": 1.0, "touch_rate": 2.0},
    "low": {"width": 412, "rate": 1.0, "touch_rate": 2.0, "webp_quality": 30},
    "high": {"width": 720, "rate": 5.0, "touch_rate": 10.0, "webp_quality": 75},
}
_FROZEN = ConfigDict(frozen=True, extra="forbid")


def _state_home() -> Path:
    """Where state is kept. Without a home folder it is beside what waits, in the spool that the environment names.
    Raises ConfigError."""
    given = os.environ.get("XDG_STATE_HOME")
    if given:
        return Path(given) / "android-replay"
    try:
        return Path.home() / ".local" / "state" / "android-replay"
    except RuntimeError as error:
        spool = os.environ.get(f"{ENV_PREFIX}SPOOL")
        if spool:
            return Path(spool)
        raise ConfigError(
            "This user has no home folder, and nothing else says where state is to be kept.",
            f"Set HOME, XDG_STATE_HOME or {ENV_PREFIX}SPOOL to a folder that you can write.",
        ) from error


def _adb_port() -> int:
    text = os.environ.get("ANDROID_ADB_SERVER_PORT") or "5037"
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65535):
        raise ConfigError(
            f"ANDROID_ADB_SERVER_PORT is {text!r}, which is no port.", "Unset it, or set it to the adb server's port."
        )
    return int(text)


class Adb(BaseModel):
    """Where the adb server listens. The port's default follows ANDROID_ADB_SERVER_PORT, as adb's own does."""

    model_config = _FROZEN
    host: str = "127.0.0.1"
    port: int = Field(default_factory=_adb_port, ge=1, le=65535)


class Capture(BaseModel):
    """How the screen is sampled. `quality` names the values of all others that are not given; at `text` no pictures are
    taken, only views. `width` is that of the stored pictures in pixels, rates are pictures per second, `webp_quality`
    is libwebp's, `tree_interval` seconds between two looks at a screen that stands still. `video` = ask the phone for
    H.264 where this host can decode it; `bit_rate` is that of the video. `scrcpy_server` = a jar of scrcpy's server,
    3.x or 4.x, that the user has; `scrcpy_version` its version, when the file's name does not tell it. `display` is
    Android's number of the display that is recorded, 0 the default one."""

    model_config = _FROZEN
    quality: Quality = "medium"
    width: int = Field(540, ge=120, le=2160)
    rate: float = Field(2.0, gt=0, le=30)
    touch_rate: float = Field(5.0, gt=0, le=30)
    webp_quality: int = Field(50, ge=1, le=100)
    tree_interval: float = Field(2.0, gt=0, le=60)
    video: bool = True
    bit_rate: int = Field(2_000_000, ge=100_000, le=50_000_000)
    scrcpy_server: Path | None = None
    scrcpy_version: str = ""
    display: int = Field(0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        name = values.get("quality") if isinstance(values, dict) else None
        return {**QUALITIES.get(name, {}), **values} if isinstance(name, str) else values


class Privacy(BaseModel):
    """What is masked; the levels are those of Amplitude's mobile SDKs, `rules` the user's own.

    The rules of all sources hold together: which of two wins is a matter of what they do, not of where they stand.
    """

    model_config = _FROZEN
    level: Literal["light", "medium", "conservative"] = "medium"
    rules: tuple[privacy.Rule, ...] = ()


class Replay(BaseModel):
    """How a recording is cut into replay segments, and what of it is kept.

    With `ring_seconds` only what is within so many seconds of a trigger is kept (0 = all); `keep_on` names the
    triggers: crash (or a hang), error (in the app's log), event:NAME, signal. Sessions shorter than `min_seconds` are
    left out.
    """

    model_config = _FROZEN
    segment_seconds: float = Field(30.0, gt=0, le=600)
    segment_bytes: int = Field(2_000_000, ge=100_000, le=6_000_000)
    ring_seconds: float = Field(0.0, ge=0, le=900)
    keep_on: tuple[str, ...] = ("crash", "signal")
    min_seconds: float = Field(0.0, ge=0, le=3600)


class Upload(BaseModel):
    """How segments leave. `api_key` is the project's key, or `api_key_file` a file with it; it is never printed.

    `conformance` = "strict" drops what Amplitude's browser SDK would drop; "lossless" loses nothing. `parallel`
    sessions are sent at once to one sink, at `bytes_per_second` all together (0 = no limit). `ca_file` = certificates
    to trust (PEM) instead of the public ones. What could not be delivered for `keep_hours` is deleted, and that is
    noted (0 = never). A proxy is taken from the environment (HTTPS_PROXY, NO_PROXY).
    """

    model_config = _FROZEN
    api_key: SecretStr = SecretStr("")
    api_key_file: Path | None = None
    flush_seconds: float = Field(15.0, ge=0, le=600)
    conformance: Literal["lossless", "strict"] = "lossless"
    parallel: int = Field(4, ge=1, le=32)
    bytes_per_second: int = Field(0, ge=0)
    ca_file: Path | None = None
    keep_hours: float = Field(72.0, ge=0)


class Relay(BaseModel):
    """The Segment relay. `port` is the phone's, which the app is told; `upstream` replaces Segment's hosts."""

    model_config = _FROZEN
    port: int = Field(8378, ge=1, le=65535)
    upstream: str = ""
    enrichment: Literal["none", "legacy"] = "none"
    folder: Path = Field(default_factory=lambda: _state_home() / "relay")


class Plugin(BaseModel):
    """The options of Amplitude's Segment Session Replay plugin, as far as they are not settings of another section.

    A person who runs a recorder wants a recording: `sample_rate` is 1 and `remote_config` off unless an app's own
    plugin config says otherwise. `remote_url` = where to ask instead of Amplitude's host of the `server_zone`;
    `sampling` and `remote_form` = as which of Amplitude's SDKs; `log_level` from 0 (nothing) to 4 (debug).
    `strict` = ids come from the event itself, never by inference; `debug` = the plugin's debugMode, seen in enrichment.
    """

    model_config = _FROZEN
    sample_rate: float = Field(1.0, ge=0, le=1)
    sampling: Literal["mobile", "web"] = "mobile"
    remote_config: bool = False
    remote_url: str = ""
    remote_form: Literal["android", "web"] = "android"
    server_zone: Literal["US", "EU"] = "US"
    auto_start: bool = True
    opt_out: bool = False
    debug: bool = False
    strict: bool = False
    log_level: int = Field(2, ge=0, le=4)


class Log(BaseModel):
    """What this program says of itself; how much is `plugin.log_level`. `format` = lines or one JSON object a line,
    `file` = where to instead of standard error, `repeat_seconds` = a message that repeats is told so often at most."""

    model_config = _FROZEN
    format: Literal["text", "json"] = "text"
    file: Path | None = None
    repeat_seconds: float = Field(30.0, ge=0, le=86_400)


class Metrics(BaseModel):
    """Running figures for Prometheus on a `port` (0 = a free one), off when there is none. To other machines than this
    one they are told for a `token`, or that in the `token_file`."""

    model_config = _FROZEN
    port: int | None = Field(None, ge=0, le=65535)
    host: str = "127.0.0.1"
    token: SecretStr = SecretStr("")
    token_file: Path | None = None


class Farm(BaseModel):
    """The device farm. `broker` is Redis' URL, which may hold a password and is never printed, or `broker_file` a file
    with it; `name` = what this host is called there, its own name when left out. `folder` holds the jobs' working
    folders, the ledger and the devices' health, `leases` who has which device: that is for all farms of this host.

    A device rests after `quarantine_offline` departures in an hour, until it was there for `quarantine_seconds`; and
    while its battery is hotter than `max_temperature` (°C) or below `min_battery` (per cent), or it has less than
    `min_storage` bytes. A job's folder is deleted `keep_hours` after its report was delivered (0 = never).
    """

    model_config = _FROZEN
    broker: SecretStr = SecretStr("")
    broker_file: Path | None = None
    name: str = Field("", max_length=60, pattern=r"^[A-Za-z0-9._-]*$")
    folder: Path = Field(default_factory=lambda: _state_home() / "farm")
    leases: Path = Field(default_factory=lambda: _state_home() / "leases")
    quarantine_offline: int = Field(5, ge=1, le=99)
    quarantine_seconds: float = Field(600.0, ge=0, le=86_400)
    max_temperature: float = Field(45.0, gt=0, le=100)
    min_battery: int = Field(15, ge=0, le=90)
    min_storage: int = Field(500_000_000, ge=0)
    keep_hours: float = Field(72.0, ge=0)


class Settings(BaseSettings):
    """All settings. Environment names: ANDROID_REPLAY_<SECTION>__<NAME>, for example ANDROID_REPLAY_PRIVACY__LEVEL."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=ENV_PREFIX, env_nested_delimiter="__")
    spool: Path = Field(default_factory=lambda: _state_home() / "spool")
    adb: Adb = Field(default_factory=Adb)
    capture: Capture = Field(default_factory=Capture)
    privacy: Privacy = Field(default_factory=Privacy)
    replay: Replay = Field(default_factory=Replay)
    upload: Upload = Field(default_factory=Upload)
    relay: Relay = Field(default_factory=Relay)
    plugin: Plugin = Field(default_factory=Plugin)
    log: Log = Field(default_factory=Log)
    metrics: Metrics = Field(default_factory=Metrics)
    farm: Farm = Field(default_factory=Farm)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Values come from `load` alone, which knows their origin; no .env file is read from where one stands."""
        return (init_settings,)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings and where each value, named `section.name`, came from."""

    settings: Settings
    origins: Mapping[str, Origin]

    def rows(self) -> Iterator[tuple[str, str, Origin]]:
        """Every setting as (name, printable value, origin); a secret prints as stars or as "not set"."""
        for name, value in _flatten(self.settings.model_dump()):
            if isinstance(value, SecretStr):
                value = "*****" if value.get_secret_value() else "not set"
            elif name == RULES:
                value = "; ".join(rule.name for rule in self.settings.privacy.rules) or "none"
            yield name, str(value), self.origins.get(name, "default")


def load(flags: Mapping[str, Any], file: Path | None = None, plugin: Mapping[str, Any] | None = None) -> Loaded:
    """Merge defaults < file < environment < plugin config < flags.

    `flags` and `plugin` map `section.name` to a value; None means "not given". `privacy.rules` are added up.

    Raises ConfigError that names the setting, the place it came from and what it accepts.
    """
    from_file = _given(_read(file)) if file else {}
    from_flags = _nest({name: value for name, value in flags.items() if value is not None})
    from_environment = _given(_environment())
    from_plugin = _nest(plugin or {})
    origins: dict[str, Origin] = {}
    origins |= dict.fromkeys((name for name, _ in _flatten(from_file)), "file")
    origins |= dict.fromkeys((name for name, _ in _flatten(from_environment)), "environment")
    origins |= dict.fromkeys((name for name, _ in _flatten(from_plugin)), "plugin config")
    origins |= dict.fromkeys((name for name, _ in _flatten(from_flags)), "flag")
    rules = [*_rules(from_file, "file"), *_rules(from_environment, "environment"), *(flags.get(RULES) or ())]
    privacy.Rules(rules)
    merged = _merge(_merge(_merge(from_file, from_environment), from_plugin), from_flags)
    if rules:
        merged = _merge(merged, {"privacy": {"rules": tuple(rules)}})
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        origin = origins.get(name, "default")
        raise ConfigError(
            f"Setting {name} ({origin}): {first['msg']}.",
            "Run `android-replay doctor` to see every setting and its origin.",
        ) from error
    for section, name, what in (
        ("upload", "api_key", "the project's API key"),
        ("metrics", "token", "the token"),
        ("farm", "broker", "the broker's URL"),
    ):
        settings = _with_secret(settings, origins, section, name, what)
    return Loaded(settings, origins)


def _with_secret(settings: Settings, origins: dict[str, Origin], section: str, name: str, what: str) -> Settings:
    """With the secret from its file, if there is one and the secret itself is not given."""
    values = getattr(settings, section)
    file = getattr(values, f"{name}_file")
    if file is None or getattr(values, name).get_secret_value():
        return settings
    origins[f"{section}.{name}"] = origins[f"{section}.{name}_file"]
    secret = SecretStr(_first_line(file, f"{section}.{name}_file", what))
    return settings.model_copy(update={section: values.model_copy(update={name: secret})})


def _first_line(file: Path, setting: str, what: str) -> str:
    """The secret in a file. Raises ConfigError, which shows nothing of what is in it."""
    hint = f"Write {what} into it, and nothing else, or leave {setting} out."
    try:
        with file.open("rb") as stream:
            key = stream.read(KEY_BYTES).decode().partition("\n")[0].strip()
    except OSError as error:
        raise ConfigError(f"{setting} {file} cannot be read: {error.strerror}.", hint) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{setting} {file} holds no text.", hint) from error
    if not key:
        raise ConfigError(f"{setting} {file} begins with an empty line.", hint)
    return key


def _given(values: Mapping[str, Any], fields: Mapping[str, FieldInfo] = Settings.model_fields) -> dict[str, Any]:
    """Without paths that are empty: these count as not set, where a path would be the folder in which one stands. One
    that begins with ~ is in somebody's home, as where a shell reads it."""
    made = {}
    for name, value in values.items():
        field = fields.get(name)
        kind = None if field is None else field.annotation
        if isinstance(value, Mapping) and isinstance(kind, type) and issubclass(kind, BaseModel):
            made[name] = _given(value, kind.model_fields)
        elif kind not in (Path, Path | None) or not isinstance(value, str):
            made[name] = value
        elif value:
            # As it is where nobody has such a home.
            with suppress(RuntimeError):
                value = Path(value).expanduser()
            made[name] = value
    return made


def _environment() -> dict[str, Any]:
    try:
        return EnvSettingsSource(Settings)()
    except SettingsError as error:
        raise ConfigError(
            f"An environment variable {ENV_PREFIX}... is not the JSON that is expected: {error} ({error.__cause__}).",
            'A list is written ["crash", "signal"], '
            f'{ENV_PREFIX}PRIVACY__RULES as [{{"action": "block", "id": "card_*"}}].',
        ) from error


def _rules(source: Mapping[str, Any], origin: Origin) -> list[privacy.Rule]:
    """The privacy rules of one source. Raises ConfigError that names the rule."""
    section = source.get("privacy")
    given = section.get("rules") if isinstance(section, Mapping) else None
    if given is None:
        return []
    if not isinstance(given, list):
        raise ConfigError(
            f"Setting {RULES} ({origin}) is {given!r}, not a list.", "Write each rule as a table [[privacy.rules]]."
        )
    return [privacy.read(value, f"Rule {n} of {RULES} ({origin})") for n, value in enumerate(given, 1)]


def _read(file: Path) -> dict[str, Any]:
    try:
        return TomlConfigSettingsSource(Settings, file)() if file.is_file() else _absent(file)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not TOML: {error}.", "Mend the file, or leave --config out.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not TOML: it is not UTF-8.", "Mend the file, or leave --config out.") from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.", "Check the path given with --config.") from error


def _absent(file: Path) -> dict[str, Any]:
    raise ConfigError(f"There is no settings file {file}.", "Check the path given with --config.")


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *sections, leaf = name.split(".")
        place = tree
        for section in sections:
            place = place.setdefault(section, {})
        place[leaf] = value
    return tree


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and below is not None:
            # What is no section is no section whatever comes over it.
            merged[key] = _merge(below, value) if isinstance(below, Mapping) else below
        else:
            merged[key] = value
    return merged
