from __future__ import annotations

import json
import logging
import stat
import threading
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes.wait import until

from agent import log
from agent.errors import StorageDenied
from agent.log import BURST, NOBODY, Damped, about, hidden, shown
from agent.runtime.lane import Workers


@dataclass
class Subject:
    serial: str = "R58"
    session_id: int | None = None
    device_id: str | None = None


class Kept(logging.Handler):
    """What gets through, as (message, repeats)."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, int]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append((record.getMessage(), getattr(record, "repeats", 0)))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def record(text: str, line: int = 1, serial: str = "") -> logging.LogRecord:
    made = logging.LogRecord("bridge", logging.WARNING, __file__, line, text, None, None)
    if serial:
        made.__dict__["serial"] = serial
    return made


def test_a_repeat_is_told_once_an_interval_with_how_many_were_held_back() -> None:
    target, clock = Kept(), Clock()
    damped = Damped(target, 3600, clock)
    for minute in range(150):
        clock.now = minute * 60.0
        damped.handle(record("stream lost"))
    assert target.said == [("stream lost", 0), ("stream lost", 59), ("stream lost", 60)]
    damped.close()
    # The one of minute 120 itself began the third interval.
    assert target.said[3:] == [("stream lost", 30)]


def test_what_comes_again_after_an_interval_is_new() -> None:
    target, clock = Kept(), Clock()
    damped = Damped(target, 30, clock)
    for at in (0.0, 31.0, 62.0):
        clock.now = at
        damped.handle(record("stream lost"))
    damped.close()
    assert target.said == [("stream lost", 0)] * 3


def test_other_places_devices_and_words_are_not_repeats() -> None:
    target = Kept()
    damped = Damped(target, 30)
    for each in (record("a"), record("b"), record("a", 2), record("a", 1, "R58"), record("a", 1, "R59")):
        damped.handle(each)
    damped.close()
    assert [words for words, _ in target.said] == ["a", "b", "a", "a", "a"]


def test_a_place_whose_words_always_differ_cannot_flood() -> None:
    target, clock = Kept(), Clock()
    damped = Damped(target, 30, clock)
    for number in range(1000):
        damped.handle(record(f"line {number}"))
    assert len(target.said) == BURST
    clock.now = 31.0
    damped.handle(record("elsewhere", 2))
    assert target.said[BURST:] == [("line 999", 1000 - BURST), ("elsewhere", 0)]
    damped.close()


def test_what_is_held_back_is_told_in_time_though_nothing_else_is_said() -> None:
    target = Kept()
    damped = Damped(target, 0.05)
    damped.handle(record("stream lost"))
    damped.handle(record("stream lost"))
    until(lambda: len(target.said) == 2, "the held one to be told")
    assert target.said[1] == ("stream lost", 1)
    damped.close()


def test_no_interval_holds_nothing_back() -> None:
    target = Kept()
    damped = Damped(target, 0)
    for _ in range(5):
        damped.handle(record("x"))
    damped.close()
    assert target.said == [("x", 0)] * 5


@pytest.mark.parametrize(
    ("level", "said"),
    [(0, []), (1, ["E"]), (2, ["W", "E"]), (3, ["I", "W", "E"]), (4, ["D", "I", "W", "E"])],
)
def test_the_plugin_s_log_levels(capsys: pytest.CaptureFixture[str], level: int, said: list[str]) -> None:
    logger = logging.getLogger("agent.somewhere")
    with shown(level):
        for word, number in (("D", 10), ("I", 20), ("W", 30), ("E", 40)):
            logger.log(number, word)
    assert [line.split(": ")[-1] for line in capsys.readouterr().err.splitlines()] == said
    assert logging.getLogger("agent").propagate
    assert logging.getLogger("agent").handlers == []


def test_a_line_says_when_and_whose(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("agent.somewhere")
    with shown(2, every=60):
        with about(Subject("R58", 1700000000000, "dev")):
            for _ in range(3):
                logger.warning("lost")
        logger.warning("nobody's")
    first, second, third = capsys.readouterr().err.splitlines()
    assert first.endswith("Z WARNING agent.somewhere [R58 1700000000000]: lost")
    assert second.endswith("Z WARNING agent.somewhere: nobody's")
    assert third.endswith("Z WARNING agent.somewhere [R58 1700000000000]: lost (2 times more since)")


def test_json_says_the_same_in_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logger, subject = logging.getLogger("agent.somewhere"), Subject()
    with shown(2, ['se"cret'], "json") as told:
        with about(subject):
            logger.warning("opened")
            subject.session_id, subject.device_id = 17, "dev"
            try:
                int('se"cret')
            except ValueError:
                logger.exception('lost se"cret')
        told("words of a command")
    opened, lost, words = map(json.loads, capsys.readouterr().err.splitlines())
    assert {**opened, "time": ""} == {
        "time": "", "level": "warning", "logger": "agent.somewhere", "message": "opened", "serial": "R58",
    }  # fmt: skip
    assert (lost["session_id"], lost["device_id"], lost["recording"]) == (17, "dev", "dev/17")
    assert (lost["level"], lost["message"]) == ("error", "lost *****")
    assert lost["traceback"].splitlines()[-1] == "ValueError: invalid literal for int() with base 10: '*****'"
    assert (words["level"], words["logger"], words["message"]) == ("info", "agent.commands", "words of a command")


def test_whose_it_is_is_noted_when_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A repeat is told later, by whoever speaks then."""
    logger, subject = logging.getLogger("agent.somewhere"), Subject("R58", 1, "dev")
    with shown(2, form="json"), about(subject):
        logger.warning("lost")
        logger.warning("lost")
        subject.session_id = 2
    assert [json.loads(line)["session_id"] for line in capsys.readouterr().err.splitlines()] == [1, 1]


