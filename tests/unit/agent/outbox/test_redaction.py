from __future__ import annotations

import shutil
import sys
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path

from fakes.crash import crashes, run_as_script
from fakes.segments import custom, segment

from agent.outbox.redaction import hold, replace
from agent.outbox.spool import Spool
from agent.privacy import Rules, rule
from agent.replay.redaction import Order
from agent.store.recording import Recording
from agent.store.redaction import redact

START = segment().manifest.start_ms
SINK = "collector:http://b"
SAID = [
    segment(seq, shades=(1,), extra=[custom(START + 5000 + seq * 30_000, "note", {"text": "Anna Bell"})])
    for seq in (0, 1)
]


def fill(base: Path) -> None:
    recording = Recording.create(base / "shop")
    recording.write(SAID[0])
    with closing(Spool(base / "spool/1")) as spool:
        spool.put(SAID[0], [SINK])
        spool.put(SAID[1], [SINK, f"dir:{base / 'shop'}"])


def run(base: Path) -> None:
    recording = Recording.open(base / "shop")
    order = Order(None, Rules([rule("mask", "text=Anna Bell", "--text")]), (), 0, 2**62)
    with ExitStack() as stack:
        held = hold(base / "spool", recording, stack)
        redact(recording, order, {}, 1, dry_run=False, tell=lambda what, share: None)
        replace(held, recording)


def check(base: Path) -> None:
    files = [file for file in base.rglob("*") if file.is_file()]
    assert [file for file in files if b"Anna" in file.read_bytes()] == []
    copies = {manifest.id for manifest in Recording.open(base / "shop").manifests()}
    assert len(copies) == 2
    with closing(Spool(base / "spool/1")) as spool:
        assert spool.recovery.orphans == 0
        assert spool.segments() == dict.fromkeys(copies, (SINK,))


def test_what_waits_is_replaced_once(tmp_path: Path) -> None:
    fill(tmp_path)
    for _ in range(2):
        run(tmp_path)
        check(tmp_path)


def test_a_killed_redaction_is_finished_by_the_next(tmp_path: Path) -> None:
    run_as_script(__file__, tmp_path)


def _kill_everywhere(parent: Path) -> None:
    runs = crashes(run, parent)
    for n in count(1):
        fill(parent / str(n))
        killed = next(runs, None)
        if killed is None:
            break
        run(killed[0])
        check(killed[0])
        shutil.rmtree(killed[0])
    assert n > 30, n


if __name__ == "__main__":
    _kill_everywhere(Path(sys.argv[1]))
