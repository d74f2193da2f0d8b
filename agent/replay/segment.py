"""One replay segment while it is written: rrweb events in, a `SealedSegment` out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson
import xxhash

from agent.model import (
    NO_COST,
    Cost,
    Counts,
    Draft,
    Loss,
    MaskedSnapshot,
    MaskRect,
    Picture,
    SealedSegment,
    SealReason,
    SegmentManifest,
    SessionKey,
)
from agent.replay import rrweb, tree
from agent.replay.layers import Layer, Stack
from agent.replay.rrweb import Event
from bridge.types import Rotation, Size, Stamp

# A picture inlined as a data URI: base64, its prefix, and the escape of both quotes.
_INLINED = 4 / 3

# Stock players pass over ten seconds and more without anybody's doing.
ACTIVE_MS = 5_000
# Of rrweb's incremental events those of somebody's doing: what moves, is touched, scrolls, is resized, is typed.
_DOINGS = range(1, 6)

KILLED = "ended without closing the segment"
TAIL = "what came after its last append is missing"
DAMAGED = "what came from a damaged append on is missing"


@dataclass(frozen=True, slots=True)
class Shown:
    """A snapshot ready to be written: pictures encoded (None: a wireframe), views as boxes.

    `masking` counts how often masking had become stricter before it was masked. By `read_ms` the views had been read.
    """

    stamp: Stamp
    screen: Size
    dpi: int
    rotation: Rotation
    stack: Stack | None
    views: Mapping[str, tree.Attributes]
    covers: tuple[MaskRect, ...]
    blocked: str
    masking: int = 0
    read_ms: int | None = None

    @classmethod
    def of(cls, snapshot: MaskedSnapshot, stack: Stack | None, masking: int = 0) -> Shown:
        s = snapshot
        views = tree.boxes(s.nodes, s.dpi, wireframe=stack is None)
        return cls(s.stamp, s.screen, s.dpi, s.rotation, stack, views, s.covers, s.blocked, masking, s.read_ms)

    @property
    def geometry(self) -> tuple[Size, int, Rotation, bool]:
        """What may not change within a segment."""
        return self.screen, self.dpi, self.rotation, self.stack is None

    @property
    def window(self) -> tuple[int, int]:
        """Width and height in dp."""
        return round(self.screen.width * 160 / self.dpi), round(self.screen.height * 160 / self.dpi)

    def same(self, other: Shown) -> bool:
        """Whether nothing that a viewer sees or reads differs."""
        return (
            self.stack == other.stack
            and self.geometry == other.geometry
            and self.blocked == other.blocked
            and self.views == other.views
            and self.covers == other.covers
        )


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose segment it is and where the ids stood."""

    key: SessionKey
    serial: str
    device: Mapping[str, str] = field(default_factory=dict)
    session_from: str = ""
    device_from: str = ""


