"""`android-replay emulate`: emulated phones behind a real adb server, until stopped."""

from __future__ import annotations

import json
import shlex
import signal
import threading
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.commands.console import put, put_json, say, table
from agent.errors import AddressTaken, ConfigError, StorageDenied
from agent.runtime.signals import ending

if TYPE_CHECKING:
    from bridge.emulated.faults import FaultKind
    from bridge.emulated.lab import Lab

# What a wait takes on any system; 46 days.
MAX_SECONDS = 4e6


def emulate(
    devices: Annotated[int, typer.Option(min=1, max=64, help="How many phones.")] = 1,
    scenario: Annotated[str, typer.Option(help="What their user does.")] = "shop",
    profile: Annotated[str, typer.Option(help="Their model: pixel7, old, small, fold or desk.")] = "pixel7",
    seed: Annotated[int, typer.Option(help="Same seed, same behaviour.")] = 1,
    autopilot: Annotated[bool, typer.Option(help="Let the scripted user use the app.")] = True,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME[=VALUE][@SECONDS[:DURATION]], such as unplug@5:3; any number of them; `list` lists them."
        ),
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port of the adb server; any free one.")] = None,
    print_env: Annotated[bool, typer.Option("--print-env", help="Print `export` lines for a shell.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line.")] = False,
    duration: Annotated[
        float | None, typer.Option(min=0.0, max=MAX_SECONDS, help="Stop after this many seconds.")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="At the end, write what the screens showed and the apps sent, as JSON lines. Holds the secrets."
        ),
    ] = None,
) -> None:
    """Run emulated phones behind a real adb server on a private port, until Ctrl-C.

    The facts that a client needs are on standard output once everything is ready: `--print-env >env &`, then
    `. ./env; adb devices`.

    Example: android-replay emulate --devices 2 --scenario shop --fault flaky@20 --print-env
    """
    from bridge.emulated.faults import FAULTS, parse_fault
    from bridge.emulated.lab import Lab
    from bridge.emulated.profile import PROFILES
    from bridge.emulated.world.autopilot import SCENARIOS
    from bridge.errors import ServerPortTaken

    if fault == ["list"]:
        for row in table([(name, _takes(kind), kind.meaning) for name, kind in FAULTS.items()]):
            put(row)
        return
    if scenario not in SCENARIOS:
        raise ConfigError(f"There is no scenario {scenario!r}.", f"Take one of: {', '.join(SCENARIOS)}.")
    if profile not in PROFILES:
        raise ConfigError(f"There is no profile {profile!r}.", f"Take one of: {', '.join(PROFILES)}.")
    try:
        faults = [parse_fault(text) for text in fault or []]
    except ValueError as error:
        raise ConfigError(
            f"A fault cannot be read: {error}.", "`android-replay emulate --fault list` lists them."
        ) from error
    if truth is not None:
        _write(truth, "")
    stop = threading.Event()
    old = _stop_on_signals(stop)
    try:
        lab = Lab(devices, scenario=scenario, profile=profile, seed=seed, autopilot=autopilot, faults=faults, port=port)
        with lab:
            _print_ready(lab, print_env=print_env, as_json=as_json)
            stop.wait(duration)
            if truth is not None:
                _write_truth(lab, truth)
    except ServerPortTaken as error:
        raise AddressTaken(f"Port {port} is in use.", "Take another one, or none.") from error
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _stop_on_signals(stop: threading.Event) -> dict[signal.Signals, Any]:
    """Ctrl-C, SIGTERM and a closed terminal set `stop`; the handlers from before. Outside the main thread nobody sends
    signals."""
    if threading.current_thread() is not threading.main_thread():
        return {}

    def handle(number: int, frame: FrameType | None) -> None:
        stop.set()

    return {number: signal.signal(number, handle) for number in ending()}


def _takes(kind: FaultKind) -> str:
    return "|".join(kind.takes) if isinstance(kind.takes, tuple) else kind.takes


def _print_ready(lab: Lab, *, print_env: bool, as_json: bool) -> None:
    environment = lab.environment
    if len(lab.serials) == 1:
        environment["ANDROID_SERIAL"] = lab.serials[0]
    if as_json:
        put_json({"port": lab.port, "serials": lab.serials, "env": environment})
    elif print_env:
        put(*(f"export {name}={shlex.quote(value)}" for name, value in environment.items()))
    else:
        say(f"adb server on port {lab.port}: {', '.join(lab.serials)}. Ctrl-C ends it.")


def _write_truth(lab: Lab, path: Path) -> None:
    lines = [
        json.dumps(
            {
                "kind": "frame", "serial": serial, "wall_ns": frame.wall_ns, "mono_ns": frame.mono_ns,
                "code": frame.code, "screen": frame.screen, "secure": frame.secure,
                "secrets": [
                    {"bounds": [s.bounds.left, s.bounds.top, s.bounds.right, s.bounds.bottom], "text": s.text}
                    for s in frame.secrets
                ],
            }
        )
        for serial, frames in lab.truth().items()
        for frame in frames
    ]  # fmt: skip
    lines += [
        json.dumps({"kind": "event", "serial": serial} | asdict(event))
        for serial, events in lab.sent().items()
        for event in events
    ]
    _write(path, "".join(f"{line}\n" for line in lines))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageDenied(f"{path} cannot be written: {error.strerror}.", "Give another path.") from error
