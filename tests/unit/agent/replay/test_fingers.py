from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.views import APP, DPI, EDIT, SCROLL, TEXT, app, at, keyboard, still, touch, view

from agent.model import MaskedSnapshot, MaskLevel
from agent.privacy import Rules, rule
from agent.replay.fingers import INK_NS, RULE, STRETCH_NS, Fingers
from agent.replay.mask import Masker
from agent.replay.motion import SETTLING_NS
from bridge.types import Bounds, Node, NodeFlag, TouchKind

OTHER = "com.example.video"
SYSTEM = "com.android.systemui"
WORDS = view(40, 200, 1040, 300, text="Your order")
NOTE = view(40, 1000, 1040, 1120, EDIT, "ring twice", hint="Note", flags=NodeFlag.FOCUSED)
IDLE = replace(NOTE, flags=NodeFlag.VISIBLE)


def dp(length: float) -> float:
    return length * DPI / 160


class Hand:
    """A masker and a finger: what is masked while it is down and after."""

    def __init__(self, *roots: Node, level: MaskLevel = "medium") -> None:
        self.roots = roots
        self.masker = Masker(level, APP)
        self.look(0)
        self.look(1)

    def look(self, seconds: float, *roots: Node) -> MaskedSnapshot:
        """The masked picture of that moment, of the usual windows or these."""
        return self.masker.snapshot(*still(*(roots or self.roots), seconds=seconds), DPI)

    def finger(self, *places: tuple[float, TouchKind, float, float], pen: bool = False) -> None:
        for seconds, kind, x, y in places:
            self.masker.finger(replace(touch(seconds, kind, x, y), pen=pen), DPI)

    def swipe(self, start: tuple[float, float], end: tuple[float, float], seconds: float = 2) -> None:
        """A finger comes down, goes there 0.1 s later and stays."""
        self.finger((seconds, "down", *start), (seconds + 0.1, "move", *end))


def taken(result: MaskedSnapshot) -> list[Bounds]:
    return [cover.bounds for cover in result.covers if cover.rule == RULE]


def player(left: int, top: int) -> Node:
    words = view(left, top, left + 400, top + 60, text="Watching", package=OTHER)
    return view(left, top, left + 400, top + 250, "android.widget.FrameLayout", children=[words], package=OTHER)


EDGES = [
    ((10, 1200), (400, 1200), True),
    ((1070, 1200), (700, 1300), True),
    ((500, 2390), (500, 1800), True),
    ((500, 2390), (100, 2390), True),
    # Out of the screen, up along the side, from further in.
    ((1070, 1200), (1079, 1200), False),
    ((10, 1200), (40, 700), False),
    ((200, 1200), (700, 1200), False),
    ((500, 2200), (500, 1500), False),
]


@pytest.mark.parametrize(("start", "end", "away"), EDGES)
def test_a_gesture_of_the_systems_takes_the_app_along(
    start: tuple[float, float], end: tuple[float, float], away: bool
) -> None:
    hand = Hand(app(WORDS, IDLE))
    hand.swipe(start, end)
    assert hand.look(2.3).blocked == ("settling" if away else "")


def test_the_app_is_back_some_time_after_the_finger_has_gone() -> None:
    hand = Hand(app(WORDS, IDLE))
    hand.swipe((10, 1200), (400, 1200))
    hand.finger((2.5, "up", 400, 1200))
    assert hand.look(2.4 + SETTLING_NS / 1e9).blocked == "settling"
    assert hand.look(2.6 + SETTLING_NS / 1e9).blocked == ""


def test_where_animations_are_slowed_it_is_back_so_much_later() -> None:
    hand = Hand(app(WORDS, IDLE))
    hand.masker.pace(5)
    for second in range(3, 12):
        hand.look(second / 2)
    hand.swipe((10, 1200), (400, 1200), 6)
    hand.finger((6.2, "up", 400, 1200))
    for tenth in range(65, 86, 5):
        assert hand.look(tenth / 10).blocked == "settling"
    for tenth in range(90, 120, 5):
        hand.look(tenth / 10)
    assert hand.look(12).blocked == ""


def test_a_tap_at_the_edge_takes_nothing() -> None:
    hand = Hand(app(WORDS, IDLE))
    hand.finger((2, "down", 500, 2390), (2.1, "move", 505, 2390), (2.2, "up", 505, 2390))
    assert hand.look(2.15).blocked == hand.look(2.3).blocked == ""


