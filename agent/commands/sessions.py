"""`android-replay sessions`: which sessions this host holds, what of them, and their end."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from contextlib import ExitStack

    from agent.commands.holdings import Erased, Holding, Place, Unread
    from agent.model import SegmentManifest
    from agent.outbox.receipts import Receipt
    from agent.store.replays import Who

VERBS = ("list", "show", "delete", "dsar")
DELETION = "https://amplitude.com/api/2/deletions/users"
DELETION_EU = "https://analytics.eu.amplitude.com/api/2/deletions/users"


def sessions(
    verb: Annotated[str, typer.Argument(metavar="list|show|delete|dsar", help="What to do.")],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...", help="Recordings (.replay, too), collectors' folders, spools. Left out: the spool."
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="Sessions of this device id (Segment's, not the serial).")] = None,
    session: Annotated[int | None, typer.Option(help="The session of this id.")] = None,
    user: Annotated[str | None, typer.Option(help="Sessions in which this user id stands in an event.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="delete: do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="delete: say what would go, change nothing.")] = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="dsar: the file to write. Left out: standard output.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="The settings file (TOML) that names the spool.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line a session; for delete, one object.")] = False,
) -> None:
    """List the sessions that are kept here, show one, delete all of a device, session or user, or export what is known.

    delete looks into the paths and this host's spool, always: pictures, events, manifests, ledgers, receipts and a
    collector's events are overwritten and deleted. A session goes whole, also when the user is only in a part of it. A
    folder that a running process uses is refused, and nothing is touched. An interrupted deletion is finished by the
    next. It says what was sent elsewhere, and what deleting it there needs. Exports (pages, videos) are files of
    yours: delete them yourself.

    dsar writes names, times and ids of events, facts of the device and what became of uploads, as one JSON object; no
    pictures, texts, properties or logs.

    What is still open in a spool, since its recorder runs or was killed, counts: `drafts`. What cannot be read, and is
    or may be of a session, is named: `unread`.

    Exit codes: 0 done; 2 nothing such is here (show, dsar), or it was not confirmed; 11 the disk, a folder in use, a
    damaged segment (delete touches nothing then; dsar has written what can be read; list and show only name it).

    Example: android-replay sessions delete replays --device 6c1b8a52-9f1d-4a07-8a8c-0f6f4a1c2d3e --dry-run
    """
    from contextlib import ExitStack

    from agent.errors import ConfigError
    from agent.settings import load
    from agent.store.replays import Who

    if verb not in VERBS:
        raise ConfigError(f"{verb!r} is nothing to do with sessions.", f"Take one of: {', '.join(VERBS)}.")
    if out is not None and verb != "dsar":
        raise ConfigError("-o is where dsar writes.", "Leave it away.")
    if (dry_run or yes) and verb != "delete":
        raise ConfigError("--dry-run and --yes are for delete.", "Leave them away.")
    who = Who(device, session, user)
    if verb != "list" and not who:
        raise ConfigError("Whose session is meant was not said.", "Give --device, --session or --user.")
    settings = load({}, config).settings
    with ExitStack() as stack:
        found = [place for path in paths or () for place in _places(path, verb, stack)]
        if verb == "delete" or not paths:
            found += _own(settings.spool, found)
        if verb == "delete":
            _delete(found, who, settings.relay.folder, yes=yes, dry_run=dry_run, as_json=as_json)
        else:
            # What sinks answered stands in the spools, whatever is asked about.
            answers = [*found, *_answering(settings.spool, found)] if verb != "list" else []
            _tell(verb, found, answers, who, out, as_json)


def _places(path: Path, verb: str, stack: ExitStack) -> list[Place]:
    """What a path means; a bundle is unpacked until the stack ends."""
    from agent.commands.holdings import Place, places
    from agent.errors import ConfigError
    from agent.store.bundle import is_bundle, unpacked

    if not is_bundle(path):
        return places(path)
    if verb == "delete":
        raise ConfigError(
            f"{path} is one file of yours, and is deleted whole.",
            "Remove the file, or take words out of it with `android-replay redact`.",
        )
    recording = stack.enter_context(unpacked(path))
    return [Place(recording.path, recording, bundle=path)]


def _own(spool: Path, found: Iterable[Place]) -> list[Place]:
    """What this host's spool holds besides."""
    from agent.commands.holdings import places

    known = {place.folder.resolve() for place in found}
    return [place for place in places(spool, asked=False) if place.folder.resolve() not in known]


