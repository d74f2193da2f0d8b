"""Stricter rules over what is recorded already: which pictures are covered where, what is starred, what is dropped.

A recording holds the views flat: what lies in a view's box counts as below it. Three passes over all segments, in
order: `learn` (what is hidden), `look` (which pictures showed it), `rewrite`.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import xxhash
from PIL import Image

from agent.model import Loss, MaskLevel, Picture, SegmentManifest
from agent.privacy import Rules, beyond
from agent.replay import rrweb, rules
from agent.replay.audit import rects_of, screen_of
from agent.replay.canvas import COVER
from agent.replay.composite import UNREADABLE
from agent.replay.marks import MAX_LOG_CHARS, MAX_MARKER_CHARS, MAX_PROOF_CHARS, OPEN_CHARS
from agent.replay.mask import Masker
from agent.replay.playback import OPENING_MS, Box, Change, Playback, State, View, mappings, ms_of
from agent.replay.properties import private_values
from agent.replay.rrweb import Event
from agent.replay.secrets import secrets_in
from agent.replay.text import STARS, is_open, may_be_cut
from bridge.types import Bounds, Node, NodeFlag

SEEN = Change.VIEWS | Change.PICTURE | Change.MASK
# What was drawn near an edge is in the pixels around it: dp of the window, then pixels of the decoded picture (see
# `canvas`: a block of what the picture came as, a pixel of its edge, and what is drawn into the next).
GROW_DP = 1.0
GROW_PX = 12
QUALITY = 60
RECT = "rect"
MOVING = "moving"
# A picture that stayed so long by itself, with its views, shows them where they are: the next one of a screen that
# moves comes within a second at the lowest rate.
STILL_MS = 1_200
# How soon a piece of a long text follows the one before.
PIECES_MS = 100
_REFERENCE = re.compile(rb'"picture:([0-9a-f]{32})"')
_CUT = frozenset((MAX_LOG_CHARS, MAX_MARKER_CHARS, MAX_PROOF_CHARS))
_IDS = frozenset(("id", "session_id", "device_id", "messageId", "serial", "reason", "stage", "rule"))
_UNTOUCHED = frozenset(("mask", "session", "end"))
# Where pages say something, which other recorders store.
_SAYING = ("alt", "placeholder", "title", "value")
_CODE = frozenset(("script", "style"))

Share = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be hidden, on top of what is: nothing can be shown again.

    `rects` are in pixels of the screen. What is shown from `from_ms` to `to_ms` is looked at; words are starred always.
    """

    level: MaskLevel | None
    rules: Rules
    rects: tuple[Bounds, ...] = ()
    from_ms: int = 0
    to_ms: int = 2**63


@dataclass(frozen=True, slots=True)
class Cover:
    """A box to be covered, in dp, by which rule; where it is a `block` touches are dropped, too."""

    box: Box
    kind: str
    rule: str


@dataclass(slots=True)
class _Moment:
    """What is shown from an event of a segment on, and what of it is to be covered."""

    index: int
    state: State
    until_ms: int
    covers: tuple[Cover, ...] = ()
    # Where touches are dropped, whether that place was covered before or not.
    barred: tuple[Box, ...] = ()


class NoScreen(Exception):
    """A rectangle in pixels is asked for where the recording does not say how many pixels the screen has."""


