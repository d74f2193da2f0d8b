from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
import xxhash
from fakes.segments import custom, segment
from numpy.typing import NDArray
from PIL import Image

from agent.model import MaskLevel, Picture, SealedSegment
from agent.privacy import Rules, rule
from agent.replay import rrweb
from agent.replay.canvas import COVER
from agent.replay.marks import MAX_LOG_CHARS, MAX_PROOF_CHARS
from agent.replay.redaction import NoScreen, Order, Redaction, covered
from agent.replay.validator import validate
from bridge.types import Bounds

START = 1_760_000_001_000
WINDOW = (100, 200)


def box(node_id: int, place: tuple[int, int, int, int], label: str = "", **more: str) -> rrweb.Event:
    left, top, width, height = place
    style = f"left:{left}px;top:{top}px;width:{width}px;height:{height}px"
    attributes = {"class": "v", "style": style, "data-class": "android.widget.TextView", **more}
    return rrweb.element(node_id, "div", attributes | ({"aria-label": label} if label else {}))


def picture(shade: int, size: tuple[int, int] = (200, 400)) -> Picture:
    out = io.BytesIO()
    Image.new("RGB", size, (shade, 40, 200)).save(out, "WEBP", lossless=True)
    return Picture(xxhash.xxh3_128_hexdigest(out.getvalue()), "image/webp", out.getvalue())


def mask(at: int, rects: list[Any] | None = None, blocked: str = "") -> rrweb.Event:
    payload = {"count": 0, "rules": {}, "blocked": blocked, "rects": rects or [], "screen": [300, 600]}
    return rrweb.custom(at, "mask", payload)


def src(picture: Picture) -> dict[str, str]:
    return {"src": f"picture:{picture.digest}"}


def opened(shown: Picture, *views: rrweb.Event) -> list[rrweb.Event]:
    href = "android-app://com.example.shop/.Main"
    return [
        rrweb.meta(START, href, *WINDOW),
        rrweb.full_snapshot(START + 1, src(shown)["src"], *WINDOW, views),
        mask(START + 2),
    ]


def sealed(events: list[rrweb.Event], *pictures: Picture) -> SealedSegment:
    """The events as a segment with an end."""
    base = segment()
    end = orjson.loads(base.events[-1])
    lines = (*map(rrweb.dumps, events), rrweb.dumps({**end, "timestamp": START + 29_000}))
    manifest = replace(base.manifest, pictures=tuple(p.digest for p in pictures))
    return SealedSegment(manifest, lines, {p.digest: p for p in pictures})


def redacted(
    made: SealedSegment, *flags: str, level: MaskLevel | None = None, **more: Any
) -> tuple[list[rrweb.Event], dict[str, Picture]] | None:
    """The rewritten events with the new pictures by their old digests; None when nothing changed."""
    pairs = [flag.partition(" ") for flag in flags]
    rules = Rules([rule(action, text) for action, _, text in pairs])  # type: ignore[arg-type]
    redaction = Redaction(Order(level, rules, **more))
    events = [orjson.loads(line) for line in made.events]
    redaction.learn(events)
    redaction.look(made.manifest.id, "a", events)
    new = {digest: covered(made.pictures[digest], shares) for digest, shares in redaction.covered.items()}
    out = redaction.rewrite(made.manifest, "a", events, {old: p.digest for old, p in new.items()})
    if out is None:
        return None
    manifest, lines = out
    assert manifest.supersedes == made.manifest.id != manifest.id
    last = orjson.loads(lines[-1])["data"]["payload"]
    assert (last["id"], last["supersedes"]) == (manifest.id, made.manifest.id)
    kept = {digest: made.pictures[digest] for digest in manifest.pictures if digest in made.pictures}
    assert validate(lines, {**kept, **{p.digest: p for p in new.values()}}) == []
    return [orjson.loads(line) for line in lines], new


def pixels(shown: Picture) -> NDArray[np.int_]:
    return np.asarray(Image.open(io.BytesIO(shown.data)).convert("RGB")).astype(int)


def grey(part: NDArray[np.int_]) -> bool:
    return part.size > 0 and bool((np.abs(part - COVER) <= 8).all())


A, B, C = picture(250), picture(150), picture(90)


