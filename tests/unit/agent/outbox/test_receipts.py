from __future__ import annotations

from pathlib import Path

from agent.outbox.receipts import FILE, Receipt, Receipts, read_receipts


def test_receipts_are_kept_in_order_and_torn_ones_left_out(tmp_path: Path) -> None:
    first = Receipt(1, "a" * 32, "dir:x", "delivered", 'said "ok"\nand more')
    second = Receipt(2, "b" * 32, "dir:x", "retry", "503")
    assert list(read_receipts(tmp_path)) == []
    receipts = Receipts(tmp_path)
    receipts.add(first)
    receipts.close()
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"ms":3,"segm')
    receipts = Receipts(tmp_path)
    receipts.add(second)
    receipts.close()
    assert list(read_receipts(tmp_path)) == [first, second]
