"""A small client of the adb server's smart-socket protocol, for everything hot or long-lived.

A request is four hex digits of length and the text; the answer OKAY, or FAIL with a length-prefixed reason (AOSP
adb/SERVICES.TXT). One TCP connection per request; after `host:transport:SERIAL` the connection becomes the device's
service. Every call takes a Deadline for its whole length, not per read.
"""

from __future__ import annotations

import contextlib
import errno
import math
import re
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType

from bridge.deadline import Deadline
from bridge.errors import (
    AdbServerError,
    BridgeError,
    BridgeTimeout,
    CommandFailed,
    DeviceGone,
    DeviceUnauthorized,
    ServerPortTaken,
    ServiceRefused,
    TooManyFiles,
)

STDOUT, STDERR, EXIT = 1, 2, 3
READ_BYTES = 1 << 18
# Far more than a command that we ask prints. What goes on without an end would fill this host's memory.
MAX_ANSWER = 1 << 25
# A server tells its version at once, whatever its devices do.
VERSION_SECONDS = 5.0
# poll() counts milliseconds in an int; beyond this a socket timeout overflows, so such a deadline means "until closed".
LONGEST_WAIT = 2_000_000.0
# A network that forgets an idle flow (NAT, a VPN) tells neither end: whoever waits would wait for ever.
# Names and meaning are those of man 7 tcp, in seconds and in probes; macOS calls the first one TCP_KEEPALIVE.
_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPALIVE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
_LENGTH = re.compile(rb"[0-9a-fA-F]{4}")
_PORT = re.compile(rb"\d{1,5}")
_GONE = re.compile(r"device '.*' not found|device (still )?(offline|connecting)|no (such )?device|no emulators")


def never() -> Deadline:
    """The deadline of a stream that blocks until it is closed from another thread."""
    return Deadline(math.inf)


@dataclass(frozen=True, slots=True)
class AdbServer:
    """Where an adb server listens."""

    host: str = "127.0.0.1"
    port: int = 5037

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ShellResult:
    """What a shell command printed, and its exit status."""

    stdout: bytes
    stderr: bytes
    code: int


@dataclass(slots=True)
class Tally:
    """Bytes that came so far, for people: of two threads that add at the very same moment one may go uncounted."""

    received: int = 0


