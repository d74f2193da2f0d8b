from __future__ import annotations

from pathlib import Path

import pytest

from agent.outbox.receipts import FILE, Receipt, Receipts, meaning, read_receipts


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


def test_of_too_many_the_newest_final_ones_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.outbox.receipts.MOST_BYTES", 10_000)
    receipts = Receipts(tmp_path)
    for number in range(40):
        receipts.add(Receipt(number, "a" * 32, "dir:x", "retry" if number % 2 else "delivered", ""))
    receipts.tidy()
    assert len(list(read_receipts(tmp_path))) == 40
    receipts.close()
    with (tmp_path / FILE).open("ab") as file:
        file.write(b"{torn\n")
    receipts = Receipts(tmp_path)
    for number in range(40, 160):
        receipts.add(Receipt(number, "a" * 32, "dir:x", "retry" if number % 2 else "delivered", ""))
        receipts.tidy()
        assert (tmp_path / FILE).stat().st_size <= 10_000 + 200
    receipts.close()
    kept = list(read_receipts(tmp_path))
    assert kept[-1].ms == 159
    delivered = [receipt.ms for receipt in kept if receipt.outcome == "delivered"]
    assert delivered == list(range(delivered[0], 160, 2))
    assert len(delivered) > 20


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("401 no", "API key"),
        ("402", "quota"),
        ("403 no", "check upload.api_key"),
        ("407 no", "HTTP_PROXY"),
        ("302 go", "redirects"),
        ("507 full", "server's own"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] x", "upload.ca_file"),
        ("capture is switched off for this project (4005)", "settings"),
        ("[Errno 111] Connection refused", "listens"),
    ],
)
def test_a_servers_words_are_explained(words: str, part: str) -> None:
    assert part in meaning(words)


@pytest.mark.parametrize("words", ["", "200 ok", "4011", "something else", "²²²"])
def test_words_that_need_no_explanation_get_none(words: str) -> None:
    assert meaning(words) == ""
