from __future__ import annotations

from fakes.instrumented import log_of

from bridge.emulated.world import SCENARIOS
from bridge.emulated.world.console import inspect
from bridge.emulated.world.faulty import FAULTY


def test_each_is_a_scenario_of_an_app_that_runs() -> None:
    assert set(FAULTY) < set(SCENARIOS)
    for name in FAULTY:
        assert b'Running "Northbay"' in log_of(name, 3.0), name


def test_the_user_comes_again_and_again_from_the_start() -> None:
    assert log_of("instrumented", 40.0).count(b"Start proc ") >= 3


def test_objects_from_the_twelfth_level_on_are_not_shown() -> None:
    nest: dict[str, object] = {}
    for _ in range(10):
        nest = {"a": nest}
    assert "[Object]" not in inspect(nest)
    assert inspect({"a": nest}).count("[Object]") == 1
    assert inspect({"a": [nest]}).count("[Object]") == 1