class Redaction:
    """The passes over one recording. `covered` says which share of which picture (by digest) is to go."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._masker = Masker(order.level or "light", None, rules=order.rules)
        self._verdicts: dict[tuple[str | None, ...], tuple[str, str]] = {}
        self._starred: set[tuple[str, int, str]] = set()
        self._moments: dict[str, list[_Moment]] = {}
        self._last: tuple[str, _Moment] | None = None
        self._said: dict[str, tuple[int, str]] = {}
        self.covered: dict[str, set[Share]] = {}
        self.texts = 0

    def learn(self, events: Iterable[Event]) -> None:
        """First pass: what do the hidden views say, and what events that are recorded in the log as well?"""
        words: dict[str, None] = {}
        texts: dict[str, None] = {}
        told: dict[str, None] = {}
        events = list(events)
        for event in events:
            if body := _body(event):
                told |= dict.fromkeys(private_values(body, self._masker.level))
        for moment in self._shown(events):
            for view, kind, rule in self._hidden(moment.state):
                label = view.attributes.get("aria-label", "")
                if kind != "label":
                    (texts if rule == "text" else words).update(dict.fromkeys(secrets_in(label)))
        self._masker.hide(tuple(words), tuple(texts), tuple(told))
        self._verdicts.clear()

    def look(self, segment: str, replay: str, events: Iterable[Event]) -> None:
        """Second pass, the segments of a replay in order. Raises NoScreen."""
        moments = self._shown(events)
        before = self._last[1] if self._last is not None and self._last[0] == replay else None
        for n, moment in enumerate(moments):
            covers: list[Cover] = []
            barred: list[Box] = []
            for view, kind, rule in self._hidden(moment.state):
                label = view.attributes.get("aria-label", "")
                if label and label != STARS:
                    self._starred.add((replay, view.id, label))
                if kind in ("block", "mask") and not _covered_already(view.box, moment.state):
                    covers.append(Cover(view.box, kind, rule))
                elif kind == "block" and rule.startswith("block "):
                    # What a level blocks is no secret to fingers.
                    barred.append(view.box)
            rects = self._rects(moment.state)
            for view in moment.state.views if rects else ():
                label = view.attributes.get("aria-label", "")
                if label and label != STARS and any(_share(rect.box, view.box) for rect in rects):
                    self._starred.add((replay, view.id, label))
            covers += rects
            moment.covers = tuple(dict.fromkeys(covers))
            moment.barred = (*barred, *(cover.box for cover in moment.covers if cover.kind == "block"))
            # The picture and the views were taken at different instants.
            self._cover(moment.state, moment.covers)
            if before is not None:
                self._cover(moment.state, before.covers)
                self._cover(before.state, moment.covers)
                swept = _swept(before, moment, _until(moments[n:]))
                if swept is not None:
                    cover = Cover(swept, "mask", MOVING)
                    self._cover(moment.state, [cover], _sources(before.state))
                    moment.covers = (*moment.covers, cover)
            before = moment
        if before is not None:
            self._last = replay, before
        self._moments[segment] = moments

    def rewrite(
        self, manifest: SegmentManifest, replay: str, events: Sequence[Event], renamed: Mapping[str, str]
    ) -> tuple[SegmentManifest, tuple[bytes, ...]] | None:
        """Third pass: the segment as it is to be, None when nothing in it changes.

        `renamed` gives the new digest of each picture that was covered. `bytes` of the manifest is that of the events.
        """
        out: list[Event] = []
        changed, dropped = False, 0
        moments = self._moments.get(manifest.id, [])
        by_index = {moment.index: n for n, moment in enumerate(moments)}
        now = -1
        told: tuple[Cover, ...] = ()
        mask: Mapping[str, Any] = {}
        for index, event in enumerate(events):
            now = by_index.get(index, now)
            around = moments[max(0, now - 1) : now + 2] if now >= 0 else []
            if _touches(event, [box for moment in around for box in moment.barred]):
                dropped += 1
                changed = True
                continue
            new = self._rewritten(event, replay)
            told_mask = _payload(event, "mask")
            is_mask = told_mask is not None
            if told_mask is not None:
                mask = told_mask
            covers = moments[now].covers if now >= 0 else ()
            if is_mask:
                new = _merged(event, mask, covers, moments[now].state)
            changed = changed or new != event
            out.append(new)
            if not is_mask and covers != told and index in by_index and event.get("type") != 4:
                told_here = rrweb.custom(event.get("timestamp", 0), "mask", {})
                out.append(_merged(told_here, mask, covers, moments[now].state))
                changed = True
            told = covers
        old = [digest for digest in manifest.pictures if digest in renamed]
        if not changed and not old:
            return None
        lines = [_REFERENCE.sub(lambda m: _reference(m, renamed), rrweb.dumps(event)) for event in out]
        content = xxhash.xxh3_128(manifest.id.encode())
        for line in lines:
            content.update(line)
        name = content.hexdigest()
        if out and (end := _payload(out[-1], "end")) is not None:
            payload = {**end, "id": name, "supersedes": manifest.id}
            lines[-1] = rrweb.dumps({**out[-1], "data": {**out[-1]["data"], "payload": payload}})
        losses = manifest.losses + ((Loss("touch", "redacted", dropped),) if dropped else ())
        made = replace(
            manifest,
            id=name,
            pictures=tuple(dict.fromkeys(renamed.get(digest, digest) for digest in manifest.pictures)),
            bytes=sum(map(len, lines)),
            losses=losses,
            supersedes=manifest.id,
        )
        return made, tuple(lines)

    def _shown(self, events: Iterable[Event]) -> list[_Moment]:
        playback = Playback()
        moments: list[_Moment] = []
        last = 0
        for index, event in enumerate(events):
            last = max(last, ms_of(event))
            if playback.feed(event) & SEEN:
                state = playback.state
                if moments:
                    moments[-1].until_ms = state.at_ms
                moments.append(_Moment(index, state, last))
        if moments:
            moments[-1].until_ms = last
        if len(moments) > 1 and moments[1].state.at_ms - moments[0].state.at_ms <= OPENING_MS:
            # What covers the opening picture is told just behind it.
            moments[0].state = replace(moments[0].state, mask=moments[1].state.mask)
        wanted = range(self._order.from_ms, self._order.to_ms)
        for moment in moments:
            if moment.until_ms < wanted.start or moment.state.at_ms >= wanted.stop:
                moment.state = replace(moment.state, views=(), at_ms=-1)
        return moments

    def _hidden(self, state: State) -> list[tuple[View, str, str]]:
        """The views that are to be hidden, what to do ("label": star the words only), and the rule."""
        package = state.href.removeprefix("android-app://").partition("/")[0]
        judged = [(view, *self._judged(view, state, package)) for view in state.views]
        over = [(n, *each) for n, each in enumerate(judged) if each[1] not in ("", "label")]
        found: list[tuple[View, str, str]] = []
        for n, (view, kind, rule) in enumerate(judged):
            if kind in ("", "label"):
                # A container whose node was made anew stands behind what is in it, and is larger.
                above = (
                    (its, why)
                    for m, one, its, why in over
                    if view.box.within(one.box, GROW_DP) and (m < n or not one.box.within(view.box, GROW_DP))
                )
                kind, rule = next(above, (kind, rule))
            if kind:
                found.append((view, kind, rule))
        return found

    def _judged(self, view: View, state: State, package: str) -> tuple[str, str]:
        label = view.attributes.get("aria-label", "")
        words = "" if label == STARS else label
        below = tuple(_words_in(view, state)) if words else ()
        get = view.attributes.get
        key = get("data-class"), get("data-res"), get("data-flags"), words, package, *below
        if key not in self._verdicts:
            self._verdicts[key] = self._judge(view, words, below, package)
        return self._verdicts[key]

    def _judge(self, view: View, words: str, below: tuple[str, ...], package: str) -> tuple[str, str]:
        """`below` is what views in it say: what else a container says is its own."""
        own = beyond(words, below)
        flags = NodeFlag.PASSWORD if "password" in view.attributes.get("data-flags", "").split() else NodeFlag.NONE
        place = Bounds(0, 0, 1, 1)
        node = Node(
            place,
            view.attributes.get("data-class", ""),
            view.attributes.get("data-res", ""),
            "" if below else words,
            words,
            package=package,
            flags=flags,
            children=tuple(Node(place, "", text=said) for said in below),
        )
        wish = self._order.rules.judge(node)
        if wish is not None and wish[0] != "unmask":
            return wish
        if self._order.level is not None:
            verdict = rules.judge(node, "", self._order.level)
            if verdict is not None:
                return verdict
        if words and self._masker.text(words) != words:
            return "mask" if self._masker.text(own) != own else "label", "echo"
        if words and self._order.level == "conservative":
            return "mask" if own else "label", "text"
        return "", ""

    def _rects(self, state: State) -> list[Cover]:
        if not self._order.rects or state.at_ms < 0 or state.blocked:
            return []
        screen = screen_of(state)
        if screen is None:
            if state.mask:
                raise NoScreen
            # Before the first cover is told nothing says how many pixels there are: the next moment covers this one.
            return []
        across, down = state.width / screen[0], state.height / screen[1]
        return [
            Cover(Box(r.left * across, r.top * down, r.width * across, r.height * down), "block", RECT)
            for r in self._order.rects
        ]

    def _cover(self, state: State, covers: Iterable[Cover], but: Set[str] = frozenset()) -> None:
        for cover in covers:
            for source, box in (
                (state.base, Box(0, 0, state.width, state.height)),
                *((x.source, x.box) for x in state.layers),
            ):
                share = _share(cover.box, box)
                if share is not None and source.startswith("picture:") and source not in but:
                    self.covered.setdefault(source.removeprefix("picture:"), set()).add(share)

    def _rewritten(self, event: Event, replay: str) -> Event:
        kind, data = event.get("type"), event.get("data")
        if not isinstance(data, Mapping):
            return event
        if kind == 4:
            return {**event, "data": {**data, "href": self._masker.text(str(data.get("href", "")))}}
        if kind == 2:
            return {**event, "data": {**data, "node": self._node(data.get("node"), replay)}}
        if kind == 3 and data.get("source") == 0:
            adds = [{**add, "node": self._node(add.get("node"), replay)} for add in mappings(data.get("adds"))]
            changes = [
                {**change, "attributes": self._attributes(change.get("id"), change.get("attributes"), replay)}
                for change in mappings(data.get("attributes"))
            ]
            # What is no change at all goes: no player knows what it means.
            changed = {**data, "adds": adds, "attributes": changes}
            if isinstance(data.get("texts"), list):
                changed["texts"] = [
                    {**each, "value": self._strings(each.get("value"))} for each in mappings(data["texts"])
                ]
            return {**event, "data": changed}
        if kind == 3 and data.get("source") == 5 and "text" in data:
            return {**event, "data": {**data, "text": self._strings(data["text"])}}
        if kind == 5:
            tag, payload = str(data.get("tag", "")), data.get("payload")
            if tag in _UNTOUCHED or payload is None:
                return event
            if tag.startswith("segment:") and isinstance(payload, Mapping):
                field = _field(tag)
                cleaned = self._masker.event({field: payload.get("properties", {})})[field]
                name = self._masker.name(str(payload.get("event", "")))
                told = {**payload, "event": name, "properties": cleaned}
                if isinstance(missing := payload.get("missing"), list):
                    told["missing"] = [self._masker.name(str(each)) for each in missing]
                # One that is starred names nobody.
                if (user := told.get("userId")) is not None and self._masker.text(str(user)) != str(user):
                    del told["userId"]
                return {**event, "data": {**data, "payload": told}}
            return {**event, "data": {**data, "payload": self._strings(payload)}}
        if kind == 6 and isinstance(data.get("payload"), Mapping):
            payload = data["payload"]
            lines = payload.get("payload")
            if isinstance(lines, list):
                at = event.get("timestamp", 0)
                cleaned_lines = [
                    self._line(line, at) if isinstance(line, str) else self._strings(line) for line in lines
                ]
                trace = {"trace": self._strings(payload["trace"])} if "trace" in payload else {}
                return {**event, "data": {**data, "payload": {**payload, "payload": cleaned_lines, **trace}}}
            if data.get("plugin") != rrweb.TOUCH:
                return {**event, "data": {**data, "payload": self._strings(payload)}}
        return event

    def _line(self, line: str, at_ms: int) -> str:
        """A line of the log, which may go on with what one of the same tag began just before."""
        head, sign, message = line.partition(": ")
        last_ms, before = self._said.get(head, (at_ms, ""))
        goes_on = 0 <= at_ms - last_ms < PIECES_MS
        said = message.rstrip("\r\n")
        so_far = before + said if goes_on and before.endswith("\n") else said
        opened = is_open(so_far) and not may_be_cut(said)
        self._said[head] = at_ms, f"{so_far[-OPEN_CHARS:]}\n" if opened else said
        cut = len(line) == MAX_LOG_CHARS
        if not sign:
            return self._masker.text(line, cut=cut)
        return self._masker.text(head) + sign + self._masker.text(message, before if goes_on else "", cut=cut)

    def _strings(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._masker.text(value, cut=len(value) in _CUT)
        if isinstance(value, Mapping):
            return {key: one if key in _IDS else self._strings(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._strings(one) for one in value]
        return value

    def _node(self, node: Any, replay: str) -> Any:
        if not isinstance(node, Mapping):
            return node
        out = dict(node)
        if "attributes" in out:
            out["attributes"] = self._attributes(out.get("id"), out["attributes"], replay)
        if isinstance(out.get("textContent"), str):
            out["textContent"] = self._masker.text(out["textContent"])
        if isinstance(out.get("childNodes"), list) and out.get("tagName") not in _CODE:
            out["childNodes"] = [self._node(child, replay) for child in out["childNodes"]]
        return out

    def _attributes(self, node_id: Any, attributes: Any, replay: str) -> Any:
        if not isinstance(attributes, Mapping):
            return attributes
        out = dict(attributes)
        label = out.get("aria-label")
        if isinstance(label, str) and label != STARS:
            cleaned = self._masker.text(label)
            out["aria-label"] = STARS if (replay, node_id, label) in self._starred else cleaned
            self.texts += out["aria-label"] != label
        for name in _SAYING:
            if isinstance(out.get(name), str):
                out[name] = self._masker.text(out[name])
        if isinstance(out.get("data-class"), str):
            out["data-class"] = self._masker.name(out["data-class"])
        # What an app gives its views at run time; what it was built with names nobody.
        if isinstance(test_id := out.get("data-res"), str) and ":id/" not in test_id:
            out["data-res"] = STARS if self._masker.made_of(test_id) else self._masker.name(test_id)
        return out


def covered(picture: Picture, shares: Iterable[Share]) -> Picture:
    """The picture with these shares of it grey; one that cannot be decoded is grey as a whole."""
    try:
        with Image.open(io.BytesIO(picture.data)) as image:
            pixels = image.convert("RGB")
    except UNREADABLE:
        pixels, shares = Image.new("RGB", (GROW_PX, GROW_PX)), [(0.0, 0.0, 1.0, 1.0)]
    for left, top, right, bottom in shares:
        box = (
            max(0, math.floor(left * pixels.width) - GROW_PX),
            max(0, math.floor(top * pixels.height) - GROW_PX),
            min(pixels.width, math.ceil(right * pixels.width) + GROW_PX),
            min(pixels.height, math.ceil(bottom * pixels.height) + GROW_PX),
        )
        pixels.paste((COVER, COVER, COVER), box)
    out = io.BytesIO()
    pixels.save(out, "WEBP", quality=QUALITY, method=0)
    data = out.getvalue()
    return Picture(xxhash.xxh3_128_hexdigest(data), "image/webp", data)


def _share(cover: Box, of: Box) -> Share | None:
    """The part of a picture that stands at `of` under a cover, from 0 to 1 on each side; None when there is none."""
    if of.width <= 0 or of.height <= 0 or cover.width <= 0 or cover.height <= 0:
        return None
    left, right = cover.left - GROW_DP - of.left, cover.left + cover.width + GROW_DP - of.left
    top, bottom = cover.top - GROW_DP - of.top, cover.top + cover.height + GROW_DP - of.top
    if right <= 0 or bottom <= 0 or left >= of.width or top >= of.height:
        return None
    return (
        max(0.0, left / of.width), max(0.0, top / of.height),
        min(1.0, right / of.width), min(1.0, bottom / of.height),
    )  # fmt: skip


def _until(moments: Sequence[_Moment]) -> int:
    """Until when the pictures and the places of the views stay as they are in the first of these."""
    first = moments[0].state
    for moment in moments[1:]:
        state = moment.state
        if _sources(state) != _sources(first) or _places(state) != _places(first):
            return state.at_ms
    return moments[-1].until_ms


def _places(state: State) -> list[tuple[int, Box]]:
    return [(view.id, view.box) for view in state.views]


def _swept(before: _Moment, now: _Moment, until_ms: int) -> Box | None:
    """Where hidden views may be drawn in the pictures that came with `now`, taken while the views went from the places
    of `before` to those of `now`: the innermost scrolling view around all that moved, or the whole window."""
    if before.state.blocked or now.state.blocked or min(before.state.at_ms, now.state.at_ms) < 0:
        return None
    if until_ms - now.state.at_ms >= STILL_MS:
        return None
    places = [{cover.box for cover in each.covers if cover.rule not in (RECT, MOVING)} for each in (before, now)]
    moved = places[0] ^ places[1]
    if not moved:
        return None
    then = {view.id: view.box for view in before.state.views}
    around = [
        view.box
        for view in now.state.views
        if "scrollable" in view.attributes.get("data-flags", "").split()
        and then.get(view.id) == view.box
        and all(box.within(view.box, GROW_DP) for box in moved)
    ]
    if around:
        return min(around, key=lambda box: box.width * box.height)
    # What only came or went stood in its place all the while.
    went = any(view.box in places[1] and then.get(view.id, view.box) != view.box for view in now.state.views)
    return Box(0, 0, now.state.width, now.state.height) if went else None


def _sources(state: State) -> set[str]:
    return {state.base, *(layer.source for layer in state.layers)}


def _words_in(view: View, state: State) -> Iterator[str]:
    """What other views in a view say: the words of a container are those."""
    for other in state.views:
        if other.id > view.id and (label := other.attributes.get("aria-label")) and other.box.within(view.box, GROW_DP):
            yield label


def _covered_already(box: Box, state: State) -> bool:
    screen = screen_of(state)
    if screen is None or not state.width or not state.height:
        return False
    across, down = screen[0] / state.width, screen[1] / state.height
    place = Bounds(
        round(box.left * across), round(box.top * down),
        round((box.left + box.width) * across), round((box.top + box.height) * down),
    )  # fmt: skip
    return any(place.union(bounds) == bounds for bounds, _ in rects_of(state))


def _field(tag: str) -> str:
    """What the properties of an event are called in Segment's own form, by its tag."""
    return "traits" if tag in ("segment:identify", "segment:group") else "properties"


