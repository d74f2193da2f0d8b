"""The fault table of the device notes: each fault put into a running recording, and what that says beside the truth.

A recorder runs as a program of its own, as a user has it; the phones are here. A fault begins at a random moment, lasts
for some seconds, and ends; the truth of an outage is from its beginning until adb lists the phone again, or, where adb
never lost it, until the fault's end.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fakes.wait import until

from agent.outbox.journal import SUFFIX
from agent.runtime.control import ask
from agent.store.recording import Recording
from bridge.emulated.lab import Lab
from bridge.errors import AdbServerError, BridgeError

SHOP = "com.northbay.shop"
READY_SECONDS = 120.0
LISTED_SECONDS = 20.0
# What takes longer than this has hung.
HANG_SECONDS = 25.0
END_SECONDS = 25.0
POLL_SECONDS = 0.02
# Between two faults, so that a recording is at rest when the next one comes.
REST_SECONDS = 2.0
LIMIT_SECONDS, SERVER_LIMIT_SECONDS = 2.0, 5.0
GAP_LIMIT_SECONDS = 0.5

# In the names of files that come and go.
_NUMBER = re.compile(r"[0-9a-f]{32}")
Step = tuple[float, "Row", float]
"""How many seconds are waited, which fault comes then, how many seconds it lasts."""
Kind = Literal["device", "server", "pictures", "tree", "asleep", "partly", "goes on"]
"""What a fault does: takes the phone away, or the adb server; leaves pictures or view trees missing for as long as it
lasts; stops everything without a word; is met late or got round in another way; leaves the recording going on."""
STAGES: Mapping[Kind, frozenset[str]] = {
    "device": frozenset(("device",)),
    "server": frozenset(("device",)),
    "pictures": frozenset(("screen", "device")),
    "tree": frozenset(("hierarchy", "device")),
    "asleep": frozenset(("device", "screen", "hierarchy", "context")),
    "partly": frozenset(("screen", "hierarchy", "device")),
    "goes on": frozenset(),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A fault of the table: `faults` begin together and end in turn. `seconds` = how long it may last."""

    name: str
    faults: tuple[str, ...]
    kind: Kind
    seconds: tuple[float, float] = (1.0, 4.0)
    video: bool = True


ROWS: tuple[Row, ...] = (
    Row("unplug", ("unplug",), "device"),
    Row("flaky link", ("flaky",), "device", (0.0, 0.0)),
    Row("offline", ("offline",), "device", (1.0, 3.0)),
    Row("plugged in unauthorized, then accepted", ("unplug", "unauthorized"), "device"),
    Row("key revoked, then accepted", ("unauthorized",), "device"),
    Row("slow shell", ("slow-shell=20",), "pictures", (2.0, 4.0), video=False),
    Row("hung stream", ("hang=exec:",), "pictures", (2.0, 4.0), video=False),
    Row("hung dump", ("hang=tcp:9008",), "tree", (2.0, 4.0)),
    Row("acknowledgements stop", ("stop-acks",), "goes on", (2.0, 4.0)),
    Row("truncated picture", ("screencap=truncated", "u2-screenshot=null"), "pictures", video=False),
    Row("empty picture", ("screencap=empty", "u2-screenshot=null"), "pictures", video=False),
    Row("picture of another size", ("screencap=wrong-size", "u2-screenshot=null"), "pictures", video=False),
    Row("garbage before the picture", ("screencap=garbage",), "goes on", video=False),
    Row("black picture", ("screencap=black", "u2-screenshot=black"), "pictures", video=False),
    Row("video dies", ("video=dies",), "partly"),
    Row("video with lost packets", ("video=lost",), "partly"),
    Row("video with cut packets", ("video=cut",), "partly"),
    Row("video refused", ("video=refused", "video=dies"), "partly"),
    Row("service refused", ("refuse=exec:",), "partly"),
    Row("pictures refused", ("refuse=exec:screencap", "u2-screenshot=null"), "pictures", video=False),
    Row("uiautomator2 server dies", ("u2-dies",), "partly", (0.0, 0.0)),
    Row("uiautomator2 stalls", ("u2-stall=20",), "tree", (2.0, 4.0)),
    Row("UiAutomation taken", ("u2-taken", "u2-dies"), "tree"),
    Row("test runner at work", ("test-runner",), "tree"),
    Row("empty hierarchy", ("u2-dump=empty",), "tree"),
    Row("view tree too deep", ("u2-dump=stack-overflow",), "tree"),
    Row("UiAutomation dead", ("u2-dump=dead-object",), "tree"),
    Row("UiAutomation not connected", ("u2-dump=not-connected",), "tree"),
    Row("screen off", ("screen-off",), "pictures", video=False),
    Row("reboot", ("reboot",), "device", (2.0, 4.0)),
    Row("adb server killed", ("server-killed",), "server", (0.0, 0.0)),
    Row("adb server of another version", ("foreign-adb",), "server", (1.0, 3.0)),
    Row("log storm", ("log-storm=50000",), "goes on", (1.0, 2.0)),
    Row("clock set", ("clock-step=3600",), "goes on"),
    Row("clock drifts", ("clock-drift=5000",), "goes on"),
    Row("suspend", ("suspend",), "asleep", (2.0, 5.0)),
    Row("disk full", ("disk-full",), "goes on"),
    Row("read-only /data", ("read-only",), "goes on"),
)


