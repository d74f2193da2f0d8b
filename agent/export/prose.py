"""What was done, in sentences: for a terminal as plain text, for a ticket as Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.replay.steps import Sight, Step
from agent.replay.targets import Target

_MARKED = re.compile(r"([\\`*_{}\[\]<>#|~&])")
_MENTION = re.compile(r"(?<=@)(?=\w)|(?<=#)(?=\d)")


@dataclass(frozen=True, slots=True)
class Pen:
    """How words of the app and names of views are set in a sentence."""

    words: Callable[[str], str]
    name: Callable[[str], str]
    plain: Callable[[str], str]


def escaped(text: str) -> str:
    """Text that Markdown shows as it is within a line, and that calls nobody by an @."""
    # A word joiner is not seen, and ends what a tracker would take for a person's name.
    return _MENTION.sub("\N{WORD JOINER}", _MARKED.sub(r"\\\1", " ".join(text.split())))


def harmless(text: str) -> str:
    """Text without what a terminal would obey, nor what would end its line."""
    return "".join(character if character.isprintable() else " " for character in text)


def _line(text: str) -> str:
    return " ".join(harmless(text).split())


def code(text: str) -> str:
    """Text as a Markdown code span, whatever is in it."""
    plain = " ".join(text.split()) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", plain)), default=0))
    pad = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{pad}{plain}{pad}{fence}"


PLAIN = Pen(lambda text: f"\N{LEFT DOUBLE QUOTATION MARK}{_line(text)}\N{RIGHT DOUBLE QUOTATION MARK}", _line, _line)
MARKDOWN = Pen(lambda text: f"**{escaped(text)}**", code, escaped)


def clock(ms: int) -> str:
    """A time from the beginning: 0:07, 1:02:03."""
    seconds = max(0, ms) // 1000
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"{minutes}:{seconds % 60:02}"


def day(ms: int) -> str:
    """A moment in words, UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def sentence(step: Step, pen: Pen) -> str:
    """A step in a sentence, without its end."""
    told = _SENTENCES[step.kind](step, pen)
    return f"{told}, {step.count} times" if step.count > 1 else told


def sight(seen: Sight, pen: Pen) -> str:
    """What came of a step."""
    return f"{seen.kind} {pen.name(seen.name) if seen.kind == 'event' else pen.words(seen.name)}"


def _what(target: Target | None, step: Step, pen: Pen) -> str:
    """What was touched, in words: what it shows, its name in brackets."""
    if target is None:
        if step.place is None:
            return "something"
        x, y = step.place
        return f"at {x:.0f}, {y:.0f} dp, where no view is known"
    name = f" ({pen.name(target.name.rpartition(':id/')[2])})" if target.name else ""
    if target.words:
        return pen.words(target.words) + name
    if target.near:
        return f"the {target.role} under {pen.words(target.near)}"
    return f"the {target.role}" + (name or (" (its words are masked)" if target.hidden else " without a name"))


def _of(verb: str, after: str = "") -> Callable[[Step, Pen], str]:
    return lambda step, pen: f"{verb} {_what(step.target, step, pen)}{after}"


def _type(step: Step, pen: Pen) -> str:
    where = "on the keyboard" if step.target is None else f"into {_what(step.target, step, pen)}"
    return f"Type {where}; what is typed is not told"


def _turn(step: Step, pen: Pen) -> str:
    upright = {"0": "upright", "90": "to the left side", "180": "upside down", "270": "to the right side"}
    return f"Turn the phone {upright.get(step.text) or pen.plain(step.text)}"


def _marker(step: Step, pen: Pen) -> str:
    return f"Marker {pen.words(str(step.facts['name']))}" + (f": {pen.plain(step.text)}" if step.text else "")


def _gap(step: Step, pen: Pen) -> str:
    return f"Nothing is known for {step.facts['ms'] / 1000:.1f} s ({pen.plain(step.text)})"


def _dead(words: str) -> Callable[[Step, Pen], str]:
    def told(step: Step, pen: Pen) -> str:
        return words + (f": {pen.name(step.text)}" if step.text else "")

    return told


def _crash(step: Step, pen: Pen) -> str:
    kind = str(step.facts.get("name") or "Crash")
    return _dead(
        "A JavaScript error" if kind.startswith("JavaScript") else f"The app died ({pen.plain(kind.lower())})"
    )(step, pen)


def _session(step: Step, pen: Pen) -> str:
    session, device = step.facts.get("session_id"), str(step.facts.get("device_id"))
    return f"Session {pen.name(str(session))} of device {pen.name(device)}"


_SENTENCES: dict[str, Callable[[Step, Pen], str]] = {
    "tap": _of("Tap"),
    "long-press": _of("Press and hold"),
    "scroll": lambda step, pen: f"Scroll {step.way} in {_list(step, pen)}",
    "swipe": lambda step, pen: (
        f"Swipe {step.way} {'on ' if step.target or step.place is None else ''}{_what(step.target, step, pen)}"
    ),
    "back": lambda step, pen: f"Swipe in from the {'left' if step.way == 'right' else 'right'} edge (back)",
    "pinch": _of("Pinch", " with two fingers"),
    "spread": _of("Spread", " with two fingers"),
    "two-fingers": _of("Touch", " with two fingers"),
    "type": _type,
    "untold": lambda step, pen: (
        "Touch what is not told (a keypad, a window of the system, or a screen that could not be read)"
    ),
    "turn": _turn,
    "leave": lambda step, pen: "Something else comes to the front (home, another app, a dialog of the system)",
    "return": lambda step, pen: "The app is in front again",
    "start": lambda step, pen: "The recording begins",
    "session": _session,
    "marker": _marker,
    "note": lambda step, pen: f"Note: {pen.plain(step.text)}",
    "gap": _gap,
    "crash": _crash,
    "anr": _dead("The app does not respond"),
    "lowmemory": _dead("The system ended the app for want of memory"),
    "screen-state": lambda step, pen: f"The screen goes {pen.plain(step.text)}",
}  # fmt: skip


def _list(step: Step, pen: Pen) -> str:
    """A list by its name: its words are those of what it holds."""
    target = step.target
    if target is None or not target.name:
        return "the list" if target is None else f"the {target.role}"
    return f"the {target.role} ({pen.name(target.name.rpartition(':id/')[2])})"
