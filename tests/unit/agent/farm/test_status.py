from __future__ import annotations

import orjson
import pytest

from agent.farm.job import Job
from agent.farm.status import DeviceFacts, FarmFacts, HostFacts

DEVICE = DeviceFacts("A1", "idle", ("pixel", "rack"), battery=80)


def test_a_host_is_read_as_it_was_written() -> None:
    host = HostFacts("here", 7, (DEVICE,))
    assert HostFacts.read(orjson.loads(orjson.dumps(host))) == host


@pytest.mark.parametrize("value", [None, [], {}, {"name": "x", "pid": 1, "devices": [{"serial": "A1", "bogus": 1}]}])
def test_what_is_no_host_is_not_read(value: object) -> None:
    with pytest.raises((TypeError, KeyError, ValueError)):
        HostFacts.read(value)


def test_who_may_take_a_job() -> None:
    gone = HostFacts("gone", 1, (DeviceFacts("A2", "idle", ("pixel",)),), ended=True)
    facts = FarmFacts((HostFacts("here", 7, (DEVICE,)), gone), ())
    assert facts.able(Job(command=("true",), tags=("pixel",))) == [DEVICE]
    assert facts.able(Job(command=("true",), tags=("pixel", "fold"))) == []
    assert facts.able(Job(command=("true",), serial="A2")) == []
    assert facts.facts()["hosts"][0]["devices"][0]["serial"] == "A1"
