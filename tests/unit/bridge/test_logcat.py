from __future__ import annotations

import codecs
import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.logbinary import MAX_PAYLOAD, BinaryReader, Wanted
from bridge.logcat import MAX_LINE, MAX_TEXT, Facts, Format, TextReader, detect, printable, unescape
from bridge.types import Gap, LogEntry, Stamp

SHARED = Path(__file__).parents[4] / "shared" / "fixtures"
FORMATS = SHARED / "segment_logs" / "formats"
AOSP = SHARED / "logcat" / "aosp11-formats"
WANTED = Wanted(("ReactNativeJS", "chatty"), ("SegmentReplay/",))
NS = 1_772_532_000_318_000_000
shared = pytest.mark.skipif(not FORMATS.is_dir(), reason="the shared fixtures are not here")


def stamp(time_ns: int) -> Stamp:
    return Stamp(time_ns, time_ns // 1_000_000)


def read(reader: BinaryReader | TextReader, data: bytes, sizes: list[int] | None = None) -> list[LogEntry | Gap]:
    found: list[LogEntry | Gap] = []
    at = 0
    for size in sizes or []:
        found += reader.feed(data[at : at + size])
        at += size
    return [*found, *reader.feed(data[at:]), *reader.flush()]


def entries(found: list[LogEntry | Gap]) -> list[LogEntry]:
    return [item for item in found if isinstance(item, LogEntry)]


def lines(text: str, form: str | None = None, **options: object) -> tuple[TextReader, list[LogEntry]]:
    reader = TextReader(stamp, form, **options)  # type: ignore[arg-type]
    return reader, entries(read(reader, text.encode()))


def truth() -> list[dict[str, object]]:
    return [json.loads(line) for line in (FORMATS / "entries.jsonl").read_text(encoding="utf-8").split("\n") if line]


@shared
@pytest.mark.parametrize("file", sorted(FORMATS.glob("*.txt")) if FORMATS.is_dir() else [], ids=lambda f: f.stem)
def test_each_text_format_as_liblog_prints_it(file: Path) -> None:
    """Ten entries; those that share an instant and a thread may come as one, in the forms without boundaries."""
    data = file.read_bytes()
    form = detect(data)
    verb = file.stem.split("-")[0]
    assert form == ("epoch" if "epoch" in file.stem and verb == "threadtime" else verb)
    reader = TextReader(stamp, form, 2026, printable=printable(data))
    found = entries(read(reader, data, [100] * 40))
    assert reader.unread == 0
    expected = truth()
    wanted = {bytes.fromhex(str(e["message_hex"])).decode("utf-8", "replace")[:40] for e in expected}
    texts = "\n".join(entry.message for entry in found)
    assert all(text.strip("\n").split("\n")[0][:20] in texts for text in wanted)
    if form in ("threadtime", "epoch", "time", "long"):
        offset_ns = 0 if {"epoch", "zone"} & set(file.stem.split("-")) else 19_800 * 10**9
        unit = 1 if "nsec" in file.stem else 1_000 if "usec" in file.stem else 1_000_000
        assert found[0].time_ns == NS + offset_ns
        assert {e.time_ns for e in found} <= {(int(str(e["ns"])) + offset_ns) // unit * unit for e in expected}
    if form not in ("raw", "thread"):
        assert {"MyApp: Net", "SF", "init"} <= {entry.tag for entry in found}
    if form not in ("raw", "tag"):
        assert {entry.pid for entry in found} == {e["pid"] for e in expected}
    if "nsec" in file.stem or form == "long":
        assert len(found) == len(expected)
    if "uid" in file.stem:
        assert {entry.uid for entry in found} == {e["uid"] for e in expected}
    cut = [entry for entry in found if entry.cut]
    assert [len(entry.message.encode()) for entry in cut] in ([], [4052], [4054], [4053])


@shared
@pytest.mark.parametrize("file", sorted(AOSP.glob("*.log")) if AOSP.is_dir() else [], ids=lambda f: f.stem)
def test_what_a_real_logcat_printed(file: Path) -> None:
    """Texts of the same records, against the binary output: joined, they are equal line by line."""
    records = entries(read(BinaryReader(stamp), (AOSP / "binary.bin").read_bytes()))
    data = file.read_bytes()
    reader = TextReader(stamp, detect(data), 2026, printable=printable(data))
    found = entries(read(reader, data))

    def told(messages: list[str]) -> list[str]:
        """Non-empty lines, without what a terminal or `printable` changes."""
        plain = (line for message in messages for line in message.split("\n"))
        return [line.encode("ascii", "ignore").decode() for line in plain if line.strip() and line.isprintable()]

    got, expected = told([e.message for e in found]), told([e.message for e in records])
    assert len(set(expected) - set(got)) <= (3 if "printable" in file.stem else 0)
    assert len(found) >= 0.8 * len(records)


MULTI = "".join(
    f"03-03 15:30:00.318 14822 14871 I ReactNativeJS: {line}\n" for line in ("{ a: 1,", "  b: 2 }", "", "end")
)


def test_lines_of_one_entry_are_joined() -> None:
    _, (entry,) = lines(MULTI, "threadtime")
    assert entry.message == "{ a: 1,\n  b: 2 }\n\nend"


@given(st.lists(st.integers(1, 60), max_size=12))
def test_text_in_any_chunks(sizes: list[int]) -> None:
    data = (MULTI + MULTI.replace("318", "319")).encode()
    assert read(TextReader(stamp, "threadtime"), data, sizes) == read(TextReader(stamp, "threadtime"), data)


def test_carriage_returns_markers_and_colours() -> None:
    text = "--------- beginning of main\r\n" + MULTI.replace("\n", "\r\n") + "--------- switch to crash\r\n"
    text += "\x1b[38;5;40m03-03 15:30:01.000  1  1 E libc    : Fatal signal\x1b[0m\r\n"
    reader, found = lines(text)
    assert [(entry.message, entry.buffer) for entry in found] == [
        ("{ a: 1,\n  b: 2 }\n\nend", ""),
        ("Fatal signal", "crash"),
    ]
    assert reader.unread == 0


def test_only_line_feeds_end_a_line() -> None:
    _, (entry,) = lines("03-03 15:30:00.318 1 1 I ReactNativeJS: a\u2028b\u2029c\x85d\x0be\x1cf\n", "threadtime")
    assert entry.message == "a\u2028b\u2029c\x85d\x0be\x1cf"


def test_broken_utf8_is_replaced() -> None:
    (entry,) = entries(read(TextReader(stamp, "threadtime"), b"03-03 15:30:00.318 1 1 I ReactNativeJS: a\xff\xc3\n"))
    assert entry.message == "a\ufffd\ufffd"


@pytest.mark.parametrize("tag", ["MyApp: Net", "unknown:ReactImageView", "a:b", "SF"])
def test_tags_with_colons(tag: str) -> None:
    for form in (f"03-03 15:30:00.318     1     1 I {tag:8}: text: more", f"I/{tag:8}: text: more"):
        _, (entry,) = lines(form + "\n")
        assert (entry.tag, entry.message) == (tag, "text: more")


@pytest.mark.parametrize(
    ("uid", "number"), [("10231", 10231), ("u0_a231", 10231), ("system", 1000), ("new_name", None)]
)
def test_uids_and_their_names(uid: str, number: int | None) -> None:
    _, (entry,) = lines(f"03-03 15:30:00.318 {uid:>5} 14822 14871 I ReactNativeJS: x\n")
    assert (entry.uid, entry.pid, entry.tid) == (number, 14822, 14871)


@pytest.mark.parametrize(
    ("time", "ns"),
    [
        ("2026-03-03 15:30:00.318 +0530", 1_772_532_000_318_000_000),
        ("2026-03-03 10:00:00.318000 +0000", 1_772_532_000_318_000_000),
        ("         1772532000.318000001", 1_772_532_000_318_000_001),
        ("2026-03-03 06:30:00.318 -0330", 1_772_532_000_318_000_000),
    ],
)
def test_times_with_zone_year_or_epoch(time: str, ns: int) -> None:
    reader, (entry,) = lines(f"{time}     1     1 I ReactNativeJS: x\n")
    assert entry.time_ns == ns
    assert reader.absolute
    assert reader.dated


def test_the_year_turns() -> None:
    times = ("12-31 23:59:59.999", "01-01 00:00:00.001", "12-31 23:59:59.999")
    _, found = lines("".join(f"{time} 1 {tid} I Tag     : x\n" for tid, time in enumerate(times)), year=2025)
    assert found[1].time_ns - found[0].time_ns == 2_000_000
    assert found[2].time_ns == found[0].time_ns


def test_seconds_since_the_boot_are_no_instant() -> None:
    reader, (entry,) = lines("           3642.061     1     1 I ReactNativeJS: x\n")
    assert entry.time_ns == 3_642_061_000_000
    assert not reader.absolute


def test_lost_lines_are_a_gap() -> None:
    reader = TextReader(stamp, wanted=WANTED)
    found = read(reader, MULTI.encode() + b"read: unexpected EOF!\n")
    assert isinstance(found[-1], Gap)
    assert found[-1].reason == "overrun"


def test_printable_text_comes_back() -> None:
    text = "03-03 15:30:00.318 1 1 I ReactNativeJS: C:\\\\tmp \\x1B[31m \\xFF\\n\n"
    assert printable(text.encode())
    assert not printable(b"C:\\tmp and \\u0041 alone")
    _, (entry,) = lines(text, printable=True)
    assert entry.message == "C:\\tmp \x1b[31m \ufffd\n"
    assert unescape("no escapes") == "no escapes"


def test_a_text_passes_over_what_nobody_wants() -> None:
    noise = "".join(f"03-03 15:30:00.318  612  612 D SurfaceFlinger: frame {n}\n" for n in range(500))
    reader = TextReader(stamp, wanted=WANTED)
    found = entries(read(reader, (noise + MULTI + noise + MULTI).encode(), [997] * 60))
    assert [entry.message for entry in found] == ["{ a: 1,\n  b: 2 }\n\nend"] * 2
    assert (reader.entries, reader.passed, reader.unread) == (2, 1000, 0)


LINE = st.builds(
    "03-03 15:30:00.{:03d} {:5d} {:5d} I {:<8}: {}\n".format,
    st.integers(318, 320),
    st.sampled_from([612, 14822]),
    st.just(7),
    st.sampled_from(["ReactNativeJS", "Other", "chatty", "T"]),
    st.sampled_from(["", "one", "  two", "says ReactNativeJS", "------", "SegmentReplay/1 m 1/1 {}", "}"]),
) | st.sampled_from(["--------- beginning of main\n", "garbage\n", "\n"])


@given(st.lists(LINE, max_size=30), st.lists(st.integers(1, 90), max_size=20))
def test_wishes_leave_nothing_out_of_a_text(data: list[str], sizes: list[int]) -> None:
    text = "".join(data).encode()

    def wanted(reader: TextReader) -> list[LogEntry]:
        return [e for e in entries(read(reader, text, sizes)) if e.tag in WANTED.tags]

    assert wanted(TextReader(stamp, "threadtime", wanted=WANTED)) == wanted(TextReader(stamp, "threadtime"))


@pytest.mark.parametrize(
    "form", [None, "threadtime", "time", "brief", "long", "process", "tag", "thread", "raw", "studio"]
)
def test_a_line_without_end_is_cut_and_counted(form: str | None) -> None:
    reader = TextReader(stamp, form, wanted=WANTED)  # type: ignore[arg-type]
    head = b"03-03 15:30:00.318 14822 14871 I ReactNativeJS: "
    for _ in range(40):
        for entry in reader.feed(head + b"x" * 65536):
            assert isinstance(entry, LogEntry)
            assert len(entry.message) <= MAX_TEXT
        assert len(reader._rest) <= MAX_LINE
    reader.flush()
    assert reader.unread > 0 or form == "raw"


@given(
    st.binary(max_size=400), st.sampled_from([None, "threadtime", "long", "raw", "process", "tag", "studio", "thread"])
)
def test_any_text_is_entries_or_gaps(data: bytes, form: str | None) -> None:
    detect(data)
    printable(data)
    for item in read(TextReader(stamp, form, wanted=WANTED), data):  # type: ignore[arg-type]
        assert isinstance(item, LogEntry | Gap)


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
def test_powershell_saves_utf16(mark: bytes) -> None:
    data = mark + MULTI.encode("utf-16-le" if mark == b"\xff\xfe" else "utf-16-be")
    assert detect(data) == "threadtime"
    (entry,) = entries(read(TextReader(stamp), data, [7, 11]))
    assert entry.message == "{ a: 1,\n  b: 2 }\n\nend"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("I/Tag     (  123): x\n" * 3, "brief"),
        ("I/Tag     : x\n" * 3, "tag"),
        ("I(  123) x  (Tag)\n" * 3, "process"),
        ("I(10231:14822) x  (Tag)\n" * 3, "process"),
        ("I(14822:14871) x\n" * 3, "thread"),
        ("I(10231:14822:14871) x\n" * 3, "thread"),
        ("garbage\n" * 50 + MULTI, "threadtime"),
        ("[ 03-03 15:30:00.318 14822:14871 I/ReactNativeJS ]\nI/Tag     : x\nI/Tag     : y\n\n", "long"),
        ("--------- beginning of main\nwords\n", "raw"),
        ("2021-01-01 10:10:10.123 1234-5678/com.example.shop I/Tag: words\n", "studio"),
        ("words\n", None),
    ],
)
def test_the_format_is_told_from_the_lines(text: str, form: str | None) -> None:
    assert detect(text.encode()) == form


