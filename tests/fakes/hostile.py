"""Log entries that nobody means well with, for tests of bounds and for fuzzing."""

from __future__ import annotations

from hypothesis import strategies as st

from bridge.types import LogEntry, Stamp

TAG = "ReactNativeJS"


def entry(
    message: str, *, pid: int = 4242, tag: str = TAG, ns: int = 0, uid: int | None = 10_123, cut: bool = False
) -> LogEntry:
    """One entry of the app's console."""
    return LogEntry(Stamp(ns, ns // 1_000_000), ns, pid, pid + 8, uid, "I", tag, message, "main", cut)


# Each is as large as a reader lets one entry become.
SIZE = 65_536
BOMBS = {
    "json depth": '[x] {"type":"track","messageId":"m","properties":' + '{"a":' * 20_000 + "1" + "}" * 20_000 + "}",
    "json array depth": '[x] {"type":"track","messageId":"m","properties":' + "[" * 30_000 + "]" * 30_000 + "}",
    "json open": '{"type":"track","messageId":"m","p":' + "[" * 60_000,
    "json width": '{"type":"track","messageId":"m","p":{' + ",".join(f'"k{i}":{i}' for i in range(6_000)) + "}}",
    "json numbers": '{"type":"track","messageId":"m","properties":{"a":1e999,"b":-1e999,"c":' + "9" * 20_000 + "}}",
    "json same keys": '{"type":"track","messageId":"m",' + '"a":1,' * 9_000 + '"a":2}',
    "json escapes": '{"type":"track","messageId":"' + "\\u" * 20_000,
    "json objects": '{"type":"track"} ' * 4_000,
    "json lines": '{"type": "track",\n' * 3_000,
    "json in text": "'label', '" + '{"type":"track","messageId":"m","a":[' * 1_500 + "'",
    "inspect depth": "'l', { type: 'track', messageId: 'm', p: " + "{ a: " * 8_000 + "1" + " }" * 8_000 + " }",
    "inspect numbers": "{ type: 'track', messageId: 'm', a: 1e999, b: " + "9" * 20_000 + ", c: -0 }",
    "inspect lines": "{ type: 'track',\n" * 3_500,
    "inspect arguments": "'a', " * 10_000 + "{ type: 'track', messageId: 'm' }",
    "inspect errors": "{ type: 'track', messageId: 'm', e: [Error: " + "] " * 30_000,
    "inspect expressions": "{ type: 'track', messageId: 'm', e: /" + "[a" * 20_000 + " }",
    "inspect space": "{ type: 'track', messageId: 'm'," + "\n  " * 20_000 + "x",
    "quotes": "{ type: '" + "\\'" * 30_000,
    "groups": "│ " * 20_000 + "type: '",
    "saved": "'TRACK (" + ") (" * 20_000 + " event saved', { type: 'track', event: 'x', properties: {} }",
    "long id": '{"type":"track","messageId":"' + "m" * 60_000 + '"}',
}
TEXTS = {name: text[:SIZE] for name, text in BOMBS.items()}

_PIECES = st.sampled_from(
    [
        "SegmentReplay/1 ", "SegmentReplay/2 ", "m-1 ", "1/1 ", "1/2 ", "2/2 ", "0/0 ", "'TRACK event saved', ",
        "'TRACK event payload', ", "[AmplitudeSession] startNewSession -> ", "[AmplitudeSession] endSession -> ",
        "1772527272315", "-1", "1e999", "Client has been reset", "{ ", " }", "{", "}", "[ ", " ]", "[", "]", ", ", ",",
        "type: 'track'", '"type":"track"', "messageId: 'm-1'", '"messageId":"m-1"', "event: 'session_start'",
        '"event":"Opened"', "properties: ", '"properties":', "integrations: { 'Actions Amplitude': { session_id: 1 } }",
        '"integrations":{"Actions Amplitude":{"session_id":1}}', "context: { device: { id: undefined } }",
        "[Object]", "[Circular]", "[TOO BIG formatValueCalls 201 exceeded limit of 200]", "[Function: f]", "[Error: x]",
        "Tue Mar 03 2026 11:00:00 GMT+0100", "NaN", "null", "true", "/a+/g", "'", '"', "\\", "\\'", "\\u", "\\ud83d",
        "\n", "\n  ", "│ ", "\u2028", "\x00", "🚀", "é", " ", ":", "a", "0",
    ]
)  # fmt: skip
MESSAGES = st.lists(_PIECES | st.text(max_size=4), max_size=40).map("".join)
ENTRIES = st.builds(
    entry,
    MESSAGES,
    pid=st.sampled_from([1, 2]),
    tag=st.sampled_from([TAG, TAG, TAG, "chatty", "ActivityManager", "", "Other"]),
    ns=st.integers(0, 20).map(lambda step: step * 300_000_000),
    uid=st.sampled_from([None, 10_123]),
    cut=st.booleans(),
)
