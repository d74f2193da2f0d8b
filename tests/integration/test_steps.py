"""A scripted session on the emulated shop: the steps name what the world knows was touched."""

from __future__ import annotations

from pathlib import Path

from fakes import qa

from agent.export.part import parts
from agent.export.steps import markdown
from agent.export.summary import summarize
from bridge.emulated.world.autopilot import SECRETS


def test_twenty_steps_name_the_right_elements_all_twenty(tmp_path: Path) -> None:
    done = qa.session(tmp_path / "shop")
    summary = summarize(done.recording, parts(done.recording))
    (phone,) = summary.phones
    assert len(phone.sessions) == 2
    # A secure window is black for us, too: what is touched there is not told.
    truth = [each for each in done.touched if each.screen != "pin"]
    named = [step for step in phone.steps if step.kind in ("tap", "scroll")]
    assert [(step.target and (step.target.name, step.target.label)) for step in named] == [
        (each.name, each.words) for each in truth
    ]
    assert len(named) == 20
    for step, each in zip(named, truth, strict=True):
        assert abs(step.at_ms - each.at_ms) <= 2
    # All of it was typed where the finger had gone before.
    assert [step.target and step.target.name for step in phone.steps if step.kind == "type"] == [
        "email", "password", "card-number", "card-cvc", "address",
    ]  # fmt: skip
    # The approval on the secure screen is a step, and says nothing of it.
    (secure,) = [step for step in phone.steps if step.kind == "untold"]
    assert [sight.name for sight in secure.seen] == ["Done", "Order Completed"]
    page = markdown(summary, "shop")
    assert [secret for secret in SECRETS if secret in page] == []
    assert "Tap **Sign in** (`sign-in`)" in page
    assert "Type into the field (`card-number`); what is typed is not told" in page