@dataclass(slots=True)
class Outage:
    """One injection. Wall clock in ms; 0 = never."""

    row: Row
    serial: str
    began_ms: int
    ended_ms: int = 0
    returned_ms: int = 0
    met: bool = True
    """Whether fewer pictures came while it lasted: a way of taking them that has failed before is not in use."""
    back_ms: int = 0
    """When a picture came with its view tree."""
    shown_ms: int = 0
    """When one came that is not covered whole: after an outage masking waits until the screen has settled."""
    gaps: list[dict[str, Any]] = field(default_factory=list)

    @property
    def truth_seconds(self) -> float:
        return (self.returned_ms - self.began_ms) / 1000

    @property
    def back_seconds(self) -> float | None:
        """From the return to `back_ms`; None when that never came."""
        return self._since_return(self.back_ms)

    @property
    def shown_seconds(self) -> float | None:
        """From the return to `shown_ms`; None when that never came."""
        return self._since_return(self.shown_ms)

    def _since_return(self, at_ms: int) -> float | None:
        since = self.began_ms if self.row.faults == ("server-killed",) else self.returned_ms
        return max(0, at_ms - since) / 1000 if at_ms else None

    @property
    def gap_seconds(self) -> float:
        """How long the recording says that it was away."""
        if not self.gaps:
            return 0.0
        return (max(gap["to_ms"] for gap in self.gaps) - min(gap["from_ms"] for gap in self.gaps)) / 1000

    @property
    def exact(self) -> bool:
        """Whether the gap must be as long as the truth, not only name a cause."""
        return self.row.kind in ("device", "server", "pictures", "tree")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Recorder:
    """A running `attach` of all phones of a lab."""

    def __init__(self, lab: Lab, folder: Path, *more: str, video: bool, every: bool = True) -> None:
        self.spool = folder / "spool"
        self.replays = folder / "replays"
        self._folder = folder
        environment = {
            **os.environ,
            **lab.environment,
            "ADB_USB": "0",
            "ADB_LIBUSB": "0",
            "ADB_LOCAL_TRANSPORT_MAX_PORT": "5553",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "ANDROID_REPLAY_SPOOL": str(self.spool),
            "ANDROID_REPLAY_CAPTURE__VIDEO": str(video).lower(),
        }
        which = ["--all"] if every else [word for serial in lab.serials for word in ("-s", f"tcp:{serial}")]
        command = ["attach", "--app", SHOP, "--sink", f"dir:{self.replays}", "--json", *which, *more]
        self._words = (folder / "words").open("w+b")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "agent.cli", *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._words,
            cwd=folder,
        )

    def devices(self) -> dict[str, Mapping[str, Any]]:
        """The facts of each device by serial; empty before it is up."""
        for path in self.spool.glob("*/control.sock"):
            answer = ask(path, "status")
            if answer is not None:
                return {device["serial"]: device for device in answer["devices"]}
        return {}

    def taken(self, serial: str) -> tuple[int, int]:
        """How many pictures came together with their view tree, and how many were not covered whole."""
        facts = self.devices().get(serial)
        return (-1, -1) if facts is None else (facts["hierarchies"], facts["frames"] - facts["blocked"])

    def held(self) -> Counter[str]:
        """What it holds, by kind: threads, and descriptors without their numbers. The least of a while."""
        found: Counter[str] | None = None
        for _ in range(15):
            now: Counter[str] = Counter(thread=len(list(Path(f"/proc/{self.process.pid}/task").iterdir())))
            for descriptor in Path(f"/proc/{self.process.pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    now[_NUMBER.sub("*", str(descriptor.readlink()).split(":[")[0])] += 1
            found = now if found is None else found & now
            time.sleep(0.1)
        assert found is not None
        return found

    def end(self) -> tuple[dict[str, Any], float]:
        """Ask for the end; the summary and how long it took. Raises AssertionError when it does not end in order."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        try:
            out, _ = self.process.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the recorder did not end in {END_SECONDS} s:\n{self.words()}") from None
        assert self.process.returncode == 0, f"exit status {self.process.returncode}:\n{self.words()}"
        return json.loads(out), time.monotonic() - began

    def words(self) -> str:
        self._words.seek(0)
        return self._words.read().decode(errors="replace")[-4000:]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._words.close()


@dataclass(slots=True)
class Session:
    """What became of one recording."""

    outages: list[Outage]
    left: dict[str, int]
    """What the recorder held more at its end than at its beginning, by kind."""
    end_seconds: float = 0.0
    broken: list[str] = field(default_factory=list)
    """Other things that are wrong."""


def run(plans: Sequence[Sequence[Step]], folder: Path, seed: int = 1, video: bool = True) -> Session:
    """Record one phone for each plan. A fault of the adb server wants a lab with one phone; without `video` pictures
    are asked for one by one."""
    rows = [row for plan in plans for _, row, _ in plan]
    alone = any(row.kind == "server" for row in rows)
    folder.mkdir(parents=True, exist_ok=True)
    with Lab(len(plans), scenario="scroll", seed=seed) as lab:
        recorder = Recorder(lab, folder, video=video, every=not alone)
        try:
            for serial in lab.serials:
                until(lambda serial=serial: _begun(recorder, serial), f"the recording of {serial}", READY_SECONDS)
            # The first fault of each kind brings up what then stays: threads of a pool, modules.
            outages = _conduct(lab, recorder, [steps[:1] for steps in plans])
            before = recorder.held()
            outages += _conduct(lab, recorder, [steps[1:] for steps in plans])
            # The workers that all devices share are started when they are needed first.
            now = recorder.held()
            left = now - before - Counter(thread=(os.cpu_count() or 2) - 1)
            # Each phone's open segment has a draft, which it may not have had before: no more than that is allowed.
            drafts = {kind: n - len(plans) for kind, n in now.items() if kind.endswith(SUFFIX)}
            left = +Counter({**left, **drafts})
            summary, seconds = recorder.end()
            broken = [gap for gap in lab.gaps if "crash in foreign-adb" not in gap]
            until(lambda: lab.call(lambda: all(_bare(phone) for phone in lab.phones)), "the phones to be left alone")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{recorder.words()}") from None
        finally:
            recorder.close()
            if alone:
                with contextlib.suppress(BridgeError):
                    lab.server.request("host:kill")
    if not summary["drained"]:
        broken.append("not everything reached the folder")
    broken.extend(_judge(recorder.replays, outages))
    return Session(outages, dict(left), seconds, broken)


def plan(row: Row, times: int, seconds: float, seed: int) -> list[Step]:
    """`times` faults at random moments of a session, each in its own slot, so that none meets another."""
    slot, rng = seconds / times, random.Random(seed)
    found, at = [], 0.0
    for number in range(times):
        lasts = rng.uniform(*row.seconds)
        moment = number * slot + rng.uniform(0, max(0.0, slot - lasts - REST_SECONDS - SERVER_LIMIT_SECONDS))
        found.append((max(0.0, moment - at), row, lasts))
        at = max(at, moment) + lasts + REST_SECONDS + LIMIT_SECONDS
    return found


def faults_of(outage: Outage, timed: bool = True) -> list[str]:
    """What of an outage is not as promised; `timed` = also how long it took, which a busy host knows nothing of."""
    found = []
    limit = SERVER_LIMIT_SECONDS if outage.row.kind == "server" else LIMIT_SECONDS
    back = outage.back_seconds
    if back is None or outage.shown_seconds is None:
        found.append("hung")
    elif timed and back > limit:
        found.append(f"back after {back:.2f} s")
    if outage.row.kind != "goes on" and outage.met and not outage.gaps:
        found.append("no gap")
    elif timed and outage.exact and abs(outage.gap_seconds - outage.truth_seconds) > GAP_LIMIT_SECONDS:
        found.append(f"a gap of {outage.gap_seconds:.2f} s for {outage.truth_seconds:.2f} s")
    return found


def _begun(recorder: Recorder, serial: str) -> bool:
    facts = recorder.devices().get(serial)
    assert recorder.process.poll() is None, "the recorder ended"
    return facts is not None and facts["session_id"] is not None and recorder.taken(serial)[1] > 2


def _conduct(lab: Lab, recorder: Recorder, plans: Sequence[Sequence[Step]]) -> list[Outage]:
    """All phones at once, each with its own faults in turn."""

    def one(index: int) -> list[Outage]:
        found = []
        for waits, row, lasts in plans[index]:
            time.sleep(waits)
            found.append(_inject(lab, recorder, index, row, lasts))
            time.sleep(REST_SECONDS)
        return found

    with ThreadPoolExecutor(len(plans)) as pool:
        return [outage for found in pool.map(one, range(len(plans))) for outage in found]


def _inject(lab: Lab, recorder: Recorder, index: int, row: Row, lasts: float) -> Outage:
    serial = lab.serials[index]
    outage = Outage(row, serial, now_ms())
    if row.name == "reboot":
        lab.fault(f"reboot@0:{lasts:.2f}", index)
        time.sleep(0.1)
    elif row.name == "adb server killed":
        _kill_server(lab)
    else:
        if row.faults == ("foreign-adb",):
            outage.began_ms = _take_port(lab)
        else:
            for fault in row.faults:
                lab.fault(fault, index)
        before = recorder.taken(serial)[0]
        time.sleep(lasts)
        outage.met = recorder.taken(serial)[0] == before
        _heal(lab, row, index)
    outage.ended_ms = now_ms()
    if row.kind in ("device", "server"):
        _await(lambda: not _listed(lab, serial), 0.5 if row.faults == ("flaky",) else 0.0)
        _await(lambda: _listed(lab, serial), LISTED_SECONDS)
    outage.returned_ms = now_ms()
    trees, shown = recorder.taken(serial)
    if _await(lambda: recorder.taken(serial)[0] > trees, HANG_SECONDS):
        outage.back_ms = now_ms()
    if _await(lambda: recorder.taken(serial)[1] > shown, HANG_SECONDS):
        outage.shown_ms = now_ms()
    return outage


def _heal(lab: Lab, row: Row, index: int) -> None:
    if row.name.startswith("plugged in unauthorized"):
        lab.heal("unplug", index)
        time.sleep(1.0)
        lab.heal("unauthorized", index)
        return
    # A lab whose server's port was taken by the recorder's own server has no more to do.
    with contextlib.suppress(AdbServerError):
        for fault in row.faults:
            lab.heal(fault, index)


def _kill_server(lab: Lab) -> None:
    if lab.server.pid is not None:
        lab.fault("server-killed")
        until(lambda: lab.server.pid is None, "the server's end")
    else:
        with contextlib.suppress(BridgeError):
            lab.server.request("host:kill")


def _take_port(lab: Lab) -> int:
    """Let another adb server have the port, which the recorder wants, too; when that was (wall clock in ms)."""
    for _ in range(50):
        began_ms = now_ms()
        _kill_server(lab)
        lab.fault("foreign-adb")
        if _await(lambda: _version(lab) == "0028", 0.3):
            return began_ms
    raise AssertionError("the recorder's own server was quicker fifty times")


def _version(lab: Lab) -> str:
    try:
        return lab.server.request("host:version", 1.0)
    except BridgeError:
        return ""


def _listed(lab: Lab, serial: str) -> bool:
    try:
        lines = lab.server.request("host:devices", 2.0).splitlines()
    except BridgeError:
        return False
    return f"{serial}\tdevice" in lines


def _await(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _bare(phone: Any) -> bool:
    """Whether nothing of ours is left on a phone."""
    return not phone.encoders and not phone.reverses and not phone.ports


def _judge(folder: Path, outages: Sequence[Outage]) -> list[str]:
    """Give each outage its gaps; what is wrong with the recording as a whole."""
    recording = Recording.open(folder)
    broken = [str(problem) for problem in recording.problems()]
    gaps: dict[str, list[dict[str, Any]]] = {}
    seqs: dict[tuple[str, int], list[int]] = {}
    for manifest in recording.manifests():
        seqs.setdefault((manifest.device_id, manifest.session_id), []).append(manifest.seq)
        for line in recording.events(manifest.id):
            data = json.loads(line)["data"]
            if isinstance(data, dict) and data.get("tag") == "gap":
                gaps.setdefault(manifest.serial, []).append(data["payload"])
    broken += [f"segments {found} of {key}" for key, found in seqs.items() if found != list(range(len(found)))]
    for outage in outages:
        until_ms = max(outage.back_ms, outage.returned_ms)
        outage.gaps = [
            gap
            for gap in gaps.get(outage.serial, [])
            if gap["stage"] in STAGES[outage.row.kind]
            and gap["to_ms"] >= outage.began_ms - 200
            and gap["from_ms"] <= until_ms
        ]
    return broken
