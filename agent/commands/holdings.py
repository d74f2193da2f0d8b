"""What the folders of this host hold of a device, a session or a user: recordings, collectors' folders, the spool."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent.collector import erasure as collected
from agent.errors import RecordingError, StorageError
from agent.model import SegmentManifest
from agent.outbox import erasure as spooled
from agent.outbox import journal
from agent.outbox.receipts import Receipt, read_receipts
from agent.outbox.waiting import QUEUE, spools, still_open
from agent.store import erasure
from agent.store.disk import FolderLock, FolderTaken, erase_parts, guarded
from agent.store.recording import HEADER, LOCK, Problem, Recording
from agent.store.replays import Key, Replay, Who, replays, users


@dataclass(frozen=True, slots=True)
class Place:
    """A recording and the folder whose lock guards it: its own, or that of the spool whose queue it is.

    `asked` = the user named it; else it is the spool that this host's recorders use. `bundle` = the file that it was
    unpacked from.
    """

    folder: Path
    recording: Recording
    asked: bool = True
    bundle: Path | None = None

    @property
    def name(self) -> str:
        return str(self.bundle or self.folder)

    @property
    def is_spool(self) -> bool:
        return self.folder != self.recording.path


@dataclass(frozen=True, slots=True)
class Draft:
    """A segment that is still open: its recorder runs, or was killed. The manifest's id is the name of its file."""

    place: Place
    manifest: SegmentManifest
    events: tuple[bytes, ...]


@dataclass(slots=True)
class Holding:
    """One replay, in all the places that hold of it."""

    key: Key
    users: set[str] = field(default_factory=set)
    parts: list[tuple[Place, Replay]] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Unread:
    """What cannot be read in a place, and of which replay it is; None when that cannot be read either."""

    place: Place
    problem: Problem
    key: Key | None = None

    def facts(self) -> dict[str, str]:
        """For JSON."""
        return {"place": self.place.name, "file": self.problem.file, "reason": self.problem.reason}


@dataclass(slots=True)
class Erased:
    """What went, or would go: replays with the user ids known in them, ids of segments, files, lines of ledgers,
    receipts and events, bytes."""

    replays: dict[Key, set[str]]
    segments: set[str]
    files: int = 0
    lines: int = 0
    bytes: int = 0


def places(path: Path, asked: bool = True) -> list[Place]:
    """The recordings that a path means: a recording's or a collector's folder, a spool, or one of a spool's numbers.

    Raises RecordingError when it is none of these, StorageError when it cannot be read.
    """
    try:
        if (path / HEADER).exists():
            return [Place(path, Recording.open(path), asked)]
        found = spools(path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be read: {error.strerror}.", "Check the path and who may read it."
        ) from error
    if not found and asked:
        what = "no recording, no collector's folder and no spool" if path.exists() else "not there"
        raise RecordingError(f"{path} is {what}.", f"A recording is a folder with a {HEADER}.")
    return [Place(folder, Recording.open(folder / QUEUE), asked) for folder in found]


def holdings(found: Iterable[Place], who: Who) -> tuple[dict[Key, Holding], list[Unread]]:
    """The replays that `who` means, by device id and session id, and what cannot be read and may be of them.

    A user's replays are those in which the id stands in a Segment event, or in an analytics event at the collector.
    Raises StorageError.
    """
    held: dict[Key, Holding] = {}
    unread: list[Unread] = []
    for place in found:
        unread += (Unread(place, problem) for problem in place.recording.problems())
        for key, replay in replays(place.recording).items():
            holding = held.setdefault(key, Holding(key))
            holding.parts.append((place, replay))
            holding.users |= replay.users
            unread += (Unread(place, problem, key) for problem in replay.unread)
        for draft in _drafts(place, unread) if place.is_spool else ():
            holding = held.setdefault(draft.manifest.key, Holding(draft.manifest.key))
            holding.drafts.append(draft)
            holding.users |= users(draft.events)
        for event in collected.events(place.folder, Who(), held.keys()):
            if isinstance(user := event.get("user_id"), str):
                held[event["device_id"], event["session_id"]].users.add(user)
    meant = {key: holding for key, holding in sorted(held.items()) if who.means(key, holding.users)}
    # Whose ids stand in what cannot be read, nobody knows.
    whoever = Who(who.device, who.session)
    return meant, [one for one in unread if one.key is None or whoever.means(one.key, ())]


def _drafts(place: Place, unread: list[Unread]) -> Iterator[Draft]:
    """The segments that are still open in a spool; what cannot be read of them is added to `unread`."""
    try:
        for file, opened in still_open(place.folder):
            if opened is None:
                unread.append(Unread(place, Problem(file.name, "Nothing whole is in it.")))
                continue
            size = sum(map(len, opened.events)) + sum(len(shown.data) for shown in opened.pictures.values())
            manifest = replace(opened.manifest, id=file.stem, bytes=size)
            if opened.damaged:
                problem = Problem(file.name, "Damaged: the end of it cannot be read.")
                unread.append(Unread(place, problem, manifest.key))
            yield Draft(place, manifest, opened.events)
    except RecordingError as error:
        unread.append(Unread(place, Problem(journal.FOLDER, error.message)))


