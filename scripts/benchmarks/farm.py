"""The farm's throughput: jobs that mostly wait, as UI tests do, on several devices, beside one device times as many.

Everything but the phones is real: Redis, Celery, a host with a consumer process for each device, a process a job. The
recorder is a stand-in that records nothing, so that what is measured is the farm's own share of the cores.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from farming.plugged import Plugged
from farming.redis_server import PROGRAM, RedisServer
from farming.running import PREFIX

from agent.farm.celery import CeleryFarm, host
from agent.farm.job import Job, shards
from agent.settings import Farm
from benchmarks.measure import CheckFailed, Result, result

CONSUME = (sys.executable, "-P", "-m", "agent.cli", "farm", "consume")
ROOT = Path(__file__).resolve().parent.parent.parent
# A short UI test; what a job costs besides is some tenths of a second.
WAIT_SECONDS = 5.0
ROUNDS = 3
DEVICES = (2, 4, 8)
READY_SECONDS = 120.0


def run() -> list[Result]:
    """Seconds a job, for several numbers of devices."""
    if PROGRAM is None:
        raise CheckFailed("redis-server is not installed")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    one = _seconds_a_job(1)
    rows = []
    for devices in DEVICES:
        ours = _seconds_a_job(devices)
        peer = "one device, linear"
        note = f"{cores} cores; a job waits {WAIT_SECONDS:g} s, {ROUNDS} a device"
        rows.append(result(f"farm/{devices}", ours, one / devices, peer, "s", 0.9, note=note))
    return rows


def _seconds_a_job(devices: int) -> float:
    with tempfile.TemporaryDirectory(prefix="farm-") as folder, _farm(Path(folder), devices) as farm:
        command = [sys.executable, "-S", "-c", f"import time; time.sleep({WAIT_SECONDS})"]
        jobs = shards({"command": command, "tags": ["rack"]}, devices * ROUNDS)
        began = time.monotonic()
        for job in jobs:
            farm.submit(job)
        _wait(lambda: all(farm.report(job.id) is not None for job in jobs))
        seconds = time.monotonic() - began
        _check(farm, jobs, devices)
    return seconds / len(jobs)


def _check(farm: CeleryFarm, jobs: list[Job], devices: int) -> None:
    reports = [report for job in jobs if (report := farm.report(job.id)) is not None]
    wrong = [report.reason for report in reports if report.outcome != "passed"]
    if wrong:
        raise CheckFailed(f"{len(wrong)} jobs did not pass: {wrong[0]}")
    used = len({report.serial for report in reports})
    if used != devices:
        raise CheckFailed(f"{used} of {devices} devices were used")


@contextmanager
def _farm(folder: Path, devices: int) -> Iterator[CeleryFarm]:
    with ExitStack() as stack:
        before = {name: os.environ.get(name) for name in ("FARM_TRUTH", "PYTHONPATH")}
        stack.callback(_restore, before)
        os.environ |= {"FARM_TRUTH": str(folder), "PYTHONPATH": str(ROOT)}
        redis = stack.enter_context(RedisServer(folder))
        plugged = Plugged()
        settings = Farm(folder=folder, leases=folder / "leases")
        made = host(redis.url, "bench", plugged, ("rack",), (), settings, CONSUME, PREFIX, lambda text: None)
        stack.callback(made.close)
        made.open()
        thread = threading.Thread(target=made.run)
        thread.start()
        stack.callback(thread.join)
        stack.callback(made.stop)
        for number in range(devices):
            plugged.plug(f"D{number}")
        farm = CeleryFarm(redis.url)
        stack.callback(farm.close)
        _wait(lambda: [device.state for device in made.facts().devices] == ["idle"] * devices)
        yield farm


def _restore(before: dict[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _wait(condition: object) -> None:
    assert callable(condition)
    until = time.monotonic() + READY_SECONDS
    while not condition():
        if time.monotonic() > until:
            raise CheckFailed("the farm did not come to its end in time")
        time.sleep(0.05)
