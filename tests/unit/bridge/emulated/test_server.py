import asyncio
import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from fakes.adb_host import run, until
from fakes.emulate import alive

from bridge.emulated.server import ForeignAdbServer, PrivateAdbServer, find_adb
from bridge.errors import AdbMissing, AdbServerError, BridgeTimeout, ServerPortTaken


def adb(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [environment["ADBUTILS_ADB_PATH"], *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=15,
    )


def test_the_adb_of_the_adbutils_package_comes_first() -> None:
    assert find_adb().parent.parent.name == "adbutils"


def test_no_adb_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AdbMissing):
        find_adb()


def test_its_life(monkeypatch: pytest.MonkeyPatch) -> None:
    # What the user's shell says must not reach the server.
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")
    monkeypatch.setenv("ADB_SERVER_SOCKET", "tcp:1")
    server = PrivateAdbServer()
    server.start()
    try:
        pid, folder = server.pid, server.folder
        assert pid is not None
        assert server.port not in (0, 1, 5037)
        assert int(server.request("host:version"), 16) == 41
        assert server.request("host:devices") == ""
        monkeypatch.delenv("ADB_SERVER_SOCKET")
        assert adb(server.environment, "devices").stdout == "List of devices attached\n\n"
        assert server.pid == pid
        server.restart()
        assert server.pid != pid
        assert not alive(pid)
        assert server.folder == folder
        assert server.request("host:devices") == ""
        last = server.pid
        assert last is not None
    finally:
        server.stop()
    server.stop()
    assert not alive(last)
    assert not folder.exists()
    assert server.pid is None
    with pytest.raises(RuntimeError):
        _ = server.folder


def test_the_key_is_private_and_survives_a_restart() -> None:
    server = PrivateAdbServer()
    server.start()
    try:
        key = server.folder / ".android" / "adbkey"
        before = key.read_bytes()
        server.restart()
        assert key.read_bytes() == before
        assert key.stat().st_mode & 0o077 == 0
    finally:
        server.stop()


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = PrivateAdbServer(taken.getsockname()[1])
        with pytest.raises(ServerPortTaken):
            server.start()
        assert server.pid is None


@pytest.mark.parametrize("script", ["#!/bin/sh\necho 'cannot bind: no luck' >&2\nexit 1\n", "no program at all"])
def test_an_adb_that_does_not_start(tmp_path: Path, script: str) -> None:
    program = tmp_path / "adb"
    program.write_text(script)
    program.chmod(0o755)
    with pytest.raises(AdbServerError, match="no luck" if script.startswith("#!") else "Exec format"):
        PrivateAdbServer(adb=program).start()


def test_requests_that_fail() -> None:
    server = PrivateAdbServer()
    server.start()
    try:
        with pytest.raises(AdbServerError, match="unknown host service"):
            server.request("host:nonsense")
        server.kill()
        with pytest.raises(AdbServerError):
            server.request("host:version")
    finally:
        server.stop()


def test_a_silent_server_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = PrivateAdbServer()
        server.port = silent.getsockname()[1]
        with pytest.raises(BridgeTimeout):
            server.request("host:version", seconds=0.1)


def test_a_client_kills_a_server_of_another_version(tmp_path: Path) -> None:
    async def work() -> None:
        private = PrivateAdbServer()
        private.start()
        environment = {**os.environ, **private.environment, "HOME": str(tmp_path), "ADB_LIBUSB": "0"}
        private.kill()
        foreign = ForeignAdbServer(private.port)
        await foreign.start()
        try:
            process = await asyncio.create_subprocess_exec(
                environment["ADBUTILS_ADB_PATH"],
                "devices",
                env=environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate()
            assert b"adb server version (40) doesn't match this client (41); killing..." in out + err
        finally:
            foreign.close()
            foreign.close()
            # The client has started a server of its own in that place.
            private.request("host:kill")
            private.stop()

    run(work())


def test_the_stub_answers_and_leaves_when_it_is_told() -> None:
    async def ask(port: int, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        writer.write_eof()
        try:
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()

    async def work() -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        stub = ForeignAdbServer(port, version=32)
        await stub.start()
        assert await ask(port, b"000chost:version") == b"OKAY00040020"
        assert (await ask(port, b"000chost:devices")).startswith(b"FAIL")
        assert await ask(port, b"zzzz") == b""
        assert await ask(port, b"0009host:kill") == b"OKAY"
        with pytest.raises(ConnectionRefusedError):
            await ask(port, b"000chost:version")
        await until(lambda: len(asyncio.all_tasks()) == 1)

    run(work())


def test_starting_needs_no_thread() -> None:
    before = threading.active_count()
    server = PrivateAdbServer()
    server.start()
    assert threading.active_count() == before
    server.stop()
