"""`scripts/bench [--json] [SCENARIO...]`: run scenarios one after another, print a table or JSON; see `--help`."""

from __future__ import annotations

import argparse
import importlib
import json
import math
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict

from benchmarks.measure import TOLERATED, CheckFailed, Result, failure

SCENARIOS = {
    "adb": "shell, frames, view trees and clock of an emulated device, beside adbutils and uiautomator2",
    "logs": "a log of a million lines to tagged entries and events, beside adbkit-logcat and a regular expression",
    "start": "start of the command line",
    "raw": "raw pictures to a masked recording, beside PNG to JPEG as adbutils does it",
    "jpeg": "uiautomator2's JPEG to a masked recording, beside uiautomator2 and Pillow",
    "png": "PNG to a masked recording, beside PNG to JPEG as adbutils does it",
    "video": "H.264 to a masked recording, beside ffmpeg, airtest's recorder and a scrcpy client",
    "sizes": "a recording's bytes a minute, beside each picture as JPEG",
    "idle": "a screen that stands still, beside one that is used, for each source",
    "spinner": "a ring that turns under a mask: pictures written, beside every change of a pixel",
    "tree": "a dump of 1000 views, beside xml.etree",
    "size": "a shop session: bytes a minute, beside full pictures, JPEG and H.264",
    "viewer": "half an hour in the viewer: until it shows, until a moment shows, beside rrweb-player alone",
    "spool": "durable appends and what is read after a crash, beside plain writes, files and SQLite",
    "farm": "throughput of several devices over Celery and Redis, beside one device times as many",
    "cpu": "a shop session: CPU time a minute of the whole way, beside three others",
}
# Scenarios of one kind stand in one module.
MODULES = dict.fromkeys(("raw", "jpeg", "png", "video", "sizes", "idle", "spinner"), "screens")

BELOW, FAILED, INTERRUPTED = 1, 3, 130
EXITS = f"""exit codes:
  0    every row reaches {TOLERATED:.0%} of its target and stays within its limit
  {BELOW}    a row does not
  2    wrong arguments
  {FAILED}    a check of what was made failed, or a scenario could not run: its rows say why, the others were run
  {INTERRUPTED}  Ctrl-C: the rows measured until then are printed
"""


def main() -> int:
    lines = "\n".join(f"  {name:8} {line}" for name, line in SCENARIOS.items())
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Benchmarks beside named peers; ratio = how many times better ours is. What is made is checked\n"
        "before it is timed. The table or the JSON goes to standard output, progress to standard error.",
        epilog=f"scenarios:\n{lines}\n\n{EXITS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("scenario", nargs="*", choices=[[], *SCENARIOS], metavar="SCENARIO")
    options = parser.parse_args()
    results: list[Result] = []
    seconds: dict[str, float] = {}
    names = options.scenario or list(SCENARIOS)
    interrupted = False
    for count, name in enumerate(names, 1):
        print(f"[{count}/{len(names)}] {name}: {SCENARIOS[name]}", file=sys.stderr, flush=True)
        began = time.monotonic()
        try:
            for row in rows(name, scenario(name)):
                results.append(row)
                print(f"  {line(row)}", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            interrupted = True
        seconds[name] = time.monotonic() - began
        print(f"  {seconds[name]:.0f} s", file=sys.stderr, flush=True)
        if interrupted:
            break
    code = INTERRUPTED if interrupted else exit_code(results)
    if options.json:
        print(json.dumps({"exit_code": code, "seconds": seconds, "rows": [facts(row) for row in results]}, indent=1))
    else:
        table(results)
    return code


def scenario(name: str) -> Callable[[], Iterable[Result]]:
    """What runs it; a module that cannot be loaded (an extra is missing) fails when it is called."""

    def run() -> Iterable[Result]:
        module = importlib.import_module(f"benchmarks.{MODULES.get(name, name)}")
        found: Iterable[Result] = getattr(module, name if name in MODULES else "run")()
        return found

    return run


def rows(name: str, run: Callable[[], Iterable[Result]]) -> Iterable[Result]:
    """The rows of a scenario as they come. One that breaks off ends with a row that says why."""
    try:
        yield from run()
    except CheckFailed as error:
        yield failure(name, str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other scenarios are run
        traceback.print_exc()
        yield failure(name, f"{type(error).__name__}: {error}")


def exit_code(results: Iterable[Result]) -> int:
    """See `EXITS`."""
    bad = [row for row in results if not row.ok]
    return FAILED if any(row.failed for row in bad) else BELOW if bad else 0


def facts(row: Result) -> dict[str, object]:
    """A row for JSON, which has no infinity."""
    found = {**asdict(row), "missed": row.missed, "verdict": row.verdict}
    return {key: None if isinstance(value, float) and math.isinf(value) else value for key, value in found.items()}


def line(row: Result) -> str:
    """A row as it is told while the others are still to come."""
    if row.failed:
        return f"{row.scenario}: FAILED, {row.failed}"
    target = f" of {row.target:.3g}x, {row.verdict}" if row.target else f" {row.verdict}" if row.verdict else ""
    return f"{row.scenario}: {row.ratio:.3g}x{target}"


def table(results: list[Result]) -> None:
    cells = [("scenario", "ours", "peer", "unit", "ratio", "target", "", "peer")]
    cells += [
        (
            row.scenario,
            *(("-", "-") if row.failed else (f"{row.ours:.4g}", f"{row.peer:.4g}")),
            row.unit,
            "-" if row.failed else f"{row.ratio:.3g}x",
            f"{row.target:.3g}x" if row.target else "-",
            row.verdict,
            row.peer_name,
        )
        for row in results
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for result in results:
        for words in filter(None, (result.failed, result.note)):
            print(f"{result.scenario}: {words}")


if __name__ == "__main__":
    sys.exit(main())
