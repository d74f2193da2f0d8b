from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from fakes.adb_host import bare_phone, run
from fakes.programs import ran, ran_raw, running

from bridge.emulated.logd import MAX_PAYLOAD, Record
from bridge.emulated.phone import Phone
from bridge.emulated.program import Io, Program
from bridge.emulated.programs.logcat import log, logcat
from bridge.logbinary import BinaryReader
from bridge.types import LogEntry, Stamp

NS = 1_772_532_000_318_456_789  # 2026-03-03 10:00:00 UTC
ONE = Record(NS, 5_123_456_789, 822, 871, 10231, 4, "App", b"hello")
TWO = replace(ONE, time_ns=NS + 10**9, pid=99, prio=6, tag="Other", text=b"a\nb\n")
CRASH = replace(ONE, buffer="crash", prio=7, text=b"boom")
RADIO = replace(ONE, buffer="radio", text=b"dial")
MAIN = "--------- beginning of main\n"


def phone_with(*records: Record) -> Phone:
    phone = bare_phone()
    for record in records:
        phone.logd.append(record)
    return phone


def logged(words: str, *records: Record) -> str:
    async def work() -> str:
        out, err, status = await ran(logcat, phone_with(*records), f"logcat -d {words}")
        assert (err, status) == ("", 0)
        return out

    return run(work())


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("", "03-03 10:00:00.318   822   871 I App     : hello\n"),
        ("-v threadtime", "03-03 10:00:00.318   822   871 I App     : hello\n"),
        ("-v threadtime -v uid", "03-03 10:00:00.318 10231   822   871 I App     : hello\n"),
        ("-v threadtime,usec,year", "2026-03-03 10:00:00.318456   822   871 I App     : hello\n"),
        ("-v UTC", "03-03 10:00:00.318 +0000   822   871 I App     : hello\n"),
        ("-v epoch,nsec", "         1772532000.318456789   822   871 I App     : hello\n"),
        ("-v monotonic", "                  5.123   822   871 I App     : hello\n"),
        ("-v time", "03-03 10:00:00.318 I/App     (  822): hello\n"),
        ("-v brief", "I/App     (  822): hello\n"),
        ("-v process", "I(  822) hello  (App)\n"),
        ("-v tag", "I/App     : hello\n"),
        ("-v thread", "I(  822:  871) hello\n"),
        ("-v raw", "hello\n"),
        ("-v long", "[ 03-03 10:00:00.318   822:  871 I/App      ]\nhello\n\n"),
    ],
)
def test_formats(words: str, line: str) -> None:
    assert logged(words, ONE) == MAIN + line


def test_a_text_of_lines_has_a_head_on_each() -> None:
    assert logged("-v tag", TWO) == MAIN + "E/Other   : a\nE/Other   : b\n"
    assert logged("-v raw,printable", replace(ONE, text=b"a\\b")) == MAIN + "a\\\\b\n"


def test_a_cut_entry_has_lost_its_last_character() -> None:
    room = MAX_PAYLOAD - len("App") - 2
    text = logged("-v raw", replace(ONE, text=b"x" * 5000))
    assert text == MAIN + "x" * (room - 1) + "\n"


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        ("", ["App", "Other"]),
        ("*:E", ["Other"]),
        ("App:W *:V", ["Other"]),
        ("-s App", []),
        ("-s App:V", ["App"]),
        ("App:S", ["Other"]),
        ("--pid 99", ["Other"]),
        ("--pid=822", ["App"]),
        ("-t 1", ["Other"]),
        ("-t 0", []),
        ("-T 1", ["Other"]),
        ("-T 1772532001.0", ["Other"]),
        ("-T 1772532000.318456789", ["App", "Other"]),
        ("-t 1772532001.318456790", []),
    ],
)
def test_what_is_shown(words: str, seen: list[str]) -> None:
    lines = logged(f"-v tag {words}", ONE, replace(TWO, text=b"x")).splitlines()[1:]
    assert [line[2:].split()[0] for line in lines] == seen


def test_the_time_of_day_is_of_this_year() -> None:
    async def work() -> None:
        phone = bare_phone()
        now = phone.clock.wall_ns()
        for at in (now - 3600 * 10**9, now):
            phone.logd.append(replace(ONE, time_ns=at, text=str(at).encode()))
        # A line's own time, handed back, starts at that line.
        line = (await ran(logcat, phone, "logcat -d -v usec"))[0].splitlines()[2]
        words = ["logcat", "-d", "-v", "raw", "-T", line[:21]]
        out, _, _ = await ran(_with(words), phone, "logcat")
        assert out.splitlines()[1:] == [str(now)]

    run(work())


