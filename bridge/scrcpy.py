"""The screen as H.264 by the server of scrcpy 3 or 4, when the user has its jar: limited in rate, with true times.

The protocol (scrcpy 4.1, server sources): the server is started through `app_process` with the very version of its jar
and listens on an abstract socket; what connects first gets the video. That begins with the codec, four letters (0: no
video, 1: the encoder refused). In 3.x width and height follow; 4.x sends them in a session packet, again after each
change. A packet is 12 bytes of header and the data: 64 bits of flags and time, 32 bits of length. From the top the
flags are config and key picture in 3.x; session, config and key picture in 4.x. A config packet has no time: it is the
parameter sets of what follows. The time is CLOCK_MONOTONIC in microseconds, of when the picture was composed.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import struct
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

from bridge.adb import AdbShell
from bridge.clock import DeviceClock
from bridge.deadline import Deadline
from bridge.decoder import Decoder
from bridge.errors import BridgeError, CaptureFailed, DeviceGone, FrameMalformed, ServiceRefused
from bridge.picture import Display
from bridge.ports import Notebook
from bridge.smartsocket import SmartSocket, Stream
from bridge.types import Bounds, Frame, Size, Trace
from bridge.video import Held, Shown, VideoSettings, content, failed, screen_size, turned

MAIN = "com.genymobile.scrcpy.Server"
FOLDER = "/data/local/tmp"
HEADER = struct.Struct(">QI")
SIZE = struct.Struct(">II")
MAX_PACKET_BYTES = 8 << 20
WORDS_BYTES = 2_000
PUSH_SECONDS = 30.0
OPEN_SECONDS = 5.0
START_SECONDS = 10.0
FIRST_SECONDS = 5.0
HALF_SECONDS = 5.0
LOOK_SECONDS = 2.0
REMOVE_SECONDS = 2.0
POLL_SECONDS = 0.1
WAIT_SECONDS = 0.03
# A wait that took longer found nothing there at its beginning.
BLOCKED_NS = 2_000_000
LATENCY_NS = 150_000_000
WINDOW_NS = 60_000_000_000
RECENT_NS = 10_000_000_000
# A phone that slept at all did so for longer than any way delays a picture.
SLEEP_NS = 1_000_000_000
_VERSION = re.compile(r"(?<![\d.])v?(\d{1,2}(?:\.\d{1,3}){1,3})(?=\.jar$|[^\d.]|$)")
_CODECS = {b"\0\0\0\0": "the server gives no video", b"\0\0\0\1": "the server could not set up its encoder"}


def version_of(jar: Path, stated: str = "") -> str:
    """The version of a server's jar: as stated, else from its file's name (`scrcpy-server-v3.3.4`), else ""."""
    found = _VERSION.search(jar.name)
    return stated or (found[1] if found else "")


def supported(version: str) -> bool:
    """Whether this module speaks the protocol of a version."""
    return version.partition(".")[0] in ("3", "4")


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet of the video stream. `pts_ns` is the device's CLOCK_MONOTONIC; a config packet has none."""

    data: bytes
    config: bool
    key: bool
    pts_ns: int


