"""All that recording devices needs, set up and taken down in order: sinks, spool, registry, supervisor, uploader."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from agent.analytics.gate import Gate
from agent.commands.console import say
from agent.errors import AddressTaken, AgentError, ConfigError, NoDevice, SinkError, StorageDenied, StorageFull
from agent.model import Draft, Marker, Relayed, SealedSegment
from agent.outbox.exchange import trust
from agent.outbox.pace import Pace
from agent.outbox.remoteconfig import HOSTS, RemoteConfigClient
from agent.outbox.sink import Sink, parse_sink
from agent.outbox.spool import Spool, open_free
from agent.outbox.uploader import BACKOFFS, Uploader
from agent.replay.recorder import Item
from agent.runtime.control import serving
from agent.runtime.cost import Meter
from agent.runtime.heap import keep_heap
from agent.runtime.least import Least
from agent.runtime.ring import Ring, Triggers
from agent.runtime.signals import ending, patient, steered_by, unsteered
from agent.runtime.stage import Stage
from agent.runtime.status import DeviceStatus
from agent.runtime.supervisor import Supervisor
from agent.settings import Capture, Replay, Settings
from agent.store.traces import Traces
from bridge import decoder, scrcpy
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.registry import Registry
from bridge.smartsocket import AdbServer
from bridge.types import LogEntry, Stamp
from bridge.video import VideoSettings

LIST_SECONDS = 30.0
CONNECT_SECONDS = 10.0
SMOOTH_RATE = 10
# A phone takes a dozen, and many systems let a program have 256 or 1,024.
MOST_FILES = 4096
KEY_HINT = "Set ANDROID_REPLAY_UPLOAD__API_KEY or upload.api_key_file, or give --plugin-config."


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to record and where to send it. `devices` are specs; none and not `every` = the only usable device.

    `app` is a package, None for the app in front. `sinks` are as on the command line. Who does not record `alone` on a
    host, with settings that others have as well, goes without figures when somebody else gives them there.
    """

    devices: tuple[str, ...] = ()
    every: bool = False
    app: str | None = None
    sinks: tuple[str, ...] = ("dir:replays",)
    relay: bool = False
    alone: bool = True


class _Keeping:
    """What is kept of what the stages seal: all of it, or what a ring and the least length of a session leave.

    `asked` tells that length, in seconds, as the remote config has it; None where there is no such config.
    """

    def __init__(
        self, replay: Replay, spool: Spool, sinks: tuple[str, ...], asked: Callable[[], float] | None = None
    ) -> None:
        self._replay = replay
        self._asked = asked
        self._triggers = Triggers.parse(replay.keep_on)
        self._spool = spool
        self._sinks = sinks
        self._rings: list[Ring] = []
        self._least: list[Least] = []
        self._short: dict[str, Counter[str]] = {}

    def ways(
        self, status: DeviceStatus
    ) -> tuple[Callable[[SealedSegment], None], Callable[[Draft], object], Callable[[Item], None]]:
        """A device's way for sealed segments and for open ones, and who is told what is recorded."""
        keep: Callable[[SealedSegment], None] = partial(self._spool.keep, sinks=self._sinks)
        append: Callable[[Draft], object] = partial(self._spool.append, sinks=self._sinks)
        if self._replay.min_seconds or self._asked is not None:

            def short() -> None:
                # What the server asks for may be another length by the end.
                reason = f"session: shorter than {self._least_seconds():g} s"
                self._short.setdefault(status.serial, Counter())[reason] += 1

            least = Least(self._least_seconds, keep, append, short)
            self._least.append(least)
            keep, append = least.keep, least.append
        if not self._replay.ring_seconds:
            return keep, append, _unheard
        ring = Ring(self._replay.ring_seconds, self._triggers, keep)
        self._rings.append(ring)
        # What may never be kept is not to reach the disk.
        return ring.take, _unheard, ring.hear

    def trigger(self, at: Stamp) -> None:
        for ring in self._rings:
            ring.trigger(at)

    def finish(self) -> None:
        for least in self._least:
            least.finish()

    def _least_seconds(self) -> float:
        return max(self._replay.min_seconds, self._asked() if self._asked is not None else 0.0)

    def told(self, status: DeviceStatus) -> DeviceStatus:
        """With the sessions that were too short among its losses, of which its stage knows nothing."""
        short = self._short.get(status.serial)
        if not short:
            return status
        return replace(status, losses={**status.losses, **short})

    def facts(self) -> dict[str, Any]:
        return {"ring": {"triggered": sum(ring.triggered for ring in self._rings)}} if self._rings else {}


