from __future__ import annotations

from fakes.views import APP, DPI, EDIT, SCREEN, app, keyboard, status_bar, tree, view
from hypothesis import given
from hypothesis import strategies as st

from agent.replay.windows import MAX_COVERS, hull, is_keyboard, outside, owner, split
from bridge.types import Bounds, Node, NodeFlag

RECT = st.builds(
    lambda x, y, w, h: Bounds(x, y, x + w, y + h),
    st.integers(0, 18),
    st.integers(0, 18),
    st.integers(0, 12),
    st.integers(0, 12),
)


@given(st.lists(RECT, max_size=4))
def test_outside_is_all_that_is_not_inside(holes: list[Bounds]) -> None:
    whole = Bounds(0, 0, 20, 20)
    pieces = outside([hole.intersect(whole) for hole in holes], whole)
    for x in range(20):
        for y in range(20):
            hits = sum(piece.contains(x, y) for piece in pieces)
            assert hits == (0 if any(hole.contains(x, y) for hole in holes) else 1)


def test_the_order_of_windows_does_not_matter() -> None:
    roots = (app(view(0, 100, 99, 200, text="x")), status_bar(), keyboard())
    there = split(tree(*roots), APP, SCREEN, DPI)
    back = split(tree(*reversed(roots)), APP, SCREEN, DPI)
    assert set(there.covers) == set(back.covers)
    assert there.own == back.own == (roots[0],)


