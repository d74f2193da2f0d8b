from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import pytest
from fakes.collecting import collecting
from fakes.rawserver import Connection, raw_server
from fakes.refusing import Taking, read, refusing
from fakes.segments import segment
from fakes.wait import until

from agent.errors import StorageFull
from agent.farm.delivery import SinkCourier
from agent.outbox.spool import Spool
from agent.settings import Upload
from agent.store.bundle import pack, unpacked
from agent.store.disk import FolderTaken
from agent.store.recording import Recording


@pytest.fixture
def replays(tmp_path: Path) -> Path:
    """A job's folder with two replays of one session and a table."""
    folder = tmp_path / "job" / "replays"
    folder.mkdir(parents=True)
    for seq, name in enumerate(("one", "two")):
        recording = Recording.create(tmp_path / name)
        recording.write(segment(seq=seq))
        pack(recording, folder / f"{name}.replay")
    (folder / "run.md").write_text("a table")
    return folder


def _courier(folder: Path, seconds: float = 10.0) -> SinkCourier:
    return SinkCourier(folder / "spool", Upload(flush_seconds=seconds))


def test_a_folder_gets_the_replays_and_the_table(replays: Path, tmp_path: Path) -> None:
    places, problem = _courier(tmp_path)(replays, "0-abc", [f"dir:{tmp_path}/out"])
    assert (places, problem) == ([f"{tmp_path}/out/0-abc"], "")
    assert sorted(file.name for file in (tmp_path / "out" / "0-abc").iterdir()) == [
        "one.replay",
        "run.md",
        "two.replay",
    ]
    with unpacked(tmp_path / "out" / "0-abc" / "one.replay") as recording:
        assert len(recording.manifests()) == 1


def test_a_collector_gets_the_segments(replays: Path, tmp_path: Path) -> None:
    with collecting(tmp_path / "collected") as collector:
        sink = f"collector:{collector.url}"
        places, problem = _courier(tmp_path)(replays, "0-abc", [sink, f"dir:{tmp_path}/out"])
        assert (sorted(places), problem) == (sorted([sink, f"{tmp_path}/out/0-abc"]), "")
        assert len(collector.recording.manifests()) == 2


def test_what_a_sink_does_not_take_waits_for_the_next_job(replays: Path, tmp_path: Path) -> None:
    courier = _courier(tmp_path, 0.1)
    with collecting(tmp_path / "collected") as collector:
        sink, port = f"collector:{collector.url}", collector.port
    places, problem = courier(replays, "0-abc", [sink])
    assert places == [sink]
    assert "2 deliveries wait" in problem
    with collecting(tmp_path / "collected", port=port) as collector:
        empty = tmp_path / "empty"
        empty.mkdir()
        assert _courier(tmp_path)(empty, "1-def", [sink]) == ([sink], "")
        assert len(collector.recording.manifests()) == 2
    spool = Spool(tmp_path / "spool" / "1")
    assert spool.pending() == 0
    spool.close()


