"""The leak test in small; `scripts/leaks` is the same at length. Each way to break masking must be found by it."""

from __future__ import annotations

import dataclasses

import pytest
from fakes.leaks import SCREENS, UNTOLD, WORLDS, Source, Trees, faults, search

from agent.model import MaskedSnapshot, MaskLevel, MaskRect
from agent.replay import canvas, mask, motion, rules
from agent.replay.survey import Survey
from bridge.types import Bounds, Size

TREES_OF = {world: ("prompt", "lagging", "slow", "failing", "active")[i % 5] for i, world in enumerate(WORLDS)}


@pytest.mark.parametrize("world", WORLDS)
def test_nothing_private_is_stored(world: str) -> None:
    trees: Trees = TREES_OF[world]  # type: ignore[assignment]
    level: MaskLevel = "medium" if WORLDS.index(world) % 2 else "conservative"
    for way in {"prompt", trees}:
        if (world, way) not in UNTOLD:
            outcome = search(world, level, way, 30, *SCREENS[0])  # type: ignore[arg-type]
            assert outcome.leaks == []
            assert faults(outcome) == []
            assert outcome.pictures
            assert outcome.texts > 1_000


@pytest.mark.parametrize(
    ("world", "source", "trees"),
    [
        ("paying", "screenrecord", "prompt"),
        ("slides", "scrcpy", "lagging"),
        ("turning", "screenrecord", "prompt"),
        ("still-chat", "scrcpy", "failing"),
    ],
)
def test_nothing_private_is_stored_of_a_video(world: str, source: Source, trees: Trees) -> None:
    outcome = search(world, "medium", trees, 24, *SCREENS[0], source=source)
    assert outcome.leaks == []
    assert faults(outcome) == []
    assert outcome.pictures


@pytest.mark.parametrize("source", ["screencap", "screenrecord"])
def test_most_of_a_visit_is_seen(source: Source) -> None:
    """A recording that blocks everything would pass every check for leaks."""
    outcome = search("shop", "medium", "prompt", 80, *SCREENS[0], source=source)
    assert outcome.leaks == []
    assert outcome.blocked <= 0.2, outcome.reasons


def leaks(world: str, frames: int = 60, level: MaskLevel = "medium", source: Source = "screencap") -> list[str]:
    return search(world, level, "prompt", frames, *SCREENS[0], source=source).leaks


def test_an_input_that_is_not_masked_is_found_in_pictures_and_in_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "editable", lambda node: False)
    found = leaks("still-chat")
    assert any("what was masked" in leak for leak in found)
    assert any("in picture" in leak for leak in found)
    assert any("draft" in leak or "in b" in leak for leak in found)


def test_a_screen_that_slides_in_is_found_without_the_covers_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask, "unsettled", lambda surveys, screen, **_: [])
    assert leaks("slides")


def test_a_fling_is_found_when_what_moves_is_not_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask, "moved", lambda surveys: [])
    assert leaks("chat", 80)


def test_a_switch_of_apps_is_found_when_the_past_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motion.Motion, "since", lambda self, mono_ns: list(self._seen)[-1:])
    assert leaks("switching", 80)


def test_another_app_is_found_when_only_the_last_dump_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mask.Masker.snapshot

    def last_only(self: mask.Masker, s, canvas, dpi) -> MaskedSnapshot:  # type: ignore[no-untyped-def]
        return whole(self, dataclasses.replace(s, before=s.after, between=(), since=None), canvas, dpi)

    monkeypatch.setattr(mask.Masker, "snapshot", last_only)
    monkeypatch.setattr(mask, "_around", lambda *around: True)
    monkeypatch.setattr(motion.Motion, "since", lambda self, mono_ns: list(self._seen)[-1:])
    assert leaks("notices", 80)


def test_a_cover_that_is_dropped_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def bare(surveys: list[Survey], screen: object, **_: object) -> list[MaskRect]:
        for found in surveys:
            object.__setattr__(found, "covers", ())
        return []

    monkeypatch.setattr(mask, "unsettled", bare)
    assert leaks("still-list")


def test_what_a_codec_smears_beside_a_cover_is_found_without_a_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    for margin, least in (("DEBLOCKED", 0), ("SCALED", 0), ("BLOCK", 2)):
        monkeypatch.setattr(canvas, margin, least)
    assert any("beside covers" in leak for leak in leaks("still-chat", 20, source="screenrecord"))


def test_a_cover_of_a_video_that_is_off_by_a_line_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    outer = canvas._outer

    def shifted(b: Bounds, size: Size, screen: Size, grow: int) -> Bounds:
        found = outer(b, size, screen, grow)
        return Bounds(found.left, found.top + 16, found.right, found.bottom + 16)

    monkeypatch.setattr(canvas, "_outer", shifted)
    found = leaks("still-chat", 20, source="scrcpy")
    assert any("differs by" in leak for leak in found)
    assert any("in picture" in leak for leak in found)


def test_a_screen_that_slides_in_a_video_is_found_without_the_covers_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask, "unsettled", lambda surveys, screen, **_: [])
    monkeypatch.setattr(mask, "moved", lambda surveys: [])
    assert leaks("slides", 30, source="screenrecord")
