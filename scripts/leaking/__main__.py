"""`scripts/leaks`: emulated screens are recorded, and what is stored is searched for what is private on them.

N pictures of each level are spread over the worlds, the sources (single pictures, video in two ways) and the ways in
which view trees come late, half or not at all. Each picture goes through the capture loop, masking and the recorder in
virtual time; all stored pictures and texts are searched. Exit code 1 when one pixel or word is found, or when a still
screen is blocked or covered too much.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict

from fakes.leaks import LEVELS, SCREENS, SOURCES, TREES, UNTOLD, WORLDS, Outcome, faults, search


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/leaks", description=__doc__.split("\n\n")[1] if __doc__ else "")
    parser.add_argument("--frames", type=int, default=20_000, help="pictures taken at each level (20000)")
    parser.add_argument("--level", action="append", choices=LEVELS, help="medium and conservative")
    parser.add_argument("--world", action="append", choices=WORLDS, metavar="WORLD", help=", ".join(WORLDS))
    parser.add_argument("--trees", action="append", choices=TREES, help=", ".join(TREES))
    parser.add_argument("--source", action="append", choices=SOURCES, help=", ".join(SOURCES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (one a core)")
    parser.add_argument("--json", action="store_true", help="one JSON line a run on stdout")
    options = parser.parse_args()
    chosen = itertools.product(
        options.level or LEVELS, options.world or WORLDS, options.trees or TREES, options.source or SOURCES
    )
    runs = [run for run in chosen if run[1:3] not in UNTOLD]
    if not runs:
        parser.error("a dump of the active window tells nothing of a notification: take other worlds or trees")
    share = -(-options.frames * len(options.level or LEVELS) // len(runs))
    began = time.monotonic()
    found: list[Outcome] = []
    with ProcessPoolExecutor(options.jobs) as pool:
        jobs = [
            pool.submit(search, world, level, trees, share, *SCREENS[number // 2 % len(SCREENS)], options.seed, source)
            for number, (level, world, trees, source) in enumerate(runs)
        ]
        for job in jobs:
            outcome = job.result()
            found.append(outcome)
            if options.json:
                print(json.dumps({**asdict(outcome), "faults": faults(outcome)}), flush=True)
            else:
                print(_line(outcome), flush=True)
            for leak in (*outcome.leaks, *faults(outcome)):
                print(f"  {leak}", file=sys.stderr, flush=True)
    leaks = sum(len(outcome.leaks) for outcome in found)
    bad = sum(len(faults(outcome)) for outcome in found)
    if not options.json:
        print(
            f"{sum(o.taken for o in found)} pictures taken, {sum(o.frames for o in found)} masked, "
            f"{sum(o.pictures for o in found)} stored, {sum(o.texts for o in found) / 1e6:.1f} MB of text, "
            f"{time.monotonic() - began:.0f} s: {leaks} leaks, {bad} still screens covered too much"
        )
    return 1 if leaks or bad else 0


def _line(o: Outcome) -> str:
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(o.reasons.items()))
    return (
        f"{o.level:12} {o.world:14} {o.trees:8} {o.source:12} {o.frames:6} masked  blocked {o.blocked:6.1%}  "
        f"over-masked {o.overmasked:6.1%}  leaks {len(o.leaks)}  {reasons}"
    )


if __name__ == "__main__":
    sys.exit(main())