def test_a_view_is_covered_in_the_pictures_before_then_and_after_and_starred() -> None:
    total = box(100, (10, 20, 50, 30), "Total 12,50", **{"data-res": "com.example.shop:id/total"})
    events = [
        *opened(A),
        rrweb.mutation(START + 1000, [(10, src(B))], adds=[total]),
        rrweb.mutation(START + 2000, [(10, src(C))], removes=[100]),
        rrweb.log(START + 3000, "info", "drew Total 12,50 now"),
        custom(START + 3000, "segment:track", {"event": "Paid", "properties": {"shown": "Total 12,50"}}),
    ]
    found = redacted(sealed(events, A, B, C), "mask id=total")
    assert found is not None
    out, new = found
    assert new.keys() == {A.digest, B.digest, C.digest}
    for shown in new.values():
        p = pixels(shown)
        assert grey(p[40:100, 20:120])
        assert not grey(p[150:])
        assert not grey(p[:, 150:])
    text = orjson.dumps(out).decode()
    assert "12,50" not in text
    assert "*****" in text
    assert A.digest not in text
    masks = [
        (e["timestamp"] - START, e["data"]["payload"]) for e in out if e["type"] == 5 and e["data"]["tag"] == "mask"
    ]
    assert [(at, list(payload["rules"])) for at, payload in masks] == [
        (2, []), (1000, ["mask id=total"]), (2000, []),
    ]  # fmt: skip
    assert masks[1][1]["rects"] == [[30, 60, 180, 150, "mask id=total"]]


def test_layers_are_covered_where_they_lie_over_the_view() -> None:
    over, beside = picture(10, (40, 40)), picture(20, (40, 40))
    layers = [
        rrweb.element(50, "img", {"class": "l", **src(over), "style": "left:20px;top:20px;width:40px;height:40px"}),
        rrweb.element(51, "img", {"class": "l", **src(beside), "style": "left:50px;top:150px;width:40px;height:40px"}),
    ]
    view = box(100, (10, 10, 20, 20), "x", **{"data-res": "com.example.shop:id/secret"})
    events = [*opened(A, view), rrweb.mutation(START + 1000, layers=[(layer, None) for layer in layers])]
    found = redacted(sealed(events, A, over, beside), "block id=secret")
    assert found is not None
    _, new = found
    assert new.keys() == {A.digest, over.digest}
    p = pixels(new[over.digest])
    assert grey(p[:11, :11])
    assert not grey(p[24:, 24:])


def test_what_lies_in_a_hidden_view_is_hidden_with_it() -> None:
    card = box(100, (0, 50, 100, 50), **{"data-res": "card", "data-class": "android.view.ViewGroup"})
    events = opened(A, card, box(101, (10, 60, 30, 10), "Anna Bell"), box(102, (10, 160, 30, 10), "Pay"))
    found = redacted(sealed(events, A), "mask testid=card")
    assert found is not None
    labels = [n["attributes"].get("aria-label") for n in views(found[0])]
    assert labels == [None, "*****", "Pay"]


def views(events: list[rrweb.Event]) -> list[dict[str, Any]]:
    body = events[1]["data"]["node"]["childNodes"][1]["childNodes"][1]["childNodes"]
    return next(node["childNodes"] for node in body if node["id"] == rrweb.VIEWS_ID)  # type: ignore[no-any-return]


def test_words_are_hidden_in_every_text_and_covered_where_a_view_shows_them() -> None:
    joined = box(100, (0, 0, 100, 100), "Anna Bell, Pay", **{"data-class": "android.view.ViewGroup"})
    events = [
        *opened(A, joined, box(101, (0, 0, 50, 20), "Anna Bell"), box(102, (0, 60, 50, 20), "Pay")),
        rrweb.log(START + 100, "info", "for anna bell"),
        custom(
            START + 200,
            "segment:identify",
            {"event": "Anna Bell", "userId": "anna bell", "properties": {"n": ["Anna Bell"], "ok": 1}},
        ),
        custom(START + 300, "doctor", {"rule": "x", "proof": "Anna Bell"}),
        custom(START + 400, "marker", {"text": {"a": ["by Anna Bell"]}}),
    ]
    found = redacted(sealed(events, A), "mask text=Anna Bell")
    assert found is not None
    out, new = found
    assert "anna bell" not in orjson.dumps(out).decode().lower()
    p = pixels(new[A.digest])
    assert grey(p[:40, :100])
    assert not grey(p[80:])
    assert [n["attributes"]["aria-label"] for n in views(out)][1:] == ["*****", "Pay"]


