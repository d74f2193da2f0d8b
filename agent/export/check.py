"""Whether an unmodified player can show a recording, or an exported event list: every problem with its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from agent.errors import RecordingError
from agent.replay.validator import validate
from agent.store.recording import Recording


@dataclass(frozen=True, slots=True)
class Fault:
    """Rule `rule` is broken in `file` by its event `event` (from 0; None: by the file as a whole)."""

    file: str
    event: int | None
    rule: str
    detail: str


def recording(stored: Recording) -> Iterator[Fault | None]:
    """What is wrong with each segment, then None for it: what cannot be read, and what a player cannot show."""
    manifests, problems = stored.scan()
    for problem in problems:
        yield Fault(f"segments/{problem.file}", None, "damaged", problem.reason)
        yield None
    for manifest in manifests:
        file = f"segments/{manifest.id}.jsonl"
        try:
            sealed = stored.sealed(manifest.id)
        except RecordingError as error:
            yield Fault(file, None, "damaged", error.message)
        else:
            for found in validate(sealed.events, sealed.pictures):
                yield Fault(file, None if found.index < 0 else found.index, found.rule, found.detail)
        yield None


def event_list(file: Path) -> Iterator[Fault | None]:
    """What is wrong with an rrweb event list in a file, then None. Raises RecordingError when it is none."""
    hint = "Give a recording's folder, or a list that `export --format rrweb` wrote."
    try:
        events = orjson.loads(file.read_bytes())
    except OSError as error:
        raise RecordingError(f"{file}: {error.strerror}.", hint) from error
    except orjson.JSONDecodeError as error:
        raise RecordingError(f"{file} is not JSON: {error}.", hint) from error
    if not isinstance(events, list):
        raise RecordingError(f"{file} is no event list.", hint)
    for found in validate(events, {}, batch=False):
        yield Fault(str(file), None if found.index < 0 else found.index, found.rule, found.detail)
    yield None
