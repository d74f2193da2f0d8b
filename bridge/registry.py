"""Which devices the adb server sees, as they come and go; opens them. The only part that may start an adb server."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bridge import decoder, dumpsys, emulator
from bridge.adb import AdbShell, Screencap, ScreencapPng
from bridge.clock import ClockProbe, DeviceClock, HostClock
from bridge.deadline import Deadline
from bridge.device import AndroidDevice, MakeSource, Screen
from bridge.errors import (
    AdbMissing,
    AdbServerError,
    BridgeError,
    BridgeTimeout,
    CaptureFailed,
    DeviceBusy,
    DeviceGone,
    DeviceUnauthorized,
    ServerPortTaken,
    ServiceRefused,
    TooManyFiles,
)
from bridge.picture import Display
from bridge.ports import Notebook, ScreenSource
from bridge.scrcpy import Scrcpy
from bridge.screenrecord import Screenrecord
from bridge.smartsocket import AdbServer, SmartSocket, Stream, too_many_files
from bridge.traces import Unnoted, undo
from bridge.twins import Twins, has_address
from bridge.types import Condition, DeviceInfo, DisplayInfo
from bridge.uia import UiaHierarchy, UiaScreen, UiaServer
from bridge.video import VideoSettings

__all__ = ["AdbServer", "Attached", "Detached", "Listed", "Registry", "VideoSettings"]

FLAP_NS = 250_000_000
ANSWER_SECONDS = 5.0
START_SECONDS = 20.0
HIERARCHY_SECONDS = 20.0
FACTS_SECONDS = 8.0
# How often network devices that are away are asked for, and how often when they did not come so many times.
RECONNECT_SECONDS = 1.0
RECONNECTS = 60
RARELY_SECONDS = 5.0
CONNECT_SECONDS = 0.5
# Another tool's adb that ends a server of another version begins its own within this time; were one begun by us
# meanwhile, each would end the other's.
REPLACED_SECONDS, LOOK_SECONDS = 0.6, 0.1
OWN_VARIABLES = "ANDROID_REPLAY_"
# What adb 29 to 36 say they are.
SERVER_VERSION = 41
LOOPBACK = ("127.0.0.1", "localhost", "::1")
USABLE = "device"

# What a state of `adb devices` means, and what a person does about it.
STATES = {
    "unauthorized": "The phone has not accepted this computer: unlock it and accept the question about USB debugging.",
    "authorizing": "The phone is being asked to accept this computer: unlock it and answer.",
    "connecting": "adb is still connecting: wait a moment.",
    "offline": "adb lost touch with it: plug it in again, or run `adb connect` again if it is on the network.",
    "no permissions": "This user may not open the USB device: add Android's udev rules, then plug it in again.",
    "recovery": "It runs its recovery system: start Android on it.",
    "sideload": "It waits for an update by sideload: start Android on it.",
    "rescue": "It is in rescue mode: start Android on it.",
    "bootloader": "It is in its bootloader: start Android on it.",
    "host": "It is in host mode: unplug what is plugged into it.",
}
# Before, logcat read one buffer at a time and took no point in time, and the shell told no exit status.
LEAST_LEVEL = 24
_LINE = re.compile(r"^(\S+)\s+(no permissions|\S+)(.*)$")
# A name on the network may have a space: `adb-R3-xtn5zd (2)._adb-tls-connect._tcp device product:...`.
_KNOWN_LINE = re.compile(rf"^(\S.*?)\s+({'|'.join(map(re.escape, (USABLE, *STATES)))})(?=\s|$)(.*)$")
_TAG = re.compile(r"\b(product|model|transport_id):(\S+)")
_CONNECTED = re.compile(r"connected to (\S+)")


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of `adb devices -l`. `why` says why the device cannot be used and what to do, "" when it can."""

    serial: str
    state: str
    model: str
    product: str
    transport_id: int
    usable: bool
    why: str


@dataclass(frozen=True, slots=True)
class Attached:
    """A device has become usable."""

    serial: str


@dataclass(frozen=True, slots=True)
class Detached:
    """A device is no longer usable."""

    serial: str


