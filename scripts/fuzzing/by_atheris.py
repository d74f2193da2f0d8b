"""`python -m fuzzing.by_atheris TARGET SECONDS`: bytes led by what the readers cover. Needs atheris."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["agent.analytics", "bridge.logcat"]):
    from fuzzing.targets import TARGETS, seeds, within_limit


def main() -> None:
    name, seconds = sys.argv[1], sys.argv[2]
    folder = Path(tempfile.mkdtemp(prefix="android-replay-fuzz-"))
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds(name)):
        (corpus / str(number)).write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        "-max_len=16384",
        "-timeout=10",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
    ]
    atheris.Setup(
        [sys.argv[0], *options, f"-artifact_prefix={folder}/", str(corpus)],
        lambda data: within_limit(TARGETS[name], data),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
