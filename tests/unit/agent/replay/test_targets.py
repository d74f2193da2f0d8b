from __future__ import annotations

import pytest

from agent.privacy import STARS
from agent.replay.playback import Box, View
from agent.replay.targets import MAX_WORDS, described, focused, scrolled, touched


def view(
    box: tuple[float, float, float, float], cls: str = "ViewGroup", *, res: str = "", label: str = "", flags: str = ""
) -> View:
    attributes = {"data-class": f"android.widget.{cls}", "data-res": res, "aria-label": label, "data-flags": flags}
    return View(1, Box(*box), {name: value for name, value in attributes.items() if value}, "")


CARD = view((0, 0, 200, 100), res="card", label="", flags="clickable")
TITLE = view((10, 10, 100, 20), "TextView", label="Harbor Mug")
PRICE = view((10, 40, 100, 20), "TextView", label="$18")
ADD = view((120, 40, 60, 40), "Button", res="com.shop:id/add", label="Add", flags="clickable")
LIST = view((0, 0, 300, 600), "ScrollView", res="list", flags="scrollable")
SCREEN = (LIST, CARD, TITLE, PRICE, ADD)


def test_the_smallest_view_that_can_be_clicked_is_meant() -> None:
    target = touched(SCREEN, 130, 60)
    assert target is not None
    assert (target.role, target.words, target.selector) == ("button", "Add", ("id", "com.shop:id/add"))
    target = touched(SCREEN, 20, 15)
    assert target is not None
    assert (target.role, target.words, target.selector) == ("button", "Harbor Mug, $18, Add", ("testid", "card"))


def test_without_one_it_is_the_smallest_that_has_a_name() -> None:
    target = touched((TITLE, LIST), 20, 15)
    assert target is not None
    assert (target.role, target.words, target.selector) == ("text", "Harbor Mug", ("text", "Harbor Mug"))
    assert touched((view((0, 0, 9, 9)),), 1, 1) is None
    assert touched(SCREEN, 900, 900) is None
    assert touched((), 1, 1) is None


def test_masked_words_are_not_told_nor_what_somebody_typed() -> None:
    masked = described(view((0, 0, 99, 99), res="pay", label=STARS, flags="clickable"), SCREEN)
    assert (masked.words, masked.name, masked.hidden) == ("", "pay", True)
    field = described(view((0, 0, 200, 100), "EditText", label="Anna Bell", flags="clickable"), SCREEN)
    assert (field.role, field.words, field.selector) == ("field", "", None)
    around = described(
        view((0, 0, 300, 300), flags="clickable"), (view((5, 5, 50, 20), "EditText", label="Anna Bell"), PRICE)
    )
    assert around.words == "$18"
    # A name that is starred is none.
    assert described(view((0, 0, 9, 9), res=f"row-{STARS}"), ()).name == ""


def test_an_input_without_a_name_is_told_by_the_text_above_it() -> None:
    field = view((10, 70, 200, 40), "EditText", label=STARS, flags="clickable")
    label, far = view((10, 48, 80, 20), "TextView", label="Email"), view((10, 0, 80, 20), "TextView", label="Welcome")
    beside = view((300, 50, 80, 20), "TextView", label="Help")
    assert described(field, (far, beside, label, field)).near == "Email"
    assert described(field, (far, beside, field)).near == ""


def test_what_scrolls_and_what_has_the_focus() -> None:
    inner = view((0, 0, 100, 100), "RecyclerView", flags="scrollable")
    found = scrolled((LIST, inner), 50, 50)
    assert found is not None
    assert found.role == "list"
    assert found.name == ""
    assert scrolled((CARD,), 5, 5) is None
    typed = view((0, 0, 9, 9), "EditText", res="email", flags="clickable focused")
    assert focused((view((0, 0, 9, 9), "Button", flags="focused"), typed)) == described(typed, ())
    assert focused(SCREEN) is None


@pytest.mark.parametrize(
    ("cls", "role"),
    [
        ("CheckBox", "check box"),
        ("SwitchCompat", "switch"),
        ("ImageView", "image"),
        ("ReactSlider", "slider"),
        ("", "element"),
    ],
)
def test_roles_are_known_by_the_end_of_the_class(cls: str, role: str) -> None:
    assert described(view((0, 0, 9, 9), cls, res="a"), ()).role == role


def test_long_words_are_shortened() -> None:
    words = described(view((0, 0, 9, 9), "TextView", label="word\n" * 99), ()).words
    assert len(words) <= MAX_WORDS
    assert words.startswith("word word")