def test_what_is_nobody_s_is_told_once_for_all_devices(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("agent.somewhere")
    with shown(2, form="json"):
        for serial in ("R58", "R59"):
            with about(Subject(serial, 17, "dev")):
                logger.warning("the sink is down", extra=NOBODY)
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert "serial" not in first
    assert "session_id" not in first
    assert second["repeats"] == 1


def test_workers_know_whose_work_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("agent.somewhere")
    with shown(2, form="json"), Workers(1) as workers:
        with about(Subject("R58")):
            workers.submit(logger.warning, "one").result()
        with about(Subject("R59")):
            workers.submit(logger.warning, "two").result()
        copy_context().run(lambda: workers.submit(logger.warning, "three").result())
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [fact.get("serial") for fact in said] == ["R58", "R59", None]


def test_a_device_s_words_do_not_forge_lines_nor_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with shown(2):
        logging.getLogger("bridge.adb").warning("said %s", "a\nERROR agent: b\x1b[2J\r\x9b1m\u2028c")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(r"said a\nERROR agent: b\x1b[2J\x0d\x9b1m\x2028c")


def test_secrets_are_starred_in_whatever_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("agent.test")
    with shown(4, ["a/key", ""]):
        logger.warning("no %s in %s", "a/key", "https://x/?api_key=a%2Fkey")
        try:
            int("a/key")
        except ValueError:
            logger.exception("failed")
    said = capsys.readouterr().err
    assert "no ***** in https://x/?api_key=*****" in said
    assert "ValueError: invalid literal" in said
    assert "a/key" not in said.partition("ValueError")[2]


def test_what_is_too_short_for_a_secret_stars_nothing() -> None:
    assert hidden("key, a key", "", "key") == "key, a key"


def test_a_file_is_its_owner_s_and_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "FILE_BYTES", 2000)
    monkeypatch.setattr(log, "FILES", 3)
    file = tmp_path / "rack.log"
    with shown(2, file=file, every=0):
        for number in range(100):
            logging.getLogger("agent.test").warning("line %d", number)
    kept = sorted(tmp_path.iterdir())
    assert [path.name for path in kept] == ["rack.log", "rack.log.1", "rack.log.2"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}
    assert all(path.stat().st_size <= 2000 for path in kept)
    assert file.read_text().splitlines()[-1].endswith("line 99")


def test_several_processes_may_write_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "FILE_BYTES", 2000)
    monkeypatch.setattr(log, "FILES", 3)
    file = tmp_path / "rack.log"
    handlers = [log._File(file) for _ in range(4)]
    for number in range(32):
        for handler in handlers:
            handler.handle(logging.LogRecord("agent", logging.INFO, "", 0, f"line {number:02} {'x' * 40}", None, None))
    for handler in handlers:
        handler.close()
    kept = sorted(tmp_path.iterdir(), reverse=True)
    assert [path.name for path in kept] == ["rack.log.2", "rack.log.1", "rack.log"]
    lines = [line for path in kept for line in path.read_text().splitlines()]
    # The latest, each from all four, and as many as fit: nobody put aside what another had begun.
    assert lines[-4:] == [f"line 31 {'x' * 40}"] * 4
    assert len(lines) > 2 * (2000 // 49)


def test_a_file_that_cannot_be_is_told_before_anything_begins(tmp_path: Path) -> None:
    with pytest.raises(StorageDenied, match=r"The log .* cannot be written"), shown(2, file=tmp_path / "no" / "log"):
        pass
    assert logging.getLogger("agent").handlers == []


def test_a_full_disk_ends_the_log_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with shown(2, file=full, every=0):
        for _ in range(3):
            logging.getLogger("agent.test").warning("line")
    said = capsys.readouterr().err
    assert said.count("cannot be written") == 1
    assert "Traceback" not in said


def test_many_threads_may_speak() -> None:
    target = Kept()
    damped = Damped(target, 3600)
    threads = [threading.Thread(target=lambda: [damped.handle(record("same")) for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    damped.close()
    assert target.said == [("same", 0), ("same", 799)]
