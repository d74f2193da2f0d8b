from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from fakes.segments import segment, segment_id

from agent.outbox import erasure
from agent.outbox.ledger import read_ledger
from agent.outbox.receipts import Receipt, read_receipts
from agent.outbox.spool import Spool


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with closing(Spool(tmp_path)) as spool:
        for seq in (0, 1):
            spool.put(segment(seq), ["dir:/x"])
            spool.note(Receipt(seq, segment_id(seq=seq), "dir:/x", "retry", "later"))
    return tmp_path


def test_rows_go_and_the_others_stay(folder: Path) -> None:
    mine = {segment_id(seq=0)}
    assert erasure.names_any(folder, mine)
    rows, size = erasure.erase_rows(folder, mine)
    assert rows == 3
    assert size > 0
    assert not erasure.names_any(folder, mine)
    assert {row.segment for row in read_ledger(folder).rows} == {segment_id(seq=1)}
    assert read_ledger(folder).damaged == 0
    assert [receipt.segment for receipt in read_receipts(folder)] == [segment_id(seq=1)]


def test_receipts_of_what_was_delivered_name_it(folder: Path) -> None:
    with closing(Spool(folder)) as spool:
        spool.ack(segment_id(seq=0), "dir:/x")
    with closing(Spool(folder)):
        pass
    assert erasure.names_any(folder, {segment_id(seq=0)})


def test_torn_rows_go_too(folder: Path) -> None:
    with (folder / "receipts.jsonl").open("ab") as file:
        file.write(b'{"ms":5,"segm')
    assert erasure.erase_rows(folder, set())[0] == 1
    assert len(list(read_receipts(folder))) == 2


def test_a_folder_without_them(tmp_path: Path) -> None:
    assert erasure.erase_rows(tmp_path, {"a" * 32}) == (0, 0)
