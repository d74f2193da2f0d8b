"""How the C library hands out memory to many threads."""

from __future__ import annotations

import ctypes
import os

# malloc.h of glibc: https://sourceware.org/glibc/manual/latest/html_node/Malloc-Tunable-Parameters.html
_M_ARENA_MAX = -8
ARENAS = 2


def share_heaps() -> bool:
    """Let all threads take their memory from ARENAS heaps; whether that could be told. Before there are threads.

    glibc gives threads up to 8 heaps a core and gives little of them back: each grows until it has held the most that
    its threads ever held at once, and with five threads a phone and pictures of megabytes that goes on for hours. Two
    reach their most within minutes and stay there: what `malloc_trim` gives back is taken again within seconds, and
    less each time, since small values come to lie on every page. The user's MALLOC_ARENA_MAX counts first; other C
    libraries know no such thing.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_M_ARENA_MAX, ARENAS))