class SegmentWriter:
    """Opens with Meta and a full snapshot of `shown` at `start_ms`; `append` adds events in any order of time.

    `resting` = no finger is on the glass, and that is said: rrweb's replayer learns it from a touch's end alone, and
    would leave the ring of a finger standing when it seeks back to a segment.
    """

    def __init__(
        self,
        origin: Origin,
        seq: int,
        start_ms: int,
        href: str,
        shown: Shown,
        ids: tree.NodeIds,
        *,
        resting: bool = True,
    ) -> None:
        self.origin = origin
        self._device = dict(origin.device)
        self.seq = seq
        self.start_ms = start_ms
        self.last_ms = start_ms + 1
        self.size = 0
        self.counts = Counts()
        self._ids = ids
        self._shown = shown
        self._pictures: dict[str, Picture] = {}
        self._events: list[tuple[int, bytes]] = []
        self._active_ms = start_ms
        self._drafted = self._drafted_pictures = 0
        self._drafted_losses: tuple[Loss, ...] = ()
        width, height = shown.window
        views = tree.document(shown.views, ids)
        self._put(rrweb.meta(start_ms, href, width, height))
        base = None if shown.stack is None else _name(shown.stack.base)
        layers = [node for node, _ in self._raised(shown, ())]
        opening = rrweb.full_snapshot(start_ms + 1, base, width, height, views, layers[::-1])
        self._put(opening, _pictures(shown.stack))
        if resting:
            self._put(rrweb.touch(start_ms, "cancel", 0, 0, 0))
        # That nothing is covered, too: a player goes on with what covered the segment before.
        self.append([mask_event(start_ms, shown)])

    @property
    def shown(self) -> Shown:
        return self._shown

    @property
    def bare(self) -> bool:
        """Whether nothing but the opening was written."""
        return self.counts == Counts()

    def describe(self, facts: Mapping[str, str]) -> None:
        """Facts about the device that changed. Of the screen sources all that gave pictures are named, in order."""
        used = self._device.get("screen", "")
        self._device |= facts
        new = facts.get("screen", "")
        if used and new:
            self._device["screen"] = used if new in used.split(", ") else f"{used}, {new}"

    def clamp(self, wall_ms: int) -> int:
        """A time that comes after the opening events."""
        return max(wall_ms, self.start_ms + 2)

    def change(self, shown: Shown) -> tuple[list[Event], int]:
        """The events that lead from what is shown to `shown`, same geometry, and their size; nothing is written."""
        at = self.clamp(shown.stamp.wall_ms)
        views = tree.diff(self._shown.views, shown.views, self._ids)
        old, new = self._shown.stack, shown.stack
        events: list[Event] = []
        if old != new or not views.empty:
            source = []
            kept: tuple[Layer, ...] = ()
            if old is not None and new is not None:
                if old.base.digest != new.base.digest:
                    source = [(rrweb.PICTURE_ID, {"src": _name(new.base)})]
                kept = _common(old.layers, new.layers)
            events.append(
                rrweb.mutation(
                    at,
                    [*source, *views.attributes],
                    views.removes,
                    views.adds,
                    self._raised(shown, kept),
                    [self._ids.of(_key(layer)) for layer in (old.layers if old else ()) if layer not in kept],
                    None if views.empty else shown.read_ms,
                )
            )
            if at - self._active_ms >= ACTIVE_MS and (new is None or old != new):
                events.append(rrweb.scroll(at))
        if (shown.covers, shown.blocked) != (self._shown.covers, self._shown.blocked):
            events.append(mask_event(at, shown))
        size = sum(_cost(rrweb.dumps(event)) for event in events)
        return events, size + sum(round(len(picture.data) * _INLINED) for picture in self._new(shown))

    def show(self, shown: Shown, events: Sequence[Event]) -> None:
        """Write the `change` to `shown`."""
        new = self._new(shown)
        for event in events:
            self._put(event, new)
            new = ()
        self._shown = shown

    def _new(self, shown: Shown) -> Sequence[Picture]:
        """The pictures that come with the change to `shown`."""
        old, new = self._shown.stack, shown.stack
        if old is None or new is None:
            return ()
        kept = _common(old.layers, new.layers)
        base = [] if old.base.digest == new.base.digest else [new.base]
        return [*base, *(layer.picture for layer in new.layers if layer not in kept)]

    def _raised(self, shown: Shown, kept: Sequence[Layer]) -> list[tuple[Event, int | None]]:
        """The layers of `shown` that are not there yet as nodes, uppermost first, each with the id of the one above."""
        stack = shown.stack
        if stack is None:
            return []
        width, height = shown.window
        raised: list[tuple[Event, int | None]] = []
        above: int | None = None
        for layer in reversed(stack.layers):
            node_id = self._ids.of(_key(layer))
            if layer not in kept:
                style = tree.placed(layer.box, width / stack.size.width, height / stack.size.height, 3)
                attributes = {"class": "l", "src": _name(layer.picture), "style": style, "alt": ""}
                raised.append((rrweb.element(node_id, "img", attributes), above))
            above = node_id
        return raised

    def append(self, events: Sequence[Event]) -> None:
        for event in events:
            self._put(event)

    def count(self, **more: int) -> None:
        """Add to the named fields of `counts`."""
        self.counts = replace(self.counts, **{name: getattr(self.counts, name) + n for name, n in more.items()})

    def seal(self, reason: SealReason, end_ms: int, losses: tuple[Loss, ...], cost: Cost = NO_COST) -> SealedSegment:
        """Close at `end_ms`, or at the last event if that is later."""
        manifest = self._manifest(reason, max(end_ms, self.last_ms + 1), losses, cost)
        return closed(manifest, self._events, self._pictures)

    def draft(self, losses: tuple[Loss, ...], cost: Cost = NO_COST) -> Draft | None:
        """What was written since the last draft, None when that is nothing and the losses are the same."""
        events, pictures = self._events[self._drafted :], list(self._pictures.values())[self._drafted_pictures :]
        if not events and losses == self._drafted_losses:
            return None
        self._drafted, self._drafted_pictures = len(self._events), len(self._pictures)
        self._drafted_losses = losses
        manifest = self._manifest("lost", self.last_ms, losses, cost)
        return Draft(manifest, tuple(data for _, data in events), {picture.digest: picture for picture in pictures})

    def _manifest(self, reason: SealReason, end_ms: int, losses: tuple[Loss, ...], cost: Cost) -> SegmentManifest:
        key, origin = self.origin.key, self.origin
        assert key.device_id is not None
        return SegmentManifest(
            id="",
            session_id=key.session_id,
            device_id=key.device_id,
            serial=origin.serial,
            seq=self.seq,
            start_ms=self.start_ms,
            end_ms=end_ms,
            reason=reason,
            counts=self.counts,
            pictures=tuple(self._pictures),
            bytes=0,
            losses=losses,
            device=dict(self._device),
            session_from=origin.session_from,
            device_from=origin.device_from,
            cost=cost,
        )

    def _put(self, event: Event, pictures: Iterable[Picture] = ()) -> None:
        if len(self._events) >= 2:
            event["timestamp"] = self.clamp(event["timestamp"])
        data = rrweb.dumps(event)
        self._events.append((event["timestamp"], data))
        self.last_ms = max(self.last_ms, event["timestamp"])
        if event["type"] == 3 and event["data"]["source"] in _DOINGS:
            self._active_ms = max(self._active_ms, event["timestamp"])
        self.size += _cost(data)
        for picture in pictures:
            self.size += round(len(picture.data) * _INLINED)
            self._pictures[picture.digest] = picture


