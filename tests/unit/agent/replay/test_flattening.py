"""Pictures of a stretch hold nothing that was shown before it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from fakes.cards import BLUE, GREEN, RED, card, grey, red
from fakes.shown import state_at
from fakes.views import APP, DPI, EPOCH, SCREEN, at, event

from agent.model import MaskedSnapshot, SealedSegment
from agent.replay.composite import compose
from agent.replay.flattening import Flattener, Piece, Seen
from agent.replay.mask import Masker
from agent.replay.playback import Playback, State
from agent.replay.recorder import Item, Recorder
from agent.replay.trim import trim
from agent.replay.validator import validate
from bridge.types import Gap

ONE, TWO = EPOCH + 1000, EPOCH + 60_000


def effective(value: object) -> int:
    return value if isinstance(value, int) else -1


def recorded(*items: Item, refused: int = 0) -> list[SealedSegment]:
    recorder = Recorder(
        "serial-1", {}, Masker("medium", APP), effective, SCREEN, DPI,
        refusal=lambda session: "not in the sample" if session == refused else "",
    )  # fmt: skip
    sealed = [segment for item in items for segment in recorder.feed(item)] + recorder.finish()
    for segment in sealed:
        assert validate(segment.events, segment.pictures) == []
    return sealed


def reds(segment: SealedSegment) -> int:
    return red(picture.data for picture in segment.pictures.values())


def parsed(segment: SealedSegment) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in segment.events]


def test_what_was_shown_whole_may_lie_beneath() -> None:
    base: Piece = ("base", (0, 0, 10, 10))
    layer: Piece = ("layer", (0, 0, 5, 5))
    beside: Piece = ("beside", (5, 0, 10, 5))
    over: Piece = ("over", (4, 4, 6, 6))
    seen = Seen()
    assert not seen.holds([base, layer])
    assert seen.holds([layer])
    assert seen.holds([base])
    assert seen.holds([base, layer, beside])
    assert seen.holds([base, layer, beside, over])
    # A layer that came with what lies over it was never seen.
    assert not Seen().holds([layer, over])
    assert not seen.holds([base, ("new", (0, 0, 5, 5)), over])
    assert seen.holds([])


@pytest.mark.parametrize("between", [[], [grey(60.6), grey(60.7)]], ids=["at once", "covered first"])
def test_a_session_that_is_not_recorded_is_in_no_picture_of_the_next(between: list[MaskedSnapshot]) -> None:
    """Its last screen is what the first layers of the next are put on."""
    sealed = recorded(
        event(1, ONE, message_id="a"), card(1.5, RED), card(2.5, RED),
        card(60.2, BLUE), *between, event(60.9, TWO, message_id="b"), card(61, BLUE), card(62, GREEN), card(63, BLUE),
        refused=ONE,
    )  # fmt: skip
    assert {segment.manifest.session_id for segment in sealed} == {TWO}
    assert sum(map(reds, sealed)) == 0
    assert sum(segment.manifest.counts.frames for segment in sealed) >= 3


def test_a_session_before_is_in_no_picture_of_the_next() -> None:
    """Or who deletes it would leave it there."""
    sealed = recorded(
        event(1, ONE, message_id="a"), card(1.5, RED), card(2.5, RED),
        card(60.2, BLUE), event(60.9, TWO, message_id="b"), card(61, BLUE), card(62, GREEN),
    )  # fmt: skip
    by = {segment.manifest.session_id: reds(segment) for segment in sealed}
    assert by[ONE] > 0
    assert by[TWO] == 0


def test_what_was_shown_before_the_phone_was_away_lies_beneath_nothing() -> None:
    sealed = recorded(
        event(1, ONE, message_id="a"), card(1.5, RED), card(2.5, RED), Gap(at(5), at(40), "device", "DeviceGone"),
        grey(41), card(42, BLUE), card(43, GREEN), card(44, BLUE),
    )  # fmt: skip
    first, *later = sealed
    assert reds(first) > 0
    assert later
    assert sum(map(reds, later)) == 0


def test_a_cut_segment_holds_nothing_from_before_the_cut() -> None:
    (whole,) = recorded(
        event(1, ONE, message_id="a"), card(1.5, RED), card(4.5, RED), card(8, BLUE), card(11, GREEN), card(14, BLUE),
    )  # fmt: skip
    cut = trim(whole, at(9).wall_ms, at(16).wall_ms)
    assert cut is not None
    assert validate(cut.events, cut.pictures, closed=True) == []
    assert reds(whole) > 0
    assert reds(cut) == 0


def test_of_a_stretch_only_what_the_first_segment_did_not_show_is_made_anew() -> None:
    first, second = recorded(
        event(1, ONE, message_id="a"), card(1.5, RED), card(4.5, BLUE), card(20, GREEN), card(29, BLUE),
        card(33, BLUE), card(35, GREEN), card(36, RED),
    )  # fmt: skip
    begin, end = first.manifest.start_ms, second.manifest.end_ms
    seen = Seen()
    assert trim(first, begin, end, seen) is first
    assert trim(second, begin, end, seen) is second
    alone = trim(second, second.manifest.start_ms, end)
    assert alone is not None
    assert alone is not second
    assert alone.manifest.counts == second.manifest.counts
    assert validate(alone.events, alone.pictures, closed=True) == []
    for moment in range(second.manifest.start_ms + 1, end, 250):
        assert colour(alone, moment) == colour(second, moment)


def colour(segment: SealedSegment, at_ms: int) -> tuple[int, ...]:
    """Of the card's middle, to a step that encoding does not blur."""
    state = state_at(parsed(segment), at_ms)
    image = compose(state, lambda source: segment.pictures[source.removeprefix("picture:")].data, (270, 600))
    shown = image.getpixel((135, 200))
    assert isinstance(shown, tuple)
    return tuple(round(value / 50) for value in shown)