def _body(event: Event) -> Mapping[str, object]:
    """The properties of a Segment event, in its own form; nothing of any other."""
    data = event.get("data")
    tag = str(data.get("tag", "")) if event.get("type") == 5 and isinstance(data, Mapping) else ""
    payload = data.get("payload") if isinstance(data, Mapping) and tag.startswith("segment:") else None
    return {_field(tag): payload.get("properties", {})} if isinstance(payload, Mapping) else {}


def _payload(event: Event, tag: str) -> Mapping[str, Any] | None:
    """What a custom event of that tag tells; None of any other, and where there is nothing in it."""
    data = event.get("data")
    if event.get("type") != 5 or not isinstance(data, Mapping) or data.get("tag") != tag:
        return None
    payload = data.get("payload")
    return payload if isinstance(payload, Mapping) else None


def _counts(value: object) -> dict[str, int]:
    counts = value if isinstance(value, Mapping) else {}
    return {str(name): count for name, count in counts.items() if isinstance(count, int)}


def _touches(event: Event, boxes: Sequence[Box]) -> bool:
    """Whether it tells of a finger in one of the boxes."""
    data = event.get("data")
    if not boxes or not isinstance(data, Mapping):
        return False
    places: list[Any] = []
    if event.get("type") == 3 and data.get("source") in (2, 6):
        places = [data, *mappings(data.get("positions"))]
    elif event.get("type") == 6 and data.get("plugin") == rrweb.TOUCH:
        places = [data.get("payload")]
    return any(
        isinstance(place, Mapping)
        and isinstance(x := place.get("x"), int | float)
        and isinstance(y := place.get("y"), int | float)
        and any(b.left <= x <= b.left + b.width and b.top <= y <= b.top + b.height for b in boxes)
        for place in places
    )


