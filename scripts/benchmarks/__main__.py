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
    "cpu": "a shop session: CPU time a minute of the whole way, beside three others",
}
# Scenarios of one kind stand in one module.
MODULES = dict.fromkeys(("raw", "jpeg", "png", "video", "sizes", "idle", "spinner"), "screens")


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
        module = importlib.import_module(f"benchmarks.{MODULES.get(name, name)}")
        results += getattr(module, name if name in MODULES else "run")()
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
            f"{result.target:.3g}x" if result.target else "-",
            result.verdict,
            result.peer_name,
        )
        for result in results
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for result in results:
        if result.note:
            print(f"{result.scenario}: {result.note}")


if __name__ == "__main__":
    sys.exit(main())