class Registry:
    """The devices of one adb server. `close` may be called from any thread; each `watch` belongs to one.

    With `start`, a server that does not answer on this host is started with adbutils' adb. None is ever killed. With
    `video`, devices are asked for video where this host can decode it; without, for single pictures only. `display` is
    the one that devices are opened for, 0 the default one. What is changed on devices is noted in `notebook`; what one
    of before has left is undone when a device is opened.
    """

    def __init__(
        self,
        server: AdbServer,
        clock: HostClock,
        start: bool = False,
        video: VideoSettings | None = None,
        display: int = 0,
        notebook: Notebook | None = None,
    ) -> None:
        self._server = server
        self._clock = clock
        self._start = start
        self._display = display
        self._video = video
        self._notebook = notebook or Unnoted()
        self._socket = SmartSocket(server)
        self._addresses: dict[str, None] = {}
        self._reconnect_ns = 0
        self._reconnects = 0
        self._opened: set[str] = set()
        self._spares: frozenset[str] = frozenset()
        self._opening: set[SmartSocket] = set()
        self._version = SERVER_VERSION
        self._met = False
        self._closed = False

    def list(self, deadline: Deadline) -> tuple[Listed, ...]:
        """Every device that the server knows. Raises AdbServerError, AdbMissing, ServerPortTaken, TooManyFiles,
        BridgeTimeout."""
        self._ready(deadline)
        with self._spoken():
            return listing(self._socket.query("host:devices-l", deadline))

    def android(self, serial: str, deadline: Deadline) -> tuple[str, str]:
        """The Android version that a usable device tells, "" when it tells none in time; and why that is too old, ""
        when it is not."""
        asked = "getprop ro.build.version.release; getprop ro.build.version.sdk"
        try:
            release, _, level = self._shell(serial).text(asked, deadline).strip().partition("\n")
        except BridgeError:
            return "", ""
        return release.strip(), too_old(release.strip(), dumpsys.number(level.strip()) or 0)

    def displays(self, serial: str, deadline: Deadline) -> tuple[DisplayInfo, ...]:
        """The displays of a usable device; none when it tells none in time."""
        try:
            return self._shell(serial).displays(deadline)
        except BridgeError:
            return ()

    def condition(self, serial: str, deadline: Deadline) -> Condition:
        """Battery and storage of a usable device. Raises BridgeError."""
        return self._shell(serial).condition(deadline)

    def twins(self, serials: Iterable[str]) -> dict[str, str]:
        """Those of these usable devices that are another way to a phone among them, with the serial to use for it: that
        of its cable, where it has one."""
        return Twins(self._shell).see(set(serials))

    @property
    def spares(self) -> frozenset[str]:
        """The devices that `watch` leaves out for now as second ways to phones. Any thread."""
        return self._spares

    def watch(self, wanted: Set[str] = frozenset()) -> Iterator[Attached | Detached | Listed]:
        """Blocks; first the devices that are there, then each change: of those that are `wanted`, of all when none is.

        A device that is away for less than 250 ms was never away. One that is listed and cannot be used comes as it is
        listed, so that somebody can be told why, and so does a second way to a phone; when the first goes that takes
        its place. Ends after `close`; raises AdbServerError when the server goes away, all devices detached first.
        """
        presence = Presence()
        try:
            yield from self._changes(presence, wanted)
        except BridgeError:
            if self._closed:
                return
            yield from presence.lose()
            with self._spoken():
                raise

    def connect(self, address: str, deadline: Deadline) -> str:
        """Let the server connect to a device on the network and keep it connected; its serial.

        Raises DeviceUnauthorized or DeviceGone in the server's words.
        """
        self._ready(deadline)
        with self._spoken():
            answer = self._socket.query(f"host:connect:{address}", deadline).strip()
        found = _CONNECTED.search(answer)
        # "failed to connect to ..." and "unable to connect to ..." do not match: they say "connect", not "connected".
        if found is None:
            kind = DeviceUnauthorized if "authenticate" in answer else DeviceGone
            raise kind(address, "adb connect", answer)
        self._addresses[found[1]] = None
        return found[1]

    def open(self, serial: str, deadline: Deadline) -> AndroidDevice:
        """Open a device: its facts, its clock, its uiautomator2 server.

        A device whose view tree cannot be had (another tool holds UiAutomation) opens all the same. The server of one
        that was open before is started by its first dump: pictures are missed meanwhile, and that is told. Raises
        DeviceGone, DeviceUnauthorized, CommandFailed, AdbServerError, BridgeTimeout, ServiceRefused for one whose
        Android is too old.
        """
        self._ready(deadline)
        socket = SmartSocket(self._server)
        self._opening.add(socket)
        try:
            if self._closed:
                raise DeviceGone(serial, "open", "closed by us")
            return self._open(socket, serial, deadline)
        finally:
            self._opening.discard(socket)

    def _open(self, socket: SmartSocket, serial: str, deadline: Deadline) -> AndroidDevice:
        facts = Deadline(min(FACTS_SECONDS, deadline.remaining()))
        shell = AdbShell(socket, serial)
        clock = DeviceClock(self._clock)
        probe = ClockProbe(serial, clock, shell.stream)
        try:
            if serial not in self._opened:
                undo(socket, self._notebook, serial, self._notebook.left(serial), facts)
            info = shell.info(facts)
            _check_android(info)
            probe.measure(facts)
            display = Display(info.size, id=self._display, density=info.density)
            density = shell.settle(display, info.size if display.id == 0 else None, facts)
            rotation = shell.foreground(self._clock, display, facts).rotation
            info = replace(info, rotation=rotation, size=display.natural, density=density or info.density)
        except BaseException:
            probe.close()
            socket.close()
            raise
        if has_address(serial):
            # Whoever let the server connect to it, after a restart the server knows nothing of it.
            self._addresses[serial] = None
        server = UiaServer(shell, self._clock, self._notebook)
        polled: list[ScreenSource] = [Screencap(shell, self._clock, display), ScreencapPng(shell, self._clock, display)]
        if not display.physical:
            # It knows the default display only, and of a fold maybe the wrong half.
            polled.insert(1, UiaScreen(serial, server, self._clock, display))
        streams = self._streams(shell, clock, display)
        where = emulator.find(serial, os.environ, _home()) if self._server.host in LOOPBACK else None
        if where is not None and emulator.available():
            # Costs the emulated phone nothing, where a video is encoded by its processor.
            polled.insert(0, emulator.EmulatorScreen(serial, where, self._clock, display))
            streams = ()
        screen = Screen(
            shell,
            display,
            tuple(polled),
            streams,
        )
        hierarchy = UiaHierarchy(serial, server, self._clock, display)
        device = AndroidDevice(info, shell, clock, probe, display, server, screen, hierarchy)
        try:
            if serial not in self._opened:
                server.start(Deadline(min(HIERARCHY_SECONDS, deadline.remaining())))
        except (DeviceBusy, CaptureFailed, BridgeTimeout):
            # The first dump says so again, to someone who can note it.
            pass
        except BaseException:
            device.close()
            raise
        self._opened.add(serial)
        return device

    def leave(self, serial: str, deadline: Deadline) -> None:
        """Undo what was changed on a device that is no longer used. Raises BridgeError for one that is away: what is
        left is undone when a later run opens it."""
        undo(SmartSocket(self._server), self._notebook, serial, self._notebook.ours(serial), deadline)
        self._opened.discard(serial)

    def _streams(self, shell: AdbShell, clock: DeviceClock, display: Display) -> tuple[MakeSource, ...]:
        """How the sources are made that send video, best first: none without a decoder."""
        video = self._video
        # A video is of the first physical display, whatever is shown there.
        if video is None or display.physical or not decoder.available():
            return ()
        screenrecord = partial(Screenrecord, shell, self._clock, display, video, self._notebook)
        scrcpy = partial(Scrcpy, shell, clock, display, video, self._notebook)
        return (scrcpy, screenrecord) if video.scrcpy_server else (screenrecord,)

    def _shell(self, serial: str) -> AdbShell:
        return AdbShell(self._socket, serial)

    def close(self) -> None:
        """End every `watch`, and every `open` that is under way: it raises DeviceGone."""
        self._closed = True
        self._socket.close()
        for socket in list(self._opening):
            socket.close()

    def _changes(self, presence: Presence, wanted: Set[str]) -> Iterator[Attached | Detached | Listed]:
        deadline = Deadline(START_SECONDS)
        self._ready(deadline)
        # A server that has just been started knows none of them.
        self._reconnect_ns = self._reconnects = 0
        self._spares = frozenset()
        states: dict[str, str] = {}
        usable: dict[str, Listed] = {}
        twins = Twins(self._shell)
        with self._socket.request("host:track-devices", deadline) as stream:
            while not self._closed:
                if self._wait(stream, presence):
                    found = listing(self._socket.read_block(stream, Deadline(ANSWER_SECONDS)))
                    found = tuple(listed for listed in found if not wanted or listed.serial in wanted)
                    usable = {listed.serial: listed for listed in found if listed.usable}
                    yield from self._attached(usable, presence, twins)
                    for listed in found:
                        if not listed.usable and states.get(listed.serial) != listed.state:
                            yield listed
                    states = {listed.serial: listed.state for listed in found}
                gone = list(presence.settle(time.monotonic_ns()))
                yield from gone
                if gone:
                    yield from self._attached(usable, presence, twins)
                self._reconnect(presence)

    def _attached(
        self, usable: Mapping[str, Listed], presence: Presence, twins: Twins
    ) -> Iterator[Attached | Detached | Listed]:
        """The usable devices that have come, each phone once; one that is away for a moment keeps its place."""
        spares = twins.see(usable.keys() | presence.serials)
        yield from presence.see(usable.keys() - spares.keys(), time.monotonic_ns())
        for spare in sorted(spares.keys() & usable.keys() - self._spares):
            why = f"It is the same phone as {spares[spare]}, and takes its place when that goes away."
            yield replace(usable[spare], usable=False, why=why)
        self._spares = frozenset(spares)

    def _wait(self, stream: Stream, presence: Presence) -> bool:
        """Wait for the next block; False when something else is due first."""
        seconds = RECONNECT_SECONDS if self._addresses else 3600.0
        due_ns = presence.due_ns
        if due_ns is not None:
            seconds = max(0.001, (due_ns - time.monotonic_ns()) / 1e9)
        return stream.readable(Deadline(seconds))

    def _reconnect(self, presence: Presence) -> None:
        """Ask again for network devices that are away: the server forgets one in a minute, and all when it restarts."""
        now_ns = time.monotonic_ns()
        if now_ns < self._reconnect_ns:
            return
        away = [each for each in list(self._addresses) if each not in presence.serials and each not in self._spares]
        self._reconnects = self._reconnects + 1 if away else 0
        seconds = RECONNECT_SECONDS if self._reconnects < RECONNECTS else RARELY_SECONDS
        self._reconnect_ns = now_ns + int(seconds * 1e9)
        deadline = Deadline(CONNECT_SECONDS)
        # The server goes on trying after we stopped waiting; the answer is the device's appearance. That this cannot be
        # asked for just now makes none of the others go away.
        with contextlib.ExitStack() as asked, contextlib.suppress(BridgeTimeout, TooManyFiles):
            streams = [asked.enter_context(self._socket.request(f"host:connect:{each}", deadline)) for each in away]
            for stream in streams:
                self._socket.read_block(stream, deadline)

    def _ready(self, deadline: Deadline) -> None:
        """Make sure that an adb server answers, starting one if that was asked for."""
        try:
            self._version = self._socket.version(deadline)
        except ServerPortTaken:
            raise
        except AdbServerError:
            if not self._start or self._closed or self._server.host not in LOOPBACK:
                raise
            if not (self._met and self._replaced(deadline)):
                start_server(self._server, deadline)
                self._version = self._socket.version(deadline)
        self._met = True

    def _replaced(self, deadline: Deadline) -> bool:
        """Whether another server comes in the place of the one that is gone."""
        patience = Deadline(min(REPLACED_SECONDS, deadline.remaining()))
        while not patience.passed and not self._closed:
            time.sleep(LOOK_SECONDS)
            with contextlib.suppress(AdbServerError):
                self._version = self._socket.version(deadline)
                return True
        return False

    @contextlib.contextmanager
    def _spoken(self) -> Iterator[None]:
        """A server of another version may understand us all the same; when it does not, that is why."""
        try:
            yield
        except AdbServerError as error:
            if self._version == SERVER_VERSION:
                raise
            other = f"the adb server at {self._server} is of version {self._version}, not {SERVER_VERSION}"
            fix = "another adb started it: end it with that one's `kill-server`, or set adb.port"
            raise AdbServerError(error.serial, error.op, f"{error.detail}: {other}; {fix}") from error