@pytest.mark.parametrize(("name", "away"), [("recent_apps", False), ("back", True), ("home", True)])
def test_where_the_system_has_three_buttons_no_gesture_takes_the_app(name: str, away: bool) -> None:
    """With two buttons, or above a keyboard, there is one for back and a gesture goes home all the same."""
    button = view(100, 2300, 300, 2400, "android.widget.ImageView", package=SYSTEM, resource_id=f"{SYSTEM}:id/{name}")
    bar = view(0, 2300, 1080, 2400, "android.widget.FrameLayout", children=[button], package=SYSTEM)
    hand = Hand(app(WORDS, IDLE), bar)
    hand.swipe((10, 1200), (400, 1200))
    assert hand.look(2.3).blocked == ("settling" if away else "")
    hand.finger((2.4, "up", 400, 1200))
    hand.swipe((500, 20), (500, 900), 4)
    # The shade comes down in front of either.
    assert hand.look(4.3).blocked == "settling"


@pytest.mark.parametrize(("seconds", "away"), [(0.2, True), (0.6, False)])
def test_a_thumb_that_rests_at_the_side_is_no_gesture(seconds: float, away: bool) -> None:
    hand = Hand(app(WORDS, IDLE))
    hand.finger((2, "down", 1070, 1200), (2 + seconds, "move", 1000, 1210))
    assert hand.look(2.8).blocked == ("settling" if away else "")


def test_where_a_gesture_went_first_does_not_matter() -> None:
    hand = Hand(app(WORDS, IDLE))
    hand.finger((2, "down", 60, 1200), (2.1, "move", 20, 1200), (2.2, "move", 500, 1200))
    assert hand.look(2.4).blocked == "settling"


def test_a_small_window_of_another_app_is_anywhere_while_it_is_dragged() -> None:
    hand = Hand(app(WORDS, IDLE), player(600, 1500))
    assert hand.look(1.5).blocked == ""
    hand.swipe((800, 1600), (300, 600))
    assert hand.look(2.3).blocked == "settling"
    hand.finger((2.5, "up", 300, 600))
    assert hand.look(2.4 + 2 * SETTLING_NS / 1e9).blocked == "settling"
    assert hand.look(2.6 + 2 * SETTLING_NS / 1e9).blocked == ""
    hand.swipe((300, 600), (300, 900), 5)
    assert hand.look(5.3).blocked == ""


def test_a_small_window_that_was_taken_stays_so_wherever_dumps_tell_of_it() -> None:
    hand = Hand(app(WORDS, IDLE), player(600, 1500))
    hand.swipe((800, 1600), (300, 600))
    for tenth in range(23, 40, 3):
        assert hand.look(tenth / 10, app(WORDS, IDLE), player(100, 500)).blocked == "settling"


def test_what_of_another_app_is_in_the_app_s_own_window_is_no_window() -> None:
    hand = Hand(app(WORDS, IDLE, view(600, 1500, 900, 1700, text="Widget", package=OTHER)))
    hand.swipe((800, 1600), (300, 600))
    assert hand.look(2.3).blocked == ""


def test_a_card_of_the_systems_and_the_app_s_own_edge_are_taken() -> None:
    card = view(40, 120, 1040, 400, text="Mum: hello", package=SYSTEM)
    hand = Hand(app(WORDS, IDLE), card)
    hand.swipe((500, 250), (500, 700))
    assert hand.look(2.3).blocked == "settling"
    mine = app(view(200, 700, 800, 760, text="Mine"), bounds=(150, 600, 900, 1800))
    behind = view(0, 2000, 1080, 2200, text="Watching", package=OTHER)
    for windows, y, gone in (((mine, behind), 600, True), ((mine, behind), 1000, False), ((mine,), 600, False)):
        hand = Hand(*windows)
        hand.swipe((500, y), (500, y + 300))
        assert hand.look(2.3).blocked == ("settling" if gone else "")


def test_a_dialog_a_taskbar_and_a_keyboard_at_the_foot_move_nowhere() -> None:
    dialog = app(view(200, 800, 800, 860, text="Choose"), bounds=(60, 700, 1020, 1700))
    for windows, y in (
        ((app(WORDS, IDLE), dialog), 705),
        ((app(WORDS, IDLE), view(0, 2240, 1080, 2400, text="Apps", package="com.android.launcher3")), 2220),
        ((app(WORDS, IDLE), keyboard()), 1700),
    ):
        hand = Hand(*windows)
        hand.swipe((500, y), (500, y - 300))
        assert hand.look(2.3).blocked == ""