def test_copied_from_the_older_android_studio() -> None:
    head = "2021-01-01 10:10:10.123 1234-5678/com.example.shop I/ReactNativeJS: "
    _, found = lines(f"{head}{{ a: 1,\n      b: 2 }}\n{head}next\n")
    assert [(e.pid, e.tid, e.tag, e.message) for e in found] == [
        (1234, 5678, "ReactNativeJS", "{ a: 1,\n  b: 2 }"),
        (1234, 5678, "ReactNativeJS", "next"),
    ]


# Against a printer by the layouts of AOSP liblog `logprint.cpp`.


SECOND = 1_000_000_000
NOON = NS - 318_000_000  # 2026-03-03T10:00:00Z


FORMS: tuple[Format, ...] = (
    "threadtime", "epoch", "time", "brief", "long", "process", "tag", "thread", "raw", "studio",
)  # fmt: skip


@dataclass(frozen=True)
class Written:
    """What a process handed to the log."""

    text: bytes
    tag: str = "ReactNativeJS"
    letter: str = "I"
    pid: int = 14822
    tid: int = 14871
    uid: int = 10231
    ns: int = NOON + 318_137_123

    @property
    def payload(self) -> bytes:
        priority = bytes([" .VDIWEF".index(self.letter)])
        return (priority + self.tag.encode() + b"\0" + self.text + b"\0")[:MAX_PAYLOAD]


