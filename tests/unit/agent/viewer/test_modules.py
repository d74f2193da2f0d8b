"""The page's modules that need no page, run by Node."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from typing import Any

import pytest
from lxml import etree
from uiautomator2.xpath import strict_xpath

HOSTILE = "<img src=x onerror=alert(1)>"
Run = Callable[[str], Any]


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
        const first = merged(all, [{ t: 0 }], 60_000);
        const again = merged(all, [{ t: 0 }], 60_000);
        tell([first.map(({ t, end, text }) => [t, end, text]), JSON.stringify(again) === JSON.stringify(first)]);"""
    )
    assert told == [
        [
            [0, 7999, "1 area covered: password"],
            [3000, 3700, "screen blocked, 700 ms"],
            [8000, 60_000, "Nothing covered from here"],
            [9000, 9200, "screen blocked, 200 ms"],
        ],
        True,
    ]


def test_a_cover_ends_with_its_document(run: Run) -> None:
    told = run(
        """import { maskNotice, merged } from "./notices.js";
        const blocked = { count: 1, rules: {}, blocked: "secure" };
        const starts = [0, 10_000, 20_000, 30_000].map((t) => ({ t }));
        const told = [[0, blocked], [10_000, blocked], [12_000, blocked], [31_000, blocked], [35_000, { count: 0 }]];
        const all = told.map(([t, payload]) => maskNotice(t, payload));
        tell(merged(all, starts, 60_000).map(({ t, end, kind }) => [t, end, kind]));"""
    )
    assert told == [[0, 19_999, "blocked"], [31_000, 34_999, "blocked"], [35_000, 60_000, "mask"]]


def test_that_nothing_is_covered_is_told_where_something_was(run: Run) -> None:
    told = run(
        """import { maskNotice, merged } from "./notices.js";
        const [none, field] = [{ count: 0 }, { count: 1, rules: { password: 1 } }];
        const starts = [0, 10_000, 20_000].map((t) => ({ t }));
        const all = [[0, none], [10_000, none], [15_000, field], [20_000, field], [20_000, none]];
        const notices = all.map(([t, payload]) => maskNotice(t, payload));
        tell(merged(notices, starts, 30_000).map(({ t, end, text }) => [t, end, text]));"""
    )
    assert told == [[15_000, 19_999, "1 area covered: password"], [20_000, 30_000, "Nothing covered from here"]]


# Three segments in one list of events: the first opens covered, the second tells nothing, the third opens covered.
SEGMENTS = """import "./document.js";
import { Axis } from "./axis.js";
import { read } from "./reader.js";
const mask = (timestamp, blocked) => ({ type: 5, timestamp, data: { tag: "mask", payload: { count: 1, blocked } } });
const opened = (at) => [
  { type: 4, timestamp: at, data: { width: 1, height: 2 } },
  { type: 2, timestamp: at + 1, data: { node: { id: 1, childNodes: [] } } },
  { type: 3, timestamp: at + 2, data: { source: 2, type: 10 } }];
const events = [...opened(1000), mask(1002, "secure"), mask(2000, "rotation"), ...opened(3000), ...opened(5000),
  mask(5001, "size"), { type: 3, timestamp: 7000, data: { source: 2, type: 7 } }];
const part = read(events, new Axis([[1000, 7000]]), {});
"""


def test_what_covers_a_document_is_told_from_its_first_instant(run: Run) -> None:
    told = run(f"{SEGMENTS} tell([part.starts, part.masks, part.notices].map((list) => list.map(({{ t }}) => t)));")
    assert told == [[0, 2000, 4000], [0, 1000, 4000], [0, 1000, 4000]]


def test_masks_are_those_of_the_document_that_is_shown(run: Run) -> None:
    told = run(
        f"""{SEGMENTS}
        import {{ Element }} from "./document.js";
        import {{ Masks }} from "./masks.js";
        const [list, note, check] = [new Element("ul"), new Element("p"), new Element("input")];
        const masks = new Masks({{ list, note, check }}, {{ density: () => 1, onCover: () => undefined }});
        masks.load(part.masks, part.starts);
        const said = (t) => {{
          masks.show(t);
          return note.textContent;
        }};
        tell([0, 999, 1000, 1999, 2000, 3999, 4000, 6000].map(said));"""
    )
    untold = "The recording does not say what is covered at this moment."
    reasons = ["secure", "secure", "rotation", "rotation", None, None, "size", "size"]
    assert told == [f"The whole picture is blocked: {each}." if each else untold for each in reasons]


