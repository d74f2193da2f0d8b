"""What the page is told first: whose recording it is and which segments there are."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from agent.model import SegmentManifest
from agent.store.recording import Recording

# JavaScript's largest exact integer; ids above it travel as text.
EXACT = 2**53 - 1


def overview(recording: Recording) -> dict[str, Any]:
    """`name`, `segments` (the manifests) and `problems` ({file, reason}), ready for JSON."""
    manifests, problems = recording.scan()
    return {
        "name": recording.name,
        "segments": [_public(manifest) for manifest in manifests],
        "problems": [{"file": problem.file, "reason": told(recording, problem.reason)} for problem in problems],
    }


def told(recording: Recording, message: str) -> str:
    """A message without the recording's folder: where it lies is not the page's business."""
    return message.replace(f"{recording.shown}{os.sep}", "")


def _public(manifest: SegmentManifest) -> dict[str, Any]:
    document = asdict(manifest)
    if manifest.session_id > EXACT:
        document["session_id"] = str(manifest.session_id)
    return document
