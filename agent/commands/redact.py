"""`android-replay redact`: hide more of a recording that is stored already, and destroy what is hidden."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.commands.masking import Block, Mask, rules

if TYPE_CHECKING:
    from agent.model import MaskLevel
    from agent.privacy import Rule
    from agent.replay.redaction import Order
    from agent.store.recording import Recording
    from bridge.types import Bounds

STEPS_SAID = 10
QUIET_SECONDS = 3.0
# What a collector keeps beside the segments.
EVENT_FILES = ("events.jsonl", "interactions.jsonl")


def redact(
    path: Annotated[Path, typer.Argument(help="The recording: its folder or a .replay file.", show_default=False)],
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
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Of a .replay file: the new one to write.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    config: Annotated[Path | None, typer.Option(help="The settings file (TOML) that names the spool.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The receipt as one JSON object.")] = False,
) -> None:
    """Hide more of a stored recording: cover pictures, star texts, drop touches; overwrite and delete the old bytes.

    Pictures are covered where a view that a rule means stood just before, then, or just after, and all of a list that
    moved while they were taken. Words of hidden views and those of --text are starred in labels, event properties and
    log lines; --from and --to limit the views and places. Nothing can be shown again. Changed segments get new ids; a
    receipt is kept in the recording. If it is interrupted, run it again. What waits for the folder in this host's
    spool goes into it first, also what was still open when a recorder was killed; what waits for others, too, is
    replaced. A folder that something still records into, or a spool that it uses, is refused. Events that a collector
    keeps in files of their own are not touched; it says which.

    Of a .replay file a new one is written, its receipt beside it (FILE.receipt.json); the old one stays as it is.

    What was uploaded already is not recalled: delete it where it is. The old ids are in the receipt.

    Exit codes: 0 done; 2 nothing to hide was named, or wrongly, or a file is in the way; 11 the recording or the disk,
    a folder in use; --dry-run ends as the run itself would.

    Example: android-replay redact replays --block 'id=card_*' --text 'Anna Bell' --dry-run
    """
    from agent.commands.view import opened
    from agent.errors import ConfigError
    from agent.privacy import rule
    from agent.settings import load

    wanted = [
        *(rules(block, mask) or ()),
        *(rule("mask", f"text={words}", f"--text {words!r}") for words in text or ()),
    ]
    rects = tuple(_bounds(words) for words in rect or ())
    if not wanted and not rects and level is None:
        raise ConfigError("Nothing to hide was named.", "Give --level, --block, --mask, --text or --rect.")
    settings = load({"privacy.level": level}, config).settings
    asked = _Asked(settings.privacy.level if level is not None else None, wanted, rects, (begin, end))
    for words in (begin, end):
        _moment(words, 0, 0)
    is_bundle = _check_out(path, out, force, dry_run)
    with opened(path) as stored:
        if is_bundle:
            _redact_bundle(path, stored, asked, settings.spool, None if dry_run else out, force, as_json)
        else:
            _redact_folder(stored, asked, settings.spool, dry_run, as_json)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be hidden; `times` are those of --from and --to."""

    level: MaskLevel | None
    rules: list[Rule]
    rects: tuple[Bounds, ...]
    times: tuple[str | None, str | None]

    def order(self, started_ms: int) -> Order:
        """In a recording that began then. Raises ConfigError."""
        from agent.errors import ConfigError
        from agent.privacy import Rules
        from agent.replay.redaction import Order

        begin, end = self.times
        span = _moment(begin, started_ms, 0), _moment(end, started_ms, 2**62)
        if span[1] <= span[0]:
            raise ConfigError("--to is not after --from.", "Give times as 90, 1:30, or a date and time.")
        return Order(self.level, Rules(self.rules), self.rects, *span)

    def facts(self, order: Order) -> dict[str, Any]:
        """For the receipt."""
        begin, end = self.times
        return {
            "level": self.level,
            "rules": [each.name for each in self.rules],
            "rects": [[r.left, r.top, r.right, r.bottom] for r in self.rects],
            "from_ms": order.from_ms if begin else None,
            "to_ms": order.to_ms if end else None,
        }


def _check_out(path: Path, out: Path | None, force: bool, dry_run: bool) -> bool:
    """Whether `path` is a .replay file. Raises ConfigError when what was said of the new one does not fit."""
    from agent.errors import ConfigError
    from agent.export.output import check_free
    from agent.store.bundle import SUFFIX, is_bundle

    if not is_bundle(path):
        if out is not None:
            raise ConfigError(f"{path} is no .replay file: it is redacted in its place.", "Leave -o away.")
        return False
    if out is None and not dry_run:
        raise ConfigError(
            "Of a .replay file a new one is written, and where was not said.", f"Give -o {path.stem}-redacted{SUFFIX}."
        )
    if out is not None:
        if out.suffix != SUFFIX:
            raise ConfigError(f"{out} could not be opened: its name does not end in {SUFFIX}.", "Give another name.")
        for file in (out, _receipt(out)):
            check_free(file, force)
    elif force:
        raise ConfigError("--force is for the file of -o.", "Give -o, too, or leave it away.")
    return True


