"""A recording as one file, `NAME.replay`: a zip of the recording's folder, so that it can be sent and opened elsewhere.

What comes from elsewhere is not trusted: only names that a recording has are taken (so none can lead out of its
folder), each once, no links, nothing encrypted, and no more bytes than a recording may have, counted while they come.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from agent.errors import RecordingError, StorageError
from agent.store.disk import guarded, make_folder, private_folder
from agent.store.recording import Recording

SUFFIX = ".replay"
FILES = 500_000
TOTAL_BYTES = 8_000_000_000
CHUNK_BYTES = 1 << 20
# What one file may have, by the form of its name. Nothing else is taken.
_LIMITS: Mapping[re.Pattern[str], int] = {
    re.compile(r"recording\.json"): 65_536,
    re.compile(r"segments/[0-9a-f]{8,64}\.json"): 4_000_000,
    re.compile(r"segments/[0-9a-f]{8,64}\.jsonl"): 256_000_000,
    re.compile(r"pictures/[0-9a-f]{32}\.(?:webp|jpg|png)"): 64_000_000,
}
_PLAIN = re.compile(r"\w[\w.-]*")
_HINT = "Have it made again by `android-replay export PATH --format replay`."


def is_bundle(path: Path) -> bool:
    """Whether a path is a .replay file, by its name."""
    return path.suffix == SUFFIX and path.is_file()


def pack(recording: Recording, file: Path) -> int:
    """Write the recording into an empty file as a zip; the number of segments in it. Pictures are stored as they are.

    Receipts, locks and what is not part of the recording stay behind. Raises StorageError, RecordingError when a
    segment is damaged, or a picture that it shows is damaged or missing.
    """
    manifests, problems = recording.scan()
    for problem in problems:
        raise RecordingError(f"{problem}", "Delete that segment, then export.")
    # A zip knows the years 1980 to 2107 alone: what is dated otherwise gets the nearest of these.
    with guarded(file), zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as bundle:
        bundle.write(recording.path / "recording.json", "recording.json")
        stored: set[str] = set()
        for manifest in manifests:
            try:
                names = [
                    f"pictures/{_checked(recording, digest)}" for digest in manifest.pictures if digest not in stored
                ]
                recording.events(manifest.id)
            except RecordingError as error:
                raise RecordingError(
                    error.message,
                    f"Delete segments/{manifest.id}.json, which needs it, then export; or take another format than "
                    "replay or bundle: it leaves out what is damaged.",
                ) from error
            stored |= {*manifest.pictures}
            for name in names:
                bundle.write(recording.path / name, name, zipfile.ZIP_STORED)
            for suffix in (".jsonl", ".json"):
                bundle.write(recording.path / "segments" / (manifest.id + suffix), f"segments/{manifest.id}{suffix}")
    return len(manifests)


@contextmanager
def unpacked(file: Path) -> Iterator[Recording]:
    """The recording in a bundle, unpacked into a folder for the owner only that is removed when the block ends.

    Raises RecordingError when the file is no bundle, is damaged, or wants too much; StorageError.
    """
    with private_folder() as base:
        # Its name is shown, and may be anything: ".." among others.
        folder = base / (file.stem if _PLAIN.fullmatch(file.stem) else "recording")
        with _opened(file) as packed, guarded(folder):
            for place in ("segments", "pictures"):
                make_folder(folder / place)
            try:
                with zipfile.ZipFile(packed) as bundle:
                    _unpack(bundle, file, folder)
            except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError) as error:
                raise RecordingError(f"{file} is damaged, or no recording: {error}.", _HINT) from error
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                # A place before the file's beginning.
                raise RecordingError(f"{file} is damaged.", _HINT) from error
        try:
            recording = Recording.open(folder)
        except RecordingError as error:
            # Where it was unpacked is nobody's business.
            raise RecordingError(error.message.replace(str(folder), str(file)), error.hint) from error
        recording.shown = file
        yield recording


def _opened(file: Path) -> BinaryIO:
    """Raises StorageError."""
    try:
        return file.open("rb")
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error.strerror}.", "See who may read it.") from error


def _checked(recording: Recording, digest: str) -> str:
    """The name of a picture's file, whose bytes are those that were written. Raises RecordingError."""
    recording.picture(digest)
    return recording.picture_name(digest)


def _unpack(bundle: zipfile.ZipFile, file: Path, folder: Path) -> None:
    entries = [entry for entry in bundle.infolist() if not entry.is_dir()]
    if len(entries) > FILES:
        raise RecordingError(f"{file} holds {len(entries)} files, more than any recording.", _HINT)
    left = TOTAL_BYTES
    seen: set[str] = set()
    for entry in entries:
        name = entry.filename
        limit = next((limit for form, limit in _LIMITS.items() if form.fullmatch(name)), None)
        if limit is None:
            raise RecordingError(f"{file} holds {name[:80]!r}, which no recording has.", _HINT)
        if name in seen:
            raise RecordingError(f"{file} holds {name} twice.", _HINT)
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise RecordingError(f"{file}: {name} is a link.", _HINT)
        if entry.flag_bits & 0x1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RecordingError(f"{file}: {name} is encrypted, or packed in another way than ours.", _HINT)
        seen.add(name)
        left -= _copy(bundle, entry, folder / name, min(limit, left), file)
    if "recording.json" not in seen:
        raise RecordingError(f"{file} holds no recording.", _HINT)


def _copy(bundle: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, limit: int, file: Path) -> int:
    """Unpack one file; its size. What it says of its own size is not believed."""
    size = 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with bundle.open(entry) as source, os.fdopen(descriptor, "wb") as written:
        while chunk := source.read(CHUNK_BYTES):
            size += len(chunk)
            if size > limit:
                raise RecordingError(f"{file}: {entry.filename} unpacks to more than {limit} bytes.", _HINT)
            written.write(chunk)
    return size
