from __future__ import annotations

from xml.etree import ElementTree

from bridge.emulated.world.views import View, Window, dump, place
from bridge.types import Bounds

SCREEN = Bounds(0, 0, 200, 400)


def test_placed_in_drawing_order_in_pixels() -> None:
    root = View((0, 0, 100, 200), res="root").add(
        View((10, 10, 50, 50), res="a").add(View((20, 20, 30, 30), res="b")), View((0.2, 60, 99.8, 70), res="c")
    )
    placed = list(place(root, 2.0, SCREEN))
    assert [(one.view.res, one.depth) for one in placed] == [("root", 0), ("a", 1), ("b", 2), ("c", 1)]
    assert placed[1].bounds == Bounds(20, 20, 100, 100)
    assert placed[3].bounds == Bounds(0, 120, 200, 140)


def test_a_view_is_cut_by_its_parents_and_gone_outside_them() -> None:
    root = View((0, 0, 100, 200), res="root").add(
        View((50, 0, 150, 50), res="wide").add(View((120, 0, 140, 50), res="outside")),
        View((0, 60, 50, 90), res="row").add(View((40, 60, 90, 70), res="cut"), View((60, 60, 90, 70), res="beside")),
        View((0, 300, 10, 310), res="below").add(View((0, 0, 10, 10), res="child")),
        View((5, 5, 5, 5), res="flat"),
    )
    placed = {one.view.res: one.bounds for one in place(root, 1.0, Bounds(0, 0, 100, 200))}
    assert placed == {
        "root": Bounds(0, 0, 100, 200),
        "wide": Bounds(50, 0, 100, 50),
        "row": Bounds(0, 60, 50, 90),
        "cut": Bounds(40, 60, 50, 70),
    }


def nodes(data: bytes) -> list[dict[str, str]]:
    return [dict(element.attrib) for element in ElementTree.fromstring(data).iter("node")]


def test_the_dump_has_the_views_that_are_placed() -> None:
    root = View((0, 0, 100, 200), "a.Frame", res="root").add(
        View((0, 0, 50, 50), "a.Text", text='<"Tom & Jerry">', desc="it's\nnew", hint="a&b"),
        View((0, 300, 10, 310), "a.Below"),
        View((0, 0, 50, 50), "android.widget.EditText", password=True, focused=True),
        View((0, 60, 50, 90), "a.List", tap="x", scrolls=True),
    )
    told = nodes(dump([Window("com.app", root), Window("com.bar", View((0, 0, 9, 9)))], 2.0, SCREEN, 1))
    assert [node["class"] for node in told] == [
        "a.Frame",
        "a.Text",
        "android.widget.EditText",
        "a.List",
        "android.view.ViewGroup",
    ]
    assert [node["package"] for node in told] == ["com.app"] * 4 + ["com.bar"]
    assert (told[1]["text"], told[1]["content-desc"], told[1]["hint"]) == ('<"Tom & Jerry">', "it's\nnew", "a&b")
    assert told[1]["bounds"] == "[0,0][100,100]"
    # An index counts the views that are off the screen, too.
    assert [node["index"] for node in told] == ["0", "0", "2", "3", "1"]
    on = [{name for name, value in node.items() if value == "true"} - {"enabled", "visible-to-user"} for node in told]
    assert on == [
        set(),
        set(),
        {"focusable", "focused", "long-clickable", "password"},
        {"clickable", "focusable", "scrollable"},
        set(),
    ]


def test_rotation_and_depth() -> None:
    root = View((0, 0, 100, 200), "level1").add(View((0, 0, 9, 9), "level2").add(View((0, 0, 9, 9), "level3")))
    data = dump([Window("com.app", root)], 1.0, SCREEN, 3, max_depth=2)
    assert ElementTree.fromstring(data).attrib["rotation"] == "3"
    assert [node["class"] for node in nodes(data)] == ["level1", "level2"]


def test_no_window_is_an_empty_hierarchy() -> None:
    assert nodes(dump([], 1.0, SCREEN, 0)) == []
