from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest
from fakes.adb_server import FakeAdbServer, says

from bridge.deadline import Deadline
from bridge.errors import DeviceGone, ServiceRefused, TooManyFiles
from bridge.smartsocket import AdbServer, SmartSocket
from bridge.traces import Unnoted, lives, undo
from bridge.types import Trace


@pytest.fixture
def server() -> Iterator[FakeAdbServer]:
    with FakeAdbServer() as server:
        yield server


def undone(server: FakeAdbServer, *traces: Trace) -> tuple[Trace, ...]:
    """What is left to be undone afterwards."""
    notes = Unnoted()
    for trace in traces:
        notes.made("SERIAL", trace)
        notes.made("SERIAL", trace)
    assert notes.ours("SERIAL") == traces
    smart = SmartSocket(AdbServer(port=server.port))
    try:
        undo(smart, notes, "SERIAL", notes.ours("SERIAL"), Deadline(5))
    finally:
        smart.close()
    return notes.ours("SERIAL")


def test_files_and_processes_are_taken_away(server: FakeAdbServer) -> None:
    server.services["exec:rm"] = server.services["exec:pkill"] = says(b"")
    left = undone(server, Trace("file", "/data/local/tmp/it's.jar"), Trace("process", "screenrecord --size 5x6 a.b -"))
    assert left == ()
    # The pattern does not match the command line that it stands in.
    wanted = ["exec:rm -f '/data/local/tmp/it'\"'\"'s.jar'", r"exec:pkill -f '[s]creenrecord --size 5x6 a\.b -'"]
    assert [request for request in server.requests if request.startswith("exec:")] == wanted


def test_a_listener_is_taken_away_when_it_still_leads_to_nobody(server: FakeAdbServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as free:
        living, dead = taken.getsockname()[1], free.getsockname()[1]
        free.close()
        rows = f"h tcp:1 tcp:{living}\nh tcp:2 tcp:{dead}\nh tcp:3 tcp:9\n".encode()
        server.services["reverse:list-forward"] = says(b"%04x" % len(rows) + rows)
        server.services["reverse:killforward:tcp:2"] = says(b"OKAY")
        traces = (f"tcp:1 tcp:{living}", f"tcp:2 tcp:{dead}", "tcp:3 tcp:8", "tcp:4 tcp:4")
        left = undone(server, *(Trace("reverse", what) for what in traces))
    # Whoever listens there may be killed before it takes it away.
    assert left == (Trace("reverse", traces[0]),)
    assert [request for request in server.requests if "killforward" in request] == ["reverse:killforward:tcp:2"]


def test_what_a_device_does_not_answer_stays_noted(server: FakeAdbServer) -> None:
    notes = Unnoted()
    notes.made("SERIAL", Trace("file", "/data/x"))
    with pytest.raises((ServiceRefused, DeviceGone)):
        undo(SmartSocket(AdbServer(port=server.port)), notes, "SERIAL", notes.ours("SERIAL"), Deadline(5))
    assert notes.ours("SERIAL") == (Trace("file", "/data/x"),)


def test_an_address_that_cannot_be_tried_is_no_dead_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lives("localabstract:x")
    assert not lives("tcp:1")

    def refuse(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(TooManyFiles, match="tcp:1"):
        lives("tcp:1")