@pytest.mark.parametrize("flags", [("mask id=first", "mask id=who"), ("mask text=Anna", "mask text=Anna Bell")])
def test_no_hidden_word_breaks_a_longer_one(flags: tuple[str, ...]) -> None:
    events = [
        *opened(
            A,
            box(100, (0, 0, 50, 20), "Anna", **{"data-res": "com.x:id/first"}),
            box(101, (0, 60, 50, 20), "Anna Bell", **{"data-res": "com.x:id/who"}),
        ),
        rrweb.log(START + 100, "info", "hello Anna Bell"),
        custom(START + 200, "segment:track", {"event": "x", "properties": {"by": "Anna Bell"}}),
    ]
    found = redacted(sealed(events, A), *flags)
    assert found is not None
    assert "Bell" not in orjson.dumps(found[0]).decode()


def test_a_hidden_label_of_several_lines_is_learnt_line_by_line() -> None:
    events = [
        *opened(A, box(100, (0, 0, 50, 20), "Anna Bell\n5 Elm Row", **{"data-res": "com.x:id/who"})),
        rrweb.log(START + 100, "info", "hello Anna Bell, to 5 elm row"),
        custom(START + 200, "segment:track", {"event": "x", "properties": {"by": "Anna Bell"}}),
    ]
    found = redacted(sealed(events, A), "block id=who")
    assert found is not None
    text = orjson.dumps(found[0]).decode()
    assert "Bell" not in text
    assert "elm" not in text.lower()


def test_a_stricter_level_stars_what_events_tell_of_persons_also_in_the_log() -> None:
    who = {"name": "Anna Bell", "company": {"name": "Acme Works"}, "street": "Elm Road 5", "plan": "gold"}
    events = [
        *opened(A),
        rrweb.log(START + 50, "info", "I/Tag: delivering to Elm Road 5, for anna bell"),
        custom(START + 100, "segment:identify", {"properties": who, "missing": ["Elm Road 5"]}),
        custom(START + 200, "segment:track", {"event": "x", "properties": {"name": "Shoe"}}),
    ]
    found = redacted(sealed(events, A), level="medium")
    assert found is not None
    text = orjson.dumps(found[0]).decode()
    assert [word for word in ("Bell", "bell", "Acme", "Elm", "gold", "Shoe") if word in text] == ["gold", "Shoe"]


def test_what_was_redacted_once_can_be_redacted_by_places_too() -> None:
    made = sealed([*opened(A, box(100, (0, 0, 50, 20), "12,50", **{"data-res": "com.x:id/total"}))], A)
    found = redacted(made, "mask id=total")
    assert found is not None
    masks = [e["data"]["payload"] for e in found[0] if e["type"] == 5 and e["data"]["tag"] == "mask"]
    assert [each["screen"] for each in masks] == [[300, 600]] * len(masks)
    again = redacted(sealed(found[0][:-1], *found[1].values()), rects=(Bounds(0, 0, 150, 60),))
    assert again is not None


def test_words_that_were_logged_in_two_pieces_are_found() -> None:
    begun = "x" * 1_100 + " to Anna"
    events = [
        *opened(A, box(100, (0, 0, 50, 20), "Anna Bell", **{"data-res": "com.x:id/who"})),
        rrweb.log(START + 100, "info", f"I/Tag: {begun}"),
        rrweb.log(START + 110, "info", "I/Other: goes on"),
        rrweb.log(START + 120, "info", "I/Tag:  Bell, please"),
    ]
    found = redacted(sealed(events, A), "block id=who")
    assert found is not None
    assert "Bell" not in orjson.dumps(found[0]).decode()


def test_a_user_id_that_a_hidden_view_shows_is_left_out() -> None:
    track = {"event": "Home", "messageId": "m-annabell", "userId": "annabell", "properties": {"by": "annabell"}}
    events = [
        *opened(A, box(100, (0, 0, 50, 20), "annabell", **{"data-res": "com.x:id/who"})),
        custom(START + 200, "segment:track", track),
        custom(START + 300, "segment:track", {**track, "userId": "u-77"}),
    ]
    found = redacted(sealed(events, A), "block id=who")
    assert found is not None
    first, second = (e["data"]["payload"] for e in found[0] if e["type"] == 5 and e["data"]["tag"] == "segment:track")
    assert "userId" not in first
    assert first["messageId"] == "m-annabell"
    assert second["userId"] == "u-77"