ENTRIES = (
    Written(b"'TRACK event saved', { type: 'track',\n  properties: \n   { id: 'a: b',\n     tags: [ 'a' ] } }"),
    Written("café 🚀 \u2028 \x85 \x0b\x0c\x1c".encode(), "MyApp: Net", "D", 29011, 29011, 10090, NOON + SECOND),
    Written(b"", "SF", "V", 612, 613, 1000, NOON + 2 * SECOND),
    Written(b"\n  starts empty\n\n  has a gap", "unknown:ReactImageView", "W", 4, 5, 0, NOON + 3 * SECOND),
    Written(b"bad \xff\xfe \xc3 {", "tab\there", "E", 99999, 100000, 99910, NOON + 4 * SECOND),
    Written(b"5 (6): x  (y)", "init", "F", 1, 1, 0, NOON + 5 * SECOND),
)


def moment(ns: int, words: set[str]) -> str:
    digits = 9 if "nsec" in words else 6 if "usec" in words else 3
    fraction = f".{ns % SECOND:09d}"[: digits + 1]
    if words & {"epoch", "monotonic"}:
        return f"{ns // SECOND:19d}{fraction}"
    offset = timedelta(hours=5, minutes=30) if "zone" in words else timedelta(0)
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=ns // SECOND) + offset
    text = f"{when:%Y-%m-%d %H:%M:%S}"[0 if "year" in words else 5 :] + fraction
    return text + (" +0530" if "zone" in words else " +0000" if "UTC" in words else "")


