"""`scripts/fuzz [--seconds N] [TARGET...]`: each target gets N seconds of hostile bytes; exit 1 when one fails.

With atheris (`pip install atheris`) the bytes follow what the code covers; without it hypothesis makes them. A finding
is printed as the bytes that cause it, to be made a test.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys

from fuzzing.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__.split("\n\n")[1] if __doc__ else "")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("target", nargs="*", choices=[[], *TARGETS], metavar="TARGET", help=", ".join(TARGETS))
    options = parser.parse_args()
    engine = "atheris" if importlib.util.find_spec("atheris") else "hypothesis"
    failed = []
    for name in options.target or TARGETS:
        print(f"{name}: {options.seconds} s with {engine}", flush=True)
        # Each in a process of its own: atheris ends the process, and a hang must be ended from outside.
        command = [sys.executable, "-m", f"fuzzing.by_{engine}", name, str(options.seconds)]
        try:
            code = subprocess.run(command, check=False, timeout=options.seconds + 60).returncode
        except subprocess.TimeoutExpired:
            print(f"{name}: hangs", flush=True)
            code = 1
        if code:
            failed.append(name)
    print("failed: " + ", ".join(failed) if failed else "nothing found")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
