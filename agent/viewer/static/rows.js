// A list that follows the playhead: the item in force is marked and kept in view, unless the user has just scrolled.

import { Hold, make, piece, reveal } from "./element.js";
import { kindName } from "./kinds.js";
import { clock, lastAt } from "./time.js";

// Rows stand in blocks, of which the browser lays out only those in view: one by one, hundreds of rows cost more to
// leave out than to draw.
const BLOCK = 25;

/**
 * A list of buttons, one per item: events, or gaps, masks and faults. `row(item)` makes the button's content, `holds(item, t)`
 * says whether an item that has begun is still in force, `more(item)` what opens below it (null for nothing).
 */
export class Rows {
  constructor(box, list, { row, more, onSeek, empty, holds = () => true }) {
    Object.assign(this, { box, list, row, more, onSeek, holds });
    this.hold = new Hold(box);
    this.note = make("p", { className: "empty", hidden: true }, empty);
    box.append(this.note);
    this.items = [];
    this.rows = [];
    this.hidden = new Set();
    this.current = -1;
    list.addEventListener("keydown", (event) => this.step(event));
  }

  /** What was there before is kept where the list only grew. */
  load(items) {
    let same = 0;
    while (same < this.items.length && alike(this.items[same], items[same])) same++;
    for (const row of this.rows.splice(same)) row.remove();
    for (let index = same; index < items.length; index++) {
      const row = this.build(items[index], index);
      this.rows.push(row);
      this.block(Math.floor(index / BLOCK)).append(row);
    }
    while (this.list.children.length > Math.ceil(items.length / BLOCK)) this.list.lastElementChild.remove();
    this.items = items;
    if (this.current >= same) this.current = -1;
    this.note.hidden = items.length > 0;
    this.sift(this.hidden);
  }

  block(index) {
    if (!this.list.children[index]) this.list.append(make("ol", { role: "none", className: "block" }));
    return this.list.children[index];
  }

  /** Leave out the kinds that `hidden` holds. */
  sift(hidden) {
    this.hidden = hidden;
    for (const row of this.rows) row.hidden = hidden.has(row.dataset.kind);
  }

  build(item, index) {
    const button = make("button", { type: "button", className: "row" }, piece("time", clock(item.t)), ...this.row(item));
    button.addEventListener("click", () => this.onSeek(this.items[index].t));
    const below = this.more?.(item);
    return make("li", { role: "listitem", dataset: { kind: item.kind, t: String(Math.round(item.t)) } }, button, below);
  }

  step(event) {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!way || !event.target.matches(".row") || event.metaKey || event.ctrlKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    let at = this.rows.indexOf(event.target.closest("li")) + way;
    while (this.rows[at]?.hidden) at += way;
    const button = this.rows[at]?.querySelector(".row");
    button?.focus({ preventScroll: true });
    button?.click();
  }

  show(t, sought) {
    let index = lastAt(this.items, t);
    const near = index;
    while (index >= 0 && !this.holds(this.items[index], t)) index--;
    if (sought) this.hold.release();
    if (index === this.current && !sought) return;
    this.rows[this.current]?.removeAttribute("aria-current");
    this.current = index;
    const row = this.rows[index];
    row?.setAttribute("aria-current", "true");
    if (!this.hold.on) reveal(this.box, row ?? this.rows[near]);
  }
}

/** What a row of the event list says besides its time. */
export function eventRow(item) {
  const { payload } = item;
  const name = piece("name", item.name);
  if (!item.fact) return [badge(item.kind), name];
  const ids = make("span", { className: "ids" });
  ids.append(id("session", payload.session_id, payload.session_from), id("device", payload.device_id, payload.device_from));
  const parts = [badge(item.kind), name];
  const missing = Array.isArray(payload.missing) ? payload.missing : [];
  if (payload.complete === false || missing.length) {
    const flag = piece("flag", "incomplete");
    flag.title = missing.length ? `The log could not show: ${missing.join(", ")}` : "The log shows a part of this event only";
    parts.push(flag);
  }
  if (payload.stage) parts.push(piece("stage", `stage: ${payload.stage}`));
  return [...parts, ids];
}

/** All that an event says, made when it is opened. */
export function eventMore(item) {
  return details(item, () => make("pre", { tabIndex: 0 }, JSON.stringify(item.payload, null, 2)));
}

/** What a row of the list of gaps, masks and findings says besides its time. */
export function noticeRow(item) {
  return [badge(item.kind), piece("name", item.text)];
}

/** What a finding means, how it is mended, and the line that proves it. */
export function noticeMore(item) {
  if (!item.payload) return null;
  const parts = [["Seen", "saw"], ["Means", "meaning"], ["Fix", "fix"], ["Proof", "proof"]].filter(([, key]) => item.payload[key]);
  const rows = parts.map(([name, key]) => {
    const value = String(item.payload[key]);
    return make("div", {}, make("dt", {}, name), make("dd", {}, key === "proof" ? make("code", {}, value) : value));
  });
  return details(item, () => make("dl", { className: "finding" }, ...rows));
}

/** Whether an item that has begun still lasts. */
export function inForce(item, t) {
  return t <= item.end;
}

function details(item, content) {
  const box = make("details", {}, make("summary", { "aria-label": `Details of ${item.name}` }));
  box.addEventListener("toggle", () => box.children.length < 2 && box.append(content()));
  return box;
}

function id(label, value, from) {
  const text = value === null || value === undefined ? "none" : typeof value === "string" ? value : JSON.stringify(value);
  const shown = piece("value", text || '""');
  shown.title = text;
  const span = make("span", { className: "id" }, piece("key", label), shown, piece("from", from ? `from ${from}` : "nowhere in the log"));
  return span;
}

function badge(kind) {
  return make("span", { className: "badge", dataset: { kind } }, kindName(kind));
}

function alike(one, other) {
  return other && one.t === other.t && one.kind === other.kind && one.text === other.text && one.payload === other.payload;
}
