from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from fakes import patterned
from fakes.patterned import LENGTH_MS, SESSION
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from agent.errors import BuildError, StorageError
from agent.export import video
from agent.export.part import Part, parts
from agent.export.stream import SHORT_MS, Stream
from agent.export.video import STEP_MS, STILL_MS, Canvas, Shot, canvas, shots, span
from agent.replay import rrweb
from agent.replay.rrweb import Event
from agent.store.recording import Recording

av = pytest.importorskip("av", reason="no PyAV: the extra `video` is not installed")

START = SESSION + 1000
OPENING = [rrweb.meta(0, "x", 100, 200), rrweb.full_snapshot(1, "picture:a", 100, 200, [])]


class _NoStream:
    def load(self, source: str) -> bytes:
        return b""


NO_STREAM: Any = _NoStream()


def swap(at_ms: int, source: str) -> Event:
    return rrweb.mutation(at_ms, [(rrweb.PICTURE_ID, {"src": source})])


def drawn(*events: Event) -> list[Shot]:
    return list(shots([*OPENING, *events]))


def times(*events: Event) -> list[int]:
    return [shot.t_ms for shot in drawn(*events)]


def test_a_picture_is_drawn_when_it_comes() -> None:
    found = drawn(swap(400, "picture:b"), swap(900, "picture:c"), rrweb.custom(950, "end", {}))
    assert [(shot.t_ms, shot.state.base) for shot in found] == [
        (0, "picture:a"), (400, "picture:b"), (900, "picture:c"), (950, "picture:c"),
    ]  # fmt: skip
    assert [shot.opens for shot in found] == [True, False, False, False]


def test_what_changes_faster_than_the_rate_is_drawn_at_the_next_step() -> None:
    found = drawn(*(swap(at, f"picture:{at}") for at in (400, 405, 410, 440)), rrweb.custom(500, "end", {}))
    assert [(shot.t_ms, shot.state.base) for shot in found] == [
        (0, "picture:a"), (400, "picture:400"), (433, "picture:410"), (466, "picture:440"), (500, "picture:440"),
    ]  # fmt: skip


def test_a_still_screen_is_repeated_now_and_then() -> None:
    assert times(rrweb.custom(3500, "end", {})) == [0, STILL_MS, 2 * STILL_MS, 3 * STILL_MS, 3500]


def test_what_nobody_sees_is_not_drawn() -> None:
    assert times(rrweb.log(100, "info", "x"), rrweb.custom(200, "note", {}), rrweb.custom(300, "end", {})) == [0, 300]


def test_a_finger_is_drawn_until_it_has_faded() -> None:
    found = drawn(
        rrweb.touch(200, "down", 10, 20, 0),
        rrweb.touch(300, "up", 10, 20, 0),
        rrweb.custom(1000, "end", {}),
    )
    assert [shot.t_ms for shot in found][:4] == [0, 200, 300, 300 + STEP_MS]
    assert max(shot.t_ms for shot in found[:-1]) >= 600
    assert len(found) < 20


def test_the_first_picture_is_never_an_empty_document() -> None:
    assert all(shot.state.base for shot in drawn(rrweb.custom(10, "end", {})))
    turned = [rrweb.meta(500, "x", 200, 100), rrweb.full_snapshot(501, "picture:b", 200, 100, [])]
    found = drawn(swap(499, "picture:c"), swap(500, "picture:d"), *turned, rrweb.custom(600, "end", {}))
    assert {(shot.state.base, shot.state.width) for shot in found} <= {
        ("picture:a", 100), ("picture:c", 100), ("picture:d", 100), ("picture:b", 200),
    }  # fmt: skip
    assert ("picture:b", 200) in {(shot.state.base, shot.state.width) for shot in found}
    assert sum(shot.opens for shot in found) == 2


