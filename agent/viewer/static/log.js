// The app's log, of which there may be tens of thousands of lines.

import { Hold, make, piece } from "./element.js";
import { Sheet } from "./sheet.js";
import { clock, lastAt } from "./time.js";

const ROW_PX = 22;
const LEVELS = "VDIWEFS";

/** `filter` takes text that must stand in a line, after `tag:NAME` only in lines of such tags. */
export class Log {
  constructor(box, { filter, level, count, detail, onSeek }) {
    this.box = box;
    this.filter = filter;
    this.level = level;
    this.count = count;
    this.detail = detail;
    this.onSeek = onSeek;
    this.hold = new Hold(box);
    this.all = [];
    this.shown = [];
    this.current = -1;
    this.t = 0;
    const list = make("div", { role: "presentation" });
    box.replaceChildren(list);
    this.sheet = new Sheet(box, list, { build: line, dress: (row, index) => this.dress(row, index), guess: () => ROW_PX });
    filter.addEventListener("input", () => this.sift());
    level.addEventListener("change", () => this.sift());
    list.addEventListener("click", (event) => {
      const index = this.sheet.indexOf(event.target);
      if (index >= 0) onSeek(this.shown[index].t);
    });
    box.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const next = this.shown[this.current + (step ?? 0)];
      if (!step || event.metaKey || event.ctrlKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      if (next) this.step(this.current + step);
    });
  }

  load(items, t) {
    this.all = items;
    for (const item of items) item.key ??= `${item.tag}: ${item.text}`.toLowerCase();
    this.t = t;
    const line = this.shown[this.current];
    this.fill();
    const index = lastAt(this.shown, t);
    this.mark(index, this.shown[index] !== line);
  }

  sift() {
    this.fill();
    this.hold.release();
    this.mark(lastAt(this.shown, this.t));
  }

  fill() {
    const { tag, words } = parsed(this.filter.value);
    const least = LEVELS.indexOf(this.level.value);
    this.shown = this.all.filter(
      (line) => LEVELS.indexOf(line.level) >= least && line.key.includes(words) && line.tag.toLowerCase().includes(tag),
    );
    const all = this.all.length.toLocaleString("en");
    this.count.textContent = this.shown.length === this.all.length ? all : `${this.shown.length.toLocaleString("en")} of ${all}`;
    this.sheet.load(this.shown);
    this.box.dataset.empty = this.all.length ? "No line fits the filter." : "No app log in this session.";
    this.box.classList.toggle("none", !this.shown.length);
  }

  /** Several lines may carry one time: the step must not jump over them, so it marks the line itself. */
  step(index) {
    this.onSeek(this.shown[index].t);
    this.mark(index);
  }

  show(t, sought) {
    this.t = t;
    if (sought) this.hold.release();
    const index = lastAt(this.shown, t);
    if (index !== this.current || sought) this.mark(index);
  }

  /** `follow`: bring the line into view, unless the user has just scrolled. */
  mark(index, follow = true) {
    this.current = index;
    const line = this.shown[index];
    this.detail.textContent = line ? `${line.level}/${line.tag}: ${line.text}` : "";
    this.detail.dataset.level = line?.level ?? "";
    this.sheet.pin(index);
    if (follow && !this.hold.on) this.sheet.reveal(index);
    else this.sheet.draw();
    const row = this.sheet.row(index);
    if (row) this.box.setAttribute("aria-activedescendant", row.id);
    else this.box.removeAttribute("aria-activedescendant");
  }

  dress(row, index) {
    const current = index === this.current;
    row.id = `line-${index}`;
    row.ariaSelected = String(current);
    if (current) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
}

function line({ t, level, tag, text }) {
  return make(
    "div",
    { className: "line", role: "option", dataset: { level, t: String(Math.round(t)) } },
    piece("time", clock(t)),
    piece("level", level),
    piece("tag", tag),
    piece("text", text.replace(/\s*\n\s*/g, " \u23ce ")),
  );
}

/** "tag:Shop paid" as {tag: "shop", words: "paid"}. */
function parsed(text) {
  const [, tag = "", words = ""] = /^\s*(?:tag:(\S*))?\s*(.*?)\s*$/i.exec(text) ?? [];
  return { tag: tag.toLowerCase(), words: words.toLowerCase() };
}
