import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fakes.emulate import alive, run_adb
from fakes.wait import until

from bridge.clock import SHELL
from bridge.deadline import Deadline
from bridge.emulated.lab import Lab
from bridge.emulated.profile import PROFILES
from bridge.errors import ServerPortTaken
from bridge.smartsocket import AdbServer, SmartSocket

# What a recorder keeps open on a phone: it speaks seldom, always, or when spoken to.
KEPT_OPEN = ("exec:getevent -lt", "exec:logcat -B -b main", "exec:cat", SHELL)
KEEPS_OPEN = """
import sys, time
from bridge.deadline import Deadline
from bridge.smartsocket import AdbServer, SmartSocket
port, serial, *commands = sys.argv[1:]
socket = SmartSocket(AdbServer(port=int(port)))
streams = [socket.service(serial, command, Deadline(10)) for command in commands]
print("open", flush=True)
time.sleep(60)
"""


def listed(lab: Lab) -> dict[str, str]:
    return dict(line.split("\t") for line in lab.server.request("host:devices").splitlines())


def wait_for(lab: Lab, states: dict[str, str], seconds: float = 8.0) -> None:
    """Until the adb server lists exactly this."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while listed(lab) != states:
        assert time.monotonic() < deadline, listed(lab)
        pause.wait(0.02)


def test_phones_behind_a_real_server() -> None:
    with Lab(devices=2, autopilot=False) as lab:
        assert len(lab.serials) == 2
        wait_for(lab, dict.fromkeys(lab.serials, "device"))
        assert [phone.name for phone in lab.phones] == ["EMU00001", "EMU00002"]
        assert lab.phones[0].boot_id != lab.phones[1].boot_id
        assert lab.environment["ANDROID_ADB_SERVER_PORT"] == str(lab.port)
        assert lab.call(lambda: lab.phones[0].world.foreground)[0]
        assert set(lab.truth()) == set(lab.serials)
        assert lab.gaps == []


def test_nothing_runs_on_once_its_stream_is_closed_or_its_reader_killed() -> None:
    with Lab(autopilot=False) as lab:

        def running() -> list[str]:
            return lab.call(lambda: sorted(process.name for process in lab.phones[0].processes.values()))

        until(lambda: listed(lab) == {lab.serials[0]: "device"}, "the phone")
        smart = SmartSocket(AdbServer(port=lab.port))
        streams = [smart.service(lab.serials[0], command, Deadline(10)) for command in KEPT_OPEN]
        until(lambda: running() == ["cat", "getevent", "logcat"], "the programs")
        for stream in streams:
            stream.close()
        until(lambda: not running(), "their end", 3)
        words = [sys.executable, "-c", KEEPS_OPEN, str(lab.port), lab.serials[0], *KEPT_OPEN]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as reader:
            assert reader.stdout is not None
            assert reader.stdout.readline() == b"open\n"
            until(lambda: running() == ["cat", "getevent", "logcat"], "the programs")
            reader.send_signal(signal.SIGKILL)
        until(lambda: not running(), "their end", 3)


def test_same_seed_same_phones() -> None:
    def boot_ids(seed: int) -> list[str]:
        with Lab(devices=2, seed=seed, autopilot=False) as lab:
            return [phone.boot_id for phone in lab.phones]

    assert boot_ids(5) == boot_ids(5) != boot_ids(6)


def test_calls_run_on_the_loop() -> None:
    with Lab(autopilot=False) as lab:
        here = threading.get_ident()

        async def there() -> int:
            return threading.get_ident()

        assert lab.call(there) == lab.call(threading.get_ident) != here
        with pytest.raises(ZeroDivisionError):
            lab.call(lambda: 1 // 0)
    with pytest.raises(RuntimeError):
        lab.call(lambda: None)
    lab.close()


def test_wrong_words() -> None:
    with pytest.raises(KeyError):
        Lab(profile="nokia")
    with pytest.raises(ValueError, match="no fault"):
        Lab(faults=["explode"])
    assert Lab(profile=PROFILES["old"]).serials == []


def test_a_port_that_is_taken() -> None:
    before = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ServerPortTaken):
        Lab(port=taken.getsockname()[1]).start()
    assert threading.active_count() == before


def test_a_scenario_that_is_not_there_leaves_nothing() -> None:
    before = threading.active_count()
    lab = Lab(scenario="none")
    with pytest.raises(KeyError):
        lab.start()
    assert lab.server.pid is None
    assert threading.active_count() == before


def test_faults_through_the_lab() -> None:
    with Lab(devices=2, autopilot=False) as lab:
        lab.fault("disk-full", device=1)
        assert [phone.faults.disk_full for phone in lab.phones] == [False, True]
        lab.heal("disk-full")
        assert not lab.phones[1].faults.disk_full
        lab.fault("disk-full@0:0.05")
        wait_on(lambda: all(phone.faults.disk_full for phone in lab.phones))
        wait_on(lambda: not any(phone.faults.disk_full for phone in lab.phones))
        with pytest.raises(ValueError, match="no fault"):
            lab.fault("explode")


def wait_on(condition: object, seconds: float = 5.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.005)


def test_a_crash_in_the_loop_is_a_gap() -> None:
    with Lab(autopilot=False) as lab:

        def broken() -> None:
            raise KeyError("oops")

        lab.call(lambda: setattr(lab.phones[0].world, "tick", broken))
        wait_on(lambda: lab.gaps)
        assert lab.gaps == ["EMU00001: crash: KeyError('oops')"]


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _children() -> set[int]:
    found = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


def test_ten_phones_leave_nothing_behind() -> None:
    with Lab(autopilot=False):
        pass
    files, threads, children = _open_files(), threading.active_count(), _children()
    started = time.monotonic()
    with Lab(devices=10) as lab:
        wait_for(lab, dict.fromkeys(lab.serials, "device"))
        ready = time.monotonic() - started
        pid = lab.server.pid
        folder = lab.server.folder
        assert pid is not None
        assert _children() - children == {pid}
        assert threading.active_count() == threads + 1
        environment = {**os.environ, **lab.environment, "ANDROID_SERIAL": lab.serials[0]}
        assert run_adb(environment, "exec-out", "screencap -p").stdout.startswith(b"\x89PNG")
    assert ready < 5
    assert not alive(pid)
    assert (_open_files(), threading.active_count(), _children()) == (files, threads, children)
    assert not folder.exists()
