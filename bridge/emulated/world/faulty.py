"""Apps that are instrumented wrongly: one class a fault, each the well-made app with one thing done otherwise.

Sources: what `@segment/analytics-react-native` and its Amplitude session plugin print in each case; logd's `chatty`
lines of Android up to 11.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bridge.emulated.world.analytics import Analytics
from bridge.emulated.world.console import inspect

_WARN, _ERROR = 5, 6
_KEY, _OTHER_KEY = "9f2c41d07be85a3316c0de7ab4428f95", "04bb17e2c95d48a6b1f3720c6e8d9a51"


class _Unstamped(Analytics):
    """No session plugin at work: no id, no lines, no markers."""

    def _roll(self, now: int) -> None:
        pass

    def _integrations(self, raw: dict[str, Any], session: int | None) -> dict[str, Any]:
        return {}


class _NegativeId(Analytics):
    def _integrations(self, raw: dict[str, Any], session: int | None) -> dict[str, Any]:
        return super()._integrations(raw, -1 if raw.get("event") == "Product Viewed" else session)


class _PluginOrder(Analytics):
    """The logging plugin is one of type `before`."""

    def _tap(self, event: dict[str, Any]) -> None:
        super()._tap({**event, "integrations": {}})


class _NewAtStart(Analytics):
    """Each start of the app begins a session, as it is after a long pause."""

    def start_process(self) -> None:
        super().start_process()
        self.session_id = None


class _DoubleStart(_NewAtStart):
    def _marker(self, name: str, session: int) -> None:
        super()._marker(name, session)
        if name == "session_start":
            super()._marker(name, session)


class _IdInProperties(_Unstamped):
    def _roll(self, now: int) -> None:
        self.session_id = self.session_id or now

    def _emit(self, raw: dict[str, Any], in_session: int | None = None) -> None:
        if raw["type"] in ("track", "screen"):
            self._roll(self._now_ms())
            raw = {**raw, "properties": {**raw["properties"], "session_id": self.session_id}}
        super()._emit(raw, in_session)


class _TextId(Analytics):
    def _integrations(self, raw: dict[str, Any], session: int | None) -> dict[str, Any]:
        return super()._integrations(raw, str(session))  # type: ignore[arg-type]


class _OtherKey(_IdInProperties):
    """The id where the classic destination would look for it."""

    def _emit(self, raw: dict[str, Any], in_session: int | None = None) -> None:
        self._roll(self._now_ms())
        Analytics._emit(self, raw, in_session)

    def _integrations(self, raw: dict[str, Any], session: int | None) -> dict[str, Any]:
        return {"Amplitude": {"session_id": session}}


class _EventBeforeSession(_NewAtStart):
    """The first event waits for the settings and is stamped when they have come."""

    def _time(self, raw: dict[str, Any], now: int) -> str:
        return super()._time(raw, now - 250 if raw.get("event") == "Application Opened" else now)


class _RandomDevice(Analytics):
    def start_process(self) -> None:
        super().start_process()
        self._device_id = self._uuid()


class _UnusableDevice(Analytics):
    def start_process(self) -> None:
        super().start_process()
        self._device_id = "unknown"


class _DestinationOff(_Unstamped):
    def create_client(self) -> None:
        self._print(
            "Could not receive settings from Segment. Device mode destinations will be ignored unless you specify "
            "default settings in the client config.",
            prio=_WARN,
        )


class _RawOnly(Analytics):
    def _tap(self, event: dict[str, Any]) -> None:
        pass


class _Silenced(_RawOnly):
    def _saved(self, raw: dict[str, Any]) -> None:
        pass


class _Cut(Analytics):
    def track(self, name: str, properties: dict[str, Any] | None = None) -> None:
        super().track(name, {**(properties or {}), "notes": "seen on the way " * 300})

    def _tap(self, event: dict[str, Any]) -> None:
        self._print(json.dumps(event, separators=(",", ":")))


class _Abridged(Analytics):
    def track(self, name: str, properties: dict[str, Any] | None = None) -> None:
        nest: dict[str, Any] = {}
        for level in range(12):
            nest = {f"level_{level}": nest}
        super().track(name, {**(properties or {}), "nest": nest})

    def _tap(self, event: dict[str, Any]) -> None:
        self._print(f"'[analytics]', {inspect(event)}")


class _PartLost(Analytics):
    def _tap(self, event: dict[str, Any]) -> None:
        if event.get("event") == "Product Viewed":
            self._print(f"SegmentReplay/1 {event['messageId']} 1/2 {json.dumps(event)[:400]}")
        else:
            super()._tap(event)


class _Folded(Analytics):
    def _tap(self, event: dict[str, Any]) -> None:
        super()._tap(event)
        if event.get("event") == "Product Viewed":
            self._print(f"uid=10231({self._package}) mqt_v_js identical 3 lines", "chatty")


class _Overrun(Analytics):
    def _tap(self, event: dict[str, Any]) -> None:
        super()._tap(event)
        if event.get("event") == "Product Viewed":
            self._print(f"uid=10231({self._package}) mqt_v_js expire 12 lines", "chatty")


class _SecondApp(Analytics):
    def _tap(self, event: dict[str, Any]) -> None:
        super()._tap(event)
        theirs = {
            **event,
            "messageId": event["messageId"][::-1],
            "context": {**event["context"], "app": {"namespace": "net.quickgames.tiles"}},
        }
        self._print(json.dumps(theirs), other_app=True)


class _KeyPrinted(Analytics):
    def create_client(self) -> None:
        self._print(f'[SessionReplay] configuration {{"apiKey":"{_KEY}","sampleRate":1}}')


class _TwoKeys(_KeyPrinted):
    def create_client(self) -> None:
        super().create_client()
        self._print(f"[Amplitude] init api_key={_OTHER_KEY}")


class _PluginFailed(Analytics):
    def _saved(self, raw: dict[str, Any]) -> None:
        if raw.get("event") == "Product Viewed":
            self._print("Destination undefined failed to execute: {}", prio=_WARN)
        super()._saved(raw)


class _Dropped(Analytics):
    def _saved(self, raw: dict[str, Any]) -> None:
        super()._saved(raw)
        if raw.get("event") == "Product Viewed":
            self._print("Dropped 2 events due to permanent errors", prio=_WARN)


class _ProxyRefused(Analytics):
    def create_client(self) -> None:
        self._print("'Error in getEndpoint:', 'fallback to getEndpoint()'", prio=_ERROR)


FAULTY: Mapping[str, type[Analytics]] = {
    "negative-session-id": _NegativeId,
    "no-session-plugin": _Unstamped,
    "plugin-order": _PluginOrder,
    "duplicate-session-start": _DoubleStart,
    "session-id-in-properties": _IdInProperties,
    "session-id-malformed": _TextId,
    "session-id-under-other-key": _OtherKey,
    "event-before-session": _EventBeforeSession,
    "device-id-fallback": Analytics,
    "random-device-id": _RandomDevice,
    "device-id-unusable": _UnusableDevice,
    "destination-off": _DestinationOff,
    "logger-silenced": _Silenced,
    "raw-events-only": _RawOnly,
    "event-cut": _Cut,
    "event-abridged": _Abridged,
    "event-unreadable": _PartLost,
    "lines-folded": _Folded,
    "log-overrun": _Overrun,
    "several-apps": _SecondApp,
    "api-key-logged": _KeyPrinted,
    "key-mismatch": _TwoKeys,
    "plugin-failed": _PluginFailed,
    "events-dropped": _Dropped,
    "proxy-refused": _ProxyRefused,
}
