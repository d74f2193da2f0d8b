"""Erasing segments from a recording: every byte is overwritten before its file goes.

First a note of what is condemned, durable; readers leave that out from then on. Then pictures, events and manifests,
and the ids in the receipts of redactions. The note goes last, so that a run that was interrupted at any instant is
finished by the next, whatever that one is asked for. Whoever erases holds the recording's lock alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import orjson

from agent.errors import RecordingError
from agent.store.disk import erase_words
from agent.store.recording import REDACTIONS, Recording
from agent.store.replays import Key
from agent.store.schema import SEGMENT_ID


def begin(recording: Recording, segment_ids: Iterable[str]) -> None:
    """Condemn these segments, whether they are here or not. Raises StorageError."""
    names = {*segment_ids}
    if names - recording.condemned():
        recording.condemn(names)


def begun(recording: Recording) -> set[Key]:
    """The replays of the segments that are condemned and still there: a run was interrupted. Raises StorageError."""
    found: set[Key] = set()
    for name in recording.condemned():
        with suppress(RecordingError):
            found.add(recording.manifest(name).key)
    return found


def copies(recording: Recording) -> dict[str, str]:
    """Of what was redacted the former id, and that of the copy: a copy may have one, too. Raises StorageError."""
    made = {manifest.supersedes: manifest.id for manifest in recording.manifests() if manifest.supersedes}
    for receipt in (recording.path / REDACTIONS).glob("*.json"):
        try:
            pairs = [(pair["before"], pair["after"]) for pair in orjson.loads(receipt.read_bytes())["segments"]]
            made |= {before: after for before, after in pairs if SEGMENT_ID.fullmatch(before)}
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
            continue
    return made


def former(recording: Recording, segment_ids: Iterable[str]) -> set[str]:
    """The ids that these segments had before they were redacted, once or several times. Raises StorageError."""
    made = {after: before for before, after in copies(recording).items()}
    found: set[str] = set()
    left = {*segment_ids}
    while left := {made[name] for name in left if name in made} - found:
        found |= left
    return found


def finish(recording: Recording) -> tuple[int, int]:
    """Destroy what is condemned, then the note of it; the numbers of files and of bytes. Raises StorageError."""
    condemned = recording.condemned()
    if not condemned:
        return 0, 0
    destroyed = recording.destroy()
    for receipt in sorted((recording.path / REDACTIONS).glob("*.json*")):
        erase_words(receipt, [name.encode() for name in sorted(condemned)])
    recording.acquit()
    return destroyed