@pytest.mark.parametrize("flag", ["mask text=Anna Bell", "mask id=who"])
def test_no_test_id_is_made_of_hidden_words(flag: str) -> None:
    rows = ("row-anna-bell", "annaBellRow", "com.x:id/anna_bell", "row-bell")
    events = opened(
        A,
        box(100, (0, 0, 50, 20), "Anna Bell", **{"data-res": "com.x:id/who"}),
        *(box(101 + n, (0, 30 * n, 50, 20), "Pay", **{"data-res": name}) for n, name in enumerate(rows)),
    )
    found = redacted(sealed(events, A), flag)
    assert found is not None
    names = [n["attributes"]["data-res"] for n in views(found[0])]
    assert names == ["com.x:id/who", "*****", "*****", "com.x:id/anna_bell", "row-bell"]


@pytest.mark.parametrize(
    ("level", "hidden"),
    [("light", {"secret"}), ("medium", {"secret", "note"}), ("conservative", {"secret", "note", "word"})],
)
def test_a_stricter_level_is_that_of_a_recording(level: MaskLevel, hidden: set[str]) -> None:
    edit = "android.widget.EditText"
    events = opened(
        A,
        box(100, (0, 0, 50, 20), "secret", **{"data-class": edit, "data-flags": "password"}),
        box(101, (0, 60, 50, 20), "note", **{"data-class": edit, "data-res": "com.example.shop:id/greeting"}),
        box(102, (0, 120, 50, 20), "word"),
        box(103, (0, 180, 10, 10), "*****", **{"data-class": "android.widget.ImageView"}),
    )
    found = redacted(sealed(events, A), level=level)
    assert found is not None
    labels = [n["attributes"]["aria-label"] for n in views(found[0])]
    assert [label == "*****" for label in labels] == ["secret" in hidden, "note" in hidden, "word" in hidden, True]
    p = pixels(found[1][A.digest])
    assert [grey(p[2 * y : 2 * y + 40, :100]) for y in (0, 60, 120)] == [
        text in hidden for text in ("secret", "note", "word")
    ]


def test_what_is_covered_already_is_not_covered_again() -> None:
    field = box(100, (10, 20, 50, 30), "*****", **{"data-class": "android.widget.EditText"})
    events = [*opened(A, field), mask(START + 2, [[28, 58, 182, 152, "editable"]])]
    made = sealed([*events[:2], events[3]], A)
    assert redacted(made, level="medium") is None


@pytest.mark.parametrize(
    "before", [[[28, 298, 272, 482, "mask id=pin_pad"]], []], ids=["covered before", "not covered"]
)
def test_touches_on_a_place_that_is_blocked_are_dropped_though_it_was_covered_before(before: list[Any]) -> None:
    pad = box(100, (10, 100, 80, 60), "*****", **{"data-res": "com.example.shop:id/pin_pad"})
    events = [*opened(A, pad), mask(START + 2, before)]
    touches = [rrweb.touch(START + 500, "down", 30, 120, 0), rrweb.touch(START + 600, "up", 30, 120, 0)]
    found = redacted(sealed([*events[:2], events[3], *touches], A), "block id=pin_pad")
    assert found is not None
    assert not [e for e in found[0] if e["type"] == 3 and e["data"]["source"] == 2]
    assert bool(found[1]) is not bool(before)


def test_words_that_the_recorder_cut_are_hidden_as_far_as_they_were_stored() -> None:
    line = ("I/tag: " + "word " * 500)[: MAX_LOG_CHARS - 7] + " Lindqv"
    note, proof = ("word " * 500)[: MAX_LOG_CHARS - 7] + " Lindqv", ("word " * 500)[: MAX_PROOF_CHARS - 7] + " Lindqv"
    events = [
        *opened(A), rrweb.log(START + 500, "info", line), custom(START + 600, "marker", {"name": "here", "note": note}),
        custom(START + 700, "doctor", {"rule": "x", "proof": proof}),
        rrweb.log(START + 800, "info", line[:-1]),
    ]  # fmt: skip
    found = redacted(sealed(events, A), "mask text=Lindqvist")
    assert found is not None
    text = orjson.dumps(found[0]).decode()
    assert text.count("Lindq") == 1
    assert text.count("*****") == 3


