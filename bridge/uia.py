"""The uiautomator2 server of one device: view trees and JPEG pictures over our own JSON-RPC.

The server is one process on the phone that listens on its port 9008 and holds the phone's only UiAutomation. It comes
with the library uiautomator2 as a jar, which is pushed under a name of our own; calls go straight to the port through
the adb server, with a deadline that works. (The library's own start looks every half second whether it is up, leaves
its jar behind, and its calls have no deadline.)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import orjson
import xxhash

from bridge import hierarchy, picture
from bridge.adb import AdbShell
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.errors import (
    BridgeError,
    BridgeTimeout,
    CaptureFailed,
    CommandFailed,
    DeviceBusy,
    DeviceGone,
    HierarchyEmpty,
    HierarchyMalformed,
    ScreenBlocked,
    ServiceRefused,
)
from bridge.picture import Display
from bridge.ports import Notebook
from bridge.smartsocket import Stream, too_many_files
from bridge.types import Frame, Hierarchy, Trace

PORT = 9008
JAR = "/data/local/tmp/android-replay-u2.jar"
# As the library starts it, in a terminal, whose end is the process's end.
COMMAND = f"CLASSPATH={JAR} app_process / com.wetest.uia2.Main -p {PORT}"
PUSH_SECONDS = 20.0
LOOK_SECONDS = 0.05
WORDS_BYTES = 4_000
TAKEN = "already registered"
START = "start the uiautomator2 server"
# The server leaves out what lies deeper, and says nothing. More than the reader takes, so that a tree is whole or
# refused: React Native nests by the dozen (appium-uiautomator2-server issue 516 tells of 90).
MAX_DEPTH = hierarchy.MAX_DEPTH + 1
MAX_BODY = 64 << 20
HEAD_BYTES = 1 << 16
_LENGTH = re.compile(r"[0-9]{1,19}")
# A server that runs answers this at once; one that hangs, whosever it is, never does.
ALIVE_SECONDS = 2.0
# How soon one that did not answer is asked again.
DEAF_SECONDS = 0.5
# On a phone that has no room for the jar the app under test has none while it is tried.
FULL_SECONDS = 60.0
FULL = re.compile(r"No space|Read-only", re.IGNORECASE)
# How long the next start waits after one that failed, by how long none has helped: the other tool may be gone in a
# moment, or hold on for hours.
RETRY_SECONDS = ((8.0, 0.2), (20.0, 1.0), (60.0, 3.0), (180.0, 8.0), (600.0, 15.0), (math.inf, 30.0))
START_SECONDS = 20.0
# After a call that was not answered the next one is preceded by a question that costs the server nothing.
PING_SECONDS = 0.4
# A server that we started and that answered none of so many calls in such a time hangs.
TIMEOUTS = 3
HANGS_NS = 8_000_000_000
SCALE = 1.0  # masks are in screen pixels
QUALITY = 80
LOST = ("UiAutomation not connected", "DeadObjectException", "DeadSystemRuntimeException", "DeadSystemException")


class UiaServer:
    """Starts, calls and stops the server. One thread; `close` from any. The jar stays until the notebook is undone."""

    def __init__(self, shell: AdbShell, clock: HostClock, notebook: Notebook) -> None:
        self._shell = shell
        self._serial = shell.serial
        self._socket = shell.socket
        self._clock = clock
        self._notebook = notebook
        self._process: Stream | None = None
        self._refused: tuple[int, BridgeError] | None = None
        self._failing_ns = 0
        self._timeouts = 0
        self._answered_ns = 0
        self._down = False
        self._aside = ""
        # Whether it has answered since it was started last; what runs before us is taken to work.
        self._proved = True
        self._closed = False

    def start(self, deadline: Deadline) -> None:
        """Make the server answer. Raises DeviceBusy when another tool holds UiAutomation, CaptureFailed when it does
        not start, BridgeTimeout; after a failure the next attempts fail alike for a while, because each costs the phone
        a process."""
        self._make_way(START)
        now_ns = self._clock.now().mono_ns
        if self._refused is not None and now_ns < self._refused[0]:
            raise self._refused[1]
        try:
            alive = self._alive(Deadline(min(ALIVE_SECONDS, deadline.remaining())))
        except BridgeTimeout as error:
            self._refused = (self._clock.now().mono_ns + int(DEAF_SECONDS * 1e9), error)
            raise
        if not alive:
            try:
                self._launch(deadline)
            except (DeviceBusy, CaptureFailed, BridgeTimeout) as error:
                self._wait(error)
                raise
        self._refused, self._down, self._proved = None, False, False

    def step_aside(self, whom: str) -> None:
        """Let somebody else have UiAutomation, of which a phone has one; "" when nobody needs it any more. Any thread.

        What we started is ended at once: who asks while we hold it is refused.
        """
        self._aside = whom
        process = self._process
        if whom and process is not None:
            self._down = True
            process.close()

    def revive(self) -> None:
        """Start the server again if the last call found it down; it has START_SECONDS for that, however little a call
        has. Raises as `start`."""
        if self._down:
            self.start(Deadline(START_SECONDS))

    def call(self, method: str, params: list[object], deadline: Deadline) -> object:
        """The result of one RPC. A server that is down, or that we started and that hangs, fails the call, so that
        somebody can tell what was missed; the next call starts it again.

        Raises DeviceBusy, ScreenBlocked, HierarchyMalformed, CaptureFailed, BridgeTimeout, DeviceGone.
        """
        self._make_way(method)
        self.revive()
        try:
            if self._timeouts:
                self._http(b"GET", "/ping", b"", Deadline(min(PING_SECONDS, deadline.remaining())))
            result = self._rpc(method, params, deadline)
        except BridgeTimeout as error:
            self._timeouts += 1
            if self._timeouts >= TIMEOUTS and self._clock.now().mono_ns - self._answered_ns > HANGS_NS:
                self._wait(error)
                self._end(down=True)
            raise
        except (ServiceRefused, _Lost) as error:
            self._end(down=True)
            failure = CaptureFailed(self._serial, method, f"the uiautomator2 server is down: {error.detail}")
            if not self._proved:
                # It was started, and that has helped nothing.
                self._wait(failure)
            self._proved = False
            raise failure from error
        self._timeouts = self._failing_ns = 0
        self._proved = True
        self._answered_ns = self._clock.now().mono_ns
        return result

    def close(self) -> None:
        """Stop the server if this object started it; one that was running before is left alone."""
        self._closed = True
        self._end()

    def _make_way(self, op: str) -> None:
        if self._aside:
            raise DeviceBusy(self._serial, op, f"{self._aside} needs UiAutomation: stepped aside")

    def _wait(self, error: BridgeError) -> None:
        """No start for a while, each time for longer: calls fail with this meanwhile."""
        now_ns = self._clock.now().mono_ns
        self._failing_ns = self._failing_ns or now_ns
        age = (now_ns - self._failing_ns) / 1e9
        seconds = next(wait for limit, wait in RETRY_SECONDS if age < limit)
        if FULL.search(error.detail):
            seconds = max(seconds, FULL_SECONDS)
        self._refused = (now_ns + int(seconds * 1e9), error)

    def _alive(self, deadline: Deadline) -> bool:
        try:
            return self._http(b"GET", "/ping", b"", deadline) == b"pong"
        except (ServiceRefused, CaptureFailed):
            return False

    def _end(self, down: bool = False) -> None:
        """End what we started: the device ends a process with its stream. `down` = the next call starts it again."""
        self._timeouts = 0
        self._down = down
        process, self._process = self._process, None
        if process is not None:
            process.close()

    def _launch(self, deadline: Deadline) -> None:
        if self._closed:
            raise DeviceGone(self._serial, START, "closed by us")
        try:
            self._provide(deadline)
            self._run(deadline)
        except ServiceRefused as error:
            self._end(down=True)
            raise CaptureFailed(self._serial, START, error.detail) from error
        except BaseException:
            self._end(down=True)
            raise

    def _provide(self, deadline: Deadline) -> None:
        """Put the jar on the phone if it is not there. Raises CaptureFailed when it cannot be read, or there is no room
        for it."""
        try:
            jar = _jar()
            digest = hashlib.md5(jar.read_bytes(), usedforsecurity=False).hexdigest()
        except OSError as error:
            why = f"its jar cannot be read: {error.strerror}"
            raise too_many_files(self._serial, START, error) or CaptureFailed(self._serial, START, why) from error
        # Also one that is there: nobody but us puts a file of that name (the library's is `u2.jar`), so a run of ours
        # that could not take it away has left it.
        self._notebook.made(self._serial, Trace("file", JAR))
        if digest not in self._shell.text(f"md5sum {JAR}", deadline):
            self._shell.push(jar, JAR, Deadline(min(PUSH_SECONDS, deadline.remaining())))

    def _run(self, deadline: Deadline) -> None:
        """Start the process and wait until it answers."""
        process = self._process = self._socket.service(self._serial, f"shell:{COMMAND}", deadline)
        said = b""
        while not self._alive(deadline):
            self._make_way(START)
            if process.readable(Deadline(min(LOOK_SECONDS, deadline.remaining()))):
                data = process.read_some(deadline)
                said = (said + data)[-WORDS_BYTES:]
                if TAKEN.encode() in said:
                    raise DeviceBusy(self._serial, START, "another tool holds UiAutomation")
                if not data:
                    words = _one_line(said.decode("utf-8", "replace"))
                    raise CaptureFailed(self._serial, START, words or "it ended at once")

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
        if TAKEN in words:
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
        self._server.revive()
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
        self._server.revive()
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


def _jar() -> Path:
    """The library's jar; the library itself is not loaded, which takes half a second."""
    spec = find_spec("uiautomator2")
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise RuntimeError("uiautomator2 is not installed")
    return Path(folders[0]) / "assets" / "u2.jar"


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
        return _unchunked(rest + _until_end(stream, deadline), stream)
    if not _LENGTH.fullmatch(length):
        return rest + _until_end(stream, deadline)
    missing = int(length) - len(rest)
    if int(length) > MAX_BODY:
        raise CaptureFailed(stream.serial, stream.op, f"an answer of {length} bytes")
    return rest + stream.read_exactly(missing, deadline) if missing > 0 else rest[: int(length)]


def _until_end(stream: Stream, deadline: Deadline) -> bytes:
    try:
        return bytes(stream.read_all(deadline, limit=MAX_BODY))
    except CommandFailed as error:
        raise CaptureFailed(error.serial, error.op, error.detail) from error


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
