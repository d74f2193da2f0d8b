"""Faults of the table that `test_attach_faults` has not, once each: the recording goes on, each outage has its gap,
nothing hangs and nothing is left over. How long it takes `scripts/faults` measures, ten times each, on a quiet machine.
"""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

from fakes.outages import ROWS, Recorder, Session, Step, faults_of, run
from fakes.wait import until

from bridge.emulated.lab import Lab
from bridge.uia import JAR

NAMES = {row.name: row for row in ROWS}
SECONDS = 1.5
PHONES = (
    ("offline", "hung dump", "UiAutomation not connected"),
    ("plugged in unauthorized, then accepted", "slow shell", "view tree too deep"),
    ("hung stream", "acknowledgements stop", "disk full", "empty hierarchy"),
    ("service refused", "test runner at work", "screen off", "read-only /data", "clock drifts"),
)


def once(*names: str) -> list[Step]:
    return [(0.0, NAMES[name], min(SECONDS, NAMES[name].seconds[1])) for name in names]


def wrong(session: Session) -> list[str]:
    found = [f"{outage.row.name}: {each}" for outage in session.outages for each in faults_of(outage, timed=False)]
    return found + session.broken


def test_each_outage_has_its_gap_and_the_recording_goes_on(tmp_path: Path) -> None:
    # Pictures are asked for one by one, which more faults meet than a video.
    assert not any(NAMES[name].video for name in ("hung stream", "slow shell", "screen off"))
    session = run([once(*names) for names in PHONES], tmp_path, video=False)
    assert wrong(session) == []
    assert len(session.outages) == sum(map(len, PHONES))


def test_another_adb_takes_the_port_and_gives_it_back(tmp_path: Path) -> None:
    session = run([once("adb server of another version", "adb server killed")], tmp_path)
    assert wrong(session) == []


def test_a_phone_is_left_as_it_was_found_also_by_a_run_that_was_killed(tmp_path: Path) -> None:
    with Lab(scenario="scroll") as lab:
        phone = lab.phones[0]
        found = _state(lab)
        first = Recorder(lab, tmp_path, "--relay", video=True)
        try:
            until(lambda: first.taken(lab.serials[0])[1] > 2 and lab.call(lambda: phone.reverses), "a recording", 90)
            assert JAR in _state(lab)["files"]
            first.process.send_signal(signal.SIGKILL)
            first.process.wait()
        finally:
            first.close()
        # Whether a recording ends with who reads it depends on the phone.
        command = next(what for kind, what in _noted(tmp_path)[lab.serials[0]] if kind == "process")
        left = lab.call(lambda: phone.spawn("screenrecord", _forever(), command))
        assert lab.call(lambda: phone.reverses)
        assert JAR in _state(lab)["files"]
        second = Recorder(lab, tmp_path, video=False)
        try:
            until(lambda: second.taken(lab.serials[0])[1] > 2, "another recording", 90)
            assert lab.call(lambda: left.killed)
            assert lab.call(lambda: not phone.reverses)
            second.end()
        finally:
            second.close()
        lab.call(lambda: phone.reap(left))
        assert _state(lab) == found
        assert _noted(tmp_path) == {}


def _state(lab: Lab) -> dict[str, Any]:
    """What of a phone a recorder might change."""
    phone = lab.phones[0]

    def read() -> dict[str, Any]:
        return {
            "files": sorted(f"/data/local/tmp/{name}" for name, _ in phone.files.listdir("/data/local/tmp")),
            "settings": dict(phone.settings),
            "reverses": dict(phone.reverses),
            "ports": sorted(phone.ports),
            "encoders": phone.encoders,
        }

    return lab.call(read)


def _noted(folder: Path) -> dict[str, list[list[str]]]:
    notes = list((folder / "spool" / "devices").glob("*.json"))
    return json.loads(notes[0].read_bytes()) if notes else {}


async def _endless() -> int:
    await asyncio.Event().wait()
    return 0


def _forever() -> asyncio.Future[int]:
    return asyncio.ensure_future(_endless())