class Demuxer:
    """Cuts the video stream into packets. One thread. Raises FrameMalformed for what cannot be such a stream."""

    def __init__(self, version: str, serial: str = "") -> None:
        self._serial = serial
        self._sessions = not version.startswith("3.")
        self._pending = bytearray()
        self._begun = False

    @property
    def cut(self) -> bool:
        """Whether a part of something has come."""
        return bool(self._pending)

    def feed(self, data: bytes) -> list[Packet]:
        """Take the next bytes; the packets that they complete."""
        self._pending += data
        packets = []
        while (packet := self._next()) is not None:
            if packet.data:
                packets.append(packet)
        return packets

    def _next(self) -> Packet | None:
        """The next packet, one without data for a header of the stream; None when there is no whole one."""
        pending = self._pending
        if not self._begun:
            length = 4 if self._sessions else 4 + SIZE.size
            if len(pending) >= 4 and pending[:4] != b"h264":
                raise self._malformed(_CODECS.get(bytes(pending[:4]), f"a codec called {bytes(pending[:4])!r}"))
            if len(pending) < length:
                return None
            del pending[:length]
            self._begun = True
            return _NONE
        if len(pending) < HEADER.size:
            return None
        head, length = HEADER.unpack_from(pending)
        top = 63
        if self._sessions:
            if head >> 63:
                del pending[: HEADER.size]
                return _NONE
            top = 62
        if not 0 < length <= MAX_PACKET_BYTES:
            raise self._malformed(f"a packet of {length} bytes: another version's protocol?")
        if len(pending) < HEADER.size + length:
            return None
        data = bytes(pending[HEADER.size : HEADER.size + length])
        del pending[: HEADER.size + length]
        pts = head & ((1 << (top - 1)) - 1)
        return Packet(data, bool(head >> top & 1), bool(head >> (top - 1) & 1), pts * 1000)

    def _malformed(self, detail: str) -> FrameMalformed:
        return FrameMalformed(self._serial, "scrcpy", detail)


_NONE = Packet(b"", False, False, 0)


