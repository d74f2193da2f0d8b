from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
from fakes.views import APP, EPOCH, at, event, log

from agent.model import Finding, Happening, Marker
from agent.replay import rrweb
from agent.replay.marks import MAX_LOG_CHARS, MAX_MARKER_CHARS, MAX_PROOF_CHARS, MAX_WRITERS, OPEN_CHARS, Marks
from agent.replay.mask import Masker
from agent.replay.rrweb import Event
from agent.replay.text import STARS
from bridge.types import Gap, Stamp

MAIL = "anna@example.com"


def marks() -> Marks:
    return Marks(Masker("medium", APP))


def payload(mark: Event) -> dict[str, Any]:
    data = orjson.loads(rrweb.dumps(mark))["data"]
    found: dict[str, Any] = data["payload"]
    return found


def test_an_event_has_its_ids_as_they_came_and_is_masked() -> None:
    said = event(3, EPOCH + 1000, name="Paid", message_id="m1", properties={"email": MAIL, "total": 7})
    told = payload(marks().event(said, 4.5))
    assert (told["event"], told["messageId"], told["session_id"], told["bound_ms"]) == ("Paid", "m1", EPOCH + 1000, 4.5)
    assert told["properties"] == {"email": STARS, "total": 7}
    assert "userId" not in told
    for user, shown in (("u-17", "u-17"), (17, "17"), (True, None), (MAIL, None), ("", "")):
        told = payload(marks().event(replace(said, event={**said.event, "userId": user}), 0))
        assert told.get("userId") == shown


def test_a_line_goes_on_from_the_one_before_of_the_same_writer() -> None:
    made = marks()
    first, second = log(3, '{"note":"x","password":"hun' + "a" * 1000), log(3.01, 'ter22","a":1}')
    assert made.before(first) == ""
    assert made.before(replace(second, tid=second.tid + 1)) == ""
    assert made.before(second) == first.message
    # A second later it is another text.
    assert made.before(log(4.5, "b")) == ""
    for n in range(MAX_WRITERS + 1):
        made.before(replace(log(5, "{"), tid=n))
    assert made.before(replace(log(5.01, "}"), tid=0)) == ""
    assert made.before(replace(log(5.01, "}"), tid=MAX_WRITERS)) == "{\n"
    long = replace(log(6, "{" + "x" * (OPEN_CHARS + 9)), tid=7)
    made.before(long)
    assert len(made.before(replace(log(6.01, "}"), tid=7))) == OPEN_CHARS + 1


def test_texts_are_masked_and_then_cut() -> None:
    made = marks()
    line = log(3, "x" * (MAX_LOG_CHARS - len("I/ReactNativeJS: ") - 9) + f" {MAIL} " + "yy " * 20)
    (text,) = payload(made.log(line, ""))["payload"]
    assert (len(text), text.endswith(f" {STARS} yy")) == (MAX_LOG_CHARS, True)
    finding = Finding("raw", "warning", at(3), 7, f"saw {MAIL}", "m", "f", "x" * (MAX_PROOF_CHARS - 5) + f" {MAIL} y")
    told = payload(made.finding(finding))
    assert (told["saw"], len(told["proof"]), told["pid"]) == (f"saw {STARS}", MAX_PROOF_CHARS, 7)
    assert MAIL[:4] not in told["proof"]
    told = payload(made.happening(Happening(at(3), "crash", "it crashed", {"pid": 7}, f"at {MAIL}")))
    assert told == {"name": "it crashed", "pid": 7, "text": f"at {STARS}"}
    told = payload(made.marker(Marker(at(3), "n" * 900, f"by {MAIL}", "key", {"n": 1})))
    assert told == {"name": "n" * MAX_MARKER_CHARS, "note": f"by {STARS}", "by": "key", "n": 1}


def test_a_gap_has_its_true_length_by_the_clock_at_its_end() -> None:
    # The host's clock was set back by an hour meanwhile.
    end = Stamp(at(5).mono_ns, at(5).wall_ms - 3_600_000)
    told = payload(marks().gap(Gap(at(3), end, "device", "DeviceGone", f"so {MAIL} said")))
    assert (told["ms"], told["to_ms"] - told["from_ms"], told["to_ms"]) == (2000, 2000, end.wall_ms)
    assert told["detail"] == f"so {STARS} said"
    told = payload(marks().gap(Gap(at(3), at(2), "log", "r")))
    assert (told["ms"], told["from_ms"]) == (0, told["to_ms"])