def test_what_finds_no_room_to_wait_is_not_said_to_wait(
    replays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(spool: Spool, size: int) -> None:
        raise StorageFull("No room.", "Free some space.")

    monkeypatch.setattr(Spool, "_check_room", full)
    places, problem = _courier(tmp_path, 0.1)(replays, "0-abc", ["collector:http://127.0.0.1:9"])
    assert places == ["collector:http://127.0.0.1:9"]
    assert problem == f"2 segments found no room in {tmp_path}/spool and are not sent; they are in {replays}."


def test_the_host_delivers_what_waits_and_no_consumer_holds(replays: Path, tmp_path: Path) -> None:
    courier = _courier(tmp_path, 0.1)
    with collecting(tmp_path / "collected") as collector:
        sink, port = f"collector:{collector.url}", collector.port
    assert "2 deliveries wait" in courier(replays, "0-abc", [sink])[1]
    held = Spool(tmp_path / "spool" / "1")
    assert "2 deliveries wait" in courier(replays, "1-def", [sink])[1]
    ended = threading.Event()
    host = threading.Thread(target=_courier(tmp_path).drain, args=(ended, 0.05))
    host.start()
    try:
        with collecting(tmp_path / "collected", port=port) as collector:
            until(lambda: len(collector.recording.manifests()) == 2, "what waits in the second spool")
            assert held.pending() == 2
            held.close()
            until(lambda: not _pending(tmp_path / "spool" / "1"), "what waited in the first")
    finally:
        ended.set()
        host.join(10)
    assert not host.is_alive()


def test_the_host_waits_for_what_is_under_way(replays: Path, tmp_path: Path) -> None:
    taking, posts = Taking(), []

    def slow(connection: Connection) -> None:
        posts.append(read(connection.request()))
        connection.ended.wait(1.0)
        connection.send(taking.answer(posts[-1]))

    courier = _courier(tmp_path, 0.1)
    with raw_server(slow, parallel=True) as url:
        assert "2 deliveries wait" in courier(replays, "0-abc", [f"collector:{url}"])[1]
        posts.clear()
        _drained(courier, tmp_path / "spool" / "1")
    assert len(posts) == 2


def _drained(courier: SinkCourier, place: Path) -> None:
    """The host goes on offering what waits in a spool until nothing does."""
    ended = threading.Event()
    host = threading.Thread(target=courier.drain, args=(ended, 0.05))
    host.start()
    try:
        until(lambda: not _pending(place), "what waited")
    finally:
        ended.set()
        host.join(10)
    assert not host.is_alive()


def _pending(place: Path) -> int:
    try:
        spool = Spool(place)
    except FolderTaken:
        return 1
    with closing(spool):
        return spool.pending()


def test_what_a_server_will_never_take_is_said_and_kept(replays: Path, tmp_path: Path) -> None:
    with refusing("400", "402") as server:
        sinks = [f"amplitude:{server.url}", f"dir:{tmp_path}/out"]
        places, problem = _to(tmp_path)(replays, "0-abc", sinks)
    assert places == [f"{tmp_path}/out/0-abc"]
    assert "refused 2 segments, which are kept in" in problem
    assert "400" in problem
    with closing(Spool(tmp_path / "spool" / "1")) as spool:
        assert len(spool.rejections()) == 2


@pytest.mark.parametrize("answer", ["401", "403", "404", "302"])
def test_what_no_segment_is_to_blame_for_is_said_and_offered_again_by_the_host(
    replays: Path, tmp_path: Path, answer: str
) -> None:
    with refusing(*[answer] * 3) as server:
        courier = _to(tmp_path, 0.1)
        places, problem = courier(replays, "0-abc", [f"amplitude:{server.url}"])
        assert places == [f"amplitude:{server.url}"]
        assert f"took not all: {answer}" in problem
        assert "2 deliveries wait in" in problem
        _drained(courier, tmp_path / "spool" / "1")
        assert len(server.taken) == 2 * len(segment().events)


def _to(folder: Path, seconds: float = 10.0) -> SinkCourier:
    """One with a key."""
    return SinkCourier(folder / "spool", Upload(flush_seconds=seconds, api_key="key-4711"))  # type: ignore[arg-type]


def test_what_cannot_be_delivered_is_said_and_stays(replays: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    places, problem = _courier(tmp_path)(replays, "0-abc", [f"dir:{tmp_path}/file", "collector:ftp://x"])
    assert places == []
    assert f"dir:{tmp_path}/file got nothing" in problem
    assert "collector:ftp://x got nothing" in problem
    assert (replays / "one.replay").exists()


def test_a_replay_that_is_damaged_keeps_no_other_back(replays: Path, tmp_path: Path) -> None:
    (replays / "damaged.replay").write_bytes(b"no zip")
    with collecting(tmp_path / "collected") as collector:
        sink = f"collector:{collector.url}"
        places, problem = _courier(tmp_path)(replays, "0-abc", [sink])
        assert places == [sink]
        assert problem.startswith("damaged.replay is not delivered")
        assert len(collector.recording.manifests()) == 2


def test_without_sinks_or_recordings_nothing_is_delivered(replays: Path, tmp_path: Path) -> None:
    assert _courier(tmp_path)(replays, "0-abc", []) == ([], "")
    assert _courier(tmp_path)(tmp_path / "none", "0-abc", [f"dir:{tmp_path}/out"]) == ([], "")
    assert not (tmp_path / "out").exists()
