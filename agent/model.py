"""The values that flow through the agent: sessions, Segment events, snapshots, replay segments. All frozen, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bridge.types import Bounds, Frame, Hierarchy, NodeFlag, Rotation, Size, Stamp

NO_SESSION = -1

EventKind = Literal["track", "screen", "identify", "group", "alias"]
EventStage = Literal["after", "enriched", "before", "raw", "session"]
SealReason = Literal["time", "size", "session", "resize", "clock", "stop", "lost", "cut"]
MaskLevel = Literal["light", "medium", "conservative"]
RemoteForm = Literal["android", "web"]
Severity = Literal["error", "warning", "info"]
HappeningKind = Literal["crash", "anr", "lowmemory", "process", "app", "keyboard", "screen-state", "rotation"]


@dataclass(frozen=True, slots=True)
class SessionKey:
    """Whose replay it is. Unknown is `(NO_SESSION, None)`; 0 and "" are values, so never test for truth.

    `session_id` is the effective id: a positive integer, or NO_SESSION. `device_id` is the analytics identity taken
    from the events, not the adb serial.
    """

    session_id: int = NO_SESSION
    device_id: str | None = None

    @property
    def known(self) -> bool:
        """Whether a replay can be uploaded for it: the session positive, the device id there and not empty."""
        return self.session_id > 0 and self.device_id is not None and self.device_id != ""


@dataclass(frozen=True, slots=True)
class SegmentEvent:
    """An event of the Segment SDK as a log showed it.

    `stage` says at which point of the SDK's plugin chain it was printed ("raw" = the SDK's own "saved" line,
    "session" = a line of the Amplitude session plugin). `session_id` and `device_id` are the values that Amplitude's
    plugin would take, verbatim; `session_from` and `device_from` say where they stood ("" = nowhere). `event_ms` is the
    event's own timestamp (device epoch ms), `missing` the names of what the log could not show.
    """

    stamp: Stamp
    pid: int
    uid: int | None
    stage: EventStage
    kind: EventKind
    name: str
    message_id: str
    event_ms: int | None
    complete: bool
    session_id: object
    session_from: str
    device_id: str | None
    device_from: str
    missing: tuple[str, ...] = ()
    event: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Relayed:
    """An event as the app uploaded it, from the relay; `stamp` is when it came, up to a flush interval after it."""

    stamp: Stamp
    event: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ParseFailure:
    """A log entry that looked like an event and could not be read: data with a reason, never an exception."""

    stamp: Stamp
    pid: int
    reason: str
    sample: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault in how the app is instrumented. UNCLEANED: `saw` and `proof` are log text, starred of API keys only.

    `rule` is a fixed name, `meaning` and `fix` its sentences; `saw` says what was seen, `proof` is the offending line
    ("" when the fault is that a line is absent). `stamp` is when it was certain, `logged` when the proof was written,
    `count` how often it was met.
    """

    rule: str
    severity: Severity
    stamp: Stamp
    pid: int
    saw: str
    meaning: str
    fix: str
    proof: str
    count: int = 1
    logged: Stamp | None = None


@dataclass(frozen=True, slots=True)
class Happening:
    """What happened to the app or to the phone around it. UNCLEANED: `text` is what a log says of it.

    `name` says it in a few words; `name` and `facts` are fixed words, numbers and names of the app's own parts.
    """

    stamp: Stamp
    kind: HappeningKind
    name: str
    facts: Mapping[str, object] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True, slots=True)
class Marker:
    """A moment that a person or a program marked. UNCLEANED: `name` and `note` are theirs.

    `by` says through what: a key, another terminal, a test runner. `facts` are fixed words and numbers.
    """

    stamp: Stamp
    name: str
    note: str = ""
    by: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Looked:
    """A look at the screen that began at `stamp` is over, and what it found has been told."""

    stamp: Stamp


@dataclass(frozen=True, slots=True)
class MaskRect:
    """One covered rectangle, in frame pixels, and the rule that asked for it. A block hides the subtree, too."""

    bounds: Bounds
    kind: Literal["mask", "block"]
    rule: str