def _unheard(item: object) -> None:
    """Told to nobody."""


@dataclass(slots=True)
class Rig:
    """A recorder that is set up. `statuses` by serial; `serials` is empty when every device is recorded."""

    settings: Settings
    serials: tuple[str, ...]
    supervisor: Supervisor
    gate: Gate
    spool: Spool
    uploader: Uploader
    clock: HostClock
    pace: Pace
    _keeping: _Keeping
    relaying: Any = None
    _sinks: tuple[str, ...] = ()
    drained: bool = False
    _began: tuple[float, float] = field(default_factory=lambda: (time.monotonic(), time.process_time()))

    @property
    def statuses(self) -> dict[str, DeviceStatus]:
        return self.supervisor.statuses

    def mark(self, marker: Marker, serials: Iterable[str] | None = None) -> int:
        """Put a marker into the recordings of these devices, or of all; into how many. Any thread."""
        return sum(self.supervisor.post(serial, marker) for serial in (self.statuses if serials is None else serials))

    def keep(self) -> None:
        """The signal on which a ring keeps what is around this moment, on all devices. Any thread."""
        self._keeping.trigger(self.clock.now())

    async def run(self, stop: asyncio.Event) -> None:
        """Record until `stop`; then every open segment is sealed. Raises AgentError when nothing can be stored."""

        def facts() -> Mapping[str, Any]:
            return {"devices": [self._keeping.told(status).facts() for status in self.statuses.values()]}

        def mark(name: str, note: str) -> int:
            return self.mark(Marker(self.clock.now(), name, note, "control"))

        failed: BaseException | None = None
        try:
            async with serving(self.spool.folder, self.gate, facts, mark):
                await self.supervisor.run(stop)
            self._keeping.finish()
        except* AgentError as group:
            failed = group
            while isinstance(failed, BaseExceptionGroup):
                failed = failed.exceptions[0]
        # Not within the block: Python before 3.11.4 makes a group of what is raised there (gh-103590).
        if failed is not None:
            raise failed

    def flush(self) -> bool:
        """Upload what is left, for at most `upload.flush_seconds`; whether all of it went."""
        self.drained = self.uploader.drain(self.settings.upload.flush_seconds)
        return self.drained

    def summary(self) -> dict[str, Any]:
        """What was recorded, sent, kept back and spent."""
        statuses = list(self.statuses.values())
        began, cpu = self._began
        made: dict[str, Any] = {
            "devices": [self._keeping.told(status).facts() for status in statuses],
            "uploads": self.uploader.stats(),
            "drained": self.drained,
            "unstored": self.spool.lost(),
            "expired": len(self.spool.expired),
            # What recording cost this host.
            "cost": {
                "seconds": time.monotonic() - began,
                "cpu_seconds": time.process_time() - cpu,
                "bytes_captured": sum(status.cost.captured for status in statuses),
                "bytes_written": sum(status.cost.written for status in statuses),
                "bytes_sent": self.pace.sent,
                "frames_taken": sum(status.cost.taken for status in statuses),
                "frames_blocked": sum(status.cost.blocked for status in statuses),
                "frames_lost": sum(status.cost.lost for status in statuses),
            },
        }
        made |= self._keeping.facts()
        if self.relaying is not None:
            made["relay"] = {**self.relaying.counts, "waiting": self.relaying.queue.batches}
            if self.relaying.fault:
                made["relay"]["fault"] = self.relaying.fault
        return made

    @property
    def unheard(self) -> str:
        """That the relay ended before its time, "" when it did not."""
        fault = self.relaying.fault if self.relaying is not None else ""
        return f"The relay ended by a fault of its own: {fault}. What came later was not heard." if fault else ""

    def tell(self, summary: Mapping[str, Any]) -> None:
        """Say the summary, and what became of what could not be sent."""
        from agent.commands.relay import summary as relay_summary

        spool = self.settings.spool
        if self.relaying is not None:
            say(relay_summary(self.relaying))
            if unheard := self.unheard:
                say(unheard)
        if not self.statuses:
            say("No device came, nothing was recorded. `android-replay devices` tells what adb sees.")
        for status in self.statuses.values():
            _tell_device(self._keeping.told(status))
        if "ring" in summary:
            times, seconds = summary["ring"]["triggered"], self.settings.replay.ring_seconds
            kept = f"what is within {seconds:g} s of that was kept" if times else "nothing was kept"
            say(f"The ring was triggered {times} times: {kept}.")
        cost = summary["cost"]
        say(
            f"It took {cost['cpu_seconds']:.1f} s of CPU in {cost['seconds']:.0f} s; {cost['bytes_captured']:,} bytes "
            f"came from phones, {cost['bytes_written']:,} went to the spool, {cost['bytes_sent']:,} were sent; "
            f"{cost['frames_lost']} pictures could not be had."
        )
        if not self.drained:
            say(f"Not everything was uploaded; it waits in {spool} for the next run or `android-replay upload`.")
        others = self.spool.pending() - sum(map(self.spool.pending, self._sinks))
        if others:
            say(f"{others} deliveries of earlier runs go elsewhere: `android-replay upload` makes them.")
        if summary["expired"]:
            hours = self.settings.upload.keep_hours
            say(f"{summary['expired']} deliveries of earlier runs waited for more than {hours:g} hours: deleted.")
        refused = len(self.spool.rejections())
        if refused:
            say(f"{refused} deliveries were refused and are kept: `android-replay upload` says why and tries again.")