def _answering(spool: Path, found: list[Place]) -> list[Place]:
    """What else on this host knows what sinks answered, as far as it can be read."""
    from agent.commands.console import say
    from agent.errors import AgentError

    try:
        return _own(spool, found)
    except AgentError as error:
        say(f"What sinks answered is told without {spool}: {error.message}")
        return []


def _tell(verb: str, found: list[Place], answers: list[Place], who: Who, out: Path | None, as_json: bool) -> None:
    from agent.collector.erasure import events
    from agent.commands.console import say
    from agent.commands.holdings import holdings
    from agent.errors import ConfigError, RecordingError

    held, unread = holdings(found, who)
    for one in unread:
        say(f"Not read: {one.problem}")
    if not held and (verb == "show" or (verb == "dsar" and not any(any(events(p.folder, who, set())) for p in found))):
        if unread:
            raise RecordingError(
                f"No such session can be read here, and {len(unread)} files, which may be of it, cannot be read.",
                "Get undamaged copies of them, or delete them.",
            )
        raise ConfigError("No such session is here.", "See what is here with `android-replay sessions list PATH`.")
    if verb == "list":
        _list(held.values(), unread, as_json)
    elif verb == "show":
        _show(answers, held.values(), unread, as_json)
    else:
        _export(found, answers, who, held.values(), unread, out)
        if unread:
            raise RecordingError(
                f"{len(unread)} files, which are or may be of it, could not be read.",
                "The answer lists them under `unread`, and lacks what they hold.",
            )


def _list(held: Iterable[Holding], unread: list[Unread], as_json: bool) -> None:
    from agent.commands.console import put, put_json, say, table

    facts = [_facts(holding) | {"unread": _unread(holding, unread)} for holding in held]
    if as_json:
        for one in facts:
            put_json(one)
    else:
        rows = [
            (
                one["device_id"],
                str(one["session_id"]),
                _time(one["start_ms"]),
                f"{(one['end_ms'] - one['start_ms']) / 1000:.0f} s",
                f"{one['segments']} segments" + (f", {one['open']} open" if one["open"] else ""),
                f"{one['bytes']:,} bytes",
                ", ".join(one["users"]) or "-",
                ", ".join(one["places"]),
            )
            for one in facts
        ]
        for line in table(rows):
            put(line)
    say(f"{len(facts)} sessions.")
    if any(one["open"] for one in facts):
        say("What is open is under way, or its recorder was killed: then `android-replay upload` closes it.")


def _show(answers: list[Place], held: Collection[Holding], unread: list[Unread], as_json: bool) -> None:
    from agent.commands.console import put, put_json
    from agent.commands.holdings import deliveries

    receipts = _by_segment(deliveries(answers, {part["id"] for holding in held for part in _parts(holding)}))
    for holding in held:
        one = _facts(holding) | {"parts": _parts(holding), "drafts": _drafts(holding)}
        one["deliveries"] = _answered(one["parts"], receipts)
        one["unread"] = _unread(holding, unread)
        if as_json:
            put_json(one)
            continue
        put(f"{one['device_id']}/{one['session_id']}  {_time(one['start_ms'])} to {_time(one['end_ms'])}")
        put(f"  phone {one['serial'] or '-'}: {', '.join(f'{k} {v}' for k, v in one['device'].items()) or '-'}")
        put(f"  users: {', '.join(one['users']) or 'none that can be read'}")
        for part in [*one["parts"], *one["drafts"]]:
            counts = ", ".join(f"{count} {name}" for name, count in part["counts"].items() if count)
            state = " is still open" if part["reason"] == "open" else f" {part['id']}"
            put(f"  {part['place']} segment {part['seq']}{state}: {part['bytes']:,} bytes, {counts}")
            for loss in part["losses"]:
                put(f"    left out: {loss['count']} x {loss['reason']}")
        for told in one["deliveries"]:
            put(f"  {_time(told['ms'])} {told['sink']}: {told['outcome']} {told['words']}".rstrip())


