"""A log as a busy phone writes it, seeded: the same entries as `logcat -B` and as threadtime text.

Each entry is one line. Mostly other processes of the system, some lines of the app's console, among them Segment
events in the recommended form and the SDK's own lines.
"""

from __future__ import annotations

import json
import random
import struct
import uuid
from dataclasses import dataclass
from pathlib import Path
from time import gmtime, strftime

START_S = 1_772_527_272
SHARE_OF_CONSOLE = 0.03
SHARE_OF_EVENTS = 0.4
CONSOLE = "ReactNativeJS"
APP = (14822, 14871, 10231)
HEADER = struct.Struct("<HHiIIIII")
LETTERS = " .VDIWEF"

# Tag, process, uid, texts: in the manner of a phone in use.
OTHERS = (
    ("SurfaceFlinger", 612, 1000, "Duplicate layer name: com.harborcoffee.app/MainActivity#{n}"),
    ("Choreographer", 14822, 10231, "Skipped {n} frames!  The app may be doing too much work on its main thread."),
    ("ActivityTaskManager", 1544, 1000, "START u0 {{act=android.intent.action.MAIN flg=0x{n:x}}} from uid 10231"),
    ("wpa_supplicant", 1320, 1010, "wlan0: CTRL-EVENT-SIGNAL-CHANGE above=1 signal=-{n} noise=9999 txrate=433300"),
    ("audio_hw_primary", 845, 1041, "out_set_parameters: enter: usecase(1: low-latency-playback) kvpairs: routing={n}"),
    ("gralloc4", 14822, 10231, "register: id={n:x} fmt=0x1 usage=0xb00 stride=1088"),
    ("SensorService", 1544, 1000, "batch handle={n} period=66667000 latency=0 flags=0"),
    ("BufferQueueProducer", 612, 1000, "[SurfaceView#{n}](id:26400000002) queueBuffer: fps=59.98 dur=1000.22"),
    ("OpenGLRenderer", 14822, 10231, "Davey! duration={n}ms; Flags=1, FrameTimelineVsyncId=183741, IntendedVsync=0"),
    ("NetworkStats", 1544, 1000, "poll() took {n}ms"),
    ("ReactNative", 14822, 10231, "[GESTURE HANDLER] Initialize gesture handler for root view {n}"),
    ("chromium", 29011, 10102, '[INFO:CONSOLE({n})] "{{ type: \'track\', event: \'web\' }}", source: https://example.com/a.js'),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Truth:
    """What a reader must find: entries, those of the console with the characters of their texts, whole events."""

    entries: int
    tagged: int
    characters: int
    events: int


def write(binary: Path, text: Path, count: int, seed: int = 7) -> Truth:
    """Write both files with `count` entries each."""
    dice = random.Random(seed)  # noqa: S311
    tagged = characters = events = 0
    at_us = 0
    second = -1
    prefix = b""
    with binary.open("wb", 1 << 20) as raw, text.open("wb", 1 << 20) as lines:
        for _ in range(count):
            at_us += dice.randrange(2_000)
            if dice.random() < SHARE_OF_CONSOLE:
                tag, (pid, tid, uid), prio = CONSOLE, APP, 4
                if dice.random() < SHARE_OF_EVENTS:
                    message = event(dice, at_us)
                    events += 1
                else:
                    message = f"cart: {dice.randrange(99)} items, total {dice.random() * 100:.2f}"
                tagged += 1
                characters += len(message)
            else:
                tag, pid, uid, form = dice.choice(OTHERS)
                tid, prio = pid + dice.randrange(40), dice.randrange(2, 7)
                message = form.format(n=dice.randrange(1, 5000))
            payload = bytes([prio]) + f"{tag}\0{message}\0".encode()
            seconds, fraction = divmod(at_us, 1_000_000)
            raw.write(HEADER.pack(len(payload), 28, pid, tid, START_S + seconds, fraction * 1000, 0, uid) + payload)
            if seconds != second:
                second, prefix = seconds, strftime("%m-%d %H:%M:%S", gmtime(START_S + seconds)).encode()
            line = f".{fraction // 1000:03d} {pid:5d} {tid:5d} {LETTERS[prio]} {tag:8}: {message}\n"
            lines.write(prefix + line.encode())
    return Truth(count, tagged, characters, events)


def event(dice: random.Random, at_us: int) -> str:
    """One event in the recommended form, one part."""
    message_id = str(uuid.UUID(int=dice.getrandbits(128), version=4))
    body = {
        "type": "track",
        "event": dice.choice(("Product Viewed", "Product Added", "Checkout Started")),
        "properties": {"id": f"sku-{dice.randrange(900)}", "price": round(dice.random() * 80, 2), "tags": ["a", "b"]},
        "messageId": message_id,
        "timestamp": "2026-03-03T09:41:12.319Z",
        "integrations": {"Actions Amplitude": {"session_id": START_S * 1000 + at_us // 300_000_000}},
        "anonymousId": "6784b214-1f24-447f-a21e-f0acc4c49ee4",
        "context": {
            "app": {"build": "51200", "name": "Harbor", "namespace": "com.harborcoffee.app", "version": "5.12.0"},
            "device": {"id": "c0ffee51a7d2438f9b6e0d1f2a3b4c5d", "manufacturer": "Google", "model": "Pixel 7"},
            "library": {"name": "analytics-react-native", "version": "2.24.1"},
            "locale": "en-GB",
            "network": {"cellular": False, "wifi": True},
            "os": {"name": "Android", "version": "14"},
            "screen": {"width": 1080, "height": 2177, "density": 2.625},
            "timezone": "Europe/Berlin",
            "traits": {},
        },
    }
    return f"SegmentReplay/1 {message_id} 1/1 {json.dumps(body, separators=(',', ':'))}"