class Stream:
    """One connection to the server. A single thread reads and writes; `close` may be called from any, twice.

    All methods raise BridgeTimeout when the deadline passes, DeviceGone when the connection was closed by us or lost,
    AdbServerError when it was lost while it still is the server that speaks (`device` is False).
    """

    def __init__(
        self, sock: socket.socket, serial: str, op: str, closing: Callable[[Stream], None], tally: Tally
    ) -> None:
        self._sock = sock
        self._closing = closing
        self.serial = serial
        self.op = op
        self.device = False
        self.closed = False
        self._tally = tally
        self._busy = False

    def send(self, data: bytes, deadline: Deadline) -> None:
        """Write all of `data`."""
        view = memoryview(data)
        with self._translated():
            while view:
                self._arm(deadline)
                view = view[self._sock.send(view) :]

    def read_some(self, deadline: Deadline, limit: int = READ_BYTES) -> bytes:
        """The next bytes, at least one; b"" at the end of the stream."""
        with self._translated():
            self._arm(deadline)
            data = self._sock.recv(limit)
            self._tally.received += len(data)
            return data

    def readable(self, deadline: Deadline) -> bool:
        """Wait for data or the end of the stream; False when the deadline passes first."""
        try:
            with self._translated():
                self._arm(deadline)
                self._sock.recv(1, socket.MSG_PEEK)
        except BridgeTimeout:
            return False
        return True

    def read_exactly(self, count: int, deadline: Deadline) -> bytes:
        """Exactly `count` bytes. Raises DeviceGone when the stream ends before."""
        buffer = bytearray(count)
        view = memoryview(buffer)
        done = 0
        with self._translated():
            while done < count:
                self._arm(deadline)
                got = self._sock.recv_into(view[done:])
                if got == 0:
                    raise self._gone(f"the stream ended after {done} of {count} bytes")
                done += got
                self._tally.received += got
        return bytes(buffer)

    def read_all(self, deadline: Deadline, expect: int = 1 << 16, limit: int = MAX_ANSWER) -> bytearray:
        """Everything until the stream ends. `expect` sizes the first buffer: what fits is read without a copy. Raises
        CommandFailed for more than `limit` bytes."""
        buffer = bytearray(max(expect, 1 << 12))
        del buffer[self.read_into(buffer, deadline, limit) :]
        return buffer

    def read_into(self, buffer: bytearray, deadline: Deadline, limit: int = MAX_ANSWER) -> int:
        """Everything until the stream ends, to the front of the caller's buffer; how many bytes that were. Raises
        CommandFailed for more than `limit` bytes.

        The buffer grows when they do not fit, so nobody may hold a view of it; what lies behind them is left as it was.
        """
        done = 0
        with self._translated():
            while True:
                if done > limit:
                    raise CommandFailed(self.serial, self.op, f"more than {limit:,} bytes were sent")
                if done == len(buffer):
                    buffer.extend(bytes(min(max(len(buffer), 1 << 12), limit + 1 - done)))
                self._arm(deadline)
                with memoryview(buffer) as view:
                    got = self._sock.recv_into(view[done:])
                if got == 0:
                    break
                done += got
                self._tally.received += got
        if self.closed:
            raise self._gone("closed by us")
        return done

    def close(self) -> None:
        """Wake a blocked reader and free the socket. Both directions are shut down first: a close wakes nobody.

        A thread that is in a call frees it itself, on its way out: the number of a socket that is closed under it may
        already be another's, on which it would go on to wait.
        """
        self.closed = True
        self._closing(self)
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        if not self._busy:
            self._sock.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _arm(self, deadline: Deadline) -> None:
        left = deadline.remaining()
        if left <= 0:
            raise BridgeTimeout(self.serial, self.op, "the deadline passed")
        self._sock.settimeout(left if left < LONGEST_WAIT else None)

    def _gone(self, detail: str) -> BridgeError:
        if self.device or self.closed:
            return DeviceGone(self.serial, self.op, detail)
        return AdbServerError(self.serial, self.op, f"the adb server hung up: {detail}")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        # Before the look at `closed`, as `close` sets that before its look at this: one of the two sees the other.
        self._busy = True
        try:
            if self.closed:
                raise self._gone("closed by us")
            yield
        except OSError as error:
            # One with a number is the system's own: it has given the connection up.
            if isinstance(error, TimeoutError) and error.errno is None:
                raise BridgeTimeout(self.serial, self.op, "no answer within the deadline") from error
            raise self._gone("closed by us" if self.closed else error.strerror or str(error)) from error
        finally:
            self._busy = False
            if self.closed:
                self._sock.close()


