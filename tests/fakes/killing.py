"""Recorder, uploader and collector as real processes that are killed at random instants, and what must be true after.

The recorder is `fakes.recording`, the others are `android-replay upload` and `android-replay collector` as users run
them, each in a process of its own. In the end a clean collector and an `upload` are left in peace; then what the
recorders told to be safe is compared with what the collector has. Starting a Python for each would take longer than
all the rest: they are forked, so whoever runs this has no threads.

    python killing.py FOLDER KILLS SEED
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import xxhash
from fakes import recording
from fakes.recording import messages
from fakes.wait import until

import agent.collector.server
import agent.commands.collector
import agent.commands.upload
import agent.viewer.app  # noqa: F401  # What is imported before the fork costs no start.
from agent import cli
from agent.replay.segment import KILLED, draft_id
from agent.replay.validator import validate
from agent.store.recording import Recording

ROLES = ("recorder", "uploader", "collector")
SESSION = 1_760_000_000_000
# Some die while they start, some at work.
LONGEST_SECONDS = 1.0
AT_WORK = 0.75
DRAIN_SECONDS = 240.0


@dataclass
class Outcome:
    """What was killed and what came of it; `faults` is empty when all that was promised holds."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    sealed: int = 0
    delivered: int = 0
    recovered: int = 0
    appended: int = 0
    faults: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


