"""The examples in the help of the commands, run as they stand beside emulated phones.

Put in is only what is somebody's own (the app, the phone, ids, addresses, a script), and less time.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes import patterned
from fakes.broker import redis_server
from PIL import Image

from agent.cli import COMMANDS
from agent.store.recording import Recording
from bridge.emulated.lab import Lab

ROOT = Path(__file__).parents[2]
SECONDS = 60.0
EXAMPLE = re.compile(r"Examples?: ((?:.|\n)*?)(?:\n\s*\n|\"\"\")")
THEN = ", then "
JOB = "3f9a1c20"
TEST = "def test_that_passes() -> None:\n    pass\n"
DUMP = (
    "<hierarchy rotation='0'><node class='android.widget.TextView' package='com.northbay.shop' text='Pay' "
    "bounds='[0,0][540,120]' visible-to-user='true'/></hierarchy>"
)


def _examples() -> list[str]:
    found = []
    for name in COMMANDS:
        source = (ROOT / "agent" / "commands" / f"{name}.py").read_text()
        for told in EXAMPLE.findall(source):
            found += " ".join(told.split()).split(THEN)
    return found


EXAMPLES = _examples()


def example(begin: str) -> str:
    """The one that begins so, or reads what another program writes."""
    (found,) = (text for text in EXAMPLES if text.rpartition("| ")[2].startswith(f"android-replay {begin}"))
    return found


# What ends by itself, and what it leaves.
ENDING = {
    "audit": "", "demo": "demo-out/recording", "devices": "", "doctor": "", "events": "", "export": "checkout.mp4",
    "mask": "masked.png", "redact": "", "run": "out.xml", "sessions delete": "", "snippet": "ReplayLog.ts",
    "farm submit --shard": "",
}  # fmt: skip
# A file is made of what was recorded, and of nothing none is.
RECORDED = r"recording \| session \d+ .* [1-9]\d* frames"
# What works until Ctrl-C, and what it says when it does.
LASTING = {
    "attach --app": RECORDED, "collector": "Collecting into", "emulate": "export ", "record": RECORDED,
    "attach --sink": RECORDED, "relay": "Waiting for the app", "view": "http://", "farm host --all": "offers",
}  # fmt: skip
# Run beside one of these.
BESIDE = {
    "attach --app": ("mark", "control"), "collector": ("attach --sink", "upload"),
    "farm host --all": ("farm status", "farm submit --tag", "farm stop"),
}  # fmt: skip


@dataclass
class Bench:
    folder: Path
    environment: dict[str, str]
    put_in: dict[str, str]

    def here(self, text: str) -> list[str]:
        for theirs, ours in self.put_in.items():
            text = text.replace(theirs, ours)
        return ["bash", "-o", "pipefail", "-c", text]

    def run(self, text: str) -> str:
        """What it says. Fails when it does not end well."""
        ended = subprocess.run(
            self.here(text), cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=SECONDS,
        )  # fmt: skip
        assert ended.returncode == 0, (text, ended.stdout, ended.stderr)
        assert "Traceback" not in ended.stderr
        return ended.stdout + ended.stderr

    @contextmanager
    def working(self, text: str, says: str) -> Iterator[None]:
        """While it works, then Ctrl-C, at which it ends well."""
        process = subprocess.Popen(
            self.here(f"exec {text}"), cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        assert process.stdout is not None

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.put(line)
            lines.put("")

        reader = threading.Thread(target=read)
        reader.start()
        told = []
        try:
            while not re.search(says, line := lines.get(timeout=SECONDS)):
                told.append(line)
                assert line, (text, told)
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(SECONDS)
            reader.join(SECONDS)
            process.stdout.close()
        assert process.returncode == 0, (text, told)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(1, profile="small", scenario="shop") as lab:
        yield lab


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples are about."""
    folder = tmp_path_factory.mktemp("things")
    patterned.record(folder / "replays" / "checkout")
    minute = Recording.create(folder / "replays")
    for seq in range(6):
        start = seq * patterned.LENGTH_MS
        minute.write(patterned.segment(seq, patterned.SESSION + start, range(seq * 10 + 1, seq * 10 + 11)))
    (folder / "screen.xml").write_text(DUMP)
    Image.new("RGB", (540, 1200)).save(folder / "screen.png")
    for name in ("test_it.py", "tests/ui/test_ui.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(TEST)
    script = folder / "run.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o700)
    return folder


@pytest.fixture
def bench(lab: Lab, things: Path, tmp_path: Path) -> Iterator[Bench]:
    folder = tmp_path / "here"
    shutil.copytree(things, folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    adb = Path(lab.environment["ADBUTILS_ADB_PATH"]).parent
    environment = {
        **os.environ, **lab.environment, "PATH": f"{Path(sys.executable).parent}:{adb}:{os.environ['PATH']}",
        "BROWSER": "true",
    }  # fmt: skip
    put_in = {
        "adb logcat": f"{lab.environment['ADBUTILS_ADB_PATH']} logcat", "com.example.shop": "com.northbay.shop",
        "emulator-5554 ": f"{lab.serials[0]} --listen 1 ", "--folder sessions": f"--folder sessions --port {port}",
        "127.0.0.1:8377": f"127.0.0.1:{port}", "6c1b8a52-9f1d-4a07-8a8c-0f6f4a1c2d3e": patterned.DEVICE,
        "--seconds 25": "--seconds 5", "--shard 4": "--shard 2", "/srv/tests/run.sh": str(folder / "run.sh"),
    }  # fmt: skip
    # A socket's path has an end soon.
    with tempfile.TemporaryDirectory(prefix="state-") as state:
        yield Bench(folder, {**environment, "XDG_STATE_HOME": state}, put_in)


def test_each_is_run() -> None:
    run = {*ENDING, *LASTING, *(begin for beside in BESIDE.values() for begin in beside)}
    assert sorted(map(example, run)) == sorted(EXAMPLES)


@pytest.mark.parametrize("begin", ENDING)
def test_one_that_ends(bench: Bench, begin: str) -> None:
    if begin in ("export", "demo"):
        pytest.importorskip("av")
    bench.run(example(begin))
    assert (bench.folder / ENDING[begin]).exists()


@pytest.mark.parametrize("begin", ["emulate", "record", "relay", "view"])
def test_one_that_works_until_ctrl_c(bench: Bench, begin: str) -> None:
    with bench.working(example(begin), LASTING[begin]):
        pass


@pytest.mark.parametrize("begin", ["attach --app", "collector"])
def test_one_beside_another(bench: Bench, begin: str) -> None:
    with bench.working(example(begin), LASTING[begin]):
        for beside in BESIDE[begin]:
            if beside in LASTING:
                with bench.working(example(beside), LASTING[beside]):
                    pass
            else:
                bench.run(example(beside))


def test_the_farm(bench: Bench, tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        bench.put_in["redis://127.0.0.1:6379/0"] = redis.url
        bench.environment["ANDROID_REPLAY_FARM__BROKER"] = redis.url
        with bench.working(example("farm host --all"), LASTING["farm host --all"]):
            for begin in BESIDE["farm host --all"]:
                told = bench.run(example(begin))
                if begin == "farm submit --tag":
                    (bench.put_in[JOB], *_) = re.findall(r"\b[0-9a-f]{8}\b", told)
