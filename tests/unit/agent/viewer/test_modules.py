"""The page's modules that need no page, run by Node."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.node import node
from lxml import etree
from uiautomator2.xpath import strict_xpath

from agent.viewer import assets

HOSTILE = "<img src=x onerror=alert(1)>"
Run = Callable[[str], Any]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a module's text beside the page's own; what it gives to `tell` comes back."""
    (tmp_path / "package.json").write_text('{"type": "module"}')
    for name in assets.OWN:
        if name.endswith(".js") and name != assets.ENTRY:
            (tmp_path / name).write_text(assets.read(name), encoding="utf-8")

    def ran(text: str) -> Any:
        tell = "const tell = (value) => console.log(JSON.stringify(value));\n"
        (tmp_path / "test.js").write_text(tell + text, encoding="utf-8")
        done = node(["test.js"], tmp_path)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ran


def test_the_time_line_leaves_long_pauses_out(run: Run) -> None:
    told = run(
        """import { Axis } from "./axis.js";
        const axis = new Axis([[200_000, 230_000], [0, 10_000], [230_000, 231_000], [12_000, 20_000]]);
        tell([axis.duration, axis.cuts, [0, 15_000, 23_000, 24_000].map((t) => axis.wall(t)),
          [-5, 15_000, 90_000, 200_000, 201_000, 999_999].map((wall) => axis.offset(wall))]);"""
    )
    assert told == [
        54_000,
        [{"at": 23_000, "removed": 177_000}],
        [0, 15_000, 200_000, 201_000],
        [0, 15_000, 23_000, 23_000, 24_000, 54_000],
    ]


def test_a_pause_of_exactly_a_minute_is_played(run: Run) -> None:
    assert run('import { Axis } from "./axis.js";\ntell(new Axis([[0, 1], [60_001, 60_002]]).cuts);') == []


@pytest.mark.parametrize(
    ("view", "found"),
    [
        (
            {"cls": "android.widget.Button", "res": "pay.now", "label": "Pay"},
            {
                "uiautomator2": 'd(resourceId="pay.now")',
                "Appium": 'new UiSelector().resourceId("pay.now")',
                "XPath": '//android.widget.Button[@resource-id="pay.now"]',
                "Maestro": '- tapOn:\n    id: "pay\\\\.now"',
            },
        ),
        (
            {"cls": "android.widget.ImageView", "res": "", "label": 'Say "hi" (it\'s 5 $)'},
            {
                "uiautomator2": 'd.xpath("//*[@text=concat(\\"Say \\", \'\\"\', \\"hi\\", \'\\"\', \\" (it\'s 5 $)\\") '
                'or @content-desc=concat(\\"Say \\", \'\\"\', \\"hi\\", \'\\"\', \\" (it\'s 5 $)\\")]")',
                "Appium": 'new UiSelector().description("Say \\"hi\\" (it\'s 5 $)")',
                "XPath": '//android.widget.ImageView[@text=concat("Say ", \'"\', "hi", \'"\', " (it\'s 5 $)") or '
                '@content-desc=concat("Say ", \'"\', "hi", \'"\', " (it\'s 5 $)")]',
                "Maestro": '- tapOn: "Say \\"hi\\" \\\\(it\'s 5 \\\\$\\\\)"',
            },
        ),
        (
            {"cls": "x']|//*[", "res": "", "label": "Pay"},
            {
                "uiautomator2": 'd.xpath("Pay")',
                "Appium": 'new UiSelector().description("Pay")',
                "XPath": '//*[@text="Pay" or @content-desc="Pay"]',
                "Maestro": '- tapOn: "Pay"',
            },
        ),
        (
            {"cls": "com.shop.Cart$Row", "res": "", "label": "@anna"},
            {
                "uiautomator2": 'd.xpath("//*[@text=\\"@anna\\" or @content-desc=\\"@anna\\"]")',
                "Appium": 'new UiSelector().description("@anna")',
                "XPath": '//*[@text="@anna" or @content-desc="@anna"]',
                "Maestro": '- tapOn: "@anna"',
            },
        ),
        ({"cls": "android.widget.EditText", "res": "", "label": "*****"}, {}),
        ({"cls": "android.view.View", "res": "", "label": ""}, {}),
    ],
)
def test_selectors(run: Run, view: dict[str, str], found: dict[str, str]) -> None:
    told = run(f'import {{ selectors }} from "./selectors.js";\ntell(selectors({json.dumps(view)}));')
    assert {row["tool"]: row["text"] for row in told} == found


LABELS = (
    "Pay", 'Say "hi"', "it's", "a%b", "Pay/", "(x)", "10 €", "\U0001f355", "@anna", "/month", "((/x", "% off", "50 %",
    "%a%", "^up", "^", "%", "a\\b", "'\"", "\"'", "a\nb", "5\u00a0km", "\u200e1",
)  # fmt: skip


def test_uiautomator2_finds_the_words_by_what_is_copied(run: Run) -> None:
    views = [{"cls": "x", "res": "", "label": label} for label in LABELS]
    told = run(f'import {{ selectors }} from "./selectors.js";\ntell({json.dumps(views)}.map(selectors));')
    for label, rows in zip(LABELS, told, strict=True):
        copied = next(row["text"] for row in rows if row["tool"] == "uiautomator2")
        # It is a call in Python.
        path = strict_xpath(ast.literal_eval(copied.removeprefix("d.xpath(").removesuffix(")")))
        root = etree.Element("hierarchy")
        for name, value in (("text", label), ("content-desc", label), ("text", f"{label}."), ("text", f".{label}")):
            etree.SubElement(root, "node", {name: value})
        assert [node.attrib.values() for node in root.xpath(path)] == [[label], [label]]
    # What is plain stays plain.
    assert [row[0]["text"] for row in told[:2]] == ['d.xpath("Pay")', 'd.xpath("Say \\"hi\\"")']


