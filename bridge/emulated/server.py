"""A real adb server of our own: the binary of the adbutils wheel on a private port with a private HOME."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from bridge.deadline import Deadline
from bridge.errors import AdbMissing, AdbServerError, BridgeTimeout, ServerPortTaken

_START_SECONDS = 15.0
_STOP_SECONDS = 3.0
_ATTEMPTS = 3
_POLL_SECONDS = 0.01


def find_adb() -> Path:
    """The adb program inside the installed adbutils wheel, else the one on PATH. Raises AdbMissing."""
    spec = importlib.util.find_spec("adbutils")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for name in ("adb", "adb.exe"):
            program = Path(folder) / "binaries" / name
            if program.is_file():
                return program
    found = shutil.which("adb")
    if found is None:
        raise AdbMissing("", "find adb", "neither in the adbutils package nor on PATH")
    return Path(found)


class PrivateAdbServer:
    """One adb server as a child process of ours. It never meets the user's server, and `stop` ends exactly it.

    `environment` is what clients need (adb, adbutils, uiautomator2 and this product).
    """

    def __init__(self, port: int | None = None, adb: Path | None = None) -> None:
        self.adb = adb or find_adb()
        self.port = port or 0
        self._wanted = port
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def environment(self) -> dict[str, str]:
        return {"ANDROID_ADB_SERVER_PORT": str(self.port), "ADBUTILS_ADB_PATH": str(self.adb)}

    @property
    def folder(self) -> Path:
        """The private HOME: key and log. Exists while the server runs."""
        if self._folder is None:
            raise RuntimeError("the server does not run")
        return self._folder

    def start(self) -> None:
        """Raises ServerPortTaken, AdbServerError."""
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="emulated-adb-"))
            self._launch_any()
        except OSError as error:
            self.stop()
            raise AdbServerError("", "start adb server", str(error)) from error
        except BaseException:
            self.stop()
            raise

    def restart(self) -> None:
        """Kill the server and start an empty one on the same port with the same key."""
        self._end()
        self._launch(self.port)

    def kill(self) -> None:
        """The server dies; the private HOME stays for `restart`."""
        self._end()

    def stop(self) -> None:
        """End the server and remove its folder. May be called twice."""
        self._end()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def request(self, service: str, seconds: float = 15.0) -> str:
        """One smart-socket request to the server itself, such as "host:devices"; its answer's text.
        Raises AdbServerError with the server's own words."""
        deadline = Deadline(seconds)
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=deadline.remaining()) as sock:
                data = service.encode()
                sock.sendall(b"%04x" % len(data) + data)
                status = _receive(sock, 4, deadline)
                length = int(_receive(sock, 4, deadline) or b"0", 16)
                text = _receive(sock, length, deadline).decode(errors="replace")
        except TimeoutError as error:
            raise BridgeTimeout("", service, f"the adb server did not answer in {seconds} s") from error
        except (OSError, ValueError) as error:
            raise AdbServerError("", service, str(error)) from error
        if status != b"OKAY":
            raise AdbServerError("", service, text)
        return text

    def _launch_any(self) -> None:
        if self._wanted is not None:
            if not _free(self._wanted):
                raise ServerPortTaken("", "start adb server", f"port {self._wanted} is in use")
            self._launch(self._wanted)
            return
        for attempt in range(_ATTEMPTS):
            try:
                self._launch(_any_port())
            except AdbServerError:
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                return

    def _launch(self, port: int) -> None:
        folder = self.folder
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("ADB_", "ANDROID_ADB_"))
        }
        environment |= {
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "ANDROID_ADB_LOG_PATH": str(folder / "adb.log"),
            "ADB_LIBUSB": "0",
            "ADB_USB": "0",
            "ADB_MDNS_OPENSCREEN": "0",
            "ADB_LOCAL_TRANSPORT_MAX_PORT": "5553",
        }
        with (folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self.adb), "-P", str(port), "server", "nodaemon"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
        self.port = port
        self._await_ready(Deadline(_START_SECONDS))

    def _await_ready(self, deadline: Deadline) -> None:
        process = self._process
        assert process is not None
        while process.poll() is None and not deadline.passed:
            try:
                self.request("host:version", seconds=max(0.1, deadline.remaining()))
            except (AdbServerError, BridgeTimeout):
                time.sleep(_POLL_SECONDS)
            else:
                return
        self._end()
        words = (self.folder / "server.log").read_text(errors="replace").strip()
        raise AdbServerError("", "start adb server", words.rpartition("\n")[2] or "no answer in time")

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _receive(sock: socket.socket, count: int, deadline: Deadline) -> bytes:
    data = bytearray()
    while len(data) < count:
        sock.settimeout(max(0.001, deadline.remaining()))
        piece = sock.recv(count - len(data))
        if not piece:
            break
        data += piece
    return bytes(data)


def _any_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _free(port: int) -> bool:
    with socket.socket() as sock, contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        return True
    return False


class ForeignAdbServer:
    """A stub on an adb server's port that claims another version: clients print "killing..." and say `host:kill`.

    Belongs to an event loop.
    """

    def __init__(self, port: int, version: int = 40) -> None:
        self._port = port
        self._version = version
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    def close(self) -> None:
        """May be called twice."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5):
                request = await reader.readexactly(int(await reader.readexactly(4), 16))
                if request == b"host:version":
                    writer.write(b"OKAY0004%04x" % self._version)
                elif request == b"host:kill":
                    writer.write(b"OKAY")
                    self.close()
                else:
                    text = b"unsupported"
                    writer.write(b"FAIL%04x" % len(text) + text)
                await writer.drain()
        except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
            # Not a client of adb: it gets no answer.
            pass
        finally:
            writer.close()