class Canvas(Protocol):
    """A decoded picture. Covers are in pixels of the screen, boxes in pixels of the picture, which may be smaller."""

    @property
    def size(self) -> Size: ...

    @property
    def screen(self) -> Size: ...

    @property
    def whole(self) -> Bounds:
        """The box of all of it."""
        ...

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        ...

    def black(self, bounds: Bounds) -> bool:
        """Whether a part of the screen is black."""
        ...

    def flat(self, bounds: Bounds) -> bool:
        """Whether a part of the screen is of one colour."""
        ...

    def masked(self, covers: Iterable[Bounds], width: int, room: Callable[[int], bytearray] = bytearray) -> Canvas:
        """A copy with the covers burnt in, about `width` pixels wide. `room` gives so many bytes for it."""
        ...

    def changes(self, before: Canvas) -> tuple[Bounds, ...]:
        """Boxes that do not overlap, outside which it is the same as `before`; none when it is the same."""
        ...

    def unlike(self, before: Canvas, beside: Iterable[Bounds] = ()) -> float:
        """Which share of it a sparse look finds changed from `before`, not counting what is in `beside` (parts of the
        screen). 0 says little, more that there is a change."""
        ...

    def sketch(self) -> NDArray[np.uint8]:
        """How bright some of its pixels are, (rows, columns), evenly over all of it."""
        ...

    def patched(self, boxes: Iterable[Bounds], source: Canvas) -> Canvas:
        """A copy that has what is in `boxes` from `source`, a canvas of its kind and size."""
        ...

    def webp(self, box: Bounds, quality: int) -> bytes:
        """The part in `box` as a WebP picture."""
        ...

    def digest(self, box: Bounds) -> bytes:
        """A hash of the pixels in `box`."""
        ...

    def rgb(self) -> NDArray[np.uint8]:
        """The pixels, shape (height, width, 3)."""
        ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A frame and the dumps around it. UNMASKED: only `agent.replay.mask` may take it.

    `before` had ended when the screen began to show the frame, or was taken while it showed it; `between` are those
    from then on that may have come before the frame, too; `after` began when the frame was there. `until` = when the
    frame was still the newest: a source that is sent pictures holds them as long as nothing changes. `since` = when the
    same picture was already there, and no other came in between. `left` = when the screen, for all that is known, still
    showed the picture before, as it did during the last dump before that.
    """

    frame: Frame
    before: Hierarchy | None
    after: Hierarchy | None
    between: tuple[Hierarchy, ...] = ()
    until: Stamp | None = None
    since: Stamp | None = None
    left: Stamp | None = None


@dataclass(frozen=True, slots=True)
class MaskedNode:
    """A view that is left to show: text already cleaned. `key` is stable for the same place in the tree; a `leaf` holds
    no other view."""

    key: str
    bounds: Bounds
    cls: str
    resource_id: str
    label: str
    flags: NodeFlag
    leaf: bool = False


@dataclass(frozen=True, slots=True)
class MaskedSnapshot:
    """What may be encoded. Made by `agent.replay.mask` only.

    `canvas` has the recording's width and the masks burnt in; None when only views are recorded. `screen` is the
    device's size in the frame's rotation, in pixels; `dpi` its density. `blocked` is the reason why the whole picture
    is covered, "" when it is not. By `read_ms` (epoch ms) the views had been read, which may be long after the picture.
    """

    stamp: Stamp
    screen: Size
    dpi: int
    rotation: Rotation
    canvas: Canvas | None
    nodes: tuple[MaskedNode, ...]
    covers: tuple[MaskRect, ...]
    blocked: str = ""
    read_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded, masked picture, stored once under the hash of its bytes."""

    digest: str
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Counts:
    """What a replay segment holds."""

    frames: int = 0
    hierarchies: int = 0
    touches: int = 0
    events: int = 0
    logs: int = 0
    gaps: int = 0
    blocked: int = 0


@dataclass(frozen=True, slots=True)
class Loss:
    """Items that are missing on purpose or by force, counted by stage and reason."""

    stage: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What recording a device cost since the segment before was sealed, to within a second.

    `cpu_ms` and `uploaded` are the device's share of what the whole recorder used and sent (of earlier segments).
    `captured` bytes came from the phone over adb, `written` went into the spool. `taken` pictures were masked, of them
    `blocked` whole; `lost` ones could not be had.
    """

    cpu_ms: int = 0
    captured: int = 0
    written: int = 0
    uploaded: int = 0
    taken: int = 0
    blocked: int = 0
    lost: int = 0

    def since(self, before: Cost) -> Cost:
        """What came to it after `before`, when both were counted from the start."""
        return Cost(**{name: getattr(self, name) - getattr(before, name) for name in Cost.__slots__})


NO_COST = Cost()


@dataclass(frozen=True, slots=True)
class SegmentManifest:
    """The facts of one replay segment. `id` is also the idempotency key of its delivery.

    `supersedes` is the id of the segment that this one is a redacted copy of, "" when it is none.
    """

    id: str
    session_id: int
    device_id: str
    serial: str
    seq: int
    start_ms: int
    end_ms: int
    reason: SealReason
    counts: Counts
    pictures: tuple[str, ...]
    bytes: int
    losses: tuple[Loss, ...] = ()
    device: Mapping[str, str] = field(default_factory=dict)
    session_from: str = ""
    device_from: str = ""
    supersedes: str = ""
    cost: Cost = NO_COST

    @property
    def key(self) -> tuple[str, int]:
        """The replay that it is a part of: its device id and session id."""
        return self.device_id, self.session_id


@dataclass(frozen=True, slots=True)
class SealedSegment:
    """A finished replay segment: rrweb events as JSON texts whose pictures are named `picture:<digest>`."""

    manifest: SegmentManifest
    events: tuple[bytes, ...]
    pictures: Mapping[str, Picture]


@dataclass(frozen=True, slots=True)
class Draft:
    """What was written into an open segment since its last draft. `manifest` is that of all so far, its id empty."""

    manifest: SegmentManifest
    events: tuple[bytes, ...]
    pictures: Mapping[str, Picture]


@dataclass(frozen=True, slots=True)
class Delivered:
    """The sink has it. `answer` is what the server said, `skipped` its reason for not keeping it (a directive).

    `ends_session`: the server wants no more of the segment's session; `pause_s`: it wants nothing for so many seconds.
    """

    answer: str = ""
    skipped: str = ""
    ends_session: bool = False
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again, not before `after_s` seconds."""

    after_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """Not to be tried again unasked. `ends_session`: the server wants no more of the segment's session.

    `kept` = the segment stays in the spool for who asks; else it is given up.
    """

    reason: str
    ends_session: bool = False
    kept: bool = True


Delivery = Delivered | Retry | Rejected
