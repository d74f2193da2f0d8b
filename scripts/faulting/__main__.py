"""`scripts/faults`: every fault of the table, ten times at random moments of a three-minute recording.

Each fault has a recording of its own: an emulated phone behind a real adb server, and `android-replay attach` as a
program. Several run at once. A line tells what the recording says of the outages beside the truth. Exit code 1 when an
outage has no gap, a gap is more than half a second longer or shorter than the outage, pictures come back later than two
seconds after the phone (five after the adb server was killed), something hangs, or something is left over.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from fakes.outages import ROWS, Row, Session, faults_of, plan, run

NAMES = {row.name: row for row in ROWS}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/faults", description=__doc__.split("\n\n")[1] if __doc__ else "")
    parser.add_argument("--fault", action="append", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--repeat", type=int, default=10, help="how often each fault comes (10)")
    parser.add_argument("--seconds", type=float, default=180.0, help="how long each recording lasts (180)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="recordings at once (one a core)")
    parser.add_argument("--json", action="store_true", help="one JSON line a fault on stdout")
    options = parser.parse_args()
    began, bad = time.monotonic(), 0
    with ProcessPoolExecutor(options.jobs) as pool:
        jobs = {
            pool.submit(session, NAMES[name], options.repeat, options.seconds, options.seed + number): NAMES[name]
            for number, name in enumerate(options.fault or NAMES)
        }
        if not options.json:
            print(_HEAD, flush=True)
        for job in as_completed(jobs):
            row = jobs[job]
            try:
                found = job.result()
            except AssertionError as error:
                bad += 1
                print(f"{row.name:40} {error}", file=sys.stderr, flush=True)
                continue
            wrong = [f"at {o.began_ms}: {fault}" for o in found.outages for fault in faults_of(o)]
            wrong += [*found.broken, *(f"left over: {count} {kind}" for kind, count in found.left.items())]
            bad += len(wrong)
            if options.json:
                print(json.dumps({**asdict(found), "wrong": wrong}), flush=True)
            else:
                print(_line(row, found), flush=True)
            for each in wrong:
                print(f"  {row.name}: {each}", file=sys.stderr, flush=True)
    if not options.json:
        print(f"{len(jobs)} faults, {options.repeat} times each, {time.monotonic() - began:.0f} s: {bad} wrong")
    return 1 if bad else 0


def session(row: Row, times: int, seconds: float, seed: int) -> Session:
    """One recording with one fault."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        return run([plan(row, times, seconds, seed)], Path(folder), seed, row.video)


_HEAD = (
    f"{'fault':40} injected  named  worst gap error s  worst time back s  worst time shown s  hung  left over  "
    "ended in s"
)


def _line(row: Row, found: Session) -> str:
    outages = found.outages
    named = sum(1 for outage in outages if outage.gaps)
    errors = [abs(o.gap_seconds - o.truth_seconds) for o in outages if o.exact and o.gaps]
    backs = [o.back_seconds for o in outages if o.back_seconds is not None]
    shown = [o.shown_seconds for o in outages if o.shown_seconds is not None]
    error = f"{max(errors):.2f}" if errors else "-"
    back = f"{max(backs):.2f}" if backs else "-"
    seen = f"{max(shown):.2f}" if shown else "-"
    hung = len(outages) - min(len(backs), len(shown))
    return (
        f"{row.name:40} {len(outages):8}  {named:5}  {error:>17}  {back:>17}  {seen:>18}  {hung:4}  "
        f"{sum(found.left.values()):9}  {found.end_seconds:10.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
