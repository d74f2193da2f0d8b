"""A part of a recording as one plain rrweb event list, for any player."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from agent.export.part import Part
from agent.export.stream import Stream, shortened
from agent.replay import rrweb
from agent.store.recording import REFERENCE, data_uri, inline

Tell = Callable[[float], None]


def write(stream: Stream, part: Part, file: BinaryIO, tell: Tell) -> int:
    """Write the JSON array, an event a line, pictures in line; the number of events. `tell` hears the share done.

    Memory is that of a segment, however long the recording. Raises RecordingError.
    """
    count = 0
    file.write(b"[\n")
    for event in shortened(stream):
        if event["type"] == 4:
            tell((event["timestamp"] - part.from_ms) / max(1, part.ms))
        line = rrweb.dumps(event)
        found = {digest: stream.picture(digest.decode()) for digest in REFERENCE.findall(line)}
        uris = {digest: data_uri(picture) for digest, picture in found.items() if picture is not None}
        file.write((b",\n" if count else b"") + inline(line, uris))
        count += 1
    file.write(b"\n]\n")
    return count
