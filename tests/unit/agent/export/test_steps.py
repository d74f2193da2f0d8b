from __future__ import annotations

from agent.export.steps import lines, markdown, page
from agent.export.summary import Finding, Phone, Summary
from agent.replay.steps import Sight, Step
from agent.replay.targets import Target

START = 1_760_000_000_000
PAY = Target("button", "Pay", "pay", "Pay", "Button")


def step(at: int, kind: str = "tap", **more: object) -> Step:
    return Step(START + at, START + at, kind, PAY, **more)  # type: ignore[arg-type]


def phone(*steps: Step, serial: str = "R5C") -> Phone:
    return Phone(serial, {"manufacturer": "Google", "model": "Pixel 7"}, (), steps)


def summary(*phones: Phone) -> Summary:
    return Summary(START, START + 65_000, phones, ())


def test_a_page_numbers_what_was_done_and_sets_off_what_befell() -> None:
    seen = (Sight(START, "screen", "Cart"), Sight(START, "event", "Viewed"))
    taps = [step(1000 * n) for n in range(9)]
    mark = step(9500, "marker", facts={"name": "bug"})
    page = markdown(summary(phone(*taps, mark, step(10_000, seen=seen))), "My *shop*")
    assert page == (
        "# Steps: My \\*shop\\*\n\nRecorded 2025-10-09 08:53:20 UTC, 1:05 long.\n\n## Steps\n\n"
        + "".join(f"{n + 1}. `0:0{n}` Tap **Pay** (`pay`)\n" for n in range(9))
        + "\n> `0:09` Marker **bug**\n\n10. `0:10` Tap **Pay** (`pay`)\n"
        # As deep as the number is wide, or it would be a list of its own.
        + "    - → screen **Cart**\n    - → event `Viewed`\n"
    )


def test_several_phones_have_a_part_each() -> None:
    page = markdown(summary(phone(step(0)), phone(serial="X9")), "shop")
    assert "## Google Pixel 7 (`R5C`)\n\n1. " in page
    assert page.endswith("## Google Pixel 7 (`X9`)\n\nNo step was recorded.\n")


def test_gaps_that_nobody_would_notice_are_not_told() -> None:
    gaps = [
        step(0, "gap", text="screen: slow", facts={"ms": 900}),
        step(1, "gap", text="device: gone", facts={"ms": 9000}),
    ]
    (line,) = lines(phone(*gaps), START)
    assert line == "   0:00  -   Nothing is known for 9.0 s (device: gone)"


def test_nothing_that_was_recorded_steers_a_terminal() -> None:
    evil = "x\x1b]0;owned\x07\nforged"
    seen = (Sight(START, "event", evil),)
    odd = Phone(evil, {"manufacturer": evil, "android": evil}, (), (step(0, seen=seen), step(1, "note", text=evil)))
    finding = Finding("rule", "warning", 0, evil, evil, "", "")
    told = list(page(Summary(START, START + 9, (odd,), (finding,), {evil: 2})))
    assert sum("owned" in line for line in told) == 6
    assert all(line.isprintable() for line in told)


def test_a_line_a_step_for_a_terminal() -> None:
    told = list(lines(phone(step(61_000, seen=(Sight(START, "screen", "Cart"),))), START))
    assert told == ["   1:01  1.  Tap “Pay” (pay) → screen “Cart”"]