def _merged(event: Event, mask: Mapping[str, Any], covers: Sequence[Cover], state: State) -> Event:
    """A `mask` event that tells of the new covers, too."""
    at = event.get("timestamp", 0)
    if not covers:
        return rrweb.custom(at, "mask", mask or {"count": 0, "rules": {}, "blocked": "", "rects": []})
    payload = dict(mask)
    counted, kinds, rects = _counts(payload.get("rules")), _counts(payload.get("kinds")), payload.get("rects")
    rects, count = list(rects) if isinstance(rects, list) else [], payload.get("count")
    screen = screen_of(state)
    if screen is None and not rects:
        # Nothing says how many pixels there are: the window's own measure does.
        screen = state.width, state.height
    if screen is not None:
        payload["screen"] = list(screen)
    for cover in covers:
        counted[cover.rule] = counted.get(cover.rule, 0) + 1
        kinds[cover.kind] = kinds.get(cover.kind, 0) + 1
        if screen is not None:
            across, down = screen[0] / state.width, screen[1] / state.height
            b = cover.box
            edges = b.left * across, b.top * down, (b.left + b.width) * across, (b.top + b.height) * down
            rects.append([*map(round, edges), cover.rule])
    payload |= {
        "count": (count if isinstance(count, int) else 0) + len(covers), "rules": counted, "kinds": kinds,
        "rects": rects, "blocked": payload.get("blocked") or "",
    }  # fmt: skip
    return rrweb.custom(at, "mask", payload)


def _reference(match: re.Match[bytes], renamed: Mapping[str, str]) -> bytes:
    digest = match[1].decode()
    return b'"picture:' + renamed.get(digest, digest).encode() + b'"'
