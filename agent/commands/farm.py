"""`android-replay farm`: jobs for devices, of this host or of many."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agent.farm.delivery import SinkCourier
    from agent.farm.job import Job, JobReport
    from agent.farm.rack import Change, Devices
    from agent.farm.status import Farm, FarmFacts
    from agent.settings import Settings
    from bridge.types import Condition

CONDITION_SECONDS = 5.0
# How long the devices of this host may take to be found, their tags included.
FOUND_SECONDS = 15.0
LOOK_SECONDS = 0.25
AWAY_SECONDS = 2.0
SHORT = 8
# So many places of a job's recordings are shown; all are in its report.
PLACES = 2
BROKER_HINT = "Set ANDROID_REPLAY_FARM__BROKER or farm.broker_file to Redis' URL, or give --broker."

farm = typer.Typer(
    help="""Run commands on devices: of this host (`submit` alone), or of many hosts (`host` on each, and a broker).

    Example: android-replay farm submit --shard 4 -- pytest tests/ui""",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Config = Annotated[Path | None, typer.Option(help="A settings file (TOML).")]
Broker = Annotated[
    str | None, typer.Option(metavar="URL", help="Redis, as redis://HOST:PORT/0. Left out: the setting farm.broker.")
]


@farm.command("host")
def host(
    tag: Annotated[
        list[str] | None, typer.Option(help="What jobs may ask for: a-z, 0-9, dot and dash; repeatable.")
    ] = None,
    broker: Broker = None,
    device: Annotated[list[str] | None, typer.Option("-s", "--device", help="A device; repeatable.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every device that is or comes attached.")] = False,
    name: Annotated[str | None, typer.Option(help="What this host is called. Left out: its own name.")] = None,
    config: Config = None,
) -> None:
    """Offer this host's devices to a farm, until stopped.

    Each device takes one job at a time, as a process `android-replay run` of its own. A device that goes away ends its
    job with a partial report, one that comes is used at once, one that is unwell rests. Ctrl-C ends running jobs in
    order and reports them; once more ends at once.

    A job is a command that runs as you: whoever may use the broker may run commands here.

    Example: android-replay farm host --all --tag pixel --broker redis://127.0.0.1:6379/0
    """
    from agent.commands.console import logged

    settings = _settings(broker, config, {"farm.name": name})
    with logged(settings):
        serve(
            settings,
            tuple(device or ()),
            every,
            tuple(tag or ()),
            _run_words(config),
            _words("farm", "consume", *_config(config)),
        )


@farm.command("submit", context_settings={"allow_interspersed_args": False})
def submit(
    command: Annotated[list[str], typer.Argument(metavar="-- CMD...", help="What to run; ANDROID_SERIAL is set.")],
    tag: Annotated[list[str] | None, typer.Option(help="The device must have this tag; up to 3.")] = None,
    device: Annotated[str | None, typer.Option("-s", "--device", metavar="SERIAL", help="A certain device.")] = None,
    shard: Annotated[
        int, typer.Option(min=1, max=1000, help="So many jobs: ANDROID_REPLAY_SHARD_INDEX of ..._COUNT is told.")
    ] = 1,
    wait: Annotated[bool, typer.Option("--wait", help="Until all have ended. Without a broker always.")] = False,
    queue: Annotated[bool, typer.Option("--queue", help="Let it wait when no device fits now.")] = False,
    sink: Annotated[
        list[str] | None,
        typer.Option(help="dir:PATH, collector:URL, amplitude:us|eu|URL: where recordings go besides; repeatable."),
    ] = None,
    app: Annotated[str | None, typer.Option(help="The app's package; the one in front when left out.")] = None,
    keep: Annotated[str, typer.Option(help="Which recordings: all, failed or first-retry.")] = "all",
    cwd: Annotated[
        str | None,
        typer.Option(help="The folder on the host to run in. Left out: the job's own; without a broker this."),
    ] = None,
    timeout: Annotated[float | None, typer.Option(min=1, help="End a job after so many seconds.")] = None,
    broker: Broker = None,
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a job: its report, or its id.")] = False,
) -> None:
    """Run a command on devices of the farm, recorded; without a broker on those of this host.

    Exit codes: 0 all passed (or were submitted); 3 no device fits; 20 the broker; 21 a job did not pass. Ctrl-C stops
    the jobs in order, once more leaves at once.

    Example: android-replay farm submit --tag pixel --shard 4 --wait -- /srv/tests/run.sh
    """
    from agent.commands.console import logged
    from agent.farm.job import shards

    settings = _settings(broker, config, {})
    remote = bool(settings.farm.broker.get_secret_value())
    jobs = shards(
        {
            "command": command,
            "tags": tag or [],
            "serial": device,
            "sinks": sink or [],
            "app": app,
            "keep": keep,
            "cwd": cwd if remote else str(Path(cwd or ".").absolute()),
            "seconds": timeout,
        },
        shard,
    )
    with logged(settings):
        if remote:
            _submit(_broker_farm(settings), jobs, wait, queue, as_json, 0.0)
        else:
            with _host_farm(settings, config, device) as local:
                _submit(local, jobs, True, queue, as_json, FOUND_SECONDS, local.kill)


@farm.command("status")
def status(
    broker: Broker = None,
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show the farm's hosts, their devices with state and health, and the latest jobs.

    Example: android-replay farm status --json
    """
    from contextlib import closing

    from agent.commands.console import put_json

    with closing(_broker_farm(_settings(broker, config, {}))) as remote:
        facts = remote.status()
    if as_json:
        put_json(facts.facts())
    else:
        _show(facts)


