"""React Native's own console, from npm and run in Node, prints events of random values; we read them back.

The oldest and the newest polyfill that apps have, and one between. `install` skips without npm.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from fakes.node import install, node

from agent.analytics.forms import Shown, statements

POLYFILLS = ("@react-native/polyfills@2.0.0", "@react-native/js-polyfills@0.72.1", "@react-native/js-polyfills@0.86.3")
EVENTS = 1500
# The console's file is a module of an app's bundle: it wants the hook of the native side, and gives a global console.
SCRIPT = r"""
const fs = require('fs'), vm = require('vm');
const [file, seed, count] = process.argv.slice(2);
const printed = [];
const world = vm.createContext({
  nativeLoggingHook: (text) => printed.push(text), __DEV__: false,
});
vm.runInContext('var global = globalThis;', world);
vm.runInContext(fs.readFileSync(file, 'utf8'), world);
const DateThere = vm.runInContext('Date', world), ErrorThere = vm.runInContext('Error', world);
let state = Number(seed);
const chance = () => (state = (state * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff;
const pick = (list) => list[Math.floor(chance() * list.length)];
const texts = ['', 'a', "it's", 'say "hi"', 'back\\slash', '\\', 'a\nb', 'tab\t', 'é🚀', '\u2028x', '[Object]',
  '{ a: 1 }', ', ', ' ]', 'undefined', '1e5', '\\u0041', '\\n', "\\'", "'", 'x'.repeat(70),
  '[Circular]', ': ', '\u0007\u001b[31m', '}'];
const names = ['a', 'b_1', '$x', 'dash-key', 'with space', '7', '12', 'é', "q'q", '', 'event', '\n', '"', ': ', 'a:b'];
const leaves = [() => pick(texts), () => Math.floor(chance() * 1e6), () => chance() * 1e3 - 500, () => 1e21 * chance(),
  () => 1e-9 * chance(), () => null, () => true, () => undefined, () => NaN, () => -Infinity, () => -0,
  () => new DateThere(Math.floor(chance() * 2e12)), () => function named() {}, () => /a[/]b/gi,
  () => new ErrorThere('it failed'), () => pick(texts) + pick(texts)];
function value(depth) {
  const kind = chance();
  if (depth > 4 || kind < 0.5) return pick(leaves)();
  const size = Math.floor(chance() * 5);
  if (kind < 0.75) return Array.from({length: size}, () => value(depth + 1));
  return Object.fromEntries(Array.from({length: size}, () => [pick(names), value(depth + 1)]));
}
const rows = [];
for (let n = 0; n < Number(count); n++) {
  const event = {type: 'track', event: pick(texts) + n, properties: {p: value(0)}, messageId: 'm' + n, timestamp: 't',
    integrations: {'Actions Amplitude': {session_id: 1}}, anonymousId: 'a', context: {device: {id: undefined}}};
  printed.length = 0;
  n % 2 ? world.console.log('label', event) : world.console.info(event);
  rows.push({text: printed[0], json: JSON.stringify(event)});
}
console.log(JSON.stringify(rows));
"""


def same(ours: object, truth: object) -> bool:
    """Equal as JSON; the console prints a date without its milliseconds."""
    if isinstance(ours, dict) and isinstance(truth, dict):
        return ours.keys() == truth.keys() and all(same(ours[name], truth[name]) for name in ours)
    if isinstance(ours, list) and isinstance(truth, list):
        return len(ours) == len(truth) and all(map(same, ours, truth))
    if isinstance(ours, float) and not math.isfinite(ours):
        return truth is None
    if isinstance(ours, bool) or isinstance(truth, bool):
        return ours is truth
    if isinstance(ours, int | float) and isinstance(truth, int | float):
        return float(ours) == float(truth)
    if isinstance(ours, str) and isinstance(truth, str) and re.fullmatch(r"[0-9-]{10}T[0-9:]{8}Z", ours):
        return truth[:19] + "Z" == ours
    return type(ours) is type(truth) and ours == truth


@pytest.mark.timeout(200)
@pytest.mark.parametrize("package", POLYFILLS)
def test_what_the_real_console_prints_is_read_back(tmp_path: Path, package: str) -> None:
    install([package], tmp_path)
    console = tmp_path / "node_modules" / package.rpartition("@")[0] / "console.js"
    (tmp_path / "print.js").write_text(SCRIPT, encoding="utf-8")
    done = node(["print.js", str(console), "7", str(EVENTS)], tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    whole = 0
    for row in rows:
        (found,) = statements(row["text"])
        assert isinstance(found, Shown)
        if "[TOO BIG formatValueCalls" in row["text"]:
            assert found.gaps
            continue
        assert not found.gaps
        assert same(found.value, json.loads(row["json"])), (row["text"], found.value)
        whole += 1
    assert whole > 0.9 * EVENTS
