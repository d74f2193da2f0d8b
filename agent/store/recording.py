"""A recording: a folder of replay segments that is readable after a crash at any instant.

    recording.json              schema, when it was made, by what
    pictures/<digest>.webp      content-addressed by xxh3_128 of the bytes (.jpg, .png likewise)
    segments/<id>.jsonl         one rrweb event a line, pictures as "picture:<digest>"
    segments/<id>.json          the manifest
    redactions/<time>.json      receipts: what was hidden afterwards (`agent.store.redaction`)
    erasing.json                while segments are erased: which (`agent.store.erasure`)
    lock                        of whoever writes: sinks share it, the collector and what removes have it alone

Invariants: files are written aside, fsync'd and renamed, pictures first, the manifest last; a segment exists if and
only if its manifest does, and then all that it names is there. Removal goes the other way round. Whatever a crash
leaves behind besides is not part of the recording (`sweep` deletes it). Files are 0600 in folders 0700.

Reading needs no lock and may happen in any process; writing and removing belong to one process (`agent.outbox.spool`
and the collector see to it), in which any thread may call.
"""

from __future__ import annotations

import base64
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import orjson
import xxhash

from agent import OWNER, __version__
from agent.errors import RecordingError, StorageError
from agent.model import Picture, SealedSegment, SegmentManifest
from agent.store.disk import PART, guarded, make_folder, overwrite, readable, sync_folder, write_files
from agent.store.schema import (
    Damaged,
    Header,
    StoredManifest,
    check_digest,
    check_id,
    header_document,
    manifest_document,
    read_header,
    read_manifest,
)

SUFFIXES = {"image/webp": ".webp", "image/jpeg": ".jpg", "image/png": ".png"}
_MEDIA_TYPES = {suffix: media_type for media_type, suffix in SUFFIXES.items()}
REDACTIONS = "redactions"
HEADER = "recording.json"
_ERASING = "erasing.json"
_HEADER_HINT = f"Copy the {HEADER} of another recording: it says only when and by what the folder was made."
LOCK = "lock"
# Only a whole JSON string is a reference: inside a longer text a quote would be escaped.
REFERENCE = re.compile(rb'"picture:([0-9a-f]{32})"')
# What may be the name of a picture in a text of any form: whole, not a part of a longer one.
_NAME = re.compile(rb"[0-9a-f]{32,}")


class Unreadable(RecordingError):
    """The disk did not give a file that is there; it may the next time."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A segment that cannot be used: its file name and why."""

    file: str
    reason: str

    @property
    def stem(self) -> str:
        """What its files are called."""
        return self.file.partition(".")[0]

    def __str__(self) -> str:
        """Both in a line, the file once."""
        return self.reason if self.file in self.reason else f"{self.file}: {self.reason}"


