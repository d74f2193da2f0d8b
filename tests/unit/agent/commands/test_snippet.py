"""The snippets: that the log's is TypeScript which prints what our sniffer reads, run by a real Node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes.lines import entry
from fakes.node import node
from fakes.views import at

from agent.analytics.sniffer import Sniffer
from agent.commands.snippet import text
from agent.model import SegmentEvent

SDK = """
export const PluginType = { before: 'before', enrichment: 'enrichment', destination: 'destination', after: 'after' };
export class Plugin { type; }
"""
APP = """
import { readFileSync } from 'node:fs';
import { addReplayLog } from './ReplayLog.ts';
let plugin;
addReplayLog({ add: (given) => { plugin = given.plugin; } });
const lines = [];
console.log = (...words) => lines.push(words);
const events = JSON.parse(readFileSync('events.json', 'utf8'));
const same = events.map((event) => plugin.execute(event) === event);
const cycle = { type: 'track' };
cycle.self = cycle;
same.push(plugin.execute(cycle) === cycle);
process.stdout.write(JSON.stringify({ type: plugin.type, same, lines }));
"""


def event(number: int, **more: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "Added",
        "properties": {},
        "messageId": f"6f0fdd58-8ff9-4a4e-9bc0-00000000000{number}",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "integrations": {"Actions Amplitude": {"session_id": 1_767_225_600_000}},
        "anonymousId": "anon",
        "context": {"device": {"id": "dev", "type": "android"}, "app": {"namespace": "com.example"}},
        **more,
    }


EVENTS = [
    event(1, properties={"text": 'größe \u2028 \x7f \n\t"\\ 😀', "0x": None}),
    event(2, properties={"long": "é😀" * 4000}),
    event(3, type="identify", traits={"a": [1, {"b": 2.5}]}),
]


def test_the_printed_lines_are_read_back_whole(tmp_path: Path) -> None:
    (tmp_path / "ReplayLog.ts").write_text(text("log"))
    (tmp_path / "app.mts").write_text(APP)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "events.json").write_text(json.dumps(EVENTS))
    sdk = tmp_path / "node_modules" / "@segment" / "analytics-react-native"
    sdk.mkdir(parents=True)
    (sdk / "package.json").write_text('{"type": "module", "main": "index.js"}')
    (sdk / "index.js").write_text(SDK)
    done = node(["app.mts"], tmp_path)
    if "ERR_UNKNOWN_FILE_EXTENSION" in done.stderr:
        pytest.skip("this Node does not run TypeScript")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["type"] == "after"
    assert said["same"] == [True] * 4
    assert all(len(words) == 1 for words in said["lines"])
    lines = [words[0] for words in said["lines"]]
    assert all(line.isascii() and "\n" not in line and len(line) < 4052 for line in lines)
    assert len(lines) > len(EVENTS)
    sniffer = Sniffer()
    found = [item for number, line in enumerate(lines) for item in sniffer.feed(entry(at(1 + number / 100), line))]
    found += sniffer.flush()
    events = [item for item in found if isinstance(item, SegmentEvent)]
    assert len(events) == len(found) == 3
    assert [item.event for item in events] == EVENTS
    assert [(item.complete, item.session_id, item.device_id) for item in events] == [
        (True, 1_767_225_600_000, "dev")
    ] * 3


def test_each_names_the_versions_it_is_for(call) -> None:
    for kind in ("log", "relay"):
        ended = call("snippet", kind)
        assert ended.code == 0
        assert "@segment/analytics-react-native 2." in ended.out
        assert ended.out.isascii()


def test_the_relay_s_port(call) -> None:
    assert "http://localhost:8378/v1'" in call("snippet", "relay").out
    ended = call("snippet", "relay", "--port", "9001")
    assert "http://localhost:9001/v1'" in ended.out
    assert "8378" not in ended.out


def test_another_snippet_there_is_not(call) -> None:
    ended = call("snippet", "smoke")
    assert ended.code == 2
    assert "`log` or `relay`" in ended.err
