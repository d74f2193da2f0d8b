"""The pure middle of one device, fed with facts: log to events, snapshots to masked pictures, all of it to segments."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from agent.analytics import relayed
from agent.analytics.doctor import Doctor
from agent.analytics.drivers import Drivers
from agent.analytics.forms import without_parts
from agent.analytics.gate import Gate
from agent.analytics.identity import effective_session
from agent.analytics.install import Install
from agent.analytics.lifecycle import Lifecycle
from agent.analytics.sessions import IDLE_NS
from agent.analytics.sniffer import Sniffer
from agent.errors import ConfigError
from agent.model import (
    Canvas,
    Cost,
    Draft,
    Finding,
    Happening,
    Looked,
    Loss,
    Marker,
    MaskedSnapshot,
    MaskLevel,
    ParseFailure,
    Relayed,
    SealedSegment,
    SegmentEvent,
    Snapshot,
)
from agent.privacy import Rules
from agent.replay.canvas import canvas
from agent.replay.fingers import RULE as DRAGGED
from agent.replay.mask import Masker
from agent.replay.recorder import HOST_SET, SETTLE_MS, Item, Recorder
from agent.runtime.status import DeviceStatus
from agent.settings import Settings
from bridge.clock import SET_NS
from bridge.deadline import Deadline
from bridge.errors import CaptureFailed, DeviceBusy, FrameMalformed
from bridge.getevent import OVERRUN
from bridge.ports import Device
from bridge.types import ClockFix, Foreground, Frame, Gap, Hierarchy, LogEntry, Size, Stamp, Touch

log = logging.getLogger(__name__)

CALL_SECONDS = 5.0
# Between two windows, and behind a lock screen, no app is in front.
# To ask for it costs the phone up to 300 ms.
FRONT_SECONDS, FRONT_STEP = 5.0, 1.0
# A recorder that is killed loses what it did not append.
APPEND_NS = 1_000_000_000
# An app whose uploads pass through the relay need not log its events.
WITHOUT_RELAY = frozenset(("logger-silenced", "raw-events-only"))

# What comes by another way than from the device.
Posted = Relayed | Marker
# A snapshot comes with the call that frees the capture lane to take the next one, and that is told why all of it was
# covered, or a part for what a finger does, "" if nothing was.
StageItem = (
    tuple[Snapshot, Callable[[str], None]]
    | Hierarchy
    | Looked
    | LogEntry
    | Touch
    | Foreground
    | ClockFix
    | Gap
    | Posted
    | Loss
)

# With a relay the ids may come a flush interval late: nothing is written before they can have come.
RELAY_SETTLE_MS = 35_000
# What the clocks may have drifted apart between a fix and an event that is told a flush interval later.
RELAY_DRIFT_NS = 5_000_000


class Stage:
    """Turns facts of one serial into sealed segments, handed to `keep`. One call at a time; its thread may change.

    What is written into segments that are still open is handed to `append` about once a second; what `lost` tells then
    is counted in the next manifest. `share` tells what it cost this host so far, in ms of CPU and bytes sent. `hear` is
    told all that is recorded, as it comes.

    Entries older than the first attach are read for ids only: they tell which session was under way, and are not part
    of the recording. `relay` says that the app's uploads come, too. `listen` hears every entry of the log since then,
    of whomever.
    """

    def __init__(
        self,
        package: str | None,
        settings: Settings,
        keep: Callable[[SealedSegment], None],
        status: DeviceStatus,
        now: Callable[[], Stamp],
        relay: bool = False,
        gate: Gate | None = None,
        append: Callable[[Draft], object] = lambda draft: None,
        lost: Callable[[], Iterable[Loss]] = tuple,
        share: Callable[[], tuple[int, int]] = lambda: (0, 0),
        hear: Callable[[Item], None] = lambda item: None,
        listen: Callable[[LogEntry], object] = lambda entry: None,
    ) -> None:
        self._package = package
        self._settings = settings
        self._keep = keep
        self._append = append
        self._lost = lost
        self._appended_ns = 0
        self._share = share
        self._hear = hear
        self._listen = listen
        self._received: Callable[[], int] = lambda: 0
        self._received_before = 0
        self._written = 0
        self._missed = 0
        self._status = status
        self._now = now
        self._gate = gate or Gate()
        self._dpi = 0
        self._size = Size(0, 0)
        self._install: Install | None = None
        self._started: Stamp | None = None
        self._masker: Masker | None = None
        self._sniffer: Sniffer | None = None
        self._doctor = Doctor()
        self._lifecycle: Lifecycle | None = None
        # Our own mirror only looks.
        self._drivers = Drivers(frozenset(("scrcpy",)) if settings.capture.scrcpy_server else frozenset())
        self._driven: Gap | None = None
        self._shut: Stamp | None = None
        self._recorder: Recorder | None = None
        # Of the screen sources the one that the recorder knows of.
        self._pictured = ""
        self._last: tuple[object, Canvas] | None = None
        self._merge = relayed.Merge() if relay else None
        self._offset_ns: int | None = None
        # What came before the phone's clock was known: an upload of now, or of what the app kept for days.
        self._early: list[Relayed] = []
        self._bound_ns = 0
        self._fixed: Stamp | None = None
        self._host: Stamp | None = None

    def attach(self, device: Device) -> None:
        """A device was opened, for the first time or again. Raises BridgeError, CaptureFailed when no app is named and
        none in front, or one whose log lines nobody can tell; ConfigError for an unknown package."""
        self._received_before += self._received()
        self._received = lambda: device.received
        self._count_cost()
        info = device.info
        self._dpi = info.density
        self._size = info.size
        self._status.screen = "none" if self._wireframe else device.screen().name
        if self._recorder is None:
            package = self._package or _in_front(device)
            uid = device.package_uid(package, Deadline(CALL_SECONDS))
            if uid is None and self._package:
                raise ConfigError(
                    f"{package} is not installed on {info.serial}.", "Check the name with `adb shell pm list packages`."
                )
            if uid is None:
                # Any app's events would be taken for its.
                raise CaptureFailed(info.serial, "attach", f"whose log lines are {package}'s could not be found out")
            self._install = Install(package, uid, self._now())
            self._status.package = package
            asked = self._settings.privacy
            self._masker = Masker(asked.level, package, self._settings.capture.width, Rules(asked.rules))
            self._lifecycle = Lifecycle(package, uid)
            # An event's own line is recorded before the event, when that is held and the log is late.
            self._sniffer = Sniffer(uid, strict=self._settings.plugin.strict, heard=self._masker.learn)
            self._doctor = Doctor(package, self._settings.upload.api_key.get_secret_value())
            facts: Mapping[str, str] = {
                "model": info.model,
                "manufacturer": info.manufacturer,
                "android": info.android,
                "api_level": str(info.api_level),
                "density": str(info.density),
                "screen": self._status.screen,
                "package": package,
            }
            self._pictured = self._status.screen
            self._recorder = Recorder(
                info.serial,
                facts,
                self._masker,
                effective_session,
                info.size,
                info.density,
                segment_ms=int(self._settings.replay.segment_seconds * 1000),
                segment_bytes=self._settings.replay.segment_bytes,
                width=0 if self._wireframe else self._settings.capture.width,
                quality=self._settings.capture.webp_quality,
                settle_ms=SETTLE_MS if self._merge is None else RELAY_SETTLE_MS,
                refusal=self._gate.refusal,
            )
            self._started = self._now()
            self._masker.pace(info.animations)
            # Nobody knows what is on the screen before the first dump.
            self._masker.away(self._started)
        elif self._install is not None and self._masker is not None:
            self._masker.pace(info.animations)
            uid = device.package_uid(self._install.package, Deadline(CALL_SECONDS))
            if uid is not None:
                self._install.expect(uid)

    def paused(self) -> str:
        """Why nothing is captured now; "" when it is. Any thread."""
        session = self._recorder.ruling if self._recorder is not None else None
        reason = self._gate.closed or (self._gate.refusal(session) if session is not None else "")
        self._status.paused = reason
        return reason

    def level(self) -> MaskLevel | None:
        """What the remote config asks for; when it changes, all is to be taken again. Any thread."""
        return self._gate.mask_level

    def process(self, items: Iterable[StageItem]) -> None:
        """Take facts in the order of arrival. Raises AgentError when a sealed segment cannot be kept."""
        self._tighten()
        self._mind_host()
        for item in items:
            if isinstance(item, Touch) and self._masker is not None:
                # Also while nothing is to be captured: it may be on the glass still when it is again.
                self._masker.finger(item, self._dpi)
                if self.paused():
                    continue
            if isinstance(item, tuple):
                snapshot, free = item
                hidden = ""
                try:
                    hidden = self._snapshot(snapshot)
                finally:
                    free(hidden)
            elif isinstance(item, Hierarchy):
                self._views(item)
            elif isinstance(item, Looked):
                if self._recorder is not None:
                    self._kept(self._recorder.looked(item.stamp))
            elif isinstance(item, LogEntry):
                self._entry(item)
            elif isinstance(item, Relayed):
                if self._offset_ns is None:
                    self._early.append(item)
                else:
                    self._relayed(item)
            elif isinstance(item, ClockFix):
                self._clock(item)
            elif isinstance(item, Gap | Marker) or not self._gate.closed:
                if isinstance(item, Gap):
                    if item.reason == OVERRUN and self._masker is not None:
                        self._masker.unsure(item.end)
                    self._findings(self._doctor.hear(item))
                    if item.stage == "log" and self._sniffer is not None:
                        self._sniffer.missed()
                    if item.stage == "hierarchy" and item.reason == DeviceBusy.__name__:
                        self._unseen(self._drivers.held(item.end))
                elif isinstance(item, Foreground) and self._lifecycle is not None:
                    self._size = item.size or self._size
                    self._dpi = item.density or self._dpi
                    if self._masker is not None:
                        self._masker.keyboard(item.keyboard_shown, item.stamp)
                    if self._install is not None and self._install.see(item):
                        self._follow(self._install.uid, item.stamp)
                    self._happened(self._lifecycle.see(item))
                if isinstance(item, Touch):
                    self._status.touches += item.kind == "down"
                self._feed(item)
        self._draft()

    def advance(self, now: Stamp) -> None:
        """Let time pass with nothing new."""
        self._tighten()
        self._mind_host()
        if self._recorder is None or self._sniffer is None:
            return
        for found in self._sniffer.advance(now):
            self._event(found)
        for event in self._merge.advance(now) if self._merge is not None else ():
            self._feed_event(event)
        if self._lifecycle is not None:
            self._happened(self._lifecycle.advance(now))
        self._kept(self._recorder.advance(now))
        self._draft()

    def finish(self) -> None:
        """Seal what is open and account for what never found a session."""
        if self._recorder is None or self._sniffer is None:
            return
        self._early_ones()
        for found in self._sniffer.flush():
            self._event(found)
        for event in self._merge.flush() if self._merge is not None else ():
            self._feed_event(event)
        self._findings(self._doctor.conclude())
        if self._lifecycle is not None:
            self._happened(self._lifecycle.flush())
        self._count_cost()
        self._kept(self._recorder.finish())
        # What is sealed last cannot tell what it takes itself.
        self._status.cost = replace(self._status.cost, written=self._written)
        self._tell_losses()

    def _count_cost(self) -> None:
        cpu_ms, sent = self._share()
        captured = self._received_before + self._received()
        status = self._status
        status.cost = Cost(cpu_ms, captured, self._written, sent, status.frames, status.blocked, self._missed)
        if self._recorder is not None:
            self._recorder.spent(status.cost)

    def _draft(self) -> None:
        now_ns = self._now().mono_ns
        if self._recorder is None or now_ns - self._appended_ns < APPEND_NS:
            return
        self._appended_ns = now_ns
        self._count_cost()
        for loss in self._lost():
            self._recorder.feed(loss)
        for draft in self._recorder.drafts():
            self._append(draft)
            self._written += _size(draft)

    @property
    def _wireframe(self) -> bool:
        return self._settings.capture.quality == "text"

    def _ready(self) -> Masker | None:
        """The masker at the level of the moment, None when nothing may be taken."""
        if self._masker is None or self._gate.closed:
            return None
        self._tighten()
        return self._masker

    def _tighten(self) -> None:
        level = self._gate.mask_level
        if level is None or self._masker is None or self._recorder is None:
            return
        if self._masker.tighten(level):
            self._recorder.forget()

    def _views(self, tree: Hierarchy) -> None:
        masker = self._ready()
        if masker is not None:
            self._drivers.free(tree.stamp)
            turned = tree.rotation % 2 == 1
            screen = Size(self._size.height, self._size.width) if turned else self._size
            self._show(masker.tree(tree, screen, self._dpi))

    def _show(self, masked: MaskedSnapshot) -> None:
        self._status.frames += 1
        self._status.blocked += bool(masked.blocked)
        self._feed(masked)

    def _snapshot(self, snapshot: Snapshot) -> str:
        masker = self._ready()
        if masker is None:
            return ""
        frame = snapshot.frame
        self._status.screen = frame.source
        if self._recorder is not None and frame.source != self._pictured:
            # The source that was first chosen failed, and another took its place.
            self._pictured = frame.source
            self._recorder.describe(screen=frame.source)
        try:
            picture = self._decoded(frame)
        except FrameMalformed as error:
            gap = Gap(frame.stamp, frame.stamp, "screen", type(error).__name__, error.detail)
            self._feed(gap)
            return ""
        if snapshot.after is not None:
            self._drivers.free(snapshot.after.stamp)
        self._status.hierarchies += snapshot.after is not None
        masked = masker.snapshot(snapshot, picture, self._dpi)
        self._show(masked)
        passing = any(cover.rule == DRAGGED for cover in masked.covers)
        return masked.blocked or (DRAGGED if passing else "")

    def _decoded(self, frame: Frame) -> Canvas:
        """The frame's canvas, that of the last one again when it has the same bytes: while views settle a screen that
        stands still is masked again and again, and a PNG takes 30 ms to decode."""
        key = frame.digest, frame.media_type, frame.size, frame.screen
        if self._last is None or self._last[0] != key:
            self._last = None
            self._last = key, canvas(frame, self._settings.capture.width)
        return self._last[1]

    def _clock(self, fix: ClockFix) -> None:
        since, self._fixed = self._fixed, fix.stamp
        self._offset_ns, self._bound_ns = fix.offset_ns, fix.bound_ns
        self._status.clock_bound_ms = fix.bound_ns / 1e6
        if self._recorder is not None:
            self._recorder.describe(
                clock_offset_ns=str(fix.offset_ns),
                clock_bound_ns=str(fix.bound_ns),
                clock_drift_ppm=f"{fix.drift_ppm:.1f}",
            )
        if fix.jump_ns:
            gap = fix.gap(fix.stamp if since is None else since)
            self._feed(gap)
        self._early_ones()

    def _mind_host(self) -> None:
        """Tell when the host's clock was set, which all phones' stages learn of by what it says."""
        now, before = self._now(), self._host
        self._host = now
        if before is None:
            return
        set_ns = (now.wall_ms - before.wall_ms) * 1_000_000 - (now.mono_ns - before.mono_ns)
        if abs(set_ns) > SET_NS // 2:
            self._feed(Gap(before, now, "clock", HOST_SET, f"by {set_ns / 1e9:+.3f} s"))

    def _entry(self, entry: LogEntry) -> None:
        if self._sniffer is None or self._started is None:
            return
        if self._offset_ns is None:
            self._offset_ns, self._bound_ns = entry.time_ns - entry.stamp.mono_ns, entry.stamp.bound_ns
            self._early_ones()
        if self._gate.closed:
            self._shut = entry.stamp
        if entry.stamp >= self._started:
            self._listen(entry)
        if self._install is not None and self._install.hear(entry):
            self._follow(self._install.uid, entry.stamp)
        if self._lifecycle is not None:
            self._happened(self._lifecycle.hear(entry))
        self._caught_up(entry.stamp)
        self._unseen(self._drivers.hear(entry))
        if entry.buffer == "events":
            return
        uid = self._install.uid if self._install is not None else None
        self._findings(self._doctor.hear(entry, mine=entry.uid == uid))
        for found in self._sniffer.feed(entry):
            self._event(found)
        # What other apps and the system log is read for the app's own facts and is nobody's to record.
        own = entry.uid is not None and entry.uid == uid
        if own and entry.stamp >= self._started and not self._gate.closed:
            self._status.logs += 1
            self._feed(replace(entry, message=without_parts(entry.message)))

    def _follow(self, uid: int, at: Stamp) -> None:
        """The app's lines bear another uid from now on."""
        if self._sniffer is not None and self._lifecycle is not None and self._recorder is not None:
            self._sniffer.uid = self._lifecycle.uid = uid
            self._recorder.follow(uid, at)
        log.info("the app was installed anew, or is another user's: its uid is %d now", uid)

    def _happened(self, told: list[Happening]) -> None:
        """What happened before the attach, or while nothing was to be captured, is nobody's to record."""
        for happening in told:
            if self._started is not None and happening.stamp >= self._started and not self._gate.closed:
                self._feed(happening)

    def _unseen(self, gaps: list[Gap]) -> None:
        """Somebody else taps; who began before the attach is told of when that is over."""
        for gap in gaps:
            if self._started is not None and gap.start < self._started:
                self._driven = replace(gap, start=self._started, end=self._started)
            else:
                self._feed(gap)

    def _caught_up(self, now: Stamp) -> None:
        """The first entry from after the attach: who was at it before and is at it still is told of now."""
        if self._driven is None or self._started is None or now < self._started:
            return
        gap, self._driven = self._driven, None
        if self._drivers.names:
            self._unseen([gap])
        else:
            self._drivers.forget()

    def _findings(self, found: list[Finding]) -> None:
        """Mark what the app's instrumentation does wrong, from the attach on; not by what was logged while stopped."""
        for finding in found:
            if self._started is None or finding.stamp < self._started:
                continue
            if self._merge is not None and finding.rule in WITHOUT_RELAY:
                continue
            name = f"{finding.severity}: {finding.rule}"
            findings = self._status.findings
            self._status.findings = {**findings, name: findings.get(name, 0) + finding.count}
            if not self._gate.closed:
                proof = "" if self._hidden(finding.logged) else without_parts(finding.proof)
                self._feed(replace(finding, proof=proof))

    def _hidden(self, logged: Stamp | None) -> bool:
        """Whether a line was logged when nothing was to be captured: some are told of later."""
        return self._shut is not None and logged is not None and logged <= self._shut

    def _event(self, found: SegmentEvent | ParseFailure) -> None:
        self._findings(self._doctor.judge(found))
        if isinstance(found, ParseFailure):
            self._feed(found)
            return
        for event in [found] if self._merge is None else self._merge.log(found):
            self._feed_event(event)

    def _early_ones(self) -> None:
        early, self._early = self._early, []
        for item in early:
            self._relayed(item)

    def _relayed(self, item: Relayed) -> None:
        """An upload of the app: of this app, as far as it says whose it is."""
        if self._merge is None or relayed.package(item.event) not in ("", self._status.package):
            return
        uid = self._install.uid if self._install is not None else None
        found = relayed.read(item, self._offset_ns, uid, self._bound_ns + RELAY_DRIFT_NS)
        if isinstance(found, ParseFailure):
            self._feed(found)
            return
        for event in self._merge.relay(found):
            if self._started is None or event.stamp >= self._started:
                self._feed_event(event)
            elif self._recorder is not None and self._started.mono_ns - event.stamp.mono_ns < IDLE_NS:
                # Of a session that may be under way; what an app kept from days before is nobody's here.
                self._recorder.note(event)

    def _feed_event(self, found: SegmentEvent) -> None:
        session = effective_session(found.session_id)
        if session > 0:
            known = self._status.session_id, self._status.device_id
            self._status.session_id, self._status.device_id = session, found.device_id
            if found.device_id is not None and known != (session, found.device_id):
                log.info("session %d of device %s", session, found.device_id)
        before = self._started is not None and found.stamp < self._started
        if before or self._gate.closed or self._hidden(found.stamp):
            if self._recorder is not None:
                self._recorder.note(found)
            if not before:
                self._feed(Loss("events", self._gate.closed or "logged while nothing was captured", 1))
            return
        self._status.events += 1
        self._feed(found)

    def _feed(self, item: Item) -> None:
        if self._recorder is not None:
            self._hear(item)
            self._kept(self._recorder.feed(item))
            if isinstance(item, Gap) and item.stage == "screen":
                self._missed += item.calls
            if isinstance(item, Gap) and self._recorder.gaps > self._status.gaps:
                # A run of them counts once, under the reason of its first.
                name, reasons = f"{item.stage}: {item.reason}", self._status.gap_reasons
                self._status.gap_reasons = {**reasons, name: reasons.get(name, 0) + 1}
                log.info("missing: %s %s", name, item.detail)
            self._status.gaps = self._recorder.gaps

    def _kept(self, sealed: Iterable[SealedSegment]) -> None:
        for segment in sealed:
            self._keep(segment)
            manifest = segment.manifest
            log.debug("segment %s sealed (%s), %d bytes", manifest.id, manifest.reason, manifest.bytes)
            self._status.segments += 1
            self._status.bytes += segment.manifest.bytes
            self._written += _size(segment)
            self._tell_losses()

    def _tell_losses(self) -> None:
        losses = () if self._recorder is None else self._recorder.losses
        self._status.losses = {f"{loss.stage}: {loss.reason}": loss.count for loss in losses}


def _in_front(device: Device) -> str:
    """The app that is in front, which is waited for a while: without a name any app would be taken for the one."""
    patience, pause = Deadline(FRONT_SECONDS), threading.Event()
    while not (package := device.foreground(Deadline(CALL_SECONDS)).package):
        if patience.passed:
            raise CaptureFailed(device.info.serial, "attach", "no app is in front: open yours, or name it with --app")
        pause.wait(FRONT_STEP)
    return package


def _size(part: Draft | SealedSegment) -> int:
    return sum(map(len, part.events)) + sum(len(shown.data) for shown in part.pictures.values())