def test_a_stack_is_base_and_layers_in_drawing_order(run: Run) -> None:
    told = run(
        """import { Stack } from "./stack.js";
        const img = (id, src) => ({ id, tagName: "img", attributes: { src, style: `left:${id}px` } });
        const none = { removes: [], adds: [], attributes: [] };
        const stack = new Stack();
        stack.full({ id: 1, childNodes: [img(10, "base"), { id: 11, childNodes: [img(50, "one")] }] });
        const told = [];
        const look = (changed) => told.push([changed, stack.layers().map(({ attributes }) => attributes.src)]);
        const adds = [{ nextId: null, node: img(52, "three") }, { nextId: 52, node: img(51, "two") }];
        look(stack.change({ ...none, adds }));
        look(stack.change({ ...none, removes: [{ id: 50 }] }));
        look(stack.change({ ...none, removes: [{ id: 999 }] }));
        const attributes = [{ id: 10, attributes: { src: "new" } }];
        look(stack.change({ ...none, removes: [{ id: 51 }, { id: 52 }], attributes }));
        tell(told);"""
    )
    assert told == [
        [True, ["base", "one", "two", "three"]],
        [True, ["base", "two", "three"]],
        [False, ["base", "two", "three"]],
        [True, ["new"]],
    ]


def test_without_pictures_a_stack_is_its_views(run: Run) -> None:
    told = run(
        """import { Stack } from "./stack.js";
        const view = (id) => ({ id, tagName: "div", attributes: { class: "v t", style: `left:${id}px` } });
        const stack = new Stack();
        stack.full({ id: 1, childNodes: [{ id: 10, tagName: "div" }, { id: 12, childNodes: [view(100)] }] });
        const change = { removes: [], adds: [{ nextId: null, node: view(101) }], attributes: [] };
        tell([stack.change(change), stack.layers()]);"""
    )
    assert told == [True, [{"id": 100, "style": "left:100px"}, {"id": 101, "style": "left:101px"}]]


def test_reading_names_pictures_only_when_asked(run: Run) -> None:
    told = run(
        """import { Axis } from "./axis.js";
        import { read } from "./reader.js";
        const asked = [];
        const source = { picture: (digest) => { asked.push(digest); return "address"; } };
        const src = "picture:" + "0a".repeat(16);
        const swap = { source: 0, texts: [], removes: [], adds: [], attributes: [{ id: 10, attributes: { src } }] };
        const full = { node: { id: 1, childNodes: [{ id: 10, tagName: "img", attributes: { src } }] } };
        const events = [{ type: 4, timestamp: 1000, data: { width: 1, height: 2 } },
          { type: 2, timestamp: 1001, data: full }, { type: 3, timestamp: 1500, data: swap }, null, { type: 3 }];
        const part = read(events, new Axis([[1000, 2000]]), source);
        const before = asked.length;
        const address = part.pictures[1].layers[0].attributes.src;
        tell([before, part.pictures.map(({ t }) => t), part.strange, address, asked]);"""
    )
    assert told == [0, [0, 500], 2, "address", ["0a" * 16]]


@pytest.mark.parametrize("payload", ["{}", "null", "7", '{"blocked": 3, "rules": 5}', f'{{"reason": "{HOSTILE}"}}'])
@pytest.mark.parametrize("tag", ["mask", "gap", "doctor", "segment:track", "session", "toString", "crash", "marker"])
def test_any_custom_event_is_told_or_counted(run: Run, tag: str, payload: str) -> None:
    told = run(
        f"""import {{ Axis }} from "./axis.js";
        import {{ read }} from "./reader.js";
        const event = {{ type: 5, timestamp: 1500, data: {{ tag: "{tag}", payload: {payload} }} }};
        const part = read([event], new Axis([[1000, 2000]]), {{}});
        tell(part.strange + part.facts.length + part.notices.length);"""
    )
    assert told == 1


def test_a_marker_is_told_by_its_name_and_its_note(run: Run) -> None:
    told = run(
        """import { Axis } from "./axis.js";
        import { read } from "./reader.js";
        const marks = [{ name: "marker 1", note: "" }, { name: "note", note: "slow" }, { name: "pay", note: "twice" }];
        const events = marks.map((payload) => ({ type: 5, timestamp: 1500, data: { tag: "marker", payload } }));
        tell(read(events, new Axis([[1000, 2000]]), {}).facts.map(({ kind, name }) => [kind, name]));"""
    )
    assert told == [["marker", "marker 1"], ["marker", "slow"], ["marker", "pay: twice"]]


def test_lasting_notices_are_told_once(run: Run) -> None:
    told = run(
        """import { gapNotice, maskNotice, merged } from "./notices.js";
        import { Axis } from "./axis.js";
        const axis = new Axis([[0, 60_000]]);
        const gap = (t) => gapNotice(t, { stage: "screen", reason: "ScreenBlocked", from_ms: t, to_ms: t + 200 }, axis);
        const field = { count: 1, rules: { password: 1 } };
        const none = { count: 0 };
        const gaps = [3000, 3500, 9000].map(gap);
        const all = [maskNotice(0, field), ...gaps, maskNotice(500, field), maskNotice(8000, none)];
        const first = merged(all, 60_000);
        const again = merged(all, 60_000);
        tell([first.map(({ t, end, text }) => [t, end, text]), JSON.stringify(again) === JSON.stringify(first)]);"""
    )
    assert told == [
        [
            [0, 8000, "1 area covered: password"],
            [3000, 3700, "screen blocked, 700 ms"],
            [8000, 60_000, "Nothing covered from here"],
            [9000, 9200, "screen blocked, 200 ms"],
        ],
        True,
    ]