def test_a_blocked_picture_is_told_no_longer_than_its_segment_lasts(run: Run) -> None:
    told = run(
        f"""{SEGMENTS}
        import {{ Session }} from "./session.js";
        const segments = [0, 1].map((seq) => ({{ seq, start_ms: 1000 + 2000 * seq, end_ms: 3000 + 2000 * seq }}));
        const given = [[...opened(1000), mask(1002, "secure")], opened(3000)];
        const session = new Session({{ segments }}, {{ events: async ({{ seq }}) => given[seq] }});
        const {{ signal }} = new AbortController();
        await session.open(signal);
        await session.rest(() => 0, signal, () => undefined);
        session.gather();
        tell(session.notices.map(({{ t, end, kind }}) => [t, end, kind]));"""
    )
    assert told == [[0, 1999, "blocked"]]


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("UTC", ["UTC", "UTC"]),
        ("Europe/Berlin", ["UTC+1", "UTC+2"]),
        ("Asia/Kolkata", ["UTC+5:30", "UTC+5:30"]),
        ("America/St_Johns", ["UTC-3:30", "UTC-2:30"]),
    ],
)
def test_times_of_day_name_their_zone(run: Run, zone: str, told: list[str]) -> None:
    said = run(
        f"""process.env.TZ = "{zone}";
        const {{ when, zone }} = await import("./time.js");
        const days = [Date.UTC(2026, 0, 9, 12), Date.UTC(2026, 6, 9, 12)];
        tell([days.map((ms) => zone(new Date(ms))), when(days[0])]);"""
    )
    assert said[0] == told
    assert said[1].startswith("2026-01-09 ")
    assert said[1].endswith(f" {told[0]}")


def test_the_clock_of_the_bar_names_its_zone(run: Run) -> None:
    told = run(
        """process.env.TZ = "Asia/Kolkata";
        const { Element } = await import("./document.js");
        const { Bar } = await import("./bar.js");
        const parts = {};
        const part = (selector) => (parts[selector] ??= new Element("div"));
        const bar = new Bar({ querySelector: part }, {});
        bar.session = { duration: 60_000, wall: (t) => Date.UTC(2026, 0, 9, 12) + t };
        bar.show(1000);
        const { title, textContent, dateTime } = parts["#wall"];
        tell([title, textContent, dateTime]);"""
    )
    assert told[0] == "Time of day in your own time zone, by the clock of the recording host"
    assert told[1].endswith(" UTC+5:30")
    assert told[2] == "2026-01-09T12:00:01.000Z"


def test_the_facts_of_a_session_name_the_zone_of_its_start(run: Run) -> None:
    told = run(
        """process.env.TZ = "Asia/Kolkata";
        const { Element } = await import("./document.js");
        const { showFacts, showSessions } = await import("./facts.js");
        const start = Date.UTC(2026, 0, 9, 12);
        const session = { key: "a", sessionId: "5", deviceId: "d", start, end: start, segments: [{ serial: "s" }] };
        const [facts, tally, list, filter] = ["dl", "dl", "ul", "input"].map((tag) => new Element(tag));
        showFacts(facts, tally, session);
        showSessions(list, Object.assign(filter, { value: "" }), [session], null);
        const [, started] = facts.children.at(-1).children;
        const [link] = list.children[0].children;
        tell([started.textContent, started.title, link.children[0].textContent, link.children[0].title]);"""
    )
    zone = "in your own time zone, by the clock of the recording host"
    began = "2026-01-09 17:30:00 UTC+5:30"
    assert told == [began, f"{began}, {zone}", began, f"Time of day {zone}"]


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("", [None, None, None]),
        ("#play", [None, None, None]),
        ("#t=", [None, None, None]),
        ("#t=soon", [None, None, None]),
        ("#t=0", [None, None, 0]),
        ("#session=5", ["a", None, None]),
        ("#session=5&device=b&t=70.5", ["b", None, 70.5]),
        ("#session=5&device=c&t=7", ["missing", "session 5 of device c", 7]),
        ("#session=6", ["missing", "session 6", None]),
        ("#session=6&device=a", ["missing", "session 6", None]),
    ],
)
def test_an_address_names_a_session_a_moment_or_nothing(run: Run, part: str, found: list[object]) -> None:
    told = run(
        f"""import {{ asked }} from "./address.js";
        const all = ["a", "b"].map((deviceId) => ({{ sessionId: "5", deviceId }}));
        const {{ session, named, t }} = asked({json.dumps(part)}, all);
        tell(session === undefined ? ["missing", named, t] : [session && session.deviceId, null, t]);"""
    )
    assert told == found


