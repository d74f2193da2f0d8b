"""Which test is meant: the names that runners, result files and logs give it, brought to one form."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

MAX_STEM = 100
_DISPLAY = re.compile(r"(.*\S)\(([\w.$]+)\)")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Case:
    """A test by its class (or module) and its name; "" = no class is told. `file` = the source file, where it is told.

    `group` is dotted, as JUnit files have it.
    """

    group: str
    name: str
    file: str = field(default="", compare=False)

    @property
    def title(self) -> str:
        """For people, in one line."""
        return f"{self.group}.{self.name}" if self.group else self.name

    @property
    def stem(self) -> str:
        """A file name for it, without a suffix: safe, not too long, and another one for each title that is cut."""
        safe = _UNSAFE.sub("_", self.title).strip("._") or "test"
        if len(safe) <= MAX_STEM:
            return safe
        return safe[: MAX_STEM - 9] + "-" + hashlib.sha256(self.title.encode()).hexdigest()[:8]

    def like(self, other: Case) -> bool:
        """Whether both may be the same test: one tells more of the class than the other, or they are equal."""
        if self.name != other.name:
            return False
        short, long = sorted((self.group, other.group), key=len)
        return short in ("", long) or long.endswith("." + short)


def read(text: str) -> Case:
    """A name as it is told: a pytest node id, `class#name` or `name(class)` as Android's runners have it, any other.

    A node id becomes what pytest writes into its JUnit file: `tests/test_a.py::B::c[1]` is `c[1]` of `tests.test_a.B`.
    """
    text = " ".join(text.split())
    path, bracket, parameters = text.partition("[")
    if "::" in path:
        file, *classes, name = path.split("::")
        group = ".".join([file.removesuffix(".py").replace("/", "."), *classes])
        return Case(group, name + bracket + parameters, file)
    if (found := _DISPLAY.fullmatch(text)) is not None:
        return Case(found[2], found[1])
    group, sharp, name = text.partition("#")
    if sharp and name and re.fullmatch(r"[\w.$]+", group):
        return Case(group, name)
    return Case("", text)
