"""`scripts/bench [--json] [SCENARIO...]`: run scenarios, print a table or JSON, fail below 80 % of a target."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from dataclasses import asdict

from benchmarks.measure import Result

SCENARIOS = {
    "adb": "shell, frames, view trees and clock of an emulated device, beside adbutils and uiautomator2",
    "logs": "a log of a million lines to tagged entries and events, beside adbkit-logcat and a regular expression",
    "start": "start of the command line",
}


def main() -> int:
    lines = "\n".join(f"  {name:8} {line}" for name, line in SCENARIOS.items())
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Benchmarks beside named peers; ratio = how many times better ours is.",
        epilog=f"scenarios:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    parser.add_argument("scenario", nargs="*", choices=[[], *SCENARIOS], metavar="SCENARIO")
    options = parser.parse_args()
    results: list[Result] = []
    for name in options.scenario or SCENARIOS:
        results += importlib.import_module(f"benchmarks.{name}").run()
    if options.json:
        print(json.dumps([asdict(result) for result in results], indent=1))
    else:
        table(results)
    return 0 if all(result.ok for result in results) else 1


def table(results: list[Result]) -> None:
    rows = [("scenario", "ours", "peer", "unit", "ratio", "target", "", "peer")]
    rows += [
        (
            result.scenario,
            f"{result.ours:.4g}",
            f"{result.peer:.4g}",
            result.unit,
            f"{result.ratio:.3g}x",
            f"{result.target:g}x",
            "ok" if result.ok else "MISSED",
            result.peer_name,
        )
        for result in results
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