def test_an_address_leads_back_to_its_moment(run: Run) -> None:
    told = run(
        """import { address, asked } from "./address.js";
        const session = { sessionId: "5", deviceId: "a&t=1 #ü" };
        const found = asked(address(session, 12.6), [session]);
        tell([found.session === session, found.t]);"""
    )
    assert told == [True, 13]


# A pane that scrolls down, with a text in it that takes the focus; a list whose rows do, and one that chooses its rows.
KEYS = """import { Element } from "./document.js";
import { Keys } from "./keys.js";
const add = (above, tag, attributes = {}, scroll = {}) => {
  const each = new Element(tag, attributes);
  above.append(each);
  Object.assign(each.style, { overflowY: "visible", overflowX: "visible", ...scroll.style });
  const sizes = { clientHeight: 100, scrollHeight: 100, clientWidth: 100, scrollWidth: 100 };
  return Object.assign(each, sizes, scroll.sizes);
};
const down = { style: { overflowY: "auto", overflowX: "auto" }, sizes: { scrollHeight: 500 } };
const still = { style: { overflowY: "auto" } };
const spilling = { style: { overflowY: "visible" }, sizes: { scrollHeight: 500 } };
const stop = { tabindex: "0" };
const { body } = document;
const pane = add(body, "div", { ...stop, role: "region" }, down);
const list = add(body, "div", {}, down);
const targets = {
  body,
  pane,
  button: add(pane, "button"),
  check: add(pane, "input", { type: "checkbox" }),
  text: add(list, "pre", stop),
  row: add(list, "button", stop),
  summary: add(list, "summary", stop),
  whole: add(body, "pre", stop, still),
  spilling: add(body, "pre", stop, spilling),
  options: add(body, "div", { ...stop, role: "listbox" }, down),
  tree: add(body, "div", { ...stop, role: "tree" }, down),
};
const steered = [];
const names = ["ArrowUp", "ArrowDown", "ArrowLeft", "Home", "End", " ", "k"];
const actions = Object.fromEntries(names.map((key) => [key, () => steered.push(key)]));
const check = Object.assign(new Element("input"), { checked: true });
new Keys(actions, { help: { querySelector: () => check }, ready: () => true });
const press = (target) => {
  steered.length = 0;
  const kept = names.filter((key) => target.fire("keydown", { key }).prevented);
  if (String(kept) !== String(steered)) throw new Error(`${kept} is not ${steered}`);
  return kept;
};
"""


def test_keys_scroll_the_text_that_has_the_focus_and_steer_elsewhere(run: Run) -> None:
    told = run(f"{KEYS} tell(Object.fromEntries(Object.entries(targets).map(([name, each]) => [name, press(each)])));")
    every = ["ArrowUp", "ArrowDown", "ArrowLeft", "Home", "End", " ", "k"]
    scrolled = ["ArrowLeft", "k"]
    pressed = [key for key in every if key != " "]
    assert told == {
        "body": every,
        "pane": scrolled,
        "button": scrolled,
        "check": scrolled,
        "text": scrolled,
        "row": pressed,
        "summary": pressed,
        "whole": every,
        "spilling": every,
        "options": every,
        "tree": every,
    }


