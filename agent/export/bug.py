"""A bug bundle: all that a bug report wants of a recording, in a folder or a zip of it."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from agent.errors import ConfigError
from agent.export import output
from agent.export.part import Part
from agent.export.steps import markdown
from agent.export.stream import Stream
from agent.export.summary import Summary
from agent.export.ticket import ticket
from agent.replay.rrweb import CONSOLE
from agent.store import bundle
from agent.store.disk import guarded, make_folder, readable, sync_folder
from agent.store.recording import Recording
from agent.viewer.page import single_file

TICKET = "ticket.md"
ZIP = ".zip"
_MAX_NAME = 80


def check_free(path: Path, force: bool) -> None:
    """Raises ConfigError when something is at `path` that may not be written over: anything in a folder, too."""
    if path.suffix == ZIP:
        output.check_free(path, force)
    elif path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is a file.", "Name a folder that is not there yet, or FILE.zip.")
    elif path.is_dir() and any(path.iterdir()) and not force:
        raise ConfigError(f"{path} is there already.", "Give another name, or --force to write over what is in it.")


def write(recording: Recording, summary: Summary, path: Path, force: bool, title: str) -> dict[str, Any]:
    """Write the bundle of a recording; says its files and their sizes. All of it comes to its place at the end.

    Raises ConfigError, BuildError without the viewer's player, StorageError, RecordingError.
    """
    check_free(path, force)
    name, title = recording.name[:_MAX_NAME], readable(title)
    makers: Mapping[str, tuple[str, Callable[[Path], object]]] = {
        f"{name}.replay": ("the recording: android-replay view", lambda file: bundle.pack(recording, file)),
        f"{name}.html": ("the same as a page, opens in any browser", lambda file: _page(recording, file)),
        "steps.md": ("what was done", lambda file: file.write_text(markdown(summary, title), encoding="utf-8")),
        "app.log": ("what the app logged, private values starred", lambda file: _log(recording, summary, file)),
        "device.json": ("the device", lambda file: file.write_bytes(_json(summary.facts()["devices"]))),
        "findings.json": (
            "what is wrong with the app's instrumentation, with proof and fix",
            lambda file: file.write_bytes(_json(summary.facts()["findings"])),
        ),
        "summary.json": ("sessions, markers, gaps, steps", lambda file: file.write_bytes(_json(summary.facts()))),
    }
    make_folder(path.absolute().parent)
    with guarded(path), tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=f".{path.stem}-") as base:
        folder = Path(base) / "bundle"
        folder.mkdir(mode=0o700)
        for file, (_, make) in makers.items():
            (folder / file).touch(mode=0o600)
            make(folder / file)
        words = ticket(summary, title, {file: words for file, (words, _) in makers.items()})
        (folder / TICKET).touch(mode=0o600)
        (folder / TICKET).write_text(words, encoding="utf-8")
        sizes = {file: (folder / file).stat().st_size for file in (TICKET, *makers)}
        if path.suffix == ZIP:
            _zip(folder, sizes, path, force)
        else:
            check_free(path, force)
            _put(folder, path)
    return {"path": str(path), "files": sizes}


def _page(recording: Recording, file: Path) -> None:
    with file.open("wb") as target:
        for piece in single_file(recording, lambda problem: None):
            target.write(piece)


def _log(recording: Recording, summary: Summary, file: Path) -> None:
    with file.open("w", encoding="utf-8") as target:
        for part in sorted(summary.parts, key=lambda part: part.from_ms):
            target.writelines(f"{line}\n" for line in log_lines(Stream(recording, part), part))


def log_lines(stream: Stream, part: Part) -> Iterator[str]:
    """What the app logged in a session, a line each, as it was recorded: private values starred."""
    yield f"--------- session {part.session_id} of device {part.device_id}"
    for event in stream:
        data = event["data"]
        payload = data.get("payload")
        if event["type"] != 6 or data.get("plugin") != CONSOLE or not isinstance(payload, Mapping):
            continue
        at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        words = payload.get("payload")
        text = " ".join(map(str, words)) if isinstance(words, list) else ""
        yield from (f"{at} {line}" for line in text.splitlines() or [""])


def _json(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str) + b"\n"


def _zip(folder: Path, names: Mapping[str, int], path: Path, force: bool) -> None:
    with (
        output.whole(path, force) as aside,
        # As in a recording's own file: the clock may be set to a year that a zip does not know.
        zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as packed,
    ):
        for name in names:
            packed.write(folder / name, f"{path.stem}/{name}")


def _put(folder: Path, path: Path) -> None:
    """Bring the folder to its place: over what is there, file by file."""
    if not path.is_dir():
        folder.replace(path)
    else:
        for file in folder.iterdir():
            file.replace(path / file.name)
        shutil.rmtree(folder, ignore_errors=True)
    sync_folder(path.absolute().parent)
