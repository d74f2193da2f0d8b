"""Whatever a server does to one of the posts: nothing is lost, or in strict mode what the browser SDK would lose.

Each behaviour is a case of its own, for both sinks that post and in both modes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import pytest
from fakes.certificates import self_signed
from fakes.rawserver import Connection, raw_server
from fakes.refusing import BEHAVIOURS, REDIRECTS, Refusing, refusing
from fakes.segments import SESSION, segment
from fakes.wait import until

from agent.model import SealedSegment
from agent.outbox import wire
from agent.outbox.amplitude import AmplitudeSink
from agent.outbox.collector import CollectorSink
from agent.outbox.exchange import trust
from agent.outbox.receipts import Receipt, read_receipts
from agent.outbox.spool import Spool
from agent.outbox.track import Posting
from agent.outbox.uploader import Backoff, Uploader

# The waits that a server asks for, and ours, are cut to a moment.
QUICK = Backoff(first=0.01, longest=0.02, longest_asked=0.05, first_barred=0.01, longest_barred=0.02)
# The time for one post: enough on a busy host, and little where it is to run out.
SECONDS, SOON = 30.0, 0.5
OUT_OF_TIME = ("slow loris", "silence", "slow body")
# Reading the public ones takes longer than most of the tests.
certificates = cache(trust)
Kind = type[AmplitudeSink] | type[CollectorSink]
both = pytest.mark.parametrize("kind", [AmplitudeSink, CollectorSink], ids=["amplitude", "collector"])
either = pytest.mark.parametrize("strict", [False, True], ids=["default", "strict"])

# What the browser SDK makes of an answer to the first of the posts of `segment()`: the outcomes that are told, the
# events in each post that arrived, and from which event on the server has them. (`amplitude.md` 4.8.)
POSTS = [3, 6, 1]
DONE = (["delivered"], POSTS, 0)
AGAIN = (["retry", "delivered"], [3, *POSTS], 0)
GONE = (["dropped"], POSTS, 3)
UNHEARD = (["dropped"], POSTS[1:], 3)
ENDED = (["skipped"], [3], 10)
TABLE = {
    "200": DONE,
    "200 with an unknown code": DONE,
    # Those that wait out the pause go in one.
    "200+429": (["retry", "skipped"], [3, 7], 3),
    "200+4004": ENDED,
    "200+4005": ENDED,
    **dict.fromkeys([*REDIRECTS, "400", "401", "402", "403", "404"], GONE),
    **dict.fromkeys(["408", "429", "499", "500", "503"], AGAIN),
    **dict.fromkeys([name for name in BEHAVIOURS if name.startswith("429 ")], AGAIN),
    # A server's own word means one event; a firewall's, that all were too much.
    "413": GONE,
    "firewall": (["delivered"], [3, 1, 2, 6, 1], 0),
    "firewall's 403": GONE,
    **dict.fromkeys(["endless body", "slow body", "torn body", "wrong gzip"], DONE),
    **dict.fromkeys(["hung up", "torn status", "another protocol", "endless head"], GONE),
    "reset after the body": (["dropped"], POSTS, 0),
    "reset before the body": UNHEARD,
    **dict.fromkeys(["slow loris", "silence"], AGAIN),
}
# What tells nobody that a collector has the post.
UNTOLD = ("200 with an unknown code", "endless body", "slow body", "torn body", "wrong gzip")
# What nobody who is not asked would try again.
REFUSED = ("200+4004", "200+4005", "400", "402")


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool")
    yield made
    made.close()


@contextmanager
def uploading(
    spool: Spool, url: str, kind: Kind, strict: bool, behaviour: str = "", parallel: int = 1, ca: Path | None = None
) -> Iterator[Uploader]:
    seconds = SOON if behaviour in OUT_OF_TIME else SECONDS
    sink = kind(url, Posting("key", seconds=seconds, strict=strict, parallel=parallel, tls=certificates(ca)))
    uploader = Uploader(spool, [sink], QUICK)
    uploader.start()
    try:
        yield uploader
    finally:
        uploader.stop()


def texts(*segments: SealedSegment) -> list[bytes]:
    return [event for sealed in segments for event in wire.inlined(sealed)]


def receipts(spool: Spool) -> list[Receipt]:
    return list(read_receipts(spool.folder))


def outcomes(spool: Spool) -> list[str]:
    return [receipt.outcome for receipt in receipts(spool)]


def sizes(server: Refusing) -> list[int]:
    return [len(post.events) for post in server.posts]


def test_the_table_is_complete() -> None:
    assert set(TABLE) == set(BEHAVIOURS)


@both
@pytest.mark.parametrize("behaviour", TABLE)
def test_strict_does_what_the_browser_sdk_does(spool: Spool, behaviour: str, kind: Kind) -> None:
    told, posts, since = TABLE[behaviour]
    with refusing(behaviour) as server, uploading(spool, server.url, kind, True, behaviour) as uploader:
        spool.put(segment(), uploader.names)
        assert uploader.drain(60)
        assert sizes(server) == posts
        assert server.taken == texts(segment())[since:]
        # It tells a server nothing of segments.
        assert not any("idempotency-key" in post.headers for post in server.posts)
    assert outcomes(spool) == told
    assert spool.used == 0


@both
@pytest.mark.parametrize("behaviour", ["408", "429", "499", "500", "503", "slow loris"])
def test_strict_tries_each_post_twice(spool: Spool, behaviour: str, kind: Kind) -> None:
    """What one post has failed is not held against the next, and takes nothing with it."""
    again = [behaviour, "200"]
    script = [*again, *again, behaviour, behaviour]
    with refusing(*script) as server, uploading(spool, server.url, kind, True, behaviour) as uploader:
        spool.put(segment(), uploader.names)
        spool.put(segment(1), uploader.names)
        assert uploader.drain(60)
        # 30 s later the interval is at 3 s, and all but the last event come sooner.
        assert sizes(server) == [3, 3, 6, 6, 1, 1, 9, 1]
        assert server.taken == texts(segment())[:9] + texts(segment(1))
    assert outcomes(spool) == ["retry", "retry", "retry", "dropped", "delivered"]
    assert "1 of 3 posts: " in receipts(spool)[3].words
    assert "(2 tries)" in receipts(spool)[3].words


@both
@pytest.mark.parametrize("behaviour", ["200+429", "200+4004", "200+4005"])
def test_strict_obeys_what_a_server_skips(spool: Spool, behaviour: str, kind: Kind) -> None:
    with refusing(behaviour) as server, uploading(spool, server.url, kind, True) as uploader:
        for sealed in (segment(0), segment(1), segment(0, SESSION + 1)):
            spool.put(sealed, uploader.names)
        assert uploader.drain(60)
        rest = [] if behaviour != "200+429" else texts(segment(0))[3:] + texts(segment(1))
        assert sorted(server.taken) == sorted(rest + texts(segment(0, SESSION + 1)))
        if behaviour == "200+429":
            # What had to wait goes in as few posts as may be.
            assert sorted(sizes(server)) == [3, 7, 10, 10]
    ends = ["retry", "skipped", "delivered"] if behaviour == "200+429" else ["skipped", "dropped"]
    assert sorted(outcomes(spool)) == sorted([*ends, "delivered"])


@both
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_by_default_nothing_is_lost(spool: Spool, behaviour: str, kind: Kind) -> None:
    """What a server has refused for good stays, and is delivered when somebody has it tried again."""
    recorded = [segment(seq, SESSION + n) for seq in range(2) for n in range(2)]
    with refusing(behaviour, "200", behaviour) as server:
        with uploading(spool, server.url, kind, False, behaviour, parallel=3) as uploader:
            for sealed in recorded:
                spool.put(sealed, uploader.names)
            assert uploader.drain(60)
        refused = {rejection.segment for rejection in spool.rejections()}
        assert bool(refused) is (behaviour in REFUSED)
        assert refused <= {sealed.manifest.id for sealed in recorded}
        assert spool.reopen() == len(refused)
        with uploading(spool, server.url, kind, False, behaviour, parallel=3) as uploader:
            assert uploader.drain(60)
        assert spool.used == 0
        # A collector knows a repeat by its key: an answer that is lost or no collector's, parts made anew as too large.
        remade = kind is CollectorSink and behaviour in ("413", "firewall", "firewall's 403", *UNTOLD)
        delivered(server, recorded, repeated=remade or behaviour == "reset after the body")


def delivered(server: Refusing, recorded: list[SealedSegment], repeated: bool) -> None:
    taken = sorted(set(server.taken)) if repeated else sorted(server.taken)
    wanted = sorted(texts(*recorded))
    assert taken == (sorted(set(wanted)) if repeated else wanted)


def hang_up(connection: Connection) -> None:
    connection.client.recv(1)


def greet(connection: Connection) -> None:
    connection.client.recv(1)
    connection.send(b"220 mail.example ESMTP\r\n")


@both
@either
@pytest.mark.parametrize("fault", ["not trusted", "of another host", "no TLS", "cut off"])
def test_no_tls_connection(spool: Spool, tmp_path: Path, fault: str, strict: bool, kind: Kind) -> None:
    with ExitStack() as stack:
        good, tls = self_signed(tmp_path / "good")
        other, wrong = self_signed(tmp_path / "other", "IP:127.0.0.2")
        server = stack.enter_context(refusing(tls=tls))
        url, ca = server.url, good
        if fault == "not trusted":
            ca = other
        elif fault == "of another host":
            url, ca = stack.enter_context(refusing(tls=wrong)).url, other
        else:
            script = greet if fault == "no TLS" else hang_up
            url = stack.enter_context(raw_server(script, parallel=True)).replace("http:", "https:")
        with uploading(spool, url, kind, strict, ca=ca) as uploader:
            spool.put(segment(), uploader.names)
            if strict:
                assert uploader.drain(60)
            else:
                until(lambda: uploader.stats()[uploader.names[0]].retries >= 3, "tries")
        assert outcomes(spool)[0] == ("dropped" if strict else "retry")
        assert server.posts == []
        if not strict:
            with uploading(spool, server.url, kind, strict, ca=good) as uploader:
                spool.redirect(uploader.names)
                assert uploader.drain(60)
            assert outcomes(spool)[-1] == "delivered"
        assert server.taken == ([] if strict else texts(segment()))
    assert spool.used == 0