class Composed:
    """Maps times of pictures, CLOCK_MONOTONIC, to the host. One thread.

    CLOCK_BOOTTIME is measured; the two differ by what the phone has slept. As long as pictures arrive within a second
    of their time by CLOCK_BOOTTIME, that is nothing, and their times are as exact as the clock's fix. Otherwise the
    least delay of the last minute is the sleep, and the least latency.
    """

    def __init__(self, clock: DeviceClock) -> None:
        self._clock = clock
        self._delays: deque[tuple[int, int]] = deque()

    def arrived(self, pts_ns: int, now_ns: int) -> None:
        """A picture of that time has just come."""
        delays = self._delays
        delays.append((now_ns, now_ns - pts_ns))
        while delays[0][0] < now_ns - WINDOW_NS:
            delays.popleft()
        recent = [delay for at, delay in delays if at > now_ns - RECENT_NS]
        if len(recent) > 2 and min(recent) > min(delay for _, delay in delays) + SLEEP_NS:
            # It slept since.
            while delays[0][0] <= now_ns - RECENT_NS:
                delays.popleft()

    def drawn(self, pts_ns: int) -> tuple[int, int]:
        """Between which instants of the host a picture of that time was drawn: around the best guess, never less than
        pictures may be under way, which is what a source's bound says, too."""
        fix = self._clock.fix
        delays = [delay for _, delay in self._delays]
        least_ns = min(delays)
        awake = least_ns + fix.boot_offset_ns < SLEEP_NS
        # As long as the slowest of the last minute was under way, the next one may be.
        slowest_ns = max(delays) - (-fix.boot_offset_ns if awake else least_ns - LATENCY_NS // 2)
        if awake:
            at_ns, bound_ns = self._clock.boot(pts_ns).mono_ns, fix.boot_bound_ns
        else:
            at_ns, bound_ns = pts_ns + least_ns - LATENCY_NS // 2, 0
        bound_ns = max(bound_ns, LATENCY_NS // 2, min(slowest_ns, SLEEP_NS) // 2)
        return at_ns - bound_ns, at_ns + bound_ns


class Scrcpy:
    """Pictures by scrcpy's server. `run` belongs to one thread, `capture` to another, `close` to any.

    Whatever goes wrong ends it with a named error, which captures tell; a new object may try again.
    """

    name = "scrcpy"

    def __init__(
        self, shell: AdbShell, clock: DeviceClock, display: Display, settings: VideoSettings, notebook: Notebook
    ) -> None:
        self._shell = shell
        self._notebook = notebook
        self._display = display
        self._settings = settings
        self._held = Held(shell.serial, self.name, clock.host, display)
        self._composed = Composed(clock)
        self._streams: list[Stream] = []
        self._words = b""
        self._last: Shown | None = None

    def run(self) -> None:
        """Take in pictures until closed or until it fails. Raises DeviceGone."""
        try:
            while not self._held.closed:
                self._stream()
                self._held.rest()
        except DeviceGone as error:
            if not self._held.closed:
                self._held.put(failed(self._shell.serial, self.name, error))
                raise
        except (BridgeError, OSError) as error:
            self._held.put(self._failed(error))

    def capture(self, deadline: Deadline) -> Frame:
        """The newest picture. Raises StreamRestarting, FrameMalformed, CaptureFailed, DeviceGone."""
        return self._held.capture(deadline)

    def close(self) -> None:
        """End the server on the device and wake `run` and `capture`."""
        self._held.close()
        for stream in list(self._streams):
            stream.close()

    def _stream(self) -> None:
        """One server's life: until closed, or as long as somebody captures."""
        source, version = self._settings.scrcpy_server, ""
        if source is not None:
            version = version_of(source, self._settings.scrcpy_version)
        if source is None or not supported(version):
            raise self._error(f"only servers of scrcpy 3 and 4 are spoken with, not {version or 'an unknown version'}")
        self._shell.look(self._display, Deadline(LOOK_SECONDS))
        id_ = f"{secrets.randbits(31):08x}"
        jar = f"{FOLDER}/android-replay-{id_}.jar"
        self._notebook.made(self._shell.serial, Trace("file", jar))
        try:
            self._shell.push(source, jar, Deadline(PUSH_SECONDS))
            self._serve(version, id_, jar)
        finally:
            for stream in self._streams:
                stream.close()
            self._streams.clear()
            self._remove(jar)

    def _serve(self, version: str, id_: str, jar: str) -> None:
        settings = self._settings
        options = {
            "scid": id_,
            "log_level": "info",
            "tunnel_forward": "true",
            "audio": "false",
            "control": "false",
            "cleanup": "false",
            "send_device_meta": "false",
            "send_dummy_byte": "false",
            "max_size": str(max_size(self._display.natural, settings.width)),
            "max_fps": str(settings.rate),
            "video_bit_rate": str(settings.bit_rate),
        }
        words = " ".join(f"{name}={value}" for name, value in options.items())
        process = self._open(f"exec:CLASSPATH={jar} app_process / {MAIN} {version} {words}")
        video = self._connect(process, f"localabstract:scrcpy_{id_}")
        self._take(process, video, Demuxer(version, self._shell.serial), jar)

    def _open(self, service: str) -> Stream:
        stream = self._shell.stream(service, Deadline(OPEN_SECONDS))
        self._streams.append(stream)
        if self._held.closed:
            stream.close()
        return stream

    def _connect(self, process: Stream, service: str) -> Stream:
        """Connect as soon as the server listens."""
        deadline = Deadline(START_SECONDS)
        while not self._held.closed:
            try:
                return self._open(service)
            except ServiceRefused:
                self._listen(process, POLL_SECONDS)
            if deadline.passed:
                raise self._error("the server does not listen")
        raise DeviceGone(self._shell.serial, self.name, "closed by us")

    def _listen(self, process: Stream, seconds: float) -> None:
        """Hear what the server says. Raises CaptureFailed when it has ended."""
        if process.readable(Deadline(seconds)):
            data = process.read_some(Deadline(OPEN_SECONDS))
            if not data:
                raise self._error("the server ended")
            self._words = (self._words + data)[-WORDS_BYTES:]

    def _take(self, process: Stream, video: Stream, demuxer: Demuxer, jar: str) -> None:
        decoder = Decoder(self._shell.serial)
        config = b""
        self._last = None
        began_ns = whole_ns = time.monotonic_ns()
        while not self._held.closed and self._held.wanted:
            waited_ns = time.monotonic_ns()
            came = video.readable(Deadline(WAIT_SECONDS))
            now_ns = time.monotonic_ns()
            if now_ns - waited_ns > BLOCKED_NS and not demuxer.cut:
                # There was nothing when the wait began, and what had come before is shown.
                self._held.looked(waited_ns)
            if came:
                data = video.read_some(Deadline(OPEN_SECONDS))
                if not data:
                    self._listen(process, POLL_SECONDS)
                    raise self._error("the server hung up")
                packets = demuxer.feed(data)
            else:
                packets = []
                self._listen(process, 0.001)
            for packet in packets:
                if packet.config:
                    config = packet.data
                    continue
                unit = config + packet.data if packet.key else packet.data
                picture = decoder.decode(unit, packet.key)
                self._composed.arrived(packet.pts_ns, now_ns)
                if picture is not None:
                    if self._last is None:
                        # It is in the server's memory now.
                        self._remove(jar)
                    self._show(Shown(picture, *self._composed.drawn(packet.pts_ns), picture.size, _ALL))
            if packets or not demuxer.cut:
                whole_ns = now_ns
            if self._last is None and now_ns - began_ns > FIRST_SECONDS * 1e9:
                raise self._error("the server sends no picture")
            if now_ns - whole_ns > HALF_SECONDS * 1e9:
                raise self._error("the server stopped in the middle of a packet")
            if self._last is not None and turned(self._last.screen, self._display):
                self._fit(self._last)

    def _show(self, shown: Shown) -> None:
        before = self._last
        if before is not None and before.picture.size != shown.picture.size:
            self._shell.look(self._display, Deadline(LOOK_SECONDS))
        self._fit(shown)

    def _fit(self, shown: Shown) -> None:
        """Show a picture as that of the screen as it is known now, if their shapes agree."""
        video, natural = shown.picture.size, self._display.natural
        lying = video.width > video.height
        screen = screen_size(self._display)
        if natural.width != natural.height and lying != (screen.width > screen.height):
            screen = Size(screen.height, screen.width)
        self._last = replace(shown, screen=screen, part=content(video, screen))
        self._held.put(self._last)

    def _remove(self, jar: str) -> None:
        # The device's own connections may be closed by now.
        shell = AdbShell(SmartSocket(self._shell.socket.server), self._shell.serial)
        with contextlib.suppress(BridgeError):
            shell.exec(f"rm -f {jar}", Deadline(REMOVE_SECONDS))
            self._notebook.undone(self._shell.serial, Trace("file", jar))

    def _error(self, detail: str) -> CaptureFailed:
        """What went wrong, with the server's own words when it had any of interest."""
        lines = self._words.decode("utf-8", "replace").splitlines()
        telling = [line.strip() for line in lines if "ERROR" in line or "Exception" in line or "rror:" in line]
        return CaptureFailed(self._shell.serial, self.name, ": ".join([detail, *telling[-1:]])[:300])

    def _failed(self, error: BridgeError | OSError) -> CaptureFailed:
        if isinstance(error, OSError):
            return self._error(f"{self._settings.scrcpy_server} cannot be read: {error.strerror}")
        return failed(self._shell.serial, self.name, error)


_ALL = Bounds(0, 0, 0, 0)


def max_size(natural: Size, width: int) -> int:
    """The longer side to ask for, so that the shorter one is near `width`. The server cuts both to multiples of 8: the
    size is chosen so that this changes the picture's shape least."""
    shorter, longer = sorted((natural.width, natural.height))
    width = min(width, shorter)
    best, least = 0, float("inf")
    for side in range(max(8, width * 15 // 16 // 8 * 8), width * 9 // 8 + 8, 8):
        long_side = round(side * longer / shorter / 8) * 8
        # What is cut must be the shorter side as asked for: the server derives it from the longer one.
        error = abs(long_side * shorter / longer - side) / side + abs(side - width) / width / 100
        if long_side <= longer and error < least and long_side * shorter // longer // 8 * 8 == side:
            best, least = long_side, error
    return best or longer * width // shorter // 8 * 8
