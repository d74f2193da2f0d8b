"""The uiautomator2 server of one device: view trees and JPEG pictures over our own JSON-RPC, driving over its library.

The server is one process on the phone that listens on its port 9008 and holds the phone's only UiAutomation. The
library installs and starts it; calls go straight to the port through the adb server, with a deadline that works.
"""

from __future__ import annotations

import atexit
import base64
import binascii
import contextlib
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import xxhash

from bridge import hierarchy, picture
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.errors import (
    BridgeError,
    BridgeTimeout,
    CaptureFailed,
    DeviceBusy,
    DeviceGone,
    HierarchyEmpty,
    HierarchyMalformed,
    ScreenBlocked,
    ServiceRefused,
)
from bridge.picture import Display
from bridge.smartsocket import SmartSocket, Stream, refusal
from bridge.types import Frame, Hierarchy

PORT = 9008
MAX_DEPTH = 50
MAX_BODY = 64 << 20
HEAD_BYTES = 1 << 16
# After a failed start, and after each that follows it: the other tool may be gone in a moment, or hold on for hours.
RETRY_SECONDS = (3.0, 8.0, 15.0, 30.0)
TIMEOUTS = 3
SCALE = 1.0  # masks are in screen pixels
QUALITY = 80
MakeDevice = Callable[[Callable[[], Deadline], Callable[[Any], None]], Any]
LOST = ("UiAutomation not connected", "DeadObjectException", "DeadSystemRuntimeException", "DeadSystemException")