class Presence:
    """Which devices are usable, from snapshots: an arrival counts at once, a departure when it has lasted. Pure."""

    def __init__(self) -> None:
        self.serials: set[str] = set()
        self._leaving: dict[str, int] = {}

    def see(self, usable: Set[str], now_ns: int) -> Iterator[Attached | Detached]:
        """Take a snapshot of the usable devices."""
        for serial in sorted(usable - self.serials):
            self.serials.add(serial)
            yield Attached(serial)
        for serial in self.serials - usable:
            self._leaving.setdefault(serial, now_ns + FLAP_NS)
        for serial in usable:
            self._leaving.pop(serial, None)

    def settle(self, now_ns: int) -> Iterator[Detached]:
        """Announce the departures that have lasted."""
        for serial in sorted(serial for serial, due_ns in self._leaving.items() if due_ns <= now_ns):
            del self._leaving[serial]
            self.serials.discard(serial)
            yield Detached(serial)

    def lose(self) -> Iterator[Detached]:
        """Announce that every device is gone."""
        gone, self.serials = sorted(self.serials), set()
        self._leaving.clear()
        for serial in gone:
            yield Detached(serial)

    @property
    def due_ns(self) -> int | None:
        """When `settle` has something to announce, if nothing changes."""
        return min(self._leaving.values(), default=None)


