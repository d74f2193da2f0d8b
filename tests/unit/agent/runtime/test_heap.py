from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from agent.runtime import heap
from agent.runtime.heap import give_back, keep_heap

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
maps = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) (\\S+)", open("/proc/self/maps").read(), re.M)
end.set()
parts = [(int(start, 16), int(stop, 16), way) for start, stop, way in maps]
# A heap of a thread has 64 MiB for itself, from a multiple of that on: what it uses, and what is left.
print(sum(
    start % (1 << 26) == 0 and (way, rest) == ("rw-p", "---p") and after == stop and last == start + (1 << 26)
    for (start, stop, way), (after, last, rest) in zip(parts, parts[1:])
))
"""


def heaps(how: str) -> int:
    return int(subprocess.run([sys.executable, "-c", COUNT, how], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="heaps of threads are glibc's")
def test_many_threads_share_few_heaps() -> None:
    assert heaps("kept") == 0 < heaps("own")


# Pictures that come and go among much that is small and stays: how many pages more than that the process has then.
PICTURES = """
import sys
from agent.runtime.heap import keep_heap
if sys.argv[1] == "kept":
    assert keep_heap()
def pages():
    return int(open("/proc/self/statm").read().split()[1])
stays, first = [], bytearray(2_000_000)
del first
before = pages()
for size in range(600_000, 1_600_000, 20_000):
    held = []
    for _ in range(8):
        held.append(bytearray(size))
        stays.append(bytes(2_000))
held = []
print(pages() - before - len(stays) * 2_000 // 4_096)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_what_pictures_took_is_given_back() -> None:
    def pages(how: str) -> int:
        words = [sys.executable, "-c", PICTURES, how]
        return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)

    assert pages("kept") < 500 < pages("own")


# What is free lies below something that stays.
HOLES = """
from agent.runtime.heap import give_back, keep_heap
assert keep_heap()
def pages():
    return int(open("/proc/self/statm").read().split()[1])
held = [bytearray(100_000) for _ in range(1000)]
del held[:-1]
before = pages()
assert give_back()
print(before - pages())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the call is glibc's")
def test_what_is_free_goes_back_to_the_system() -> None:
    ended = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    assert int(ended.stdout) > 12_000


@pytest.mark.parametrize(
    ("name", "value"), [("MALLOC_ARENA_MAX", "4"), ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=1")]
)
def test_the_user_s_word_counts_first(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert not keep_heap()


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: object())
    assert not keep_heap()
    assert not give_back()
