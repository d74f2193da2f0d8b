"""Every fault of the emulated phone, seen by the real clients: adb, adbutils and uiautomator2 behind a real server."""

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import adbutils
import pytest
import uiautomator2
from adbutils.errors import AdbError, AdbTimeout
from fakes.emulate import Emulate, run_adb
from fakes.wait import until
from uiautomator2.exceptions import (
    AccessibilityServiceAlreadyRegisteredError,
    RPCStackOverflowError,
    UiAutomationNotConnectedError,
)

from bridge.emulated.faults import FAULTS
from bridge.emulated.lab import Lab
from bridge.emulated.logd import Record
from bridge.errors import AdbServerError

# adbutils leaves its socket to the garbage collector when a call fails.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
SIZE = (540, 1200)
BLACK = ((0, 0), (0, 0), (0, 0))


@pytest.fixture(scope="module")
def shared() -> Iterator[Lab]:
    with Lab(autopilot=False) as lab:
        # The first PNG starts the lab's encoder thread, which lives as long as the lab.
        until(lambda: state(lab) == "device", "the phone")
        assert adb(lab, "exec-out", "screencap", "-p").stdout
        yield lab


@pytest.fixture
def lab(shared: Lab) -> Iterator[Lab]:
    """A lab whose phone is connected and without faults, before and after."""
    until(lambda: state(shared) == "device", "the phone")
    yield shared
    until(lambda: state(shared) == "device", "the phone after the test")


def state(lab: Lab) -> str:
    """What the adb server lists for the first phone; "" when it does not list it."""
    listed = dict(line.split("\t") for line in lab.server.request("host:devices").splitlines())
    return listed.get(lab.serials[0], "")


def phone(lab: Lab) -> adbutils.AdbDevice:
    return adbutils.AdbClient("127.0.0.1", lab.port, socket_timeout=15).device(lab.serials[0])


