"""An HTTP proxy on loopback: it tunnels (CONNECT) and passes on, whatever host is named, to one server behind it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fakes.rawserver import Connection, raw_server


@dataclass(slots=True)
class Proxy:
    """`asked` = the heads of the requests made to it, `through` what clients sent through tunnels."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    through: list[bytes] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """The request lines."""
        return [head.partition("\r\n")[0] for head in self.asked]


@contextmanager
def proxying(behind: str, refusal: str = "") -> Iterator[Proxy]:
    """`behind` = the server's URL. With a `refusal` (status and words) nothing passes."""
    proxy = Proxy()
    parts = urlsplit(behind)
    address = (parts.hostname or "", parts.port or 0)

    def serve(connection: Connection) -> None:
        data = connection.request()
        if not data:
            return
        head, _, body = data.partition(b"\r\n\r\n")
        proxy.asked.append(head.decode())
        if refusal:
            connection.send(f"HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n".encode())
            return
        with socket.create_connection(address, 10) as server:
            server.settimeout(None)
            if head.startswith(b"CONNECT "):
                connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                # An absolute address is for proxies; the server gets a path.
                method, target, rest = head.split(b" ", 2)
                path = b"/" + target.split(b"/", 3)[3]
                server.sendall(b" ".join((method, path, rest)) + b"\r\n\r\n" + body)
            back = threading.Thread(target=_pipe, args=(server, connection.client))
            back.start()
            _pipe(connection.client, server, proxy.through)
            back.join(10)
            assert not back.is_alive()

    with raw_server(serve, parallel=True) as proxy.url:
        yield proxy


def _pipe(source: socket.socket, sink: socket.socket, noted: list[bytes] | None = None) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            if noted is not None:
                noted.append(data)
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
