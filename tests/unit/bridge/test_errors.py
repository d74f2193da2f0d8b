from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from bridge import errors as module
from bridge.errors import BridgeError

ALL = [cls for _, cls in inspect.getmembers(module, inspect.isclass) if issubclass(cls, BridgeError)]


@pytest.mark.parametrize(
    ("serial", "op", "detail", "text"),
    [
        ("R58", "screencap", "closed", "R58: screencap: closed"),
        ("R58", "screencap", "", "R58: screencap"),
        ("", "list devices", "no answer", "list devices: no answer"),
        ("", "list devices", "", "list devices"),
    ],
)
def test_an_error_names_device_and_operation(serial: str, op: str, detail: str, text: str) -> None:
    error = BridgeError(serial, op, detail)
    assert str(error) == text
    assert (error.serial, error.op, error.detail) == (serial, op, detail)


@pytest.mark.parametrize("cls", ALL)
def test_an_error_survives_the_way_to_another_process(cls: type[BridgeError]) -> None:
    for again in (pickle.loads(pickle.dumps(cls("R58", "op", "why"))), copy.copy(cls("R58", "op", "why"))):
        assert type(again) is cls
        assert (again.serial, again.op, again.detail, str(again)) == ("R58", "op", "why", "R58: op: why")


def test_the_tree_is_the_one_that_is_drawn() -> None:
    drawn = {}
    parents: list[str] = []
    assert module.__doc__ is not None
    for line in module.__doc__.splitlines():
        match = re.match(r"((?:[│ ] {3})*(?:[├└]── )?)([A-Z]\w+) {2,}", line)
        if match:
            depth = len(match[1]) // 4
            parents[depth:] = [match[2]]
            drawn[match[2]] = parents[depth - 1] if depth else "Exception"
    assert drawn == {cls.__name__: cls.__bases__[0].__name__ for cls in ALL}
