"""A TCP server on loopback that answers as a script says: to lie, to break off, to drip, to hang."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Connection:
    """One client. `ended` is set when the server stops, so that a script can hang without sleeping."""

    def __init__(self, client: socket.socket, ended: threading.Event) -> None:
        self.client = client
        self.ended = ended

    def request(self) -> bytes:
        """A whole request with a Content-Length or none."""
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = self.client.recv(65536)
            if not chunk:
                return data
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
        while len(body) < (int(lengths[0]) if lengths else 0):
            body += self.client.recv(65536)
        return head + b"\r\n\r\n" + body

    def slowly(self, every_s: float) -> bool:
        """Read a request with a Content-Length, a few kilobytes at a time; whether it came whole."""
        head, _, body = self.client.recv(4096).partition(b"\r\n\r\n")
        (length,) = [
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        ]
        left = length - len(body)
        while left > 0 and not self.ended.wait(every_s):
            chunk = self.client.recv(4096)
            if not chunk:
                break
            left -= len(chunk)
        return left == 0

    def send(self, data: bytes) -> None:
        self.client.sendall(data)

    def drip(self, data: bytes, every_s: float) -> None:
        """One byte at a time."""
        for index in range(len(data)):
            if self.ended.wait(every_s):
                return
            self.client.sendall(data[index : index + 1])


@contextmanager
def raw_server(
    script: Callable[[Connection], None], tls: ssl.SSLContext | None = None, parallel: bool = False
) -> Iterator[str]:
    """Runs `script` for every connection, one after the other or each in a thread; yields the address as a URL."""
    ended = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []
    talking: list[threading.Thread] = []

    def serve() -> None:
        while not ended.is_set():
            try:
                client, _ = listening.accept()
            except OSError:
                return
            held.append(client)
            if parallel:
                talk = threading.Thread(target=serve_one, args=(client,))
                talking.append(talk)
                talk.start()
            else:
                serve_one(client)

    def serve_one(client: socket.socket) -> None:
        with client, suppress(OSError):
            if tls is not None:
                client = tls.wrap_socket(client, server_side=True)
                held.append(client)
            with client:
                script(Connection(client, ended))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        scheme = "http" if tls is None else "https"
        yield f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        ended.set()
        for client in held:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for running in (thread, *talking):
            running.join(5)
            assert not running.is_alive()
