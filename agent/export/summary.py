"""A recording in short: whose sessions, from when to when, what was marked, what is missing, what was done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agent.export.part import Part
from agent.export.prose import PLAIN, sentence
from agent.export.stream import Stream
from agent.replay.steps import Reader, Step, merged
from agent.store.recording import Recording

CRASHES = ("crash", "anr", "lowmemory")


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule of the instrumentation doctor that was met, in how many sessions, and when first."""

    rule: str
    severity: str
    at_ms: int
    meaning: str
    fix: str
    saw: str
    proof: str
    sessions: int = 1


@dataclass(frozen=True, slots=True)
class Phone:
    """What was recorded of one device: its facts as the manifests have them, its sessions, its steps."""

    serial: str
    facts: Mapping[str, str]
    sessions: tuple[Part, ...]
    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        """Its maker and model, or its serial."""
        return " ".join(filter(None, (self.facts.get("manufacturer"), self.facts.get("model")))) or self.serial


@dataclass(frozen=True, slots=True)
class Summary:
    """`problems` say what could not be read; `lost` what is missing, by stage and reason."""

    from_ms: int
    to_ms: int
    phones: tuple[Phone, ...]
    findings: tuple[Finding, ...]
    lost: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        return (self.to_ms - self.from_ms) / 1000

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(part for phone in self.phones for part in phone.sessions)

    def of_kind(self, *kinds: str) -> list[tuple[Phone, Step]]:
        """The steps of some kinds, of all devices, in order of time."""
        found = [(phone, step) for phone in self.phones for step in phone.steps if step.kind in kinds]
        return sorted(found, key=lambda pair: pair[1].at_ms)

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "from_ms": self.from_ms,
            "to_ms": self.to_ms,
            "seconds": round(self.seconds, 3),
            "devices": [{"serial": phone.serial, **phone.facts} for phone in self.phones],
            "sessions": [_session(part, phone) for phone in self.phones for part in phone.sessions],
            "markers": [
                {"at_ms": step.at_ms, "serial": phone.serial, "note": step.text, **step.facts}
                for phone, step in self.of_kind("marker", "note")
            ],
            "gaps": [
                {"from_ms": step.at_ms, "to_ms": step.end_ms, "serial": phone.serial, "what": step.text}
                for phone, step in self.of_kind("gap")
            ],
            "crashes": [
                {"at_ms": step.at_ms, "serial": phone.serial, "kind": step.kind, "text": step.text}
                for phone, step in self.of_kind(*CRASHES)
            ],
            "findings": [
                {name: getattr(finding, name) for name in Finding.__slots__} for finding in self.findings
            ],
            "lost": dict(self.lost),
            "steps": [
                _step(number, step, phone) for phone in self.phones for number, step in numbered(phone.steps)
            ],
            "problems": list(self.problems),
        }  # fmt: skip


def summarize(recording: Recording, parts: Iterable[Part]) -> Summary:
    """Read the parts, each once. Never raises for what is damaged: `problems` tell of it."""
    by_serial: dict[str, list[tuple[Part, list[Step]]]] = {}
    findings: dict[str, Finding] = {}
    lost: Counter[str] = Counter()
    problems: list[str] = []
    for part in sorted(parts, key=lambda part: part.from_ms):
        stream = Stream(recording, part)
        reader = Reader()
        for event in stream:
            reader.feed(event)
            data = event["data"]
            if event["type"] == 5 and data.get("tag") == "doctor" and isinstance(data.get("payload"), dict):
                _meet(findings, event["timestamp"], data["payload"])
        problems += stream.problems
        for segment in part.segments:
            lost.update({f"{loss.stage}: {loss.reason}": loss.count for loss in segment.losses})
        by_serial.setdefault(part.segments[0].serial, []).append((part, reader.close()))
    phones = tuple(
        Phone(
            serial,
            {name: value for part, _ in read for name, value in part.segments[-1].device.items()},
            tuple(part for part, _ in read),
            tuple(merged(steps for _, steps in read)),
        )
        for serial, read in by_serial.items()
    )
    every = [part for phone in phones for part in phone.sessions]
    return Summary(
        min((part.from_ms for part in every), default=0),
        max((part.to_ms for part in every), default=0),
        phones,
        tuple(findings.values()),
        lost,
        tuple(problems),
    )


def numbered(steps: Sequence[Step]) -> list[tuple[int, Step]]:
    """The steps with their numbers; 0 for what is no action."""
    found: list[tuple[int, Step]] = []
    number = 0
    for step in steps:
        number += step.action
        found.append((number if step.action else 0, step))
    return found


def _meet(findings: dict[str, Finding], at_ms: int, payload: Mapping[str, Any]) -> None:
    rule, severity, meaning, fix, saw, proof = (
        str(payload.get(name) or "") for name in ("rule", "severity", "meaning", "fix", "saw", "proof")
    )
    known = findings.get(rule)
    fresh = Finding(rule, severity, at_ms, meaning, fix, saw, proof)
    findings[rule] = fresh if known is None else replace(known, sessions=known.sessions + 1)


def _session(part: Part, phone: Phone) -> dict[str, Any]:
    counts = [segment.counts for segment in part.segments]
    return {
        "session_id": part.session_id,
        "device_id": part.device_id,
        "session_from": part.segments[0].session_from,
        "device_from": part.segments[0].device_from,
        "serial": phone.serial,
        "from_ms": part.from_ms,
        "to_ms": part.to_ms,
        "segments": len(counts),
        "frames": sum(count.frames for count in counts),
        "touches": sum(count.touches for count in counts),
        "events": sum(count.events for count in counts),
    }


def _step(number: int, step: Step, phone: Phone) -> dict[str, Any]:
    target = step.target
    selector = target.selector if target is not None else None
    return {
        "number": number or None,
        "serial": phone.serial,
        "at_ms": step.at_ms,
        "end_ms": step.end_ms,
        "kind": step.kind,
        "text": sentence(step, PLAIN),
        "target": None if target is None else {
            "role": target.role, "words": target.words, "name": target.name, "masked": target.hidden,
            "selector": None if selector is None else {selector[0]: selector[1]},
        },
        "place_dp": step.place,
        "count": step.count,
        "seen": [{"at_ms": sight.at_ms, sight.kind: sight.name} for sight in step.seen],
    }  # fmt: skip