def printed(entry: Written, verb: str, words: set[str]) -> bytes:
    """One entry as `logcat -v <verb> -v <words>` prints it."""
    time, letter, tag, pid, tid = moment(entry.ns, words), entry.letter, entry.tag, entry.pid, entry.tid
    uid, spaced = (f"{entry.uid:5d}:", f"{entry.uid:5d} ") if "uid" in words else ("", "")
    body = entry.payload[len(tag.encode()) + 2 : -1]
    if "printable" in words:
        body = escaped(body)
    if verb == "long":
        return f"[ {time} {uid}{pid:5d}:{tid:5d} {letter}/{tag:<8} ]\n".encode() + body + b"\n\n"
    before = {
        "threadtime": f"{time} {spaced}{pid:5d} {tid:5d} {letter} {tag:<8}: ",
        "time": f"{time} {letter}/{tag:<8}({uid}{pid:5d}): ",
        "brief": f"{letter}/{tag:<8}({uid}{pid:5d}): ",
        "process": f"{letter}({uid}{pid:5d}) ",
        "tag": f"{letter}/{tag:<8}: ",
        "thread": f"{letter}({uid}{pid:5d}:{tid:5d}) ",
        "raw": "",
    }[verb].encode()
    after = f"  ({tag})".encode() if verb == "process" else b""
    if "color" in words:
        before, after = b"\x1b[38;5;40m" + before, after + b"\x1b[0m"
    return b"".join(before + line + after + b"\n" for line in body.removesuffix(b"\n").split(b"\n"))


