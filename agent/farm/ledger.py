"""Which jobs began on this host and what became of them: a job that is delivered again is already started.

    ledger/<job>.began       made once, whole or not at all, before the job begins
    ledger/<job>.report      what became of it
    ledger/<job>.delivered   the farm has the report

All processes of a host share the folder. A file that exists is whole, whatever is killed: what began is linked to its
name, which fails when the name is taken. Where a disk knows no links a crash may leave an empty one: it began, and no
more is known.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

from agent.errors import AgentError
from agent.farm.job import Job, JobReport, read_job, read_report
from agent.store.disk import guarded, make_folder, sync_folder, take, write_files

log = logging.getLogger(__name__)

BEGAN, REPORT, DELIVERED = ".began", ".report", ".delivered"


@dataclass(frozen=True, slots=True)
class Entry:
    """A job that began: where and when (epoch ms)."""

    job: Job
    host: str
    serial: str
    began_ms: int


class Ledger:
    """The folder. Any thread, any process of this host."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder when needed. Raises StorageError."""
        self.folder = folder
        make_folder(folder)

    def begin(self, job: Job, host: str, serial: str, now_ms: int) -> bool:
        """Note that a job begins, durably; False when it has begun already. Raises StorageError."""
        path = self.folder / (job.id + BEGAN)
        part = f"{job.id}.{secrets.token_hex(4)}.new"
        facts = {"job": job.model_dump(mode="json"), "host": host, "serial": serial, "began_ms": now_ms}
        write_files(self.folder, [(part, [orjson.dumps(facts)])])
        try:
            with guarded(path):
                if not take(self.folder / part, path):
                    return False
                sync_folder(self.folder)
        finally:
            (self.folder / part).unlink(missing_ok=True)
        return True

    def end(self, report: JobReport) -> None:
        """Note what became of a job; the first report counts. Raises StorageError."""
        name = report.job + REPORT
        if not (self.folder / name).exists():
            write_files(self.folder, [(name, [report.model_dump_json().encode()])])

    def delivered(self, job: str) -> None:
        """Note that the farm has the report. Raises StorageError."""
        path = self.folder / (job + DELIVERED)
        with guarded(path):
            path.touch(mode=0o600)

    def entry(self, job: str) -> Entry | None:
        """A job that began; None when none such did, or what is known of it cannot be read."""
        try:
            found = orjson.loads((self.folder / (job + BEGAN)).read_bytes())
            return Entry(read_job(found["job"]), str(found["host"]), str(found["serial"]), int(found["began_ms"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AgentError) as error:
            log.warning("an entry of the job ledger cannot be read: %s", type(error).__name__)
            return None

    def report(self, job: str) -> JobReport | None:
        """What became of a job; None when that is not known."""
        try:
            return read_report((self.folder / (job + REPORT)).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, AgentError) as error:
            log.warning("a report of the job ledger cannot be read: %s", type(error).__name__)
            return None

    def running(self) -> list[Entry]:
        """Those that began and have no report, neither here nor, since the disk was full, at the farm alone."""
        entries = [self.entry(job) for job in sorted(self._jobs(BEGAN) - self._jobs(REPORT) - self._jobs(DELIVERED))]
        return [entry for entry in entries if entry is not None]

    def undelivered(self) -> list[JobReport]:
        """The reports that the farm does not have yet."""
        reports = [self.report(job) for job in sorted(self._jobs(REPORT) - self._jobs(DELIVERED))]
        return [report for report in reports if report is not None]

    def forget(self, seconds: float, jobs: Path) -> list[str]:
        """Delete what is known of jobs whose report was delivered so long ago, their folders in `jobs` first; which."""
        gone = []
        for job in sorted(self._jobs(DELIVERED)):
            path = self.folder / (job + DELIVERED)
            with contextlib.suppress(OSError):
                # A file's age is the wall clock's business.
                if path.stat().st_mtime < time.time_ns() / 1e9 - seconds:
                    shutil.rmtree(jobs / job, ignore_errors=True)
                    for suffix in (REPORT, BEGAN, DELIVERED):
                        (self.folder / (job + suffix)).unlink(missing_ok=True)
                    gone.append(job)
        return gone

    def _jobs(self, suffix: str) -> set[str]:
        return {path.stem for path in self.folder.glob("*" + suffix)}