@farm.command("stop")
def stop(
    job: Annotated[str | None, typer.Argument(help="The job's id, or how it begins.")] = None,
    host: Annotated[str | None, typer.Option(help="Stop this host instead, its jobs in order.")] = None,
    broker: Broker = None,
    config: Config = None,
) -> None:
    """Stop a job, waiting or running, or a host.

    Example: android-replay farm stop 3f9a1c20
    """
    from contextlib import closing

    from agent.commands.console import say
    from agent.errors import ConfigError

    if bool(job) == bool(host):
        raise ConfigError("What is meant was not said.", "Give a job's id, or --host NAME; `farm status` lists both.")
    with closing(_broker_farm(_settings(broker, config, {}))) as remote:
        if host:
            if not remote.stop_host(host):
                raise ConfigError(f"The farm has no host {host} now.", "See `android-replay farm status`.")
            say(f"{host} is told to stop.")
            return
        assert job
        found = [each for each in remote.status().jobs if each.id.startswith(job)]
        if len(found) != 1:
            what = "no job" if not found else f"{len(found)} jobs"
            raise ConfigError(f"The farm has {what} {job}.", "See `android-replay farm status`.")
        stopped = remote.stop(found[0].id)
        say(f"Job {found[0].id} is told to stop." if stopped else f"Job {found[0].id} has ended already.")


@farm.command("consume", hidden=True)
def consume(config: Config = None) -> None:
    """The consumer of one device; `farm host` starts it and tells it the rest on standard input."""
    from io import FileIO

    from agent.commands.console import logged
    from agent.farm.celery import consume as run
    from agent.settings import load

    settings = load({}, config).settings
    with logged(settings):
        # Unbuffered: a thread waits for the host's words to the very end, and must hold no lock of the interpreter's.
        # The host tells the folder, too: its variables for the farm are not the consumer's.
        run(FileIO(0, closefd=False), sys.stdout.buffer, lambda folder: _courier(folder, settings))


def serve(
    settings: Settings,
    specs: tuple[str, ...],
    every: bool,
    tags: tuple[str, ...],
    prefix: Sequence[str],
    command: Sequence[str],
) -> None:
    """A host of the farm until a signal; `prefix` begins the words that run a job, `command` starts a consumer. Raises
    AgentError, BridgeError."""
    import os
    from contextlib import ExitStack

    from agent.commands.console import say
    from agent.commands.rig import check_choice, choose
    from agent.errors import ConfigError
    from agent.farm.job import MOST_TAGS, read_job
    from agent.runtime.signals import ended_by
    from agent.store.disk import FolderLock, FolderTaken, make_folder

    check_choice(specs, every)
    url = _url(settings)
    if len(tags) > MOST_TAGS - 2:
        raise ConfigError(f"{len(tags)} tags are too many.", f"{MOST_TAGS - 2} are the most.")
    for tag in tags:
        # By the same rule as a job's, or no job could ask for it.
        read_job({"command": ["true"], "tags": [tag]})
    engine = _engine()
    engine.check_url(url)
    with ExitStack() as stack:
        devices = AdbDevices(settings)
        stack.callback(devices.close)
        wanted = () if every else choose(devices.registry, specs)
        devices.wanted = frozenset(wanted)
        folder = settings.farm.folder.absolute()
        make_folder(folder)
        try:
            stack.callback(FolderLock(folder / "host.lock").close)
        except FolderTaken as error:
            raise FolderTaken(
                f"A farm host of this machine works in {folder} already: {error}", "Stop it, or set farm.folder."
            ) from error
        name = _name(settings)
        host = engine.host(url, name, devices, tags, wanted, settings.farm, command, prefix, _tell)
        asked = False

        def end() -> None:
            nonlocal asked
            if asked:
                host.kill()
                os._exit(130)
            asked = True
            _tell("Stopping: running jobs are ended in order. Ctrl-C again ends at once.")
            host.stop()

        stack.enter_context(ended_by(end))
        stack.callback(host.close)
        host.open()
        stack.enter_context(_draining(_courier(folder, settings)))
        say(f"{name} offers {', '.join(wanted) or 'every device'} to the farm at {engine.shown(url)}. Ctrl-C ends.")
        host.run()


