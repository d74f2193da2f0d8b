from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from agent.runtime import heap
from agent.runtime.heap import keep_heap

# Forty threads at once hold memory that is too small to be mapped by itself; then the heaps of threads are counted.
COUNT = """
import re, sys, threading
from agent.runtime.heap import keep_heap
if sys.argv[1] == "kept":
    assert keep_heap()
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
    assert heaps("kept") == 0 < heaps("own")


# Pictures that come and go: how often the system was asked for their pages.
PICTURES = """
import resource, sys
from agent.runtime.heap import keep_heap
if sys.argv[1] == "kept":
    assert keep_heap()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def film():
    for _ in range(50):
        held = [bytearray(3_000_000) for _ in range(4)]
film()
before = faults()
film()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_pages_of_pictures_are_not_asked_for_again() -> None:
    def faults(how: str) -> int:
        words = [sys.executable, "-c", PICTURES, how]
        return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)

    assert faults("kept") < 500 < faults("own")


@pytest.mark.parametrize(
    ("name", "value"), [("MALLOC_ARENA_MAX", "4"), ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=1")]
)
def test_the_user_s_word_counts_first(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert not keep_heap()


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: object())
    assert not keep_heap()
