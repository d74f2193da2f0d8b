"""A running recorder's control socket: start, stop, mark and status, one JSON line each way.

The socket lies in the run's spool folder and is for its owner only. `control` of the command line talks to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from agent.analytics.gate import Gate

log = logging.getLogger(__name__)

SOCKET = "control.sock"
# A character is up to 12 bytes of JSON: a note and a name fit.
REQUEST_BYTES = 65_536
ANSWER_BYTES = 1 << 20
ASK_SECONDS = 5.0
VERBS = ("start", "stop", "status", "mark")
MAX_NAME, MAX_NOTE = 200, 2_000


@contextlib.asynccontextmanager
async def serving(
    folder: Path, gate: Gate, facts: Callable[[], Mapping[str, Any]], mark: Callable[[str, str], int]
) -> AsyncIterator[None]:
    """Answer on `folder`/control.sock while the block runs.

    `mark` puts a marker of a name and with a note into the recordings and says into how many. Where this cannot be (a
    path too long, a system without Unix sockets) the recording runs without, and the log says so.
    """
    path = folder / SOCKET

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                line = await reader.readline()
                writer.write(json.dumps(_done(line, gate, facts, mark)).encode() + b"\n")
                await writer.drain()
        except (TimeoutError, OSError, ValueError):
            pass
        finally:
            writer.close()

    server: asyncio.Server | None = None
    try:
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(answer, sock=_bound(path), limit=REQUEST_BYTES)
    except (OSError, AttributeError, NotImplementedError, ValueError) as error:
        log.warning("no control socket at %s: %s", path, error)
    try:
        yield
    finally:
        if server is not None:
            server.close()
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _bound(path: Path) -> socket.socket:
    """A socket of that name that only its owner may open, from the first moment on where the system can (Linux)."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(OSError):
            os.fchmod(bound.fileno(), 0o600)
        bound.bind(str(path))
        path.chmod(0o600)
    except BaseException:
        bound.close()
        raise
    return bound


def ask(path: Path, verb: str, **said: str) -> Mapping[str, Any] | None:
    """What the recorder behind `path` answers; None when none is there any more."""
    if not hasattr(socket, "AF_UNIX"):
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(ASK_SECONDS)
        try:
            sock.connect(os.fspath(path))
            sock.sendall(json.dumps({"do": verb, **said}).encode() + b"\n")
            data = b""
            while not data.endswith(b"\n") and len(data) < ANSWER_BYTES:
                more = sock.recv(1 << 16)
                if not more:
                    break
                data += more
            answer = json.loads(data)
        except (OSError, ValueError):
            return None
    return answer if isinstance(answer, dict) else None


def _done(
    line: bytes, gate: Gate, facts: Callable[[], Mapping[str, Any]], mark: Callable[[str, str], int]
) -> dict[str, Any]:
    more: dict[str, Any] = {}
    try:
        request = json.loads(line)
    except ValueError:
        request = None
    if not isinstance(request, dict):
        request = {}
    verb = request.get("do")
    if verb == "start":
        gate.start()
    elif verb == "stop":
        gate.stop()
    elif verb == "mark":
        name, note = request.get("name", ""), request.get("note", "")
        if not (isinstance(name, str) and isinstance(note, str) and len(name) <= MAX_NAME and len(note) <= MAX_NOTE):
            return {"ok": False, "error": f"name and note are texts of at most {MAX_NAME} and {MAX_NOTE} characters"}
        more["marked"] = mark(name, note)
    elif verb != "status":
        return {"ok": False, "error": f"known: {', '.join(VERBS)}"}
    return {"ok": True, "capturing": not gate.closed, "reason": gate.closed, "pid": os.getpid(), **more, **facts()}