def test_words_that_views_in_a_container_do_not_say_are_its_own() -> None:
    """Its words are covered with it, those of what is in it with these."""
    row = box(100, (0, 20, 100, 40), "Anna Bell, Delete", **{"data-class": "android.view.View"})
    button = box(101, (80, 30, 18, 20), "Delete", **{"data-class": "android.widget.Button"})
    found = redacted(sealed([*opened(A, row, button)], A), "mask text=Anna Bell")
    assert found is not None
    assert grey(pixels(found[1][A.digest])[40:120, :])
    found = redacted(sealed([*opened(A, row, button)], A), "mask text=Delete")
    assert found is not None
    shown = pixels(found[1][A.digest])
    assert grey(shown[60:100, 160:196])
    assert not grey(shown[40:120, :100])


def test_a_container_that_came_after_what_is_in_it_hides_that_too() -> None:
    inner = box(101, (10, 60, 30, 10), "Anna Bell")
    outer = box(130, (0, 50, 100, 50), **{"data-res": "list", "data-class": "android.widget.ScrollView"})
    twin = box(99, (0, 50, 100, 50), "Pay", **{"data-class": "android.view.ViewGroup"})
    found = redacted(sealed(opened(A, twin, inner, box(102, (10, 160, 30, 10), "Back"), outer), A), "block testid=list")
    assert found is not None
    # What is as large and stands before it is what it lies in.
    assert [n["attributes"].get("aria-label") for n in views(found[0])] == ["Pay", "*****", "Back", None]


def test_what_is_no_event_of_ours_neither_stops_it_nor_hides_anything() -> None:
    """A collector takes any event that has a type, a time and data."""
    odd: list[Any] = [
        {"type": 5, "timestamp": START + 500.5, "data": None},
        {"type": 5, "timestamp": START + 500, "data": {"tag": "mask"}},
        {"type": 5, "timestamp": START + 500, "data": {"tag": "mask", "payload": "all"}},
        {"type": 3, "timestamp": START + 500, "data": {"source": 0, "attributes": "all", "adds": [7], "removes": 5}},
        {"type": 3, "timestamp": START + 500, "data": {"source": 6, "positions": 7}},
        {"type": 3, "timestamp": START + 500, "data": {"source": 0, "adds": None, "attributes": [None, 7]}},
        rrweb.custom(START + 600, "mask", {"count": "x", "rules": "all", "kinds": 7, "rects": "none"}),
    ]
    # One without a time is of the moment before.
    odd.append({"type": 3, "data": {"source": 0, "adds": [], "attributes": [], "removes": [], "texts": []}})
    odd.append({"type": 5, "data": {"tag": "mask", "payload": {}}})
    events = [*opened(A), *odd, rrweb.log(START + 700, "info", "hello Anna Bell")]
    events += [rrweb.mutation(START + 1000.25, adds=[box(100, (10, 20, 50, 30), "Anna Bell")])]  # type: ignore[arg-type]
    made = sealed(events, A)
    redaction = Redaction(Order(None, Rules([rule("mask", "text=Anna Bell")])))
    parsed = [orjson.loads(line) for line in made.events]
    redaction.learn(parsed)
    redaction.look(made.manifest.id, "a", parsed)
    assert list(redaction.covered) == [A.digest]
    out = redaction.rewrite(made.manifest, "a", parsed, {A.digest: B.digest})
    assert out is not None
    assert b"Anna" not in b"".join(out[1])
    assert len(out[1]) >= len(events)


def test_a_place_is_covered_for_a_time_and_touches_on_it_are_dropped() -> None:
    events = [
        *opened(A, box(100, (0, 0, 50, 20), "code"), box(101, (0, 100, 50, 20), "Pay")),
        rrweb.touch(START + 500, "down", 10, 10, 0),
        rrweb.touch(START + 600, "down", 10, 110, 0),
        rrweb.mutation(START + 1000, [(10, src(B))]),
        rrweb.mutation(START + 9000, [(10, src(C))]),
        rrweb.touch(START + 9500, "down", 10, 10, 0),
    ]
    made = sealed(events, A, B, C)
    found = redacted(made, rects=(Bounds(0, 0, 150, 60),), from_ms=START, to_ms=START + 800)
    assert found is not None
    out, new = found
    # B came in the next moment: what it shows may be from before.
    assert new.keys() == {A.digest, B.digest}
    assert grey(pixels(new[A.digest])[:40, :100])
    touched = [(e["timestamp"] - START, e["data"]["y"]) for e in out if e["type"] == 3 and e["data"]["source"] == 2]
    assert touched == [(600, 110), (9500, 10)]
    assert [n["attributes"]["aria-label"] for n in views(out)] == ["*****", "Pay"]


