"""What `android-replay run` is to a farm: a program with its options, exit codes and table, that records nothing.

It notes in the folder FARM_TRUTH which job began on which device when, and whether a device was used by two at once.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

PREFIX = (sys.executable, "-S", "-P", str(Path(__file__).resolve()))


def nowhere(folder: Path, name: str, sinks: Sequence[str]) -> tuple[list[str], str]:
    """A courier that takes nothing anywhere."""
    return [], ""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", default="all")
    parser.add_argument("--app")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if options.device == "-":
        # It is the command of the real `run`.
        options.device = os.environ["ANDROID_SERIAL"]
    asked: list[int] = []
    running: list[subprocess.Popen[bytes]] = []

    def end(number: int, _: object) -> None:
        asked.append(number)
        for each in running:
            each.terminate()

    signal.signal(signal.SIGINT, end)
    truth = Path(os.environ["FARM_TRUTH"])
    # The same file for one device, whatever its serial looks like.
    using = truth / (options.device.replace(":", "_").replace("/", "_") + ".using")
    _note(truth, "began", options.device)
    try:
        other = int(using.read_text())
        os.kill(other, 0)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        pass
    else:
        _note(truth, "shared", options.device)
    using.write_text(str(os.getpid()))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "whole.replay").write_text("{}")
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    process = subprocess.Popen(command)
    running.append(process)
    if asked:
        process.terminate()
    code = process.wait()
    _note(truth, "ended", options.device)
    using.unlink(missing_ok=True)
    outcome = "cut" if asked else "passed" if code == 0 else "failed"
    sessions = [{"session_id": 1760000000000, "device_id": "d-1", "serial": options.device}]
    row = {"test": " ".join(command), "attempt": 1, "outcome": outcome, "sessions": sessions, "replay": "whole.replay"}
    print(json.dumps({"schema": 1, "exit_code": code, "notes": ["A note."], "tests": [row]}), flush=True)
    return 130 if asked else code


def _note(truth: Path, what: str, device: str) -> None:
    names = ("ANDROID_SERIAL", "ANDROID_REPLAY_SHARD_INDEX", "ANDROID_REPLAY_SHARD_COUNT", "ANDROID_REPLAY_FARM_JOB")
    told = {name: os.environ.get(name) for name in names}
    line = json.dumps({"what": what, "device": device, "at": time.time_ns() / 1e9, "job": told[names[3]], "env": told})
    with (truth / "truth.jsonl").open("a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
