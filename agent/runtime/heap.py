"""How the C library hands out memory to many threads."""

from __future__ import annotations

import ctypes
import os

# malloc.h of glibc: https://sourceware.org/glibc/manual/latest/html_node/Malloc-Tunable-Parameters.html
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
# Less than a picture has, an image file of a whole screen or a large dump, and more than what is small and stays.
_LARGE = 128 * 1024
_NEVER = 2**31 - 1


def give_back() -> bool:
    """Return to the system what is free in the heap, also below what is in use; whether there was anything.

    A heap that is kept returns nothing by itself, any other one only what lies free at its end. So the process would
    keep the most that all phones ever held at once, and the most of a longer time is more. A call takes a few ms.
    """
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError, TypeError):
        return False


def keep_heap() -> bool:
    """Let all threads take their memory from one heap, which keeps what it has until `give_back`, and pictures from the
    system; whether that could be told. Before there are threads.

    glibc gives threads up to 8 heaps a core, each of which grows until it has held the most that its threads ever held
    at once: with five threads a phone that goes on for hours. And from the first picture on that was freed it takes
    them out of these heaps, where what is small and stays soon lies between: no room for a picture is found again, and
    the heap grows for as long as phones are recorded. A picture from the system costs its pages each time, a twentieth
    of the CPU that it takes to record it. Settings of the user's own (MALLOC_...) count first; other C libraries know
    no such thing.
    """
    if any(name.startswith("MALLOC_") for name in os.environ) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    wanted = ((_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, _LARGE), (_M_TRIM_THRESHOLD, _NEVER))
    told = [bool(mallopt(name, value)) for name, value in wanted]
    return all(told)
