"""`scripts/soak`: emulated phones are recorded for hours, and nothing of the recorder may grow and no event be missed.

The phones, a collector and `android-replay attach` run as processes of their own, so that the memory is the
recorder's alone. A line a minute, then a verdict; exit code 1 when memory grows by more than 1 MB an hour a device
after the warm-up, when threads, sockets or files grow, or when an event that an app sent is missing from the folder or
the collector, stands in it twice or under other ids.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson

from agent.runtime.control import SOCKET, ask
from agent.store.recording import Recording
from soaking.process import Sample, look
from soaking.verdict import Found, Truth, faults, memory, missed, slope, warm

SHOP = "com.northbay.shop"
READY_SECONDS = 120.0
END_SECONDS = 180.0
# An event counts from when its device surely is heard, and until so long before the end: it is told up to 1.5 s late.
HEARD_MS, TAIL_MS = 1000, 4000
LEAST_EVENTS, EVENTS_SECONDS = 4, 60.0
SHOWN_WRONG = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=(__doc__ or "").split("\n\n", 1)[1])
    parser.add_argument("--devices", type=int, default=10, help="how many phones (10)")
    parser.add_argument("--duration", type=float, default=7200.0, help="seconds of recording (7200)")
    parser.add_argument(
        "--rate", type=float, help="pictures a second at most; the product's own ceilings when left out"
    )
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks at the process (5)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a new folder for what was recorded; deleted when left out")
    parser.add_argument("--json", action="store_true", help="one JSON line a minute and one for the verdict on stdout")
    options = parser.parse_args()
    if not Path("/proc/self/fd").is_dir():
        parser.error("what a process holds is read from /proc, which this system does not have")
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        folder.mkdir(parents=True, exist_ok=True)
        try:
            verdict = _soak(options, folder)
        except KeyboardInterrupt:
            print("Stopped before the end: no verdict.", file=sys.stderr)
            return 130
    _say(options.json, _verdict_line(verdict), verdict)
    return 1 if verdict["faults"] else 0


class Child:
    """A command of ours in a process of its own; its words go to a file. Ended by SIGINT when the block ends."""

    def __init__(self, words: Path, *arguments: str, environment: dict[str, str]) -> None:
        self._words = words
        with words.open("w") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "agent.cli", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stream,
                env=environment,
                # Ctrl-C in the terminal is for us alone: we end them in order.
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name=f"words:{arguments[0]}", daemon=True)
        self._reader.start()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def line(self) -> Any:
        """Its next JSON line. Raises SystemExit when there is none."""
        try:
            return json.loads(self._lines.get(timeout=READY_SECONDS))
        except (queue.Empty, ValueError) as error:
            raise SystemExit(f"No answer: {self._words.read_text()[-2000:]}") from error

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def end(self) -> int:
        """Its exit code."""
        if not self.ended:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join()
        return self._process.wait()

    def _read(self) -> None:
        with self._process.stdout as stream:
            for line in stream:
                self._lines.put(line)


def _soak(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANDROID_REPLAY_")}
    truth = folder / "truth.jsonl"
    emulate = ("emulate", "--devices", str(options.devices), "--scenario", "errands", "--profile", "small")
    with ExitStack() as stack:
        # A socket's path has an end soon.
        state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        environment["XDG_STATE_HOME"] = str(state)
        collector = stack.enter_context(
            Child(
                folder / "collector.txt", "collector", "--folder", str(folder / "collected"), "--port", "0", "--json",
                environment=environment,
            )
        )  # fmt: skip
        phones = stack.enter_context(
            Child(
                folder / "phones.txt", *emulate, "--seed", str(options.seed), "--truth", str(truth), "--json",
                environment=environment,
            )
        )  # fmt: skip
        url = collector.line()["url"]
        facts = phones.line()
        environment |= facts["env"] | {"NO_PROXY": "*"}
        if options.rate is not None:
            environment["ANDROID_REPLAY_CAPTURE__RATE"] = str(options.rate)
            environment["ANDROID_REPLAY_CAPTURE__TOUCH_RATE"] = str(options.rate)
        recorder = stack.enter_context(
            Child(
                folder / "recorder.txt", "attach", "--all", "--app", SHOP, "--json",
                "--sink", f"dir:{folder / 'replays'}", "--sink", f"collector:{url}",
                environment=environment,
            )
        )  # fmt: skip
        spool = state / "android-replay" / "spool"
        heard = _heard(spool, recorder, facts["serials"])
        before = _events(spool)
        samples = list(_watch(options, recorder, spool))
        _some_events(spool, before)
        until = _now_ms() - TAIL_MS
        recorder.end()
        summary = recorder.line()
        phones.end()
    between = {serial: (since, until) for serial, since in heard.items()}
    truths = list(_truths(truth))
    wrong: list[str] = []
    asked = 0
    for place in ("replays", "collected"):
        asked, lines = missed(truths, _found(folder / place), between)
        wrong += [f"{place}: {line}" for line in lines]
    judged = warm(samples)
    rate, points = slope(judged), memory(judged)
    losses: dict[str, int] = {}
    for device in summary["devices"]:
        for name, count in device["losses"].items():
            losses[name] = losses.get(name, 0) + count
    if not asked:
        wrong.append("no event to look for: too short, or the apps did nothing")
    return {
        "devices": options.devices,
        "seconds": samples[-1].at if samples else 0.0,
        "rss_first": points[0][1] if points else 0,
        "rss_last": points[-1][1] if points else 0,
        "slope_bytes_hour_device": None if rate is None else rate / options.devices,
        "cpu_seconds_device_minute": _cpu(samples, options.devices),
        "events": asked,
        "segments": sum(device["segments"] for device in summary["devices"]),
        "frames": sum(device["frames"] for device in summary["devices"]),
        "gaps": sum(device["gaps"] for device in summary["devices"]),
        "losses": losses,
        "drained": summary["drained"],
        "faults": [*faults(samples, options.devices), *wrong],
    }


def _heard(spool: Path, recorder: Child, serials: list[str]) -> dict[str, int]:
    """From when on each device is recorded, in ms of the wall clock."""
    heard: dict[str, int] = {}
    deadline = time.monotonic() + READY_SECONDS
    while len(heard) < len(serials):
        if recorder.ended or time.monotonic() > deadline:
            raise SystemExit(f"Of {len(serials)} devices {len(heard)} are recorded.")
        for device in _devices(spool):
            if device["state"] == "recording":
                heard.setdefault(device["serial"], _now_ms() + HEARD_MS)
        time.sleep(0.2)
    return heard


def _watch(options: argparse.Namespace, recorder: Child, spool: Path) -> Iterator[Sample]:
    """Look at the recorder until the time is over, and say a line a minute."""
    began = time.monotonic()
    said = 0
    minute: list[Sample] = []
    while (at := time.monotonic() - began) < options.duration:
        if recorder.ended:
            raise SystemExit("The recorder ended by itself.")
        sample = look(recorder.pid, at)
        yield sample
        minute.append(sample)
        if at // 60 >= said:
            said = int(at // 60) + 1
            sample = replace(sample, rss=round(statistics.median(each.rss for each in minute)))
            minute.clear()
            devices = _devices(spool)
            figures = {
                name: sum(device[name] for device in devices) for name in ("frames", "events", "segments", "gaps")
            }
            states = sorted({device["state"] for device in devices})
            _say(options.json, _minute_line(sample, figures, states), {**asdict(sample), **figures, "states": states})
        time.sleep(max(0.0, began + at + options.every - time.monotonic()))


def _some_events(spool: Path, before: int) -> None:
    """After a run so short that there may be none: wait until some events surely count, as long as that is worth it."""
    deadline = time.monotonic() + EVENTS_SECONDS
    fresh = _events(spool) < before + LEAST_EVENTS
    while _events(spool) < before + LEAST_EVENTS and time.monotonic() < deadline:
        time.sleep(0.2)
    if fresh:
        time.sleep(TAIL_MS / 1000 + 1)


def _events(spool: Path) -> int:
    return sum(device["events"] for device in _devices(spool))


def _devices(spool: Path) -> list[dict[str, Any]]:
    for socket in spool.glob(f"*/{SOCKET}"):
        answer = ask(socket, "status")
        if answer is not None:
            return list(answer["devices"])
    return []


def _truths(file: Path) -> Iterator[Truth]:
    with file.open() as lines:
        for line in lines:
            fact = json.loads(line)
            if fact["kind"] == "event":
                yield Truth(
                    fact["serial"], fact["message_id"], fact["name"], fact["wall_ms"], fact["session_id"],
                    fact["device_id"],
                )  # fmt: skip


def _found(folder: Path) -> Iterator[Found]:
    recording = Recording.open(folder)
    for manifest in recording.manifests():
        for line in recording.events(manifest.id):
            event = orjson.loads(line)
            if event["type"] == 5 and event["data"]["tag"].startswith("segment:"):
                yield Found(event["data"]["payload"]["messageId"], manifest.session_id, manifest.device_id)


def _cpu(samples: list[Sample], devices: int) -> float:
    seconds = samples[-1].at - samples[0].at if samples else 0.0
    return (samples[-1].cpu - samples[0].cpu) / devices / seconds * 60 if seconds else 0.0


def _minute_line(sample: Sample, figures: dict[str, int], states: list[str]) -> str:
    files = " ".join(f"{count} {kind}" for kind, count in sorted(sample.files.items()))
    done = " ".join(f"{count} {name}" for name, count in figures.items())
    return (
        f"{sample.at / 60:5.0f} min  {sample.rss / 1e6:7.1f} MB  {sample.cpu:7.0f} s CPU  {sample.threads} threads  "
        f"{files}  {done}  {', '.join(states)}"
    )


def _verdict_line(verdict: dict[str, Any]) -> str:
    per_hour = verdict["slope_bytes_hour_device"]
    growing = "too short for a slope" if per_hour is None else f"{per_hour / 1e6:+.2f} MB an hour a device"
    wrong = verdict["faults"]
    more = [f"  {line}" for line in wrong[:SHOWN_WRONG]]
    if len(wrong) > SHOWN_WRONG:
        more.append(f"  and {len(wrong) - SHOWN_WRONG} more")
    return "\n".join(
        (
            f"{verdict['devices']} devices, {verdict['seconds'] / 60:.1f} min: memory {verdict['rss_first'] / 1e6:.1f} "
            f"to {verdict['rss_last'] / 1e6:.1f} MB, {growing}; {verdict['cpu_seconds_device_minute']:.2f} s CPU a "
            f"device-minute; {verdict['events']} events looked for, {verdict['frames']} frames, "
            f"{verdict['segments']} segments, {verdict['gaps']} gaps: {f'{len(wrong)} faults' if wrong else 'holds'}",
            *more,
        )
    )


def _say(as_json: bool, line: str, facts: dict[str, Any]) -> None:
    print(json.dumps(facts) if as_json else line, flush=True)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    sys.exit(main())