def test_a_list_that_is_scrolled_by_keys_is_held(run: Run) -> None:
    told = run(
        f"""{KEYS}
        import {{ Hold }} from "./element.js";
        const hold = new Hold(list);
        const pressed = [["text", "ArrowDown"], ["text", "k"], ["row", "ArrowDown"], ["row", "PageDown"]];
        const held = pressed.map(([name, key]) => {{
          targets[name].fire("keydown", {{ key }});
          const {{ on }} = hold;
          hold.release();
          return on;
        }});
        tell(held);"""
    )
    assert told == [True, False, False, True]


# A session of which a second is read; what is asked for comes when a door is opened.
WAITING = """import { Playhead } from "./playhead.js";
const stage = {
  position: 0,
  playing: true,
  seek: (t) => head.moved((stage.position = t)),
  pause: () => (stage.playing = false),
  play: () => (stage.playing = true),
  toggle: () => (stage.playing = !stage.playing),
  add: () => undefined,
};
const quiet = () => undefined;
const [shown, waits, doors] = [[], [], []];
const onTime = (t, sought) => shown.push([t, sought]);
const onWait = (t) => waits.push([t, head.playing]);
const head = new Playhead(stage, {}, { onLists: quiet, onRead: quiet, onTime, onWait });
let read = 1000;
const need = (t) => new Promise((done) => doors.push(() => done((read = Math.max(read, t + 1)))));
head.session = { duration: 9000, has: (t) => t < read, need, gather: () => [] };
const open = async () => {
  for (const door of doors.splice(0)) door();
  await new Promise((done) => setTimeout(done));
};
"""


def test_playing_on_into_what_is_not_read_yet_is_no_seek(run: Run) -> None:
    told = run(
        f"""{WAITING}
        head.moved(500);
        head.moved(1500);
        await open();
        head.seek(2500);
        await open();
        head.seek(100);
        tell([shown, stage.playing]);"""
    )
    assert told == [[[500, False], [1500, False], [2500, True], [100, True]], True]


@pytest.mark.parametrize(
    ("done", "told"),
    [
        ("head.seek(2500); head.seek(3500);", [3500, True]),
        ("head.seek(2500); head.seek(100);", [100, True]),
        ("head.seek(2500); head.toggle();", [2500, False]),
        ("head.seek(2500); head.toggle(); head.seek(3500); head.toggle();", [3500, True]),
        ("stage.pause(); head.seek(2500); head.seek(3500);", [3500, False]),
        ("stage.pause(); head.seek(2500); head.toggle();", [2500, True]),
        ("head.seek(2500); head.seek(9000);", [9000, False]),
        ("head.seek(500); head.seek(NaN);", [500, True]),
        ("head.seek(2500); head.seek(NaN);", [2500, True]),
    ],
)
def test_it_plays_on_after_waiting_as_was_last_wanted(run: Run, done: str, told: list[object]) -> None:
    assert run(f"{WAITING} {done}\nawait open();\ntell([stage.position, stage.playing]);") == told


def test_what_will_be_is_told_while_a_moment_is_waited_for(run: Run) -> None:
    told = run(f"{WAITING} head.seek(2500); head.toggle(); head.toggle(); tell([waits, stage.playing]);")
    assert told == [[[2500, True], [2500, False], [2500, True]], False]


LISTS: dict[str, object] = {"texts": [], "attributes": [], "removes": [], "adds": []}
PLAYABLE = [
    {"source": 6, "positions": [{"x": 1, "y": 2.5, "id": 7, "timeOffset": 0}]},
    {"source": 2, "type": 0, "id": 7},
    {"source": 2, "type": 10, "id": 7},
    {"source": 0, **LISTS},
    {"source": 3, "id": 7, "x": 0, "y": 0},
]
UNPLAYABLE = [
    *({"source": source, "positions": []} for source in (1, 6, 12)),
    {"source": 6},
    {"source": 2},
    {"source": 6, "positions": 1},
    {"source": 6, "positions": [None]},
    {"source": 6, "positions": [{"x": 1, "y": 2, "timeOffset": 0}, {"x": 1, "y": "2", "timeOffset": 0}]},
    {"source": 6, "positions": [{"x": 1, "y": 2}]},
    *({"source": 2, "type": kind, "id": 7} for kind in (-1, 11, 1.5, "7", None)),
    *({"source": 0, **LISTS, name: odd} for name in LISTS for odd in (None, {})),
    None,
]


