from __future__ import annotations

from pathlib import Path

import pytest

from agent.farm.health import Health, HealthRecord
from agent.settings import Farm

LIMITS = Farm(quarantine_offline=3, quarantine_seconds=60, max_temperature=45, min_battery=15, min_storage=1000)
MINUTE = 60_000


def test_one_that_keeps_going_away_rests_until_it_stays() -> None:
    health = Health("A1")
    for minute in (0, 1):
        health = health.attached(minute * MINUTE).detached(minute * MINUTE + 1)
        assert health.judged(LIMITS, minute * MINUTE + 2).resting == ""
    health = health.detached(2 * MINUTE).attached(3 * MINUTE).judged(LIMITS, 3 * MINUTE)
    assert "3 times" in health.resting
    assert health.judged(LIMITS, 4 * MINUTE - 1).resting
    well = health.judged(LIMITS, 4 * MINUTE)
    assert (well.resting, well.offline_ms) == ("", ())


def test_departures_of_long_ago_count_no_more() -> None:
    health = Health("A1").detached(0).detached(1).detached(61 * MINUTE)
    assert health.offline_ms == (61 * MINUTE,)
    assert Health("A1", (0, 1, 2)).judged(LIMITS, 61 * MINUTE).resting == ""


@pytest.mark.parametrize(
    ("bad", "better", "well", "word"),
    [
        ((80, 45.1, None), (80, 42.1, None), (80, 42.0, None), "45.1 °C"),
        ((14, 30.0, None), (19, 30.0, None), (20, 30.0, None), "14 %"),
        ((80, 30.0, 999), (80, 30.0, 1099), (80, 30.0, 1100), "storage"),
    ],
)
def test_one_that_is_unwell_rests_until_it_is_clearly_better(
    bad: tuple[int, float, int | None],
    better: tuple[int, float, int | None],
    well: tuple[int, float, int | None],
    word: str,
) -> None:
    health = Health("A1", since_ms=1).measured(*bad).judged(LIMITS, 2)
    assert word in health.resting
    health = health.measured(*better).judged(LIMITS, 3)
    assert health.resting
    assert health.measured(*well).judged(LIMITS, 4).resting == ""
    # It would not have begun to rest for that.
    assert Health("A1", since_ms=1).measured(*better).judged(LIMITS, 2).resting == ""


def test_what_is_not_told_is_not_held_against_it() -> None:
    assert Health("A1", since_ms=1).measured(None, None, None).judged(LIMITS, 2).resting == ""


def test_the_record_outlives_the_process(tmp_path: Path) -> None:
    record = HealthRecord(tmp_path)
    health = Health("127.0.0.1:5555", (1, 2), 3, 80, 28.5, 7, "hot")
    record.keep(health)
    found = HealthRecord(tmp_path).load("127.0.0.1:5555")
    assert (found.offline_ms, found.battery, found.resting, found.since_ms) == ((1, 2), 80, "hot", 0)
    assert record.load("A2") == Health("A2")


@pytest.mark.parametrize("text", ["{", "[]", '{"offline_ms": 5}', '{"bogus": 1, "offline_ms": []}'])
def test_a_damaged_record_begins_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "A1.json").write_text(text)
    assert HealthRecord(tmp_path).load("A1") == Health("A1")
