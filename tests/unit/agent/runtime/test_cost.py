from __future__ import annotations

from agent.runtime.cost import Meter


class Process:
    cpu, sent = 100.0, 5000


def test_devices_share_what_is_spent_from_when_they_were_opened() -> None:
    process = Process()
    meter = Meter(lambda: process.sent, lambda: process.cpu)
    first, second, never = meter.share(), meter.share(), meter.share()
    process.cpu += 7.0
    assert first() == (0, 0)
    process.cpu, process.sent = process.cpu + 1.0, process.sent + 100
    assert first() == (1000, 100)
    # From here on the two share.
    assert second() == (0, 0)
    process.cpu, process.sent = process.cpu + 0.5, process.sent + 50
    assert (first(), second()) == ((1250, 125), (250, 25))
    # One that is asked for the first time late begins then.
    assert never() == (0, 0)


def test_the_shares_are_all_that_the_process_spent() -> None:
    begun = Meter(lambda: 0)
    shares = [begun.share() for _ in range(3)]
    before = [share() for share in shares]
    sum(range(2_000_000))
    after = [share() for share in shares]
    assert all(cpu > 0 and sent == 0 for cpu, sent in after)
    assert before == [(0, 0)] * 3
