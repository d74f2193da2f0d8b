"""`android-replay attach`: record and upload attached devices until stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.commands.masking import Block, Mask, Unmask, rules

if TYPE_CHECKING:
    from contextlib import ExitStack

    from agent.analytics.gate import Gate
    from agent.runtime.status import DeviceStatus
    from agent.settings import Capture, Settings
    from agent.store.traces import Traces
    from bridge.registry import Registry
    from bridge.video import VideoSettings

LIST_SECONDS = 30.0
CONNECT_SECONDS = 10.0
SMOOTH_RATE = 10
KEY_HINT = "Set ANDROID_REPLAY_UPLOAD__API_KEY or upload.api_key_file, or give --plugin-config."


def attach(
    device: Annotated[
        list[str] | None,
        typer.Option("-s", "--device", help="SERIAL, usb:SERIAL, emulator:PORT or tcp:HOST:PORT; repeatable."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every device that is or comes attached.")] = False,
    app: Annotated[str | None, typer.Option(help="The app's package; the one in front when left out.")] = None,
    sink: Annotated[
        list[str] | None,
        typer.Option(help="dir:PATH, collector:URL, amplitude:us|eu|URL; repeatable. Left out: dir:replays."),
    ] = None,
    duration: Annotated[float | None, typer.Option(min=1, help="Stop after so many seconds.")] = None,
    relay: Annotated[
        bool, typer.Option("--relay", help="Relay the app's Segment uploads, too (see `snippet relay`).")
    ] = False,
    quality: Annotated[
        str | None, typer.Option(help="text (views, no pictures), low, medium or high. Left out: medium.")
    ] = None,
    level: Annotated[str | None, typer.Option(help="Masking: light, medium or conservative.")] = None,
    block: Block = None,
    mask: Mask = None,
    unmask: Unmask = None,
    sample_rate: Annotated[
        float | None, typer.Option(help="The share of sessions to record, by Amplitude's hash. Left out: 1, all.")
    ] = None,
    display: Annotated[
        int | None, typer.Option(min=0, help="The display to record, as `devices` lists it. Left out: the default one.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Ids come from the event itself, never by inference.")
    ] = False,
    conformance: Annotated[
        str | None,
        typer.Option(help="strict: drop what Amplitude's browser SDK drops. Left out: lossless, nothing is dropped."),
    ] = None,
    remote_config: Annotated[
        str | None, typer.Option(metavar="on|URL", help="Obey the project's remote config; URL = where to ask instead.")
    ] = None,
    plugin_config: Annotated[
        Path | None, typer.Option(help="The app's plugin config (JSON): its options and defaults count.")
    ] = None,
    metrics: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, metavar="PORT", help="Tell figures to Prometheus on this port; 0 takes a free one."
        ),
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(help="text, or json: all that is said on stderr as one JSON object a line.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A settings file (TOML).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The closing summary as JSON on stdout.")] = False,
) -> None:
    """Record and upload until stopped; a device that goes away is picked up again when it returns.

    Ctrl-C stops in order: the open segments are sealed, stored and uploaded. What could not be uploaded waits in the
    spool for the next run. SIGUSR1 starts capture and SIGUSR2 stops it, as `control start` and `control stop` do.

    Example: android-replay attach --app com.example.shop --sink dir:replays --duration 60
    """
    from agent.commands.console import put_json
    from agent.errors import StorageFull
    from agent.settings import load

    flags = {
        "capture.quality": quality,
        "privacy.level": level,
        "capture.display": display,
        "privacy.rules": rules(block, mask, unmask),
        "plugin.sample_rate": sample_rate,
        "plugin.strict": strict or None,
        "upload.conformance": conformance,
        "plugin.remote_config": None if remote_config is None else True,
        "plugin.remote_url": None if remote_config in (None, "on") else remote_config,
        "metrics.port": metrics,
        "log.format": log_format,
    }
    plugin = _plugin_config(plugin_config) if plugin_config else None
    settings = load(flags, config, plugin).settings
    summary = record(settings, tuple(device or ()), every, app, sink or ["dir:replays"], duration, relay)
    if as_json:
        put_json(summary)
    if summary["unstored"]:
        raise StorageFull(
            f"{summary['unstored']} segments are lost: the disk of {settings.spool} took nothing more.",
            "Free some space. What was stored before is kept.",
        )


def _plugin_config(file: Path) -> dict[str, object]:
    import json

    from agent.analytics.plugin import PluginConfig
    from agent.commands.console import say
    from agent.errors import ConfigError

    hint = "Give the object that the app passes to createSegmentSessionReplayPlugin, as JSON."
    try:
        parsed = PluginConfig.parse(json.loads(file.read_bytes()))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.", hint) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file} is not JSON: {error}.", hint) from error
    if parsed.ignored:
        say(f"{file}: the plugin knows no option {', '.join(parsed.ignored)}; left out.")
    return parsed.settings()


def record(
    settings: Settings,
    specs: tuple[str, ...],
    every: bool,
    app: str | None,
    sinks: list[str],
    duration: float | None,
    relay: bool = False,
) -> dict[str, Any]:
    """Record until the duration ends or a signal comes, then flush. Says and returns the closing summary."""
    from agent.commands.console import logged

    with logged(settings):
        return _record(settings, specs, every, app, sinks, duration, relay)


def _record(
    settings: Settings,
    specs: tuple[str, ...],
    every: bool,
    app: str | None,
    sinks: list[str],
    duration: float | None,
    relay: bool,
) -> dict[str, Any]:
    import asyncio
    import contextlib
    import time

    from agent.analytics.gate import Gate
    from agent.commands.console import say
    from agent.commands.progress import Progress
    from agent.commands.relay import lead, opened
    from agent.commands.relay import summary as relay_summary
    from agent.errors import ConfigError, SinkError, StorageDenied
    from agent.model import Relayed
    from agent.outbox.exchange import trust
    from agent.outbox.pace import Pace
    from agent.outbox.remoteconfig import HOSTS, RemoteConfigClient
    from agent.outbox.sink import parse_sink
    from agent.outbox.spool import open_free
    from agent.outbox.uploader import BACKOFFS, Uploader
    from agent.runtime.control import serving
    from agent.runtime.cost import Meter
    from agent.runtime.heap import share_heaps
    from agent.runtime.stage import Stage
    from agent.runtime.supervisor import Supervisor
    from bridge import decoder
    from bridge.clock import HostClock
    from bridge.registry import Registry
    from bridge.smartsocket import AdbServer

    share_heaps()
    began, cpu = time.monotonic(), time.process_time()
    clock = HostClock()
    plugin, api_key = settings.plugin, settings.upload.api_key.get_secret_value()
    if plugin.remote_config and not api_key:
        raise ConfigError("The remote config is that of a project's API key, and none is set.", KEY_HINT)
    with contextlib.ExitStack() as stack:
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
        targets = [parse_sink(spec, settings.upload, lambda: gate.sample_rate, pace) for spec in sinks]
        for target in targets:
            stack.callback(target.close)
        server = AdbServer(settings.adb.host, settings.adb.port)
        video = video_settings(settings.capture)
        if video is not None and video.scrcpy_server is not None and not decoder.available():
            say("capture.scrcpy_server needs PyAV: install android-replay-agent[video]. Single pictures are taken.")
        notebook = traces(settings, stack)
        registry = Registry(server, clock, start=True, video=video, display=settings.capture.display, notebook=notebook)
        stack.callback(registry.close)
        wanted = () if every else choose(registry, specs)
        check_display(registry, wanted, settings.capture.display)
        try:
            spool = open_free(settings.spool, keep_seconds=settings.upload.keep_hours * 3600)
        except StorageDenied as error:
            raise StorageDenied(error.message, "Set ANDROID_REPLAY_SPOOL to a folder that you can write.") from error
        stack.callback(spool.close)
        for target in targets:
            try:
                target.check()
            except SinkError as error:
                say(f"{error} {error.hint} Segments wait in {settings.spool} until it answers.")
        names = tuple(target.name for target in targets)
        remote: RemoteConfigClient | None = None
        if plugin.remote_config:
            url = plugin.remote_url or HOSTS[plugin.server_zone]
            remote = RemoteConfigClient(
                url, api_key, plugin.remote_form, settings.spool, gate.configure, tls=trust(settings.upload.ca_file)
            )
            stack.callback(remote.close)
            remote.start()

        meter = Meter(lambda: pace.taken)

        def make_stage(status: DeviceStatus) -> Stage:
            return Stage(
                app,
                settings,
                lambda sealed: spool.keep(sealed, names),
                status,
                clock.now,
                relay,
                gate,
                lambda draft: spool.append(draft, names),
                spool.take_losses,
                meter.share(),
            )

        supervisor = Supervisor(registry, clock, settings, wanted, make_stage)

        def heard(serial: str, events: Sequence[Mapping[str, object]]) -> None:
            came = clock.now()
            for event in events:
                supervisor.post(serial, Relayed(came, event))

        relaying = opened(settings, heard, stack, lambda session: not gate.refusal(session)) if relay else None
        if relaying is not None:
            lead(settings, registry, wanted, relaying, stack, notebook)
        uploader = Uploader(spool, targets, BACKOFFS[settings.upload.conformance], ended=gate.end)
        stack.callback(uploader.stop)
        uploader.start()

        if settings.metrics.port is not None:
            from agent.metrics import PATH, Figures, served

            figures = Figures(lambda: supervisor.statuses, uploader.stats, spool, lambda: pace.taken)
            door = stack.enter_context(served(figures, settings.metrics))
            say(f"Figures for Prometheus: {door.url}{PATH}")

        def facts() -> dict[str, Any]:
            return {"devices": [status.facts() for status in supervisor.statuses.values()]}

        async def run() -> None:
            async with serving(spool.folder, gate, facts):
                await _until_stopped(supervisor, gate, duration)

        if not wanted:
            say("Every device that is or comes attached is recorded.")
        with Progress(supervisor.statuses, uploader) as progress:
            asyncio.run(run())
            progress.note("uploading what is left")
            drained = uploader.drain(settings.upload.flush_seconds)
        refused, others = len(spool.rejections()), spool.pending() - sum(map(spool.pending, names))
        unstored, expired = spool.unstored(), len(spool.expired)
    statuses = list(supervisor.statuses.values())
    summary: dict[str, Any] = {
        "devices": [status.facts() for status in statuses],
        "uploads": uploader.stats(),
        "drained": drained,
        "unstored": unstored,
        "expired": expired,
        # What recording cost this host.
        "cost": {
            "seconds": time.monotonic() - began,
            "cpu_seconds": time.process_time() - cpu,
            "bytes_captured": sum(status.cost.captured for status in statuses),
            "bytes_written": sum(status.cost.written for status in statuses),
            "bytes_sent": pace.taken,
            "frames_taken": sum(status.cost.taken for status in statuses),
            "frames_blocked": sum(status.cost.blocked for status in statuses),
            "frames_lost": sum(status.cost.lost for status in statuses),
        },
    }
    if relaying is not None:
        summary["relay"] = {**relaying.counts, "waiting": relaying.queue.batches}
        say(relay_summary(relaying))
    if not statuses:
        say("No device came, nothing was recorded. `android-replay devices` tells what adb sees.")
    for status in statuses:
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
    cost = summary["cost"]
    say(
        f"It took {cost['cpu_seconds']:.1f} s of CPU in {cost['seconds']:.0f} s; {cost['bytes_captured']:,} bytes came "
        f"from phones, {cost['bytes_written']:,} went to the spool, {cost['bytes_sent']:,} were sent; "
        f"{cost['frames_lost']} pictures could not be had."
    )
    if not drained:
        say(f"Not everything was uploaded; it waits in {settings.spool} for the next run or `android-replay upload`.")
    if others:
        say(f"{others} deliveries of earlier runs go elsewhere: `android-replay upload` makes them.")
    if expired:
        say(f"{expired} deliveries of earlier runs waited for more than {settings.upload.keep_hours:g} hours: deleted.")
    if refused:
        say(f"{refused} deliveries were refused and are kept: `android-replay upload` says why and tries them again.")
    return summary


def traces(settings: Settings, stack: ExitStack) -> Traces:
    """What is changed on devices, noted until the stack ends and after. Raises StorageError."""
    from agent.errors import StorageDenied
    from agent.store.traces import Traces

    try:
        notebook = Traces(settings.spool / "devices")
    except StorageDenied as error:
        raise StorageDenied(error.message, "Set ANDROID_REPLAY_SPOOL to a folder that you can write.") from error
    stack.callback(notebook.close)
    return notebook


def video_settings(capture: Capture) -> VideoSettings | None:
    """The video to ask phones for; None when none is wanted. Raises ConfigError for a scrcpy server that is none."""
    from agent.errors import ConfigError
    from bridge import scrcpy
    from bridge.video import VideoSettings

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


def choose(registry: Registry, specs: tuple[str, ...]) -> tuple[str, ...]:
    """The serials that the specs name; the only usable device when there are none.

    Raises NoDevice, with the next step, when none or more than one could be meant; ConfigError for a wrong spec;
    BridgeError.
    """
    from agent.errors import NoDevice
    from bridge.deadline import Deadline

    named = tuple(_serial(registry, spec) for spec in specs)
    listed = registry.list(Deadline(LIST_SECONDS))
    known = {device.serial: device for device in listed}
    for serial in named:
        if serial not in known:
            seen = ", ".join(known) or "none"
            raise NoDevice(
                f"adb sees no device {serial} (it sees: {seen}).", "Check the serial with `android-replay devices`."
            )
    if named:
        return named
    usable = [device for device in listed if device.usable]
    if len(usable) == 1:
        return (usable[0].serial,)
    if usable:
        names = ", ".join(device.serial for device in usable)
        raise NoDevice(f"There are {len(usable)} devices: {names}.", "Choose with -s SERIAL, or take all with --all.")
    if known:
        first = next(iter(known.values()))
        raise NoDevice(f"{first.serial} cannot be used: {first.state}.", first.why)
    raise NoDevice("adb sees no device.", "Connect a phone with USB debugging on, or try `android-replay emulate`.")


def check_display(registry: Registry, serials: tuple[str, ...], number: int) -> None:
    """Raises ConfigError when one of the devices tells its displays and does not have this one."""
    from agent.errors import ConfigError
    from bridge.deadline import Deadline

    for serial in serials if number else ():
        numbers = [display.id for display in registry.displays(serial, Deadline(CONNECT_SECONDS))]
        if numbers and number not in numbers:
            has = ", ".join(map(str, numbers))
            raise ConfigError(
                f"{serial} has no display {number}; it has {has}.", "Choose one that `android-replay devices` lists."
            )


def _serial(registry: Registry, spec: str) -> str:
    from agent.errors import ConfigError
    from bridge.deadline import Deadline

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


async def _until_stopped(supervisor: Any, gate: Gate, duration: float | None) -> None:
    """Run the supervisor until a signal or the duration's end. The first signal stops in order, a second at once.

    SIGUSR1 starts capture and SIGUSR2 stops it, where a system has them.
    """
    import asyncio
    import signal

    from agent.errors import AgentError

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked() -> None:
        if stop.is_set():
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked)
    for name, tell in (("SIGUSR1", gate.start), ("SIGUSR2", gate.stop)):
        if hasattr(signal, name):
            loop.add_signal_handler(getattr(signal, name), tell)
    if duration is not None:
        loop.call_later(duration, stop.set)
    try:
        await supervisor.run(stop)
    except* AgentError as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