def _redact_folder(stored: Recording, asked: _Asked, spool: Path, dry_run: bool, as_json: bool) -> None:
    from agent.commands.console import say
    from agent.outbox import redaction as spooled

    manifests = stored.manifests()
    if manifests:
        # Before anything is touched; what waits may be what it begins with.
        asked.order(min(manifest.start_ms for manifest in manifests))
    with ExitStack() as stack:
        if dry_run:
            foreseen, others = spooled.foresee(spool, stored, stack)
            receipt, count = _run(foreseen, asked, dry_run=True)
            replaced = len(others & {pair["before"] for pair in receipt["segments"]})
        else:
            held = spooled.hold(spool, stored, stack)
            receipt, count = _run(stored, asked, dry_run=False)
            replaced = spooled.replace(held, stored)
    came = count - len(manifests)
    receipt |= {"came": came, "waiting": replaced}
    verb = "would be" if dry_run else "were"
    if came:
        say(f"{came} segments that wait in the spool for {stored.path} {verb} brought into it first.")
    _told(receipt, stored.path, spool, count, verb, as_json)
    if not dry_run and receipt["segments"]:
        gone = receipt["destroyed"]
        say(
            f"{gone['files']} files of {gone['bytes']:,} bytes were overwritten and deleted."
            f" Receipt: {receipt['receipt']}"
        )
    untouched = [name for name in EVENT_FILES if (stored.path / name).is_file() and (stored.path / name).stat().st_size]
    if untouched:
        say(f"Not touched: {', '.join(untouched)}, what the collector was sent besides. Look there yourself.")
    if replaced:
        say(f"{replaced} segments that wait in the spool {verb} replaced by what is left of them.")


def _redact_bundle(
    path: Path, stored: Recording, asked: _Asked, spool: Path, out: Path | None, over: bool, as_json: bool
) -> None:
    """Redact what was unpacked of the file and pack it as `out`, `over` one that is there; None only says what would
    change."""
    import orjson

    from agent.commands.console import say
    from agent.export.output import check_free, whole
    from agent.outbox.waiting import spools, waiting
    from agent.store.bundle import pack

    receipt, count = _run(stored, asked, dry_run=out is None)
    # Of the file itself nothing was destroyed, and where it was unpacked is nobody's business.
    receipt |= {"destroyed": {"files": 0, "bytes": 0}, "came": 0}
    changed = {pair["before"] for pair in receipt["segments"]}
    receipt["waiting"] = len({one.manifest.id for place in spools(spool) for one in waiting(place)} & changed)
    receipt.pop("receipt", None)
    if out is not None:
        with ExitStack() as stack:
            if changed:
                aside = stack.enter_context(whole(_receipt(out), over))
                aside.write_bytes(orjson.dumps(receipt, option=orjson.OPT_INDENT_2))
                receipt["receipt"] = str(_receipt(out))
            pack(stored, stack.enter_context(whole(out, over)))
            for file in (out, _receipt(out)):
                # Both or none: what came meanwhile is in the way of the second, too.
                check_free(file, over)
        receipt["file"] = str(out)
    _told(receipt, path, spool, count, "would be" if out is None else "were", as_json)
    if out is not None:
        say(f"Written: {out}." + (f" Receipt: {receipt['receipt']}" if changed else ""))
        if changed and out.resolve() != path.resolve():
            say(f"{path} still shows all of it: delete it, and copies of it, yourself.")
    if receipt["waiting"]:
        say(f"{receipt['waiting']} of these segments wait in {spool} as they were: redact the folder they go to, too.")


def _run(stored: Recording, asked: _Asked, *, dry_run: bool) -> tuple[dict[str, Any], int]:
    """The receipt, and of how many segments. Raises ConfigError, StorageError."""
    from agent.commands.console import say
    from agent.store.redaction import redact as run
    from bridge.clock import HostClock

    manifests, problems = stored.scan()
    if problems:
        say(f"{len(problems)} damaged segments: {problems[0].file}: {problems[0].reason}")
    order = asked.order(min((manifest.start_ms for manifest in manifests), default=0))
    now_ms = HostClock().now().wall_ms
    return run(stored, order, asked.facts(order), now_ms, dry_run=dry_run, tell=_Teller()), len(manifests)


def _told(receipt: dict[str, Any], place: Path, spool: Path, count: int, verb: str, as_json: bool) -> None:
    """Say what was changed, and what of it is elsewhere."""
    from agent.commands.console import put_json, say

    before = {pair["before"] for pair in receipt["segments"]}
    sent = {name: len(before & ids) for name, ids in _elsewhere(place, spool).items() if before & ids}
    receipt["uploaded"] = sent
    if as_json:
        put_json(receipt)
    say(
        f"{len(before)} of {count} segments {verb} changed: {receipt['pictures']} pictures covered,"
        f" {receipt['texts']} labels starred, {receipt['touches']} touches dropped."
    )
    for name, number in sent.items():
        say(f"{number} of the changed segments went to {name} before, as they were. Delete them there; redact cannot.")
    if before and not sent:
        say("This host knows of no upload of these segments; what other hosts sent, redact cannot tell nor recall.")


def _receipt(out: Path) -> Path:
    return out.with_name(f"{out.name}.receipt.json")


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


def _elsewhere(place: Path, spool: Path) -> dict[str, set[str]]:
    """Which segments this host sent to which sink other than this folder."""
    from agent.outbox.receipts import read_receipts
    from agent.outbox.redaction import is_here

    sent: dict[str, set[str]] = {}
    for folder in sorted(each for each in (spool, *spool.glob("*")) if each.is_dir()):
        for receipt in read_receipts(folder):
            if receipt.outcome == "delivered" and not is_here(receipt.sink, place):
                sent.setdefault(receipt.sink, set()).add(receipt.segment)
    return sent


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
