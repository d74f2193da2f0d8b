"""The log of an emulated app, as bytes and as what the doctor finds in it."""

from __future__ import annotations

import struct

from agent.analytics.doctor import Doctor
from agent.analytics.sniffer import Sniffer
from agent.model import Finding
from bridge.emulated.clock import DeviceClock
from bridge.emulated.logd import BUFFERS, Record
from bridge.emulated.world import World
from bridge.logcat import BinaryReader
from bridge.types import Gap, LogEntry, Size, Stamp

PACKAGE, UID = "com.northbay.shop", 10231


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
