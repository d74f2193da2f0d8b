"""H.264 in its byte stream form: cut into access units, and looked into as far as it takes to know what is missing.

A NAL unit starts with 00 00 01, its type is in the low five bits of the next byte (ITU-T H.264 7.3.1, annex B). A
picture's first slice begins with macroblock 0, which is a single 1 bit (7.3.3). Pictures are numbered in `frame_num`,
modulo a power of two that the sequence parameter set names: a number left out is a picture that was lost (7.4.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

SLICE, KEY_SLICE, SEI, SPS, PPS, DELIMITER = 1, 5, 6, 7, 8, 9
START = b"\0\0\1"
MAX_UNIT_BYTES = 8 << 20
WORDS_BYTES = 400
# Profiles whose parameter set says how colour is sampled (7.3.2.1.1); all others are 4:2:0 in 8 bits.
_HIGH = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One picture as the encoder sent it, with the parameter sets before it.

    `key`: it can be decoded by itself. `broken`: bytes were lost or foreign right before it.
    """

    data: bytes
    key: bool
    broken: bool = False


class Splitter:
    """Cuts a byte stream into access units. Never raises; what it holds is bounded.

    A unit is known to be whole when the next one begins, which on a screen that stands still may take long: whoever
    reads the stream calls `flush` when it has paused. A unit that was flushed too early makes the next one `broken`.
    """

    def __init__(self) -> None:
        self.words = b""
        """What came before the first start code: a tool's own words."""
        self._pending = bytearray()
        self._scanned = 0
        self._begun = False
        self._pictured = False
        self._broken = False
        self._flushed = False

    @property
    def waiting(self) -> bool:
        """Whether a picture is held that may be whole."""
        return self._begun and self._pictured

    def feed(self, data: bytes) -> list[AccessUnit]:
        """Take the next bytes; the units that they complete."""
        self._pending += data
        if not self._begun and not self._begin():
            return []
        units: list[AccessUnit] = []
        while (cut := self._next_unit()) >= 0:
            self._take(cut, units)
        if len(self._pending) > MAX_UNIT_BYTES:
            # No encoder makes such a picture; the rest of it is let go up to the next start code.
            self._drop(self._pending)
            self._begun = self._pictured = False
            self._flushed = self._broken = True
        return units

    def flush(self) -> list[AccessUnit]:
        """The picture that is held, taken for whole."""
        units: list[AccessUnit] = []
        if self._begun and self._pictured:
            end = len(self._pending)
            while end and not self._pending[end - 1]:
                end -= 1  # zeros belong to the next start code
            self._take(end, units)
            self._begun, self._flushed = False, True
        return units

    def _begin(self) -> bool:
        """Find the first start code, or the one after a flush or a loss."""
        at = self._pending.find(START)
        foreign = self._pending[: max(at, 0)] if at >= 0 else self._pending[: max(0, len(self._pending) - 2)]
        if foreign.strip(b"\0"):
            if self._flushed:
                self._broken = True
            elif len(self.words) < WORDS_BYTES:
                self.words = (self.words + foreign.strip(b"\0"))[:WORDS_BYTES]
        if at < 0:
            self._drop(foreign)
            return False
        del self._pending[:at]
        self._scanned, self._begun, self._flushed = 0, True, False
        return True

    def _drop(self, part: bytearray) -> None:
        del self._pending[: len(part)]
        self._scanned = 0

    def _next_unit(self) -> int:
        """Where the next access unit begins in what is pending, -1 while it does not show."""
        pending = self._pending
        while True:
            at = pending.find(START, self._scanned)
            if at < 0:
                self._scanned = max(self._scanned, len(pending) - 2)
                return -1
            if len(pending) < at + 5:
                self._scanned = at
                return -1
            kind = pending[at + 3] & 31
            first = kind in (SLICE, KEY_SLICE) and pending[at + 4] & 0x80
            if self._pictured and (first or kind in (SEI, SPS, PPS, DELIMITER)):
                return at
            self._scanned = at + 3
            self._pictured = self._pictured or kind in (SLICE, KEY_SLICE)

    def _take(self, end: int, units: list[AccessUnit]) -> None:
        data = bytes(self._pending[:end])
        del self._pending[:end]
        self._scanned, self._pictured = 0, False
        kinds = {kind for kind, _ in nals(data)}
        units.append(AccessUnit(data.rstrip(b"\0"), KEY_SLICE in kinds, self._broken))
        self._broken = False


