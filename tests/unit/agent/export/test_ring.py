from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from agent.export.ring import FADE_MS, STALE_MS, draw, strength
from agent.replay.playback import Finger


def drawn(x: float, y: float, shown: float, scale: float = 2.0) -> np.ndarray:
    """How much each pixel of a black picture changed."""
    picture = Image.new("RGB", (300, 400))
    draw(picture, x, y, scale, shown)
    return np.asarray(picture).astype(int).sum(axis=2)


def test_the_ring_is_centred_on_the_finger() -> None:
    seen = drawn(150, 120, 1.0)
    rows, columns = np.nonzero(seen)
    assert abs((columns.min() + columns.max()) / 2 - 150) <= 1
    assert abs((rows.min() + rows.max()) / 2 - 120) <= 1
    assert 80 <= columns.max() - columns.min() <= 92
    # The picture is still seen through its middle.
    assert seen[120, 150] < seen[120, columns.min() + 3]


def test_it_fades_and_is_gone() -> None:
    assert drawn(150, 120, 1.0).sum() > drawn(150, 120, 0.5).sum() > 0
    assert drawn(150, 120, 0.0).sum() == 0


def test_at_the_edge_a_part_is_drawn() -> None:
    assert drawn(0, 0, 1.0)[0:40, 0:40].any()
    assert not drawn(-500, 10, 1.0).any()


@pytest.mark.parametrize("far", [1e12, 1e308, float("inf")])
def test_a_finger_that_is_nowhere_is_not_drawn(far: float) -> None:
    picture = Image.new("RGB", (30, 40))
    for x, y in ((far, 0.0), (0.0, far), (-far, 0.0), (0.0, -far)):
        assert draw(picture, x, y, 2.0, 1.0) is None
    assert picture.getbbox() is None


def test_strength() -> None:
    down, up = Finger(0, 1, 2, True, 1000), Finger(0, 1, 2, False, 1000)
    assert strength(down, 1000) == strength(down, 1000 + STALE_MS - 1) == 1
    assert strength(down, 1000 + STALE_MS) == 0
    assert strength(up, 1000) == 1
    assert strength(up, 1000 + FADE_MS / 2) == 0.5
    assert strength(up, 1000 + 2 * FADE_MS) == 0
