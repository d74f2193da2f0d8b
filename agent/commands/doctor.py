"""`android-replay doctor`: every check with its fix."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.errors import ConfigError

if TYPE_CHECKING:
    from agent.model import Finding, ParseFailure, SegmentEvent
    from agent.settings import Capture, Loaded, Log, Metrics, Settings, Upload
    from bridge.ports import Device, Notebook
    from bridge.registry import Listed, Registry
    from bridge.types import Gap, LogEntry, Stamp

MIN_FREE_BYTES = 1 << 30
PROBE_BYTES = 1 << 16
# Of the time that a segment may wait: what has waited longer is in danger.
LATE_SHARE = 0.75
# Of what a spool may hold: a recorder takes a fuller one only where there is no other.
FULL_SHARE = 0.9
LISTEN_SECONDS = 20.0
SAY_SECONDS = 5.0
LEAVE_SECONDS = 3.0
QUEUED = 4096
LISTENING = "instrumentation"


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one check; `fix` is the next step, always there when it is not ok."""

    name: str
    ok: bool
    found: str
    fix: str = ""


def doctor(
    device: Annotated[str | None, typer.Option("-s", "--device", help="A serial; the only one when left out.")] = None,
    app: Annotated[
        str | None, typer.Option(help="Also listen to this package's log for faults of its instrumentation.")
    ] = None,
    listen: Annotated[
        float,
        typer.Option(min=0, max=3600, help="With --app: for so many seconds; 0 only checks that it is installed."),
    ] = LISTEN_SECONDS,
    fail_on: Annotated[
        str | None, typer.Option(help="With findings of this level or worse (error, warning, info), exit with 16.")
    ] = None,
    sink: Annotated[list[str] | None, typer.Option(help="Also check that this sink answers; repeatable.")] = None,
    config: Annotated[Path | None, typer.Option(help="A settings file (TOML).")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a check, then one a finding, then one a setting.")
    ] = False,
) -> None:
    """Check this host (spool, what waits in it, who reads it, log, figures, sinks), adb and the device (its logs, tree,
    picture and clock). Exit code 1 when one fails.

    With --app the log is heard for a while (use the app meanwhile, best from its start): what is wrong with its
    Segment and Amplitude instrumentation is told with the line that proves it, and the fix. Ctrl-C ends the listening.

    Example: android-replay doctor -s emulator-5554 --app com.example.shop
    """
    from agent.commands import findings
    from agent.commands.console import put, put_json, table
    from agent.settings import load

    least = findings.level(fail_on)
    if app is None and least is not None:
        raise ConfigError("--fail-on needs an app to listen to.", "Name it with --app PACKAGE.")
    if app is None and listen != LISTEN_SECONDS:
        raise ConfigError("--listen needs an app to listen to.", "Name it with --app PACKAGE.")
    loaded = load({}, config)
    checks = []
    heard: list[Finding] = []
    for check in _checks(loaded, config, device, app, sink or [], listen, heard):
        checks.append(check)
        if as_json:
            put_json({"check": check.name} | asdict(check))
        else:
            put(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.found}")
            put(*(f"      {line}" for line in check.fix.splitlines()))
    listened = any(check.name == LISTENING for check in checks)
    if as_json:
        for finding in heard:
            put_json(findings.fact(finding, _time(finding.stamp)))
        for name, value, origin in loaded.rows():
            put_json({"setting": name, "value": value, "origin": origin})
    else:
        if listened:
            put("", *findings.lines(heard, _time))
        put("", "Settings")
        for line in table([(f"  {name}", value, origin) for name, value, origin in loaded.rows()]):
            put(line)
    if not all(check.ok for check in checks):
        sys.exit(1)
    findings.fail(heard, least)


def _checks(
    loaded: Loaded,
    config: Path | None,
    serial: str | None,
    app: str | None,
    sinks: list[str],
    listen: float,
    heard: list[Finding],
) -> Iterator[Check]:
    from bridge.clock import HostClock

    settings = loaded.settings
    yield _packages()
    yield _spool(settings.spool)
    yield _waiting(settings.spool, settings.upload.keep_hours, HostClock().now().wall_ms / 1000)
    yield _access(loaded, config)
    yield _log(settings.log)
    yield _metrics(settings.metrics)
    yield _video(settings.capture)
    for spec in sinks:
        yield _sink(spec, settings.upload)
    yield from _device(settings, serial, app, listen, heard)