def draft_id(manifest: SegmentManifest) -> str:
    """What an open segment is called: it is the same in its drafts and in what it is sealed as."""
    m = manifest
    identity = f"{m.serial}\0{m.session_id}\0{m.device_id}\0{m.seq}\0{m.start_ms}"
    return xxhash.xxh3_128_hexdigest(identity.encode("utf-8", "surrogatepass"))


def recovered(
    manifest: SegmentManifest, events: Iterable[bytes], pictures: Mapping[str, Picture], damaged: bool = False
) -> SealedSegment:
    """The segment that drafts make whose recorder ended without sealing it; a gap and a loss in it say so.

    `damaged` = the drafts end where one could not be read.
    """
    missing = DAMAGED if damaged else TAIL
    timed = [(int(orjson.loads(event)["timestamp"]), event) for event in events]
    end_ms = max(manifest.end_ms, *(at for at, _ in timed)) + 1
    payload = {
        "stage": "recorder", "reason": KILLED, "detail": missing, "from_ms": end_ms, "to_ms": end_ms, "ms": 0,
    }  # fmt: skip
    gap = rrweb.custom(end_ms, "gap", payload)
    counts = replace(manifest.counts, gaps=manifest.counts.gaps + 1)
    losses = (*manifest.losses, Loss("recorder", f"{KILLED}, {missing}", 1))
    whole = replace(manifest, end_ms=end_ms + 1, reason="lost", counts=counts, losses=losses)
    return closed(whole, [*timed, (end_ms, rrweb.dumps(gap))], pictures)


def closed(
    manifest: SegmentManifest, events: Iterable[tuple[int, bytes]], pictures: Mapping[str, Picture]
) -> SealedSegment:
    """Events, with their times, in order and closed by the `end` event of `manifest`, whose id and size it finds."""
    m = manifest
    lines = [data for _, data in sorted(events, key=lambda event: event[0])]
    content = xxhash.xxh3_128()
    for data in lines:
        content.update(data)
    identity = f"{m.serial}\0{m.session_id}\0{m.device_id}\0{m.seq}\0{m.start_ms}\0{m.end_ms}"
    content.update(identity.encode("utf-8", "surrogatepass"))
    name = content.hexdigest()
    payload = {
        "id": name,
        "seq": m.seq,
        "session_id": m.session_id,
        "device_id": m.device_id,
        "serial": m.serial,
        "reason": m.reason,
        "counts": {f: getattr(m.counts, f) for f in Counts.__slots__},
        "losses": [{"stage": x.stage, "reason": x.reason, "count": x.count} for x in m.losses],
        "start_ms": m.start_ms,
        "end_ms": m.end_ms,
        "device": dict(m.device),
        "session_from": m.session_from,
        "device_from": m.device_from,
        "cost": {f: getattr(m.cost, f) for f in Cost.__slots__},
    }
    lines.append(rrweb.dumps(rrweb.custom(m.end_ms, "end", payload)))
    size = sum(map(len, lines)) + sum(len(p.data) for p in pictures.values())
    return SealedSegment(replace(m, id=name, bytes=size), tuple(lines), dict(pictures))


def mask_event(at_ms: int, shown: Shown) -> Event:
    """What of the picture is covered, in pixels of the screen, and by which rules."""
    rules = Counter(cover.rule for cover in shown.covers)
    kinds = Counter(cover.kind for cover in shown.covers)
    rects = [[c.bounds.left, c.bounds.top, c.bounds.right, c.bounds.bottom, c.rule] for c in shown.covers]
    payload = {
        "count": len(shown.covers),
        "kinds": kinds,
        "rules": rules,
        "blocked": shown.blocked,
        "rects": rects,
        "screen": [shown.screen.width, shown.screen.height],
    }
    return rrweb.custom(at_ms, "mask", payload)


def _pictures(stack: Stack | None) -> list[Picture]:
    return [] if stack is None else [stack.base, *(layer.picture for layer in stack.layers)]


def _common(old: Sequence[Layer], new: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers that may stay where they are: all that are in both, unless their order differs."""
    kept = tuple(layer for layer in old if layer in new)
    return kept if kept == tuple(layer for layer in new if layer in old) else ()


def _key(layer: Layer) -> str:
    b = layer.box
    return f"layer {layer.picture.digest} {b.left} {b.top} {b.right} {b.bottom}"


def _name(picture: Picture) -> str:
    return f"picture:{picture.digest}"


def _cost(data: bytes) -> int:
    """Length inside the upload's body, where an event is a JSON text in a JSON text."""
    return len(data) + data.count(b'"') + data.count(b"\\") + 3