def test_what_changes_on_a_picture_from_before_the_cut_is_not_made_anew_each_time() -> None:
    """A wheel that turns on a screen which nobody cut is a small picture again and again."""
    shown = [card(1.5 + n, (0, 50 * (n % 5), 50 * (n // 5))) for n in range(25)]
    (whole,) = recorded(event(1, ONE, message_id="a"), card(1.2, RED), *shown)
    from_ms, to_ms = at(5).wall_ms, at(27).wall_ms
    cut = trim(whole, from_ms, to_ms)
    assert cut is not None
    assert validate(cut.events, cut.pictures, closed=True) == []
    assert len(cut.pictures.keys() - whole.pictures.keys()) <= 2 < 15 < len(cut.pictures)
    assert reds(cut) == 0
    for moment in range(from_ms + 2, at(21).wall_ms, 250):
        assert colour(cut, moment) == colour(whole, moment)


def test_pictures_come_back_as_they_are_with_the_next_that_hides_nothing() -> None:
    (whole,) = recorded(
        event(1, ONE, message_id="a"), card(1.5, RED), card(8, BLUE), card(11, GREEN), grey(14), card(17, GREEN),
    )  # fmt: skip
    events = parsed(whole)
    flattener = Flattener(lambda digest: whole.pictures[digest].data)
    from_ms = at(9).wall_ms
    told = [
        flattener.feed(each) for each in [*opening(events, from_ms), *(e for e in events if e["timestamp"] > from_ms)]
    ]
    shown = [state_at(told, moment) for moment in range(from_ms + 2, at(18).wall_ms, 500)]
    assert flattener.made
    assert all(set(sources(state)) <= whole.pictures.keys() | flattener.made.keys() for state in shown)
    assert all(sources(state)[0] in flattener.made for state in shown if set(sources(state)) & flattener.made.keys())


def sources(state: State) -> list[str]:
    return [source.removeprefix("picture:") for source in state.sources]


def opening(events: list[dict[str, Any]], at_ms: int) -> list[dict[str, Any]]:
    playback = Playback()
    for each in events:
        if each["timestamp"] <= at_ms:
            playback.feed(each)
    return playback.opening(at_ms)
