"""Where segments go: the protocol of a sink, and the specs that name one (`dir:PATH`, `collector:URL`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agent.errors import ConfigError
from agent.model import Delivery, SealedSegment


class Sink(Protocol):
    """A destination. It sends one segment and says what became of it; queueing and retries are not its business.

    One thread calls `send`; `close` may come from any thread, twice, and makes a blocked `send` return.
    """

    @property
    def name(self) -> str:
        """The spec: names the sink in the spool's ledger, so it never changes and holds no secret."""
        ...

    def check(self) -> None:
        """Whether it can take segments now. Raises SinkError or StorageError whose hint is the next step."""
        ...

    def send(self, sealed: SealedSegment) -> Delivery:
        """Try once, within the sink's own deadline. Never raises for what the other end does."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Options:
    """What sinks need besides their spec."""

    api_key: str = field(repr=False)
    sample_rate: Callable[[], float]
    send_seconds: float


def parse_sink(
    spec: str, api_key: str = "", sample_rate: Callable[[], float] = lambda: 1.0, send_seconds: float = 30.0
) -> Sink:
    """The sink that a spec names. Opens nothing. Raises ConfigError that lists the kinds.

    `api_key` is the project's key, `sample_rate` tells the share of sessions to announce, `send_seconds` the limit of a
    request.
    """
    if not _is_text(spec):
        raise ConfigError(f"{spec!r} is no Unicode text.", "Name the folder in UTF-8.")
    kind, colon, rest = spec.partition(":")
    if not colon or kind not in KINDS or not rest:
        known = ", ".join(f"{kind}:{form}" for kind, (form, _) in KINDS.items())
        raise ConfigError(f"{spec!r} names no sink.", f"Known forms: {known}.")
    return KINDS[kind][1](rest, _Options(api_key, sample_rate, send_seconds))


def _is_text(spec: str) -> bool:
    """A path from the command line may hold bytes that are not UTF-8; no ledger row can."""
    try:
        spec.encode()
    except UnicodeEncodeError:
        return False
    return True


def _folder(rest: str, options: _Options) -> Sink:
    from agent.outbox.folder import FolderSink

    return FolderSink(Path(rest).expanduser().absolute())


def _collector(rest: str, options: _Options) -> Sink:
    from agent.outbox.collector import CollectorSink

    return CollectorSink(rest, options.api_key, options.sample_rate, options.send_seconds)


KINDS: Mapping[str, tuple[str, Callable[[str, _Options], Sink]]] = {
    "dir": ("PATH", _folder),
    "collector": ("URL", _collector),
}
