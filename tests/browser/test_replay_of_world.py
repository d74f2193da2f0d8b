"""A session of the emulated world, recorded and played: the page shows at any time what the phone showed then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import film, player
from fakes.player import Player, Truth

from agent.store.recording import Recording
from bridge.emulated.world.world import APP_UID

pytestmark = pytest.mark.browser

DP = film.DENSITY / 160


@pytest.fixture(scope="module")
def taken() -> film.Film:
    return film.film("shop", seconds=24.0)


@pytest.fixture(scope="module")
def truth(taken: film.Film) -> Truth:
    return Truth(tuple(taken.truth), tuple(taken.sent))


@pytest.fixture(scope="module")
def folder(taken: film.Film, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recording = Recording.create(tmp_path_factory.mktemp("world") / "shop")
    for sealed in film.develop(taken)[0]:
        recording.write(sealed)
    return recording.path


@pytest.fixture(scope="module")
def playing(folder: Path, truth: Truth) -> Iterator[Player]:
    """The page at the first of the two sessions: the one that ends with the log-out."""
    if player.chromium() is None:
        pytest.skip("no Chromium on this machine")
    with player.playing(folder, truth.sent[0].session_id) as opened:
        yield opened


def test_ten_times_show_what_the_world_drew_then(playing: Player, truth: Truth) -> None:
    looks = player.compare(playing, truth, player.spread(playing, 10), bound_ms=2, late_ms=600)
    assert [look for look in looks if not look.right] == []
    assert len({look.code for look in looks}) >= 8
    # What slides in may cover the code for a moment, though not the whole picture.
    assert sum(look.covered for look in looks) <= 2


def test_what_must_not_be_seen_has_no_code(playing: Player, taken: film.Film, truth: Truth) -> None:
    secure = [shot for shot in taken.shots if shot.truth.secure]
    assert secure
    for shot in secure:
        at = playing.at_wall(shot.snapshot.frame.stamp.wall_ms) + 5
        assert playing.blocked(at)
        (look,) = player.compare(playing, truth, [at])
        assert look.covered
        assert look.code is None


def test_the_finger_is_where_it_was(playing: Player, taken: film.Film) -> None:
    keys = {touch.stamp for touch in taken.typed}
    first, end = playing.wall_ms(0), playing.wall_ms(playing.duration)
    taps = [
        touch
        for touch in taken.touches
        if touch.kind == "down" and touch.stamp not in keys and first < touch.stamp.wall_ms < end
    ]
    seen = 0
    for touch in taps:
        playing.seek(playing.at_wall(touch.stamp.wall_ms) - 40)
        assert playing.finger() is None
        playing.seek(playing.at_wall(touch.stamp.wall_ms) + 10)
        finger = playing.finger()
        # The permission dialog's and the secure window's taps are not told.
        if finger is not None:
            seen += 1
            assert finger == pytest.approx((touch.x / DP, touch.y / DP), abs=3)
    assert seen == len(taps) - 2


def test_events_follow_the_playhead(playing: Player, truth: Truth) -> None:
    own = [event for event in truth.sent if event.session_id == truth.sent[0].session_id]
    assert len(own) >= 10
    for event in own:
        playing.seek(playing.at_wall(event.wall_ms) + 1)
        names = {other.name for other in own if other.wall_ms == event.wall_ms}
        assert playing.event() in names


def test_the_log_follows_the_playhead(playing: Player, taken: film.Film) -> None:
    first, end = playing.wall_ms(0), playing.wall_ms(playing.duration)
    own = [entry for entry in taken.entries if entry.uid == APP_UID and first < entry.stamp.wall_ms < end]
    assert len(own) >= 10
    for entry in own[::2]:
        playing.seek(playing.at_wall(entry.stamp.wall_ms) + 1)
        heads = {f"{e.level}/{e.tag}: {e.message}"[:40] for e in own if e.stamp.wall_ms == entry.stamp.wall_ms}
        assert playing.log_line()[:40] in heads