@contextmanager
def rigged(
    settings: Settings, wanted: Wanted, listen: Callable[[str, LogEntry], object] = lambda serial, entry: None
) -> Iterator[Rig]:
    """A recorder, ready to run; taken down at the end of the block. `listen` hears the log of each serial, of all apps.

    Raises NoDevice, ConfigError, BridgeError and StorageError before anything is recorded.
    """
    from agent.commands.relay import lead, opened

    unsteered()
    keep_heap()
    allow_files()
    clock = HostClock()
    plugin, api_key = settings.plugin, settings.upload.api_key.get_secret_value()
    if plugin.remote_config and not api_key:
        raise ConfigError("The remote config is that of a project's API key, and none is set.", KEY_HINT)
    with ExitStack() as stack:
        gate = Gate(
            sample_rate=plugin.sample_rate,
            variant=plugin.sampling,
            opt_out=plugin.opt_out,
            auto_start=plugin.auto_start,
            remote=plugin.remote_config,
            on_session=lambda: remote.refresh() if remote is not None else None,
        )
        # What the remote config says of the rate counts, also in what is announced.
        pace = Pace(settings.upload.bytes_per_second)
        targets = [parse_sink(spec, settings.upload, lambda: gate.sample_rate, pace) for spec in wanted.sinks]
        for target in targets:
            stack.callback(target.close)
        server = AdbServer(settings.adb.host, settings.adb.port)
        video = video_settings(settings.capture)
        if video is not None and video.scrcpy_server is not None and not decoder.available():
            say("capture.scrcpy_server needs PyAV: install android-replay-agent[video]. Single pictures are taken.")
        notebook = traces(settings, stack)
        registry = Registry(server, clock, start=True, video=video, display=settings.capture.display, notebook=notebook)
        stack.callback(registry.close)
        serials = () if wanted.every else choose(registry, wanted.devices)
        check_display(registry, serials, settings.capture.display)
        spool = _spool(settings, targets)
        stack.callback(spool.close)
        names = tuple(target.name for target in targets)
        remote: RemoteConfigClient | None = None
        if plugin.remote_config:
            url = plugin.remote_url or HOSTS[plugin.server_zone]
            remote = RemoteConfigClient(
                url, api_key, plugin.remote_form, settings.spool, gate.configure, tls=trust(settings.upload.ca_file)
            )
            stack.callback(remote.close)
            remote.start()
        meter = Meter(lambda: pace.sent)
        keeping = _Keeping(settings.replay, spool, names, (lambda: gate.min_seconds) if plugin.remote_config else None)

        def make_stage(status: DeviceStatus) -> Stage:
            keep, append, hear = keeping.ways(status)
            return Stage(
                wanted.app,
                settings,
                keep,
                status,
                clock.now,
                wanted.relay,
                gate,
                append,
                spool.take_losses,
                meter.share(),
                hear,
                lambda entry: listen(status.serial, entry),
            )

        supervisor = Supervisor(registry, clock, settings, serials, make_stage)

        def heard(serial: str, events: Sequence[Mapping[str, object]]) -> None:
            came = clock.now()
            for event in events:
                supervisor.post(serial, Relayed(came, event))

        relaying = opened(settings, heard, stack, lambda session: not gate.refusal(session)) if wanted.relay else None
        if relaying is not None:
            lead(settings, registry, serials, relaying, stack, notebook)
        uploader = Uploader(spool, targets, BACKOFFS[settings.upload.conformance], ended=gate.end)
        stack.callback(uploader.stop)
        uploader.start()
        if settings.metrics.port is not None:
            from agent.metrics import PATH, Figures, served

            def figured() -> dict[str, DeviceStatus]:
                return {serial: keeping.told(status) for serial, status in list(supervisor.statuses.items())}

            figures = Figures(figured, uploader.stats, spool, lambda: pace.sent)
            try:
                door = stack.enter_context(served(figures, settings.metrics))
            except AddressTaken as error:
                if wanted.alone:
                    raise
                say(f"{error.message} This recorder gives no figures.")
            else:
                say(f"Figures for Prometheus: {door.url}{PATH}")
        yield Rig(
            settings,
            serials,
            supervisor,
            gate,
            spool,
            uploader,
            clock,
            pace,
            keeping,
            relaying,
            names,
        )


