"""Memory for pictures, taken again once nobody reads it.

Fresh memory for a picture costs a page fault for every 4 KiB, several times what writing its bytes costs.
"""

from __future__ import annotations


class Buffers:
    """Up to `kept` buffers of the length that was asked for last. One thread takes; others may read what it took."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._buffers: list[bytearray] = []

    def take(self, length: int) -> bytearray:
        """A buffer of so many bytes, whatever is in them, of which there is no view left anywhere. It is taken for as
        long as there is one: make that before the next call."""
        # One of another length was for another size, or grew for words of a device that were no picture.
        kept = [buffer for buffer in self._buffers if len(buffer) == length]
        for buffer in kept:
            if _is_free(buffer):
                return buffer
        buffer = bytearray(length)
        self._buffers = [*kept, buffer][: self._kept]
        return buffer

    def clear(self) -> None:
        """Give them up; what was taken stays as it is."""
        self._buffers = []


def _is_free(buffer: bytearray) -> bool:
    """Whether no view of it is left anywhere: a bytearray refuses to be resized as long as there is one."""
    try:
        last = buffer.pop()
    except (BufferError, IndexError):
        return False
    # The other way round it would take an eighth more memory, for good.
    buffer.append(last)
    return True
