"""The emulated device of the benchmarks, in a process of its own: a Pixel 7 whose commands cost no modelled time, so
that what is left is the path to it. Prints where it is as a JSON line; answers each line of standard input with the
true offset of its clock; ends with standard input."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

from bridge.emulated.lab import Lab
from bridge.emulated.profile import PROFILES


def main() -> None:
    profile = replace(PROFILES["pixel7"], latencies={})
    with Lab(devices=1, profile=profile, autopilot=False) as lab:
        print(json.dumps({"port": lab.port, "serial": lab.serials[0]}), flush=True)
        for _ in sys.stdin:
            print(lab.phones[0].clock.truth_offset_ns(), flush=True)


if __name__ == "__main__":
    main()
