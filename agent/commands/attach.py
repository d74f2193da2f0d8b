"""`android-replay attach`: record and upload attached devices until stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.commands.masking import Block, Mask, Unmask, rules

if TYPE_CHECKING:
    from agent.commands.rig import Wanted
    from agent.settings import Settings


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
    ring: Annotated[
        float | None, typer.Option(min=1, help="Keep only what is within so many seconds of a trigger.")
    ] = None,
    keep_on: Annotated[
        list[str] | None,
        typer.Option(help="A ring's trigger: crash, error, event:NAME or signal; repeatable. Left out: crash, signal."),
    ] = None,
    min_duration: Annotated[
        float | None, typer.Option(min=0, help="Leave out sessions that are shorter than so many seconds.")
    ] = None,
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

    With --ring nothing reaches the disk or a sink but what lies around a trigger: the app's crash or hang, an error in
    its log, an event, SIGUSR1 or `android-replay mark`.

    Example: android-replay attach --app com.example.shop --sink dir:replays --duration 60
    """
    from agent.commands.console import logged, put_json
    from agent.commands.rig import Wanted, check_choice, check_stored
    from agent.errors import ConfigError
    from agent.settings import load

    check_choice(device, every)
    flags = {
        "capture.quality": quality,
        "privacy.level": level,
        "replay.ring_seconds": ring,
        "replay.keep_on": tuple(keep_on) if keep_on else None,
        "replay.min_seconds": min_duration,
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
    if keep_on and not settings.replay.ring_seconds:
        raise ConfigError("--keep-on is about what a ring keeps.", "Give --ring SECONDS, too; without it all is kept.")
    wanted = Wanted(tuple(device or ()), every, app, tuple(sink or ("dir:replays",)), relay)
    with logged(settings):
        summary = record(settings, wanted, duration)
        if as_json:
            put_json(summary)
        check_stored(summary["unstored"], settings.spool)


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


def record(settings: Settings, wanted: Wanted, duration: float | None = None) -> dict[str, Any]:
    """Record until the duration ends or a signal comes, then flush. Says and returns the closing summary."""
    import asyncio

    from agent.commands.console import logged, say
    from agent.commands.progress import Progress
    from agent.commands.rig import rigged, until_stopped
    from agent.runtime.signals import finishing

    with logged(settings), rigged(settings, wanted) as rig:
        if not rig.serials:
            say("Every device that is or comes attached is recorded.")
        with Progress(rig.statuses, rig.uploader) as progress:
            asyncio.run(until_stopped(rig, duration))
            finishing()
            progress.note("uploading what is left")
            rig.flush()
        summary = rig.summary()
        rig.tell(summary)
    return summary
