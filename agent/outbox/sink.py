"""Where segments go: the protocol of a sink, and the specs that name one (`dir:PATH`, `amplitude:us`, ...)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agent.errors import ConfigError
from agent.model import Delivery, SealedSegment
from agent.outbox.pace import Pace
from agent.settings import Upload

if TYPE_CHECKING:
    from agent.outbox.track import Posting


class Sink(Protocol):
    """A destination. It sends one segment and says what became of it; queueing and retries are not its business.

    At most `parallel` threads call `send`; `close` may come from any thread, twice, and makes a blocked `send` return.
    """

    @property
    def parallel(self) -> int: ...

    @property
    def name(self) -> str:
        """The spec: names the sink in the spool's ledger, so it never changes and holds no secret."""
        ...

    def check(self) -> str:
        """What is known of whether it can take segments now, in a few words.

        Raises SinkError or StorageError whose hint is the next step.
        """
        ...

    def send(self, sealed: SealedSegment) -> Delivery:
        """Try once, within the sink's own deadline. Never raises for what the other end does."""
        ...

    def close(self) -> None: ...


def parse_sink(
    spec: str,
    upload: Upload | None = None,
    sample_rate: Callable[[], float] = lambda: 1.0,
    pace: Pace | None = None,
) -> Sink:
    """The sink that a spec names. Opens nothing. Raises ConfigError that lists the kinds.

    `sample_rate` tells the share of sessions to announce. `pace` limits it together with the others that share it; each
    has its own when left out.
    """
    if not _is_text(spec):
        raise ConfigError(f"{spec!r} is no Unicode text.", "Name the folder in UTF-8.")
    kind, colon, rest = spec.partition(":")
    if not colon or kind not in KINDS or not rest:
        known = ", ".join(f"{kind}:{form}" for kind, (form, _) in KINDS.items())
        raise ConfigError(f"{spec!r} names no sink.", f"Known forms: {known}.")
    asked = upload or Upload()
    return KINDS[kind][1](rest, lambda: _posting(asked, sample_rate, pace))


def _is_text(spec: str) -> bool:
    """A path from the command line may hold bytes that are not UTF-8; no ledger row can."""
    try:
        spec.encode()
    except UnicodeEncodeError:
        return False
    return True


def folder_named(rest: str) -> Path:
    """The folder that a `dir:` sink names, whole. Raises ConfigError for a ~ that stands for no home folder."""
    try:
        return Path(rest).expanduser().absolute()
    except RuntimeError as error:
        raise ConfigError(f"dir:{rest}: there is no such home folder.", "Write the whole path, or set HOME.") from error


def _folder(rest: str, posting: Callable[[], Posting]) -> Sink:
    from agent.outbox.folder import FolderSink

    return FolderSink(folder_named(rest))


def _collector(rest: str, posting: Callable[[], Posting]) -> Sink:
    from agent.outbox.collector import CollectorSink

    return CollectorSink(rest, posting())


def _amplitude(rest: str, posting: Callable[[], Posting]) -> Sink:
    from agent.outbox.amplitude import AmplitudeSink

    return AmplitudeSink(rest, posting())


def _posting(upload: Upload, sample_rate: Callable[[], float], pace: Pace | None) -> Posting:
    """How the settings want segments to be posted. Raises ConfigError."""
    from agent.outbox.exchange import trust
    from agent.outbox.track import SEND_SECONDS, STRICT_SECONDS, Posting

    strict = upload.conformance == "strict"
    return Posting(
        upload.api_key.get_secret_value(),
        sample_rate,
        STRICT_SECONDS if strict else SEND_SECONDS,
        strict,
        # The browser SDK sends one request at a time.
        1 if strict else upload.parallel,
        trust(upload.ca_file),
        pace or Pace(upload.bytes_per_second),
    )


KINDS: Mapping[str, tuple[str, Callable[[str, Callable[[], Posting]], Sink]]] = {
    "dir": ("PATH", _folder),
    "collector": ("URL", _collector),
    "amplitude": ("us|eu|URL", _amplitude),
}