class SmartSocket:
    """Requests to one adb server, each on a connection of its own. Any number of threads may share it.

    Raises AdbServerError (nothing listens, protocol fault), ServerPortTaken, TooManyFiles, BridgeTimeout, and for a
    device DeviceGone, DeviceUnauthorized, ServiceRefused.
    """

    def __init__(self, server: AdbServer) -> None:
        self.server = server
        # Single operations on a set are atomic in CPython, so threads may open streams while another closes all.
        self._streams: set[Stream] = set()
        self._closed = False
        self._tally = Tally()

    def close(self) -> None:
        """End every open stream, waking whoever waits for one, and refuse new ones. Any thread, twice."""
        self._closed = True
        for stream in list(self._streams):
            stream.close()

    @property
    def received(self) -> int:
        """The bytes that came on all streams so far. Any thread."""
        return self._tally.received

    def query(self, request: str, deadline: Deadline, serial: str = "") -> str:
        """A host request whose answer is one length-prefixed text, such as `host:version`."""
        with self.request(request, deadline, serial) as stream:
            return self.read_block(stream, deadline)

    def version(self, deadline: Deadline) -> int:
        """The server's protocol number: 41 for adb 29 to 36. Raises ServerPortTaken for one that does not answer."""
        try:
            answer = self.query("host:version", Deadline(min(VERSION_SECONDS, deadline.remaining())))
        except BridgeTimeout as error:
            if deadline.passed or error.op != "host:version":
                raise
            # A program that waits for the end of a line waits for ever.
            taken = f"what listens at {self.server} does not answer and is no adb server, or one that hangs"
            raise ServerPortTaken("", "talk to the adb server", taken) from error
        try:
            return int(answer, 16)
        except ValueError as error:
            raise AdbServerError("", "host:version", f"answered {answer[:40]!r}") from error

    def reverse(self, serial: str, remote: str, local: str, deadline: Deadline) -> int:
        """Let the device listen at `remote` (`tcp:0` picks a port) for this host's `local`; the port, 0 if not TCP."""
        with self.service(serial, f"reverse:forward:{remote};{local}", deadline) as stream:
            self._status(stream, deadline)
            rest = bytes(stream.read_all(deadline))
        return int(rest[4:]) if _PORT.fullmatch(rest[4:]) else 0

    def remove_reverse(self, serial: str, remote: str, deadline: Deadline) -> None:
        """Stop the device's listener at `remote`."""
        with self.service(serial, f"reverse:killforward:{remote}", deadline) as stream:
            self._status(stream, deadline)

    def reverses(self, serial: str, deadline: Deadline) -> dict[str, str]:
        """What the device listens at for this host: device address to host address (AOSP adb.cpp, list-forward)."""
        with self.service(serial, "reverse:list-forward", deadline) as stream:
            rows = [line.split() for line in self.read_block(stream, deadline).splitlines()]
        return {row[-2]: row[-1] for row in rows if len(row) >= 2}

    def service(self, serial: str, service: str, deadline: Deadline) -> Stream:
        """Open a service of the device (`exec:CMD`, `tcp:PORT`, ...) and return its raw stream."""
        stream = self.request(f"host:transport:{serial}", deadline, serial)
        stream.op, stream.device = service, True
        try:
            self._send(stream, service, deadline)
            self._status(stream, deadline)
        except BaseException:
            stream.close()
            raise
        return stream

    def exec(
        self, serial: str, command: str, deadline: Deadline, expect: int = 1 << 16, limit: int = MAX_ANSWER
    ) -> bytearray:
        """Run a command without a terminal and return its raw output (adbd mixes stderr in). Raises CommandFailed for
        more than `limit` bytes."""
        with self.service(serial, f"exec:{command}", deadline) as stream:
            return stream.read_all(deadline, expect, limit)

    def exec_into(
        self, serial: str, command: str, buffer: bytearray, deadline: Deadline, limit: int = MAX_ANSWER
    ) -> int:
        """The same into the caller's buffer, as `Stream.read_into`; how many bytes came."""
        with self.service(serial, f"exec:{command}", deadline) as stream:
            return stream.read_into(buffer, deadline, limit)

    def shell(self, serial: str, command: str, deadline: Deadline) -> ShellResult:
        """Run a command over shell v2: both outputs apart and the exit status. Needs Android 7 (feature shell_v2).
        Raises CommandFailed for more than MAX_ANSWER bytes."""
        out, err, pending = bytearray(), bytearray(), bytearray()
        with self.service(serial, f"shell,v2,raw:{command}", deadline) as stream:
            while True:
                data = stream.read_some(deadline)
                if not data:
                    raise DeviceGone(serial, f"shell {command}", "the stream ended before the exit status")
                pending += data
                if len(out) + len(err) + len(pending) > MAX_ANSWER:
                    raise CommandFailed(serial, f"shell {command}", f"more than {MAX_ANSWER:,} bytes were sent")
                for kind, payload in _packets(pending):
                    if kind == STDOUT:
                        out += payload
                    elif kind == STDERR:
                        err += payload
                    elif kind == EXIT:
                        return ShellResult(bytes(out), bytes(err), payload[0] if payload else 0)
                    else:
                        raise CommandFailed(serial, f"shell {command}", f"unknown shell packet {kind}")

    def request(self, request: str, deadline: Deadline, serial: str = "") -> Stream:
        """Send a host request; the stream once the server said OKAY. `host:track-devices` goes on sending blocks."""
        where = "connect to the adb server"
        left = deadline.remaining()
        if left <= 0:
            raise BridgeTimeout(serial, request, "the deadline passed")
        try:
            sock = socket.create_connection((self.server.host, self.server.port), timeout=min(left, LONGEST_WAIT))
        except TimeoutError as error:
            raise BridgeTimeout(serial, where, f"nothing answers at {self.server}") from error
        except OSError as error:
            raise too_many_files(serial, where, error) or AdbServerError(
                serial, where, f"nothing listens at {self.server}; start it with `adb start-server`"
            ) from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _keep_alive(sock)
        stream = Stream(sock, serial, request, self._streams.discard, self._tally)
        self._streams.add(stream)
        if self._closed:
            stream.close()
            raise DeviceGone(serial, request, "closed by us")
        try:
            self._send(stream, request, deadline)
            self._status(stream, deadline)
        except BaseException:
            stream.close()
            raise
        return stream

    def read_block(self, stream: Stream, deadline: Deadline) -> str:
        """The next length-prefixed text of a stream."""
        digits = stream.read_exactly(4, deadline)
        # What `int` takes besides: signs, spaces, underscores.
        if not _LENGTH.fullmatch(digits):
            raise AdbServerError(stream.serial, stream.op, f"bad length {digits!r}")
        return stream.read_exactly(int(digits, 16), deadline).decode("utf-8", "replace")

    def _send(self, stream: Stream, text: str, deadline: Deadline) -> None:
        data = text.encode("utf-8", "surrogateescape")
        if len(data) > 0xFFFF:
            raise ServiceRefused(stream.serial, text[:60], "a request may have 65,535 bytes at most")
        stream.send(b"%04x" % len(data) + data, deadline)

    def _status(self, stream: Stream, deadline: Deadline) -> None:
        status = stream.read_exactly(4, deadline)
        if status == b"OKAY":
            return
        if status == b"FAIL":
            raise refusal(stream.serial, stream.op, self.read_block(stream, deadline))
        raise ServerPortTaken(
            stream.serial,
            "talk to the adb server",
            f"what listens at {self.server} answers {status!r} and is no adb server",
        )


