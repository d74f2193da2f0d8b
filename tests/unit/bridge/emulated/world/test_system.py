from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.emulated.world import system
from bridge.emulated.world.autopilot import SECRETS
from bridge.emulated.world.shop import KEYBOARD, NAVIGATION, STATUS
from bridge.emulated.world.views import View, Window

SIZES = [(412.0, 914.0), (914.0, 412.0)]
sizes = pytest.mark.parametrize(("width", "height"), SIZES)


def below(view: View) -> Iterator[View]:
    yield view
    for child in view.children:
        yield from below(child)


def taps(window: Window) -> dict[str, View]:
    return {view.tap: view for view in below(window.root) if view.tap}


def inside(window: Window) -> None:
    """No view stands out of its window."""
    left, top, right, bottom = window.root.box
    for view in below(window.root):
        assert left <= view.box[0] < view.box[2] <= right, view
        assert top <= view.box[1] < view.box[3] <= bottom, view


@sizes
def test_the_bars(width: float, height: float) -> None:
    status, navigation = system.status_bar(width, "10:42"), system.navigation_bar(width, height)
    assert (status.package, navigation.package) == (system.SYSTEMUI, system.SYSTEMUI)
    assert status.root.box == (0, 0, width, STATUS)
    assert navigation.root.box == (0, height - NAVIGATION, width, height)
    assert [view.text for view in below(status.root) if view.res.endswith(":id/clock")] == ["10:42"]
    assert list(taps(navigation)) == ["home"]
    inside(status)
    inside(navigation)


@sizes
def test_the_keyboard_has_a_key_for_what_is_typed(width: float, height: float) -> None:
    window = system.keyboard(width, height)
    assert window.package == system.INPUT
    assert window.root.box == (0, height - NAVIGATION - KEYBOARD, width, height - NAVIGATION)
    keys = taps(window)
    assert {"key:done", "key:del", "key: ", "key:shift"} <= set(keys)
    wanted = {character for secret in SECRETS for character in secret if character.islower() or character.isdigit()}
    assert {f"key:{character}" for character in wanted | {"@", "."}} <= set(keys)
    inside(window)


@sizes
def test_no_two_keys_overlap(width: float, height: float) -> None:
    boxes = [view.box for view in taps(system.keyboard(width, height)).values()]
    for number, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:number]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


@sizes
def test_the_permission_dialog(width: float, height: float) -> None:
    window = system.permission_dialog(width, height)
    assert window.package == system.PERMISSION
    buttons = [view for view in below(window.root) if view.tap]
    assert [(button.text, button.tap) for button in buttons] == [("Allow", "permission"), ("Don't allow", "permission")]
    assert [button.res.rpartition("/")[2] for button in buttons] == [
        "permission_allow_button",
        "permission_deny_button",
    ]
    # The app is seen around it.
    assert window.root.look == "none"
    inside(window)


@sizes
def test_the_launcher_starts_the_app(width: float, height: float) -> None:
    window = system.launcher(width, height, "Northbay")
    assert window.package == system.LAUNCHER
    assert taps(window)["launch"].desc == "Northbay"
    assert [view.text for view in below(window.root) if view.text] == ["Northbay"]
    inside(window)


@sizes
def test_a_notification_is_private(width: float, height: float) -> None:
    window = system.notification(width, "Your results are ready")
    assert window.package == system.SYSTEMUI
    assert window.root.private == "Your results are ready"
    assert [view.text for view in below(window.root) if view.text] == ["Your results are ready"]
    assert window.root.box[1] > STATUS
    inside(window)
