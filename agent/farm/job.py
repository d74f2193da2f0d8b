"""What the broker carries: a job that is asked for and the report of what became of it. Never pixels, never keys.

Both come from outside the process, so both are read strictly: an unknown field, a wrong type or too much of anything is
a ConfigError that names the field.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from agent.errors import ConfigError

JOB_BYTES = 256_000
REPORT_BYTES = 512_000
# A job names so many tags at most, for a device has a queue for every choice of so many of its own.
MOST_WANTED = 3
MOST_TAGS = 8
ROWS = 1000
CELL = 500
LINE = 2000

Outcome = Literal["passed", "failed", "device-lost", "host-lost", "stopped", "expired", "refused", "lost"]
MEANINGS: Mapping[Outcome, str] = {
    "passed": "its command ended with 0",
    "failed": "its command ended with another code",
    "device-lost": "the device went away meanwhile; the report is partial",
    "host-lost": "the host, or its worker, went away meanwhile; the report is partial",
    "stopped": "somebody stopped it; the report is partial",
    "expired": "it took longer than it may; the report is partial",
    "refused": "no host would run it; it did not begin",
    "lost": "it did not begin, and the broker knows nothing of it any more",
}
# What these say is all there is: nothing ended by itself.
PARTIAL: frozenset[Outcome] = frozenset({"device-lost", "host-lost", "stopped", "expired"})

Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Tag = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,39}$")]
# As adb prints them: no blanks, nothing that ends a line.
Serial = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:\[\]%-]{0,119}$")]
Word = Annotated[str, StringConstraints(max_length=32_000, pattern=r"^[^\x00]*$")]
Line = Annotated[str, StringConstraints(max_length=LINE)]
Cell = str | int | float | bool | None
_STRICT = ConfigDict(strict=True, frozen=True, extra="forbid")


class Job(BaseModel):
    """One command for one device.

    `tags` must all be the device's, `serial` is a certain one. `index` of `count` shards. `sinks` are those of `run`,
    besides the job's own folder; `cwd` = the folder on the host to run in (left out: the job's own); `seconds` = how
    long it may take.
    """

    model_config = _STRICT
    format: Literal[1] = 1
    id: Id = Field(default_factory=lambda: secrets.token_hex(16))
    command: tuple[Word, ...] = Field(min_length=1, max_length=1000)
    tags: tuple[Tag, ...] = Field((), max_length=MOST_WANTED)
    serial: Serial | None = None
    index: int = Field(0, ge=0, lt=10_000)
    count: int = Field(1, ge=1, le=10_000)
    sinks: tuple[Line, ...] = Field((), max_length=8)
    app: Line | None = None
    keep: Literal["all", "failed", "first-retry"] = "all"
    cwd: Line | None = None
    seconds: float | None = Field(None, gt=0, le=7 * 86_400)

    @field_validator("command")
    @classmethod
    def _program(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        if not command[0].strip():
            raise ValueError("names no program")
        return command

    @field_validator("tags")
    @classmethod
    def _sorted(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(tags)))

    @field_validator("sinks")
    @classmethod
    def _keyless(cls, sinks: tuple[str, ...]) -> tuple[str, ...]:
        for sink in sinks:
            kind, _, rest = sink.partition(":")
            if kind not in {"dir", "collector", "amplitude"} or not rest:
                raise ValueError("takes dir:PATH, collector:URL and amplitude:us|eu")
            address = urlsplit(rest)
            if kind != "dir" and (address.username or address.password or address.query):
                raise ValueError("must carry no password or key: the host's own settings have it")
        return sinks

    @property
    def queue(self) -> str:
        """Where it waits: for the device, or for whoever has all of its tags."""
        return serial_queue(self.serial) if self.serial else tags_queue(self.tags)


class JobReport(BaseModel):
    """What became of a job.

    `exit_code` is the command's own, None when it ended otherwise. `table` are the rows that `run` printed: test,
    attempt, session id, device id, replay. `replays` says where recordings went, `log` where on the host its output is.
    """

    model_config = _STRICT
    format: Literal[1] = 1
    job: Id
    outcome: Outcome
    host: Line = ""
    serial: Line = ""
    index: int = 0
    count: int = 1
    exit_code: int | None = None
    reason: Line = ""
    began_ms: int = 0
    ended_ms: int = 0
    table: tuple[dict[str, Cell], ...] = Field((), max_length=ROWS)
    left_out: int = 0
    replays: tuple[Line, ...] = Field((), max_length=ROWS)
    log: Line = ""

    @property
    def partial(self) -> bool:
        """Whether it was cut short."""
        return self.outcome in PARTIAL

    def noting(self, words: str) -> JobReport:
        """The same, with more to its reason."""
        return self.model_copy(update={"reason": f"{self.reason} {words}".strip()[:LINE]})


def read_job(data: bytes | str | Mapping[str, Any]) -> Job:
    """A job as it came. Raises ConfigError that names the field and quotes nothing of it."""
    raw = _raw(data, JOB_BYTES, "job")
    try:
        return Job.model_validate_json(raw)
    except ValidationError as error:
        raise _wrong("job", error) from None


def read_report(data: bytes | str | Mapping[str, Any]) -> JobReport:
    """A report as it came. Raises ConfigError."""
    raw = _raw(data, REPORT_BYTES, "report")
    try:
        return JobReport.model_validate_json(raw)
    except ValidationError as error:
        raise _wrong("report", error) from None


def shards(job: Mapping[str, Any], count: int) -> list[Job]:
    """The same job `count` times, each its own id and index. Raises ConfigError."""
    return [read_job({**job, "id": secrets.token_hex(16), "index": index, "count": count}) for index in range(count)]


def fits(job: Job, serial: str, tags: Sequence[str]) -> bool:
    """Whether a device may take a job."""
    return job.serial == serial if job.serial else set(job.tags) <= set(tags)


def serial_queue(serial: str) -> str:
    return f"serial={serial}"


def tags_queue(tags: Sequence[str]) -> str:
    return f"tags={'+'.join(sorted(set(tags)))}"


def queues(serial: str, tags: Sequence[str]) -> list[str]:
    """Where a device looks for work: its own queue, and one for each choice of its tags, the empty one included."""
    known = sorted(set(tags))[:MOST_TAGS]
    return [
        serial_queue(serial),
        *(tags_queue(choice) for size in range(MOST_WANTED, -1, -1) for choice in combinations(known, size)),
    ]


def rows(table: Sequence[Mapping[str, Any]]) -> tuple[tuple[dict[str, Cell], ...], int]:
    """What a report can hold of a table, and how many rows that leaves out."""
    kept: list[dict[str, Cell]] = []
    size = 0
    for row in table[:ROWS]:
        cells = {str(name)[:100]: _cell(value) for name, value in list(row.items())[:40]}
        size += len(orjson.dumps(cells))
        if size > REPORT_BYTES // 2:
            break
        kept.append(cells)
    return tuple(kept), len(table) - len(kept)


def places(paths: Sequence[str]) -> tuple[str, ...]:
    """What a report can hold of where recordings went, the first ones."""
    kept: list[str] = []
    size = 0
    for path in paths[:ROWS]:
        size += len(orjson.dumps(path[:LINE])) + 1
        if size > REPORT_BYTES // 4:
            break
        kept.append(path[:LINE])
    return tuple(kept)


def _cell(value: Any) -> Cell:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        # JSON for all: what does not fit into 64 bits goes as text.
        return value if -(1 << 63) <= value < 1 << 63 else str(value)[:CELL]
    return (value if isinstance(value, str) else str(value))[:CELL]


def _raw(data: bytes | str | Mapping[str, Any], limit: int, what: str) -> bytes:
    try:
        raw = data.encode() if isinstance(data, str) else data if isinstance(data, bytes) else orjson.dumps(dict(data))
    except (TypeError, ValueError, UnicodeEncodeError) as error:
        raise ConfigError(f"The {what} cannot be written as JSON.", "") from error
    if len(raw) > limit:
        raise ConfigError(f"The {what} has {len(raw):,} bytes; {limit:,} are the most.", "")
    return raw


def _wrong(what: str, error: ValidationError) -> ConfigError:
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or what
    return ConfigError(f"The {what} is wrong: {place}: {first['msg']}.", "")
