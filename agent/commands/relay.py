"""`android-replay relay`: a Segment relay reached by `adb reverse`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agent.relay.server import RelayServer
    from agent.settings import Settings
    from agent.store.traces import Traces

Tell = Callable[[str, Sequence[Mapping[str, object]]], None]
HOST_DOOR = "host"
TELL_SECONDS = 10.0


def relay(
    device: Annotated[
        list[str] | None,
        typer.Option("-s", "--device", help="SERIAL, usb:SERIAL, emulator:PORT or tcp:HOST:PORT; repeatable."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every device that is or comes attached.")] = False,
    listen: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Listen on this port of the host instead, without adb; 0 takes a free one."
        ),
    ] = None,
    port: Annotated[int | None, typer.Option(help="The port on the phone that the app is told (8378).")] = None,
    upstream: Annotated[
        str | None, typer.Option(metavar="URL", help="Send to this address, not to Segment's hosts.")
    ] = None,
    enrichment: Annotated[
        str | None, typer.Option(help="none, or legacy: track and screen events get the Session Replay ID.")
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Where batches wait that Segment has not taken.")] = None,
    duration: Annotated[float | None, typer.Option(min=1, help="Stop after so many seconds.")] = None,
    config: Annotated[Path | None, typer.Option(help="A settings file (TOML).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line an event, with its ids.")] = False,
) -> None:
    """Pass the app's Segment settings and batches on, and lose none; the app is told by `android-replay snippet relay`.

    Segment's answer goes back to the app as it is. When Segment cannot be reached a batch is kept on disk, answered 200
    and sent later, in order, also by a later run. Ctrl-C ends it and takes the phones' listeners away; a second one
    ends it at once, and what was answered is safe in any case.

    Example: android-replay relay --all --enrichment legacy
    """
    import threading

    from agent.commands.console import logged, put_json, say
    from agent.commands.rig import check_choice, choose, traces
    from agent.errors import ConfigError
    from agent.runtime.signals import ended_by
    from agent.settings import load
    from bridge.clock import HostClock
    from bridge.registry import Registry
    from bridge.smartsocket import AdbServer

    check_choice(device, every)
    if listen is not None and (device or every):
        raise ConfigError("With --listen no device is asked for.", "Leave -s and --all away, or --listen.")
    if listen is not None and port is not None:
        raise ConfigError("With --listen there is no port on a phone.", "Leave --port away, or --listen.")
    flags = {
        "relay.port": port,
        "relay.upstream": upstream,
        "relay.enrichment": enrichment,
        "relay.folder": folder,
    }
    settings = load(flags, config).settings
    clock = HostClock()
    printing = threading.Lock()

    def tell(door: str, events: Sequence[Mapping[str, object]]) -> None:
        with printing:
            for event in events if as_json else ():
                put_json(_fact(door, event, clock))

    asked: list[None] = []

    def end() -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(None)

    with logged(settings):
        with ended_by(end), ExitStack() as stack:
            if listen is None:
                registry = Registry(AdbServer(settings.adb.host, settings.adb.port), clock, start=True)
                stack.callback(registry.close)
                wanted = () if every else choose(registry, tuple(device or ()))
                server = opened(settings, tell, stack)
                lead(settings, registry, wanted, server, stack, traces(settings, stack))
                say(f"Waiting for the app on localhost:{settings.relay.port} of the phone (Ctrl-C ends it).")
            else:
                server = opened(settings, tell, stack)
                taken = server.open(HOST_DOOR, port=listen, option="--listen")
                say(
                    f"Waiting for the app on 127.0.0.1:{taken}; an emulator calls it 10.0.2.2:{taken} (Ctrl-C ends it)."
                )
            since = clock.now().mono_ns
            told, told_ns = summary(server), since
            # A handler may not touch the event that its own thread waits on.
            while not asked and not server.ended.wait(0.2):
                now = clock.now().mono_ns
                if duration is not None and now >= since + duration * 1e9:
                    break
                if now >= told_ns + TELL_SECONDS * 1e9 and summary(server) != told:
                    told, told_ns = summary(server), now
                    say(told)
        say(summary(server))
        server.check()


def opened(
    settings: Settings,
    tell: Tell,
    stack: ExitStack,
    recorded: Callable[[int], bool] = lambda session_id: True,
) -> RelayServer:
    """The relay, running until the stack ends; `recorded` says which sessions have a replay.

    Raises AgentError.
    """
    from functools import partial

    from agent.analytics.enrichment import enrich
    from agent.commands.console import say
    from agent.relay.server import RelayServer

    debug_key = settings.upload.api_key.get_secret_value() if settings.plugin.debug else None
    server = RelayServer(
        settings.relay.folder,
        tell,
        upstream=settings.relay.upstream,
        enrich=partial(enrich, recorded=recorded, debug_key=debug_key)
        if settings.relay.enrichment == "legacy"
        else None,
    )
    stack.enter_context(server)
    if server.queue.batches:
        say(f"{server.queue.batches} batches of an earlier run are being sent.")
    if server.queue.damaged:
        say(f"{server.queue.damaged} batches on disk are damaged; they are kept aside.")
    return server


def lead(
    settings: Settings,
    registry: Any,
    wanted: tuple[str, ...],
    server: RelayServer,
    stack: ExitStack,
    notebook: Traces,
) -> None:
    """Lead the phones' port to the relay until the stack ends. Raises ConfigError when adb's server is elsewhere."""
    from agent.commands.console import say
    from agent.errors import ConfigError
    from agent.outbox.exchange import is_loopback
    from agent.runtime.tunnel import Tunnels
    from bridge.smartsocket import AdbServer

    if not is_loopback(settings.adb.host):
        raise ConfigError(
            f"`adb reverse` would end at {settings.adb.host}, where the adb server is, not at this host.",
            "Run the relay on that host.",
        )
    tunnels = Tunnels(
        registry,
        AdbServer(settings.adb.host, settings.adb.port),
        wanted,
        settings.relay.port,
        server.open,
        say,
        notebook,
    )
    stack.callback(tunnels.stop)
    tunnels.start()


def summary(server: RelayServer) -> str:
    """The closing line: what came and what became of it."""
    counts = server.counts
    said = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
    left = server.queue.batches
    waits = f"; {left} batches ({server.queue.events} events) wait on disk, for a later run if need be" if left else ""
    return f"Relay: {said or 'nothing came'}{waits}."


def _fact(door: str, event: Mapping[str, object], clock: Any) -> dict[str, object]:
    """The fields of `events --json`, with the device that the event came from."""
    from agent.analytics import relayed
    from agent.commands.events import fact
    from agent.model import ParseFailure, Relayed

    found = relayed.read(Relayed(clock.now(), event), None, None)
    if isinstance(found, ParseFailure):
        return {"serial": door, "problem": found.reason}
    return {**fact(found, str(found.event.get("timestamp") or "")), "serial": door}
