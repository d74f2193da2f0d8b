"""The log's lines while it is played and read, and the user scrolls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Run = Callable[[str], Any]

# Ten lines are in view; a line a tenth of a second, from the hundredth on.
LOG = """import { Element, frame, pass, resize } from "./document.js";
import { Log } from "./log.js";
const box = new Element("div");
const filter = Object.assign(new Element("input"), { value: "" });
const level = Object.assign(new Element("select"), { value: "V" });
const [count, detail] = [new Element("span"), new Element("pre")];
const log = new Log(box, { filter, level, count, detail, onSeek: (t) => log.show(t, true) });
resize(box, 220);
const lines = Array.from({ length: 1000 }, (_, n) => ({ t: 100 * n, level: "I", tag: "Shop", text: `line ${n}` }));
const scroll = (top) => {
  box.fire("wheel");
  box.scrollTop = top;
  box.fire("scroll");
};
const rows = () => box.firstElementChild.children;
const state = () => {
  frame();
  const [row, ...others] = rows().filter(({ attributes }) => attributes["aria-current"]);
  const named = box.getAttribute("aria-activedescendant");
  if (others.length || (row?.id ?? null) !== named) throw new Error(`${named} is not ${row?.id}`);
  return [named, box.scrollTop, detail.textContent];
};
"""


def test_a_log_that_is_scrolled_goes_along_without_moving(run: Run) -> None:
    told = run(
        f"""{LOG}
        log.load(lines, 0);
        log.show(0, true);
        scroll(2200);
        const told = [];
        for (const t of [30, 90_000, 12_345]) {{
          log.show(t, false);
          told.push(state());
        }}
        pass(4001);
        log.show(90_000, false);
        tell([...told, state()]);"""
    )
    assert told == [
        ["line-0", 2200, "I/Shop: line 0"],
        ["line-900", 2200, "I/Shop: line 900"],
        ["line-123", 2200, "I/Shop: line 123"],
        ["line-900", 900 * 22 - 99, "I/Shop: line 900"],
    ]


def test_more_of_a_session_leaves_a_log_where_it_was_scrolled_to(run: Run) -> None:
    told = run(
        f"""{LOG}
        const at = 60_000;
        log.load(lines.slice(500, 700), at);
        const told = [state()];
        scroll(0);
        log.load(lines.slice(500, 800), at);
        told.push(state());
        log.load(lines.slice(400, 800), at);
        told.push(state());
        // What was scrolled to stays in view when the hand has long been away: it is the moment that the user looks at.
        pass(4001);
        log.load(lines, at);
        log.show(at, false);
        tell([...told, state()]);"""
    )
    assert [place for _, place, _ in told] == [100 * 22 - 99, 0, 100 * 22, 500 * 22]
    assert [name for name, _, _ in told] == ["line-100", "line-100", "line-200", "line-600"]


def test_a_filter_and_a_seek_bring_the_current_line_into_view(run: Run) -> None:
    told = run(
        f"""{LOG}
        log.load(lines, 90_000);
        const told = [];
        scroll(0);
        filter.value = "line";
        filter.fire("input");
        told.push(state());
        scroll(0);
        level.value = "D";
        level.fire("change");
        told.push(state());
        scroll(0);
        log.show(90_000, true);
        tell([...told, state()]);"""
    )
    assert [place for _, place, _ in told] == [900 * 22 - 99] * 3


def test_lines_that_come_late_are_brought_into_view(run: Run) -> None:
    told = run(
        f"""{LOG}
        log.load([], 90_000);
        log.show(90_000, true);
        const told = [state()];
        log.load(lines, 90_000);
        tell([...told, state()]);"""
    )
    assert told == [[None, 0, ""], ["line-900", 900 * 22 - 99, "I/Shop: line 900"]]