def _packages() -> Check:
    """Whether the packages `agent` and `bridge` that run are ours, from one place (other projects use these names)."""
    import agent
    import bridge

    folders = {Path(module.__file__ or "").parent.parent for module in (agent, bridge)}
    ours = {getattr(module, "OWNER", "") for module in (agent, bridge)} == {"android-replay-agent"}
    ok = ours and len(folders) == 1
    fix = "Install android-replay-agent in an environment of its own."
    return Check("packages", ok, ", ".join(map(str, sorted(folders))), "" if ok else fix)


def _spool(folder: Path) -> Check:
    place = folder
    try:
        while not place.exists():
            place = place.parent
        # Rights are not all: a file system may be mounted read-only, or full.
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(bytes(PROBE_BYTES))
    except OSError as error:
        return Check(
            "spool",
            False,
            f"{folder} cannot be written: {error.strerror}",
            "Set ANDROID_REPLAY_SPOOL to a folder that you can write.",
        )
    free = shutil.disk_usage(place).free
    roomy = free >= MIN_FREE_BYTES
    return Check("spool", roomy, f"{folder}, {free / 1e9:.1f} GB free", "" if roomy else "Free some disk space.")


def _waiting(folder: Path, keep_hours: float, now_s: float) -> Check:
    """What earlier runs left to upload, and whether its time, or the room for it, comes to an end."""
    from agent.errors import StorageError
    from agent.outbox.spool import BUDGET_BYTES
    from agent.outbox.waiting import held, left_open, spools

    times: list[float] = []
    sizes: dict[Path, int] = {}
    unclosed = 0
    try:
        found = spools(folder)
    except OSError as error:
        what = f"{folder} cannot be read: {error.strerror}"
        return Check("waiting", False, what, "Make it yours (chown), or set ANDROID_REPLAY_SPOOL to a folder of yours.")
    for place in found:
        # A recorder may be at work there, and done with one just now.
        for file in (place / "queue/segments").glob("*.json"):
            with contextlib.suppress(OSError):
                times.append(file.stat().st_mtime)
        with contextlib.suppress(StorageError):
            unclosed += left_open(place)
            sizes[place] = held(place)
    limit = f"given up when a try fails after {keep_hours:g} h" if keep_hours else "never given up"
    if not times and not unclosed:
        return Check("waiting", True, f"nothing waits to be uploaded; what waits is {limit}")
    hours = max(0.0, now_s - min(times, default=now_s)) / 3600
    late = bool(keep_hours) and hours > keep_hours * LATE_SHARE
    told = [f"{len(times)} segments, the oldest for {hours:.1f} h"] if times else []
    if unclosed:
        told.append(f"{unclosed} that were still open when their recorder was killed")
    what = f"{', and '.join(told)}; {limit}"
    fullest = max(sizes, key=lambda place: sizes[place], default=None)
    if fullest is not None:
        what += f"; {fullest} holds {sizes[fullest]:,} of at most {BUDGET_BYTES:,} bytes"
    full = any(size > BUDGET_BYTES * FULL_SHARE for size in sizes.values())
    fix = "`android-replay upload` delivers it, and says what keeps it from being delivered."
    return Check("waiting", not late and not full, what, fix)


def _access(loaded: Loaded, config: Path | None) -> Check:
    """Whether others on this host can read our secrets or what was recorded."""
    settings = loaded.settings
    files = (settings.upload.api_key_file, settings.metrics.token_file, settings.farm.broker_file)
    secret = [file for file in files if file is not None]
    names = ("upload.api_key", "metrics.token", "farm.broker")
    if config is not None and "file" in map(loaded.origins.get, names):
        secret.append(config)
    open_to_others = []
    for place in (*secret, settings.spool):
        with contextlib.suppress(OSError):
            if stat.S_IMODE(place.stat().st_mode) & 0o077:
                open_to_others.append(str(place))
    if open_to_others:
        return Check(
            "access",
            False,
            f"other users of this host may read {', '.join(open_to_others)}",
            f"chmod go= {' '.join(map(shlex.quote, open_to_others))}",
        )
    return Check("access", True, "what is private is this user's alone")


def _log(log: Log) -> Check:
    """Where the log goes, and whether it can."""
    if log.file is None:
        return Check("log", True, f"{log.format} on standard error")
    try:
        there = log.file.exists()
        with log.file.open("ab"):
            pass
        if not there:
            log.file.unlink()
    except OSError as error:
        return Check(
            "log",
            False,
            f"{log.file} cannot be written: {error.strerror}",
            "Set log.file to a file in a folder of yours.",
        )
    return Check("log", True, f"{log.format} in {log.file}")


