"""Segments that are still open: what a recorder appends before it seals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fakes.segments import segment

from agent.model import Draft, SealedSegment
from agent.replay.segment import recovered


def drafts(sealed: SealedSegment, pieces: int = 3) -> list[Draft]:
    """The events of a segment but its end, in so many appends; a picture comes with the first event that shows it."""
    events = sealed.events[:-1]
    size = -(-len(events) // pieces)
    found: list[Draft] = []
    told: set[str] = set()
    for start in range(0, len(events), size):
        part = events[start : start + size]
        shown = {
            digest: picture
            for digest, picture in sealed.pictures.items()
            if digest not in told and any(digest.encode() in event for event in part)
        }
        told |= shown.keys()
        manifest = replace(
            sealed.manifest,
            id="",
            reason="lost",
            bytes=0,
            pictures=tuple(told),
            end_ms=sealed.manifest.start_ms + start,
        )
        found.append(Draft(manifest, part, shown))
    return found


def lost(sealed: SealedSegment, appended: Iterable[Draft]) -> SealedSegment:
    """What is to come back of a segment of which these were appended."""
    known = list(appended)
    pictures = {digest: picture for draft in known for digest, picture in draft.pictures.items()}
    return recovered(known[-1].manifest, [event for draft in known for event in draft.events], pictures)


OPEN = segment(3, shades=(3, 30, 33))
