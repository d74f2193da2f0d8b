"""Whose event it is: session id and device id exactly as Amplitude's Segment plugin takes them.

Source: amplitude/Amplitude-TypeScript, `segment-session-replay-plugin.ts` of its React Native plugin. JavaScript's
`undefined` is an absent key here, and every number is a double, as it is there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from agent.model import NO_SESSION

DESTINATION = "Actions Amplitude"
FROM_INTEGRATIONS = "integrations"
FROM_PROPERTIES = "properties"
FROM_CONTEXT = "context.device.id"
FROM_ANONYMOUS = "anonymousId"

_LONG_MAX = 2**63 - 1
_SAFE_INTEGER = 2**53
# White space and line ends of ECMAScript's StringNumericLiteral: all of Zs, and U+FEFF.
_SPACES = (
    "\t\n\v\f\r \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
# Each digit can be matched in one way only: a long text of digits must not be tried again and again.
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_RADIX = re.compile(r"0(?:[xX]([0-9a-fA-F]+)|[oO]([0-7]+)|[bB]([01]+))")


def session_id(event: Mapping[str, object]) -> object:
    """The session id of an event: any type when an integration set it, a number otherwise, NO_SESSION for none."""
    value = _integration(event)
    if value is not None:
        return value
    if event.get("type") not in ("track", "screen"):
        return NO_SESSION
    properties = event.get("properties")
    if not isinstance(properties, Mapping) or "session_id" not in properties:
        return NO_SESSION
    number = js_number(properties["session_id"])
    return NO_SESSION if math.isnan(number) else number


def session_from(event: Mapping[str, object]) -> str:
    """Where `session_id` found it: FROM_INTEGRATIONS, FROM_PROPERTIES, or "" for nowhere."""
    if _integration(event) is not None:
        return FROM_INTEGRATIONS
    properties = event.get("properties")
    held = isinstance(properties, Mapping) and "session_id" in properties
    return FROM_PROPERTIES if held and event.get("type") in ("track", "screen") else ""


def device_id(event: Mapping[str, object]) -> object:
    """`context.device.id ?? anonymousId ?? null`: "" is an id, and no type is converted."""
    value = _device(event)
    return value if value is not None else _doubled(event.get("anonymousId"))


def device_from(event: Mapping[str, object]) -> str:
    """Where `device_id` found it: FROM_CONTEXT, FROM_ANONYMOUS, or "" for nowhere."""
    if _device(event) is not None:
        return FROM_CONTEXT
    return FROM_ANONYMOUS if event.get("anonymousId") is not None else ""


def effective_session(value: object) -> int:
    """The id that counts: a number cut to a 64-bit integer as Kotlin's `Double.toLong` does, if positive.

    NO_SESSION for all else: the native bridge takes numbers only.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return NO_SESSION
    if math.isnan(value):
        return NO_SESSION
    whole = _LONG_MAX if value >= _LONG_MAX else int(max(value, -1))
    return whole if whole > 0 else NO_SESSION


def js_number(value: object) -> int | float:
    """JavaScript's `Number(value)` of a JSON-like value. An int when it is a safe integer, never for -0."""
    while isinstance(value, (list, tuple)):  # an array becomes text first: its only element's, or "" when empty
        if len(value) != 1:
            return math.nan if value else 0
        value = value[0]
        if isinstance(value, bool):
            return math.nan  # the text "true"
        if isinstance(value, (int, float)) and value == 0:
            return 0  # the text of -0 is "0"
        if value is None:
            return 0
    if value is None:
        return 0
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, (int, float)):
        return _number(value)
    return math.nan


def _from_text(text: str) -> int | float:
    text = text.strip(_SPACES)
    if not text:
        return 0
    radix = _RADIX.fullmatch(text)
    if radix is not None:
        base = 16 if radix[1] else 8 if radix[2] else 2
        return _number(int(radix[radix.lastindex or 0], base))
    if _DECIMAL.fullmatch(text):
        return _number(float(text))
    if text in ("Infinity", "+Infinity"):
        return math.inf
    return -math.inf if text == "-Infinity" else math.nan


def _number(value: int | float) -> int | float:
    try:
        number = float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    minus_zero = number == 0 and math.copysign(1, number) < 0
    return int(number) if number.is_integer() and abs(number) < _SAFE_INTEGER and not minus_zero else number


def _integration(event: Mapping[str, object]) -> object:
    integrations = event.get("integrations")
    destination = integrations.get(DESTINATION) if isinstance(integrations, Mapping) else None
    return _doubled(destination.get("session_id")) if isinstance(destination, Mapping) else None


def _device(event: Mapping[str, object]) -> object:
    context = event.get("context")
    device = context.get("device") if isinstance(context, Mapping) else None
    return _doubled(device.get("id")) if isinstance(device, Mapping) else None


def _doubled(value: object) -> object:
    """The value with its numbers as JavaScript holds them: what JSON writes beyond 2**53 is rounded there."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _number(value)
    if isinstance(value, Mapping):
        return {name: _doubled(each) for name, each in value.items()}
    return [_doubled(each) for each in value] if isinstance(value, list) else value
