from __future__ import annotations

import orjson

from agent.runtime.status import DeviceStatus


def test_facts_are_json() -> None:
    status = DeviceStatus("fake-1", losses={"events: cut": 2})
    facts = orjson.loads(orjson.dumps(status.facts()))
    assert facts["serial"] == "fake-1"
    assert facts["losses"] == {"events: cut": 2}
    assert facts["session_id"] is None