class AdbDevices:
    """The devices of adb's server, for the rack: those `wanted`, none = all."""

    def __init__(self, settings: Settings) -> None:
        from bridge.clock import HostClock
        from bridge.registry import Registry
        from bridge.smartsocket import AdbServer

        self.registry = Registry(AdbServer(settings.adb.host, settings.adb.port), HostClock(), start=True)
        self.wanted: frozenset[str] = frozenset()

    def watch(self) -> Iterator[Change]:
        from agent.farm.rack import Change
        from bridge.registry import Attached, Detached

        for change in self.registry.watch(self.wanted):
            if isinstance(change, Attached):
                yield Change("attached", change.serial)
            elif isinstance(change, Detached):
                yield Change("detached", change.serial)
            else:
                yield Change("unusable", change.serial, change.why)

    def tags(self, serial: str) -> Sequence[str]:
        """`android-14`, `model-pixel-7`, as far as it tells."""
        from bridge.deadline import Deadline

        deadline = Deadline(CONDITION_SECONDS)
        android, _ = self.registry.android(serial, deadline)
        model = next((each.model for each in self.registry.list(deadline) if each.serial == serial), "")
        return [_slug(f"{kind}-{value}") for kind, value in (("android", android), ("model", model)) if value]

    def condition(self, serial: str) -> Condition:
        from bridge.deadline import Deadline

        return self.registry.condition(serial, Deadline(CONDITION_SECONDS))

    def close(self) -> None:
        self.registry.close()


def _slug(text: str) -> str:
    import re

    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:40]


def _settings(broker: str | None, config: Path | None, flags: dict[str, Any]) -> Settings:
    from agent.commands.console import say
    from agent.settings import load

    if broker is not None and "@" in broker:
        say(
            "Others of this machine can read the broker's password in the list of processes: farm.broker_file hides it."
        )
    return load({**flags, "farm.broker": broker}, config).settings


def _url(settings: Settings) -> str:
    from agent.errors import ConfigError

    url = settings.farm.broker.get_secret_value()
    if not url:
        raise ConfigError("No broker is set.", BROKER_HINT)
    return url


def _engine() -> Any:
    """The adapter's module. Raises BuildError when the extra is not installed."""
    from agent.errors import BuildError

    try:
        from agent.farm import celery
    except ImportError as error:
        raise BuildError(
            f"A farm of several hosts needs {error.name or 'Celery'}, which is not installed.",
            'Install it with pip install "android-replay-agent[farm]".',
        ) from error
    return celery


def _broker_farm(settings: Settings) -> Any:
    url = _url(settings)
    return _engine().CeleryFarm(url)


def _name(settings: Settings) -> str:
    import platform

    return settings.farm.name or _slug(platform.node()) or "host"


