from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.logcat import (
    MAX_LINE,
    MAX_PAYLOAD,
    MAX_TEXT,
    BinaryReader,
    TextReader,
    Wanted,
    detect,
    printable,
    unescape,
)
from bridge.types import Gap, LogEntry, Stamp

SHARED = Path(__file__).parents[4] / "shared" / "fixtures"
FORMATS = SHARED / "segment_logs" / "formats"
AOSP = SHARED / "logcat" / "aosp11-formats"
WANTED = Wanted(("ReactNativeJS", "chatty"), ("SegmentReplay/",))
NS = 1_772_532_000_318_000_000
shared = pytest.mark.skipif(not FORMATS.is_dir(), reason="the shared fixtures are not here")


def stamp(time_ns: int) -> Stamp:
    return Stamp(time_ns, time_ns // 1_000_000)


def packed(
    tag: str = "ReactNativeJS", text: bytes = b"hello", *, ns: int = NS, pid: int = 14822, lid: int = 0, size: int = 28
) -> bytes:
    payload = (b"\x04" + tag.encode() + b"\0" + text + b"\0")[:MAX_PAYLOAD]
    words = (len(payload), size, pid, 14871, ns // 10**9, ns % 10**9, lid, 10231)
    return struct.pack("<HHiIIIII", *words)[: size or 20].ljust(size, b"\0") + payload


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


# Binary.


def test_a_binary_entry() -> None:
    reader = BinaryReader(stamp)
    (entry,) = read(reader, packed(text="café\n🚀".encode()))
    assert entry == LogEntry(
        stamp(NS), NS, 14822, 14871, 10231, "I", "ReactNativeJS", "café\n🚀", "main", False
    )  # fmt: skip
    assert reader.entries == 1


@pytest.mark.parametrize(("size", "uid"), [(28, 10231), (32, 10231), (24, None), (20, None), (0, None)])
def test_older_and_newer_headers(size: int, uid: int | None) -> None:
    data = packed(size=size) + packed(text=b"again", size=size)
    found = entries(read(BinaryReader(stamp, WANTED), data))
    assert [(entry.message, entry.uid) for entry in found] == [("hello", uid), ("again", uid)]


def test_a_cut_entry_shows_4052_bytes() -> None:
    # The cut falls inside a character: 4,053 bytes fit, the reader loses one more, and that one is half.
    (entry,) = entries(read(BinaryReader(stamp), packed(text=b"x" * 4051 + "é".encode() * 10)))
    assert entry.cut
    assert entry.message == "x" * 4051 + "\ufffd"


def test_only_what_is_wanted_comes_and_all_is_counted() -> None:
    data = b"".join(
        [
            packed("Other", b"no"),
            packed(text=b"yes"),
            packed("MyTag", b"SegmentReplay/1 a 1/1 {}"),
            packed("chatty", b"c"),
        ]
    )
    reader = BinaryReader(stamp, WANTED)
    found = entries(read(reader, data * 50))
    assert [(entry.tag, entry.message) for entry in found[:3]] == [
        ("ReactNativeJS", "yes"),
        ("MyTag", "SegmentReplay/1 a 1/1 {}"),
        ("chatty", "c"),
    ]
    assert (len(found), reader.entries) == (150, 200)


def test_an_entry_inside_an_entry_is_text() -> None:
    """The event log's values are any bytes, those of an entry of the app among them."""
    data = packed(text=b"one") + packed("values", packed(text=b"forged"), lid=2) + packed(text=b"two")
    found = entries(read(BinaryReader(stamp, WANTED), data * 30))
    assert [entry.message for entry in found] == ["one", "two"] * 30


PACKED = st.builds(
    packed,
    st.sampled_from(["ReactNativeJS", "Other", "chatty", "React", "a: b", "ReactNativeJSX"]),
    # Bytes that look like a header are among them.
    st.binary(max_size=60).map(lambda text: text.replace(b"\0", b"\x1c")) | st.just(b"SegmentReplay/1 m 1/1 {}"),
    ns=st.integers(0, 2**32 * 10**9 - 1),
    pid=st.sampled_from([0, 28, 14822]),
    size=st.sampled_from([28, 28, 28, 32, 24, 20]),
)


@given(st.lists(PACKED, max_size=20), st.lists(st.integers(1, 200), max_size=20))
def test_chunks_and_wishes_change_nothing(data: list[bytes], sizes: list[int]) -> None:
    whole = b"".join(data)
    everything = entries(read(BinaryReader(stamp), whole))
    assert len(everything) == len(data)
    assert read(BinaryReader(stamp), whole, sizes) == everything
    reader = BinaryReader(stamp, WANTED)
    wanted = [e for e in everything if e.tag in WANTED.tags or e.message.startswith(WANTED.openings)]
    assert read(reader, whole, sizes) == wanted
    assert reader.entries == len(data)


@given(st.binary(max_size=300), st.lists(st.integers(1, 100), max_size=8), st.booleans())
def test_any_bytes_are_entries_or_gaps(data: bytes, sizes: list[int], wishes: bool) -> None:
    for item in read(BinaryReader(stamp, WANTED if wishes else None), data, sizes):
        assert isinstance(item, LogEntry | Gap)


@given(st.binary(min_size=1, max_size=200))
def test_after_garbage_the_entries_come_again(garbage: bytes) -> None:
    tail = b"".join(packed(text=f"after {n}".encode()) for n in range(90))
    found = entries(read(BinaryReader(stamp, WANTED), packed(text=b"before") + garbage + tail))
    assert found[0].message == "before"
    # Garbage may look like the header of an entry of at most 5 KiB; what comes after that is read.
    assert found[-1].message == "after 89"


def test_binary_memory_is_bounded() -> None:
    reader = BinaryReader(stamp, WANTED)
    for _ in range(200):
        reader.feed(b"\xff" * 65536)
    assert len(reader._buffer) < 6000
    (gap,) = reader.flush()
    assert isinstance(gap, Gap)
    assert gap.detail == f"{200 * 65536} bytes"


# Text.


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
