"""An adb server on loopback that speaks the smart-socket protocol in full and serves what a test tells it to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

VERSION = 41


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def request(self) -> str:
        """The next request; "" when the client has gone."""
        digits = self.read(4)
        return self.read(int(digits, 16)).decode() if digits else ""

    def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            if not more:
                return b""
            data += more
        return data

    def line(self) -> bytes:
        """One line with its newline; b"" at the end."""
        data = b""
        while not data.endswith(b"\n"):
            more = self.sock.recv(1)
            if not more:
                return b""
            data += more
        return data

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def okay(self, text: str | None = None) -> None:
        self.send(b"OKAY" + (b"" if text is None else self.block(text)))

    def fail(self, text: str) -> None:
        self.send(b"FAIL" + self.block(text))

    @staticmethod
    def block(text: str) -> bytes:
        data = text.encode()
        return b"%04x" % len(data) + data

    def gone(self) -> bool:
        """Wait until the client closes; True when it did within ten seconds."""
        self.sock.settimeout(10)
        try:
            while self.sock.recv(4096):
                pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True


Service = Callable[[Peer], None]


def says(text: str | bytes) -> Callable[[Peer], None]:
    """A service that sends this and ends."""
    data = text if isinstance(text, bytes) else text.encode()
    return lambda peer: peer.send(data)


class FakeAdbServer:
    """Serves `services` (by exact name, else by the longest fitting prefix) of the devices in `states`.

    A service is called after its OKAY, on a thread of its own, and the connection is closed when it returns. `refused`
    maps a service's prefix to the FAIL text it gets instead. `greeting` replaces the answer to every request.
    """

    def __init__(self, port: int = 0) -> None:
        self.states: dict[str, str] = {"SERIAL": "device"}
        self.services: dict[str, Service] = {}
        self.refused: dict[str, str] = {}
        self.greeting: bytes | None = None
        self.requests: list[str] = []
        self._changed = threading.Condition()
        self._listings: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self._peers: list[socket.socket] = []
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> FakeAdbServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._changed:
            self._changed.notify_all()
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
            peer.close()

    def set_states(self, states: dict[str, str]) -> None:
        """Change what the trackers see: each such change, as adb tells each."""
        with self._changed:
            self.states = states
            self._listings.append(self.listing())
            self._changed.notify_all()

    def listing(self, separator: str = "\t") -> str:
        return "".join(f"{serial}{separator}{state}\n" for serial, state in self.states.items())

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._peers.append(sock)
            threading.Thread(target=self._serve, args=(Peer(sock),), daemon=True).start()

    def _serve(self, peer: Peer) -> None:
        with peer.sock, contextlib.suppress(OSError):
            request = peer.request()
            self.requests.append(request)
            if self.greeting is not None:
                peer.send(self.greeting)
            elif request.startswith("host:transport:"):
                self._transport(peer, request.removeprefix("host:transport:"))
            elif request == "host:version":
                peer.okay(f"{VERSION:04x}")
            elif request == "host:devices-l":
                peer.okay(self.listing("    "))
            elif request == "host:track-devices":
                self._track(peer)
            elif (service := self._find(request)) is not None:
                peer.send(b"OKAY")
                service(peer)
            else:
                peer.fail(f"unknown host service '{request}'")

    def _track(self, peer: Peer) -> None:
        peer.okay()
        with self._changed:
            told = len(self._listings)
            later = [self.listing()]
        while later:
            for listing in later:
                peer.send(peer.block(listing))
            with self._changed:
                while len(self._listings) == told and not self._closed:
                    self._changed.wait()
                later = self._listings[told:]
                told += len(later)

    def _transport(self, peer: Peer, serial: str) -> None:
        state = self.states.get(serial)
        if state is None:
            peer.fail(f"device '{serial}' not found")
            return
        if state == "unauthorized":
            peer.fail("device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set")
            return
        if state != "device":
            peer.fail(f"device {state}")
            return
        peer.okay()
        name = peer.request()
        self.requests.append(name)
        text = next((text for prefix, text in self.refused.items() if name.startswith(prefix)), None)
        service = self._find(name)
        if text is not None or service is None:
            peer.fail(text or "closed")
            return
        peer.okay()
        service(peer)

    def _find(self, name: str) -> Service | None:
        fitting = [prefix for prefix in self.services if name.startswith(prefix)]
        return self.services[max(fitting, key=len)] if fitting else None


def two_ways(server: FakeAdbServer) -> None:
    """Let a server list one phone by its cable and by the network."""

    def shell(peer: Peer) -> None:
        peer.send(b"77\r\n")
        peer.gone()

    def running(peer: Peer) -> None:
        peer.send(next(each for each in reversed(server.requests) if "echo $$" in each).encode())

    server.states = {"192.168.1.7:5555": "device", "R58": "device"}
    server.services["exec:cat /proc/sys/kernel/random/boot_id"] = says("0b2c4b1e-6a3f-4c57-9d0e-2f1a7c8b9d10\n")
    server.services["exec:echo $$"] = shell
    server.services["exec:cat /proc/77/cmdline"] = running