def _with(words: list[str]) -> Program:
    """logcat with words that hold spaces."""

    async def program(io: Io, phone: Phone) -> int:
        io.argv = words
        return await logcat(io, phone)

    return program


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        ("", ["hello", "boom"]),
        ("-b main", ["hello"]),
        ("-b crash,radio", ["boom", "dial"]),
        ("-b crash -b radio", ["boom", "dial"]),
        ("-b all", ["hello", "boom", "dial"]),
        ("-b default", ["hello", "boom"]),
    ],
)
def test_buffers(words: str, seen: list[str]) -> None:
    lines = logged(f"-v raw {words}", ONE, CRASH, RADIO).splitlines()
    assert [line for line in lines if not line.startswith("---------")] == seen
    assert sum(line.startswith("--------- beginning of") for line in lines) == len(seen)


def test_the_binary_stream_is_what_the_product_reads() -> None:
    async def work() -> None:
        out, err, status = await ran_raw(logcat, phone_with(ONE, TWO, CRASH), "logcat -d -B -b all App:S")
        assert (err, status) == (b"", 0)
        entries = BinaryReader(lambda ns: Stamp(ns, ns // 1_000_000)).feed(out)
        assert all(isinstance(entry, LogEntry) for entry in entries)
        read = [(e.time_ns, e.pid, e.tid, e.uid, e.level, e.tag, e.message, e.buffer) for e in entries]
        assert read == [
            (NS, 822, 871, 10231, "I", "App", "hello", "main"),
            (NS + 10**9, 99, 871, 10231, "E", "Other", "a\nb\n", "main"),
            (NS, 822, 871, 10231, "F", "App", "boom", "crash"),
        ]

    run(work())


def test_it_follows_the_log_until_the_stream_is_closed() -> None:
    async def work() -> None:
        phone = phone_with(ONE)
        async with running(logcat, phone, "logcat -v raw -T 1") as started:
            assert await started.saw(len(MAIN) + 6) == MAIN.encode() + b"hello\n"
            phone.logd.append(RADIO)
            phone.logd.append(replace(ONE, text=b"next"))
            phone.logd.append(replace(ONE, text=b"last"))
            assert await started.saw(10) == b"next\nlast\n"
            started.hangup.set()
            phone.logd.append(replace(ONE, text=b"end"))
            assert await started.task == 0

    run(work())


def test_clear_size_and_sizes() -> None:
    async def work() -> None:
        phone = phone_with(ONE, CRASH)
        assert await ran(logcat, phone, "logcat -c -b main") == ("", "", 0)
        assert (await ran(logcat, phone, "logcat -d -v raw"))[0].splitlines()[1:] == ["boom"]
        assert await ran(logcat, phone, "logcat -G 1M -b main") == ("", "", 0)
        out, _, status = await ran(logcat, phone, "logcat -g -b main,crash")
        assert status == 0
        assert [line.partition("(")[0] for line in out.splitlines()] == [
            "main: ring buffer is 1024 KiB ",
            "crash: ring buffer is 256 KiB ",
        ]

    run(work())


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("-b nothing", "logcat: unknown buffer nothing"),
        ("-T yesterday", 'logcat: -T "yesterday" not in time format'),
        ("-t 99-99", 'logcat: -t "99-99" not in time format'),
        ("-v", "logcat: option requires an argument -- -v"),
        ("-G much", "logcat: -G needs a number, not 'much'"),
        ("--pid none", "logcat: --pid needs a number, not 'none'"),
    ],
)
def test_errors(words: str, error: str) -> None:
    async def work() -> None:
        assert await ran(logcat, bare_phone(), f"logcat {words}") == ("", error + "\n", 1)

    run(work())


def test_an_ended_reader_leaves_nothing() -> None:
    async def work() -> None:
        async with running(logcat, phone_with(ONE), "logcat -v raw") as started:
            await started.saw(5)
        assert started.task.cancelled()
        assert len(asyncio.all_tasks()) == 1

    run(work())


def test_a_line_that_a_shell_writes() -> None:
    async def work() -> None:
        phone = phone_with()
        assert await ran(log, phone, "log -p e -t TestRunner started: a(b.C)") == ("", "", 0)
        assert await ran(log, phone, "log hello") == ("", "", 0)
        out, _, _ = await ran(logcat, phone, "logcat -d -v brief")
        lines = [line.partition("(")[0].rstrip() + line.partition(")")[2] for line in out.splitlines()[1:]]
        assert lines == ["E/TestRunner: started: a(b.C)", "I/log: hello"]
        assert (await ran(log, phone, "log -p x hello"))[2] == 1

    run(work())
