from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

import pytest
from fakes.emulate import alive, wait_gone
from fakes.wait import until

from agent.errors import ConfigError
from agent.farm.process import ConsumerProcess, Spec

SPEC = Spec("redis://:pw@h", "here", "A1", ("x",), "/f", "/l", ("run",))
# Repeats in its own words what it was told, until it is told to end.
ECHO = """
import json, os, sys
for line in sys.stdin:
    told = json.loads(line)
    names = sorted(name for name in os.environ if "FARM" in name)
    print(json.dumps({"state": "busy", "job": told.get("job", ""), "why": json.dumps([told, names]), "say": "hello"}))
    sys.stdout.flush()
    if told.get("end") == "stopped" and "job" not in told:
        break
"""


class Bed:
    def __init__(self, program: str) -> None:
        self.said: list[str] = []
        self.ended = threading.Event()
        self.news = threading.Event()
        self.process = ConsumerProcess(
            (sys.executable, "-S", "-c", program), SPEC, self.ended.set, self.news.set, self.said.append
        )  # fmt: skip

    def told(self) -> object:
        return json.loads(self.process.state[2])


def test_it_is_told_what_it_needs_on_its_standard_input_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDROID_REPLAY_FARM__BROKER", "redis://:pw@h")
    bed = Bed(ECHO)
    until(lambda: bed.process.state[0] == "busy", "its first words")
    told, names = bed.told()  # type: ignore[misc]
    assert Spec.read(json.dumps(told).encode()) == SPEC
    assert names == []
    if Path("/proc/self/cmdline").exists():
        assert b"pw" not in Path(f"/proc/{bed.process.pid}/cmdline").read_bytes()
    assert bed.said == ["hello"]
    assert bed.news.is_set()
    bed.process.end_job("c" * 32, "stopped", "no need")
    until(lambda: bed.process.state[1] == "c" * 32, "its answer")
    assert not bed.process.ended
    bed.process.end("stopped", "enough")
    assert bed.process.join(10)
    assert bed.ended.wait(10)
    # One that has ended is told nothing, and that is no error.
    bed.process.end(None, "")


def test_one_that_says_nonsense_is_not_believed() -> None:
    bed = Bed("print('nonsense'); print('[]'); print('{}')")
    assert bed.process.join(10)
    assert bed.process.state == ("starting", "", "")
    assert bed.said == []


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="a job's processes are found by /proc")
def test_killed_with_its_job() -> None:
    job = "ab" * 16
    program = (
        "import json, os, subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(60)'], "
        f"env={{**os.environ, 'ANDROID_REPLAY_FARM_JOB': '{job}'}})\n"
        f"print(json.dumps({{'state': 'busy', 'job': '{job}', 'why': str(child.pid)}}), flush=True)\n"
        "time.sleep(60)"
    )
    bed = Bed(program)
    until(lambda: bed.process.state[2], "the job")
    child = int(bed.process.state[2])
    until(lambda: b"sleep(60)" in Path(f"/proc/{child}/cmdline").read_bytes(), "the job to run")
    bed.process.kill()
    assert bed.process.join(10)
    assert wait_gone([child])
    assert not alive(bed.process.pid)


def test_what_is_no_spec() -> None:
    for line in (b"", b"{}\n", b"[]\n", b"\xff\n"):
        with pytest.raises(ConfigError, match="farm host"):
            Spec.read(line)


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(OSError, match=os.strerror(2)):
        ConsumerProcess(("/no/such/program",), SPEC, lambda: None, lambda: None, lambda text: None)
