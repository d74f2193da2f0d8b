"""Redacting a recording on disk: new copies first, then the old bytes away, and a receipt of it.

A copy names the segment that it `supersedes`, which readers leave out from then on. So a run that was interrupted at
any instant has neither lost nor shown anything, and the next run finishes it: it destroys what is superseded, and goes
over the rest. The receipt is written as "begun" before the first copy and as "done" after the last old byte is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import replace
from typing import Any

import orjson

from agent.errors import ConfigError
from agent.model import Picture, SealedSegment, SegmentManifest
from agent.replay.redaction import NoScreen, Order, Redaction, covered
from agent.store.disk import FolderLock, make_folder, write_files
from agent.store.recording import LOCK, REDACTIONS, Recording

SCHEMA = 1

Tell = Callable[[str, float], None]


def redact(
    recording: Recording, order: Order, asked: Mapping[str, Any], now_ms: int, *, dry_run: bool, tell: Tell
) -> dict[str, Any]:
    """Hide what the order says in every segment; the receipt, with `asked` in it. `dry_run` only says what would be.

    Raises FolderTaken while another process writes to the recording, other StorageErrors, RecordingError for a damaged
    segment, ConfigError where a rectangle in pixels cannot be placed.
    """
    with nullcontext() if dry_run else closing(FolderLock(recording.path / LOCK)):
        return _redact(recording, order, asked, now_ms, dry_run=dry_run, tell=tell)


def _redact(
    recording: Recording, order: Order, asked: Mapping[str, Any], now_ms: int, *, dry_run: bool, tell: Tell
) -> dict[str, Any]:
    finished = (0, 0) if dry_run else recording.destroy()
    manifests = recording.whole()
    redaction = Redaction(order)
    steps = 3 * max(1, len(manifests))
    for n, manifest in enumerate(manifests):
        redaction.learn(_events(recording, manifest))
        tell("reading", n / steps)
    for n, manifest in enumerate(manifests, len(manifests)):
        try:
            redaction.look(manifest.id, _replay(manifest), _events(recording, manifest))
        except NoScreen as error:
            raise ConfigError(
                "This recording does not say how many pixels the screen has: a rectangle cannot be placed.",
                "Hide the views instead, with --block or --mask.",
            ) from error
        tell("looking", n / steps)
    new = {digest: covered(recording.picture(digest), shares) for digest, shares in redaction.covered.items()}
    renamed = {old: picture.digest for old, picture in new.items()}
    pictures = {picture.digest: picture for picture in new.values()}
    receipt: dict[str, Any] = {
        "schema": SCHEMA,
        "state": "dry run" if dry_run else "begun",
        "at_ms": now_ms,
        "asked": dict(asked),
        "finished_before": {"files": finished[0], "bytes": finished[1]},
        "segments": [],
        "pictures": len(new),
        "texts": 0,
        "touches": 0,
        "destroyed": {"files": 0, "bytes": 0},
    }
    name = f"{now_ms}.json"
    for n, manifest in enumerate(manifests, 2 * len(manifests)):
        made = redaction.rewrite(manifest, _replay(manifest), _events(recording, manifest), renamed)
        tell("writing", n / steps)
        if made is None:
            continue
        if not dry_run and not receipt["segments"]:
            _write(recording, name, receipt)
        after, lines = made
        receipt["segments"].append({"before": manifest.id, "after": after.id})
        receipt["touches"] += sum(loss.count for loss in after.losses[len(manifest.losses) :])
        # A picture that cannot be read ends a dry run, too.
        sealed = _sealed(recording, after, lines, pictures)
        if not dry_run:
            recording.write(sealed)
    receipt["texts"] = redaction.texts
    if not dry_run and receipt["segments"]:
        files, size = recording.destroy()
        receipt |= {"state": "done", "destroyed": {"files": files, "bytes": size}}
        _write(recording, name, receipt)
        receipt["receipt"] = str(recording.path / REDACTIONS / name)
    return receipt


def _events(recording: Recording, manifest: SegmentManifest) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in recording.events(manifest.id)]


def _replay(manifest: SegmentManifest) -> str:
    return f"{manifest.serial}/{manifest.device_id}/{manifest.session_id}"


def _sealed(
    recording: Recording, manifest: SegmentManifest, lines: tuple[bytes, ...], made: Mapping[str, Picture]
) -> SealedSegment:
    pictures = {digest: made.get(digest) or recording.picture(digest) for digest in manifest.pictures}
    size = manifest.bytes + sum(len(picture.data) for picture in pictures.values())
    return SealedSegment(replace(manifest, bytes=size), lines, pictures)


def _write(recording: Recording, name: str, receipt: Mapping[str, Any]) -> None:
    folder = recording.path / REDACTIONS
    make_folder(folder)
    write_files(folder, [(name, [orjson.dumps(receipt, option=orjson.OPT_INDENT_2)])])