def _words(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", "agent.cli", *words)


def _run_words(config: Path | None) -> tuple[str, ...]:
    return _words("run", *_config(config))


def _config(config: Path | None) -> tuple[str, ...]:
    return ("--config", str(config.resolve())) if config else ()


@contextmanager
def _draining(courier: SinkCourier) -> Iterator[None]:
    """Meanwhile what earlier jobs left waiting goes to its sinks."""
    import threading

    ended = threading.Event()
    thread = threading.Thread(target=courier.drain, args=(ended,), name="farm:drain")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _courier(folder: Path, settings: Settings) -> SinkCourier:
    from agent.farm.delivery import SinkCourier

    return SinkCourier(folder / "spool", settings.upload)


def _host_farm(settings: Settings, config: Path | None, device: str | None) -> Any:
    devices = AdbDevices(settings)
    devices.wanted = frozenset((device,) if device else ())
    return local_farm(settings, devices, tuple(devices.wanted), _run_words(config))


def local_farm(settings: Settings, devices: Devices, wanted: Sequence[str], prefix: Sequence[str]) -> Any:
    """This host's devices as a farm, closed at the end of a block. Raises StorageError."""
    from contextlib import closing

    from agent.farm.health import HealthRecord
    from agent.farm.ledger import Ledger
    from agent.farm.local import LocalFarm
    from agent.farm.work import Bench, now_ms

    folder = settings.farm.folder.absolute()
    ledger = Ledger(folder / "ledger")
    if settings.farm.keep_hours:
        ledger.forget(settings.farm.keep_hours * 3600, folder / "jobs")
    bench = Bench(_name(settings), folder / "jobs", tuple(prefix), now_ms, _courier(folder, settings))
    return closing(
        LocalFarm(
            devices, bench, ledger, settings.farm.leases, HealthRecord(folder / "health"),
            settings.farm, (), wanted, _tell,
        )
    )  # fmt: skip


def _tell(text: str) -> None:
    """A line for whoever still listens: a host goes on without."""
    from contextlib import suppress

    from agent.commands.console import say

    with suppress(OSError, ValueError):
        say(text)


def _submit(
    farm: Farm,
    jobs: list[Job],
    wait: bool,
    queue: bool,
    as_json: bool,
    found_seconds: float,
    leave: Callable[[], None] = lambda: None,
) -> None:
    """`leave` ends at once what runs here. Raises NoDevice, FarmError, JobsFailed, KeyboardInterrupt."""
    from agent.commands.console import put, put_json, say

    try:
        if not queue:
            _check_able(farm, jobs[0], found_seconds)
        _hand_in(farm, jobs)
        if not wait:
            for job in jobs:
                put_json({"job": job.id, "queue": job.queue}) if as_json else put(job.id)
            say(f"{len(jobs)} jobs wait for a device. `android-replay farm status` shows them.")
            return
        reports = await_reports(farm, jobs, _told)
    except KeyboardInterrupt:
        leave()
        raise
    finally:
        farm.close()
    _show_reports(reports, as_json)


def _hand_in(farm: Farm, jobs: list[Job]) -> None:
    """All of them or none, as far as the farm can be reached. Raises FarmError, KeyboardInterrupt."""
    from agent.commands.console import say
    from agent.errors import FarmError

    for n, job in enumerate(jobs):
        try:
            farm.submit(job)
        except (FarmError, KeyboardInterrupt):
            # The one that was under way may be there as well.
            stays = [handed.id for handed in jobs[: n + 1]]
            try:
                while stays:
                    farm.stop(stays[-1])
                    stays.pop()
            except FarmError:
                # Each further one would wait for its answer.
                pass
            finally:
                if stays:
                    say(f"{len(stays)} of {len(jobs)} jobs may be in the farm and could not be taken back:")
                    say("\n".join(f"  {name}" for name in stays))
            raise


def _check_able(farm: Farm, job: Job, seconds: float) -> None:
    import time

    from agent.commands.console import say
    from agent.errors import NoDevice

    until = time.monotonic() + seconds
    while not (able := (facts := farm.status()).able(job)) and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
    if able:
        if all(device.state == "resting" for device in able):
            say(f"Every device that fits rests now: {able[0].serial}: {able[0].why}")
        return
    there = [device for host in facts.hosts if not host.ended for device in host.devices]
    if not there:
        raise NoDevice("The farm has no device now.", "Attach one, or let the job wait with --queue.")
    what = f"is {job.serial}" if job.serial else f"has the tags {', '.join(job.tags)}"
    known = ", ".join(sorted({tag for device in there for tag in device.tags})) or "none"
    raise NoDevice(
        f"No device of the farm {what}.", f"There are {len(there)} devices; tags: {known}. --queue lets the job wait."
    )


def await_reports(farm: Farm, jobs: Sequence[Job], told: Callable[[JobReport, int, int], None]) -> list[JobReport]:
    """The reports of all jobs, in their order. Ctrl-C stops them in order; once more raises KeyboardInterrupt."""
    import threading

    from agent.commands.console import say
    from agent.errors import FarmError
    from agent.runtime.signals import ended_by

    asked = threading.Event()
    reports: dict[str, JobReport] = {}

    def end() -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        say("Stopping the jobs. Ctrl-C again leaves at once.")

    with ended_by(end):
        stopped = away = False
        while len(reports) < len(jobs):
            try:
                for job in jobs:
                    if asked.is_set() and not stopped:
                        for each in jobs:
                            farm.stop(each.id)
                        stopped = True
                    report = None if job.id in reports else farm.report(job.id)
                    if report is not None:
                        # Who reports a job that did not begin knows its id and no more.
                        report = report.model_copy(update={"index": job.index, "count": job.count})
                        reports[job.id] = report
                        told(report, len(reports), len(jobs))
                if away:
                    away = False
                    say("The broker is back.")
            except FarmError as error:
                if not away:
                    away = True
                    say(f"{error} The jobs go on; it is tried again.")
                threading.Event().wait(AWAY_SECONDS)
            if len(reports) < len(jobs):
                threading.Event().wait(LOOK_SECONDS)
    if asked.is_set():
        say(f"{len(jobs)} jobs have ended.")
    return [reports[job.id] for job in jobs]


def _told(report: JobReport, count: int, total: int) -> None:
    from agent.commands.console import say

    where = f" on {report.serial} of {report.host}" if report.serial else ""
    seconds = (report.ended_ms - report.began_ms) / 1000 if report.began_ms else 0
    say(f"[{count}/{total}] shard {report.index} {report.outcome}{where}, {seconds:.1f} s. {report.reason}".rstrip())


def _show_reports(reports: list[JobReport], as_json: bool) -> None:
    from agent.commands.console import put, put_json, table
    from agent.errors import JobsFailed
    from agent.farm.job import MEANINGS

    if as_json:
        for report in reports:
            put_json(report.model_dump(mode="json"))
    else:
        rows = [("shard", "job", "host", "device", "outcome", "exit", "recordings")]
        for report in reports:
            code = "-" if report.exit_code is None else str(report.exit_code)
            more = f" and {len(report.replays) - PLACES} more" if len(report.replays) > PLACES else ""
            rows.append(
                (
                    str(report.index), report.job[:SHORT], report.host or "-", report.serial or "-", report.outcome,
                    code, (", ".join(report.replays[:PLACES]) or "none") + more,
                )
            )  # fmt: skip
        for line in table(rows):
            put(line)
        tests = [(str(report.index), *_test(row)) for report in reports for row in report.table]
        for line in table([("shard", "test", "attempt", "outcome", "session id", "device id", "replay"), *tests]):
            if tests:
                put(line)
    failed = [report for report in reports if report.outcome != "passed"]
    if failed:
        first = failed[0]
        raise JobsFailed(
            f"{len(failed)} of {len(reports)} jobs did not pass; the first is shard {first.index}, {first.outcome}: "
            f"{MEANINGS[first.outcome]}.",
            first.reason,
        )


def _test(row: Mapping[str, Any]) -> tuple[str, ...]:
    names = ("test", "attempt", "outcome", "session_id", "device_id")
    told = [str(row.get(name) or "-") for name in names]
    return (*told, str(row.get("replay") or row.get("why") or "-"))


def _show(facts: FarmFacts) -> None:
    from agent.commands.console import put, say, table

    if not facts.hosts:
        say("No host is or was there. Start one with `android-replay farm host --all`.")
    for host in facts.hosts:
        put(f"{host.name}: {'away' if host.ended else f'{len(host.devices)} devices, process {host.pid}'}")
        rows = [
            (
                f"  {device.serial}",
                device.state,
                device.job[:SHORT] or "-",
                "-" if device.battery is None else f"{device.battery} %",
                "-" if device.temperature is None else f"{device.temperature:.0f} °C",
                "-" if device.free_bytes is None else f"{device.free_bytes / 1e9:.1f} GB free",
                f"away {device.offline} times",
                ", ".join(device.tags) + (f"  ({device.why})" if device.why else ""),
            )
            for device in host.devices
        ]
        for line in table(rows):
            put(line)
    if facts.jobs:
        put("jobs:")
        rows_ = [
            (f"  {job.id[:SHORT]}", job.outcome or job.state, job.host or "-", job.serial or "-", job.queue)
            for job in facts.jobs
        ]
        for line in table(rows_):
            put(line)