def escaped(body: bytes) -> bytes:
    names = {0x07: b"\\a", 0x08: b"\\b", 0x0B: b"\\v", 0x0C: b"\\f", 0x0D: b"\\r", 0x1B: b"\\x1B", 0x5C: b"\\\\"}
    return b"".join(names.get(byte, b"\\x%02X" % byte if byte < 0x20 and byte not in b"\t\n" else bytes([byte]))
                    for byte in body)  # fmt: skip


def shown(entry: Written, verb: str, words: set[str]) -> LogEntry:
    """What a reader can know from the printed entry."""
    timed = verb in ("threadtime", "time", "long")
    unit = 1 if "nsec" in words else 1000 if "usec" in words else 1_000_000
    ns = entry.ns // unit * unit if timed else 0
    return LogEntry(
        stamp(ns), ns,
        0 if verb in ("tag", "raw") else entry.pid,
        entry.tid if verb in ("threadtime", "thread", "long") else 0,
        entry.uid if "uid" in words and verb not in ("tag", "raw") else None,
        "I" if verb == "raw" else entry.letter,  # type: ignore[arg-type]
        "" if verb in ("thread", "raw") else entry.tag,
        entry.text.removesuffix(b"\n").decode("utf-8", "replace"),
        "main", False,
    )  # fmt: skip


def framed(entry: Written, size: int = 28, lid: int = 0) -> bytes:
    """One entry as `logcat -B` streams it, with a header of this many bytes (0: version 1)."""
    payload = entry.payload
    seconds, rest = divmod(entry.ns, SECOND)
    header = struct.pack("<HHiIII", len(payload), size, entry.pid, entry.tid, seconds, rest)
    header += struct.pack("<II", lid, entry.uid)
    return header[: size or 20].ljust(size, b"\0") + payload


def read_all(reader: TextReader | BinaryReader, chunks: Iterable[bytes]) -> Facts:
    return [fact for chunk in chunks for fact in reader.feed(chunk)] + reader.flush()


def text_of(data: bytes, form: Format | None = None, **options: bool) -> list[LogEntry]:
    facts = read_all(TextReader(stamp, form, 2026, printable=options.get("printable", False)), [data])
    assert all(isinstance(fact, LogEntry) for fact in facts)
    return [fact for fact in facts if isinstance(fact, LogEntry)]


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


