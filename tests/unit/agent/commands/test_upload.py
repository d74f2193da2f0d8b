from __future__ import annotations

import json
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fakes.collecting import Collecting, collecting
from fakes.drafts import drafts
from fakes.rawserver import Connection, raw_server
from fakes.refusing import Taking, read, refusing
from fakes.segments import SESSION, segment

from agent.model import SealedSegment
from agent.outbox.spool import Spool
from agent.store.recording import Recording

SEGMENTS = [segment(0), segment(1), segment(0, SESSION + 1)]


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collecting]:
    with collecting(tmp_path / "collected") as made:
        yield made


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of spools, as the environment names it."""
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setenv("ANDROID_REPLAY_SPOOL", str(folder))
    monkeypatch.setenv("ANDROID_REPLAY_UPLOAD__API_KEY", "key-4711")
    yield folder


def leave(folder: Path, *sinks: str, segments: list[SealedSegment] | None = None) -> None:
    """What a recorder that was killed leaves."""
    spool = Spool(folder)
    for sealed in segments or SEGMENTS:
        spool.put(sealed, sinks)
    spool.close()


def waiting(folder: Path) -> int:
    spool = Spool(folder)
    count = spool.pending()
    spool.close()
    return count


def test_what_dead_recorders_left_goes_where_it_was_meant_to_go(call, collector: Collecting, place: Path) -> None:
    leave(place / "1", f"collector:{collector.url}", f"dir:{place.parent / 'out'}")
    leave(place / "2", f"collector:{collector.url}", segments=[segment(5)])
    ended = call("upload", "--json")
    assert ended.code == 0
    *receipts, summary = map(json.loads, ended.out.splitlines())
    assert (summary["delivered"], summary["waiting"], summary["spools"]) == (7, 0, 2)
    assert summary["bytes"] > 0
    assert [receipt["outcome"] for receipt in receipts] == ["delivered"] * 7
    for sealed in SEGMENTS:
        assert collector.recording.sealed(sealed.manifest.id) == sealed
        assert Recording.open(place.parent / "out").sealed(sealed.manifest.id) == sealed
    again = call("upload")
    assert again.code == 0
    assert "0 delivered" in again.err


def test_elsewhere_when_the_user_says_so(call, place: Path) -> None:
    leave(place / "1", "collector:http://127.0.0.1:1")
    ended = call("upload", "--spool", str(place / "1"), "--sink", f"dir:{place.parent / 'out'}")
    assert ended.code == 0
    assert ended.out.count("delivered") == 3
    assert len(Recording.open(place.parent / "out").manifests()) == 3
    assert waiting(place / "1") == 0


def test_what_cannot_be_delivered_stays_and_is_explained(call, place: Path) -> None:
    leave(place / "1", "collector:http://127.0.0.1:1")
    ended = call("upload", "--patience", "0.1")
    assert ended.code == 12
    assert "nothing listens there" in ended.out
    assert "3 wait" in ended.err
    assert "upload` again" in ended.err
    assert waiting(place / "1") == 3


def test_what_is_under_way_is_waited_for(call, place: Path) -> None:
    taking = Taking()

    def slow(connection: Connection) -> None:
        post = read(connection.request())
        connection.ended.wait(1.0)
        connection.send(taking.answer(post))

    with raw_server(slow, parallel=True) as url:
        leave(place / "1", f"collector:{url}", segments=[segment()])
        ended = call("upload", "--patience", "0.1")
    assert (ended.code, waiting(place / "1")) == (0, 0)
    assert "1 delivered" in ended.err


def test_what_was_not_sent_is_not_counted_as_sent(call, place: Path) -> None:
    leave(place / "1", "collector:http://127.0.0.1:1")
    ended = call("upload", "--patience", "0.1", "--json")
    assert json.loads(ended.out.splitlines()[-1])["bytes"] == 0
    assert "(0 bytes sent)" in ended.err


def test_what_a_killed_recorder_left_open_is_sent_and_what_it_lacks_is_said(call, place: Path) -> None:
    with closing(Spool(place / "1")) as spool:
        for draft in drafts(segment()):
            spool.append(draft, [f"dir:{place.parent / 'out'}"])
    ended = call("upload")
    assert ended.code == 0
    assert "1 segments were still open" in ended.err
    assert "the last 3 seconds or so, with a relay 36" in ended.err
    assert len(Recording.open(place.parent / "out").manifests()) == 1


def test_what_is_gone_from_the_queue_is_said_once_and_is_no_success(call, place: Path) -> None:
    leave(place / "1", f"dir:{place.parent / 'out'}")
    (place / "1/queue/segments" / f"{SEGMENTS[0].manifest.id}.json").unlink()
    ended = call("upload", "--json")
    assert ended.code == 12
    assert "1 segments that were queued are not there" in ended.err
    assert "What was recorded is not all there" in ended.err
    summary = json.loads(ended.out.splitlines()[-1])
    assert (summary["lost"], summary["discarded"], summary["delivered"], summary["waiting"]) == (1, 0, 2, 0)
    again = call("upload")
    assert (again.code, "not there" in again.err) == (0, False)


def test_an_open_segment_of_which_nothing_is_whole_is_said_and_is_no_success(call, place: Path) -> None:
    leave(place / "1", f"dir:{place.parent / 'out'}", segments=[segment()])
    (place / "1/drafts" / ("0" * 32 + ".draft")).write_bytes(b"nothing whole")
    ended = call("upload", "--json")
    assert ended.code == 12
    assert "1 segments that were still open are lost" in ended.err
    summary = json.loads(ended.out.splitlines()[-1])
    assert (summary["lost"], summary["discarded"], summary["delivered"]) == (0, 1, 1)
    assert call("upload").code == 0


def test_what_a_server_refused_is_tried_again(call, place: Path) -> None:
    with refusing("400", "402", "400") as server:
        leave(place / "1", f"amplitude:{server.url}")
        ended = call("upload")
        assert ended.code == 12
        assert "3 refused" in ended.err
        assert "rejected segment" not in ended.err
        assert "malformed" in ended.out
        assert "quota" in ended.out
        assert "key-4711" not in ended.out + ended.err
        assert call("upload").code == 0
        assert len(server.posts) == 6


def test_what_no_segment_is_to_blame_for_waits_and_says_what_to_mend(
    call, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDROID_REPLAY_UPLOAD__PARALLEL", "1")
    with refusing("401") as server:
        leave(place / "1", f"amplitude:{server.url}")
        ended = call("upload", "--patience", "3600")
        assert ended.code == 12
        assert "0 refused" in ended.err
        assert "3 wait" in ended.err
        assert "check upload.api_key" in ended.out
        assert len(server.posts) == 1
        assert call("upload").code == 0
        assert len(server.posts) == 4


def test_a_running_recorder_is_left_alone(call, place: Path) -> None:
    leave(place / "1", "collector:http://127.0.0.1:1")
    spool = Spool(place / "1")
    ended = call("upload", "--json")
    spool.close()
    assert ended.code == 0
    assert "What records or uploads there sends it." in ended.err
    assert json.loads(ended.out)["in_use"] == 1


def test_what_nobody_can_know_is_asked(call, place: Path) -> None:
    leave(place / "1", "dir:/gone", segments=[segment()])
    (place / "1/ledger.jsonl").unlink()
    ended = call("upload")
    assert ended.code == 2
    assert "--sink" in ended.err
    assert call("upload", "--sink", f"dir:{place.parent / 'out'}").code == 0
    assert call("upload", "--spool", str(place / "absent")).code == 2


@pytest.mark.parametrize("name", ["absent", "file", "empty", "x" * 300])
def test_what_is_no_spool_is_said(call, place: Path, name: str) -> None:
    (place / "file").touch()
    (place / "empty" / "\N{SUPERSCRIPT TWO}").mkdir(parents=True)
    ended = call("upload", "--spool", str(place / name))
    assert ended.code == (11 if len(name) > 255 else 2)
    assert "Traceback" not in ended.err
    assert name in ended.err


def test_a_spool_that_cannot_be_opened_does_not_stop_the_others(call, collector: Collecting, place: Path) -> None:
    for name in ("1", "2", "3", "4"):
        leave(place / name, f"collector:{collector.url}", segments=[segment(int(name))])
    newer = b'{"schema":99}'
    (place / "1/ledger.jsonl").write_bytes(b"%08x %s\n" % (zlib.crc32(newer), newer))
    (place / "2/queue/recording.json").write_bytes(newer)
    (place / "3/ledger.jsonl").unlink()
    ended = call("upload", "--json")
    assert ended.code == 2
    assert ended.err.count("newer version") >= 2
    assert "Say it with --sink." in ended.err
    assert "3 spools were not drained" in ended.err
    summary = json.loads(ended.out.splitlines()[-1])
    assert (summary["spools"], summary["undrained"], summary["delivered"]) == (2, 3, 1)


def test_ctrl_c_ends_in_order(place: Path) -> None:
    def hang(connection: Connection) -> None:
        connection.request()
        process.send_signal(signal.SIGINT)
        connection.ended.wait(20)

    with raw_server(hang) as url:
        leave(place / "1", f"collector:{url}")
        command = [sys.executable, "-P", "-m", "agent.cli", "upload"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            _, told = process.communicate(timeout=30)
    assert (process.returncode, told.partition("Traceback")[2]) == (130, "")
    assert "3 wait" in told
    assert waiting(place / "1") == 3