def too_old(release: str, level: int) -> str:
    """Why a device with this Android and API level cannot be recorded; "" when it can, or tells no level (0)."""
    if level == 0 or level >= LEAST_LEVEL:
        return ""
    return f"Android {release or '?'} (API level {level}) is too old to be recorded: Android 7 or newer is needed."


def _check_android(info: DeviceInfo) -> None:
    if why := too_old(info.android, info.api_level):
        raise ServiceRefused(info.serial, "open the device", why)


def listing(text: str) -> tuple[Listed, ...]:
    """The devices in the text of `host:devices-l` or of a block of `host:track-devices`."""
    found = []
    for line in text.splitlines():
        match = _KNOWN_LINE.match(line) or _LINE.match(line)
        if match is None:
            continue
        serial, state, rest = match.groups()
        tags = dict(_TAG.findall(rest))
        usable = state == USABLE
        found.append(
            Listed(
                serial=serial,
                state=state,
                model=tags.get("model", "").replace("_", " "),
                product=tags.get("product", ""),
                transport_id=dumpsys.number(tags.get("transport_id", "")) or 0,
                usable=usable,
                why="" if usable else STATES.get(state, f"adb calls its state {state!r}: plug it in again."),
            )
        )
    return tuple(found)


def _home() -> Path | None:
    """This user's home folder; None for one that has none."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def start_server(server: AdbServer, deadline: Deadline) -> None:
    """Start an adb server on this host. Raises AdbMissing, AdbServerError, TooManyFiles, BridgeTimeout."""
    import adbutils

    op = "start the adb server"
    # Without USB hardware the libusb back end delays the start by seconds; the native one does not (adb 36).
    environment = {**os.environ, "ADB_LIBUSB": "0", "ANDROID_ADB_SERVER_PORT": str(server.port)}
    # The server outlives this program, and our settings, keys among them, are none of its business.
    environment = {name: value for name, value in environment.items() if not name.startswith(OWN_VARIABLES)}
    try:
        program = adbutils.adb_path()
        subprocess.run(
            [program, "-P", str(server.port), "start-server"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=max(deadline.remaining(), 0.001),
            check=True,
        )
    except (adbutils.AdbError, FileNotFoundError, PermissionError) as error:
        raise AdbMissing("", op, str(error)) from error
    except OSError as error:
        raise too_many_files("", op, error) or AdbServerError("", op, error.strerror or str(error)) from error
    except subprocess.TimeoutExpired as error:
        raise BridgeTimeout("", op, "it did not come up in time") from error
    except subprocess.CalledProcessError as error:
        words = error.stderr.decode("utf-8", "replace").strip().splitlines()
        raise AdbServerError("", op, words[-1] if words else f"exit status {error.returncode}") from error