def deliveries(found: Iterable[Place], segment_ids: set[str]) -> list[Receipt]:
    """What the sinks answered about these segments, as far as the spools remember."""
    return [
        receipt
        for place in found
        if place.is_spool
        for receipt in read_receipts(place.folder)
        if receipt.segment in segment_ids
    ]


def erase(found: list[Place], who: Who, *, dry_run: bool, skipped: list[Path]) -> tuple[Erased, dict[str, int]]:
    """Erase what `who` means everywhere, and what an interrupted run left; what went, and how much of it which other
    sink was sent.

    A spool that is in use, that nobody named and that holds none of it, is left alone and put into `skipped`. Nothing
    is touched when another place is in use. Raises FolderTaken; RecordingError for a damaged segment; StorageError.
    """
    with ExitStack() as stack:
        taken: list[tuple[Place, FolderTaken]] = []
        mine: list[Place] = []
        for place in found:
            try:
                if not dry_run:
                    stack.callback(FolderLock(place.folder / LOCK).close)
                mine.append(place)
            except FolderTaken as error:
                taken.append((place, error))
        whose, ids = _meant([*mine, *(place for place, _ in taken)], who)
        for place, refusal in taken:
            if place.asked or _has(place, whose.keys(), ids):
                raise FolderTaken(refusal.message, "Stop that process, then delete.") from refusal
            skipped.append(place.folder)
        for place in mine:
            for problem in place.recording.problems():
                raise RecordingError(
                    f"{place.recording.path}: {problem.file} cannot be read, and might be what is meant.",
                    "Delete that file in `segments` and the one beside it that ends in .jsonl, then try again.",
                )
        here = {f"dir:{folder}" for place in mine for folder in (place.folder.absolute(), place.folder.resolve())}
        elsewhere: dict[str, int] = {}
        for sink, _ in {(r.sink, r.segment) for r in deliveries(mine, ids) if r.outcome == "delivered"}:
            if sink not in here:
                elsewhere[sink] = elsewhere.get(sink, 0) + 1
        erased = Erased(whose, ids)
        if not dry_run:
            _erase(mine, who, erased)
        return erased, elsewhere


def named(relay: Path, texts: Iterable[str | None]) -> int:
    """How many batches in the relay's queues, refused ones among them, hold one of these texts. Raises StorageError."""
    needles = [text.encode() for text in texts if text]
    count = 0
    with guarded(relay):
        for batch in relay.rglob("*.batch"):
            # The relay may send one away meanwhile.
            with suppress(FileNotFoundError):
                data = batch.read_bytes()
                count += any(needle in data for needle in needles)
    return count


def _meant(found: list[Place], who: Who) -> tuple[dict[Key, set[str]], set[str]]:
    """The replays to erase, with the user ids known in them, and the ids of their segments, former ones included."""
    held, _ = holdings(found, Who())
    whose = {key: holding.users for key, holding in held.items()}
    keys = {key for key, holding in held.items() if who.means(key, holding.users)}
    ids: set[str] = set()
    for place in found:
        keys |= erasure.begun(place.recording)
        ids |= place.recording.condemned()
        if place.is_spool:
            for opened, known in spooled.still_open(place.folder):
                if who.means(opened, known):
                    keys.add(opened)
                    whose.setdefault(opened, set()).update(known)
        if who.user is not None:
            keys |= {key for event in collected.events(place.folder, who, set()) if (key := _key(event)) is not None}
    for key in keys & held.keys():
        ids |= {manifest.id for _, replay in held[key].parts for manifest in replay.segments}
    for place in found:
        ids |= erasure.former(place.recording, ids)
    return {key: whose.get(key, set()) for key in keys}, ids


def _erase(mine: list[Place], who: Who, erased: Erased) -> None:
    """All is condemned before anything goes, and what leads to the rest goes last: so an interrupted run is finished
    by the next."""
    for place in mine:
        erasure.begin(place.recording, erased.segments)
    for place in mine:
        if place.is_spool:
            lines, size = spooled.erase_rows(place.folder, erased.segments)
            files, more = spooled.erase_open(
                place.folder, lambda key, users: key in erased.replays or (bool(who) and who.means(key, users))
            )
            erased.files, size = erased.files + files, size + more
        else:
            lines, size = collected.erase(place.folder, who, erased.replays.keys())
        erased.lines, erased.bytes = erased.lines + lines, erased.bytes + size
    for place in mine:
        for folder in {place.folder, place.recording.path}:
            erase_parts(folder)
        files, size = erasure.finish(place.recording)
        erased.files, erased.bytes = erased.files + files, erased.bytes + size


def _has(place: Place, keys: Set[Key], ids: set[str]) -> bool:
    if not keys.isdisjoint(replays(place.recording)):
        return True
    if not place.is_spool:
        return False
    return spooled.names_any(place.folder, ids) or any(key in keys for key, _ in spooled.still_open(place.folder))


def _key(event: Mapping[str, Any]) -> Key | None:
    device, session = event.get("device_id"), event.get("session_id")
    return (device, session) if isinstance(device, str) and isinstance(session, int) else None