def adb(lab: Lab, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return run_adb({**os.environ, **lab.environment, "ANDROID_SERIAL": lab.serials[0]}, *words, stdin=stdin)


def allow(lab: Lab) -> None:
    """The user taps "Allow" on the dialog once it is there: adb says "unauthorized" before it has sent its key."""
    until(lambda: lab.call(lambda: any(each.asking for each in lab.adbds[0].connections)), "the dialog")
    lab.call(lab.adbds[0].authorise)


@contextlib.contextmanager
def fault(lab: Lab, text: str) -> Iterator[None]:
    """The fault is in force inside, and over afterwards."""
    before = lab.call(lambda: repr(lab.phones[0].faults))
    lab.fault(text)
    if text.partition("=")[0] in FLAGS:
        until(lambda: lab.call(lambda: repr(lab.phones[0].faults)) != before, text)
    try:
        yield
    finally:
        lab.heal(text)


FLAGS = {
    "offline", "slow-shell", "hang", "stop-acks", "refuse", "screencap", "u2-stall", "u2-taken", "u2-screenshot",
    "u2-dump", "disk-full", "read-only",
}  # fmt: skip


def seconds(act: Callable[[], object]) -> float:
    start = time.monotonic()
    act()
    return time.monotonic() - start


# The transport


def test_unplug(lab: Lab) -> None:
    device = phone(lab)
    with fault(lab, "unplug"):
        until(lambda: state(lab) == "offline", "offline")
        with pytest.raises(AdbError, match=r"offline|closed|not found"):
            device.shell("echo")
    until(lambda: state(lab) == "device", "the phone again")
    assert device.shell("echo back") == "back"


def test_flaky(lab: Lab) -> None:
    device = phone(lab)
    stream = device.shell("echo begun; sleep 60", stream=True)
    assert stream.conn.recv(6) == b"begun\n"
    started = time.monotonic()
    with fault(lab, "flaky"):
        assert stream.conn.recv(1) == b""
        stream.close()
    until(lambda: state(lab) == "device" and time.monotonic() - started > 0.05, "the phone again")
    assert time.monotonic() - started < 5
    assert device.shell("echo back") == "back"


def test_offline(lab: Lab) -> None:
    with fault(lab, "offline"):
        until(lambda: state(lab) == "offline", "offline")
        with pytest.raises(AdbError, match="device offline"):
            phone(lab).shell("echo")


def test_unauthorized_then_accepted() -> None:
    with Lab(autopilot=False, faults=["unauthorized"]) as lab:
        until(lambda: state(lab) == "unauthorized", "unauthorized")
        with pytest.raises(AdbError, match="unauthorized"):
            phone(lab).shell("echo")
        done = adb(lab, "shell", "echo")
        assert done.returncode == 1
        assert b"device unauthorized" in done.stderr
        allow(lab)
        until(lambda: state(lab) == "device", "trust")
        assert phone(lab).shell("echo in") == "in"


def test_a_key_revoked_in_the_middle(lab: Lab) -> None:
    stream = phone(lab).shell("echo begun; sleep 60", stream=True)
    assert stream.conn.recv(6) == b"begun\n"
    with fault(lab, "unauthorized"):
        assert stream.conn.recv(1) == b""
        stream.close()
        until(lambda: state(lab) == "unauthorized", "unauthorized")
    lab.call(lab.adbds[0].drop)


def test_the_hosts_real_signature_is_verified() -> None:
    with Lab(autopilot=False, trust="known") as lab:
        until(lambda: state(lab) == "unauthorized", "unauthorized")
        allow(lab)
        until(lambda: state(lab) == "device", "trust")
        # The key is now known: the next connection passes by its signature alone.
        lab.call(lab.adbds[0].drop)
        until(lambda: state(lab) != "device", "the drop")
        until(lambda: state(lab) == "device", "the signature")
        assert lab.adbds[0].trust.asked == []


def test_slow_shell(lab: Lab) -> None:
    device = phone(lab)
    with fault(lab, "slow-shell=0.4"):
        with pytest.raises(AdbTimeout):
            device.shell("echo", timeout=0.1)
        assert seconds(lambda: device.shell("echo")) >= 0.4
    assert seconds(lambda: device.shell("echo")) < 0.4


def test_a_hung_service(lab: Lab) -> None:
    with fault(lab, "hang=exec:"), open_service(lab, "exec:echo never") as sock, pytest.raises(TimeoutError):
        sock.settimeout(0.3)
        sock.recv(4)
    assert phone(lab).shell("echo fine") == "fine"


def test_acknowledgements_stop(lab: Lab) -> None:
    with open_service(lab, "exec:cat") as sock:
        assert sock.recv(4) == b"OKAY"
        sock.sendall(b"one")
        assert sock.recv(3) == b"one"
        with fault(lab, "stop-acks"):
            sock.settimeout(0.3)
            # The first write still reaches the phone, the second waits for its turn for ever.
            sock.sendall(b"two")
            assert sock.recv(3) == b"two"
            sock.sendall(b"three")
            with pytest.raises(TimeoutError):
                sock.recv(5)


@contextlib.contextmanager
def open_service(lab: Lab, service: str) -> Iterator[socket.socket]:
    """A smart socket with a service asked for; its answer is not read."""
    with socket.create_connection(("127.0.0.1", lab.port), timeout=10) as sock:
        for request in (f"host:transport:{lab.serials[0]}", service):
            sock.sendall(b"%04x%s" % (len(request), request.encode()))
            if request.startswith("host:"):
                assert sock.recv(4) == b"OKAY"
        yield sock


def test_a_refused_service(lab: Lab) -> None:
    with fault(lab, "refuse=shell:"), pytest.raises(AdbError, match="closed"):
        phone(lab).shell("echo")


# Pictures


def test_an_empty_picture_is_black_to_adbutils(lab: Lab) -> None:
    with fault(lab, "screencap=empty"):
        assert phone(lab).screenshot().convert("RGB").getextrema() == BLACK
        with pytest.raises(AdbError, match="screencap error"):
            phone(lab).screenshot(error_ok=False)
        assert adb(lab, "exec-out", "screencap").stdout == b""


def test_a_truncated_picture(lab: Lab) -> None:
    with fault(lab, "screencap=truncated"):
        with pytest.raises(OSError, match="truncated"):
            phone(lab).screenshot(error_ok=False).convert("RGB")
        assert 16 < len(adb(lab, "exec-out", "screencap").stdout) < 16 + SIZE[0] * SIZE[1] * 4


def test_a_picture_of_another_size(lab: Lab) -> None:
    with fault(lab, "screencap=wrong-size"):
        assert phone(lab).screenshot(error_ok=False).size == (SIZE[0] - 7, SIZE[1])
        raw = adb(lab, "exec-out", "screencap").stdout
        assert int.from_bytes(raw[:4], "little") == SIZE[0] + 7
        assert len(raw) == 16 + SIZE[0] * SIZE[1] * 4


def test_words_before_the_picture(lab: Lab) -> None:
    with fault(lab, "screencap=garbage"):
        assert adb(lab, "exec-out", "screencap", "-p").stdout.startswith(b"WARNING: linker: ")
        with pytest.raises(AdbError, match="screencap error"):
            phone(lab).screenshot(error_ok=False)


def test_a_black_picture(lab: Lab) -> None:
    assert phone(lab).screenshot(error_ok=False).convert("RGB").getextrema() != BLACK
    with fault(lab, "screencap=black"):
        assert phone(lab).screenshot(error_ok=False).convert("RGB").getextrema() == BLACK


# UiAutomation


@pytest.fixture
def ui(lab: Lab) -> Iterator[uiautomator2.Device]:
    device = uiautomator2.connect(phone(lab))
    yield device
    device.stop_uiautomator()


def test_the_server_dies_and_comes_back(lab: Lab, ui: uiautomator2.Device) -> None:
    assert ui.info["displayWidth"] == SIZE[0]
    with fault(lab, "u2-dies"):
        until(lambda: not lab.call(lambda: "tcp:9008" in lab.phones[0].ports), "the server's end")
        assert seconds(lambda: ui.info) < 5


def test_the_server_stalls(lab: Lab, ui: uiautomator2.Device) -> None:
    assert ui.info
    with fault(lab, "u2-stall=0.5"):
        assert seconds(lambda: ui.info) >= 0.5


def test_another_tool_has_ui_automation(lab: Lab, ui: uiautomator2.Device) -> None:
    with fault(lab, "u2-taken"):
        lab.fault("u2-dies")
        until(lambda: not lab.call(lambda: "tcp:9008" in lab.phones[0].ports), "the server's end")
        with pytest.raises(AccessibilityServiceAlreadyRegisteredError):
            _ = ui.info
    assert ui.info


def test_pictures_of_ui_automation(lab: Lab, ui: uiautomator2.Device) -> None:
    with fault(lab, "u2-screenshot=black"):
        assert ui.screenshot().convert("RGB").getextrema() == BLACK
    with fault(lab, "u2-screenshot=null"):
        assert ui.jsonrpc.takeScreenshot(1, 80) is None


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("stack-overflow", RPCStackOverflowError),
        ("dead-object", UiAutomationNotConnectedError),
        ("not-connected", UiAutomationNotConnectedError),
    ],
)
def test_dumps_that_fail(lab: Lab, ui: uiautomator2.Device, kind: str, error: type[Exception]) -> None:
    with fault(lab, f"u2-dump={kind}"), pytest.raises(error):
        ui.dump_hierarchy()
    assert "<node" in ui.dump_hierarchy()