class UiaServer:
    """Starts, calls and stops the server. One thread; `close` from any.

    `make_device` makes the adbutils device on which uiautomator2 works: it takes the deadline of the moment and whom
    to give the connections of started processes to.
    """

    def __init__(self, serial: str, smart: SmartSocket, make_device: MakeDevice, clock: HostClock) -> None:
        self._serial = serial
        self._socket = smart
        self._make_device = make_device
        self._clock = clock
        self._deadline = Deadline(0)
        self._processes: list[Any] = []
        self._refused: tuple[int, BridgeError] | None = None
        self._refusals = 0
        self._timeouts = 0
        self._closed = False

    def start(self, deadline: Deadline) -> None:
        """Make the server answer. Raises DeviceBusy when another tool holds UiAutomation, CaptureFailed when it does
        not start; after a failure the next attempts fail alike for a while, because each costs the phone a process."""
        now_ns = self._clock.now().mono_ns
        if self._refused is not None and now_ns < self._refused[0]:
            raise self._refused[1]
        if self._alive(deadline):
            return
        try:
            self._launch(deadline)
        except (DeviceBusy, CaptureFailed) as error:
            wait = RETRY_SECONDS[min(self._refusals, len(RETRY_SECONDS) - 1)]
            self._refused = (now_ns + int(wait * 1e9), error)
            self._refusals += 1
            raise
        self._refused = None

    def call(self, method: str, params: list[object], deadline: Deadline) -> object:
        """The result of one RPC; a server that died, or that we started and that hangs, is started again.

        Raises DeviceBusy, ScreenBlocked, HierarchyMalformed, CaptureFailed, BridgeTimeout, DeviceGone.
        """
        try:
            result = self._rpc(method, params, deadline)
        except BridgeTimeout:
            self._timeouts += 1
            if self._timeouts >= TIMEOUTS:
                self._stop()
            raise
        except (ServiceRefused, _Lost):
            self._stop()
            self.start(deadline)
            try:
                result = self._rpc(method, params, deadline)
            except (ServiceRefused, _Lost) as error:
                raise CaptureFailed(self._serial, method, error.detail) from error
        self._timeouts = self._refusals = 0
        return result

    def driver(self, deadline: Deadline) -> Any:
        """uiautomator2's own device object, to launch, tap, type and select with until the deadline."""
        return self._connect(deadline)

    def close(self) -> None:
        """Stop the server if this object started it; one that was running before is left alone."""
        self._closed = True
        self._deadline = Deadline(0)
        self._stop()

    def _alive(self, deadline: Deadline) -> bool:
        try:
            return self._http(b"GET", "/ping", b"", deadline) == b"pong"
        except (ServiceRefused, CaptureFailed):
            return False

    def _stop(self) -> None:
        """End what we started: the device ends a process with its stream."""
        self._timeouts = 0
        while self._processes:
            connection = self._processes.pop()
            # The library's thread reads from it: a shutdown of both directions wakes it, a plain close does not.
            with contextlib.suppress(OSError):
                connection.conn.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _launch(self, deadline: Deadline) -> None:
        if self._closed:
            raise DeviceGone(self._serial, "start the uiautomator2 server", "closed by us")
        try:
            self._connect(deadline)
        except BaseException:
            self._stop()
            raise

    def _connect(self, deadline: Deadline) -> Any:
        # Imported here: it costs half a second, and a server that runs needs none of it.
        import adbutils
        import uiautomator2

        op = "start the uiautomator2 server"
        self._deadline = deadline
        try:
            driver = uiautomator2.connect(self._make_device(lambda: self._deadline, self._processes.append))
        except uiautomator2.exceptions.AccessibilityServiceAlreadyRegisteredError as error:
            raise DeviceBusy(self._serial, op, "another tool holds UiAutomation") from error
        except uiautomator2.exceptions.BaseException as error:
            raise CaptureFailed(self._serial, op, _one_line(error)) from error
        except (adbutils.AdbTimeout, TimeoutError) as error:
            raise BridgeTimeout(self._serial, op, "no answer within the deadline") from error
        except adbutils.AdbError as error:
            failure = refusal(self._serial, op, _one_line(error))
            if isinstance(failure, ServiceRefused):
                failure = CaptureFailed(self._serial, op, failure.detail)
            raise failure from error
        except (OSError, EOFError) as error:
            raise DeviceGone(self._serial, op, _one_line(error)) from error
        # The library would stop the server at exit, after our own close and on a device that may be gone.
        atexit.unregister(driver.stop_uiautomator)
        return driver

    def _rpc(self, method: str, params: list[object], deadline: Deadline) -> object:
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        content = self._http(b"POST", "/jsonrpc/0", body, deadline)
        try:
            answer = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise CaptureFailed(self._serial, method, f"answered {content[:60]!r}") from error
        if isinstance(answer, dict) and "error" in answer:
            raise self._failure(method, answer["error"])
        if not isinstance(answer, dict) or "result" not in answer:
            raise CaptureFailed(self._serial, method, f"answered {content[:60]!r}")
        return answer["result"]

    def _failure(self, method: str, error: object) -> BridgeError:
        """The typed error of a JSON-RPC error (texts of u2.jar 0.4.1)."""
        fields = error if isinstance(error, dict) else {}
        words = f"{fields.get('message', error)} {fields.get('data', '')}"
        message = _one_line(fields.get("message", error))
        if "already registered" in words:
            return DeviceBusy(self._serial, method, "another tool holds UiAutomation")
        if any(lost in words for lost in LOST):
            return _Lost(self._serial, method, message)
        if "SecurityException" in words:
            return ScreenBlocked(self._serial, method, message)
        if "StackOverflowError" in words:
            return HierarchyMalformed(self._serial, method, "the view tree is too deep for the device")
        return CaptureFailed(self._serial, method, message)

    def _http(self, verb: bytes, path: str, body: bytes, deadline: Deadline) -> bytes:
        """One exchange on a connection of its own. NanoHTTPD leaks with gzip, so the answer is asked for as it is."""
        head = (
            b"%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAccept-Encoding: identity\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (verb, path.encode(), len(body))
        )
        with self._socket.service(self._serial, f"tcp:{PORT}", deadline) as stream:
            stream.send(head + body, deadline)
            return _response(stream, deadline)


class _Lost(CaptureFailed):
    """The server answers, but its UiAutomation is gone."""


