"""The command as a user meets it: a child process, signals, exit codes, what is left afterwards."""

import errno
import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from fakes.emulate import Emulate, run_adb, run_emulate, wait_gone

from agent.cli import main
from bridge.emulated.faults import FAULTS
from bridge.emulated.profile import PROFILES

QUICK = ("--profile", "small", "--no-autopilot")


def test_json_names_everything_a_client_needs() -> None:
    with Emulate(*QUICK, "--devices", "3", "--json") as emulate:
        facts = json.loads(emulate.line)
        assert set(facts) == {"port", "serials", "env"}
        assert len(set(facts["serials"])) == 3
        assert facts["env"]["ANDROID_ADB_SERVER_PORT"] == str(facts["port"])
        assert "ANDROID_SERIAL" not in facts["env"]
        listed = run_adb({**os.environ, **facts["env"]}, "devices").stdout.decode()
        assert all(f"{serial}\tdevice" in listed for serial in facts["serials"])
        assert emulate.end() == (0, "", "")


def test_one_phone_is_named_in_the_environment() -> None:
    with Emulate(*QUICK, "--print-env") as emulate:
        assert set(emulate.line.split()) & {"export"}
        assert emulate.serial.startswith("127.0.0.1:")
        assert run_adb(emulate.environment, "shell", "getprop", "ro.product.model").stdout == b"Small\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_leaves_nothing(number: signal.Signals) -> None:
    with Emulate(*QUICK, "--print-env") as emulate:
        children = emulate.children()
        port = int(emulate.environment["ANDROID_ADB_SERVER_PORT"])
        assert len(children) == 1
        home = Path(f"/proc/{children[0]}/cwd").readlink()
        assert home.is_dir()
        assert emulate.end(number) == (0, "", "")
    assert wait_gone(children)
    assert not home.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=2)


def test_a_duration_ends_it() -> None:
    code, out, err = run_emulate(*QUICK, "--duration", "0.1")
    assert (code, out) == (0, "")
    assert err.startswith("adb server on port ")
    assert err.rstrip().endswith("Ctrl-C ends it.")


def test_the_truth_is_written_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "truth.jsonl"
    code, _, err = run_emulate("--profile", "small", "--duration", "1", "--truth", str(file), "--scenario", "login")
    assert code == 0, err
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert {line["kind"] for line in lines} <= {"frame", "event"}
    frames = [line for line in lines if line["kind"] == "frame"]
    assert len(frames) > 1
    for frame in frames:
        assert set(frame) >= {"serial", "wall_ns", "mono_ns", "code", "screen", "secure", "secrets"}
    assert [frame["mono_ns"] for frame in frames] == sorted(frame["mono_ns"] for frame in frames)


def test_a_port_of_the_users_choice() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with Emulate(*QUICK, "--port", str(port), "--json") as emulate:
        assert json.loads(emulate.line)["port"] == port


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = run_emulate(*QUICK, "--port", str(port))
    assert (code, out) == (13, "")
    assert err.splitlines() == [f"android-replay: Port {port} is in use.", "  Take another one, or none."]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--scenario", "none"), "There is no scenario 'none'"),
        (("--profile", "nokia"), "There is no profile 'nokia'"),
        (("--fault", "explode"), "no fault is called 'explode'; there are unplug, "),
        (("--fault", "unplug@soon"), "'unplug@soon' is not NAME[=VALUE][@SECONDS[:DURATION]]"),
        (("--fault", "screencap=purple"), "screencap takes empty, truncated"),
        (("--devices", "0"), "--devices"),
        (("--devices", "65"), "--devices"),
        (("--devices", "many"), "--devices"),
        (("--port", "70000"), "--port"),
        (("--duration", "-1"), "--duration"),
        (("--seed", "x"), "--seed"),
        (("extra",), "extra"),
        (("--nothing",), "--nothing"),
    ],
)
def test_wrong_arguments(options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert here(*options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err


def test_a_truth_that_cannot_be_written_is_said_before_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here("--truth", str(tmp_path / "no" / "folder" / "truth")) == 11
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_no_room_for_temporary_files(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(prefix: str) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.mkdtemp", full)
    assert here(*QUICK) == 9
    assert "start adb server: [Errno 28] No space left on device" in capsys.readouterr().err


def test_the_list_of_faults(capsys: pytest.CaptureFixture[str]) -> None:
    assert here("--fault", "list") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert [line.split()[0] for line in out.splitlines()] == list(FAULTS)


def test_faults_of_the_command_line_reach_the_phones() -> None:
    with Emulate(*QUICK, "--fault", "disk-full", "--fault", "refuse=jdwp", "--print-env") as emulate:
        done = run_adb(emulate.environment, "shell", "echo x >/data/f")
        assert b"No space left on device" in done.stderr
        assert done.returncode == 1


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert here("--help") == 0
    assert "Example: android-replay emulate --devices 2" in " ".join(capsys.readouterr().out.split())


def here(*options: str) -> int:
    """Run the command line in this process; its exit status."""
    before, sys.argv = sys.argv, ["android-replay", "emulate", *options]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0


def test_the_help_names_every_profile(call) -> None:
    told = " ".join(call("emulate", "--help").out.split())
    assert all(f" {name}" in told for name in PROFILES)