def _export(
    found: list[Place],
    answers: list[Place],
    who: Who,
    held: Collection[Holding],
    unread: list[Unread],
    out: Path | None,
) -> None:
    import orjson

    from agent.collector.erasure import events
    from agent.commands.console import put_json, say
    from agent.commands.holdings import deliveries
    from agent.export.output import check_free, whole
    from agent.store.disk import guarded

    replays = []
    receipts = _by_segment(deliveries(answers, {part["id"] for holding in held for part in _parts(holding)}))
    for holding in held:
        parts = _parts(holding)
        told = _answered(parts, receipts)
        own = {"parts": parts, "drafts": _drafts(holding), "events": _events(holding), "deliveries": told}
        replays.append(_facts(holding) | own)
    keys = {(one["device_id"], one["session_id"]) for one in replays}
    names = ("event_type", "time", "insert_id", "user_id", "device_id", "session_id")
    analytics = [
        {name: event[name] for name in names if name in event}
        for place in found
        for event in events(place.folder, who, keys)
    ]
    document = {
        "schema": 1,
        "asked": {"device_id": who.device, "session_id": who.session, "user_id": who.user},
        "replays": replays,
        "analytics_events": analytics,
        "unread": [one.facts() for one in unread],
    }
    if out is None:
        put_json(document)
    else:
        check_free(out, force=None)
        with whole(out, False) as aside, guarded(out):
            aside.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    say(f"{len(replays)} sessions, {sum(len(one['events']) for one in replays)} events, no pictures.")


def _delete(found: list[Place], who: Who, relay: Path, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    from agent.commands.console import put_json, say
    from agent.commands.holdings import erase, named

    if not dry_run and not yes:
        planned, _ = erase(found, who, dry_run=True, skipped=[])
        _confirm(planned)
    skipped: list[Path] = []
    erased, elsewhere = erase(found, who, dry_run=dry_run, skipped=skipped)
    texts = {who.device, who.user, *(device for device, _ in erased.replays)} - {None, ""}
    waiting = named(relay, texts)
    users = sorted(set[str]().union([who.user] if who.user else [], *erased.replays.values()))
    if as_json:
        put_json(
            {
                "dry_run": dry_run,
                "sessions": [
                    {"device_id": device, "session_id": session} for device, session in sorted(erased.replays)
                ],
                "users": users,
                "segments": sorted(erased.segments),
                "files": erased.files,
                "lines": erased.lines,
                "bytes": erased.bytes,
                "sent_to": elsewhere,
                "relay_batches": waiting,
                "skipped": [str(folder) for folder in skipped],
            }
        )
    would = "would be" if dry_run else "were"
    say(f"{len(erased.replays)} sessions, {len(erased.segments)} segments {would} deleted.")
    if not dry_run:
        say(f"{erased.files} files and {erased.lines} lines, {erased.bytes:,} bytes, were overwritten.")
    for folder in skipped:
        say(f"{folder} is in use and holds none of it; what its recorder has in memory is not looked at.")
    if waiting:
        say(f"{waiting} batches in the relay's queue {relay} name it, and are on their way to Segment: they are kept.")
    for sink, count in sorted(elsewhere.items()):
        kind = sink.partition(":")[0]
        if kind == "dir":
            say(f"{count} segments lie in {sink.removeprefix('dir:')}, too: give that folder, too.")
        elif kind == "collector":
            say(f"{count} segments went to {sink}: delete them there, with this same command on its folder.")
        else:
            say(f"{count} segments went to {sink}.")
    _say_remote(users, who, sum(not known for known in erased.replays.values()))


def _say_remote(users: list[str], who: Who, nameless: int) -> None:
    """What deleting these users' replays at Amplitude needs; of `nameless` sessions no user is known."""
    import orjson

    from agent.commands.console import say

    ids = f'"user_ids": {orjson.dumps(users).decode()}' if users else '"amplitude_ids": ["..."]'
    say(
        "What Amplitude holds is deleted by its user privacy API alone, by user id or Amplitude id, not by device id:\n"
        f"  POST {DELETION} (EU: {DELETION_EU}), HTTP Basic API key:secret key,\n"
        f'  {{{ids}, "ignore_invalid_id": true, "requester": "..."}}, at most 100 ids at once: all replays of these '
        "users, within 30 days. Future ones are kept.\n"
        "Without that a replay ends there 30 days after its upload, or when the organization's retention says."
    )
    if nameless:
        say(f"In {nameless} sessions no user id is known: what Amplitude holds of these goes by Amplitude id.")
    if who.user and len(users) > 1:
        say(f"The others than {who.user} are of the same sessions: leave out whose other replays are to stay.")


def _confirm(planned: Erased) -> None:
    """Raises ConfigError when the person says no, or nobody is there to say."""
    from agent.errors import ConfigError

    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigError("Nobody is there to confirm the deletion.", "Give --yes, or look first with --dry-run.")
    words = f"Delete {len(planned.replays)} sessions, {len(planned.segments)} segments, and events of theirs, for good?"
    try:
        sure = typer.confirm(words, err=True)
    except typer.Abort:
        # Ctrl-C or the end of the input: on a line of its own.
        sys.stderr.write("\n")
        sure = False
    if not sure:
        raise ConfigError("Not confirmed: nothing was deleted.")


def _facts(holding: Holding) -> dict[str, Any]:
    segments = {manifest.id: manifest for _, replay in holding.parts for manifest in replay.segments}
    drafts = {draft.manifest.id: draft.manifest for draft in holding.drafts}
    known = [*segments.values(), *drafts.values()]
    first = min(known, key=lambda manifest: manifest.start_ms)
    return {
        "device_id": holding.key[0],
        "session_id": holding.key[1],
        "users": sorted(holding.users),
        "serial": first.serial,
        "device": dict(first.device),
        "session_from": first.session_from,
        "device_from": first.device_from,
        "start_ms": first.start_ms,
        "end_ms": max(manifest.end_ms for manifest in known),
        "segments": len(segments),
        "open": len(drafts),
        "bytes": sum(manifest.bytes for manifest in known),
        "places": sorted({place.name for place in _held_in(holding)}),
    }


def _held_in(holding: Holding) -> list[Place]:
    return [*(place for place, _ in holding.parts), *(draft.place for draft in holding.drafts)]


def _unread(holding: Holding, unread: list[Unread]) -> list[dict[str, str]]:
    """What cannot be read of a session, or may be of it."""
    return [one.facts() for one in unread if one.key in (None, holding.key)]


def _parts(holding: Holding) -> list[dict[str, Any]]:
    return [_part(place, manifest) for place, replay in holding.parts for manifest in replay.segments]


def _drafts(holding: Holding) -> list[dict[str, Any]]:
    return [_part(draft.place, draft.manifest) | {"reason": "open"} for draft in holding.drafts]


def _part(place: Place, manifest: SegmentManifest) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "place": place.name,
        "id": manifest.id,
        "seq": manifest.seq,
        "start_ms": manifest.start_ms,
        "end_ms": manifest.end_ms,
        "reason": manifest.reason,
        "bytes": manifest.bytes,
        "pictures": len(manifest.pictures),
        "counts": asdict(manifest.counts),
        "losses": [asdict(loss) for loss in manifest.losses],
        "cost": asdict(manifest.cost),
    }


