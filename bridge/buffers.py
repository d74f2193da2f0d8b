"""Memory for pictures, taken again once nobody reads it.

Fresh memory for a picture costs a page fault for every 4 KiB, several times what writing its bytes costs.
"""

from __future__ import annotations

import mmap
import sys
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

Memory = bytearray | mmap.mmap
M = TypeVar("M", bytearray, mmap.mmap)


class _Kept(ABC, Generic[M]):
    """Up to `kept` buffers of the length that was asked for last. One thread takes; others may read what it took."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._buffers: list[M] = []

    def take(self, length: int) -> M:
        """A buffer of so many bytes, whatever is in them, of which there is no view left anywhere. It is taken for as
        long as there is one: make that before the next call."""
        # One of another length was for another size, or grew for words of a device that were no picture.
        self._buffers = [buffer for buffer in self._buffers if len(buffer) == length]
        for n in range(len(self._buffers)):
            if self._is_free(n):
                return self._buffers[n]
        buffer = self._made(length)
        if len(self._buffers) < self._kept:
            self._buffers.append(buffer)
        return buffer

    def clear(self) -> None:
        """Give them up; what was taken stays as it is."""
        self._buffers = []

    @abstractmethod
    def _made(self, length: int) -> M: ...

    @abstractmethod
    def _is_free(self, n: int) -> bool: ...


class Buffers(_Kept[bytearray]):
    """Buffers that whoever fills them may let grow."""

    def _made(self, length: int) -> bytearray:
        return bytearray(length)

    def _is_free(self, n: int) -> bool:
        """Whether no view of it is left anywhere: a bytearray refuses to be resized as long as there is one."""
        buffer = self._buffers[n]
        try:
            last = buffer.pop()
        except (BufferError, IndexError):
            return False
        # The other way round it would take an eighth more memory, for good.
        buffer.append(last)
        return True


class Pages(_Kept[mmap.mmap]):
    """Buffers that are pages of their own, which the system gives and takes back.

    Out of the C library's heap they would come from wherever there is room in it by then, and what is small and stays
    comes to lie there between: over hours ever more of the heap is room for no picture, and pictures come on top of it.
    """

    def _made(self, length: int) -> mmap.mmap:
        private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if sys.platform != "win32" else {}
        return mmap.mmap(-1, length, **private)

    def _is_free(self, n: int) -> bool:
        """Whether nothing but the list holds it: each view does, and a view of a view."""
        return sys.getrefcount(self._buffers[n]) <= _ALONE


_listed = [object()]
_ALONE = sys.getrefcount(_listed[0])
