"""The sink that keeps segments: a recording in a folder of this host."""

from __future__ import annotations

from pathlib import Path

from agent.errors import RecordingError, StorageError
from agent.model import Delivered, Delivery, Rejected, Retry, SealedSegment
from agent.store.disk import FolderLock
from agent.store.recording import LOCK, Recording

DISK_SECONDS = 5.0


class FolderSink:
    """Writes each segment into the recording at `path`, which is made when needed.

    From the first on it shares the folder's lock with other sinks, so that nobody removes what it writes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parallel = 1
        self._recording: Recording | None = None
        self._lock: FolderLock | None = None

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
        lock, self._lock, self._recording = self._lock, None, None
        if lock is not None:
            lock.close()

    def _open(self) -> Recording:
        recording = self._recording
        if recording is None or not self.path.is_dir():
            self.close()
            recording = Recording.create(self.path)
            self._lock = FolderLock(self.path / LOCK, shared=True)
            self._recording = recording
        return recording
