"""`scripts/bench` itself: rows that fail are told and the rest is run."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[3] / "scripts"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The command, with none of its scenarios."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    module = importlib.import_module("benchmarks.__main__")
    monkeypatch.setattr(module, "SCENARIOS", {})
    monkeypatch.setattr(module, "MODULES", {})
    yield module
    for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
        del sys.modules[name]


@pytest.fixture
def measure(bench: ModuleType) -> Any:
    return importlib.import_module("benchmarks.measure")


@pytest.mark.parametrize("name", sorted(path.stem for path in (SCRIPTS / "benchmarks").glob("[a-z]*.py")))
def test_each_scenario_finds_what_it_measures(bench: ModuleType, name: str) -> None:
    try:
        importlib.import_module(f"benchmarks.{name}")
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] in ("agent", "bridge", "benchmarks", "fakes"):
            raise
        pytest.skip(f"{error.name} is not installed")


def run(bench: ModuleType, monkeypatch: pytest.MonkeyPatch, *options: str, **scenarios: Callable[[], Any]) -> int:
    for name, work in scenarios.items():
        bench.SCENARIOS[name] = f"what {name} is"
        module: Any = ModuleType(f"benchmarks.{name}")
        module.run = work
        monkeypatch.setitem(sys.modules, f"benchmarks.{name}", module)
    monkeypatch.setattr(sys, "argv", ["bench", *options])
    code: int = bench.main()
    return code


def test_a_failed_check_is_a_row_and_the_rest_is_run(
    bench: ModuleType, measure: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def half() -> Iterator[Any]:
        yield measure.result("half/first", 1, 10, "a peer", "ms", 5)
        raise measure.CheckFailed("a private place is shown")

    def broken() -> list[Any]:
        raise ZeroDivisionError("by itself")

    def fine() -> list[Any]:
        return [measure.result("fine/row", 2, 10, "a peer", "ms", 5)]

    assert run(bench, monkeypatch, "--json", half=half, broken=broken, fine=fine) == 3
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert [(row["scenario"], row["verdict"]) for row in found["rows"]] == [
        ("half/first", "met"),
        ("half", "FAILED"),
        ("broken", "FAILED"),
        ("fine/row", "met"),
    ]
    assert [row["failed"] for row in found["rows"]] == [
        "",
        "a private place is shown",
        "ZeroDivisionError: by itself",
        "",
    ]
    assert found["exit_code"] == 3
    assert set(found["seconds"]) == {"half", "broken", "fine"}
    assert "[3/3] fine: what fine is" in err


def test_a_row_below_its_target_says_by_how_much(
    bench: ModuleType, measure: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        measure.result("low/nearly", 1, 9, "a peer", "ms", 10, note="decoding takes the rest"),
        measure.result("low/far", 1, 5, "a peer", "ms", 10),
        measure.result("low/limit", 9, 90, "a peer", "ms", 10, limit=8),
        measure.result("low/told", 1, 2, "a peer", "ms", 0),
    ]
    assert run(bench, monkeypatch, low=lambda: rows) == 1
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if line.startswith("low/nearly "))
    assert row.endswith("missed by 10%   a peer")
    assert "MISSED BY 50%" in out
    assert "OVER ITS LIMIT" in out
    assert "low/nearly: decoding takes the rest" in out


def test_what_reaches_four_fifths_is_no_failure(
    bench: ModuleType, measure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(bench, monkeypatch, near=lambda: [measure.result("near/row", 1, 8, "a peer", "ms", 10)]) == 0


def test_nothing_spent_is_no_number_of_json(
    bench: ModuleType, measure: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bench, monkeypatch, "--json", free=lambda: [measure.result("free/row", 0, 8, "a peer", "ms", 10)]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["ratio"] is None


def test_an_interrupt_prints_what_there_is(
    bench: ModuleType, measure: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def long() -> Iterator[Any]:
        yield measure.result("long/first", 1, 10, "a peer", "ms", 5)
        raise KeyboardInterrupt

    assert run(bench, monkeypatch, long=long, never=lambda: [1]) == 130
    assert "long/first" in capsys.readouterr().out


def test_the_rehearsal_is_what_the_product_asks_of_a_device(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av", reason="no PyAV: the extra `video` is not installed")
    clips, rehearsal = (importlib.import_module(f"benchmarks.{name}") for name in ("clips", "rehearsal"))
    script = clips.Script(2, ("launch", "wait 1.2", "tap permission", "wait 3.2", "tap email"), skip=4)
    monkeypatch.setattr(clips, "SCRIPTS", {"short": script})
    short = clips.clip("short")
    assert short.fingers
    for source in ("jpeg", "h264-270"):
        take = rehearsal.rehearse(short, source)
        assert any(not state.blocked for state in take.states()), source


def test_the_readers_of_dumps_agree(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = importlib.import_module("benchmarks.tree")
    monkeypatch.setattr(tree, "ROUNDS", 1)
    assert [row.scenario.split(" ")[0] for row in tree.run()] == ["tree/unchanged", "tree/changed"]
