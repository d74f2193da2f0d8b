from __future__ import annotations

from pathlib import Path

import pytest
from fakes.cards import BLUE, GREEN, RED, card, red
from fakes.segments import segment
from fakes.views import APP, DPI, SCREEN, at, event

from agent.errors import RecordingError
from agent.replay.mask import Masker
from agent.replay.recorder import Recorder
from agent.replay.validator import validate
from agent.store.excerpt import excerpt
from agent.store.recording import Recording


def test_a_stretch_of_one_device_is_a_recording_of_its_own(tmp_path: Path) -> None:
    whole = Recording.create(tmp_path / "whole")
    first, second, other = segment(0), segment(1), segment(0, device_id="other", serial="emulated-2")
    for sealed in (second, first, other):
        whole.write(sealed)
    middle = first.manifest.start_ms + 1200
    found = excerpt(whole, first.manifest.serial, middle, second.manifest.end_ms, tmp_path / "part")
    assert [(m.start_ms, m.seq) for m in found] == [(middle, 0), (second.manifest.start_ms, 1)]
    part = Recording.open(tmp_path / "part")
    assert {m.id for m in part.manifests()} == {m.id for m in found}
    assert part.problems() == ()
    assert second.manifest.id in {m.id for m in found}
    assert len(whole.manifests()) == 3


def test_a_stretch_holds_nothing_from_before_it(tmp_path: Path) -> None:
    whole = Recording.create(tmp_path / "whole")
    recorder = Recorder("serial-1", {}, Masker("medium", APP), lambda value: 1, SCREEN, DPI)
    shown = [(1.5, RED), (4.5, RED), (8, BLUE), (11, GREEN), (14, BLUE), (36, GREEN), (39, BLUE)]
    items = (event(1), *(card(seconds, colour) for seconds, colour in shown))
    for sealed in [*(each for item in items for each in recorder.feed(item)), *recorder.finish()]:
        whole.write(sealed)
    found = excerpt(whole, "serial-1", at(9).wall_ms, at(40).wall_ms, tmp_path / "part")
    assert len(found) == 2
    part = Recording.open(tmp_path / "part")
    assert red(part.picture(digest).data for m in found for digest in m.pictures) == 0
    assert all(validate(part.events(m.id), part.sealed(m.id).pictures, closed=True) == [] for m in found)
    assert red(whole.picture(digest).data for m in whole.manifests() for digest in m.pictures) > 0


def test_a_stretch_in_which_nothing_was_is_empty(tmp_path: Path) -> None:
    whole = Recording.create(tmp_path / "whole")
    whole.write(segment())
    assert excerpt(whole, "emulated-1", 0, 1, tmp_path / "part") == ()
    assert excerpt(whole, "nobody", 0, 2**42, tmp_path / "part") == ()


def test_a_damaged_segment_is_said(tmp_path: Path) -> None:
    whole = Recording.create(tmp_path / "whole")
    sealed = segment()
    whole.write(sealed)
    file = next((tmp_path / "whole" / "segments").glob("*.jsonl"))
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(RecordingError):
        excerpt(whole, sealed.manifest.serial, 0, 2**42, tmp_path / "part")
