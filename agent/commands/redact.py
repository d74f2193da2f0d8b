"""`android-replay redact`: hide more of a recording that is stored already, and destroy what is hidden."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.commands.masking import Block, Mask, rules

if TYPE_CHECKING:
    from agent.store.recording import Recording
    from bridge.types import Bounds

STEPS_SAID = 10
QUIET_SECONDS = 3.0
# What a collector keeps beside the segments.
EVENT_FILES = ("events.jsonl", "interactions.jsonl")


def redact(
    path: Annotated[Path, typer.Argument(help="The recording's folder.", show_default=False)],
    level: Annotated[str | None, typer.Option(help="Mask as at this level: light, medium or conservative.")] = None,
    block: Block = None,
    mask: Mask = None,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", help="Words to hide wherever they stand (a glob or /regex/); repeatable."),
    ] = None,
    rect: Annotated[
        list[str] | None, typer.Option("--rect", metavar="L,T,R,B", help="A place in pixels of the screen; repeatable.")
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option("--from", help="Only what was shown from here: 90, 1:30 from the start, or a date and time."),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Only what was shown until here, given as --from is.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be hidden, change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The receipt as one JSON object.")] = False,
) -> None:
    """Hide more of a stored recording: cover pictures, star texts, drop touches; overwrite and delete the old bytes.

    Pictures are covered where a view that a rule means stood just before, then, or just after, and all of a list that
    moved while they were taken. Words of hidden views and those of --text are starred in labels, event properties and
    log lines; --from and --to limit the views and places. Nothing can be shown again. Changed segments get new ids; a
    receipt is kept in the recording. If it is interrupted, run it again. What of it waits in this host's spool is
    replaced, too. A folder that something still records into, or a spool that it uses, is refused. Events that a
    collector keeps in files of their own are not touched; it says which.

    What was uploaded already is not recalled: delete it where it is. The old ids are in the receipt.

    Exit codes: 0 done; 2 nothing to hide was named, or wrongly; 11 the recording or the disk.

    Example: android-replay redact replays --block 'id=card_*' --text 'Anna Bell' --dry-run
    """
    from agent.commands.console import put_json, say
    from agent.commands.view import recording
    from agent.errors import ConfigError
    from agent.outbox import redaction as spooled
    from agent.privacy import Rules, rule
    from agent.replay.redaction import Order
    from agent.settings import load
    from agent.store.redaction import redact as run
    from bridge.clock import HostClock

    wanted = [
        *(rules(block, mask) or ()),
        *(rule("mask", f"text={words}", f"--text {words!r}") for words in text or ()),
    ]
    rects = tuple(_bounds(words) for words in rect or ())
    if not wanted and not rects and level is None:
        raise ConfigError("Nothing to hide was named.", "Give --level, --block, --mask, --text or --rect.")
    chosen = load({"privacy.level": level}).settings.privacy.level if level is not None else None
    stored = recording(path)
    manifests, problems = stored.scan()
    if problems:
        say(f"{len(problems)} damaged segments: {problems[0].file}: {problems[0].reason}")
    started = min((manifest.start_ms for manifest in manifests), default=0)
    span = _moment(begin, started, 0), _moment(end, started, 2**62)
    if span[1] <= span[0]:
        raise ConfigError("--to is not after --from.", "Give times as 90, 1:30, or a date and time.")
    asked = {
        "level": chosen,
        "rules": [each.name for each in wanted],
        "rects": [[r.left, r.top, r.right, r.bottom] for r in rects],
        "from_ms": span[0] if begin else None,
        "to_ms": span[1] if end else None,
    }
    uploaded, waiting = _elsewhere(stored)
    order = Order(chosen, Rules(wanted), rects, *span)
    with ExitStack() as stack:
        held = [] if dry_run else spooled.hold(load({}).settings.spool, stored, stack)
        receipt = run(stored, order, asked, HostClock().now().wall_ms, dry_run=dry_run, tell=_Teller())
        replaced = spooled.replace(held, stored)
    before = {pair["before"] for pair in receipt["segments"]}
    receipt["uploaded"] = {name: len(before & ids) for name, ids in uploaded.items() if before & ids}
    receipt["waiting"] = len(before & waiting) if dry_run else replaced
    if as_json:
        put_json(receipt)
    verb = "would be" if dry_run else "were"
    say(
        f"{len(before)} of {len(manifests)} segments {verb} changed: {receipt['pictures']} pictures covered,"
        f" {receipt['texts']} labels starred, {receipt['touches']} touches dropped."
    )
    if not dry_run and before:
        gone = receipt["destroyed"]
        say(
            f"{gone['files']} files of {gone['bytes']:,} bytes were overwritten and deleted."
            f" Receipt: {receipt['receipt']}"
        )
    untouched = [name for name in EVENT_FILES if (stored.path / name).is_file() and (stored.path / name).stat().st_size]
    if untouched:
        say(f"Not touched: {', '.join(untouched)}, what the collector was sent besides. Look there yourself.")
    for name, count in receipt["uploaded"].items():
        say(f"{count} of the changed segments went to {name} before, as they were. Delete them there; redact cannot.")
    if receipt["waiting"]:
        say(f"{receipt['waiting']} segments that wait in the spool {verb} replaced by what is left of them.")
    if before and not receipt["uploaded"]:
        say("This host knows of no upload of these segments; what other hosts sent, redact cannot tell nor recall.")


class _Teller:
    """Says how far it is, now and then: a long recording takes its time."""

    def __init__(self) -> None:
        self._said = 0
        self._began = time.monotonic()

    def __call__(self, what: str, share: float) -> None:
        from agent.commands.console import say

        step = int(share * STEPS_SAID)
        if step > self._said and time.monotonic() - self._began > QUIET_SECONDS:
            self._said = step
            say(f"{what} ... {100 * step // STEPS_SAID} %")


def _elsewhere(stored: Recording) -> tuple[dict[str, set[str]], set[str]]:
    """Which segments this host sent to which sink other than this folder, and which still wait to be sent."""
    from agent.outbox.receipts import read_receipts
    from agent.settings import load

    sent: dict[str, set[str]] = {}
    waiting: set[str] = set()
    here = {f"dir:{stored.path}", f"dir:{stored.path.resolve()}"}
    spool = load({}).settings.spool
    for folder in sorted(each for each in spool.glob("*") if each.is_dir()):
        for receipt in read_receipts(folder):
            if receipt.outcome == "delivered" and receipt.sink not in here:
                sent.setdefault(receipt.sink, set()).add(receipt.segment)
        waiting |= {file.stem for file in (folder / "queue" / "segments").glob("*.json")}
    return sent, waiting


def _bounds(words: str) -> Bounds:
    from agent.errors import ConfigError
    from bridge.types import Bounds

    parts = words.split(",")
    try:
        left, top, right, bottom = (int(part) for part in parts)
    except ValueError as error:
        raise ConfigError(f"--rect {words!r} is no place.", "Write it as LEFT,TOP,RIGHT,BOTTOM in pixels.") from error
    if left < 0 or top < 0 or right <= left or bottom <= top:
        raise ConfigError(f"--rect {words!r} holds no pixel.", "Write it as LEFT,TOP,RIGHT,BOTTOM in pixels.")
    return Bounds(left, top, right, bottom)


def _moment(words: str | None, started: int, default: int) -> int:
    from agent.export.part import moment

    return default if words is None else moment(words, started)