async def until_stopped(rig: Rig, duration: float | None, stop: asyncio.Event | None = None) -> None:
    """Record until a signal, the duration's end, or `stop`. The first signal stops in order, a second at once.

    A hang-up is never the second: a terminal that closes tells it more than once.
    SIGUSR1 starts capture and SIGUSR2 stops it, where a system has them; where a ring keeps on a signal, SIGUSR1 is it.
    """
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()

    begun = False

    def asked() -> None:
        nonlocal begun
        if begun:
            for number in numbers:
                loop.remove_signal_handler(number)
            # What is torn down now fails in its own ways, which are of no interest.
            loop.set_exception_handler(lambda loop, told: None)
            raise KeyboardInterrupt
        begun = True
        stop.set()

    told, numbers = patient(asked), ending()
    for number in numbers:
        loop.add_signal_handler(number, told, number)
    replay = rig.settings.replay
    first = rig.keep if replay.ring_seconds and "signal" in replay.keep_on else rig.gate.start
    if duration is not None:
        loop.call_later(duration, stop.set)
    with steered_by(first, rig.gate.stop):
        await rig.run(stop)


def traces(settings: Settings, stack: ExitStack) -> Traces:
    """What is changed on devices, noted until the stack ends and after. Raises StorageError."""
    try:
        notebook = Traces(settings.spool / "devices")
    except StorageDenied as error:
        raise StorageDenied(error.message, "Set ANDROID_REPLAY_SPOOL to a folder that you can write.") from error
    stack.callback(notebook.close)
    return notebook


def allow_files() -> None:
    """Let this process, and what it starts, open MOST_FILES files and connections, if its hard limit allows that."""
    try:
        import resource
    except ImportError:
        # Windows has no such limit.
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        # macOS refuses more than its kernel has, whatever the hard limit says.
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def video_settings(capture: Capture) -> VideoSettings | None:
    """The video to ask phones for; None when none is wanted. Raises ConfigError for a scrcpy server that is none."""

    if not capture.video or capture.quality == "text":
        return None
    jar = capture.scrcpy_server
    if jar is not None:
        version = scrcpy.version_of(jar, capture.scrcpy_version)
        if not jar.is_file():
            raise ConfigError(f"There is no scrcpy server {jar}.", "Check capture.scrcpy_server.")
        if not version:
            raise ConfigError(f"Which version {jar.name} is, its name does not tell.", "Set capture.scrcpy_version.")
        if not scrcpy.supported(version):
            raise ConfigError(f"{jar.name} is scrcpy {version}.", "Use the server of a scrcpy 3.x or 4.x.")
    # Twice as many as are looked at: the newest is then never old.
    rate = max(SMOOTH_RATE, 2 * round(max(capture.rate, capture.touch_rate)))
    return VideoSettings(capture.width, capture.bit_rate, rate, jar, capture.scrcpy_version)