def test_a_keyboard_is_one_block_and_silent() -> None:
    windows = split(tree(app(), keyboard()), APP, SCREEN, DPI)
    panel = Bounds(0, 1650, 1080, 2400)
    # Letters pop up above it, and there is nothing to type there.
    popped = Bounds(0, 1650 - 72 * DPI // 160, 1080, 2400)
    assert [cover.bounds for cover in windows.covers if cover.rule == "keyboard"] == [popped]
    assert windows.silent == (panel,)


def test_a_dump_of_the_active_window_alone_leaves_room_for_bars_and_for_a_keyboard_while_one_types() -> None:
    for flags, height in ((NodeFlag.VISIBLE, 48), (NodeFlag.VISIBLE | NodeFlag.FOCUSED, 420)):
        windows = split(tree(app(view(0, 200, 900, 300, EDIT, "x", flags=flags))), APP, SCREEN, DPI)
        covers = {cover.rule: cover.bounds for cover in windows.covers}
        assert covers["status-bar"] == Bounds(0, 0, 1080, 48 * DPI // 160)
        assert covers["navigation-bar"] == Bounds(0, 2400 - height * DPI // 160, 1080, 2400)


def test_a_keyboard_that_a_dump_leaves_out_is_covered_where_it_may_be() -> None:
    form = app(view(0, 200, 900, 300, EDIT, "x", flags=NodeFlag.VISIBLE | NodeFlag.FOCUSED))
    keys = Bounds(0, 2400 - 420 * DPI // 160, 1080, 2400)
    shown = split(tree(form, status_bar()), APP, SCREEN, DPI, keyboard=True)
    assert keys in {cover.bounds for cover in shown.covers if cover.rule == "keyboard"}
    assert keys in shown.silent
    # One is told of, or none is up: a field keeps its focus when the keyboard is gone.
    for windows in (
        split(tree(form, status_bar(), keyboard()), APP, SCREEN, DPI, keyboard=True),
        split(tree(form, status_bar()), APP, SCREEN, DPI),
    ):
        assert keys not in windows.silent
        assert keys not in {cover.bounds for cover in windows.covers}


def test_around_a_small_window_that_is_told_alone_no_finger_is_told_while_one_types() -> None:
    place = (200, 900, 880, 1500)
    for flags, touched in ((NodeFlag.VISIBLE, True), (NodeFlag.VISIBLE | NodeFlag.FOCUSED, False)):
        dialog = app(view(220, 1000, 800, 1100, EDIT, "x", flags=flags), bounds=place)
        windows = split(tree(dialog), APP, SCREEN, DPI)
        assert not any(b.contains(500, 1200) for b in windows.silent)
        assert any(b.contains(500, 2000) for b in windows.silent) is not touched


def test_the_grounds_of_the_bars_say_how_high_they_are() -> None:
    def bars(*grounds: tuple[str, int, int]) -> tuple[int, int]:
        views = [view(0, top, 1080, low, resource_id=f"android:id/{name}Background") for name, top, low in grounds]
        windows = split(tree(app(view(0, 200, 900, 300, text="x"), *views)), APP, SCREEN, DPI)
        covers = {cover.rule: cover.bounds for cover in windows.covers}
        return covers["status-bar"].bottom, covers["navigation-bar"].top

    guess = 48 * DPI // 160
    assert bars(("statusBar", 0, 170), ("navigationBar", 2337, 2400)) == (170, 2337)
    # What lies elsewhere, is flat or too high is no bar's ground.
    for odd in (("statusBar", 40, 170), ("statusBar", 0, 20), ("statusBar", 0, 600), ("navigationBar", 2337, 2390)):
        assert bars(odd) == (guess, 2400 - guess)


def test_a_keyboard_that_says_nothing_of_its_keys_is_blocked_whole() -> None:
    package = "com.touchtype.swiftkey"
    mute = view(0, 0, 1080, 2400, children=[view(0, 0, 1080, 2400, package=package)], package=package)
    assert split(tree(app(), mute), APP, SCREEN, DPI).silent == (Bounds(0, 0, 1080, 2400),)


def test_an_empty_system_sheet_hides_nothing() -> None:
    sheet = view(
        0,
        0,
        1080,
        2400,
        children=[view(0, 0, 1080, 2400, package="com.android.systemui")],
        package="com.android.systemui",
    )
    assert split(tree(app(), sheet), APP, SCREEN, DPI).covers == ()


def test_another_apps_large_window_is_opaque() -> None:
    other = view(0, 0, 1080, 2400, package="com.other")
    assert [c.bounds for c in split(tree(app(), other), APP, SCREEN, DPI).covers] == [Bounds(0, 0, 1080, 2400)]


def test_a_split_screen_shows_its_half() -> None:
    windows = split(
        tree(app(bounds=(0, 0, 1080, 1200)), view(0, 1200, 1080, 2400, package="com.other")), APP, SCREEN, DPI
    )
    covered = {(cover.bounds, cover.rule) for cover in windows.covers}
    assert covered == {
        (Bounds(0, 1200, 1080, 2400), "outside-app"),
        (Bounds(0, 1200, 1080, 2400), "other-app"),
    }


def test_bars_are_not_silent() -> None:
    assert split(tree(app(), status_bar()), APP, SCREEN, DPI).silent == ()


def test_the_owner_of_a_window() -> None:
    assert owner(app()) == APP
    assert owner(Node(Bounds(0, 0, 9, 9), "v", children=(app(package="x"),))) == "x"
    assert owner(Node(Bounds(0, 0, 9, 9), "v")) == ""
    assert is_keyboard("com.google.android.inputmethod.latin")
    assert not is_keyboard(APP)


def test_hull() -> None:
    assert hull([]) == []
    assert hull([Bounds(0, 0, 1, 1), Bounds(5, 5, 6, 7)]) == [Bounds(0, 0, 6, 7)]


def test_what_foreign_windows_draw_in_very_many_places_is_covered_as_one() -> None:
    dots = [view(500, 3 * n, 502, 3 * n + 2, text="x", package="com.android.systemui") for n in range(MAX_COVERS + 1)]
    shade = view(0, 0, 1080, 2400, children=dots, package="com.android.systemui")
    covers = split(tree(app(), shade), APP, SCREEN, DPI).covers
    assert [cover.bounds for cover in covers if cover.rule == "system-ui"] == [Bounds(500, 0, 502, 3 * MAX_COVERS + 2)]