def test_an_empty_dump(lab: Lab, ui: uiautomator2.Device) -> None:
    with fault(lab, "u2-dump=empty"):
        assert "<node" not in ui.jsonrpc.dumpWindowHierarchy(False, 50)


# The phone


def test_a_full_disk_and_a_read_only_one(lab: Lab) -> None:
    for name, words in (("disk-full", "No space left on device"), ("read-only", "Read-only file system")):
        with fault(lab, name):
            with pytest.raises(AdbError):
                phone(lab).sync.push(b"data", "/data/local/tmp/file")
            done = adb(lab, "shell", "echo x >/data/local/tmp/file")
            assert words in done.stderr.decode()
            assert done.returncode == 1
    assert phone(lab).sync.push(b"data", "/data/local/tmp/file") == 4


def test_a_log_storm(lab: Lab) -> None:
    rate = 20_000
    phone(lab).shell("logcat -G 16M; logcat -c")
    with open_service(lab, "exec:logcat -B -v threadtime") as sock:
        assert sock.recv(4) == b"OKAY"
        got = bytearray()
        with fault(lab, f"log-storm={rate}"):
            start = time.monotonic()
            while time.monotonic() - start < 0.5:
                got += sock.recv(1 << 16)
            # The phone still answers.
            assert seconds(lambda: phone(lab).shell("echo")) < 3
    assert got.count(b"Storm\0") > rate / 20
    assert b"not utf-8: \xff\xfe\x80" in got
    assert b"x" * 4000 in got
    assert bytes(range(1, 32)) in got