@pytest.mark.parametrize("noise", [False, True])
def test_a_long_pause_is_short_and_says_its_length(noise: bool) -> None:
    logs = [rrweb.log(at, "info", "x") for at in range(2000, 600_000, 5_000)] if noise else []
    found = drawn(*logs, swap(600_001, "picture:b"), rrweb.custom(600_500, "end", {}))
    (caption,) = [shot for shot in found if shot.caption]
    what = "a change" if noise else "a record"
    assert caption.caption == f"10 min 0 s without {what}"
    b = next(shot for shot in found if shot.state.base == "picture:b")
    assert b.t_ms <= STILL_MS + SHORT_MS
    assert b.wall_ms == 600_001
    assert b.t_ms - caption.t_ms >= SHORT_MS - 2 * STEP_MS
    assert [shot.t_ms for shot in found] == sorted(shot.t_ms for shot in found)


def test_a_gap_is_told_as_long_as_it_lasts() -> None:
    gap = {"stage": "screen", "reason": "CaptureFailed", "from_ms": 500, "to_ms": 4500, "ms": 4000}
    found = drawn(rrweb.custom(500, "gap", gap), swap(5_000, "picture:b"), rrweb.custom(6_000, "end", {}))
    assert {shot.t_ms: shot.caption for shot in found} == {
        0: "",
        **dict.fromkeys((500, 1500, 2500, 3500), "4.0 s without a picture: capture failed"),
        **dict.fromkeys((4500, 5000, 6000), ""),
    }


@pytest.mark.parametrize(
    "more",
    [
        {"to_ms": 2_000},
        {"stage": "touch"},
        {"to_ms": None},
        {"reason": None},
    ],
)
def test_what_is_no_lack_of_pictures_is_not_told(more: dict[str, object]) -> None:
    gap = {"stage": "screen", "reason": "CaptureFailed", "from_ms": 500, "to_ms": 4500, **more}
    found = drawn(rrweb.custom(500, "gap", gap), rrweb.custom(6_000, "end", {}))
    assert {shot.caption for shot in found} == {""}


def test_a_stretch_between_segments_is_told() -> None:
    again = [rrweb.meta(9_000, "x", 100, 200), rrweb.full_snapshot(9_001, "picture:b", 100, 200, [])]
    found = drawn(rrweb.custom(2_000, "end", {}), *again, rrweb.custom(9_500, "end", {}))
    told = {shot.wall_ms: shot.caption for shot in found}
    assert {wall for wall, caption in told.items() if caption} == {2033, *range(3033, 9000, 1000)}
    assert set(told.values()) == {"", "7.0 s without a record"}
    assert [shot.t_ms for shot in found] == sorted({shot.t_ms for shot in found})


def test_a_reason_of_any_form_is_one_line() -> None:
    gap = {"stage": "screen", "reason": "a\nb\u2028" * 1_000_000, "from_ms": 500, "to_ms": 4500}
    found = drawn(rrweb.custom(500, "gap", gap), rrweb.custom(900, "end", {}))
    assert "a\nb" in found[-1].caption
    painted = video._Painter(Canvas(200, 400, 2.0), NO_STREAM).paint(found[-1])
    assert painted.getcolors() != [(200 * 400, video.GROUND)]


def test_a_window_of_one_dp_makes_no_giant_of_a_finger() -> None:
    class Large:
        def load(self, source: str) -> bytes:
            out = io.BytesIO()
            Image.new("RGB", (4000, 8000)).save(out, "PNG")
            return out.getvalue()

        def __iter__(self) -> Iterator[Event]:
            yield from (rrweb.meta(0, "x", 1, 2), rrweb.full_snapshot(1, "picture:a", 1, 2, []))

    assert canvas(cast(Stream, Large())) == Canvas(8, 16, 8.0)


def test_what_covers_the_whole_picture_is_told() -> None:
    found = drawn(rrweb.custom(500, "mask", {"blocked": "secure"}), rrweb.custom(900, "end", {}))
    assert [(shot.t_ms, shot.state.blocked) for shot in found] == [(0, ""), (500, "secure"), (900, "secure")]
    size = Canvas(200, 400, 2.0)
    with_words, without = (np.asarray(video._Painter(size, NO_STREAM).paint(shot)) for shot in (found[1], found[0]))
    assert (with_words != without).any()


