from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import pytest
from fakes.segments import segment
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import RecordingError
from agent.model import Cost, Counts, Loss, SegmentManifest
from agent.store import schema
from agent.store.schema import Header, StoredManifest

MANIFEST = segment().manifest
HEX = "0123456789abcdef"
INT64 = st.integers(-(2**63), 2**63 - 1)
MANIFESTS = st.builds(
    SegmentManifest,
    id=st.text(HEX, min_size=8, max_size=64),
    session_id=INT64,
    device_id=st.text(),
    serial=st.text(),
    seq=st.integers(0, 1000),
    start_ms=st.integers(0, 10**13),
    end_ms=st.integers(10**13, 10**14 - 1),
    reason=st.sampled_from(["time", "size", "session", "resize", "stop", "lost"]),
    counts=st.builds(Counts, frames=st.integers(0, 99), blocked=st.integers(0, 99)),
    pictures=st.lists(st.text(HEX, min_size=32, max_size=32), max_size=3).map(tuple),
    bytes=st.integers(0, 2**40),
    losses=st.lists(st.builds(Loss, st.text(), st.text(), st.integers(0, 99)), max_size=3).map(tuple),
    device=st.dictionaries(st.text(), st.text(), max_size=3),
    session_from=st.text(),
    device_from=st.text(),
    cost=st.builds(Cost, cpu_ms=st.integers(0, 2**40), lost=st.integers(0, 99)),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(MANIFESTS, st.integers(0, 10_000))
def test_manifest_survives_the_disk(manifest: SegmentManifest, lines: int) -> None:
    stored = StoredManifest(manifest, lines, "ab")
    try:
        text = orjson.dumps(schema.manifest_document(stored))
    except TypeError:  # lone surrogates are no JSON text
        return
    assert schema.read_manifest(orjson.loads(text)) == stored


def test_header_survives_the_disk() -> None:
    header = Header(1_760_000_000_000, "android-replay-agent 0.1.0")
    assert schema.read_header(orjson.loads(orjson.dumps(schema.header_document(header)))) == header


@given(JSON)
def test_any_document_is_read_or_refused(document: object) -> None:
    for read in (schema.read_manifest, schema.read_header):
        with pytest.raises(RecordingError):
            read(document)


@given(st.data())
def test_any_damaged_field_is_refused_or_read(data: st.DataObject) -> None:
    fields = document()
    fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(JSON)
    with suppress(RecordingError):
        schema.read_manifest(fields)


def document(**changed: object) -> dict[str, Any]:
    """A good manifest document, as JSON reads it back, with some fields changed."""
    return orjson.loads(orjson.dumps(schema.manifest_document(StoredManifest(MANIFEST, 3, "ab")))) | changed


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "../../etc/passwd"),
        ("id", "AB" * 16),
        ("pictures", ["../x"]),
        ("pictures", "ab"),
        ("session_id", True),
        ("session_id", "1"),
        ("start_ms", 1.5),
        ("reason", "boredom"),
        ("losses", [1]),
        ("losses", {}),
        ("counts", []),
        ("counts", {"frames": "3"}),
        ("device", []),
        ("device_id", None),
    ],
)
def test_bad_fields_are_refused(field: str, value: object) -> None:
    with pytest.raises(RecordingError, match="Damaged"):
        schema.read_manifest(document(**{field: value}))


def test_unknown_fields_are_ignored_and_optional_ones_defaulted() -> None:
    fields = document(later="thing", counts={"frames": 2, "dreams": 4}, device={"model": "Pixel", "size": 3})
    for name in ("losses", "session_from", "device_from", "serial", "bytes"):
        del fields[name]
    manifest = schema.read_manifest(fields).manifest
    assert manifest.counts == Counts(frames=2)
    assert manifest.device == {"model": "Pixel"}
    assert (manifest.losses, manifest.session_from, manifest.serial, manifest.bytes) == ((), "", "", 0)


def test_a_newer_schema_says_so() -> None:
    with pytest.raises(RecordingError, match="newer version") as caught:
        schema.read_manifest(document(schema=schema.SCHEMA + 1))
    assert "Install" in caught.value.hint


def test_upgrade_takes_one_step_per_version() -> None:
    steps = {
        1: lambda fields: {**fields, "b": fields["a"] + 1},
        2: lambda fields: {**fields, "c": fields["b"] + 1},
    }
    assert schema.upgrade({"schema": 1, "a": 1}, steps, target=3) == {"schema": 1, "a": 1, "b": 2, "c": 3}
    assert schema.upgrade({"schema": 3, "a": 1}, steps, target=3) == {"schema": 3, "a": 1}
    with pytest.raises(RecordingError, match="schema 0 is unknown"):
        schema.upgrade({"schema": 0}, steps, target=3)


def test_every_older_schema_has_a_step() -> None:
    assert set(schema.UPGRADES) == set(range(1, schema.SCHEMA))


@pytest.mark.parametrize(
    ("start_ms", "end_ms"),
    [(-(10**15), 10**12), (-1, 5), (10**12, 10**17), (10**12, 10**14), (10**12, 0), (10**12, 10**12 - 1)],
)
def test_times_that_no_calendar_tells_are_damage(start_ms: int, end_ms: int) -> None:
    with pytest.raises(RecordingError, match="is no time"):
        schema.read_manifest(document(start_ms=start_ms, end_ms=end_ms))
    assert schema.read_manifest(document(start_ms=10**12, end_ms=10**12)).manifest.start_ms == 10**12
