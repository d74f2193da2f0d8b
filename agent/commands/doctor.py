"""`android-replay doctor`: every check with its fix."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agent.settings import Loaded
    from bridge.registry import Listed, Registry

MIN_FREE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one check; `fix` is the next step when it is not ok."""

    name: str
    ok: bool
    found: str
    fix: str = ""


def doctor(
    device: Annotated[str | None, typer.Option("-s", "--device", help="A serial; the only one when left out.")] = None,
    app: Annotated[str | None, typer.Option(help="Also check that this package is installed.")] = None,
    sink: Annotated[list[str] | None, typer.Option(help="Also check that this sink answers; repeatable.")] = None,
    config: Annotated[Path | None, typer.Option(help="A settings file (TOML).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a check, then one a setting.")] = False,
) -> None:
    """Check adb, the device, its logs, tree, picture and clock, the spool and the sinks. Exit code 1 when one fails.

    Example: android-replay doctor -s emulator-5554 --app com.example.shop
    """
    from agent.commands.console import put, put_json, table
    from agent.settings import load

    loaded = load({}, config)
    checks = []
    for check in _checks(loaded, device, app, sink or []):
        checks.append(check)
        if as_json:
            put_json({"check": check.name} | asdict(check))
        else:
            put(
                f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.found}"
                + (f"\n      {check.fix}" if check.fix else "")
            )
    if as_json:
        for name, value, origin in loaded.rows():
            put_json({"setting": name, "value": value, "origin": origin})
    else:
        put("\nSettings")
        for line in table([(f"  {name}", value, origin) for name, value, origin in loaded.rows()]):
            put(line)
    if not all(check.ok for check in checks):
        sys.exit(1)


def _checks(loaded: Loaded, serial: str | None, app: str | None, sinks: list[str]) -> Iterator[Check]:
    from bridge.clock import HostClock
    from bridge.registry import Registry
    from bridge.smartsocket import AdbServer

    settings = loaded.settings
    yield _packages()
    yield _spool(settings.spool)
    for spec in sinks:
        yield _sink(spec, settings.upload.api_key.get_secret_value())
    registry = Registry(AdbServer(settings.adb.host, settings.adb.port), HostClock(), start=True)
    try:
        yield from _device(registry, serial, app)
    finally:
        registry.close()


def _packages() -> Check:
    """Whether the packages `agent` and `bridge` that run are ours, from one place (other projects use these names)."""
    import agent
    import bridge

    folders = {Path(module.__file__ or "").parent.parent for module in (agent, bridge)}
    ours = {getattr(module, "OWNER", "") for module in (agent, bridge)} == {"android-replay-agent"}
    fix = "Install android-replay-agent in an environment of its own."
    return Check("packages", ours and len(folders) == 1, ", ".join(str(f) for f in folders), "" if ours else fix)


def _spool(folder: Path) -> Check:
    place = folder
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK | os.X_OK):
        return Check(
            "spool", False, f"{folder} cannot be written", "Set ANDROID_REPLAY_SPOOL to a folder that you can write."
        )
    free = shutil.disk_usage(place).free
    roomy = free >= MIN_FREE_BYTES
    return Check("spool", roomy, f"{folder}, {free / 1e9:.1f} GB free", "" if roomy else "Free some disk space.")


def _sink(spec: str, api_key: str) -> Check:
    from agent.errors import AgentError
    from agent.outbox.sink import parse_sink

    try:
        target = parse_sink(spec, api_key)
        try:
            target.check()
        finally:
            target.close()
    except AgentError as error:
        return Check(f"sink {spec}", False, error.message, error.hint)
    return Check(f"sink {spec}", True, "answers")


def _device(registry: Registry, serial: str | None, app: str | None) -> Iterator[Check]:
    from agent.commands.attach import choose
    from agent.errors import NoDevice, next_step
    from bridge.deadline import Deadline
    from bridge.errors import BridgeError

    try:
        listed: tuple[Listed, ...] = registry.list(Deadline(10))
    except BridgeError as error:
        yield Check("adb server", False, str(error), next_step(error))
        return
    yield Check("adb server", True, f"answers, {len(listed)} devices")
    try:
        (chosen,) = choose(registry, (serial,) if serial else ())
        device = registry.open(chosen, Deadline(40))
    except NoDevice as error:
        yield Check("device", False, error.message, error.hint)
        return
    except BridgeError as error:
        yield Check("device", False, str(error), next_step(error))
        return

    def tried(name: str, look: Callable[[], str]) -> Check:
        try:
            return Check(name, True, look())
        except BridgeError as error:
            return Check(name, False, str(error), next_step(error))

    try:
        info = device.info
        yield Check("device", True, f"{info.serial}: {info.manufacturer} {info.model}, Android {info.android}")

        def clock() -> str:
            fix = device.clock_fix(Deadline(5))
            return f"known within {fix.bound_ns / 1e6:.2f} ms"

        def picture() -> str:
            frame = device.screen().capture(Deadline(10))
            return f"{device.screen().name}, {frame.size.width} x {frame.size.height}"

        def tree() -> str:
            return f"{sum(1 for _ in device.hierarchy().dump(Deadline(10)).walk())} views"

        yield tried("clock", clock)
        yield tried("picture", picture)
        yield tried("view tree", tree)
        yield tried("foreground app", lambda: device.foreground(Deadline(5)).package)
        if app:
            uid = device.package_uid(app, Deadline(5))
            fix = "Check the name with `adb shell pm list packages`."
            yield Check(f"app {app}", uid is not None, f"uid {uid}" if uid else "not installed", "" if uid else fix)
    finally:
        device.close()