def _metrics(settings: Metrics) -> Check:
    """Whether the figures can be told at the port that is set."""
    if settings.port is None:
        return Check("metrics", True, "off, as metrics.port is not set")
    from agent import metrics
    from agent.collector.server import listen
    from agent.errors import AddressTaken

    try:
        metrics.check(settings)
        listen(settings.host, settings.port).close()
    except AddressTaken as error:
        return Check(
            "metrics", False, error.message, "If it is no recorder of ours, stop it, or choose another metrics.port."
        )
    except ConfigError as error:
        return Check("metrics", False, error.message, error.hint)
    guarded = "for the token" if settings.token.get_secret_value() else "for this host, without a token"
    return Check("metrics", True, f"{settings.host}:{settings.port or 'a free port'} {guarded}")


def _video(capture: Capture) -> Check:
    """What pictures are asked for: video, when it is wanted and this host can decode it."""
    from agent.commands.rig import video_settings
    from bridge import decoder, scrcpy

    try:
        video = video_settings(capture)
    except ConfigError as error:
        return Check("video", False, error.message, error.hint)
    if video is None:
        why = "no pictures at this quality" if capture.quality == "text" else "single pictures, as capture.video says"
        return Check("video", True, why)
    if not decoder.available():
        return Check("video", True, "single pictures: PyAV is not installed", "Install android-replay-agent[video].")
    jar = video.scrcpy_server
    first = f"scrcpy {scrcpy.version_of(jar, video.scrcpy_version)}, else " if jar else ""
    return Check("video", True, f"{first}screenrecord, else single pictures")


def _sink(spec: str, upload: Upload) -> Check:
    from agent.errors import AgentError
    from agent.outbox.sink import parse_sink

    try:
        target = parse_sink(spec, upload)
        try:
            known = target.check()
        finally:
            target.close()
    except AgentError as error:
        return Check(f"sink {spec}", False, error.message, error.hint)
    return Check(f"sink {spec}", True, known)


def _device(
    settings: Settings, serial: str | None, app: str | None, listen: float, heard: list[Finding]
) -> Iterator[Check]:
    """The adb server, and the device, which is left as it was found."""
    from agent.commands.rig import choose
    from agent.errors import NoDevice, next_step
    from bridge.clock import HostClock
    from bridge.deadline import Deadline
    from bridge.errors import BridgeError
    from bridge.registry import Registry
    from bridge.smartsocket import AdbServer

    server, clock = AdbServer(settings.adb.host, settings.adb.port), HostClock()
    with ExitStack() as stack:
        seen = Registry(server, clock, start=True)
        stack.callback(seen.close)
        try:
            listed: tuple[Listed, ...] = seen.list(Deadline(10))
        except BridgeError as error:
            yield Check("adb server", False, str(error), next_step(error))
            return
        yield Check("adb server", True, f"answers, {len(listed)} devices")
        try:
            (chosen,) = choose(seen, (serial,) if serial else ())
            # Not before there is a device: who only looks makes no spool.
            notebook = _notebook(settings, stack)
            registry = Registry(server, clock, start=True, display=settings.capture.display, notebook=notebook)
            stack.callback(registry.close)
            stack.callback(_leave, registry, chosen)
            device = registry.open(chosen, Deadline(40))
        except NoDevice as error:
            yield Check("device", False, error.message, error.hint)
            return
        except BridgeError as error:
            yield Check("device", False, str(error), next_step(error))
            return
        stack.callback(device.close)
        yield from _opened(device, app, listen, settings.upload.api_key.get_secret_value(), heard)


def _notebook(settings: Settings, stack: ExitStack) -> Notebook:
    """Where it is noted what is put on the device; a spool that takes nothing is a failed check of its own."""
    from agent.commands.rig import traces
    from agent.errors import StorageError
    from bridge.traces import Unnoted

    try:
        return traces(settings, stack)
    except StorageError:
        return Unnoted()


def _leave(registry: Registry, serial: str) -> None:
    from bridge.deadline import Deadline
    from bridge.errors import BridgeError

    # What it does not let us undo stays noted, for whoever opens it next.
    with contextlib.suppress(BridgeError):
        registry.leave(serial, Deadline(LEAVE_SECONDS))