def test_a_document_is_covered_by_what_is_told_of_it_from_its_first_picture_on() -> None:
    def covered(at_ms: int, source: str, blocked: str) -> list[Event]:
        full = rrweb.full_snapshot(at_ms + 1, source, 100, 200, [])
        told = rrweb.custom(at_ms + 2, "mask", {"blocked": blocked})
        return [rrweb.meta(at_ms, "x", 100, 200), full, told] if blocked else [rrweb.meta(at_ms, "x", 100, 200), full]

    first, again = covered(0, "picture:a", "secure"), covered(500, "picture:b", "secure")
    found = list(shots([*first, *again, *covered(900, "picture:c", ""), rrweb.custom(1200, "end", {})]))
    assert [(shot.t_ms, shot.state.base, shot.state.blocked) for shot in found] == [
        (0, "picture:a", "secure"), (501, "picture:b", "secure"), (901, "picture:c", ""), (1200, "picture:c", ""),
    ]  # fmt: skip


def test_the_end_of_a_touch_that_opens_a_segment_is_not_drawn() -> None:
    resting = rrweb.touch(2, "cancel", 0, 0, 0)
    assert [shot.state.fingers for shot in drawn(resting, rrweb.custom(300, "end", {}))] == [(), ()]


def test_no_event_no_shot() -> None:
    assert list(shots([])) == []
    assert list(shots([rrweb.meta(0, "x", 100, 200)])) == []


def test_spans_in_words() -> None:
    assert [span(ms) for ms in (450, 3_200, 725_000, 7_380_000)] == ["0.5 s", "3.2 s", "12 min 5 s", "2 h 3 min"]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return patterned.record(tmp_path_factory.mktemp("video") / "shop")


@pytest.fixture(scope="module")
def part(recording: Recording) -> Part:
    return parts(recording, SESSION)[0]


def frames(file: Path) -> list[tuple[int, Any]]:
    with av.open(str(file)) as container:
        track = container.streams.video[0]
        return [(round(frame.pts * track.time_base * 1000), frame) for frame in container.decode(track)]


def number(frame: Any, box: tuple[int, int, int, int]) -> int:
    out = io.BytesIO()
    frame.to_image().crop(box).save(out, "PNG")
    return patterned.read(out.getvalue())