def epoch(lab: Lab) -> float:
    return float(phone(lab).shell("echo $EPOCHREALTIME"))


def host_time() -> float:
    return time.clock_gettime(time.CLOCK_REALTIME)


def test_the_clock_is_set(lab: Lab) -> None:
    assert abs(epoch(lab) - host_time()) < 1
    with fault(lab, "clock-step=-3600"):
        until(lambda: epoch(lab) < host_time() - 3500, "the step")
        uptime = float(phone(lab).shell("cat /proc/uptime").split()[0])
        assert abs(uptime - lab.call(lambda: lab.phones[0].clock.boot_ns()) / 1e9) < 1
    assert abs(epoch(lab) - host_time()) < 1


def test_the_clock_drifts(lab: Lab) -> None:
    clock = lab.phones[0].clock
    before = lab.call(clock.truth_offset_ns)
    with fault(lab, "clock-drift=500000"):
        until(lambda: lab.call(clock.truth_offset_ns) - before > 200_000_000, "0.2 s of drift")
        told = epoch(lab)
        assert told > host_time() + 0.1
    lab.call(lambda: clock.step(host_time() - clock.wall_ns() / 1e9))


def test_suspend(lab: Lab) -> None:
    clock = lab.phones[0].clock
    boot, mono = lab.call(clock.truth_boot_offset_ns), lab.call(clock.truth_mono_offset_ns)
    lab.fault("suspend@0:60")
    until(lambda: lab.call(lambda: clock.asleep), "sleep")
    with open_service(lab, "exec:echo never") as sock, pytest.raises(TimeoutError):
        sock.settimeout(0.3)
        sock.recv(4)
    lab.heal("suspend")
    until(lambda: not lab.call(lambda: clock.asleep), "the end of sleep")
    assert phone(lab).shell("echo awake") == "awake"
    assert lab.call(clock.truth_boot_offset_ns) == boot
    assert mono - lab.call(clock.truth_mono_offset_ns) >= 290_000_000