def test_a_keyboard_that_floats_is_taken() -> None:
    package = "com.example.inputmethod.keys"
    key = view(220, 920, 300, 980, text="q", package=package)
    keys = view(200, 900, 800, 1300, "android.widget.FrameLayout", children=[key], package=package)
    hand = Hand(app(WORDS, IDLE), keys)
    hand.swipe((500, 1290), (700, 500))
    assert hand.look(2.3).blocked == "settling"


def test_on_a_split_screen_only_the_bar_between_two_apps_moves_them() -> None:
    half = app(WORDS, bounds=(0, 0, 1080, 1200))
    other = view(0, 1210, 1080, 2400, TEXT, text="Notes", package=OTHER)
    hand = Hand(half, other)
    hand.swipe((500, 1800), (500, 1500))
    assert hand.look(2.3).blocked == ""
    hand.finger((2.4, "up", 500, 1500))
    hand.swipe((500, 1205), (500, 900), 4)
    assert hand.look(4.3).blocked == "settling"


def test_a_finger_that_came_before_the_screen_turned_is_nobody_knows_where() -> None:
    hand = Hand(app(WORDS, IDLE))
    for seconds, kind, x in ((2.0, "down", 500.0), (2.1, "move", 700.0)):
        hand.masker.finger(replace(touch(seconds, kind, x, 1700), rotation=1), DPI)  # type: ignore[arg-type]
    assert hand.look(2.3).blocked == "settling"


def test_a_text_is_magnified_above_a_finger_that_works_in_its_field() -> None:
    hand = Hand(app(WORDS, NOTE))
    # By the cursor's handle, below the field.
    hand.swipe((500, 1150), (700, 1150))
    (cover,) = set(taken(hand.look(2.3)))
    assert cover.top <= 1150 - dp(90)
    assert cover.left <= 500 - dp(110)
    assert cover.right >= 700 + dp(110)
    assert hand.look(2.3).blocked == ""
    hand.finger((2.5, "up", 700, 1150))
    assert taken(hand.look(2.4 + SETTLING_NS / 1e9))
    assert not taken(hand.look(2.6 + SETTLING_NS / 1e9))


@pytest.mark.parametrize("y", [1060, 1230])
def test_a_magnifier_stands_above_the_line_wherever_the_finger_holds_it(y: float) -> None:
    hand = Hand(app(WORDS, NOTE))
    hand.swipe((500, y), (500, y))
    hand.finger((2.2, "move", 700, y))
    (cover,) = set(taken(hand.look(2.4)))
    assert cover.top <= 1000 - dp(90)
    assert cover.bottom >= 1120


def test_a_field_that_scrolled_away_under_its_handle_is_magnified_still() -> None:
    hand = Hand(app(WORDS, NOTE))
    hand.swipe((500, 1150), (700, 1150))
    moved = replace(NOTE, bounds=Bounds(40, 400, 1040, 520))
    for tenth in range(23, 40, 3):
        result = hand.look(tenth / 10, app(WORDS, moved))
        assert result.blocked or taken(result)


def test_a_text_that_was_pressed_has_handles_to_drag() -> None:
    hand = Hand(app(WORDS), level="conservative")
    hand.finger((2, "down", 500, 250), (2.5, "up", 500, 250))
    hand.look(2.6)
    hand.look(3.6)
    hand.swipe((500, 330), (800, 330), 4)
    assert taken(hand.look(4.3))
    hand.finger((4.4, "up", 800, 330))
    hand.swipe((500, 330), (800, 330), 40)
    hand.look(39.5)
    assert not taken(hand.look(40.3))


def test_a_tap_into_a_field_and_a_scroll_from_an_idle_one_magnify_nothing() -> None:
    hand = Hand(app(WORDS, NOTE))
    hand.finger((2, "down", 500, 1050), (2.08, "up", 500, 1050))
    assert not taken(hand.look(2.1))
    hand = Hand(app(WORDS, IDLE))
    hand.swipe((500, 1050), (500, 600))
    assert not taken(hand.look(2.3))


@pytest.mark.parametrize(("level", "there"), [("medium", False), ("conservative", True)])
def test_a_private_text_that_is_pressed_for_long_may_be_dragged_anywhere(level: MaskLevel, there: bool) -> None:
    hand = Hand(app(WORDS), level=level)
    hand.finger((2, "down", 500, 250), (2.45, "move", 505, 700), (2.6, "move", 500, 1500))
    covers = taken(hand.look(2.7))
    assert bool(covers) == there
    assert all(cover.top <= 250 and cover.bottom >= 1500 for cover in covers)