def test_what_the_player_would_fail_at_is_counted_and_left_out(run: Run) -> None:
    told = run(
        f"""import {{ Axis }} from "./axis.js";
        import {{ read }} from "./reader.js";
        const events = {json.dumps([*UNPLAYABLE, *PLAYABLE])}.map((data) => ({{ type: 3, timestamp: 1500, data }}));
        const part = read(events, new Axis([[1000, 2000]]), {{}});
        tell([part.strange, part.events.map(({{ data }}) => data), part.fingers.length]);"""
    )
    assert told == [len(UNPLAYABLE), PLAYABLE, 2]


def test_every_document_and_element_has_children_for_the_player(run: Run) -> None:
    told = run(
        """import { Axis } from "./axis.js";
        import { read } from "./reader.js";
        const element = (id, rest) => ({ type: 2, id, tagName: "div", attributes: {}, ...rest });
        const text = { type: 3, id: 9, textContent: "" };
        const node = { type: 0, id: 1, childNodes: [element(2, { childNodes: [element(3), text] }), element(4)] };
        const adds = [{ parentId: 2, nextId: null, node: element(5) }];
        const change = { source: 0, texts: [], attributes: [], removes: [], adds };
        const events = [{ node }, { node: { type: 0, id: 1 } }, {}].map((data) => ({ type: 2, timestamp: 1500, data }));
        const part = read([...events, { type: 3, timestamp: 1600, data: change }], new Axis([[1000, 2000]]), {});
        const [first, second] = part.events.map(({ data }) => data.node);
        const [outer, other] = first.childNodes;
        const all = [outer.childNodes[0], other, second, adds[0].node, text];
        tell([part.strange, part.starts.length, all.map(({ childNodes }) => childNodes ?? null)]);"""
    )
    assert told == [1, 2, [[], [], [], [], None]]


def test_the_legend_keeps_the_focus_while_more_is_read(run: Run) -> None:
    told = run(
        """const { Element } = await import("./document.js");
        const { Bar } = await import("./bar.js");
        const found = {};
        const root = { querySelector: (selector) => (found[selector] ??= new Element("div")) };
        const bar = new Bar(root, { onSift: () => undefined });
        const session = { duration: 9000, notices: [], starts: [], touches: [], logs: [] };
        const load = (...kinds) => bar.load({ ...session, facts: kinds.map((kind, t) => ({ kind, t })) });
        load("track", "alias");
        const button = found[".legend"].children[0].children[0];
        bar.toggle(button);
        button.focus();
        tell([["screen", "track", "alias"], ["alias", "screen", "track", "group"], ["track"]].map((kinds) => {
          load(...kinds);
          const kept = document.activeElement === button && button.attributes["aria-pressed"];
          return [found[".legend"].children.map(({ dataset }) => dataset.kind), kept];
        }));"""
    )
    kinds = [["screen", "track", "alias"], ["alias", "screen", "track", "group"], ["track"]]
    assert told == [[each, "false"] for each in kinds]


def test_the_link_of_a_session_keeps_the_focus_when_it_is_followed(run: Run) -> None:
    told = run(
        """const { Element } = await import("./document.js");
        const { showSessions } = await import("./facts.js");
        const all = ["a", "b"].map((key) => ({ key, sessionId: key, deviceId: "d", start: 0, end: 0, segments: [{}] }));
        const [list, filter] = [new Element("ul"), Object.assign(new Element("input"), { value: "" })];
        const current = () => list.children.map((item) => item.children[0].attributes["aria-current"] ?? null);
        showSessions(list, filter, all, all[0]);
        const told = [current()];
        const link = list.children[1].children[0];
        link.focus();
        showSessions(list, filter, all, all[1]);
        tell([...told, current(), document.activeElement === link]);"""
    )
    assert told == [["page", None], [None, "page"], True]