def _opened(device: Device, app: str | None, listen: float, api_key: str, heard: list[Finding]) -> Iterator[Check]:
    """What is checked on a device that is open."""
    from agent.errors import next_step
    from bridge.deadline import Deadline
    from bridge.errors import BridgeError

    def tried(name: str, look: Callable[[], str]) -> Check:
        try:
            return Check(name, True, look())
        except BridgeError as error:
            return Check(name, False, str(error), next_step(error))

    info = device.info
    yield Check("device", True, f"{info.serial}: {info.manufacturer} {info.model}, Android {info.android}")
    if info.services:
        names = ", ".join(info.services)
        yield Check("accessibility", True, f"while this phone is recorded, UiAutomation keeps {names} from working")

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
        if uid is not None and listen:
            ear = Ear(app, uid, api_key, heard)
            yield tried(LISTENING, lambda: _listen(device, ear, listen))
            names = ", ".join(ear.drivers.names)
            unseen = f"{names} at work: what it taps does not pass the touch panel and is not recorded"
            yield Check("touches", True, unseen if names else "nobody but people seems to tap")


class Ear:
    """What one app's log tells: entries in, findings out into `heard` when it is closed."""

    def __init__(self, package: str, uid: int, api_key: str, heard: list[Finding]) -> None:
        from agent.analytics.doctor import Doctor
        from agent.analytics.drivers import Drivers
        from agent.analytics.sniffer import Sniffer

        self.drivers = Drivers()
        self._doctor = Doctor(package, api_key)
        self._sniffer = Sniffer(uid)
        self._uid = uid
        self._heard = heard
        self.package = package
        self.entries = 0
        self.events = 0

    @property
    def told(self) -> str:
        """What it heard so far, in numbers."""
        return f"{self.entries} lines of the app, {self.events} events, {len(self._doctor.findings)} findings"

    def take(self, item: LogEntry | Gap) -> None:
        """One entry of the whole log, or a hole in it."""
        from bridge.types import Gap

        if isinstance(item, Gap):
            self._doctor.hear(item)
            return
        self.drivers.hear(item)
        if item.buffer == "events":
            return
        self._doctor.hear(item, mine=item.uid == self._uid)
        self.entries += item.uid == self._uid
        self._judge(self._sniffer.feed(item))

    def close(self) -> None:
        """Nothing more is heard."""
        self._judge(self._sniffer.flush())
        self._doctor.conclude()
        self._heard += self._doctor.findings

    def _judge(self, found: list[SegmentEvent | ParseFailure]) -> None:
        from agent.model import SegmentEvent

        for each in found:
            self.events += isinstance(each, SegmentEvent)
            self._doctor.judge(each)


def _listen(device: Device, ear: Ear, seconds: float) -> str:
    """Hear a device's log for so long, or until Ctrl-C, with a word on how it goes. Raises BridgeError when the log
    ends; what was heard until then is judged all the same."""
    import queue
    import threading
    import time

    from agent.commands.console import say
    from agent.runtime.signals import ended_by
    from bridge.errors import BridgeError

    # Nothing is raised where an entry is being judged: what that half did could not be told from what is found.
    ended = threading.Event()
    log = device.log()
    came: queue.Queue[LogEntry | Gap | BridgeError] = queue.Queue(QUEUED)

    def read() -> None:
        try:
            for item in log.entries():
                came.put(item)
        except BridgeError as error:
            came.put(error)

    reader = threading.Thread(target=read, name="doctor-log", daemon=True)
    say(f"Listening to {ear.package} for {seconds:g} s: use it now, best from its start. Ctrl-C ends it sooner.")
    began = time.monotonic()
    said = began
    reader.start()
    try:
        with ended_by(ended.set):
            while (now := time.monotonic()) < began + seconds and not ended.is_set():
                if now >= said + SAY_SECONDS:
                    said = now
                    say(f"  {now - began:.0f} s: {ear.told}")
                try:
                    item = came.get(timeout=min(0.2, began + seconds - now))
                except queue.Empty:
                    continue
                if isinstance(item, BridgeError):
                    raise item
                ear.take(item)
        if ended.is_set():
            say("Stopped.")
    finally:
        log.close()
        while reader.is_alive():
            # A full queue would keep the reader from seeing that the log is closed.
            with contextlib.suppress(queue.Empty):
                came.get(timeout=0.05)
        ear.close()
    return f"{time.monotonic() - began:.0f} s, {ear.told}"


def _time(stamp: Stamp) -> str:
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(stamp.wall_ms / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{stamp.wall_ms % 1000:03d}Z"