def too_many_files(serial: str, op: str, error: OSError) -> TooManyFiles | None:
    """The typed error of a call that found no file descriptor left, with what to do; None when it failed otherwise."""
    if error.errno == errno.EMFILE:
        return TooManyFiles(serial, op, "this process may open no more files: raise its limit (`ulimit -n 4096`)")
    if error.errno == errno.ENFILE:
        return TooManyFiles(serial, op, "this host may open no more files: stop programs, or raise its limit")
    return None


def _keep_alive(sock: socket.socket) -> None:
    """Have the system find out when the other end is gone without a word: reading fails then."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _packets(pending: bytearray) -> Iterator[tuple[int, bytes]]:
    """Take whole shell v2 packets off the front: kind (1 byte), length (4 bytes, little-endian), payload."""
    while len(pending) >= 5:
        kind, length = struct.unpack_from("<BI", pending)
        if len(pending) < 5 + length:
            return
        payload = bytes(pending[5 : 5 + length])
        del pending[: 5 + length]
        yield kind, payload


def refusal(serial: str, op: str, text: str) -> BridgeError:
    """The typed error of a FAIL text (texts seen with adb 29 and 36; AOSP adb transport.cpp)."""
    text = text.strip()
    if "unauthorized" in text or "authorizing" in text:
        return DeviceUnauthorized(serial, op, text)
    if _GONE.search(text):
        return DeviceGone(serial, op, text)
    # With a device in play the rest are words about the service: "closed", "more than one device", a bound port.
    return ServiceRefused(serial, op, text) if serial else AdbServerError(serial, op, text)
