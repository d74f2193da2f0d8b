// The lists beside the phone. Each follows the playhead: the item in force is marked and kept in view, unless the user
// has just scrolled by hand.

import { NAMES } from "./bar.js";
import { clock, lastAt } from "./session.js";

const HOLD_MS = 4000;
const ROW = 22;
const SPARE_ROWS = 12;
const LEVELS = "VDIWEFS";

/** When the user last scrolled a list by hand; a seek ends the hold. */
class Hold {
  constructor(box) {
    this.until = 0;
    const hold = () => (this.until = performance.now() + HOLD_MS);
    for (const name of ["wheel", "touchmove", "pointerdown"]) box.addEventListener(name, hold, { passive: true });
  }

  get on() {
    return performance.now() < this.until;
  }
}

/**
 * A list of buttons, one per item: events, or gaps, masks and faults. `row(item)` makes the button's content, `holds(item, t)`
 * says whether an item that has begun is still in force.
 */
export class Rows {
  constructor(box, list, { row, onSeek, empty, holds = () => true }) {
    this.box = box;
    this.list = list;
    this.row = row;
    this.onSeek = onSeek;
    this.empty = empty;
    this.holds = holds;
    this.hold = new Hold(box);
    this.items = [];
    this.current = -1;
  }

  load(items) {
    this.items = items;
    this.current = -1;
    this.list.replaceChildren(...items.map((item, index) => this.build(item, index)));
    this.box.querySelector(".empty")?.remove();
    if (items.length) return;
    const note = document.createElement("p");
    note.className = "empty";
    note.textContent = this.empty;
    this.box.append(note);
  }

  build(item, index) {
    const li = document.createElement("li");
    li.dataset.kind = item.kind;
    li.dataset.t = String(Math.round(item.t));
    const button = document.createElement("button");
    button.type = "button";
    button.className = "row";
    button.append(time(item.t), ...this.row(item));
    button.addEventListener("click", () => this.onSeek(item.t));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step || event.metaKey || event.ctrlKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      const next = this.list.children[index + step]?.querySelector(".row");
      next?.focus({ preventScroll: true });
      next?.click();
    });
    li.append(button);
    if (item.payload) li.append(details(item));
    return li;
  }

  show(t, sought) {
    let index = lastAt(this.items, t);
    const near = index;
    while (index >= 0 && !this.holds(this.items[index], t)) index--;
    if (sought) this.hold.until = 0;
    if (index === this.current && !sought) return;
    this.list.children[this.current]?.removeAttribute("aria-current");
    this.current = index;
    const row = this.list.children[index];
    row?.setAttribute("aria-current", "true");
    if (!this.hold.on) reveal(this.box, row ?? this.list.children[near]);
  }
}

/** Log lines. There may be tens of thousands, so only those in view are in the document; all have one height. */
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

  load(items) {
    this.all = items.map((item) => ({ ...item, key: `${item.tag}: ${item.text}`.toLowerCase() }));
    this.t = 0;
    this.sift();
  }

  sift() {
    const words = this.filter.value.trim().toLowerCase();
    const least = LEVELS.indexOf(this.level.value);
    this.shown = this.all.filter((line) => LEVELS.indexOf(line.level) >= least && line.key.includes(words));
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
    if (sought) this.hold.until = 0;
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
    row.append(time(t), piece("level", level), piece("tag", tag), piece("text", text.replace(/\s*\n\s*/g, " \u23ce ")));
    return row;
  }
}

/** What a row of the event list says besides its time. */
export function eventRow(item) {
  const { payload } = item;
  const name = piece("name", item.name);
  if (!item.fact) return [badge(item.kind), name];
  const ids = document.createElement("span");
  ids.className = "ids";
  ids.append(id("session", payload.session_id, payload.session_from), id("device", payload.device_id, payload.device_from));
  const parts = [badge(item.kind), name];
  const missing = payload.missing ?? [];
  if (payload.complete === false || missing.length) {
    const flag = piece("flag", "incomplete");
    flag.title = missing.length ? `The log could not show: ${missing.join(", ")}` : "The log shows a part of this event only";
    parts.push(flag);
  }
  return [...parts, ids];
}

/** What a row of the list of gaps, masks and faults says besides its time. */
export function noticeRow(item) {
  return [badge(item.kind), piece("name", item.text)];
}

/** Whether an item that has begun still lasts. */
export function inForce(item, t) {
  return t <= item.end;
}

function id(label, value, from) {
  const span = document.createElement("span");
  span.className = "id";
  const text = value === null || value === undefined ? "none" : typeof value === "string" ? value : JSON.stringify(value);
  span.append(piece("key", label), piece("value", text || '""'), piece("from", from ? `from ${from}` : "nowhere in the log"));
  span.querySelector(".value").title = text;
  return span;
}

function details(item) {
  const box = document.createElement("details");
  const summary = document.createElement("summary");
  summary.setAttribute("aria-label", `Details of ${item.name}`);
  const text = document.createElement("pre");
  text.textContent = JSON.stringify(item.payload, null, 2);
  box.append(summary, text);
  return box;
}

function badge(kind) {
  const span = piece("badge", NAMES[kind] ?? kind);
  span.dataset.kind = kind;
  return span;
}

function time(t) {
  return piece("time", clock(t));
}

function piece(name, text) {
  const span = document.createElement("span");
  span.className = name;
  span.textContent = text;
  return span;
}

/** Bring a row into view within its box only: scrollIntoView would move the page, too. */
function reveal(box, row) {
  if (!row) {
    box.scrollTop = 0;
    return;
  }
  const top = row.offsetTop;
  const bottom = top + row.offsetHeight;
  if (top < box.scrollTop || bottom > box.scrollTop + box.clientHeight) {
    box.scrollTop = Math.max(0, top - (box.clientHeight - row.offsetHeight) / 2);
  }
}
