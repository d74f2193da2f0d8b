from __future__ import annotations

import errno
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from fakes.collecting import Collecting, collecting
from fakes.rawserver import Connection, raw_server
from fakes.refusing import Taking, read
from fakes.segments import SESSION, custom, segment
from fakes.sinks import ScriptedSink
from fakes.wait import until
from hypothesis import given
from hypothesis import strategies as st

from agent.collector.answers import Answer
from agent.errors import ConfigError, StorageFull
from agent.model import Delivered, Delivery, Rejected, Retry, SealedSegment
from agent.outbox.collector import CollectorSink
from agent.outbox.ledger import Ledger, Row
from agent.outbox.receipts import read_receipts
from agent.outbox.sink import Sink
from agent.outbox.spool import Spool
from agent.outbox.track import Posting
from agent.outbox.uploader import BACKOFFS, Backoff, Uploader
from agent.outbox.wire import Barred

QUICK = Backoff(first=0.01, longest=0.05, first_barred=0.01, longest_barred=0.05)
# So long that only a `hurry` or a `stop` can end a pause.
SLOW = Backoff(first=600.0, longest=600.0)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool")
    yield made
    made.close()


@contextmanager
def uploading(spool: Spool, *sinks: Sink, backoff: Backoff = QUICK) -> Iterator[Uploader]:
    uploader = Uploader(spool, sinks, backoff, draw=lambda: 0.99)
    uploader.start()
    try:
        yield uploader
    finally:
        started = time.monotonic()
        uploader.stop()
        took = time.monotonic() - started
        assert took < 2.0, f"stop took {took:.1f} s"
        assert all(stats.state == "stopped" for stats in uploader.stats().values())


def outcomes(spool: Spool, sink: str) -> list[str]:
    return [receipt.outcome for receipt in read_receipts(spool.folder) if receipt.sink == sink]


def test_every_sink_gets_every_segment_in_order(spool: Spool) -> None:
    sinks = [ScriptedSink("a"), ScriptedSink("b", Retry(0.0, "down"), Retry(0.0, "down"))]
    segments = [segment(seq) for seq in range(4)]
    with uploading(spool, *sinks) as uploader:
        for sealed in segments:
            spool.put(sealed, uploader.names)
        assert uploader.drain(10)
    assert sinks[0].sent == segments
    assert sinks[1].sent == [segments[0], segments[0], *segments]
    assert outcomes(spool, "b") == ["retry", "retry", *["delivered"] * 4]
    assert (uploader.stats()["b"].delivered, uploader.stats()["b"].retries) == (4, 2)
    assert uploader.stats()["b"].bytes == sum(sealed.manifest.bytes for sealed in segments)
    assert "4 delivered" in str(uploader.stats()["b"])
    assert "2 retries" in str(uploader.stats()["b"])
    assert spool.used == 0


def test_sessions_go_side_by_side_and_the_segments_of_one_after_each_other(spool: Spool) -> None:
    together = threading.Barrier(3)

    class Wide(ScriptedSink):
        def send(self, sealed: SealedSegment) -> Delivery:
            if sealed.manifest.seq == 0:
                together.wait(20)
            self.sent.append(sealed)
            return Delivered()

    sink = Wide("a")
    sink.parallel = 3
    sessions = [SESSION + n for n in range(3)]
    for seq in range(4):
        for session in sessions:
            spool.put(segment(seq, session), ["a"])
    with uploading(spool, sink) as uploader:
        assert uploader.drain(20)
    for session in sessions:
        order = [sent.manifest.seq for sent in sink.sent if sent.manifest.session_id == session]
        assert order == [0, 1, 2, 3]


def test_after_a_failure_one_at_a_time_tries(spool: Spool) -> None:
    class Down(ScriptedSink):
        busy, most = 0, 0
        lock = threading.Lock()

        def send(self, sealed: SealedSegment) -> Delivery:
            with self.lock:
                self.sent.append(sealed)
                self.busy += 1
                if len(self.sent) > 4:
                    self.most = max(self.most, self.busy)
            time.sleep(0.002)
            with self.lock:
                self.busy -= 1
            return Retry(0.0, "down")

    sink = Down("a")
    sink.parallel = 4
    for n in range(8):
        spool.put(segment(0, SESSION + n), ["a"])
    with uploading(spool, sink) as uploader:
        until(lambda: uploader.stats()["a"].retries > 20, "tries")
    assert sink.most == 1


