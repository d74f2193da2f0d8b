"""The app's Segment SDK with the Amplitude session plugin 0.4.2, as far as its log shows it."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from bridge.emulated.world.console import inspect

SESSION_MS = 300_000
PART = 3000


@dataclass(frozen=True, slots=True)
class Sent:
    """An event as Amplitude would get it: the truth that tests ask for. `wall_ms` is the phone's wall clock."""

    wall_ms: int
    message_id: str
    name: str
    session_id: int
    device_id: str


class Print(Protocol):
    """Writes one text to the phone's log: the app's console, or with `other_app` that of another app."""

    def __call__(self, text: str, tag: str = "ReactNativeJS", prio: int = 4, *, other_app: bool = False) -> None: ...


class Analytics:
    """Makes events, stamps ids, prints what the SDK, the session plugin and the app's own log plugin print.

    `print_line` gets one console text; `now_ms` is the phone's wall clock. What `persisted` holds outlives a process.
    """

    def __init__(
        self,
        package: str,
        now_ms: Callable[[], int],
        print_line: Print,
        rng: random.Random,
        collect_device_id: bool = False,
    ) -> None:
        self._package = package
        self._now_ms = now_ms
        self._print = print_line
        self._rng = rng
        self._device_id = f"{rng.getrandbits(256):064x}" if collect_device_id else None
        self.anonymous_id = self._uuid()
        self.user_id: str | None = None
        self.session_id: int | None = None
        self._last_ms = 0
        self._instance = self._uuid()
        self.sent: list[Sent] = []

    def start_process(self) -> None:
        """A new process: the instance id changes, what is persisted stays."""
        self._instance = self._uuid()

    def create_client(self) -> None:
        """The app makes its client: what is printed then."""

    def track(self, name: str, properties: dict[str, Any] | None = None) -> None:
        self._emit({"type": "track", "event": name, "properties": properties or {}})

    def screen(self, name: str) -> None:
        self._emit({"type": "screen", "name": name, "properties": {}})

    def identify(self, user_id: str, traits: dict[str, Any]) -> None:
        self.user_id = user_id
        self._emit({"type": "identify", "userId": user_id, "traits": traits})

    def reset(self) -> None:
        """Log-out: a new anonymous id; the session is dropped without an end, the next event starts another."""
        self._print("Client has been reset")
        self.anonymous_id = self._uuid()
        self.user_id = None
        self.session_id = None

    def _emit(self, raw: dict[str, Any], in_session: int | None = None) -> None:
        now = self._now_ms()
        if in_session is None:
            self._roll(now)
        event = dict(raw)
        if event["type"] == "screen":
            event["properties"] = {**event["properties"], "name": event["name"]}
        event |= {
            "messageId": self._uuid(),
            "timestamp": self._time(raw, now),
            "integrations": self._integrations(raw, in_session or self.session_id),
            "anonymousId": self.anonymous_id,
        }
        if self.user_id is not None:
            event.setdefault("userId", self.user_id)
        event["context"] = self._context()
        self._last_ms = now
        name = event.get("event") or event.get("name") or event["type"]
        session = event["integrations"].get("Actions Amplitude", {}).get("session_id")
        device = self._device_id or self.anonymous_id
        self.sent.append(Sent(now, event["messageId"], name, session if isinstance(session, int) else -1, device))
        self._tap(event)
        self._saved(raw)

    def _time(self, raw: dict[str, Any], now: int) -> str:
        moment = datetime.fromtimestamp(now / 1000, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _integrations(self, raw: dict[str, Any], session: int | None) -> dict[str, Any]:
        return {"Actions Amplitude": {"session_id": session}}

    def _tap(self, event: dict[str, Any]) -> None:
        """The app's own logging plugin."""
        text = json.dumps(event, separators=(",", ":"))
        parts = [text[i : i + PART] for i in range(0, len(text), PART)]
        for number, part in enumerate(parts, 1):
            self._print(f"SegmentReplay/1 {event['messageId']} {number}/{len(parts)} {part}")

    def _saved(self, raw: dict[str, Any]) -> None:
        """The SDK's own line."""
        self._print(f"'{raw['type'].upper()} event saved', {inspect(raw)}")

    def _roll(self, now: int) -> None:
        if self.session_id is not None and now - self._last_ms < SESSION_MS:
            return
        ended = self.session_id
        self.session_id = now
        if ended is not None:
            self._print(f"[AmplitudeSession] endSession -> {ended}")
            self._marker("session_end", ended)
        self._print(f"[AmplitudeSession] startNewSession -> {now}")
        self._marker("session_start", now)

    def _marker(self, name: str, session: int) -> None:
        # The plugin passes its options where the properties belong.
        properties = {"integrations": {"Actions Amplitude": {"session_id": session}}}
        self._emit({"type": "track", "event": name, "properties": properties}, in_session=session)

    def _context(self) -> dict[str, Any]:
        device: dict[str, Any] = {"manufacturer": "Google", "model": "Pixel 7", "name": "panther", "type": "android"}
        if self._device_id:
            device = {"id": self._device_id, **device}
        return {
            "app": {"build": "412", "name": "Northbay", "namespace": self._package, "version": "4.12.0"},
            "device": device,
            "library": {"name": "@segment/analytics-react-native", "version": "2.21.4"},
            "locale": "en-US",
            "network": {"cellular": False, "wifi": True},
            "os": {"name": "Android", "version": "14"},
            "screen": {"density": 2.625, "height": 914, "width": 411},
            "timezone": "UTC",
            "traits": {},
            "instanceId": self._instance,
        }

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
