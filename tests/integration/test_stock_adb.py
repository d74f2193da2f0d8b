"""Unmodified adb programs against `android-replay emulate`, in the environment that it prints."""

import contextlib
import hashlib
import io
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.emulate import Emulate, run_adb
from PIL import Image

from bridge.emulated.server import find_adb

DISTRIBUTION = Path("/usr/bin/adb")
PROGRAMS = [str(find_adb()), *([str(DISTRIBUTION)] if DISTRIBUTION.exists() else [])]


@pytest.fixture(scope="module")
def emulate() -> Iterator[Emulate]:
    with Emulate("--profile", "small", "--no-autopilot", "--print-env") as running:
        yield running


@pytest.fixture(params=PROGRAMS, ids=["wheel", "distribution"][: len(PROGRAMS)])
def adb(request: pytest.FixtureRequest, emulate: Emulate) -> "Adb":
    return Adb(emulate, request.param)


class Adb:
    """One adb program in the printed environment."""

    def __init__(self, emulate: Emulate, program: str) -> None:
        self.emulate = emulate
        self.program = program

    def __call__(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return run_adb(self.emulate.environment, *words, stdin=stdin, adb=self.program)

    def out(self, *words: str, stdin: bytes = b"") -> bytes:
        """Standard output of a command that must work and say nothing else."""
        done = self(*words, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, b""), done
        return done.stdout

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self.program, *words],
            env=self.emulate.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def test_the_environment_names_a_private_server(emulate: Emulate) -> None:
    assert int(emulate.environment["ANDROID_ADB_SERVER_PORT"]) != 5037
    assert Path(emulate.adb).is_file()


def test_devices(adb: Adb) -> None:
    lines = adb.out("devices", "-l").decode().splitlines()
    assert lines[0] == "List of devices attached"
    assert lines[1].split()[:2] == [adb.emulate.serial, "device"]
    assert "model:Small" in lines[1]
    assert [line for line in lines[2:] if line] == []


def test_state_and_features(adb: Adb) -> None:
    assert adb.out("get-state") == b"device\n"
    assert adb.out("get-serialno").decode().strip() == adb.emulate.serial
    assert b"shell_v2\n" in adb.out("features")
    assert adb.out("wait-for-device") == b""
    assert adb.out("wait-for-device", "shell", "echo", "there") == b"there\n"


def test_shell(adb: Adb) -> None:
    assert adb.out("shell", "getprop", "ro.product.model") == b"Small\n"
    done = adb("shell", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 7)
    done = adb("shell", "-x", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.returncode) == (b"out\nerr\n", 0)
    done = adb("shell", "frobnicate")
    assert (done.stderr, done.returncode) == (b"/system/bin/sh: frobnicate: inaccessible or not found\n", 127)


def test_standard_input(adb: Adb) -> None:
    assert adb.out("shell", "cat", stdin=b"one\ntwo\n") == b"one\ntwo\n"
    data = os.urandom(300_000)
    assert adb.out("shell", "sha256sum", stdin=data).split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert adb.out("shell", stdin=b"X=5\necho a$X\nexit 0\n") == b"a5\n"
    assert adb.out("exec-in", "cat >/data/local/tmp/in.bin", stdin=bytes(range(256))) == b""
    assert adb.out("exec-out", "cat /data/local/tmp/in.bin") == bytes(range(256))


def test_screencap(adb: Adb) -> None:
    picture = Image.open(io.BytesIO(adb.out("exec-out", "screencap", "-p")))
    picture.load()
    assert (picture.format, picture.size) == ("PNG", (540, 1200))
    assert picture.convert("RGB").getextrema() != ((0, 0), (0, 0), (0, 0))
    raw = adb.out("exec-out", "screencap")
    assert len(raw) == 16 + 540 * 1200 * 4


def test_logcat(adb: Adb) -> None:
    assert adb.out("shell", "logcat -c") == b""
    assert adb.out("shell", "am start -n com.northbay.shop/.MainActivity").startswith(b"Starting")
    text = adb.out("logcat", "-d", "-b", "all")
    assert b"--------- beginning of " in text
    assert adb.out("shell", "logcat -d -b all -t 1 -v raw | wc -c").strip().isdigit()
    assert adb.out("logcat", "-g").startswith(b"main: ring buffer is 256 KiB")


