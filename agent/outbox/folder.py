"""The sink that keeps segments: a recording in a folder of this host."""

from __future__ import annotations

from pathlib import Path

from agent.errors import RecordingError, StorageError
from agent.model import Delivered, Delivery, Rejected, Retry, SealedSegment
from agent.store.recording import Recording

DISK_SECONDS = 5.0


class FolderSink:
    """Writes each segment into the recording at `path`, which is made when needed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parallel = 1
        self._recording: Recording | None = None

    @property
    def name(self) -> str:
        return f"dir:{self.path}"

    def check(self) -> str:
        """Make the recording, or see that it can be written. Raises StorageError."""
        self._open()
        return "can be written"

    def send(self, sealed: SealedSegment) -> Delivery:
        try:
            recording = self._open()
        except StorageError as error:
            # The folder's fault, a RecordingError of its header included, not the segment's.
            return Retry(DISK_SECONDS, error.message)
        try:
            recording.write(sealed)
        except RecordingError as error:
            return Rejected(error.message)
        except StorageError as error:
            return Retry(DISK_SECONDS, error.message)
        return Delivered()

    def close(self) -> None:
        """Nothing is held open between segments."""

    def _open(self) -> Recording:
        if self._recording is None or not self.path.is_dir():
            self._recording = Recording.create(self.path)
        return self._recording