def _events(holding: Holding) -> list[dict[str, Any]]:
    """Names, times and ids of the Segment events, each segment's once."""
    from agent.errors import RecordingError
    from agent.store.replays import tracked, tracked_in

    names = ("at_ms", "kind", "event", "messageId", "userId", "session_id", "device_id", "session_from", "device_from")
    found: dict[str, list[Mapping[str, Any]]] = {}
    for place, replay in holding.parts:
        for manifest in replay.segments:
            if manifest.id in found:
                continue
            try:
                found[manifest.id] = list(tracked(place.recording, manifest.id))
            except RecordingError:
                # It is among what is named as unread.
                continue
    found |= {draft.manifest.id: list(tracked_in(draft.events)) for draft in holding.drafts}
    told = [{name: event[name] for name in names if name in event} for events in found.values() for event in events]
    return sorted(told, key=lambda event: event["at_ms"])


def _answered(parts: Iterable[Mapping[str, Any]], receipts: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What was answered to these, in order; a segment may lie in several places."""
    told = [each for name in dict.fromkeys(part["id"] for part in parts) for each in receipts.get(name, ())]
    return sorted(told, key=lambda each: int(each["ms"]))


def _by_segment(receipts: Iterable[Receipt]) -> dict[str, list[dict[str, Any]]]:
    """What was answered to each segment, in order."""
    from dataclasses import asdict

    told: dict[str, list[dict[str, Any]]] = {}
    for receipt in receipts:
        told.setdefault(receipt.segment, []).append(asdict(receipt))
    return told


def _time(wall_ms: int) -> str:
    from datetime import UTC, datetime

    try:
        return f"{datetime.fromtimestamp(wall_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return "-"