def nals(unit: bytes) -> Iterator[tuple[int, bytes]]:
    """The NAL units of an access unit: type and bytes from the type's byte on."""
    at = unit.find(START)
    while at >= 0:
        end = unit.find(START, at + 3)
        body = unit[at + 3 : end if end >= 0 else len(unit)].rstrip(b"\0")
        if body:
            yield body[0] & 31, body
        at = end


@dataclass(frozen=True, slots=True)
class Sequence:
    """What a sequence parameter set says. `chroma` 1 is 4:2:0; `depth` is in bits; `gaps`: numbers may be left out."""

    chroma: int
    depth: int
    planes_apart: bool
    number_bits: int
    gaps: bool


class Continuity:
    """Tells when a picture that others build on was lost. One stream; never raises."""

    def __init__(self) -> None:
        self.sequence: Sequence | None = None
        self._last: int | None = None

    def follows(self, unit: bytes) -> bool:
        """Whether all that this unit builds on has come; a key picture builds on nothing. False, too,
        when there is no picture in it."""
        for kind, body in nals(unit):
            if kind == SPS:
                try:
                    self.sequence = read_sequence(body)
                except (IndexError, ValueError):
                    self.sequence = None
            if kind not in (SLICE, KEY_SLICE):
                continue
            sequence = self.sequence
            if sequence is None:
                return False
            try:
                number = _frame_number(body, sequence)
            except (IndexError, ValueError):
                self._last = None
                return False
            last, referred = self._last, bool(body[0] & 0x60)
            if kind == KEY_SLICE:
                self._last = number
                return True
            if referred:
                self._last = number
            if last is None:
                return False
            expected = (last, (last + 1) % (1 << sequence.number_bits))
            return sequence.gaps or number in expected
        return False


def read_sequence(body: bytes) -> Sequence:
    """Read a sequence parameter set (7.3.2.1.1) up to what is needed. Raises IndexError or ValueError when cut."""
    bits = _Bits(body, 1)
    profile = bits.take(8)
    bits.take(16)
    bits.golomb()
    chroma, depth, planes_apart = 1, 8, False
    if profile in _HIGH:
        chroma = bits.golomb()
        if chroma == 3:
            planes_apart = bool(bits.take(1))
        depth = 8 + max(bits.golomb(), bits.golomb())
        bits.take(1)
        if bits.take(1):
            for index in range(8 if chroma != 3 else 12):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    number_bits = 4 + bits.golomb()
    if number_bits > 16:
        raise ValueError("frame numbers of more than 16 bits")
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.take(1)
        bits.golomb()
        bits.golomb()
        for _ in range(min(bits.golomb(), 255)):
            bits.golomb()
    bits.golomb()
    return Sequence(chroma, depth, planes_apart, number_bits, bool(bits.take(1)))


def _frame_number(body: bytes, sequence: Sequence) -> int:
    """`frame_num` of a slice (7.3.3)."""
    bits = _Bits(body[:32], 1)
    for _ in range(3):  # first macroblock, slice type, picture parameter set
        bits.golomb()
    if sequence.planes_apart:
        bits.take(2)
    return bits.take(sequence.number_bits)


def _skip_scaling_list(bits: _Bits, count: int) -> None:
    last = following = 8
    for _ in range(count):
        if following:
            code = bits.golomb()
            following = (last + ((code + 1) // 2 if code % 2 else -(code // 2))) % 256
        last = following or last


class _Bits:
    """Reads bits of a NAL unit's payload, without the bytes that keep start codes out of it (7.4.1)."""

    def __init__(self, body: bytes, start: int) -> None:
        self._data = body[start:].replace(b"\0\0\3", b"\0\0")
        self._at = 0

    def take(self, count: int) -> int:
        value = 0
        for _ in range(count):
            byte = self._data[self._at >> 3]
            value = value << 1 | byte >> (7 - self._at & 7) & 1
            self._at += 1
        return value

    def golomb(self) -> int:
        """An unsigned Exp-Golomb code (9.1)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 31:
                raise ValueError("no Exp-Golomb code")
        return (1 << zeros) - 1 + self.take(zeros)