LAYOUTS = [
    *(("threadtime", words) for words in (
        "", "year", "usec", "nsec", "epoch", "epoch nsec", "zone", "UTC year", "uid", "color", "monotonic",
        "year usec zone uid", "epoch usec uid color",
    )),
    *(("time", words) for words in ("", "year uid", "epoch", "zone usec", "color")),
    *(("long", words) for words in ("", "epoch usec uid", "year zone", "nsec")),
    *((verb, words) for verb in ("brief", "process", "thread") for words in ("", "uid", "color")),
    ("tag", ""), ("tag", "color"),
]  # fmt: skip


def form_of(verb: str, words: set[str]) -> Format:
    if verb == "threadtime" and words & {"epoch", "monotonic"}:
        return "epoch"
    assert verb in FORMS
    return verb  # type: ignore[return-value]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize(("verb", "words"), LAYOUTS, ids=lambda value: value.replace(" ", "-") or "plain")
def test_a_format(verb: str, words: str, end: bytes) -> None:
    chosen = set(words.split())
    data = b"--------- beginning of main\n" + b"".join(printed(entry, verb, chosen) for entry in ENTRIES)
    data = data.replace(b"\n", end)
    assert detect(data) == form_of(verb, chosen)
    expected = [replace(shown(entry, verb, chosen), buffer="") for entry in ENTRIES]
    reader = TextReader(stamp, None, 2026)
    assert read_all(reader, [data]) == expected
    assert (reader.unread, reader.entries) == (0, len(ENTRIES))
    assert reader.format == form_of(verb, chosen)
    assert reader.timed == (verb in ("threadtime", "time", "long"))
    assert read_all(TextReader(stamp, form_of(verb, chosen), 2026), [data]) == expected


@pytest.mark.parametrize("verb", ["threadtime", "long", "time"])
def test_printable(verb: str) -> None:
    entry = Written(b"C:\\dir \\x41 \\\\ bell\x07 esc\x1b[31m tab\t nl \\n end")
    data = printed(entry, verb, {"printable"})
    assert printable(data)
    assert not printable(printed(entry, verb, set()))
    assert [found.message for found in text_of(data, printable=True)] == [entry.text.decode()]
    assert [found.message for found in text_of(data)] == [escaped(entry.text).decode()]


@pytest.mark.parametrize("newline", [rb"\x0A", rb"\n"], ids=["older", "newer"])
def test_long_and_printable_puts_a_text_on_one_line(newline: bytes) -> None:
    body = rb"a\\nb" + newline + newline + b"  c"
    data = b"[ 03-03 10:00:00.318 14822:14871 I/ReactNativeJS ]\n" + body + b"\n\n"
    assert [entry.message for entry in text_of(data, printable=True)] == ["a\\nb\n\n  c"]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_unescape_takes_back_what_printable_wrote(text: str) -> None:
    assert unescape(escaped(text.encode()).decode()) == text
    assert unescape(text.replace("\\", "\\\\")) == text


def test_unescape_leaves_what_is_broken() -> None:
    assert unescape(r"\xFF\xC3 \q \x4 " + "\\") == "�� q x4 \\"


def test_lines_with_one_prefix_are_one_entry() -> None:
    same = [Written(b"one"), Written(b"two"), Written(b"other thread", tid=14872)]
    data = b"".join(printed(entry, "threadtime", set()) for entry in same)
    assert [entry.message for entry in text_of(data)] == ["one\ntwo", "other thread"]
    apart = [same[0], replace(same[1], ns=same[1].ns + 1)]
    data = b"".join(printed(entry, "threadtime", {"nsec"}) for entry in apart)
    assert [entry.message for entry in text_of(data)] == ["one", "two"]


def test_without_a_time_only_an_indented_or_closing_line_goes_on() -> None:
    data = b"".join(printed(entry, "brief", set()) for entry in (Written(b"{ a: 1,\n  b: 2\n}"), Written(b"next")))
    assert [entry.message for entry in text_of(data)] == ["{ a: 1,\n  b: 2\n}", "next"]


def test_a_blank_line_within_a_text_of_long() -> None:
    data = printed(Written(b"a\n\nb"), "long", set()) + printed(Written(b"[ no head ]", ns=NOON), "long", set())
    assert [entry.message for entry in text_of(data)] == ["a\n\nb", "[ no head ]"]