@pytest.fixture(scope="module")
def film(recording: Recording, part: Part, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("film") / "shop.mp4"
    told: list[float] = []
    count = video.write(Stream(recording, part), part, file, told.append)
    assert count == len(frames(file))
    assert told == sorted(told)
    assert told[-1] == 1
    return file


def test_every_window_fits_the_canvas(recording: Recording, part: Part) -> None:
    assert canvas(Stream(recording, part)) == Canvas(640, 640, 1.0)
    (other,) = parts(recording, patterned.OTHER_SESSION)
    assert canvas(Stream(recording, other)) == Canvas(360, 640, 1.0)


def test_the_video_is_one_that_players_take(film: Path) -> None:
    with av.open(str(film)) as container:
        track = container.streams.video[0]
        assert (track.codec_context.name, track.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (track.width, track.height) == (640, 640)
        assert container.duration == pytest.approx((3 * LENGTH_MS + SHORT_MS) * 1000, abs=100_000)
        assert (track.codec_context.colorspace, track.codec_context.color_range) == (1, 1)
    data = film.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_each_time_shows_the_picture_of_that_time(film: Path) -> None:
    found = frames(film)
    pictures = set[int]()
    upright, flat = (140, 0, 500, 640), (0, 140, 640, 500)
    for t_ms, frame in found:
        if t_ms < 2 * LENGTH_MS:
            # A segment's first picture comes right after the end of the one before.
            assert number(frame, upright) == 1 + t_ms // 1000 - (t_ms == LENGTH_MS)
        elif t_ms >= 2 * LENGTH_MS + SHORT_MS:
            pictures.add(number(frame, flat))
    assert pictures == set(range(21, 31))
    assert len([t for t, _ in found if t < 2 * LENGTH_MS]) > 20


def test_a_frame_made_of_the_last_one_is_the_frame_of_its_shot(recording: Recording, part: Part) -> None:
    stream = Stream(recording, part)
    size = canvas(stream)
    film = video._Film(video._Painter(size, stream))
    changes = 0
    for shot in shots(stream):
        made = film.frame(shot).to_ndarray().astype(int)
        alone = video._Film(video._Painter(size, stream)).frame(shot).to_ndarray().astype(int)
        assert np.abs(made - alone).max() <= 2
        changes += len(film._painter.changed) > 0
    assert changes > 20


@given(st.lists(st.tuples(*[st.integers(-30, 230)] * 4), max_size=8))
def test_boxes_apart_are_even_and_hold_all(boxes: list[tuple[int, int, int, int]]) -> None:
    held = np.zeros((200, 100), int)
    for left, top, right, bottom in video._apart(boxes, (100, 200)):
        assert not any(side % 2 for side in (left, top, right, bottom))
        held[top:bottom, left:right] += 1
    assert held.max(initial=0) <= 1
    for left, top, right, bottom in boxes:
        assert held[max(0, top) : max(0, bottom), max(0, left) : max(0, right)].all()


def test_the_rest_is_dark_and_the_colours_are_right(film: Path) -> None:
    frame = np.asarray(frames(film)[0][1].to_image())
    assert frame[:, :130].max() < 40
    want = np.asarray(Image.open(io.BytesIO(patterned.picture(1).data)).convert("RGB"))[20, 20].astype(int)
    assert np.abs(frame[20, 160].astype(int) - want).max() <= 6


def test_the_finger_is_drawn_where_and_while_it_is(film: Path) -> None:
    found = dict(frames(film))
    plain, touched = (np.asarray(found[t].to_image()).astype(int) for t in (2000, 2500))
    rows, columns = np.nonzero(np.abs(touched - plain).max(axis=2) > 24)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(140 + 360 / 2, abs=2)
    assert (rows.min() + rows.max()) / 2 == pytest.approx(640 / 4, abs=2)
    gone = np.asarray(found[4000].to_image()).astype(int)
    assert np.abs(gone - np.asarray(found[5000].to_image()))[160, 320].max() < 200


def test_pauses_are_captioned(film: Path) -> None:
    found = frames(film)
    pause = max(pairwise(found), key=lambda pair: pair[1][0] - pair[0][0])[0][1]
    band = np.asarray(pause.to_image().convert("L"))[310:330]
    assert band.max() > 180
    assert band.mean() < 90


def test_a_picture_that_is_not_stored_is_left_out_and_named(tmp_path: Path) -> None:
    at = START + 1500
    place = "left:0px;top:0px;width:9px;height:9px"
    layer = rrweb.element(300, "img", {"class": "l", "style": place, "src": "https://x/y"})
    adds = rrweb.mutation(at + 1000, layers=[(layer, None)])
    recording = Recording.create(tmp_path / "shop")
    recording.write(patterned.segment(0, START, range(1, 4), extra=[swap(at, f"picture:{'0' * 32}"), adds]))
    (found,) = parts(recording, SESSION)
    stream = Stream(recording, found)
    file = tmp_path / "shop.mp4"
    assert video.write(stream, found, file, lambda share: None) == len(frames(file)) > 3
    assert [problem.partition("shows ")[2] for problem in stream.problems] == [
        f"'picture:{'0' * 32}', which is not stored.", "'https://x/y', which is not stored.",
    ]  # fmt: skip


def test_without_pyav_the_step_is_named(
    recording: Recording, part: Part, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(BuildError) as told:
        video.write(Stream(recording, part), part, tmp_path / "x.mp4", lambda share: None)
    assert "android-replay-agent[video]" in told.value.hint


def test_a_file_that_cannot_be_written_is_the_disks_error(recording: Recording, part: Part, tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        video.write(Stream(recording, part), part, tmp_path / "absent" / "x.mp4", lambda share: None)
