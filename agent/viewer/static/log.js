// The app's log. There may be tens of thousands of lines, so only those in view are in the document; all have one height.

import { Hold, piece } from "./element.js";
import { clock, lastAt } from "./time.js";

const ROW = 22;
const SPARE_ROWS = 12;
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
    this.sheet = document.createElement("div");
    this.sheet.className = "sheet";
    box.replaceChildren(this.sheet);
    box.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(box);
    filter.addEventListener("input", () => this.sift());
    level.addEventListener("change", () => this.sift());
    this.sheet.addEventListener("click", (event) => {
      const row = event.target.closest(".line");
      if (row) onSeek(this.shown[Number(row.dataset.index)].t);
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
    this.sift();
  }

  sift() {
    const { tag, words } = parsed(this.filter.value);
    const least = LEVELS.indexOf(this.level.value);
    this.shown = this.all.filter(
      (line) => LEVELS.indexOf(line.level) >= least && line.key.includes(words) && line.tag.toLowerCase().includes(tag),
    );
    const all = this.all.length.toLocaleString("en");
    this.count.textContent = this.shown.length === this.all.length ? all : `${this.shown.length.toLocaleString("en")} of ${all}`;
    this.sheet.style.height = `${this.shown.length * ROW}px`;
    this.box.dataset.empty = this.all.length ? "No line fits the filter." : "No app log in this session.";
    this.box.classList.toggle("none", !this.shown.length);
    this.current = -2;
    this.show(this.t, true);
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

  mark(index) {
    this.current = index;
    const line = this.shown[index];
    this.detail.textContent = line ? `${line.level}/${line.tag}: ${line.text}` : "";
    this.detail.dataset.level = line?.level ?? "";
    if (!this.hold.on) {
      const top = Math.max(0, index) * ROW;
      const { scrollTop, clientHeight } = this.box;
      if (!line) this.box.scrollTop = 0;
      else if (top < scrollTop + ROW || top + 2 * ROW > scrollTop + clientHeight) {
        this.box.scrollTop = top - clientHeight / 2;
      }
    }
    this.draw();
  }

  draw() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - SPARE_ROWS);
    const last = Math.min(this.shown.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW) + SPARE_ROWS);
    const rows = [];
    for (let index = first; index < last; index++) rows.push(this.line(index));
    this.sheet.replaceChildren(...rows);
    if (this.current >= first && this.current < last) this.box.setAttribute("aria-activedescendant", `line-${this.current}`);
    else this.box.removeAttribute("aria-activedescendant");
  }

  line(index) {
    const { t, level, tag, text } = this.shown[index];
    const row = document.createElement("div");
    row.className = "line";
    row.id = `line-${index}`;
    row.role = "option";
    row.ariaSetSize = String(this.shown.length);
    row.ariaPosInSet = String(index + 1);
    row.ariaSelected = String(index === this.current);
    row.dataset.index = String(index);
    row.dataset.level = level;
    row.dataset.t = String(Math.round(t));
    row.style.top = `${index * ROW}px`;
    if (index === this.current) row.setAttribute("aria-current", "true");
    row.append(piece("time", clock(t)), piece("level", level), piece("tag", tag), piece("text", text.replace(/\s*\n\s*/g, " \u23ce ")));
    return row;
  }
}

/** "tag:Shop paid" as {tag: "shop", words: "paid"}. */
function parsed(text) {
  const [, tag = "", words = ""] = /^\s*(?:tag:(\S*))?\s*(.*?)\s*$/i.exec(text) ?? [];
  return { tag: tag.toLowerCase(), words: words.toLowerCase() };
}