class Killing:
    """A folder with a spool, a collector's folder, the recorders' truth, and the processes over them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.spool, self.collected, self.truth = folder / "spool", folder / "collected", folder / "truth"
        self.spool.mkdir(parents=True)
        self.outcome = Outcome(seed)
        self._random = random.Random(seed)
        self._sessions = SESSION
        self._began = 0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._running: dict[str, int] = {}

    def run(self, kills: int, tell: Callable[[int], None] = lambda done: None) -> Outcome:
        """Kill so many times, then see what is there."""
        began = time.monotonic()
        try:
            for role in ("recorder", "collector"):
                self._start(role)
            # Before a recorder has made a spool there is none to drain.
            self._await_work()
            self._start("uploader")
            once = self._random.sample(ROLES, len(ROLES))
            for done in range(kills):
                tell(done)
                role = once.pop() if once else self._random.choice(ROLES)
                if role == "recorder" and self._random.random() < AT_WORK:
                    self._await_work()
                time.sleep(self._random.uniform(0, LONGEST_SECONDS))
                self._kill(role)
                self.outcome.kills[role] += 1
                self._start(role)
                for name in ROLES:
                    status = self._ended(name)
                    if status is None:
                        continue
                    # The uploader ends when nothing is left for it to do, or nothing can be done for a while.
                    if name != "uploader" or status not in (0, 12):
                        self.outcome.faults.append(f"the {name} ended by itself with status {status}")
                    self._start(name)
            self._settle()
        finally:
            self.close()
        self._judge()
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    def _await_work(self) -> None:
        """Until the recorder has told something, or a busy host takes too long."""
        with suppress(AssertionError):
            until(lambda: self._told() > self._began, "a recorder at work", 30)

    def _told(self) -> int:
        return self.truth.stat().st_size if self.truth.exists() else 0

    def close(self) -> None:
        for role in list(self._running):
            self._kill(role)

    def _settle(self) -> None:
        """Everybody dies once more; then a collector in peace, and an upload of what is left."""
        for role in ROLES:
            self._kill(role)
        self._start("collector")
        until(self._listens, "the collector", 30)
        self._start("uploader", "--patience", "60", "--json")
        try:
            until(lambda: self._ended("uploader", keep=True) is not None, "the last upload", DRAIN_SECONDS)
        except AssertionError as error:
            self.outcome.faults.append(str(error))
            return
        if status := self._ended("uploader"):
            words = (self.folder / "uploader.log").read_bytes()[-2000:].decode(errors="replace")
            self.outcome.faults.append(f"the last upload ended with status {status}: {words}")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _start(self, role: str, *more: str) -> None:
        words = ["collector", "--folder", str(self.collected), "--port", str(self.port)]
        if role == "recorder":
            self._sessions += 1000
            self._began = self._told()
        elif role == "uploader":
            words = ["upload", "--spool", str(self.spool), *(more or ("--patience", "3", "--json"))]
        child = os.fork()
        if child:
            self._running[role] = child
            return
        status = 1
        try:
            log = os.open(self.folder / f"{role}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ["ANDROID_REPLAY_UPLOAD__API_KEY"] = "key"
            if role == "recorder":
                recording.main(str(self.spool), self.url, str(self.truth), str(self._sessions))
            sys.argv = ["android-replay", *words]
            cli.main()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        finally:
            if status == 1:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _kill(self, role: str) -> None:
        child = self._running.pop(role, None)
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def _ended(self, role: str, keep: bool = False) -> int | None:
        """The exit status of one that ended by itself."""
        child = self._running[role]
        done = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | (os.WNOWAIT if keep else 0))
        if done is None:
            return None
        if not keep:
            del self._running[role]
        return done.si_status

    def _judge(self) -> None:
        told, outcome = Truth.read(self.truth), self.outcome
        kept = Recording.open(self.collected)
        manifests, problems = kept.scan()
        outcome.faults += [f"at the collector: {problem}" for problem in problems]
        outcome.sealed, outcome.delivered = len(told.sealed), len(manifests)
        outcome.appended = len(told.appended)
        by_draft: Counter[str] = Counter(draft_id(manifest) for manifest in manifests)
        outcome.faults += [f"{n} segments are one and the same: {name}" for name, n in by_draft.items() if n > 1]
        here = {manifest.id for manifest in manifests}
        outcome.faults += [f"sealed, and not delivered: {name}" for name in told.sealed.keys() - here]
        outcome.faults += [
            f"appended, and nothing of it delivered: {name}" for name in told.appended.keys() - by_draft.keys()
        ]
        for manifest in manifests:
            segment = kept.sealed(manifest.id)
            said = set(messages(segment.events))
            name = draft_id(manifest)
            if manifest.id in told.sealed and told.sealed[manifest.id] != _digest(segment.events):
                outcome.faults.append(f"other bytes than were sealed: {manifest.id}")
            missing = told.appended.get(name, set()) - said
            if missing:
                outcome.faults.append(f"appended, and missing in {manifest.id}: {sorted(missing)[:5]}")
            outcome.faults += [f"{manifest.id}: {problem}" for problem in validate(segment.events, segment.pictures)]
            if manifest.reason == "lost":
                outcome.recovered += 1
                if not any(KILLED in loss.reason for loss in manifest.losses) or not manifest.counts.gaps:
                    outcome.faults.append(f"the manifest does not say that the end is missing: {manifest.id}")
                gaps = [e for e in map(orjson.loads, segment.events) if _is_kill(e)]
                if len(gaps) != 1:
                    outcome.faults.append(f"{len(gaps)} gaps say that the recorder ended: {manifest.id}")
        left = [file for file in self.spool.glob("*/queue/segments/*") if file.is_file()]
        left += self.spool.glob("*/drafts/*")
        outcome.faults += [f"left in the spool: {file.relative_to(self.spool)}" for file in left]


@dataclass
class Truth:
    """What recorders told: of each draft the ids of its events, of each sealed segment the digest of its events."""

    appended: dict[str, set[str]] = field(default_factory=dict)
    sealed: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Truth:
        told = cls()
        *lines, _torn = file.read_text().split("\n") if file.exists() else [""]
        for line in lines:
            kind, name, *rest = line.split(" ")
            if kind == "a":
                told.appended[name] = set(rest)
            else:
                digest, draft, *ids = rest
                told.sealed[name] = digest
                told.appended.setdefault(draft, set()).update(ids)
        return told


def _digest(events: tuple[bytes, ...]) -> str:
    return xxhash.xxh3_64_hexdigest(b"\n".join(events))


def _is_kill(event: Mapping[str, object]) -> bool:
    data = event.get("data")
    payload = data.get("payload") if isinstance(data, dict) else None
    return isinstance(payload, dict) and payload.get("stage") == "recorder" and payload.get("reason") == KILLED


if __name__ == "__main__":
    made = Killing(Path(sys.argv[1]), int(sys.argv[3])).run(int(sys.argv[2]))
    print(json.dumps(made.facts()))
    sys.exit(bool(made.faults))