@pytest.mark.parametrize("verb", ["threadtime", "time", "brief", "tag", "long"])
def test_a_cut_entry(verb: str) -> None:
    room = MAX_PAYLOAD - 3 - len("ReactNativeJS")
    assert room == 4052
    whole = Written(b"x" * (room - 1))
    cut = [Written(b"x" * n + "é".encode() * 3000) for n in (0, 1)]
    follower = Written(b"the next, in the same millisecond")
    for entry in cut:
        data = printed(entry, verb, set()) + printed(follower, verb, set())
        first, second = text_of(data)
        assert first.cut
        assert len(first.message.encode()) in (room, room + 2)  # half a letter is one replacement character
        assert first.message.encode().rstrip("\ufffd".encode()) == entry.text[:room].decode("utf-8", "ignore").encode()
        assert (second.message, second.cut) == (follower.text.decode(), False)
    assert [entry.cut for entry in text_of(printed(whole, verb, set()))] == [False]


def test_how_much_a_line_tells_of_its_time() -> None:
    for words, absolute, dated in [
        ("", False, False), ("year", False, True), ("zone", True, False), ("year zone", True, True),
        ("epoch", True, True),
    ]:  # fmt: skip
        reader = TextReader(stamp, None, 2026)
        read_all(reader, [printed(ENTRIES[0], "threadtime", set(words.split()))])
        assert (reader.absolute, reader.dated) == (absolute, dated), words
    reader = TextReader(stamp)
    read_all(reader, [printed(replace(ENTRIES[0], ns=5 * SECOND), "threadtime", {"monotonic"})])
    assert (reader.absolute, reader.dated) == (False, False)


def test_times_that_no_calendar_has() -> None:
    (entry,) = text_of(b"13-45 99:99:99.999 1 2 I Tag     : x\n")
    assert (entry.pid, entry.message) == (1, "x")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-8"])
def test_a_file_of_a_windows_shell(encoding: str) -> None:
    text = printed(ENTRIES[1], "threadtime", set()).decode().replace("\n", "\r\n")
    mark = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE, "utf-8": codecs.BOM_UTF8}[encoding]
    data = mark + text.encode(encoding)
    assert detect(data) == "threadtime"
    expected = [replace(shown(ENTRIES[1], "threadtime", set()), buffer="")]
    assert text_of(data) == expected
    assert read_all(TextReader(stamp, None, 2026), [data[n : n + 1] for n in range(len(data))]) == expected


MIXED = (
    *ENTRIES,
    Written(b"SegmentReplay/1 m 1/2 {", "Other", ns=NOON + 6 * SECOND),
    Written(b"uid=10231 identical 3 lines", "chatty", ns=NOON + 7 * SECOND),
    Written(b"mentions ReactNativeJS", "Elsewhere", ns=NOON + 8 * SECOND),
    Written(b"quiet", "ReactNativeJSX", ns=NOON + 9 * SECOND),
)


def test_a_cut_binary_entry_shows_as_much_as_a_text_one() -> None:
    entry = Written(b"x" + "é".encode() * 3000)
    (found,) = read_all(BinaryReader(stamp), [framed(entry)])
    assert isinstance(found, LogEntry)
    assert found.cut
    (text,) = text_of(printed(entry, "threadtime", {"nsec", "epoch"}))
    assert (found.message, found.cut) == (text.message, text.cut)


LINES = st.sampled_from(MIXED).flatmap(
    lambda entry: st.sampled_from(LAYOUTS).map(lambda layout: printed(entry, layout[0], set(layout[1].split())))
)


NOISE = st.binary(max_size=40) | st.sampled_from(
    [b"\r\n", b"\n", b"--------- beginning of main\n", b"--------- switch to crash\n", b"unexpected EOF!\n", b"\x1b[0m",
     codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"x" * (MAX_LINE + 9), b" " * 500,
     printed(Written(b"{" * 3000 + b"\n  " + b"y" * 500), "threadtime", set()),
     b"03-03 10:00:00.318 1 2 I Long    : " + b"y" * MAX_LINE]
)  # fmt: skip


CUTS = st.lists(st.integers(0, 2000) | st.integers(0, 200_000), max_size=12)