def test_reboot() -> None:
    with Lab(autopilot=False) as lab:
        device = phone(lab)
        boot_id = device.shell("cat /proc/sys/kernel/random/boot_id")
        device.reverse("tcp:7002", "tcp:7003")
        device.sync.push(b"kept", "/data/local/tmp/kept")
        ui = uiautomator2.connect(device)
        assert ui.info
        lab.call(lambda: lab.phones[0].logd.append(record(lab, b"before")))
        lab.fault("reboot@0:0.5")
        until(lambda: state(lab) != "device", "the phone's end")
        until(lambda: state(lab) == "device", "the phone again")
        assert device.shell("cat /proc/sys/kernel/random/boot_id") != boot_id
        assert epoch(lab) < 60
        assert float(device.shell("cat /proc/uptime").split()[0]) < 60
        assert list(device.reverse_list()) == []
        assert b"before" not in adb(lab, "logcat", "-d", "-v", "raw").stdout
        assert "tcp:9008" not in lab.call(lambda: lab.phones[0].ports)
        assert device.shell("cat /data/local/tmp/kept") == "kept"
        lab.call(lab.phones[0].clock.synchronise)
        assert abs(epoch(lab) - host_time()) < 1
        assert ui.info


def record(lab: Lab, text: bytes) -> Record:
    clock = lab.phones[0].clock
    return Record(clock.wall_ns(), clock.mono_ns(), 1, 1, 1000, 4, "Test", text)


# The server


def test_the_server_is_killed_and_an_empty_one_starts() -> None:
    with Lab(autopilot=False) as lab:
        tracking = socket.create_connection(("127.0.0.1", lab.port), timeout=5)
        tracking.sendall(b"0012host:track-devices")
        assert tracking.recv(4) == b"OKAY"
        lab.fault("server-killed")
        with contextlib.suppress(ConnectionResetError):
            while tracking.recv(4096):
                pass
        tracking.close()
        with pytest.raises(AdbServerError):
            lab.server.request("host:version")
        lab.heal("server-killed")
        assert state(lab) == ""
        assert "connected" in lab.server.request(f"host:connect:{lab.serials[0]}")
        until(lambda: state(lab) == "device", "the phone")


def test_a_foreign_adb_has_the_port(tmp_path: Path) -> None:
    with Lab(autopilot=False) as lab:
        lab.fault("foreign-adb")
        until(lambda: version(lab) == "0028", "the stub")
        lab.heal("foreign-adb")
        assert version(lab) == "0029"
        assert state(lab) == ""


def version(lab: Lab) -> str:
    try:
        return lab.server.request("host:version")
    except AdbServerError:
        return ""


# The same by `emulate --fault`


@contextlib.contextmanager
def emulating(*faults: str) -> Iterator[Emulate]:
    options = [word for text in faults for word in ("--fault", text)]
    with Emulate("--profile", "small", "--no-autopilot", "--print-env", *options) as running:
        yield running


def listed(emulate: Emulate) -> str:
    """The state of the phone as the running server says, without starting one."""
    port = int(emulate.environment["ANDROID_ADB_SERVER_PORT"])
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(b"000chost:devices")
        if sock.recv(4) == b"OKAY":
            length = int(sock.recv(4), 16)
            text = sock.recv(length).decode() if length else ""
            return text.strip().partition("\t")[2]
        return "no list"
    return "no server"


COMMANDED: set[str] = set()


def commanded(*faults: str) -> tuple[str, ...]:
    """The faults of a test; all of them together must be all there are."""
    COMMANDED.update(text.replace("@", "=").partition("=")[0] for text in faults)
    return faults


SHELL_FAULTS = commanded(
    "slow-shell=0.3", "refuse=jdwp", "hang=exec:hang", "screencap=garbage", "disk-full", "clock-step=-3600",
    "clock-drift=1000", "log-storm=500", "u2-taken", "u2-dies", "u2-screenshot=null",
)  # fmt: skip
MORE_FAULTS = commanded("read-only", "stop-acks@1.5", "u2-stall=0.4", "u2-dump=stack-overflow")
STATES = [
    (commanded("unplug@0:0.5"), ["offline", ""], "device"),
    (commanded("offline@0.5:1"), ["offline"], "device"),
    (commanded("unauthorized@0:1"), ["unauthorized"], "device"),
    (commanded("flaky=0.3"), ["offline"], "device"),
    (commanded("reboot@0.3:0.5"), ["offline", ""], "device"),
    (commanded("server-killed@0.3:0.5"), ["no server"], ""),
    (commanded("foreign-adb@0.3"), ["no list"], "no list"),
]