@pytest.mark.parametrize("delivery", [Rejected("4005", ends_session=True), Delivered("", "4005", ends_session=True)])
def test_who_records_is_told_of_a_session_that_a_server_ends(spool: Spool, delivery: Delivery) -> None:
    told: list[tuple[int, str]] = []
    uploader = Uploader(spool, [ScriptedSink("a", delivery)], ended=lambda *of: told.append(of))
    uploader.start()
    spool.put(segment(), ["a"])
    assert uploader.drain(10)
    uploader.stop()
    assert told == [(SESSION, "4005")]


def test_a_server_that_wants_peace_gets_it_and_a_drain_does_not_end_it(spool: Spool) -> None:
    sink = ScriptedSink("a", Delivered("", "throttling", pause_s=600.0))
    with uploading(spool, sink) as uploader:
        for seq in range(2):
            spool.put(segment(seq), ["a"])
        until(lambda: uploader.stats()["a"].state == "waiting 600 s", "the pause")
        assert not uploader.drain(0.2)
    assert len(sink.sent) == 1


@pytest.mark.parametrize("kept", [True, False])
def test_what_is_rejected_is_kept_unless_the_sink_gives_it_up(spool: Spool, kept: bool) -> None:
    with uploading(spool, ScriptedSink("a", Retry(0.0, "500"), Rejected("400", kept=kept))) as uploader:
        spool.put(segment(), ["a"])
        assert uploader.drain(10)
        assert uploader.stats()["a"].dropped == (not kept)
    assert outcomes(spool, "a") == ["retry", "rejected" if kept else "dropped"]
    assert len(spool.rejections()) == kept
    assert bool(spool.used) is kept


def test_a_blocked_sink_holds_up_no_other_and_lets_go_at_stop(spool: Spool) -> None:
    stuck, quick = ScriptedSink("stuck", block=True), ScriptedSink("quick")
    with uploading(spool, stuck, quick) as uploader:
        spool.put(segment(), uploader.names)
        assert spool.wait_drained(["quick"], 10)
        assert stuck.entered.wait(5)
        started = time.monotonic()
        assert not uploader.drain(0.2)
        assert 0.2 <= time.monotonic() - started < 1.0
    assert stuck.closed
    assert spool.pending("stuck") == 1
    # Our own closing is not counted as the server's failure.
    assert outcomes(spool, "stuck") == []
    assert spool.attempts(segment().manifest.id, "stuck") == 0


