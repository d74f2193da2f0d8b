"""One HTTP/1.1 connection to one host: a request at a time, each within a deadline, broken off from any thread.

httpx limits each read and write, not the whole request; a timer here shuts the connection down at the deadline, so
that a server which drips its answer cannot hold the caller. (Looking up a host name is not covered: it cannot be
interrupted.)
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx

from agent.errors import ConfigError
from agent.log import hidden
from agent.outbox.wire import Answer
from bridge.deadline import Deadline

ANSWER_BYTES = 4096
# What connecting may take, and sending without any progress: the time that a large body has is not for a dead network.
STALL_SECONDS = 30.0
# What each of a host's addresses has of that at least: time for a packet that is lost to be sent again.
LEAST_CONNECT_SECONDS = 1.5
# What a network must carry away of a body in a second for it to get through: four posts then share 300 kbit/s.
LEAST_RATE = 8 << 10


class Exchange:
    """Asks one thing at a time: callers of several threads wait for each other. `close` from any thread, twice.

    `sent` = the bytes of the bodies that went out whole.
    """

    def __init__(self, host: str, tls: ssl.SSLContext | None = None) -> None:
        """`tls` says whose certificates count; httpx's own choice when left out. They are checked in any case.

        Raises ConfigError when the environment names a proxy that cannot be used.
        """
        self.sent = 0
        self._size = 0
        self._tunnelling = False
        self._using = threading.Lock()
        self._closed = False
        self._aborted = False
        self._stream: Any = None
        self._tls = False
        self._handshake: socket.socket | None = None
        with proxies_named():
            self._client = httpx.Client(
                http1=True,
                verify=True if tls is None else tls,
                follow_redirects=False,
                limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
                # A proxy from the environment has no business between two programs of one host.
                trust_env=not is_loopback(host),
            )

    def ask(
        self,
        method: str,
        url: str,
        head: Mapping[str, str],
        content: bytes = b"",
        seconds: float = 30.0,
        limit: int = ANSWER_BYTES,
    ) -> Answer:
        """One request within `seconds` all told; the first `limit` bytes of the answer. Raises httpx.HTTPError."""
        with self._using:
            if self._closed:
                raise httpx.TransportError("the connection is closed")
            self._aborted = False
            self._tls = url.startswith("https:")
            self._size = len(content)
            deadline = Deadline(seconds)
            alarm = threading.Timer(seconds, self._abort)
            alarm.daemon = True
            alarm.start()
            try:
                stall = min(seconds, STALL_SECONDS)
                limits = httpx.Timeout(seconds, connect=stall, write=stall)
                with self._client.stream(
                    method, url, headers=head, content=content, timeout=limits, extensions={"trace": self._trace}
                ) as response:
                    text = _text(response, limit)
                    # A server may say the key back, and its words go into receipts and logs.
                    key = head.get("Authorization", "").partition(" ")[2]
                    headers = {name: hidden(value, key) for name, value in _lower(response.headers).items()}
                    return Answer(response.status_code, headers, hidden(text, key))
            except (httpx.HTTPError, OSError) as error:
                if deadline.passed:
                    raise httpx.ReadTimeout(f"no full answer within {seconds:g} s") from error
                if isinstance(error, httpx.WriteTimeout):
                    raise httpx.WriteTimeout(f"nothing went out for {stall:g} s") from error
                if isinstance(error, OSError):
                    raise httpx.TransportError(str(error)) from error
                raise
            finally:
                alarm.cancel()
                alarm.join()
                self._shaken()

    def close(self) -> None:
        self._closed = True
        self._abort()
        # The asking thread lets go at once, unless it is looking up a host name.
        held = self._using.acquire(timeout=2.0)
        self._client.close()
        if held:
            self._using.release()

    def _trace(self, event: str, info: MutableMapping[str, Any]) -> None:
        """Called by httpcore as a request goes on (its `trace` extension): keeps hold of the connection, and count of
        what went out."""
        if event.endswith("connect_tcp.started"):
            _share(info)
        if event.endswith("send_request_body.started"):
            # Asking a proxy for a tunnel is a request, too.
            self._tunnelling = info["request"].method == b"CONNECT"
        elif event.endswith("send_request_body.complete") and not self._tunnelling:
            self.sent += self._size
        if event.endswith("connect_tcp.complete") and self._tls:
            # `ssl` takes the socket over for the handshake: what wakes it is a second handle on the connection.
            self._handshake = info["return_value"].get_extra_info("socket").dup()
        elif event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._shaken()
            self._stream = info["return_value"]
        else:
            return
        if self._aborted or self._closed:
            self._abort()

    def _shaken(self) -> None:
        """The handshake is over, or never began."""
        if self._handshake is not None:
            self._handshake.close()
            self._handshake = None

    def _abort(self) -> None:
        """Wake whoever waits on the connection. Any thread."""
        self._aborted = True
        handshake, stream = self._handshake, self._stream
        try:
            if handshake is not None:
                # For reading alone: CPython 3.11 never closes a socket that was reset before `ssl` had it.
                handshake.shutdown(socket.SHUT_RD)
            held = stream.get_extra_info("socket") if stream is not None else None
            if held is not None:
                # The base class's, for a TLS socket too: its own would drop state that the waiting thread is using.
                socket.socket.shutdown(held, socket.SHUT_RDWR)
        except OSError:
            self._stream = None


def _share(connecting: MutableMapping[str, Any]) -> None:
    """Let all addresses of a host share the time that connecting may take: they are tried one after the other, each
    with as much as is told here (CPython: socket.create_connection), and a large service has eight.

    Raises httpx.ConnectError for a name that is not known.
    """
    try:
        found = socket.getaddrinfo(connecting["host"], connecting["port"], 0, socket.SOCK_STREAM)
    except OSError as error:
        # Asked once: a name server that is away takes its time.
        raise httpx.ConnectError(str(error)) from error
    connecting["timeout"] = max(LEAST_CONNECT_SECONDS, connecting["timeout"] / max(1, len(found)))


def address(url: str, name: str, hint: str) -> SplitResult:
    """`url` as a plain http(s) address. Raises ConfigError, in which `name` says whose address it is."""
    try:
        parts = urlsplit(url)
        port = parts.port
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL) as error:
        raise ConfigError(f"{url!r} is no address: {error}.", hint) from error
    spaced = any(letter.isspace() for letter in url)
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or spaced:
        raise ConfigError(f"{url!r} is no http address.", hint)
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigError(f"{name} has no user name, query or fragment.", hint)
    return parts


@contextmanager
def proxies_named() -> Iterator[None]:
    """Around the making of a client that reads HTTPS_PROXY and the like.

    Raises ConfigError when they name what is no HTTP proxy; it does not repeat it, since a password may stand there.
    """
    try:
        yield
    except (httpx.InvalidURL, ValueError, ImportError) as error:
        raise ConfigError(
            "The environment names a proxy that cannot be used.",
            "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY take http://HOST:PORT or https://HOST:PORT, no SOCKS; NO_PROXY names "
            "hosts. Mend or unset them.",
        ) from error


def sending_seconds(size: int) -> int:
    """What a body of so many bytes needs to go out, beside the time in which a server is to answer."""
    return size // LEAST_RATE


def words(error: httpx.HTTPError) -> str:
    """What went wrong, in a few words."""
    said = str(error) or type(error).__name__
    return f"the proxy says: {said}" if isinstance(error, httpx.ProxyError) else said


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Certificates are checked against `ca_file`, else those that SSL_CERT_FILE or SSL_CERT_DIR name, else certifi's.

    Raises ConfigError when there are none in the file.
    """
    try:
        context = httpx.create_ssl_context()
        if ca_file is not None:
            context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        named = ca_file or "the file of SSL_CERT_FILE"
        raise ConfigError(
            f"No certificates can be read from {named}: {error.strerror or error}.",
            "Name a file of certificates in PEM form with upload.ca_file or SSL_CERT_FILE.",
        ) from error
    return context


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _text(response: httpx.Response, limit: int) -> str:
    """The start of an answer's text. The status line is the verdict, so an answer that breaks off after it counts."""
    data = b""
    try:
        for chunk in response.iter_raw():
            data += chunk
            if len(data) >= limit:
                break
    except httpx.HTTPError:
        data += b" (the answer broke off)"
    return data[:limit].decode("utf-8", "replace")


def _lower(headers: httpx.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
