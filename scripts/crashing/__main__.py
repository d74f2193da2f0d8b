"""`scripts/crashes`: recorder, uploader and collector are killed at random instants.

Each is a real process that dies by SIGKILL and starts again at once. In the end a collector and an upload are left in
peace, and what the recorders had told to be safe is compared with what the collector has: every sealed segment once,
byte for byte; of a segment that was open all that was appended, and a manifest that says that its end is missing.
Exit code 1 when that is not so.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from fakes.killing import Killing, Outcome

SAID_SECONDS = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/crashes", description=__doc__.split("\n\n")[1] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=500, help="how often somebody is killed (500)")
    parser.add_argument("--seed", type=int, default=1, help="of the instants and of who dies (1)")
    parser.add_argument("--folder", type=Path, help="where to work; kept. Left out: a folder that is removed again")
    parser.add_argument("--json", action="store_true", help="the summary as one JSON object on stdout")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="crashes-"))
    if any(folder.glob("*")):
        parser.error(f"{folder} is not empty")
    said = time.monotonic()

    def tell(done: int) -> None:
        nonlocal said
        if time.monotonic() - said >= SAID_SECONDS:
            said = time.monotonic()
            print(f"  {done} of {options.kills} kills", file=sys.stderr, flush=True)

    try:
        outcome = Killing(folder, options.seed).run(options.kills, tell)
    except KeyboardInterrupt:
        return 130
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(outcome.facts()) if options.json else _summary(outcome), flush=True)
    return bool(outcome.faults)


def _summary(outcome: Outcome) -> str:
    kills = ", ".join(f"{count} of the {role}" for role, count in sorted(outcome.kills.items()))
    lines = [
        f"{sum(outcome.kills.values())} kills ({kills}), seed {outcome.seed}, {outcome.seconds:.0f} s",
        f"{outcome.appended} segments were begun, {outcome.sealed} told as sealed, {outcome.delivered} delivered, "
        f"{outcome.recovered} of them closed by the next process, whose manifests say that their end is missing",
        f"{len(outcome.faults)} faults",
        *(f"  {fault}" for fault in outcome.faults),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
