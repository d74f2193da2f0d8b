from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fakes import patterned
from fakes.patterned import DEVICE, LENGTH_MS, OTHER_SESSION, PAUSE_MS, SESSION

from agent.errors import ConfigError
from agent.export.part import moment, names, parts
from agent.store.recording import Recording

START = SESSION + 1000


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return patterned.record(tmp_path_factory.mktemp("part") / "shop")


def test_all_sessions_the_oldest_first(recording: Recording) -> None:
    first, other = parts(recording)
    assert (first.session_id, first.device_id, len(first.segments)) == (SESSION, DEVICE, 3)
    assert (first.from_ms, first.to_ms) == (START, START + 3 * LENGTH_MS + PAUSE_MS)
    assert (other.session_id, other.ms) == (OTHER_SESSION, LENGTH_MS)


def test_one_session(recording: Recording) -> None:
    (part,) = parts(recording, OTHER_SESSION, DEVICE)
    assert part.session_id == OTHER_SESSION


@pytest.mark.parametrize(("session", "device"), [(1, None), (None, "nobody"), (SESSION, "nobody")])
def test_a_session_that_is_not_there_says_which_are(recording: Recording, session: int, device: str) -> None:
    with pytest.raises(ConfigError) as told:
        parts(recording, session, device)
    assert str(SESSION) in told.value.hint
    assert DEVICE in told.value.hint


def test_an_empty_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no readable segment"):
        parts(Recording.create(tmp_path / "empty"))


def test_a_time_within_a_session_takes_the_segment_that_is_shown_then(recording: Recording) -> None:
    (part,) = parts(recording, SESSION, begin="12", end="15.5")
    assert [segment.seq for segment in part.segments] == [1]
    assert (part.from_ms, part.to_ms) == (START + 12_000, START + 15_500)
    # In the long pause the last picture still stands.
    (part,) = parts(recording, SESSION, begin="5:00", end="6:00")
    assert [segment.seq for segment in part.segments] == [1]
    (part,) = parts(recording, SESSION, begin="5:00")
    assert [segment.seq for segment in part.segments] == [1, 2]
    assert part.to_ms == START + 3 * LENGTH_MS + PAUSE_MS


@pytest.mark.parametrize(("begin", "end"), [("5", "5"), ("6", "5"), ("9:59:59", None), (None, "2020-01-01")])
def test_no_time_at_all_says_how_long_the_session_is(recording: Recording, begin: str, end: str) -> None:
    with pytest.raises(ConfigError) as told:
        parts(recording, SESSION, begin=begin, end=end)
    assert "750.0 s" in told.value.hint
    assert "2025-10-09T08:53:21.000Z" in told.value.hint


def test_a_moment_may_be_an_offset_or_a_date() -> None:
    assert moment("0", 5000) == 5000
    assert moment("90", 0) == moment("1:30", 0) == moment("0:01:30", 0) == 90_000
    assert moment("1.25", 0) == 1250
    assert moment("1:00:00.5", 0) == 3_600_500
    assert moment("1970-01-01T00:00:01", 5) == moment("1970-01-01T02:00:01+02:00", 5) == 1000
    assert moment("1970-01-01T00:00:01.5Z", 5) == 1500


@pytest.mark.parametrize("text", ["", "soon", "-5", "1:2:3:4", "1:", "1:005:00", "nan", "2026-13-01", "9" * 400])
def test_what_is_no_time_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="is no time"):
        moment(text, 0)


def test_a_name_is_fit_for_a_file(recording: Recording) -> None:
    part = parts(recording)[0]
    assert part.name == f"{SESSION}-{DEVICE}"
    odd = replace(part, device_id="../a b/\u00e4\n" + "x" * 200).name
    assert "/" not in odd
    assert len(odd) <= 80


@pytest.mark.parametrize(
    "devices",
    [
        ["a/b", "a_b", "a b"],
        ["Phone", "phone"],
        ["x" * 200 + "1", "x" * 200 + "2"],
        ["half \ud83d", "half \ud83e"],
    ],
)
def test_no_two_sessions_have_one_name(recording: Recording, devices: list[str]) -> None:
    part, other = parts(recording)
    found = [replace(part, device_id=device) for device in devices]
    made = names([*found, other])
    assert len({name.casefold() for name in made}) == len(made)
    assert all("/" not in name and len(name) <= 80 for name in made)
    # The others stay as they are, and so do these without each other.
    assert made[-1] == other.name
    assert names(found[:1]) == [found[0].name]
    assert made[:-1] == names([*reversed(found)])[::-1]


def test_a_device_id_that_looks_like_the_marked_name_of_another_is_marked(recording: Recording) -> None:
    part = replace(parts(recording)[0], device_id="a/b")
    like = replace(part, device_id=part.marked_name.removeprefix(f"{SESSION}-"))
    assert like.name == part.marked_name
    made = names([part, replace(part, device_id="a_b"), like])
    assert len(set(made)) == 3