def test_a_place_in_a_recording_that_tells_no_size_is_refused() -> None:
    with pytest.raises(NoScreen):
        redacted(
            segment(extra=[custom(START + 4000, "mask", {"rules": {"web": 1}, "blocked": ""})]),
            rects=(Bounds(0, 0, 9, 9),),
        )


def test_nothing_that_is_meant_changes_nothing() -> None:
    assert redacted(segment(), "mask id=nowhere") is None


def test_a_picture_that_cannot_be_decoded_is_covered_whole() -> None:
    broken = covered(Picture("0" * 32, "image/webp", b"RIFF...."), [(0.1, 0.1, 0.2, 0.2)])
    assert grey(pixels(broken))


def test_a_recording_without_pictures_has_its_words_starred() -> None:
    views = [box(100, (0, 0, 50, 20), "Anna Bell", **{"class": "v t"}), box(101, (0, 60, 50, 20), "Pay")]
    href = "android-app://com.example.shop/.Main"
    events = [rrweb.meta(START, href, *WINDOW), rrweb.full_snapshot(START + 1, None, *WINDOW, views), mask(START + 2)]
    found = redacted(sealed(events), "mask text=Anna")
    assert found is not None
    out, new = found
    assert new == {}
    assert "Anna" not in orjson.dumps(out).decode()
    assert "Pay" in orjson.dumps(out).decode()


def flung(until: int) -> SealedSegment:
    """A list of which a row moves from the top to the bottom while a second picture is taken, shown until `until`."""
    scroll = box(20, (0, 20, 100, 160), **{"data-flags": "scrollable"})
    moved = {"style": "left:0px;top:150px;width:100px;height:20px"}
    events = [
        *opened(A, scroll, box(21, (0, 30, 100, 20), "Anna Bell")),
        rrweb.mutation(START + 4_000, [(10, src(B)), (21, moved)]),
        mask(START + 4_000),
        rrweb.mutation(until, [(10, src(C))]),
    ]
    return sealed(events, A, B, C)


def test_a_picture_taken_while_a_hidden_view_moved_is_covered_wherever_it_may_have_been() -> None:
    result = redacted(flung(START + 4_300), "mask text=Anna*")
    assert result is not None
    first, second, third = (pixels(result[1][each.digest]) for each in (A, B, C))
    # Between its two places, and not outside of the list.
    assert grey(second[160:240])
    assert not grey(second[:20])
    assert not grey(first[160:240])
    assert not grey(third[160:240])


def test_a_picture_that_stayed_shows_hidden_views_where_they_are() -> None:
    result = redacted(flung(START + 9_000), "mask text=Anna*")
    assert result is not None
    second = pixels(result[1][B.digest])
    assert not grey(second[160:240])
    assert grey(second[310:330])


def test_what_other_recorders_store_has_its_words_starred() -> None:
    style = rrweb.element(900, "style", {}, [{"type": 3, "id": 901, "textContent": ".a{content:'Anna Bell'}"}])
    field = rrweb.element(902, "input", {"value": "Anna Bell", "placeholder": "Name", "title": "Anna Bell"})
    page = rrweb.element(903, "p", {}, [{"type": 3, "id": 904, "textContent": "Hi Anna Bell!"}, style, field])
    events: list[rrweb.Event] = [
        *opened(A, page),
        {
            "type": 3,
            "timestamp": START + 100,
            "data": {"source": 0, "texts": [{"id": 904, "value": "Bye Anna Bell"}], "adds": [], "removes": [],
                     "attributes": []},
        },
        {
            "type": 3,
            "timestamp": START + 200,
            "data": {"source": 5, "id": 902, "text": "Anna Bell", "isChecked": False},
        },
        {"type": 5, "timestamp": START + 300, "data": {"tag": "note", "payload": "of Anna Bell"}},
        {
            "type": 6,
            "timestamp": START + 400,
            "data": {"plugin": "rrweb/network@1", "payload": {"requests": [{"name": "/?q=Anna+Bell"}]}},
        },
        {
            "type": 6,
            "timestamp": START + 500,
            "data": {"plugin": rrweb.CONSOLE, "payload": {"level": "log", "payload": [{"a": "Anna Bell"}],
                                                          "trace": ["at /Anna Bell.js"]}},
        },
    ]  # fmt: skip
    found = redacted(sealed(events, A), "mask text=Anna Bell")
    assert found is not None
    told = orjson.dumps(found[0]).decode()
    assert told.count("Anna") == told.count(".a{content:'Anna Bell'}") == 1
    assert "Hi *****!" in told