def check_choice(specs: Sequence[str] | None, every: bool) -> None:
    """Raises ConfigError when both some devices and all are asked for."""
    if specs and every:
        raise ConfigError("--all takes every device, and -s names some.", "Leave one of them away.")


def check_stored(lost: int, spool: Path) -> None:
    """Raises StorageFull when a spool's disk did not take `lost` segments."""
    if lost:
        raise StorageFull(
            f"{lost} segments are lost: the disk of {spool} took nothing more.",
            "Free some space. What was stored before is kept.",
        )


def choose(registry: Registry, specs: tuple[str, ...]) -> tuple[str, ...]:
    """The serials that the specs name; the only usable device when there are none.

    Raises NoDevice, with the next step, when none or more than one could be meant; ConfigError for a wrong spec;
    BridgeError.
    """
    named = tuple(_serial(registry, spec) for spec in specs)
    listed = registry.list(Deadline(LIST_SECONDS))
    known = {device.serial: device for device in listed}
    for serial in named:
        if serial not in known:
            seen = ", ".join(known) or "none"
            raise NoDevice(
                f"adb sees no device {serial} (it sees: {seen}).", "Check the serial with `android-replay devices`."
            )
    usable = [device.serial for device in listed if device.usable]
    asked = [serial for serial in usable if not named or serial in named]
    twins = registry.twins(asked) if len(asked) > 1 else {}
    phones = tuple(serial for serial in named or usable if serial not in twins)
    if named or len(phones) == 1:
        for serial, phone in twins.items():
            say(f"{serial} is the same phone as {phone}, which is used.")
        return phones
    if phones:
        names = ", ".join(phones)
        raise NoDevice(f"There are {len(phones)} devices: {names}.", "Choose with -s SERIAL; `attach --all` takes all.")
    if known:
        first = next(iter(known.values()))
        raise NoDevice(f"{first.serial} cannot be used: {first.state}.", first.why)
    raise NoDevice("adb sees no device.", "Connect a phone with USB debugging on, or try `android-replay emulate`.")


def check_display(registry: Registry, serials: tuple[str, ...], number: int) -> None:
    """Raises ConfigError when one of the devices tells its displays and does not have this one."""

    for serial in serials if number else ():
        numbers = [display.id for display in registry.displays(serial, Deadline(CONNECT_SECONDS))]
        if numbers and number not in numbers:
            has = ", ".join(map(str, numbers))
            raise ConfigError(
                f"{serial} has no display {number}; it has {has}.", "Choose one that `android-replay devices` lists."
            )


def _serial(registry: Registry, spec: str) -> str:

    kind, colon, rest = spec.partition(":")
    if kind == "usb" and rest:
        return rest
    if kind == "emulator" and rest.isdigit():
        return f"emulator-{rest}"
    if kind == "tcp" and rest:
        return registry.connect(rest, Deadline(CONNECT_SECONDS))
    if kind in {"usb", "emulator", "tcp"} and colon:
        raise ConfigError(
            f"{spec!r} names no device.", "Known forms: SERIAL, usb:SERIAL, emulator:PORT, tcp:HOST:PORT."
        )
    return spec


def _spool(settings: Settings, targets: Sequence[Sink]) -> Spool:
    """The spool, with a word on each sink that does not answer."""
    try:
        names = [target.name for target in targets]
        spool = open_free(settings.spool, names, keep_seconds=settings.upload.keep_hours * 3600)
    except StorageDenied as error:
        raise StorageDenied(error.message, "Set ANDROID_REPLAY_SPOOL to a folder that you can write.") from error
    for target in targets:
        try:
            target.check()
        except SinkError as error:
            say(f"{error} {error.hint} Segments wait in {settings.spool} until it answers.")
    return spool


def _tell_device(status: DeviceStatus) -> None:
    say(
        f"{status.serial}: {status.segments} segments, {status.frames} frames ({status.blocked} blocked), "
        f"{status.hierarchies} hierarchies, {status.touches} touches, {status.events} events, "
        f"{status.logs} log lines, {status.gaps} gaps, {status.bytes:,} bytes"
    )
    for name, count in status.findings.items():
        say(f"  instrumentation {name}, {count} times")
    if status.findings:
        say(f"  `android-replay doctor --app {status.package}` shows the proof and the fix of each.")
    for reason, count in status.losses.items():
        say(f"  left out: {count} x {reason}")