def test_why_a_sink_does_not_take_a_segment_is_said_in_the_same_words(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    """So that a log that damps repeats tells it once."""
    with uploading(spool, ScriptedSink("a", Retry(0.0, "down"), Retry(0.0, "down"))) as uploader:
        spool.put(segment(), ["a"])
        assert uploader.drain(10)
    assert [words for words in caplog.messages if "down" in words] == [
        "a did not take a segment, which waits: down"
    ] * 2


def test_a_rejected_segment_is_kept_and_named(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    sink = ScriptedSink("a", Rejected("400 bad"))
    with uploading(spool, sink) as uploader:
        for seq in range(2):
            spool.put(segment(seq), ["a"])
        assert uploader.drain(10)
    assert [rejection.reason for rejection in spool.rejections()] == ["400 bad"]
    assert outcomes(spool, "a") == ["rejected", "delivered"]
    assert "rejected segment" in caplog.text
    assert "1 rejected" in str(uploader.stats()["a"])


def test_what_a_server_does_not_keep_is_said(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    with uploading(spool, ScriptedSink("a", Delivered("200", "throttled"))) as uploader:
        spool.put(segment(), ["a"])
        assert uploader.drain(10)
    assert outcomes(spool, "a") == ["skipped"]
    assert uploader.stats()["a"].skipped == 1
    assert "did not keep segment" in caplog.text


def test_one_segment_that_chokes_a_server_does_not_stop_the_others(spool: Spool) -> None:
    bad = segment()

    class Choking(ScriptedSink):
        def send(self, sealed: SealedSegment) -> Delivery:
            self.sent.append(sealed)
            return Retry(0.0, "500") if sealed == bad else Delivered()

    sink = Choking("a")
    with uploading(spool, sink) as uploader:
        spool.put(bad, ["a"])
        others = [segment(0, SESSION + n) for n in range(1, 4)]
        for sealed in others:
            spool.put(sealed, ["a"])
        until(lambda: uploader.stats()["a"].delivered == 3, "the other sessions")
        assert spool.pending("a") == 1


def test_drain_ends_a_pause_but_not_one_that_the_server_asked_for(spool: Spool) -> None:
    ours = ScriptedSink("ours", Retry(0.0, "down"))
    theirs = ScriptedSink("theirs", Retry(600.0, "429"))
    with uploading(spool, ours, theirs, backoff=SLOW) as uploader:
        spool.put(segment(), uploader.names)
        until(lambda: "waiting" in uploader.stats()["ours"].state, "our pause")
        until(lambda: uploader.stats()["theirs"].state == "waiting 600 s", "their pause")
        assert not uploader.drain(0.3)
        assert spool.pending("ours") == 0
        assert len(theirs.sent) == 1


def test_what_a_server_that_takes_nothing_says_is_told_once_and_no_segment_is_refused(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    shut = Barred(0.0, "401 who are you?")
    sink = ScriptedSink("a", shut, shut, shut, Delivered(), Rejected("400"))
    segments = [segment(0, SESSION + n) for n in range(4)]
    with uploading(spool, sink) as uploader:
        for sealed in segments:
            spool.put(sealed, uploader.names)
        assert uploader.drain(10)
        assert len([words for words in caplog.messages if "401" in words]) == 1
        sink.says(shut)
        spool.put(segment(0, SESSION + 9), uploader.names)
        assert uploader.drain(10)
        assert uploader.stats()["a"].retries == 4
    assert sorted(outcomes(spool, "a")) == sorted(["retry"] * 4 + ["delivered"] * 4 + ["rejected"])
    told = [words for words in caplog.messages if "401" in words]
    # And once more after it took something.
    assert len(told) == 2
    assert told[0].startswith("a takes nothing: 401 who are you? (the API key is missing or unknown: check ")


def test_a_server_that_takes_nothing_is_left_alone_for_long_and_asked_once_more_by_a_drain(spool: Spool) -> None:
    sink = ScriptedSink("a", then=Barred(0.0, "403"))
    for n in range(5):
        spool.put(segment(0, SESSION + n), ["a"])
    with uploading(spool, sink, backoff=Backoff()) as uploader:
        until(lambda: uploader.stats()["a"].state == "waiting 60 s", "the pause")
        assert len(sink.sent) == 1
        began = time.monotonic()
        assert not uploader.drain(0.3)
        assert time.monotonic() - began < 2.0
        # Twice as long.
        until(lambda: uploader.stats()["a"].state == "waiting 119 s", "the second pause")
    assert len(sink.sent) == 2
    assert spool.rejections() == ()
    assert spool.pending("a") == 5


def test_what_is_under_way_when_a_server_begins_to_take_nothing_makes_no_longer_pause(spool: Spool) -> None:
    together = threading.Barrier(3)

    class Wide(ScriptedSink):
        def send(self, sealed: SealedSegment) -> Delivery:
            self.sent.append(sealed)
            together.wait(20)
            return Barred(0.0, "404")

    sink = Wide("a")
    sink.parallel = 3
    for n in range(6):
        spool.put(segment(0, SESSION + n), ["a"])
    with uploading(spool, sink, backoff=Backoff()) as uploader:
        until(lambda: uploader.stats()["a"].retries == 3 and not uploader.sending, "the answers")
        assert uploader.stats()["a"].state == "waiting 60 s"
    assert len(sink.sent) == 3


def test_a_server_that_takes_others_meanwhile_is_not_left_alone(spool: Spool) -> None:
    """A firewall may find fault with one segment; what is taken beside it ends the pause."""
    bad = segment()
    together = threading.Barrier(2)

    class Wide(ScriptedSink):
        def send(self, sealed: SealedSegment) -> Delivery:
            self.sent.append(sealed)
            if len(self.sent) > 2:
                return Delivered()
            together.wait(20)
            if sealed == bad:
                return Barred(0.0, "403")
            until(lambda: uploader.stats()["a"].state.startswith("waiting"), "the pause")
            return Delivered()

    sink = Wide("a")
    sink.parallel = 2
    with uploading(spool, sink, backoff=Backoff()) as uploader:
        for n in range(4):
            spool.put(segment(0, SESSION + n), ["a"])
        until(lambda: uploader.stats()["a"].delivered == 3, "the others")
    assert spool.pending("a") == 1


def test_a_segment_that_a_firewall_minds_holds_up_its_session_no_longer_than_others_are_taken(spool: Spool) -> None:
    bad, behind = segment(), segment(1)

    class Firewall(ScriptedSink):
        def send(self, sealed: SealedSegment) -> Delivery:
            self.sent.append(sealed)
            return Barred(0.0, "403") if sealed == bad else Delivered()

    sink = Firewall("a")
    with uploading(spool, sink) as uploader:
        for sealed in (bad, behind):
            spool.put(sealed, ["a"])
        for n in range(1, 4):
            tries = uploader.stats()["a"].retries + 2
            until(lambda tries=tries: uploader.stats()["a"].retries >= tries, "some tries")
            assert uploader.stats()["a"].rejected == 0
            spool.put(segment(0, SESSION + n), ["a"])
            until(lambda n=n: uploader.stats()["a"].delivered >= n, "the other")
        assert uploader.drain(10)
        assert (uploader.stats()["a"].rejected, uploader.stats()["a"].delivered) == (1, 4)
    assert [each.segment for each in spool.rejections()] == [bad.manifest.id]


def test_a_server_that_takes_nothing_may_say_for_how_long(spool: Spool) -> None:
    sink = ScriptedSink("a", then=Barred(500.0, "403"))
    spool.put(segment(), ["a"])
    with uploading(spool, sink, backoff=Backoff()) as uploader:
        until(lambda: uploader.stats()["a"].state == "waiting 500 s", "the pause")
        assert not uploader.drain(0.2)
    assert len(sink.sent) == 1


def test_what_is_deleted_for_its_age_is_told_as_what_the_sinks_answer(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.outbox.spool.EXPIRY_SECONDS", 0.0)
    told: list[tuple[str, str]] = []
    sink = ScriptedSink("a", then=Retry(0.0, "down"))
    spool.put(segment(), ["a"])
    spool._entries[segment().manifest.id].at_ms -= 100 * 3_600_000
    spool._entries[segment().manifest.id].since = None
    uploader = Uploader(spool, [sink], QUICK, told=lambda receipt: told.append((receipt.segment, receipt.outcome)))
    uploader.start()
    until(lambda: len(told) == 2, "the end")
    uploader.stop()
    assert told == [(segment().manifest.id, "retry"), (segment().manifest.id, "expired")]
    assert [receipt.outcome for receipt in spool.expired] == ["expired"]


def test_a_drain_during_a_send_cuts_the_pause_after_it(spool: Spool) -> None:
    sending, go_on = threading.Event(), threading.Event()

    class Slow(ScriptedSink):
        def send(self, sealed: SealedSegment) -> Delivery:
            self.sent.append(sealed)
            if len(self.sent) > 1:
                return Delivered()
            sending.set()
            go_on.wait(10)
            return Retry(0.0, "down")

    sink = Slow("a")
    with uploading(spool, sink, backoff=SLOW) as uploader:
        spool.put(segment(), ["a"])
        spool.put(segment(0, SESSION + 1), ["a"])
        assert sending.wait(5)
        uploader.drain(0.0)
        go_on.set()
        until(lambda: uploader.stats()["a"].delivered == 1, "the other segment")


def test_a_sink_that_raises_is_a_failure_not_the_end(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(ScriptedSink):
        def send(self, sealed: SealedSegment) -> Delivery:
            self.sent.append(sealed)
            if len(self.sent) == 1:
                raise LookupError("a slip")
            return Delivered()

    with uploading(spool, Broken("a")) as uploader:
        spool.put(segment(), ["a"])
        assert uploader.drain(10)
    assert outcomes(spool, "a") == ["retry", "delivered"]
    assert "a slip" in caplog.text


def test_a_full_spool_disk_does_not_end_the_upload(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    append, failed = Ledger.append, threading.Event()

    def full(ledger: Ledger, row: Row, sync: bool) -> None:
        if row.op == "reject" and not failed.is_set():
            failed.set()
            raise StorageFull("No room.", "Free some space.")
        append(ledger, row, sync)

    monkeypatch.setattr(Ledger, "append", full)
    with uploading(spool, ScriptedSink("a", Rejected("no"))) as uploader:
        spool.put(segment(), ["a"])
        assert failed.wait(5)
        spool.put(segment(1), ["a"])
        assert uploader.drain(10)
        assert uploader.stats()["a"].delivered == 1
    assert "No room." in caplog.text


def test_draining_goes_on_while_nothing_can_be_appended(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.put(segment(), ["a"])

    def full(ledger: Ledger, row: Row, sync: bool) -> None:
        raise StorageFull(f"No room: {errno.ENOSPC}.")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", full)
        with uploading(spool, ScriptedSink("a")) as uploader:
            assert uploader.drain(10)
    assert spool.used == 0


def test_orphans_of_a_crash_are_adopted_at_start(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.put(segment(), ["gone"])
    spool.close()
    (tmp_path / "s/ledger.jsonl").unlink()
    spool = Spool(tmp_path / "s")
    sink = ScriptedSink("a")
    with uploading(spool, sink) as uploader:
        assert uploader.drain(10)
    assert sink.sent == [segment()]
    spool.close()


def test_a_sink_is_named_once(spool: Spool) -> None:
    with pytest.raises(ConfigError, match="twice"):
        Uploader(spool, [ScriptedSink("a"), ScriptedSink("a")])


def test_ctrl_c_while_it_starts_leaves_nothing_running(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, []

    def interrupted(thread: threading.Thread) -> None:
        started.append(thread)
        if len(started) > 1:
            raise KeyboardInterrupt
        start(thread)

    sink = ScriptedSink("a")
    sink.parallel = 3
    uploader = Uploader(spool, [sink])
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            uploader.start()
    uploader.stop()
    assert not started[0].is_alive()


def test_stop_without_start_and_twice(spool: Spool) -> None:
    uploader = Uploader(spool, [ScriptedSink("a")])
    uploader.stop()
    uploader.stop()


def test_delivery_waits_until_a_collector_is_there(spool: Spool, tmp_path: Path) -> None:
    with collecting(tmp_path / "before") as gone:
        port = gone.port
    sink = CollectorSink(f"http://127.0.0.1:{port}", Posting(seconds=2.0))
    with uploading(spool, sink) as uploader:
        spool.put(segment(), uploader.names)
        until(lambda: uploader.stats()[sink.name].retries >= 2, "two tries")
        assert spool.pending() == 1
        with collecting(tmp_path / "after", port=port) as there:
            assert uploader.drain(10)
            assert there.recording.sealed(segment().manifest.id) == segment()


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([Answer(500), Answer(503, {"Retry-After": "0"})], ["retry", "retry", "delivered"]),
        ([Answer(429, {"Retry-After": "0.2"})], ["retry", "delivered"]),
        ([Answer(413)], ["delivered"]),
        ([Answer(413) for _ in range(9)], ["rejected"]),
        ([Answer(400)], ["rejected"]),
        # The server has it, its answer says it has not: the repeat must change nothing.
        ([Answer(500, store=True)], ["retry", "delivered"]),
    ],
    ids=["500 and 503", "429", "413 once", "413 always", "400", "stored but 500"],
)
def test_what_a_server_answers(collector: Collecting, spool: Spool, answers: list[Answer], told: list[str]) -> None:
    collector.answers.add(*answers)
    sink = CollectorSink(collector.url, Posting("key", seconds=5.0))
    with uploading(spool, sink) as uploader:
        spool.put(segment(), uploader.names)
        started = time.monotonic()
        assert uploader.drain(10)
    assert outcomes(spool, sink.name) == told
    if told[-1] == "delivered":
        assert collector.recording.sealed(segment().manifest.id) == segment()
    else:
        assert collector.recording.manifests() == ()
        assert len(spool.rejections()) == 1
    if "Retry-After" in answers[0].headers:
        assert time.monotonic() - started >= 0.2


def test_a_server_that_drips_hangs_or_resets_is_survived(spool: Spool) -> None:
    connections: list[int] = []

    def script(connection: Connection) -> None:
        connections.append(1)
        if len(connections) == 1:
            connection.request()
            connection.drip(OK, 0.2)
        elif len(connections) == 2:
            connection.ended.wait(0.8)
        elif len(connections) == 3:
            connection.client.recv(10)
        else:
            connection.send(Taking().answer(read(connection.request())))

    with raw_server(script) as url:
        sink = CollectorSink(url, Posting(seconds=0.4))
        with uploading(spool, sink) as uploader:
            spool.put(segment(), uploader.names)
            assert uploader.drain(10)
    assert outcomes(spool, sink.name) == ["retry", "retry", "retry", "delivered"]


def test_stop_cuts_a_request_in_flight(spool: Spool) -> None:
    asked = threading.Event()

    def script(connection: Connection) -> None:
        connection.request()
        asked.set()
        with suppress(OSError):
            connection.client.recv(1)

    with raw_server(script) as url, uploading(spool, CollectorSink(url, Posting(seconds=60.0))) as uploader:
        spool.put(segment(), uploader.names)
        assert asked.wait(5)
    assert spool.pending() == 1


def test_a_post_that_may_take_long_holds_up_neither_a_flush_nor_the_end(spool: Spool) -> None:
    asked = threading.Event()

    def script(connection: Connection) -> None:
        connection.client.recv(1)
        asked.set()
        connection.ended.wait(30)

    large = custom(SESSION + 1600, "note", {"text": random.Random(7).randbytes(1_000_000).hex()})
    with raw_server(script) as url, uploading(spool, CollectorSink(url)) as uploader:
        spool.put(segment(extra=[large]), uploader.names)
        assert asked.wait(5)
        began = time.monotonic()
        assert not uploader.drain(0.3)
        assert time.monotonic() - began < 2.0
    assert spool.pending() == 1


@given(
    failures=st.integers(1, 10_000),
    asked=st.floats(0, 1e9),
    draw=st.floats(0, 1, exclude_max=True),
)
def test_a_delay_is_bounded_and_honours_the_server(failures: int, asked: float, draw: float) -> None:
    backoff = Backoff()
    delay = backoff.delay(failures, asked, draw)
    assert min(asked, backoff.longest_asked) <= delay <= max(backoff.longest, min(asked, backoff.longest_asked))
    assert backoff.delay(1, 0.0, draw) <= backoff.first


@given(times=st.integers(1, 10_000), asked=st.floats(0, 1e9), draw=st.floats(0, 1, exclude_max=True))
def test_a_server_that_takes_nothing_is_asked_seldom_but_asked(times: int, asked: float, draw: float) -> None:
    backoff = Backoff()
    pause = backoff.barred(times, asked, draw)
    least = max(min(backoff.first_barred * times, backoff.longest_barred) / 2, min(asked, backoff.longest_asked))
    assert least <= pause <= max(backoff.longest_barred, min(asked, backoff.longest_asked))
    assert backoff.barred(1, 0.0, draw) <= backoff.first_barred


def test_strict_waits_up_to_a_second_and_asks_the_dice_once() -> None:
    assert [BACKOFFS["strict"].delay(failures, 0.0, 0.25) for failures in (1, 2, 9)] == [0.25] * 3