def test_faults_of_the_shell_by_command() -> None:
    with emulating(*SHELL_FAULTS) as emulate:
        environment = emulate.environment
        assert seconds(lambda: run_adb(environment, "shell", "echo")) >= 0.3
        assert run_adb(environment, "jdwp").returncode != 0
        with pytest.raises(subprocess.TimeoutExpired):
            run_adb(environment, "exec-out", "hang", seconds=0.5)
        assert run_adb(environment, "exec-out", "screencap").stdout.startswith(b"WARNING: linker")
        assert b"No space left" in run_adb(environment, "shell", "echo x >/data/f").stderr
        told = float(run_adb(environment, "shell", "echo $EPOCHREALTIME").stdout)
        assert told < host_time() - 3500
        assert b"Storm" in run_adb(environment, "logcat", "-d").stdout
        device = adbutils.AdbClient("127.0.0.1", int(environment["ANDROID_ADB_SERVER_PORT"])).device(emulate.serial)
        with pytest.raises((AccessibilityServiceAlreadyRegisteredError, AdbError)):
            _ = uiautomator2.connect(device).info


APP_FAULTS = {
    "crash@2": b"FATAL EXCEPTION",
    "native-crash@4": b"Fatal signal",
    "anr@6": b"ANR in com.northbay.shop",
    "low-memory@9": b"Kill 'com.northbay.shop'",
    "test-runner@10": b"start instr",
}
commanded(*APP_FAULTS)


def test_faults_of_the_app_by_command() -> None:
    with emulating(*APP_FAULTS) as emulate:
        environment = emulate.environment

        def told(words: bytes) -> bool:
            run_adb(environment, "shell", "am start -n com.northbay.shop/.MainActivity")
            return words in run_adb(environment, "logcat", "-d", "-b", "all").stdout

        for fault, words in APP_FAULTS.items():
            until(lambda words=words: told(words), fault, 20)


SCREEN_FAULTS = commanded("fold@0.5", "screen-off@0.5", "video=dies")


def test_faults_of_the_screen_by_command() -> None:
    options = [word for text in SCREEN_FAULTS for word in ("--fault", text)]
    with Emulate("--profile", "fold", "--no-autopilot", "--print-env", *options) as emulate:
        environment = emulate.environment
        until(lambda: b"540x1260" in run_adb(environment, "shell", "wm size").stdout, "the fold")
        until(lambda: b"mAwake=false" in run_adb(environment, "shell", "dumpsys window").stdout, "the dark")
        assert run_adb(environment, "exec-out", "screenrecord --output-format=h264 -").stdout == b""


def test_more_faults_by_command() -> None:
    with emulating(*MORE_FAULTS) as emulate:
        environment = emulate.environment
        assert b"Read-only" in run_adb(environment, "shell", "echo x >/data/f").stderr


@pytest.mark.parametrize(("faults", "during", "after"), STATES, ids=[faults[0] for faults, _, _ in STATES])
def test_states_by_command(faults: tuple[str, ...], during: list[str], after: str) -> None:
    with emulating(*faults) as emulate:
        until(lambda: listed(emulate) in during, f"one of {during}")
        until(lambda: listed(emulate) == after, after)


def test_suspend_by_command() -> None:
    (name,) = commanded("suspend@0.2:0.6")
    with emulating(name) as emulate:
        boot = []

        def uptime() -> float:
            text = run_adb(emulate.environment, "shell", "cat /proc/uptime").stdout.split()
            boot.append(float(text[0]))
            return float(text[0]) - float(text[1])

        before = uptime()
        until(lambda: uptime() - before >= 0.5, "the sleep in the phone's uptime")


def test_every_fault_was_commanded() -> None:
    assert COMMANDED | {"suspend"} == set(FAULTS)
    assert threading.active_count() < 50
