"""The log of an emulated app, as bytes and as what the doctor finds in it."""

from __future__ import annotations

import struct

from agent.analytics.doctor import Doctor
from agent.analytics.sniffer import Sniffer
from agent.model import Finding
from bridge.emulated.clock import DeviceClock
from bridge.emulated.logd import BUFFERS, Record
from bridge.emulated.world import World
from bridge.logbinary import BinaryReader
from bridge.types import Gap, LogEntry, Size, Stamp

PACKAGE, UID = "com.northbay.shop", 10231

# What an app that does this one thing wrong shows from its start to a product: a cause may
# have a consequence.
EXACT: dict[str, dict[str, int]] = {
    "instrumented": {},
    "negative-session-id": {"negative-session-id": 1},
    "no-session-plugin": {"no-session-plugin": 1, "negative-session-id": 7},
    "plugin-order": {"plugin-order": 8},
    "duplicate-session-start": {"duplicate-session-start": 1},
    # Only track and screen have properties: the identify falls back to -1.
    "session-id-in-properties": {
        "session-id-in-properties": 6,
        "no-session-plugin": 1,
        "negative-session-id": 1,
    },
    "session-id-malformed": {"session-id-malformed": 8},
    "session-id-under-other-key": {"session-id-under-other-key": 7, "negative-session-id": 7},
    "event-before-session": {"event-before-session": 1},
    "device-id-fallback": {"device-id-fallback": 8},
    "random-device-id": {"random-device-id": 8},
    "device-id-unusable": {"device-id-unusable": 8},
    "destination-off": {"destination-off": 1, "negative-session-id": 7},
    "logger-silenced": {"logger-silenced": 1},
    "raw-events-only": {"raw-events-only": 8},
    "event-cut": {"event-cut": 3},
    "event-abridged": {"event-abridged": 3},
    "event-unreadable": {"event-unreadable": 1},
    "lines-folded": {"lines-folded": 1},
    "log-overrun": {"log-overrun": 1},
    "several-apps": {"several-apps": 8},
    "api-key-logged": {"api-key-logged": 1},
    "key-mismatch": {"key-mismatch": 1, "api-key-logged": 2},
    "plugin-failed": {"plugin-failed": 1},
    "events-dropped": {"events-dropped": 1},
    "proxy-refused": {"proxy-refused": 1},
}
# Each by the description of the fixture in its index.
OF_FIXTURES: dict[str, dict[str, int]] = {
    # ">200 values, >4 KB": two events with placeholders, three cut; two lifecycle events waited for the settings.
    "after_plugin_inspect": {"event-abridged": 2, "event-cut": 3, "event-before-session": 2},
    # "some events are longer than a log entry": seven.
    "after_plugin_json_long": {"event-cut": 7, "event-before-session": 2},
    # "a second React Native app logs under the same tag"; its ten events are not ours. What is folded is no event.
    "chunked_two_apps_android10": {"several-apps": 10, "event-before-session": 2},
    # "debug: true and nothing else": all 25 events are the SDK's own lines.
    "cold_start_default_logger": {"raw-events-only": 25},
    # "doubled session_start" where two events met the rollover; two resets and the first start stamp events late.
    "identify_reset_json": {"duplicate-session-start": 1, "event-before-session": 4},
    # "no session plugin and collectDeviceId off, session id only as properties.session_id (number, numeric string,
    # empty string, null, text) or absent"; one event is cut.
    "no_session_plugin_property_ids": {
        "no-session-plugin": 1,
        "negative-session-id": 5,
        "session-id-malformed": 3,
        "session-id-in-properties": 7,
        "device-id-fallback": 11,
        "event-cut": 1,
    },
    # "settings fetch fails, the session plugin stays inactive for the whole process"; "a throwing plugin".
    "offline_errors_and_retries": {
        "destination-off": 1,
        "negative-session-id": 4,
        "plugin-failed": 1,
        "event-before-session": 1,
    },
    # "the README Logger (before plugin)": all 21 events.
    "session_rollover_readme_logger": {"plugin-order": 21},
}


def log_of(scenario: str, seconds: float = 10.0) -> bytes:
    """What `logcat -B` streams of so many seconds of a scenario."""
    host_ns = 1_000_000_000
    records: list[Record] = []
    world = World(DeviceClock(host=lambda: host_ns), Size(540, 1200), 210, scenario, log=records.append)
    for _ in range(round(seconds * 50)):
        host_ns += 20_000_000
        world.tick()
    return b"".join(map(_binary, records))


def diagnosed(data: bytes, package: str | None = PACKAGE, uid: int | None = UID, api_key: str = "") -> list[Finding]:
    """The findings of a binary log; of all its apps when `package` and `uid` are None."""
    doctor, sniffer = Doctor(package, api_key), Sniffer(uid)
    reader = BinaryReader(lambda time_ns: Stamp(time_ns, time_ns // 1_000_000))
    for item in [*reader.feed(data), *reader.flush()]:
        examine(doctor, sniffer, item, uid)
    for found in sniffer.flush():
        doctor.judge(found)
    doctor.conclude()
    return list(doctor.findings)


def examine(doctor: Doctor, sniffer: Sniffer, item: LogEntry | Gap, uid: int | None) -> None:
    if isinstance(item, Gap):
        doctor.hear(item)
        return
    doctor.hear(item, mine=uid is None or item.uid == uid)
    for found in sniffer.feed(item):
        doctor.judge(found)


def _binary(record: Record) -> bytes:
    seconds, fraction = divmod(record.time_ns, 1_000_000_000)
    payload = record.payload
    head = struct.pack(
        "<HHiIIIII", len(payload), 28, record.pid, record.tid, seconds, fraction, BUFFERS[record.buffer], record.uid
    )
    return head + payload