class UiaHierarchy:
    """View trees of all windows by the uiautomator2 server. One thread."""

    name = "uiautomator2"

    def __init__(self, serial: str, server: UiaServer, clock: HostClock, display: Display) -> None:
        self._serial = serial
        self._server = server
        self._clock = clock
        self._display = display
        self._last: Hierarchy | None = None

    def dump(self, deadline: Deadline) -> Hierarchy:
        """Take one dump; the rotation that it names is noted in the display. An unchanged dump is not parsed again.

        Raises HierarchyEmpty, HierarchyMalformed, CaptureFailed, DeviceBusy, BridgeTimeout, DeviceGone.
        """
        began = self._clock.now()
        result = self._server.call("dumpWindowHierarchy", [False, MAX_DEPTH], deadline)
        ended = self._clock.now()
        if not isinstance(result, str) or not result:
            raise HierarchyEmpty(self._serial, "dump the view tree", "the device sent none")
        data = result.encode()
        stamp, bound_ns = picture.middle(began, ended), (ended.mono_ns - began.mono_ns + 1) // 2
        last = self._last
        if last is not None and last.digest == xxhash.xxh3_64_intdigest(data):
            tree = replace(last, stamp=stamp, bound_ns=bound_ns)
        else:
            tree = hierarchy.parse(data, stamp, bound_ns, self._serial, self._display.id)
        self._last = tree
        if self._display.id == 0:
            self._display.rotation = tree.rotation
        elif tree.rotation != self._display.rotation:
            # The dump tells the default display's.
            tree = replace(tree, rotation=self._display.rotation)
        return tree

    def close(self) -> None:
        """The server is closed by the device."""


class UiaScreen:
    """JPEG pictures by the uiautomator2 server, scaled on the phone. One thread."""

    name = "uiautomator2-jpeg"

    def __init__(self, serial: str, server: UiaServer, clock: HostClock, display: Display) -> None:
        self._serial = serial
        self._server = server
        self._clock = clock
        self._display = display
        self._last: tuple[str, Frame] | None = None

    def run(self) -> None:
        """Each picture is asked for."""

    def capture(self, deadline: Deadline) -> Frame:
        """Take one picture; one that was sent before is not decoded again.

        Raises CaptureFailed (ScreenBlocked for none), DeviceBusy, BridgeTimeout, DeviceGone.
        """
        began = self._clock.now()
        result = self._server.call("takeScreenshot", [SCALE, QUALITY], deadline)
        ended = self._clock.now()
        if not isinstance(result, str) or not result:
            raise ScreenBlocked(self._serial, "take a screenshot", "the device gives no picture: a secure window?")
        if self._last is not None and self._last[0] == result:
            return picture.again(self._last[1], began, ended, self._display)
        try:
            data = base64.b64decode(result)
        except (binascii.Error, ValueError) as error:
            raise CaptureFailed(self._serial, "take a screenshot", "the picture is not base64") from error
        size, image = picture.jpeg(data, self._serial)
        frame = picture.frame(began, ended, size, image, "image/jpeg", self._display, self.name)
        self._last = result, frame
        return frame

    def close(self) -> None:
        """The server is closed by the device."""
        self._last = None


def _response(stream: Stream, deadline: Deadline) -> bytes:
    """The body of an HTTP response with status 200. Raises CaptureFailed for any other, ServiceRefused for none."""
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        more = stream.read_some(deadline)
        if not more:
            raise ServiceRefused(stream.serial, stream.op, "the connection closed before an answer")
        data += more
        if len(data) > HEAD_BYTES and b"\r\n\r\n" not in data:
            raise CaptureFailed(stream.serial, stream.op, "what answers is no HTTP server")
    status, *lines = bytes(data[:end]).decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    words = status.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/"):
        raise CaptureFailed(stream.serial, stream.op, "what answers is no HTTP server")
    if words[1] != "200":
        raise CaptureFailed(stream.serial, stream.op, f"HTTP status {' '.join(words[1:])[:60]}")
    length = headers.get("content-length", "")
    rest = bytes(data[end + 4 :])
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return _unchunked(rest + bytes(stream.read_all(deadline)), stream)
    if not length.isdigit():
        return rest + bytes(stream.read_all(deadline))
    missing = int(length) - len(rest)
    if int(length) > MAX_BODY:
        raise CaptureFailed(stream.serial, stream.op, f"an answer of {length} bytes")
    return rest + stream.read_exactly(missing, deadline) if missing > 0 else rest[: int(length)]


def _unchunked(data: bytes, stream: Stream) -> bytes:
    body = bytearray()
    at = 0
    while True:
        end = data.find(b"\r\n", at)
        try:
            size = int(data[at:end].split(b";")[0], 16) if end >= 0 else -1
        except ValueError:
            size = -1
        if size < 0 or end + 2 + size > len(data):
            raise CaptureFailed(stream.serial, stream.op, "a broken chunked answer")
        if size == 0:
            return bytes(body)
        body += data[end + 2 : end + 2 + size]
        at = end + 2 + size + 2


def _one_line(words: object) -> str:
    return " ".join(str(words).split())[:200]