def test_copying_gives_the_focus_back(run: Run) -> None:
    told = run(
        """const { Element } = await import("./document.js");
        const { copy } = await import("./element.js");
        const button = new Element("button");
        button.focus();
        let copied = null;
        document.execCommand = () => Boolean((copied = document.activeElement.value));
        tell([await copy("what"), copied, document.activeElement === button, document.body.children.length]);"""
    )
    assert told == [True, "what", True, 0]


def test_the_focus_goes_from_a_pane_that_is_hidden_to_the_tab_of_the_other(run: Run) -> None:
    told = run(
        """const { Element } = await import("./document.js");
        const { Tabs } = await import("./tabs.js");
        const list = new Element("div");
        const panes = Object.fromEntries(["log", "views"].map((id) => [id, new Element("div")]));
        document.getElementById = (id) => panes[id];
        for (const id of ["log", "views"]) list.append(new Element("button", { role: "tab", "aria-controls": id, id }));
        const [line, other] = [new Element("pre"), new Element("button")];
        panes.log.append(line);
        const tabs = new Tabs(list);
        tell([[line, "log"], [line, "views"], [other, "log"], [other, "views"]].map(([from, to]) => {
          from.focus();
          tabs.show(to);
          return document.activeElement === from ? "stayed" : document.activeElement.attributes.id;
        }));"""
    )
    assert told == ["stayed", "views", "stayed", "stayed"]


def test_a_search_is_in_what_was_said_and_not_in_how_it_is_written(run: Run) -> None:
    told = run(
        r"""import { finding } from "./notices.js";
        import { said } from "./search.js";
        const payload = { size: '5" screen', deep: [{ path: "C:\\x" }, null, 7] };
        const facts = [{ t: 0, kind: "track", name: "Pay", payload }];
        const all = { rule: "r", severity: "error", meaning: "Means.", fix: "Mend.", saw: "seen", proof: "I/T: line" };
        const odd = { ...all, saw: { toString: 1 }, proof: undefined };
        const notices = [finding(1, all), finding(2, odd), { t: 3, kind: "gap", text: "none" }];
        tell(said({ facts, notices, logs: [], labels: [] }).map(({ text }) => text));"""
    )
    assert told == [
        'Pay size 5" screen deep path C:\\x null 7',
        "error r: Means. Mend. seen I/T: line",
        "error r: Means. Mend. toString 1",
        "none",
    ]


def test_what_is_found_is_marked_where_it_stands(run: Run) -> None:
    told = run(
        """const { Element } = await import("./document.js");
        const { Search } = await import("./search.js");
        const [input, list, status] = ["input", "ol", "p"].map((tag) => new Element(tag));
        const parts = { input, "[role=listbox]": list, "[role=status]": status };
        const dialog = { querySelector: (selector) => parts[selector], showModal: () => undefined };
        const text = "\u0130\u0130 in \u0130stanbul PAID";
        const search = new Search(dialog, { items: () => [{ t: 0, kind: "log", text }] });
        tell(["paid", "istanbul", "\u0130STANBUL", "nothing"].map((words) => {
          input.value = words;
          search.open();
          return list.children.map((option) => option.children[2].children[0].textContent);
        }));"""
    )
    assert told == [["PAID"], ["\u0130stanbul"], ["\u0130stanbul"], []]


def test_a_gap_without_times_is_where_it_is_told(run: Run) -> None:
    told = run(
        """import { Axis } from "./axis.js";
        import { gapNotice } from "./notices.js";
        const axis = new Axis([[1000, 2000]]);
        const given = [{ from_ms: "x", to_ms: "y", ms: "z" }, { from_ms: "x", to_ms: 1700 },
          { from_ms: 1200, to_ms: [1] }, { from_ms: 1200, to_ms: 1700, ms: 450 }, {}];
        tell(given.map((times) => gapNotice(500, times, axis)).map(({ t, end, ms }) => [t, end, ms]));"""
    )
    assert told == [[500, 500, 0], [500, 700, 200], [200, 500, 300], [200, 700, 450], [500, 500, 0]]
