from __future__ import annotations

from typing import Any

from fakes.views import APP, DPI, SCREEN, app, keyboard, status_bar, still, touch

from agent.replay.mask import Masker
from agent.replay.touches import TouchWriter
from bridge.types import Touch


def writer(with_keyboard: bool = False) -> TouchWriter:
    masker = Masker("medium", APP)
    masker.snapshot(*still(app(), status_bar(), *([keyboard()] if with_keyboard else [])), DPI)
    return TouchWriter(masker)


def write(to: TouchWriter, *touches: Touch) -> list[dict[str, Any]]:
    return [event["data"] for t in touches for event in to.events(t, SCREEN, DPI)[0]]


def test_positions_are_in_dp_and_inside_the_screen() -> None:
    down, up = write(writer(), touch(1, "down", 525, 1050), touch(1.1, "up", 5000, -3))
    assert (down["x"], down["y"]) == (200, 400)
    assert (up["x"], up["y"]) == (411.4, 0)


def test_only_the_first_finger_is_drawn() -> None:
    data = write(
        writer(),
        touch(1, "down", pointer=3),
        touch(1.1, "down", pointer=4),
        touch(1.2, "up", pointer=3),
        touch(1.3, "move", pointer=4),
        touch(1.4, "up", pointer=4),
        touch(2, "down", pointer=4),
    )
    assert ["source" in d for d in data] == [True, False, True, False, False, True]
    assert [d["payload"]["pointer"] for d in data if "plugin" in d] == [4, 4, 4]


def test_a_gesture_on_the_keyboard_is_held_back_to_its_end() -> None:
    to = writer(with_keyboard=True)
    assert write(to, touch(1, "down", 500, 1750), touch(1.1, "move", 500, 900), touch(1.2, "up", 500, 900)) == []
    assert len(write(to, touch(2, "down", 500, 900), touch(2.1, "up", 500, 900))) == 2


def test_a_gesture_that_slides_onto_the_keyboard_ends_where_it_was_seen_last() -> None:
    to = writer(with_keyboard=True)
    data = write(
        to,
        touch(1, "down", 525, 1050),
        touch(1.1, "move", 500, 1750),
        touch(1.2, "move", 500, 900),
        touch(1.3, "up", 1, 1),
    )
    assert [(d["type"], d["x"], d["y"]) for d in data] == [(7, 200, 400), (10, 200, 400)]
    assert to.events(touch(2, "down", 500, 1750), SCREEN, DPI) == ([], True)
