"""The stored form of a recording, as pure functions between values and JSON-able mappings.

`recording.json` is `{"schema", "created_ms", "generator"}`. A manifest document is `{"schema", ...fields of
SegmentManifest, "lines", "events_digest"}`: `lines` counts the rrweb events, `events_digest` is xxh3_64 of the event
file. Both carry their own schema, so that several versions of the program may write to one recording. Readers ignore
what they do not know, take the model's default for what is optional, and raise RecordingError for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from agent.errors import RecordingError
from agent.model import Cost, Counts, Loss, SealReason, SegmentManifest

SCHEMA = 1

# Step n turns a document of schema n into one of schema n + 1; every bump of SCHEMA adds one.
UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}

SEGMENT_ID = re.compile(r"[0-9a-f]{8,64}")
DIGEST = re.compile(r"[0-9a-f]{32}")
# The year 5138: what is later is no time at which a screen was recorded.
END_OF_TIME_MS = 10**14
_REASONS: tuple[SealReason, ...] = get_args(SealReason)


class Damaged(RecordingError):
    """A document is not what was written."""


@dataclass(frozen=True, slots=True)
class Header:
    """What `recording.json` says: when the folder was made (epoch ms) and by which program."""

    created_ms: int
    generator: str


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest and what is needed to check its event file."""

    manifest: SegmentManifest
    lines: int
    events_digest: str


def header_document(header: Header) -> dict[str, Any]:
    return {"schema": SCHEMA, **asdict(header)}


def read_header(document: object) -> Header:
    """Raises RecordingError when the document is damaged or newer than this program."""
    fields = upgrade(document)
    return Header(_integer(fields, "created_ms"), _text(fields, "generator", ""))


def manifest_document(stored: StoredManifest) -> dict[str, Any]:
    """For orjson, which reads the dataclasses in it by itself, at a fifth of the time of `asdict`."""
    manifest = stored.manifest
    fields = {name: getattr(manifest, name) for name in SegmentManifest.__slots__}
    fields["device"] = dict(manifest.device)
    return {"schema": SCHEMA, **fields, "lines": stored.lines, "events_digest": stored.events_digest}


def read_manifest(document: object) -> StoredManifest:
    """Raises RecordingError when the document is damaged or newer than this program."""
    fields = upgrade(document)
    pictures = tuple(check_digest(item) for item in _list(fields, "pictures"))
    start_ms, end_ms = check_times(_integer(fields, "start_ms"), _integer(fields, "end_ms"))
    manifest = SegmentManifest(
        id=check_id(_text(fields, "id")),
        session_id=_integer(fields, "session_id"),
        device_id=_text(fields, "device_id"),
        serial=_text(fields, "serial", ""),
        seq=_integer(fields, "seq"),
        start_ms=start_ms,
        end_ms=end_ms,
        reason=read_reason(fields.get("reason")),
        counts=read_counts(fields.get("counts")),
        pictures=pictures,
        bytes=_integer(fields, "bytes", 0),
        losses=read_losses(fields.get("losses")),
        device=read_device(fields.get("device")),
        session_from=_text(fields, "session_from", ""),
        device_from=_text(fields, "device_from", ""),
        supersedes=_text(fields, "supersedes", ""),
        cost=read_cost(fields.get("cost")),
    )
    return StoredManifest(manifest, _integer(fields, "lines"), _text(fields, "events_digest"))


def read_reason(value: object) -> SealReason:
    for reason in _REASONS:
        if reason == value:
            return reason
    raise _damaged(f"reason is {value!r}")


def read_counts(value: object) -> Counts:
    """Counts from a mapping of names to integers; absent ones are 0, unknown ones are ignored."""
    fields = _mapping(value, "counts")
    return Counts(**{name: _integer(fields, name, 0) for name in Counts.__slots__})


def read_cost(value: object) -> Cost:
    """As `read_counts`."""
    fields = _mapping(value, "cost")
    return Cost(**{name: _integer(fields, name, 0) for name in Cost.__slots__})


def read_losses(value: object) -> tuple[Loss, ...]:
    """Losses from a list of {stage, reason, count}; absent means none."""
    rows = [] if value is None else value
    if not isinstance(rows, list):
        raise _damaged("losses is not a list")
    entries = [_mapping(row, "losses") for row in rows]
    return tuple(Loss(_text(row, "stage"), _text(row, "reason"), _integer(row, "count")) for row in entries)


def read_device(value: object) -> dict[str, str]:
    """The facts of the device as texts; values of another type are ignored."""
    fields = _mapping(value, "device")
    return {name: fact for name, fact in fields.items() if isinstance(fact, str)}


def upgrade(
    document: object,
    steps: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = UPGRADES,
    target: int = SCHEMA,
) -> dict[str, Any]:
    """The document in the form of schema `target`. Raises RecordingError when no way leads there."""
    if not isinstance(document, dict):
        raise _damaged("not a JSON object")
    schema = _integer(document, "schema")
    if schema > target:
        raise RecordingError(
            f"Written by a newer version of this program (schema {schema}, this one reads up to {target}).",
            "Install a newer version of android-replay-agent.",
        )
    while schema < target:
        if schema not in steps:
            raise _damaged(f"schema {schema} is unknown")
        document = steps[schema](document)
        schema += 1
    return document


def check_id(text: str) -> str:
    """A segment id is 8 to 64 lower-case hex digits, so that it is safe as a file name. Raises RecordingError."""
    if not SEGMENT_ID.fullmatch(text):
        raise _damaged(f"{text[:80]!r} is no segment id")
    return text


def check_times(start_ms: int, end_ms: int) -> tuple[int, int]:
    """Both, when a segment can have them: no calendar tells other times. Raises RecordingError."""
    if not 0 <= start_ms <= end_ms < END_OF_TIME_MS:
        raise _damaged(f"from {start_ms} to {end_ms} ms is no time")
    return start_ms, end_ms


def check_digest(text: object) -> str:
    """A picture's digest is 32 lower-case hex digits (xxh3_128). Raises RecordingError."""
    if not isinstance(text, str) or not DIGEST.fullmatch(text):
        raise _damaged(f"{str(text)[:80]!r} is no picture digest")
    return text


def _damaged(what: str) -> Damaged:
    return Damaged(f"Damaged: {what}.", "The other segments of the recording can still be used.")


def _mapping(value: object, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _damaged(f"{name} is not an object")
    return value


def _list(fields: Mapping[str, Any], name: str) -> list[Any]:
    value = fields.get(name, [])
    if not isinstance(value, list):
        raise _damaged(f"{name} is not a list")
    return value


def _integer(fields: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = fields.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _damaged(f"{name} is {value!r}, not an integer")
    return value


def _text(fields: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = fields.get(name, default)
    if not isinstance(value, str):
        raise _damaged(f"{name} is {value!r}, not a text")
    return value
