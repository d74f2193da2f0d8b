"""What a running process holds, read from /proc."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

KIB = 1024
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. `at` = seconds since the start of the soak, `rss` in bytes, `cpu` = seconds of CPU that it has used,
    `files` = open descriptors by kind (`socket`, `pipe`, `file` ...)."""

    at: float
    rss: int
    cpu: float
    threads: int
    files: dict[str, int] = field(default_factory=dict)


def look(pid: int, at: float) -> Sample:
    """Raises OSError when the process is gone."""
    proc = Path("/proc") / str(pid)
    facts = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines() if ":" in line)
    words = (proc / "stat").read_text().rpartition(")")[2].split()
    return Sample(
        at,
        int(facts["VmRSS"].split()[0]) * KIB,
        (int(words[11]) + int(words[12])) / _TICKS,
        int(facts["Threads"]),
        _files(proc / "fd"),
    )


def _files(folder: Path) -> dict[str, int]:
    held: Counter[str] = Counter()
    for descriptor in folder.iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            # Closed since it was listed.
            continue
        held["file" if target.startswith("/") else target.split(":[")[0].removeprefix("anon_inode:")] += 1
    return dict(held)