class Recording:
    """The folder as an object. Make one with `open` or `create`. `shown` is what people know it as, in what is said of
    it: the file that it was unpacked from."""

    def __init__(self, path: Path, header: Header, shown: Path | None = None) -> None:
        self.path = path
        self.shown = shown or path
        self.header = header
        self._segments = path / "segments"
        self._pictures = path / "pictures"
        self._writing = threading.Lock()
        self._known: dict[str, StoredManifest] = {}
        # How many segments show a picture; None until a removal asks.
        self._shown: Counter[str] | None = None

    @property
    def name(self) -> str:
        """What its folder is called; bytes in that which are no UTF-8 are shown as such."""
        return readable(self.path.resolve().name)

    @classmethod
    def open(cls, path: Path) -> Recording:
        """An existing recording. Raises RecordingError when there is none, or it is newer than this program."""
        file = path / HEADER
        try:
            header = read_header(_parse(file))
        except FileNotFoundError as error:
            raise RecordingError(f"{path} is not a recording.", f"A recording is a folder with a {HEADER}.") from error
        except Damaged as error:
            raise Damaged(f"{file}: {error.message}", _HEADER_HINT) from error
        except RecordingError as error:
            raise RecordingError(f"{file}: {error.message}", error.hint) from error
        return cls(path, header)

    @classmethod
    def create(cls, path: Path) -> Recording:
        """The recording in this folder, made when it is not there yet. Raises StorageError."""
        make_folder(path)
        if not (path / HEADER).exists():
            # The folder's age, for people; no stamp of the recorded timeline comes from it.
            header = Header(time.time_ns() // 1_000_000, f"{OWNER} {__version__}")
            write_files(path, [(HEADER, [orjson.dumps(header_document(header))])])
        recording = cls.open(path)
        make_folder(recording._segments)
        make_folder(recording._pictures)
        return recording

    def write(self, sealed: SealedSegment) -> None:
        """Store a segment; durable on return, nothing happens if it is there already.

        Raises StorageError when the disk refuses, RecordingError when the segment contradicts itself (an event with a
        newline, a picture that is missing or does not fit its digest).
        """
        manifest = sealed.manifest
        name = check_id(manifest.id)
        with self._writing:
            if self._has(name) or name in self._redacted():
                return
            try:
                missing = [self._new_picture(sealed, check_digest(digest)) for digest in manifest.pictures]
            except Unreadable as error:
                raise StorageError(error.message, "Check the disk.") from error
            files = [
                (digest + SUFFIXES[shown.media_type], [shown.data]) for digest, shown in missing if shown is not None
            ]
            if any(b"\n" in event for event in sealed.events):
                raise RecordingError(f"Segment {name}: an event holds a newline.")
            lines = [event + b"\n" for event in sealed.events]
            stored = StoredManifest(manifest, len(lines), _digest(lines))
            try:
                document = orjson.dumps(manifest_document(stored))
            except TypeError as error:
                raise RecordingError(f"Segment {name}: its manifest is no JSON text: {error}.") from error
            if files:
                write_files(self._pictures, dict(files).items())
            write_files(self._segments, [(f"{name}.jsonl", lines)])
            write_files(self._segments, [(f"{name}.json", [document])])
            if self._shown is not None:
                self._shown.update(set(manifest.pictures))

    def holds(self, segment_id: str) -> bool:
        """Whether there is a manifest of this segment now, readable or not. Raises Unreadable."""
        return self._there(self._segments / f"{check_id(segment_id)}.json")

    def manifests(self) -> tuple[SegmentManifest, ...]:
        """The readable manifests, by device id, session id, sequence number, start."""
        return self.scan()[0]

    def problems(self) -> tuple[Problem, ...]:
        """The manifests that are there and cannot be read."""
        return self.scan()[1]

    def scan(self) -> tuple[tuple[SegmentManifest, ...], tuple[Problem, ...]]:
        """Both of the above, from one look at the folder."""
        found, problems = self._found()
        # A redacted copy counts as soon as it is there, whatever a crash left of what it was made from.
        gone = {manifest.supersedes for manifest in found if manifest.supersedes} | self.condemned()
        found = [manifest for manifest in found if manifest.id not in gone]
        found.sort(
            key=lambda manifest: (manifest.device_id, manifest.session_id, manifest.seq, manifest.start_ms, manifest.id)
        )
        return tuple(found), tuple(problems)

    def _found(self) -> tuple[list[SegmentManifest], list[Problem]]:
        """All manifests that are there, redacted and condemned ones included."""
        found: list[SegmentManifest] = []
        problems: list[Problem] = []
        for name in _names(self._segments):
            stem, dot, suffix = name.partition(".")
            if dot + suffix != ".json":
                continue
            try:
                # Its file was in the folder just now.
                stored = self._known[stem] = self._known.get(stem) or self._read_stored(stem)
                found.append(stored.manifest)
            except RecordingError as error:
                problems.append(Problem(name, error.message))
        return found, problems

    def manifest(self, segment_id: str, keep: bool = True) -> SegmentManifest:
        """Raises RecordingError when there is no such segment, or its manifest is damaged. `keep`: it is in memory from
        then on, which is not for who asks for each once."""
        return (self._stored(segment_id) if keep else self._look(segment_id)).manifest

    def events(self, segment_id: str) -> list[bytes]:
        """The rrweb events as JSON texts, pictures as references. Raises RecordingError when they are damaged."""
        stored = self._stored(segment_id)
        file = self._segments / f"{segment_id}.jsonl"
        data = self._read(file)
        if xxhash.xxh3_64_hexdigest(data) != stored.events_digest:
            raise RecordingError(f"{self._named(file)}: Damaged: the events are not those that were written.")
        return data.split(b"\n")[:-1]

    def inlined(self, segment_id: str) -> Iterator[bytes]:
        """The rrweb events as JSON texts, pictures as data URIs. Raises RecordingError when anything is damaged."""
        manifest = self.manifest(segment_id)
        uris: dict[bytes, bytes] = {}
        for event in self.events(segment_id):
            for digest in REFERENCE.findall(event):
                if digest not in uris and digest.decode() in manifest.pictures:
                    uris[digest] = data_uri(self.picture(digest.decode()))
            yield inline(event, uris)

    def picture(self, digest: str) -> Picture:
        """Raises RecordingError when it is absent, or its bytes do not fit the digest."""
        file = self._picture_of(digest)
        data = self._read(file)
        if xxhash.xxh3_128_hexdigest(data) != digest:
            raise RecordingError(f"{self._named(file)}: Damaged: the bytes do not fit the digest.")
        return Picture(digest, _MEDIA_TYPES[file.suffix], data)

    def picture_name(self, digest: str) -> str:
        """The name of a picture's file. Raises RecordingError when it is absent."""
        return self._picture_of(digest).name

    def sealed(self, segment_id: str) -> SealedSegment:
        """The segment as it was written. Raises RecordingError."""
        manifest = self.manifest(segment_id)
        pictures = {digest: self.picture(digest) for digest in manifest.pictures}
        return SealedSegment(manifest, tuple(self.events(segment_id)), pictures)

    def remove(self, segment_id: str) -> None:
        """Delete a segment, and its pictures that no other segment shows. Idempotent. Raises StorageError."""
        name = check_id(segment_id)
        with self._writing, guarded(self._segments):
            manifest = self._segments / f"{name}.json"
            try:
                dropped, readable = set(self._stored(name).manifest.pictures), True
            except RecordingError:
                dropped, readable = self._named_by(name) if os.path.lexists(manifest) else set(), False
            uses = self._uses() if dropped and readable else Counter[str]()
            manifest.unlink(missing_ok=True)
            sync_folder(self._segments)
            (self._segments / f"{name}.jsonl").unlink(missing_ok=True)
            self._known.pop(name, None)
            if readable:
                uses.subtract(dropped)
            elif dropped:
                # What was counted for it, as long as it was whole, need not be what it names now.
                self._shown = None
                uses = self._uses()
            gone = {digest for digest in dropped if uses[digest] <= 0}
            self._drop_pictures(gone)
            for digest in gone:
                del uses[digest]

    def _uses(self) -> Counter[str]:
        """How many segments show which picture, those that cannot be read included. Counted once: who removes has the
        folder alone."""
        if self._shown is None:
            manifests, problems = self._found()
            shown = [set(manifest.pictures) for manifest in manifests]
            shown += [self._named_by(problem.stem) for problem in problems]
            self._shown = Counter(digest for pictures in shown for digest in pictures)
        return self._shown

    def _named_by(self, stem: str) -> set[str]:
        """The pictures that a segment shows whose manifest cannot be read: those that its files name, in whatever form,
        and all that are there when the disk does not give its events either. Raises StorageError."""
        there = {name.partition(".")[0] for name in _names(self._pictures)}
        named: set[str] = set()
        for suffix in (".json", ".jsonl"):
            try:
                named.update(found.decode() for found in _NAME.findall(_bytes(self._segments / f"{stem}{suffix}")))
            except FileNotFoundError:
                continue
            except OSError:
                if suffix == ".jsonl":
                    return there
        return there & named

    def weight(self, segment_id: str) -> int:
        """The bytes on the disk of a segment whose manifest cannot be read, and of the pictures that it may show.
        Raises StorageError."""
        name = check_id(segment_id)
        shown = self._named_by(name)
        files = [self._segments / each for each in _names(self._segments) if not _is_stray(each, {name})]
        files += [self._pictures / each for each in _names(self._pictures) if not _is_stray(each, shown)]
        size = 0
        for file in files:
            # The disk need not even tell how large a damaged one is.
            with suppress(OSError):
                size += file.stat().st_size
        return size

    def condemn(self, segment_ids: Iterable[str]) -> None:
        """From here on these segments count as not there: `destroy` removes them, `acquit` ends it. Raises
        StorageError."""
        names = sorted({check_id(name) for name in segment_ids} | self.condemned())
        write_files(self.path, [(_ERASING, [orjson.dumps({"segments": names})])])

    def condemned(self) -> set[str]:
        """What `condemn` named since the last `acquit`. Raises RecordingError when the note of it is damaged."""
        file = self.path / _ERASING
        try:
            document = _parse(file)
        except FileNotFoundError:
            return set()
        names = document.get("segments") if isinstance(document, dict) else None
        if not isinstance(names, list):
            raise RecordingError(f"{file}: Damaged: it does not list segments.", "Delete it, then erase again.")
        return {check_id(name) for name in names if isinstance(name, str)}

    def acquit(self) -> None:
        """Forget the note that `condemn` made; idempotent. Raises StorageError."""
        with guarded(self.path):
            file = self.path / _ERASING
            if file.exists():
                # A note that is half overwritten would be a damaged one for good.
                overwrite(file.replace(file.with_name(file.name + PART)))
                sync_folder(self.path)

    def whole(self) -> tuple[SegmentManifest, ...]:
        """The manifests. Raises RecordingError when one cannot be read, since it might own what would be destroyed."""
        manifests, problems = self.scan()
        if problems:
            raise RecordingError(
                f"{self.path}: {problems[0].file} cannot be read, so nothing can be destroyed.",
                "Delete that file and the one beside it that ends in .jsonl, then try again.",
            )
        return manifests

    def destroy(self) -> tuple[int, int]:
        """Overwrite and delete the segments that have a redacted copy or are condemned, and all that no segment owns.

        Returns the numbers of files and bytes. Idempotent: what a crash interrupted is finished by the next call. A
        disk that copies on write, and a flash disk's spare blocks, may keep old bytes all the same. Raises
        StorageError; RecordingError as `whole` does.
        """
        with self._writing, guarded(self.path):
            manifests = self.whole()
            names = {manifest.id for manifest in manifests}
            digests = {digest for manifest in manifests for digest in manifest.pictures}
            # Events before manifests: without its manifest the other file would be nobody's.
            stray = [file for file in self._segments.glob("*") if file.suffix == PART or file.stem not in names]
            stray.sort(key=lambda file: file.suffix == ".json")
            stray += [file for file in self._pictures.iterdir() if file.suffix == PART or file.stem not in digests]
            size = sum(file.stat().st_size for file in stray)
            for file in stray:
                # A manifest that is half overwritten would be a damaged one for good.
                aside = file.with_name(file.name + PART) if file.suffix == ".json" else file
                overwrite(file.replace(aside))
            for folder in (self._segments, self._pictures):
                sync_folder(folder)
            self._shown = None
            self._known = {name: stored for name, stored in self._known.items() if name in names}
            return len(stray), size

    def sweep(self) -> int:
        """Delete what a crash left behind and no manifest owns; returns the number of files. Raises StorageError.

        Of a segment whose manifest is unreadable all is kept that bears its name, and the pictures that it may show.
        Nothing is deleted while segments are being erased, since these are to be overwritten.
        """
        with self._writing, guarded(self.path):
            manifests, problems = self.scan()
            if self.condemned():
                return 0
            unread = {problem.stem for problem in problems}
            names = {manifest.id for manifest in manifests} | unread
            digests = {digest for manifest in manifests for digest in manifest.pictures}
            digests.update(*map(self._named_by, unread))
            stray = [self._segments / name for name in _names(self._segments) if _is_stray(name, names)]
            stray += [self._pictures / name for name in _names(self._pictures) if _is_stray(name, digests)]
            for file in stray:
                file.unlink()
            return len(stray)

    def _redacted(self) -> set[str]:
        """The segments that have a redacted copy, or had one: they never come back."""
        folder = self.path / REDACTIONS
        if not folder.is_dir():
            return set()
        gone = {manifest.supersedes for manifest in self.manifests()}
        for file in folder.glob("*.json"):
            try:
                receipt = _parse(file)
            except (RecordingError, FileNotFoundError):
                continue
            pairs = receipt.get("segments") if isinstance(receipt, dict) else None
            gone |= {str(pair["before"]) for pair in pairs or () if isinstance(pair, dict) and "before" in pair}
        return gone

    def _has(self, segment_id: str) -> bool:
        try:
            self._look(segment_id)
        except RecordingError:
            return False
        return True

    def _stored(self, segment_id: str) -> StoredManifest:
        """The manifest document; kept once read, since it never changes. Not when written: who writes for days would
        hold all of them."""
        stored = self._known[segment_id] = self._look(segment_id)
        return stored

    def _look(self, segment_id: str) -> StoredManifest:
        if segment_id in self._known and self._there(self._segments / f"{segment_id}.json"):
            return self._known[segment_id]
        return self._read_stored(segment_id)

    def _read_stored(self, segment_id: str) -> StoredManifest:
        file = self._segments / f"{check_id(segment_id)}.json"
        named = self._named(file)
        try:
            stored = read_manifest(_parse(file))
        except FileNotFoundError as error:
            raise RecordingError(f"{self.shown} has no segment {segment_id}.") from error
        except Unreadable as error:
            raise Unreadable(f"{named}: {error.message}") from error
        except RecordingError as error:
            raise RecordingError(f"{named}: {error.message}", error.hint) from error
        if stored.manifest.id != segment_id:
            raise RecordingError(f"{named}: Damaged: the manifest is that of segment {stored.manifest.id}.")
        return stored

    def _read(self, file: Path) -> bytes:
        try:
            return _bytes(file)
        except FileNotFoundError as error:
            raise RecordingError(f"{self._named(file)}: {error.strerror}.") from error
        except OSError as error:
            raise Unreadable(f"{self._named(file)}: {error.strerror}.") from error

    def _named(self, file: Path) -> Path:
        return self.shown / file.relative_to(self.path)

    def _new_picture(self, sealed: SealedSegment, digest: str) -> tuple[str, Picture | None]:
        """The picture to write for this digest, None when it is stored already."""
        if self._picture_file(digest) is not None:
            return digest, None
        shown = sealed.pictures.get(digest)
        if shown is None:
            raise RecordingError(f"Segment {sealed.manifest.id}: picture {digest} is missing.")
        if shown.media_type not in SUFFIXES:
            raise RecordingError(
                f"Segment {sealed.manifest.id}: a picture of type {shown.media_type} cannot be stored."
            )
        if xxhash.xxh3_128_hexdigest(shown.data) != digest:
            raise RecordingError(f"Segment {sealed.manifest.id}: picture {digest} does not fit its digest.")
        return digest, shown

    def _picture_of(self, digest: str) -> Path:
        file = self._picture_file(check_digest(digest))
        if file is None:
            raise RecordingError(f"{self.shown}: picture {digest} is missing.")
        return file

    def _picture_file(self, digest: str) -> Path | None:
        files = (self._pictures / f"{digest}{suffix}" for suffix in _MEDIA_TYPES)
        return next((file for file in files if self._there(file)), None)

    def _there(self, file: Path) -> bool:
        """Raises Unreadable when the disk does not tell."""
        try:
            return file.exists()
        except OSError as error:
            raise Unreadable(f"{self._named(file)}: {error.strerror}.") from error

    def _drop_pictures(self, digests: set[str]) -> None:
        for digest in digests:
            file = self._picture_file(digest)
            if file is not None:
                file.unlink()


def data_uri(picture: Picture) -> bytes:
    """The picture as `data:<type>;base64,<...>`."""
    return b"data:" + picture.media_type.encode() + b";base64," + base64.b64encode(picture.data)


def inline(event: bytes, uris: dict[bytes, bytes]) -> bytes:
    """An event with its picture references replaced by the data URIs known for their digests."""

    def replaced(match: re.Match[bytes]) -> bytes:
        uri = uris.get(match[1])
        return match[0] if uri is None else b'"' + uri + b'"'

    return REFERENCE.sub(replaced, event)


def _names(folder: Path) -> list[str]:
    """The names in a folder, in order; none when it is not there. A full spool has thousands. Raises StorageError."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Unreadable(f"{folder} cannot be read: {error.strerror}.", "Check who may read it.") from error


def _is_stray(name: str, owned: set[str]) -> bool:
    return name.endswith(PART) or name.partition(".")[0] not in owned


def _digest(lines: list[bytes]) -> str:
    state = xxhash.xxh3_64()
    for line in lines:
        state.update(line)
    return state.hexdigest()


def _bytes(file: Path) -> bytes:
    """A whole file, without a buffer between: a spool is opened by reading thousands of small ones."""
    with FileIO(file) as stream:
        return stream.readall()


def _parse(file: Path) -> object:
    """Raises FileNotFoundError, RecordingError."""
    try:
        return orjson.loads(_bytes(file))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unreadable(f"Cannot be read: {error.strerror}.") from error
    except orjson.JSONDecodeError as error:
        raise Damaged(f"Damaged: {error}.") from error
