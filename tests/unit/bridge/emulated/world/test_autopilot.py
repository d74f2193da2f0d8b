from __future__ import annotations

import pytest

from bridge.emulated.clock import DeviceClock
from bridge.emulated.world import World
from bridge.emulated.world.autopilot import EMAIL, SCENARIOS, SECRETS, Autopilot
from bridge.emulated.world.shop import PACKAGE
from bridge.types import Size

STEP_NS = 10_000_000


class Pilot:
    """A user with steps of the test's, on a clock that the test turns."""

    def __init__(self, *steps: str, seed: int = 1) -> None:
        self.host_ns = 1_000_000_000
        self.clock = DeviceClock(host=lambda: self.host_ns)
        self.world = World(self.clock, Size(540, 1200), 210, "idle", autopilot=False)
        self.world.act("permission")
        self.touches: list[tuple[str, float, float]] = []
        self.world.on_touch.append(lambda kind, pointer, x, y: self.touches.append((kind, x, y)))
        self.user = Autopilot(self.world, steps, seed)

    def go(self, seconds: float = 60.0) -> None:
        """Until all is done, at most so long."""
        for _ in range(int(seconds * 1e9 / STEP_NS)):
            if self.user.due_ns is None:
                return
            self.host_ns += STEP_NS
            self.world.tick()
            self.user.tick(self.clock.boot_ns())

    @property
    def actions(self) -> list[str]:
        return [action for _, action in self.world.actions]


LOGIN = ("launch", "wait 1")


def test_a_tap_is_a_human_finger_on_the_view() -> None:
    pilot = Pilot(*LOGIN, "tap email")
    pilot.go()
    where = pilot.world.find("email")
    assert where is not None
    assert [kind for kind, _, _ in pilot.touches] == ["down", "up"]
    assert all(where.contains(x, y) for _, x, y in pilot.touches)
    assert pilot.actions[-1] == "focus:email"


def test_what_is_not_there_is_not_tapped() -> None:
    pilot = Pilot(*LOGIN, "tap nothing")
    pilot.go()
    assert pilot.touches == []
    assert pilot.user.due_ns is None


@pytest.mark.parametrize(("target", "x", "y"), [("foot", 270, 1189.5), ("left", 7.9, 600), ("right", 532.1, 600)])
def test_a_drag_goes_so_far_from_a_view_or_an_edge(target: str, x: float, y: float) -> None:
    pilot = Pilot(*LOGIN, "drag email 20 -40 0.5", "drag nothing 1 1 0", f"drag {target} 16 32 0")
    pilot.go()
    where = pilot.world.find("email")
    assert where is not None
    kinds = [kind for kind, _, _ in pilot.touches]
    assert kinds == ["down", *["move"] * 16, "up"] * 2
    first, *_, last = pilot.touches[:18]
    assert last[1:] == pytest.approx((first[1] + 26.25, first[2] - 52.5))
    assert where.contains(*first[1:])
    assert pilot.touches[18][1:] == pytest.approx((x, y), abs=0.1)
    pilot = Pilot(*LOGIN, "drag email:below 0 9 0")
    pilot.go()
    assert pilot.touches[0][1:] == pytest.approx((first[1], where.bottom + 31.5))


def test_typing_is_done_on_the_keyboard_as_far_as_it_has_the_key() -> None:
    pilot = Pilot(*LOGIN, "tap email", f"type {EMAIL}A", "tap key:done")
    pilot.go()
    assert any(secret.text == EMAIL + "A" for frame in pilot.world.truth() for secret in frame.secrets)
    assert not pilot.world.keyboard_shown
    # Each character of the address by a finger, the capital not; one tap each for the field and "done".
    assert len([kind for kind, _, _ in pilot.touches if kind == "down"]) == len(EMAIL) + 2


@pytest.mark.parametrize(("step", "way"), [("fling", 1), ("fling back", -1)])
def test_a_fling_scrolls(step: str, way: int) -> None:
    pilot = Pilot(*LOGIN, "tap sign-in", "fling", "wait 2", step, "wait 2")
    tops: list[int] = []
    while pilot.user.due_ns is not None:
        pilot.go(0.01)
        seen = pilot.world.find("product-list") and pilot.world.find("product-6")
        if seen:
            tops.append(seen.top)
    kinds = [kind for kind, _, _ in pilot.touches]
    assert kinds.count("move") == 14
    low, high = min(tops), tops[-1]
    assert (high > low + 200) == (way < 0)


def test_other_steps() -> None:
    pilot = Pilot(*LOGIN, "rotate 1", "notify words", "home", "sleep 301", "launch", "back")
    before = pilot.clock.wall_ns()
    pilot.go()
    assert pilot.world.rotation == 1
    assert b"words" in pilot.world.dump_xml()
    assert pilot.clock.wall_ns() - before > 301 * 10**9
    assert pilot.actions[-3:] == ["home", "launch", "home"]


@pytest.mark.parametrize("step", ["crash", "stop"])
def test_the_app_can_be_ended(step: str) -> None:
    pilot = Pilot(*LOGIN, step)
    pilot.go()
    assert pilot.world.app_pid == 0
    assert pilot.world.foreground[0] != PACKAGE


def test_it_waits_as_long_as_it_says_and_then_rests() -> None:
    pilot = Pilot("wait 2", "home")
    pilot.user.tick(0)
    assert pilot.user.due_ns == 2 * 10**9
    pilot.user.tick(2 * 10**9 - 1)
    assert pilot.actions == ["permission"]
    pilot.user.tick(2 * 10**9)
    assert pilot.actions == ["permission", "home"]
    pilot.user.tick(10**10)
    assert pilot.user.due_ns is None


def test_the_same_seed_moves_the_same_finger() -> None:
    ways = []
    for seed in (1, 1, 2):
        pilot = Pilot(*LOGIN, "tap email", seed=seed)
        pilot.go()
        ways.append(pilot.touches)
    assert ways[0] == ways[1] != ways[2]


def test_every_step_of_every_scenario_is_known() -> None:
    verbs = [
        "wait",
        "launch",
        "home",
        "back",
        "rotate",
        "crash",
        "stop",
        "notify",
        "sleep",
        "tap",
        "type",
        "fling",
        "drag",
        "do",
    ]
    for name, steps in SCENARIOS.items():
        assert {step.partition(" ")[0] for step in steps} <= set(verbs), name
        assert "launch" in steps, name


def test_the_shop_scenario_types_every_secret() -> None:
    typed = {step.removeprefix("type ") for step in SCENARIOS["shop"] if step.startswith("type ")}
    assert typed == set(SECRETS)