@given(
    st.lists(LINES | NOISE, max_size=8).map(b"".join),
    CUTS,
    st.sampled_from(FORMS) | st.none(),
    st.booleans(),
    st.sampled_from([None, WANTED]),
)
def test_text_in_any_chunking(
    data: bytes, cuts: list[int], form: Format | None, plain: bool, keep: Wanted | None
) -> None:
    if keep is not None:  # a line that long is passed over by its beginning or by all of it
        data = b"\n".join(line for line in data.split(b"\n") if len(line) <= MAX_LINE)

    def read(chunks: list[bytes]) -> tuple[Facts, int, int, int]:
        reader = TextReader(stamp, form, printable=plain, wanted=keep)
        return read_all(reader, chunks), reader.unread, reader.entries, reader.passed

    whole = read([data])
    assert read(pieces(data, cuts)) == whole
    assert all(isinstance(fact, LogEntry | Gap) for fact in whole[0])
    detect(data)
    printable(data)


HOSTILE = [
    b"I/" + b"(" * 60_000, b"03-03 10:00:00.318 I/" + b"(:" * 30_000, b"[ 03-03 10:00:00.318 1:1 I/" + b" " * 60_000,
    b"03-03 10:00:00.318 1-1 a" + b" " * 60_000 + b"x", b"I(1) " + b"  (" * 20_000, b"\\" * 60_000,
    b" " * 60_000, b"I/" + b": " * 30_000, b"-" * 60_000, b"\x1b[" * 30_000, b"03-03 10:00:00.318 " + b"1 " * 30_000,
]  # fmt: skip


@pytest.mark.timeout(30)
@pytest.mark.parametrize("line", HOSTILE, ids=lambda line: repr(line[-30:]))
def test_lines_made_to_keep_a_reader_busy(line: bytes) -> None:
    detect(line)
    printable(line)
    for form in FORMS:
        read_all(TextReader(stamp, form), [line + b"\n"])
    read_all(BinaryReader(stamp), [line])


@shared
@pytest.mark.parametrize(
    "file",
    [file for file in sorted(FORMATS.glob("*.txt")) if file.stem.startswith(("threadtime", "time", "long"))],
    ids=lambda file: file.stem,
)
def test_formats_that_liblog_printed(file: Path) -> None:
    verb, *rest = file.stem.split("-")
    words, data = set(rest), file.read_bytes()
    assert detect(data) == form_of(verb, words)
    assert printable(data) == ("printable" in words)
    truth = [json.loads(line) for line in (FORMATS / "entries.jsonl").read_text("utf-8").split("\n") if line]
    binary = read_all(BinaryReader(stamp), [(FORMATS / "logcat.bin").read_bytes()])
    texts = [bytes.fromhex(entry["message_hex"]) for entry in truth]
    for fact, entry, text in zip(binary, truth, texts, strict=True):
        assert isinstance(fact, LogEntry)
        assert (fact.time_ns, fact.pid, fact.tid, fact.uid, fact.level, fact.tag, fact.cut) == tuple(
            entry[name] for name in ("ns", "pid", "tid", "uid", "priority", "tag", "truncated")
        )
        assert text.startswith(fact.message.encode()) if fact.cut else fact.message == text.decode("utf-8", "replace")
    found = text_of(data, printable="printable" in words)
    zone = 0 if words & {"zone", "epoch"} else 19_800  # printed in India
    unit = 1 if "nsec" in words else 1000 if "usec" in words else 1_000_000
    lines: list[tuple[object, ...]] = []
    for fact in binary:
        assert isinstance(fact, LogEntry)
        spoken = fact.message if verb == "long" else fact.message.removesuffix("\n")
        ns = fact.time_ns // unit * unit + zone * SECOND
        one = (ns, fact.pid, fact.level, fact.tag)
        # Two entries of one thread in one millisecond have one prefix.
        if lines and lines[-1][:4] == one and verb != "long":
            lines[-1] = (*one, f"{lines[-1][4]}\n{spoken}", False)
        else:
            lines.append((*one, spoken, fact.cut))
    told = [(entry.time_ns, entry.pid, entry.level, entry.tag, entry.message, entry.cut) for entry in found]
    assert told == lines
