"""A stretch of time of one device, taken out of a recording as a recording of its own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from agent.model import SegmentManifest
from agent.replay.flattening import Seen
from agent.replay.trim import trim
from agent.store.recording import Recording


def excerpt(recording: Recording, serial: str, from_ms: int, to_ms: int, into: Path) -> tuple[SegmentManifest, ...]:
    """Write what a device showed from `from_ms` to `to_ms` (epoch ms, both inside) into a new folder `into`.

    Gives the manifests of what is in it, oldest first: cut to the stretch, each opening with what was on the screen
    and nothing else. Raises RecordingError for a damaged segment, StorageError.
    """
    target = Recording.create(into)
    written = []
    seen = Seen()
    for manifest in touched(recording.manifests(), serial, from_ms, to_ms):
        sealed = trim(recording.sealed(manifest.id), from_ms, to_ms, seen)
        if sealed is not None:
            target.write(sealed)
            written.append(sealed.manifest)
    return tuple(written)


def touched(manifests: Iterable[SegmentManifest], serial: str, from_ms: int, to_ms: int) -> list[SegmentManifest]:
    """Those of a device that reach into a stretch of time, oldest first."""
    inside = (m for m in manifests if m.serial == serial and m.start_ms <= to_ms and m.end_ms >= from_ms)
    return sorted(inside, key=lambda m: (m.start_ms, m.seq))
