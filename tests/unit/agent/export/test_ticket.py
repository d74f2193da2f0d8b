from __future__ import annotations

from pathlib import Path

from fakes import segments
from fakes.segments import DEVICE, SERIAL, SESSION, custom

from agent.export.part import parts
from agent.export.summary import Finding, Phone, Summary, summarize
from agent.export.ticket import ticket
from agent.store.recording import Recording


def summary(folder: Path, *serials: str) -> Summary:
    recording = Recording.create(folder)
    at = SESSION + 2_000
    extra = [
        custom(at, "marker", {"name": "note", "note": "tax *twice*", "by": "key"}),
        custom(at + 1, "crash", {"name": "Crash", "kind": "java", "text": "cart is null"}),
        custom(
            at + 2, "doctor", {"rule": "plugin-order", "severity": "warning", "meaning": "Late.", "fix": "Move it."}
        ),
    ]
    for n, serial in enumerate(serials):
        recording.write(segments.segment(0, SESSION + n, DEVICE, serial, extra=extra))
    return summarize(recording, parts(recording))


def test_a_text_for_a_tracker(tmp_path: Path) -> None:
    text = ticket(summary(tmp_path / "r", SERIAL), "Wrong #total", {"a.replay": "the recording"})
    assert text.startswith(
        "# Wrong \\#total\n\n| | |\n|---|---|\n| App | not known |\n| Device | Pixel 7 (`emulated-1`) |\n"
    )
    assert (
        f"| Session id | `{SESSION}` from integrations |\n| Device id | `{DEVICE}` from context.device.id |\n" in text
    )
    assert "## Steps\n\n> " in text
    assert "\n1. `0:01` Tap **Pay** (`pay`)\n   - \u2192 event `Order Completed`\n" in text
    assert (
        "## Expected\n\n_What should have happened._\n\n## Actual\n\n- `0:01` The app died (crash): `cart is null`\n"
        in text
    )
    assert "- `0:01` Note: tax \\*twice\\*\n" in text
    assert "- warning `plugin-order`: Late. Move it.\n" in text
    assert text.endswith("## Attached\n\n- `a.replay`: the recording\n")


def test_several_phones_have_their_own_steps(tmp_path: Path) -> None:
    text = ticket(summary(tmp_path / "r", SERIAL, "other|1"), "Bug", {})
    assert text.count("## Steps on Pixel 7") == 2
    # A bar would end the cell.
    assert "| Device | Pixel 7 (`other\\|1`) |" in text
    assert "## Attached" not in text


def test_words_that_were_recorded_are_no_markdown() -> None:
    phone = Phone("a|b", {"manufacturer": "Foo|Bar", "model": "<b>"}, (), ())
    finding = Finding("rule", "<b> @team", 0, "Late.", "Move it.", "", "")
    text = ticket(Summary(0, 0, (phone,), (finding,)), "Bug", {})
    # A bar would end the cell, and so may one behind a backslash that is one itself.
    assert "\n| Device | Foo\\|Bar \\<b\\> (`a\\|b`) |\n" in text
    assert "\n- \\<b\\> @\N{WORD JOINER}team `rule`: Late. Move it.\n" in text


def test_of_nothing_there_is_a_text_to_fill_in() -> None:
    text = ticket(Summary(0, 0, (), ()), "Bug", {})
    assert "_What happened instead._" in text
