"""`android-replay upload`: deliver what waits in the spool, and say what became of each segment."""

from __future__ import annotations

import queue
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agent.errors import AgentError
    from agent.outbox.receipts import Receipt
    from agent.outbox.spool import Spool
    from agent.outbox.uploader import Uploader
    from agent.settings import Settings

ERRORS = 1
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.2
PROGRESS_SECONDS = 5.0


def upload(
    spool: Annotated[
        Path | None, typer.Option(help="The spool's folder, or one of those in it. Left out: the setting `spool`.")
    ] = None,
    sink: Annotated[
        list[str] | None,
        typer.Option(help="Send to this sink instead of where it was meant to go; repeatable. As for `attach`."),
    ] = None,
    patience: Annotated[
        float, typer.Option(min=0, help="Give up after so many seconds without a delivery, unless one is under way.")
    ] = PATIENCE_SECONDS,
    conformance: Annotated[
        str | None,
        typer.Option(help="strict: drop what Amplitude's browser SDK drops. Left out: lossless, nothing is dropped."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A settings file (TOML).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a receipt, then the summary.")] = False,
) -> None:
    """Deliver what runs that ended, or were killed, left in the spool. What a server refused is tried once more.

    A receipt is printed for each answer, with the server's words and what they mean. Segments that were open when their
    recorder was killed are closed first. What a running recorder holds is left to it. Ctrl-C stops in order; what is
    not delivered stays in the spool.

    Exit codes: 0 all is delivered; 2 no such spool or sink; 11 the disk, a newer version's spool; 12 something waits,
    was refused, went undelivered or is missing; 130 stopped by Ctrl-C.

    Example: android-replay upload --sink collector:http://127.0.0.1:8377
    """
    from agent.commands.console import logged, put_json
    from agent.settings import load

    settings = load({"spool": spool, "upload.conformance": conformance}, config).settings
    # What would be warned of stands in the receipts.
    with logged(settings, ERRORS):
        summary, problem = run(settings, tuple(sink or ()), patience, as_json)
        if as_json:
            put_json(summary)
        _tell(settings, summary, problem)


def _tell(settings: Settings, summary: Mapping[str, Any], problem: AgentError | None) -> None:
    """Say the summary. Raises what kept a spool from being drained, SinkError when not everything was delivered,
    KeyboardInterrupt when somebody asked for an end before."""
    from agent.commands.console import say
    from agent.errors import SinkError

    say(
        f"{summary['delivered']} delivered ({summary['bytes']:,} bytes sent), {summary['rejected']} refused, "
        f"{summary['dropped']} dropped, {summary['waiting']} wait; {summary['seconds']:.1f} s, "
        f"{summary['cpu_seconds']:.1f} s of CPU"
    )
    if summary["undrained"]:
        say(f"{summary['undrained']} spools were not drained; what waits in them is not counted.")
    if summary["recovered"]:
        say(
            f"{summary['recovered']} segments were still open when their recorder ended; they lack what it had not "
            "written yet: the last 3 seconds or so, with a relay 36."
        )
    if summary["expired"]:
        say(f"{summary['expired']} deliveries had waited for more than {settings.upload.keep_hours:g} hours: deleted.")
    if summary["lost"]:
        say(
            f"{summary['lost']} segments that were queued are not there: they are lost, unless they were delivered "
            "from a full disk."
        )
    if summary["discarded"]:
        say(f"{summary['discarded']} segments that were still open are lost: nothing whole was left of them.")
    if summary["interrupted"]:
        raise KeyboardInterrupt
    if problem is not None:
        raise problem
    if summary["waiting"] or summary["rejected"]:
        raise SinkError(
            f"Not everything was delivered; it stays in {settings.spool}.",
            "The receipts say why. Run `android-replay upload` again once that is mended.",
        )
    if summary["expired"] or summary["dropped"]:
        raise SinkError(
            "Not everything was delivered, and what was not is deleted.",
            "Run it sooner, or keep it for longer: upload.keep_hours."
            if summary["expired"]
            else "The receipts say why; without --conformance strict nothing is dropped.",
        )
    if summary["lost"] or summary["discarded"]:
        raise SinkError("What was recorded is not all there, as far as can be told.", f"Check {settings.spool}.")


def run(
    settings: Settings, sinks: tuple[str, ...], patience: float, as_json: bool = False
) -> tuple[dict[str, Any], AgentError | None]:
    """Drain each spool that no other process holds; the summary, and the last of what kept a spool from being drained,
    the others said. Raises ConfigError, StorageError."""
    from agent.commands.console import say
    from agent.errors import AgentError, ConfigError
    from agent.outbox.spool import Spool
    from agent.store.disk import FolderTaken

    began, cpu = time.monotonic(), time.process_time()
    names = ("delivered", "skipped", "rejected", "dropped", "waiting", "bytes", "expired")
    found = ("recovered", "lost", "discarded")
    summary: dict[str, Any] = {
        "spools": 0,
        "in_use": 0,
        "undrained": 0,
        **dict.fromkeys((*names, *found), 0),
        "interrupted": False,
    }
    places = _places(settings.spool)
    if not places:
        raise ConfigError(f"There is no spool {settings.spool}, nor any in it.", "Name the folder with --spool.")
    problem: AgentError | None = None
    for place in places:
        spool = None
        try:
            spool = Spool(place, keep_seconds=settings.upload.keep_hours * 3600)
            summary["spools"] += 1
            # The next that opens it finds it in order.
            summary["recovered"] += spool.recovery.sealed
            summary["lost"] += spool.recovery.lost
            summary["discarded"] += spool.recovery.discarded
            _drain(spool, settings, sinks, patience, summary, as_json)
        except FolderTaken as error:
            say(f"{error.message} What records or uploads there sends it.")
            summary["in_use"] += 1
        except AgentError as error:
            # One that cannot be opened, or goes nobody knows where, does not keep the others from being drained.
            if problem is not None:
                say(f"{problem} {problem.hint}")
            summary["undrained"] += 1
            problem = error
        finally:
            if spool is not None:
                spool.close()
        if summary["interrupted"]:
            break
    summary["seconds"], summary["cpu_seconds"] = time.monotonic() - began, time.process_time() - cpu
    return summary, problem


def _places(folder: Path) -> list[Path]:
    """The spools in the folder, or the folder when it is one. Raises StorageError."""
    from agent.errors import StorageError

    try:
        if (folder / "queue").is_dir():
            return [folder]
        inside = list(folder.iterdir()) if folder.is_dir() else []
        numbered = [place for place in inside if place.name.isdecimal() and (place / "queue").is_dir()]
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be read: {error.strerror}.", "Check the path and who may read it."
        ) from error
    return sorted(numbered, key=lambda place: int(place.name))


def _drain(
    spool: Spool, settings: Settings, sinks: tuple[str, ...], patience: float, summary: dict[str, Any], as_json: bool
) -> None:
    """Deliver one spool's segments, adding to the figures of the summary. Raises ConfigError, StorageError."""
    from agent.commands.console import say
    from agent.errors import ConfigError
    from agent.outbox.journal import drafts
    from agent.outbox.pace import Pace
    from agent.outbox.sink import parse_sink
    from agent.outbox.uploader import BACKOFFS, Uploader

    receipts: queue.SimpleQueue[Receipt] = queue.SimpleQueue()
    spool.reopen()
    pace = Pace(settings.upload.bytes_per_second)
    if sinks:
        named = [parse_sink(spec, settings.upload, pace=pace) for spec in sinks]
        spool.redirect([target.name for target in named])
    else:
        named = [parse_sink(name, settings.upload, pace=pace) for name in spool.destinations()]
    if not named and spool.recovery.orphans:
        raise ConfigError(
            f"Nothing tells where the {spool.recovery.orphans} segments in {spool.folder} are to go.",
            "Say it with --sink.",
        )
    uploader = Uploader(spool, named, BACKOFFS[settings.upload.conformance], told=receipts.put)
    try:
        uploader.start()
        _watch(spool, uploader, receipts, patience, as_json)
    except KeyboardInterrupt:
        say("Stopping.")
        summary["interrupted"] = True
    finally:
        uploader.stop()
        for target in named:
            target.close()
    _print(receipts, as_json)
    for stats in uploader.stats().values():
        summary["delivered"] += stats.delivered - stats.skipped
        summary["skipped"] += stats.skipped
        summary["dropped"] += stats.dropped
    summary["rejected"] += len(spool.rejections())
    # A full disk keeps what a killed recorder left open from being sealed: it waits, too.
    summary["waiting"] += spool.pending() + len(drafts(spool.folder))
    summary["bytes"] += pace.sent
    summary["expired"] += len(spool.expired)


def _watch(
    spool: Spool, uploader: Uploader, receipts: queue.SimpleQueue[Receipt], patience: float, as_json: bool
) -> None:
    """Print receipts until all is delivered, or nothing has been for too long, or would be, and nothing is on its
    way."""
    from agent.commands.console import say

    left = spool.pending()
    moved = said = time.monotonic()
    while not spool.wait_drained(uploader.names, LOOK_SECONDS):
        _print(receipts, as_json)
        now, before = time.monotonic(), left
        left = spool.pending()
        if left < before:
            moved = now
        if (now - moved >= patience or uploader.shut) and not uploader.sending:
            return
        if now - said >= PROGRESS_SECONDS:
            said = now
            say(f"  {left} deliveries wait")


def _print(receipts: queue.SimpleQueue[Receipt], as_json: bool) -> None:
    from datetime import UTC, datetime

    from agent.commands.console import put, put_json
    from agent.outbox.receipts import meaning

    while not receipts.empty():
        receipt = receipts.get()
        means = meaning(receipt.words)
        if as_json:
            put_json(asdict(receipt) | {"meaning": means})
        else:
            at = datetime.fromtimestamp(receipt.ms / 1000, UTC)
            put(
                f"{at:%H:%M:%S} {receipt.outcome:9} {receipt.segment} {receipt.sink} {receipt.words}"
                + (f" ({means})" if means else "")
            )
