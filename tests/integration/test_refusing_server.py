"""Whatever a server does to one of the posts: nothing is lost, or in strict mode what the browser SDK would lose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakes.certificates import self_signed
from fakes.refusing import BEHAVIOURS, Refusing, refusing
from fakes.segments import SESSION, segment

from agent.model import SealedSegment
from agent.outbox import wire
from agent.outbox.amplitude import AmplitudeSink
from agent.outbox.collector import CollectorSink
from agent.outbox.exchange import trust
from agent.outbox.receipts import read_receipts
from agent.outbox.spool import Spool
from agent.outbox.uploader import Backoff, Policy, Uploader

# The waits that a server asks for, and ours, are cut to a moment.
QUICK = Backoff(first=0.01, longest=0.02, longest_asked=0.05)
LOSSLESS, STRICT = Policy(QUICK), Policy(QUICK, attempts=2, keeps=False)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool")
    yield made
    made.close()


@contextmanager
def uploading(
    spool: Spool,
    url: str,
    policy: Policy,
    parallel: int = 1,
    ca: Path | None = None,
    kind: type[AmplitudeSink] | type[CollectorSink] = AmplitudeSink,
) -> Iterator[Uploader]:
    strict = not policy.keeps
    sink = kind(url, "key", seconds=0.5, strict=strict, parallel=parallel, tls=trust(ca))
    uploader = Uploader(spool, [sink], policy)
    uploader.start()
    try:
        yield uploader
    finally:
        uploader.stop()


def texts(*segments: SealedSegment) -> list[bytes]:
    return [event for sealed in segments for event in wire.inlined(sealed)]


def outcomes(spool: Spool) -> list[str]:
    return [receipt.outcome for receipt in read_receipts(spool.folder)]


def put(spool: Spool, url: str, *segments: SealedSegment, kind: str = "amplitude") -> None:
    for sealed in segments:
        spool.put(sealed, [f"{kind}:{url}"])


ONCE = ["delivered"]
AGAIN = ["retry", "delivered"]
GONE = ["dropped"]
TABLE = {
    "200": (ONCE, 1),
    "200+429": (["skipped"], 1),
    "200+4004": (["skipped"], 1),
    "200+4005": (["skipped"], 1),
    **dict.fromkeys(["302", "400", "401", "402", "403", "404"], (GONE, 1)),
    **dict.fromkeys(["408", "429", "499", "500", "503", "429 in seconds", "429 by date", "429 absurd"], (AGAIN, 2)),
    # Halved: both halves are posts of their own.
    **dict.fromkeys(["413", "firewall"], (ONCE, 3)),
    **dict.fromkeys(["endless body", "wrong gzip"], (ONCE, 1)),
    "reset after the body": (GONE, 1),
    "reset before the body": (GONE, 0),
    "slow loris": (AGAIN, 2),
}


def test_the_table_is_complete() -> None:
    assert set(TABLE) == set(BEHAVIOURS)


@pytest.mark.parametrize("behaviour", TABLE)
def test_strict_does_what_the_browser_sdk_does(spool: Spool, behaviour: str) -> None:
    told, posts = TABLE[behaviour]
    with refusing(behaviour) as server, uploading(spool, server.url, STRICT) as uploader:
        put(spool, server.url, segment())
        assert uploader.drain(20)
        assert len(server.posts) == posts
        assert server.taken == (texts(segment()) if told[-1] == "delivered" or "after" in behaviour else [])
    assert outcomes(spool) == told
    assert spool.used == 0


@pytest.mark.parametrize("behaviour", ["408", "429", "499", "500", "503", "slow loris"])
def test_strict_tries_twice(spool: Spool, behaviour: str) -> None:
    with refusing(behaviour, behaviour) as server, uploading(spool, server.url, STRICT) as uploader:
        put(spool, server.url, segment())
        assert uploader.drain(20)
        assert len(server.posts) == 2
    assert outcomes(spool) == ["retry", "dropped"]


@pytest.mark.parametrize(("behaviour", "sent"), [("200+429", 2), ("200+4004", 1), ("200+4005", 1)])
def test_strict_obeys_what_a_server_skips(spool: Spool, behaviour: str, sent: int) -> None:
    with refusing(behaviour) as server, uploading(spool, server.url, STRICT) as uploader:
        put(spool, server.url, segment(0), segment(1))
        assert uploader.drain(20)
        assert len(server.posts) == sent
        assert server.taken == (texts(segment(1)) if sent == 2 else [])
    assert outcomes(spool) == ["skipped", "delivered" if sent == 2 else "dropped"]


@pytest.mark.parametrize("kind", [AmplitudeSink, CollectorSink])
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_by_default_nothing_is_lost(
    spool: Spool, behaviour: str, kind: type[AmplitudeSink] | type[CollectorSink]
) -> None:
    """What a server has refused for good stays, and is delivered when somebody has it tried again."""
    recorded = [segment(seq, SESSION + n) for seq in range(2) for n in range(3)]
    with refusing(behaviour, "200", behaviour) as server:
        with uploading(spool, server.url, LOSSLESS, parallel=3, kind=kind) as uploader:
            put(spool, server.url, *recorded, kind="amplitude" if kind is AmplitudeSink else "collector")
            assert uploader.drain(30)
        refused = {rejection.segment for rejection in spool.rejections()}
        assert refused <= {sealed.manifest.id for sealed in recorded}
        if behaviour not in ("200+4004", "200+4005", "302", "400", "401", "402", "403", "404"):
            assert not refused
        assert spool.reopen() == len(refused)
        with uploading(spool, server.url, LOSSLESS, parallel=3, kind=kind) as uploader:
            assert uploader.drain(30)
        assert spool.used == 0
        # A collector knows a repeat by its key: a lost answer, or parts made anew because they were too large.
        remade = kind is CollectorSink and behaviour in ("413", "firewall")
        delivered(server, recorded, repeated=remade or behaviour == "reset after the body")


def delivered(server: Refusing, recorded: list[SealedSegment], repeated: bool) -> None:
    taken = sorted(set(server.taken)) if repeated else sorted(server.taken)
    wanted = sorted(texts(*recorded))
    assert taken == (sorted(set(wanted)) if repeated else wanted)


@pytest.mark.parametrize("policy", [LOSSLESS, STRICT], ids=["default", "strict"])
def test_a_certificate_that_cannot_be_trusted(spool: Spool, tmp_path: Path, policy: Policy) -> None:
    certificate, tls = self_signed(tmp_path)
    with refusing(tls=tls) as server:
        with uploading(spool, server.url, policy) as uploader:
            put(spool, server.url, segment())
            assert uploader.drain(2) is (policy is STRICT)
        assert server.posts == []
        with uploading(spool, server.url, policy, ca=certificate) as uploader:
            assert uploader.drain(20)
        assert server.taken == ([] if policy is STRICT else texts(segment()))
    assert outcomes(spool)[-1] == ("dropped" if policy is STRICT else "delivered")
