"""Segment events without what is private in them: by the names of their fields and by what their texts hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

from agent.model import MaskLevel
from agent.privacy import Span, starred
from agent.replay.names import WHOLE, is_person, names_person, private_name, sort_of, words_of
from agent.replay.secrets import Secrets, secrets_in
from agent.replay.text import STARS, is_card, is_pair, spans, without_addresses

Also = Callable[[str, bool], Iterable[Span]]
MAX_DEPTH = 64
# The ids that join a replay with its events stay whole, since a 13-digit session id is no card number. Only an address
# is starred even there: an app that takes one for an id has it in the segment's own key, and nowhere else.
_IDS = frozenset((
    "messageid", "anonymousid", "sessionid", "previoussessionid", "eventsessionid", "deviceid", "timestamp",
    "originaltimestamp",
))  # fmt: skip
_NAMES = frozenset(("event", "type"))
# As `words_of` joins them.
_FIELD_NAMES = frozenset(("name", "key", "field", "label", "fieldname", "fieldkey", "inputname"))
_FIELD_KINDS = frozenset(("type", "inputtype"))
_FIELD_VALUES = frozenset(("value", "values", "fieldvalue", "inputvalue"))


def _nothing(text: str, name: bool) -> Iterable[Span]:
    return ()


def clean_event(
    event: Mapping[str, object], level: MaskLevel, secrets: Secrets, also: Also = _nothing
) -> dict[str, object]:
    """A deep copy of an event with private values starred; ids, event name and type stay.

    `also` finds more in a text, which is a name or a value. Values that JSON cannot hold come back as text. Deeper
    than MAX_DEPTH comes back as STARS.
    """
    clean = _Cleaner(level, secrets, [], also)
    out: dict[str, object] = {}
    for key, value in event.items():
        if key in _NAMES and isinstance(value, str):
            out[key] = clean.name(value)
        else:
            out[clean.name(key)] = clean.value(key, value, "", 1)
    return out


def private_values(event: Mapping[str, object], level: MaskLevel) -> list[str]:
    """What `clean_event` stars for the name of its field, where it is worth remembering; lines one by one, too."""
    clean = _Cleaner(level, Secrets(), [])
    for key, value in event.items():
        clean.value(key, value, "", 1)
    return [line for text in clean.starred for line in secrets_in(text)]


_Who = Literal["", "person", "traits"]


@dataclass(frozen=True, slots=True)
class _Cleaner:
    level: MaskLevel
    secrets: Secrets
    starred: list[str]
    also: Also = _nothing

    def name(self, text: object) -> str:
        name = str(text)
        return starred(name, (*spans(name), *self.also(name, True), *self.secrets.spans(name, telling=True)))

    def _pair(self, pair: Sequence[Any], who: _Who, depth: int) -> list[object]:
        """A name and its value; not remembered, for it may be two words of a list."""
        name, value = pair
        private = private_name(name, self.level) and value is not None and not isinstance(value, bool)
        return [self.value("", name, who, depth + 1), STARS if private else self.value(name, value, who, depth + 1)]

    def value(self, name: str, value: object, who: _Who, depth: int) -> object:
        """`who` the fields around this one are about: a person, whose `name` is right there, or a user in all."""
        folded = "".join(words_of(name))
        if value is None or isinstance(value, bool):
            return value
        if depth > MAX_DEPTH:
            return STARS
        if folded not in _IDS and private_name(name, self.level, who == "traits"):
            self.starred.extend(_leaves(value))
            return STARS
        if who == "person" and self.level != "light" and names_person(name):
            # Not remembered: many that are called so are no person's, and log lines are full of such words.
            return STARS
        if isinstance(value, Mapping):
            # A form's field may come as its name and its value.
            folds = {k: "".join(words_of(str(k))) for k in value}
            titles = [x for k, fold in folds.items() if isinstance(x := value[k], str) and _is_title(fold, x)]
            field = next((x for x in titles if private_name(x, self.level)), "")
            return {
                self.name(k): _id(v)
                if k == "id" and folded == "device" and isinstance(v, str | int)
                else self.value(
                    field if field and folds[k] in _FIELD_VALUES else str(k), v, _about(who, name), depth + 1
                )
                for k, v in value.items()
            }
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            if _is_two(value) and is_pair(value[0], str(value[1]), within=False):
                return self._pair(value, who, depth)
            pairs = bool(value) and all(map(_is_two, value))
            return [self._pair(v, who, depth + 1) if pairs else self.value(name, v, who, depth + 1) for v in value]
        if folded in _IDS:
            return _id(value)
        if isinstance(value, int | float):
            text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
            return STARS if is_card(text) or any((*self.also(text, False), *self.secrets.spans(text))) else value
        text = str(value)
        return starred(text, (*spans(text, self.level), *self.also(text, False), *self.secrets.spans(text)))


def _is_title(fold: str, text: str) -> bool:
    """Whether what stands under a name says what field it is. Devices and messages may be of the type `phone`."""
    sort = sort_of(text) if fold in _FIELD_KINDS else None
    return fold in _FIELD_NAMES or (sort is not None and not sort.common)


def _about(who: _Who, name: str) -> _Who:
    """Whom the fields below one of this name are about, where those around it are about `who`."""
    if who == "traits" or name == "traits":
        return "traits"
    return "person" if is_person(name) or (who == "person" and name.removeprefix("$") in WHOLE) else ""


def _is_two(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether it is a list of a text and something else."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return False
    return len(value) == 2 and isinstance(value[0], str)


def _leaves(value: object) -> Iterator[str]:
    stack = [value]
    while stack:
        x = stack.pop()
        if isinstance(x, Mapping):
            stack.extend(x.values())
        elif isinstance(x, Sequence) and not isinstance(x, str | bytes):
            stack.extend(x)
        elif isinstance(x, str | int | float) and not isinstance(x, bool):
            yield str(x)


def _id(value: object) -> object:
    return value if isinstance(value, int | float) else without_addresses(str(value))