@pytest.mark.parametrize("pressed", [True, False])
def test_in_a_web_page_a_text_is_magnified_once_it_was_pressed(pressed: bool) -> None:
    page = view(0, 600, 1080, 1800, "android.webkit.WebView", children=[view(40, 620, 900, 700, text="Mine")])
    hand = Hand(app(WORDS, page))
    if pressed:
        hand.finger((1.2, "down", 500, 650), (1.6, "up", 500, 650))
        hand.look(1.7)
    hand.finger((2, "down", 500, 650), (2.1, "move", 700, 650))
    covers = taken(hand.look(2.8))
    assert bool(covers) == pressed
    assert all(cover.top < 600 for cover in covers)


def rows(top: int) -> Node:
    """A list with one input, `top` pixels down."""
    inside = [view(40, top, 1040, top + 100, EDIT, "ring twice", hint="Note"), view(40, top + 150, 900, top + 250)]
    return app(WORDS, view(0, 400, 1080, 2200, SCROLL, children=inside, flags=NodeFlag.SCROLLABLE))


def test_a_list_is_stretched_beyond_its_end_while_it_is_pulled_and_after() -> None:
    hand = Hand(rows(900))
    assert not taken(hand.look(1.5))
    hand.swipe((500, 1500), (500, 1900))
    stretched = Bounds(5, 842, 1075, 1058)
    assert [cover for cover in taken(hand.look(2.3)) if cover == stretched]
    hand.finger((2.5, "up", 500, 1900))
    assert taken(hand.look(2.4 + STRETCH_NS / 1e9))
    assert not taken(hand.look(2.6 + STRETCH_NS / 1e9))


def test_a_list_that_ran_into_its_end_is_stretched_without_a_finger() -> None:
    hand = Hand(rows(900))
    hand.look(2, rows(700))
    assert taken(hand.look(2.3, rows(700)))
    assert not taken(hand.look(3, rows(700)))


def test_a_list_that_fits_its_place_is_stretched_as_well() -> None:
    inside = [view(40, 900, 1040, 1000, EDIT, "ring twice", hint="Note")]
    hand = Hand(app(WORDS, view(0, 400, 1080, 2200, "androidx.recyclerview.widget.RecyclerView", children=inside)))
    assert not taken(hand.look(1.5))
    hand.swipe((500, 1500), (500, 1900))
    assert Bounds(5, 842, 1075, 1058) in taken(hand.look(2.3))


def test_beyond_the_list_nothing_is_stretched() -> None:
    hand = Hand(rows(410))
    hand.swipe((500, 1500), (500, 1900))
    covers = taken(hand.look(2.3))
    assert covers
    assert all(cover.top >= 400 for cover in covers)


def test_a_pen_that_writes_leaves_ink_wherever_it_goes_on_and_says_nothing() -> None:
    hand = Hand(app(WORDS, IDLE))

    def told(seconds: float, y: float, pen: bool = True) -> bool:
        return hand.masker.touch(replace(touch(seconds, "down", 500, y), pen=pen)) is not None

    hand.finger((2, "down", 500, 950), (2.1, "move", 700, 700), (2.2, "up", 700, 700), pen=True)
    assert told(2, 950, pen=False)
    assert not told(2, 950)
    assert any(cover.contains(700, 700) for cover in taken(hand.look(3)))
    # The next word, further from the field.
    hand.finger((5, "down", 500, 500), (5.2, "up", 600, 500), pen=True)
    assert not told(5, 500)
    assert any(cover.contains(550, 500) for cover in taken(hand.look(6)))
    hand.look(13)
    covers = taken(hand.look(5.1 + INK_NS / 1e9))
    assert any(cover.contains(700, 700) for cover in covers)
    assert any(cover.contains(550, 500) for cover in covers)
    hand.look(15)
    assert not taken(hand.look(5.3 + INK_NS / 1e9))
    hand.finger((20, "down", 500, 500), (20.1, "move", 600, 500), (20.2, "up", 600, 500), pen=True)
    assert told(20, 500)
    assert not taken(hand.look(20.5))


def test_a_pen_that_taps_a_field_does_not_write() -> None:
    hand = Hand(app(WORDS, IDLE))
    hand.finger((2, "down", 500, 1050), (2.1, "up", 502, 1050), pen=True)
    hand.finger((4, "down", 500, 500), (4.1, "move", 500, 300), (4.2, "up", 500, 300), pen=True)
    assert hand.masker.touch(replace(touch(4.1, "move", 500, 300), pen=True)) is not None
    assert not taken(hand.look(4.5))


