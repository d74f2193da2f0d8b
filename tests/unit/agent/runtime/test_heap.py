from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from agent.runtime import heap
from agent.runtime.heap import ARENAS, share_heaps

# Forty threads at once hold memory that is too small to be mapped by itself; then the heaps of threads are counted.
COUNT = """
import re, sys, threading
from agent.runtime.heap import share_heaps
if sys.argv[1] == "shared":
    assert share_heaps()
ready, end = threading.Barrier(41), threading.Event()
def work():
    held = [bytearray(100_000) for _ in range(30)]
    ready.wait()
    end.wait()
threads = [threading.Thread(target=work) for _ in range(40)]
for thread in threads: thread.start()
ready.wait()
maps = open("/proc/self/maps").read()
end.set()
# A heap of a thread begins at a multiple of 64 MiB.
print(sum(1 for line in maps.splitlines() if re.match(r"[0-9a-f]+[048c]000000-", line) and line.endswith(" 0 ")))
"""


def heaps(how: str) -> int:
    return int(subprocess.run([sys.executable, "-c", COUNT, how], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="heaps of threads are glibc's")
def test_many_threads_share_few_heaps() -> None:
    assert heaps("shared") <= ARENAS < heaps("own")


def test_the_user_s_word_counts_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    assert not share_heaps()


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: object())
    assert not share_heaps()
