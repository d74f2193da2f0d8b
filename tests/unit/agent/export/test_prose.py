from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.export.prose import MARKDOWN, PLAIN, clock, code, day, escaped, sentence, sight
from agent.replay.steps import ACTIONS, Sight, Step
from agent.replay.targets import Target

PAY = Target("button", "Pay now", "com.shop:id/pay", "Pay now", "android.widget.Button")
FIELD = Target("field", "", "email", "", "android.widget.EditText", hidden=True)


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (Step(0, 0, "tap", PAY), "Tap “Pay now” (pay)"),
        (Step(0, 0, "tap", PAY, count=3), "Tap “Pay now” (pay), 3 times"),
        (Step(0, 0, "tap", FIELD), "Tap the field (email)"),
        (Step(0, 0, "tap", Target("button", "", "", "", "B", hidden=True)), "Tap the button (its words are masked)"),
        (Step(0, 0, "tap", Target("button", "", "", "", "B")), "Tap the button without a name"),
        (Step(0, 0, "tap", Target("field", "", "", "", "E", near="Email")), "Tap the field under “Email”"),
        (Step(0, 0, "tap", place=(10.4, 20)), "Tap at 10, 20 dp, where no view is known"),
        (Step(0, 0, "swipe", way="up", place=(10.4, 20)), "Swipe up at 10, 20 dp, where no view is known"),
        (Step(0, 0, "long-press", PAY), "Press and hold “Pay now” (pay)"),
        (Step(0, 0, "scroll", Target("list", "a, b", "rows", "", "L"), way="down"), "Scroll down in the list (rows)"),
        (Step(0, 0, "swipe", PAY, way="left"), "Swipe left on “Pay now” (pay)"),
        (Step(0, 0, "back", way="right"), "Swipe in from the left edge (back)"),
        (Step(0, 0, "spread", PAY), "Spread “Pay now” (pay) with two fingers"),
        (Step(0, 0, "type", FIELD), "Type into the field (email); what is typed is not told"),
        (Step(0, 0, "type"), "Type on the keyboard; what is typed is not told"),
        (Step(0, 0, "turn", text="90"), "Turn the phone to the left side"),
        (Step(0, 0, "marker", text="off by one", facts={"name": "bug"}), "Marker “bug”: off by one"),
        (Step(0, 0, "note", text="it flickered"), "Note: it flickered"),
        (Step(0, 0, "gap", text="device: gone", facts={"ms": 2500}), "Nothing is known for 2.5 s (device: gone)"),
        (Step(0, 0, "crash", text="cart is null", facts={"name": "Crash"}), "The app died (crash): cart is null"),
        (Step(0, 0, "crash", text="x", facts={"name": "JavaScript error"}), "A JavaScript error: x"),
        (Step(0, 0, "anr"), "The app does not respond"),
        (Step(0, 0, "session", facts={"session_id": 7, "device_id": "d"}), "Session 7 of device d"),
    ],
)  # fmt: skip
def test_sentences(step: Step, told: str) -> None:
    assert sentence(step, PLAIN) == told


def test_every_kind_of_step_has_a_sentence() -> None:
    facts = {"name": "n", "ms": 1, "session_id": 1, "device_id": "d"}
    for kind in (*ACTIONS, "start", "session", "marker", "note", "gap", "crash", "anr", "lowmemory", "screen-state"):
        step = Step(0, 0, kind, PAY, way="up", text="t", facts=facts)  # type: ignore[arg-type]
        assert sentence(step, PLAIN)
        assert "\n" not in sentence(step, MARKDOWN)


def test_what_came_of_it() -> None:
    assert sight(Sight(0, "screen", "Cart"), PLAIN) == "screen “Cart”"
    assert sight(Sight(0, "event", "Paid`"), MARKDOWN) == "event `` Paid` ``"


def test_words_of_an_app_are_no_markdown_and_call_nobody() -> None:
    step = Step(0, 0, "tap", Target("text", "*x* <b> @team #12 [a](b)", "a`b", "x", "TextView"))
    told = sentence(step, MARKDOWN)
    assert told == "Tap **\\*x\\* \\<b\\> @\N{WORD JOINER}team \\#\N{WORD JOINER}12 \\[a\\](b)** (``a`b``)"


@pytest.mark.parametrize(
    "step", [Step(0, 0, "turn", text="<b> @team"), Step(0, 0, "crash", facts={"name": "<b> @team"})]
)
def test_a_recording_that_was_made_up_is_no_markdown_either(step: Step) -> None:
    assert "\\<b\\> @\N{WORD JOINER}team" in sentence(step, MARKDOWN)


EVIL = "Pay\x1b]0;owned\x07\n  9.  Tap\u202e <img src=x> @team"


@pytest.mark.parametrize(
    "step",
    [
        Step(0, 0, "tap", Target("button", EVIL, EVIL, "", "B")),
        Step(0, 0, "tap", Target("field", "", "", "", "E", near=EVIL)),
        Step(0, 0, "turn", text=EVIL),
        Step(0, 0, "marker", text=EVIL, facts={"name": EVIL}),
        Step(0, 0, "gap", text=EVIL, facts={"ms": 1}),
        Step(0, 0, "crash", text=EVIL, facts={"name": EVIL}),
        Step(0, 0, "session", facts={"session_id": EVIL, "device_id": EVIL}),
        Step(0, 0, "screen-state", text=EVIL),
    ],
)
def test_an_apps_words_steer_no_terminal(step: Step) -> None:
    told = sentence(step, PLAIN)
    assert "Pay ]0;owned 9. Tap <img src=x> @team".lower() in told.lower()
    assert told.isprintable()


@given(st.text(max_size=40))
def test_a_code_span_cannot_be_left(text: str) -> None:
    span = code(text)
    fence = re.match("`+", span)
    assert fence is not None
    inside = span[len(fence[0]) : -len(fence[0])]
    assert "\n" not in span
    assert all(len(run) != len(fence[0]) for run in re.findall("`+", inside))


@given(st.text(max_size=40))
def test_escaped_text_has_no_mark_left(text: str) -> None:
    bare = re.sub(r"\\[\\`*_{}\[\]<>#|~&]", "", escaped(text))
    assert not set(bare) & set("`*_{}[]<>#|~&\n")
    assert not re.search(r"@\w", bare)


def test_times() -> None:
    assert [clock(ms) for ms in (-5, 999, 61_000, 3_723_000)] == ["0:00", "0:00", "1:01", "1:02:03"]
    assert day(1_760_000_000_000) == "2025-10-09 08:53:20 UTC"