def test_push_and_pull(adb: Adb, tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    (sent / "inner").mkdir(parents=True)
    (sent / "big.bin").write_bytes(os.urandom(3 << 20))
    (sent / "inner" / "small.txt").write_text("hello\n")
    (sent / "empty").touch()
    (sent / "big.bin").chmod(0o755)
    adb.out("shell", "rm -rf /data/local/tmp/sent")
    assert adb("push", str(sent), "/data/local/tmp").returncode == 0
    assert adb.out("shell", "ls /data/local/tmp/sent") == b"big.bin\nempty\ninner\n"
    assert adb.out("shell", "stat -c %a /data/local/tmp/sent/big.bin").strip() in (b"755", b"775", b"777")
    back = tmp_path / "back"
    assert adb("pull", "/data/local/tmp/sent", str(back)).returncode == 0
    for name in ("big.bin", "inner/small.txt", "empty"):
        assert (back / name).read_bytes() == (sent / name).read_bytes()
    assert adb("push", str(sent / "inner" / "small.txt"), "/sdcard/Download/").returncode == 0
    assert adb.out("shell", "cat /sdcard/Download/small.txt") == b"hello\n"


def test_push_and_pull_that_cannot_work(adb: Adb, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"x" * 200_000)
    done = adb("push", str(file), "/system/f")
    assert done.returncode == 1
    assert b"Read-only file system" in done.stdout + done.stderr
    done = adb("pull", "/data/none", str(tmp_path / "none"))
    assert done.returncode == 1
    assert b"No such file or directory" in done.stdout + done.stderr
    assert adb("ls", "/none").stdout == b""
    assert b"Download" in adb.out("ls", "/sdcard/")


@contextlib.contextmanager
def echo_server() -> Iterator[int]:
    """A server on loopback that answers one connection in capital letters."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def serve() -> None:
            with contextlib.suppress(OSError):
                client, _ = server.accept()
                with client:
                    client.settimeout(10)
                    client.sendall(client.recv(100).upper())

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            thread.join(15)


def test_forward(adb: Adb) -> None:
    listening = adb.start("shell", "nc -l -p 7777")
    try:
        port = int(adb.out("forward", "tcp:0", "tcp:7777"))
        assert adb.out("forward", "--list").split() == [adb.emulate.serial.encode(), b"tcp:%d" % port, b"tcp:7777"]
        data = os.urandom(50_000)
        with contextlib.closing(_dial(port)) as client:
            client.sendall(data)
            assert listening.stdin is not None
            assert listening.stdout is not None
            listening.stdin.write(b"from the phone")
            listening.stdin.flush()
            assert client.recv(14, socket.MSG_WAITALL) == b"from the phone"
            assert listening.stdout.read(len(data)) == data
        assert listening.wait(10) == 0
        assert adb.out("forward", "--remove-all") == b""
        assert adb.out("forward", "--list").strip() == b""
    finally:
        _end(listening)


def _dial(port: int) -> socket.socket:
    """Connect to a forward once the phone's `nc` listens: a connection that is closed at once was too early."""
    for _ in range(200):
        client = socket.create_connection(("127.0.0.1", port), timeout=10)
        client.settimeout(0.05)
        try:
            if client.recv(1, socket.MSG_PEEK):
                raise AssertionError("nobody wrote yet")
        except TimeoutError:
            client.settimeout(10)
            return client
        except OSError:
            pass
        client.close()
    raise AssertionError("the phone never listened")


def test_a_forward_to_nothing_is_closed(adb: Adb) -> None:
    port = int(adb.out("forward", "tcp:0", "tcp:1"))
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        assert client.recv(1) == b""
    adb.out("forward", "--remove", f"tcp:{port}")


def test_reverse(adb: Adb) -> None:
    with echo_server() as port:
        assert adb.out("reverse", "tcp:7002", f"tcp:{port}").strip() in (b"7002", b"")
        assert adb.out("reverse", "--list").split()[1:] == [b"tcp:7002", b"tcp:%d" % port]
        assert adb.out("shell", "nc 127.0.0.1 7002", stdin=b"to the host") == b"TO THE HOST"
        assert adb.out("reverse", "--remove", "tcp:7002") == b""
        done = adb("shell", "nc 127.0.0.1 7002")
        assert (done.stderr, done.returncode) == (b"nc: connect: Connection refused\n", 1)
        done = adb("reverse", "--remove", "tcp:7002")
        assert b"not found" in done.stderr
        # Let the server thread end when the forward was never used.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()


def test_install(adb: Adb, tmp_path: Path) -> None:
    apk = tmp_path / "tiny.apk"
    apk.write_bytes(b"PK\x03\x04" + os.urandom(200_000))
    assert adb("install", str(apk)).stdout.endswith(b"Success\n")
    assert adb("install", "-r", "--no-streaming", str(apk)).stdout.endswith(b"Success\n")
    apk.write_bytes(b"no archive")
    done = adb("install", str(apk))
    assert done.returncode == 1
    assert b"INSTALL_PARSE_FAILED_NOT_APK" in done.stdout + done.stderr


def test_rights(adb: Adb) -> None:
    assert b"cannot run as root" in adb("root").stdout
    done = adb("remount")
    assert b"Not running as root" in done.stdout + done.stderr
    assert b"not running as root" in adb("unroot").stdout


def test_a_hang_up_ends_the_program_on_the_phone(adb: Adb) -> None:
    running = adb.start("shell", "echo begun; sleep 333")
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == b"begun\n"
        assert adb("shell", "pidof sleep").returncode == 0
    finally:
        _end(running)
    for _ in range(300):
        if adb("shell", "pidof sleep").returncode == 1:
            return
    raise AssertionError("the phone's process lives on")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()