def test_handwriting_ends_with_its_field_and_is_not_begun_anew_by_what_was_before() -> None:
    hand = Hand(app(WORDS, IDLE))
    hand.finger((2, "down", 500, 950), (2.1, "move", 700, 940), (2.2, "up", 700, 940), pen=True)
    assert taken(hand.look(2.4))
    empty = app(WORDS)
    for tenth in range(28, 60, 4):
        hand.look(tenth / 10, empty)
    assert not taken(hand.look(6, empty))
    hand.finger((6.5, "down", 500, 500), (6.6, "move", 500, 300), (6.7, "up", 500, 300), pen=True)
    assert hand.masker.touch(replace(touch(6.6, "move", 500, 300), pen=True)) is not None


def test_a_finger_that_has_gone_takes_nothing_that_comes_later() -> None:
    hand = Hand(app(WORDS, IDLE))
    hand.finger((2, "down", 800, 1600), (2.1, "move", 400, 1500), (2.2, "up", 400, 1500))
    hand.look(2.25)
    assert hand.look(2.6, app(WORDS, IDLE), player(600, 1500)).blocked == ""


def test_of_what_a_rule_blocks_a_text_is_dragged_as_well() -> None:
    card = view(40, 400, 1040, 500, text="4485", resource_id="card")
    hand = Hand(app(WORDS, card))
    hand.masker = Masker("medium", APP, rules=Rules([rule("block", "id=card")]))
    hand.look(0)
    hand.look(1)
    hand.finger((2, "down", 500, 450), (2.5, "move", 505, 1500))
    assert any(cover.contains(505, 1500) for cover in taken(hand.look(2.7)))


def test_two_fingers_are_two() -> None:
    hand = Hand(app(WORDS, IDLE))
    hand.finger((2, "down", 10, 1200), (2.1, "move", 300, 1200))
    for seconds, kind in ((2.2, "down"), (2.3, "up")):
        hand.masker.finger(touch(seconds, kind, 500, 1500, pointer=64), DPI)  # type: ignore[arg-type]
    assert hand.look(3.5).blocked == "settling"


@pytest.mark.parametrize("away", [False, True])
def test_a_finger_that_nobody_follows_may_be_there_for_a_while(away: bool) -> None:
    hand = Hand(app(WORDS, IDLE))
    hand.swipe((500, 2390), (500, 1900))
    if away:
        hand.masker.away(at(2.5))
    else:
        hand.finger((2.5, "cancel", 500, 1900))
        hand.masker.unsure(at(2.5))
    for second in range(3, 12):
        assert hand.look(second).blocked == "settling"
        assert hand.look(second + 0.5).blocked == "settling"
    for tenth in range(136, 150, 4):
        hand.look(tenth / 10)
    assert hand.look(15).blocked == ""


def test_a_finger_that_is_told_of_again_is_there_and_one_that_comes_anew_is_another() -> None:
    hand = Hand(app(WORDS, IDLE))
    hand.swipe((500, 2390), (500, 1900))
    hand.masker.away(at(2.5))
    hand.finger((20, "move", 500, 1950))
    for tenth in range(200, 260, 4):
        assert hand.look(tenth / 10).blocked == "settling"
    hand.finger((26, "down", 500, 1000))
    for tenth in range(265, 275, 4):
        hand.look(tenth / 10)
    assert hand.look(27.6).blocked == ""


def test_what_a_finger_did_may_be_told_a_little_late() -> None:
    hand = Hand(app(WORDS, IDLE))
    hand.swipe((500, 2390), (500, 1900), 2.2)
    assert hand.look(2.25).blocked == "settling"


def test_a_finger_that_rests_is_there_however_many_came_after_it() -> None:
    fingers = Fingers()
    fingers.note(touch(1, "down"), (), DPI)
    for tenth in range(20, 8000, 2):
        fingers.note(touch(tenth / 10, "down", pointer=1), (), DPI)
        fingers.note(touch(tenth / 10 + 0.1, "up", pointer=1), (), DPI)
    (first, *_) = sorted(fingers.since(790 * 10**9, 791 * 10**9, (), DPI, SETTLING_NS), key=lambda c: c.came_ns)
    assert first.came_ns == 10**9
    # Nobody saw it go.
    fingers.note(touch(800, "down"), (), DPI)
    assert all(c.came_ns > 10**9 for c in fingers.since(815 * 10**9, 816 * 10**9, (), DPI, SETTLING_NS))
    fingers.note(touch(801, "up", pointer=9), (), DPI)
