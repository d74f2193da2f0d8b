"""Which part of a recording is exported: a session of a device id, from a time to a time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import xxhash

from agent.errors import ConfigError, RecordingError
from agent.model import SegmentManifest
from agent.store.recording import Problem, Recording

_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
MAX_NAME = 80
# More digits than any recording has seconds.
MAX_CLOCK = 32


@dataclass(frozen=True, slots=True)
class Part:
    """A session's replay segments in order of time, and the time that is wanted of it (epoch ms, both inside).

    The first segment is the one that is shown at `from_ms`, even if it ended before.
    """

    session_id: int
    device_id: str
    segments: tuple[SegmentManifest, ...]
    from_ms: int
    to_ms: int

    @property
    def name(self) -> str:
        """A file name for it, without a suffix. Another device id may make the same."""
        return f"{self.session_id}-{_UNSAFE.sub('_', self.device_id)}"[:MAX_NAME]

    @property
    def marked_name(self) -> str:
        """The same with a mark that no other device id has."""
        mark = xxhash.xxh3_64_hexdigest(self.device_id.encode("utf-8", "surrogatepass"))
        return f"{self.name[: MAX_NAME - len(mark) - 1]}-{mark}"

    @property
    def ms(self) -> int:
        return self.to_ms - self.from_ms


class Chosen(Recording):
    """A recording of which only the segments of some parts are there to be read."""

    def __init__(self, recording: Recording, chosen: Iterable[Part]) -> None:
        super().__init__(recording.path, recording.header, recording.shown)
        self._chosen = {segment.id for part in chosen for segment in part.segments}

    def scan(self) -> tuple[tuple[SegmentManifest, ...], tuple[Problem, ...]]:
        manifests, problems = super().scan()
        return tuple(manifest for manifest in manifests if manifest.id in self._chosen), problems


def parts(
    recording: Recording,
    session: int | None = None,
    device: str | None = None,
    begin: str | None = None,
    end: str | None = None,
) -> list[Part]:
    """The sessions of the recording that are asked for, oldest first.

    `begin` and `end` are times as `moment` reads them. Raises ConfigError that says what there is when nothing fits,
    RecordingError when what there is cannot be read.
    """
    found: dict[tuple[int, str], list[SegmentManifest]] = {}
    for manifest in recording.manifests():
        found.setdefault((manifest.session_id, manifest.device_id), []).append(manifest)
    chosen = {
        key: segments
        for key, segments in found.items()
        if session in (None, key[0]) and device in (None, key[1])
    }  # fmt: skip
    if not found:
        problems = recording.problems()
        if problems:
            told = "; ".join(map(str, problems[:3])) + ("; ..." if len(problems) > 3 else "")
            raise RecordingError(
                f"{recording.shown} holds no segment that can be read: {told}", "Get an undamaged copy of it."
            )
        raise _empty(recording.shown)
    if not chosen:
        there = ", ".join(f"{key[0]} of {key[1]}" for key in found)
        raise ConfigError(f"{recording.shown} holds no such session.", f"It holds: {there}.")
    made = [_part(key, segments, begin, end) for key, segments in chosen.items()]
    return sorted(made, key=lambda part: part.segments[0].start_ms)


def names(found: Sequence[Part]) -> list[str]:
    """A file name for each, without a suffix: no two that are one to a file system which does not tell cases apart."""
    alike = Counter(part.name.casefold() for part in found)
    # A device id may look like the marked name of another one.
    alike.update(part.marked_name.casefold() for part in found)
    return [part.name if alike[part.name.casefold()] == 1 else part.marked_name for part in found]


def check_filled(recording: Recording, path: Path) -> None:
    """Raises ConfigError with the next step when nothing was recorded yet. `path` is what the recording is called."""
    if recording.scan() == ((), ()):
        raise _empty(path)


def moment(text: str, start_ms: int) -> int:
    """A time as epoch milliseconds: seconds, M:SS or H:MM:SS from `start_ms`, or an ISO date and time (UTC unless it
    says otherwise). Raises ConfigError."""
    clock = _CLOCK.fullmatch(text.strip())
    if clock is not None and len(text) <= MAX_CLOCK:
        hours, minutes, seconds = clock.groups()
        return start_ms + round((int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds)) * 1000)
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(
            f"{text!r} is no time.", "Give seconds, M:SS or H:MM:SS from the start, or a date as 2026-03-01T10:15:00Z."
        ) from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _empty(path: Path) -> ConfigError:
    return ConfigError(
        f"{path} holds no readable segment.",
        "If its recorder was killed, `android-replay upload` brings what waits in the spool. Else record a session.",
    )


def _part(key: tuple[int, str], segments: list[SegmentManifest], begin: str | None, end: str | None) -> Part:
    segments = sorted(segments, key=lambda segment: (segment.start_ms, segment.seq))
    first, last = segments[0].start_ms, max(segment.end_ms for segment in segments)
    from_ms = first if begin is None else max(first, moment(begin, first))
    to_ms = last if end is None else min(last, moment(end, first))
    if from_ms >= to_ms:
        raise ConfigError(
            f"Session {key[0]} has nothing between these times.",
            f"It lasts {(last - first) / 1000:.1f} s, from {_iso(first)} to {_iso(last)}.",
        )
    before = [segment for segment in segments if segment.start_ms <= from_ms]
    after = [segment for segment in segments if from_ms < segment.start_ms <= to_ms]
    return Part(*key, (*before[-1:], *after), from_ms, to_ms)


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
