"""`scripts/farm`: hosts of a farm are killed and phones unplugged while jobs run, and no job may run twice or be lost.

Each host is a process of its own with emulated phones behind an adb server of its own; jobs travel by Celery over a
Redis of its own. At random moments a host or a consumer is killed (`kill -9`, the host is started again), a phone is
unplugged and plugged in again, or Redis is killed and started again. A job's recorder is a stand-in that records
nothing and notes what it did, or `android-replay run` with --run. Exit code 1 when a job began twice, a device was used
by two at once, a job has no report or a wrong one, or something was left running.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from agent.errors import FarmError
from agent.farm.celery import CeleryFarm
from agent.farm.job import Job, JobReport, read_job, shards
from agent.farm.lease import marked
from bridge.emulated.lab import Lab
from farming.redis_server import PROGRAM, RedisServer
from farming.running import PREFIX

READY_SECONDS, END_SECONDS = 120.0, 300.0
SHARDS = 12
PULLS = 5
# At once, and the start of a process on a busy machine.
PULL_SECONDS = 1.0
# A report that says so must agree with what the stand-in noted.
BEGAN_NEVER = {"refused", "lost"}
ACTS = ("host", "host", "consumer", "consumer", "phone", "phone", "phone", "redis")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/farm", description=(__doc__ or "").split("\n\n", 1)[1])
    parser.add_argument("--hosts", type=int, default=3, help="how many hosts (3)")
    parser.add_argument("--devices", type=int, default=4, help="how many phones each (4)")
    parser.add_argument("--jobs", type=int, default=60, help="how many jobs (60)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=6.0,
        help="how long a job waits (6): longer than a killed worker takes to be back",
    )
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two accidents (2)")
    parser.add_argument("--accidents", type=int, default=1000, help="how many accidents at most; 0 = none")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--run", action="store_true", help="record with `android-replay run`, not with the stand-in")
    parser.add_argument("--json", action="store_true", help="the verdict as one JSON object on stdout")
    options = parser.parse_args()
    if PROGRAM is None:
        parser.error("redis-server is not installed")
    if not Path("/proc/self/environ").exists():
        parser.error("what is left running is found by /proc, which this system does not have")
    with tempfile.TemporaryDirectory(prefix="farm-") as folder:
        try:
            verdict = Farm(options, Path(folder)).run()
        except KeyboardInterrupt:
            print("Stopped before the end: no verdict.", file=sys.stderr)
            return 130
    print(json.dumps(verdict) if options.json else "\n".join(f"{name}: {value}" for name, value in verdict.items()))
    return 1 if verdict["faults"] else 0


class Farm:
    """All of it, and what was done to it."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._random = random.Random(options.seed)  # noqa: S311 - seeded accidents are the point
        self._began = time.monotonic()
        self._accidents: Counter[str] = Counter()
        self._hosts: list[subprocess.Popen[bytes] | None] = []
        self._labs: list[Lab] = []
        self._later: list[tuple[float, Any]] = []

    def run(self) -> dict[str, Any]:
        options = self._options
        with ExitStack() as stack:
            self._redis = stack.enter_context(RedisServer(self._folder, durable=True))
            for index in range(options.hosts):
                # Some phones come later.
                lab = Lab(options.devices, scenario="idle", profile="small", seed=options.seed + index, autopilot=False)
                self._labs.append(stack.enter_context(lab))
                if options.devices > 1 and options.accidents:
                    lab.fault("unplug", options.devices - 1)
                    self._after(4.0, lambda lab=lab: lab.heal("unplug", options.devices - 1))
            self._hosts = [None] * options.hosts
            for index in range(options.hosts):
                self._start(index)
            stack.callback(self._end)
            self._farm = CeleryFarm(self._redis.url)
            stack.callback(self._farm.close)
            self._until(lambda: len(self._idle()) >= options.hosts, READY_SECONDS, "a phone of each host to be idle")
            self._say("A phone of each host is idle.")
            began = time.monotonic()
            jobs = self._jobs()
            for job in jobs:
                self._farm.submit(job)
            reports = self._await(jobs)
            seconds = time.monotonic() - began
            waits = self._waits() if options.accidents else []
            self._say("All jobs have their reports.")
            self._end()
            self._say("All hosts have ended.")
            return self._verdict(jobs, reports, seconds, waits)

    def _jobs(self) -> list[Job]:
        options, jobs = self._options, []
        command = self._noted([sys.executable, "-S", "-c", f"import time; time.sleep({options.seconds})"])
        while len(jobs) < options.jobs:
            jobs += shards({"command": command, "tags": ["rack"]}, min(SHARDS, options.jobs - len(jobs)))
        return jobs

    def _noted(self, command: list[str]) -> list[str]:
        """A command whose beginning and end are noted: by the stand-in, which the real recorder runs as its command."""
        return [*PREFIX, "--device", "-", "--out", ".", "--", *command] if self._options.run else command

    def _await(self, jobs: list[Job]) -> dict[str, JobReport]:
        """The reports; meanwhile accidents happen."""
        options, reports = self._options, {}
        next_accident, end = time.monotonic() + options.every, time.monotonic() + END_SECONDS
        while len(reports) < len(jobs) and time.monotonic() < end:
            for job in jobs:
                if job.id not in reports:
                    try:
                        report = self._farm.report(job.id)
                    except FarmError:
                        break
                    if report is not None:
                        reports[job.id] = report
                        self._say(f"{len(reports)}/{len(jobs)} {report.outcome} {report.serial} {report.reason[:60]}")
            now = time.monotonic()
            for at, act in [each for each in self._later if each[0] <= now]:
                self._later.remove((at, act))
                act()
            if now >= next_accident and sum(self._accidents.values()) < options.accidents:
                next_accident = now + options.every * self._random.uniform(0.5, 1.5)
                self._accident()
            time.sleep(0.1)
        return reports

    def _accident(self) -> None:
        kind = self._random.choice(ACTS)
        index = self._random.randrange(len(self._hosts))
        host, lab = self._hosts[index], self._labs[index]
        if kind == "host" and host is not None:
            host.kill()
            host.wait()
            self._hosts[index] = None
            self._after(self._random.uniform(0.2, 3.0), lambda: self._start(index))
        elif kind == "consumer" and host is not None and (consumers := _children(host.pid)):
            os.kill(self._random.choice(consumers), signal.SIGKILL)
        elif kind == "phone":
            device = self._random.randrange(self._options.devices)
            lab.fault("unplug", device)
            self._after(self._random.uniform(1.0, 3.0), lambda: lab.heal("unplug", device))
        elif kind == "redis":
            self._redis.kill()
            self._after(self._random.uniform(0.2, 2.0), self._redis.start)
        else:
            return
        self._accidents[kind] += 1
        self._say(f"accident: {kind} of host {index}")

    def _waits(self) -> list[float]:
        """How long a job waits for an idle phone while others are busy: seconds from submission to its beginning."""
        while self._later:
            _, act = self._later.pop()
            act()
        everything = self._options.hosts * self._options.devices
        self._until(lambda: len(self._idle()) == everything, READY_SECONDS, "every phone to be idle")
        self._say("Every phone is idle again.")
        found = []
        # All phones but one are kept busy.
        hold = self._noted([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
        busy = [read_job({"command": hold, "tags": ["rack"]}) for _ in range(everything - 1)]
        for job in busy:
            self._farm.submit(job)
        self._until(lambda: len(self._idle()) == 1, READY_SECONDS, "all phones but one to be busy")
        for _ in range(PULLS):
            job = read_job({"command": self._noted([sys.executable, "-S", "-c", "pass"]), "tags": ["rack"]})
            at = time.time_ns() / 1e9
            self._farm.submit(job)
            self._until(lambda job=job: self._farm.report(job.id), READY_SECONDS, "the job")
            found += [row["at"] - at for row in self._truth() if row["job"] == job.id and row["what"] == "began"]
        self._say("An idle phone took its jobs.")
        for job in busy:
            self._farm.stop(job.id)
        self._until(lambda: all(self._farm.report(job.id) for job in busy), READY_SECONDS, "the jobs to be stopped")
        return found

    def _verdict(
        self, jobs: list[Job], reports: dict[str, JobReport], seconds: float, waits: list[float]
    ) -> dict[str, Any]:
        truth = self._truth()
        began = Counter(row["job"] for row in truth if row["what"] == "began")
        ended = Counter(row["job"] for row in truth if row["what"] == "ended")
        faults = [f"job {job} began {count} times" for job, count in began.items() if count > 1]
        faults += [f"device {row['device']} was used by two at once" for row in truth if row["what"] == "shared"]
        for job in jobs:
            report = reports.get(job.id)
            if report is None:
                faults.append(f"job {job.id} has no report")
            elif report.outcome in BEGAN_NEVER and began[job.id]:
                faults.append(f"job {job.id} is reported as {report.outcome}, and began")
            elif report.outcome in ("passed", "failed") and not ended[job.id]:
                faults.append(f"job {job.id} is reported as {report.outcome}, and did not end")
        if waits and median(waits) > PULL_SECONDS and not self._options.run:
            faults.append(f"an idle phone took its next job after {median(waits):.1f} s")
        left = [pid for job in jobs for pid in marked(job.id)]
        if left:
            faults.append(f"left running: {left}")
        return {
            "jobs": len(jobs),
            "seconds": round(seconds, 1),
            "outcomes": dict(Counter(report.outcome for report in reports.values())),
            "accidents": dict(self._accidents),
            "idle_pulls_ms": [round(median(waits) * 1e3), round(max(waits) * 1e3)] if waits else [],
            "faults": faults,
        }

    def _truth(self) -> list[dict[str, Any]]:
        file = self._folder / "truth.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def _idle(self) -> list[str]:
        try:
            hosts = self._farm.status().hosts
        except FarmError:
            return []
        return [device.serial for host in hosts for device in host.devices if device.state == "idle" and not host.ended]

    def _start(self, index: int) -> None:
        state = self._folder / f"host{index}"
        state.mkdir(exist_ok=True)
        own = {name: value for name, value in os.environ.items() if not name.startswith("ANDROID_REPLAY_")}
        own |= self._labs[index].environment
        own |= {
            "FARM_TRUTH": str(self._folder),
            "XDG_STATE_HOME": str(state),
            "ANDROID_REPLAY_FARM__BROKER": self._redis.url,
            "ANDROID_REPLAY_FARM__NAME": f"host{index}",
            # What is one machine has one folder of leases.
            "ANDROID_REPLAY_FARM__LEASES": str(self._folder / "leases"),
            "ANDROID_REPLAY_FARM__QUARANTINE_OFFLINE": "99",
        }
        prefix = (sys.executable, "-P", "-m", "agent.cli", "run") if self._options.run else PREFIX
        with (self._folder / f"host{index}.txt").open("ab") as words:
            self._hosts[index] = subprocess.Popen(
                [sys.executable, "-m", "farming.host", *prefix],
                env=own,
                stdin=subprocess.DEVNULL,
                stderr=words,
                start_new_session=True,
            )

    def _end(self) -> None:
        for host in self._hosts:
            if host is not None:
                host.send_signal(signal.SIGINT)
        for index, host in enumerate(self._hosts):
            if host is not None:
                try:
                    host.wait(60)
                except subprocess.TimeoutExpired:
                    host.kill()
                    host.wait()
            self._hosts[index] = None

    def _after(self, seconds: float, act: Any) -> None:
        self._later.append((time.monotonic() + seconds, act))

    def _until(self, condition: Any, seconds: float, what: str) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                words = "".join(file.read_text()[-2000:] for file in self._folder.glob("host*.txt"))
                raise SystemExit(f"Waited {seconds:.0f} s for {what}.\n{words}")
            time.sleep(0.1)

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {text}", file=sys.stderr, flush=True)


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


if __name__ == "__main__":
    sys.exit(main())
