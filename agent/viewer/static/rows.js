// A list that follows the playhead: the item in force is marked and kept in view, unless the user has just scrolled.

import { Hold, make, piece } from "./element.js";
import { kindName } from "./kinds.js";
import { Sheet } from "./sheet.js";
import { clock, lastAt } from "./time.js";

/**
 * A list of buttons, one per item: events, or gaps, masks and faults. `row(item)` makes the button's content, `holds(item, t)`
 * says whether an item that has begun is still in force, `more(item)` what opens below it (null for nothing), `guess(item)`
 * about how high its row is. The list is one stop of the Tab key, at the row that has or had the focus, else at the one in
 * force; arrows go from row to row.
 */
export class Rows {
  constructor(box, list, { row, more, onSeek, empty, guess, holds = () => true }) {
    Object.assign(this, { list, row, more, onSeek, holds });
    const dress = (element, index) => this.dress(element, index);
    this.sheet = new Sheet(box, list, { build: (item) => this.build(item), dress, guess });
    this.hold = new Hold(box);
    this.note = make("p", { className: "empty", hidden: true }, empty);
    box.append(this.note);
    this.all = [];
    this.items = [];
    this.hidden = new Set();
    this.t = 0;
    this.current = -1;
    list.addEventListener("keydown", (event) => this.step(event));
    list.addEventListener("focusin", (event) => {
      this.sheet.pin(this.sheet.indexOf(event.target));
      this.sheet.draw();
    });
  }

  load(items) {
    this.all = items;
    this.note.hidden = items.length > 0;
    this.sift(this.hidden);
  }

  /** Leave out the kinds that `hidden` holds. */
  sift(hidden) {
    this.hidden = hidden;
    this.items = this.all.filter(({ kind }) => !hidden.has(kind));
    this.current = this.inForce(this.t);
    this.sheet.load(this.items, Math.max(0, this.current));
  }

  build(item) {
    const button = make("button", { type: "button", className: "row" }, piece("time", clock(item.t)), ...this.row(item));
    button.addEventListener("click", () => this.onSeek(item.t));
    const below = this.more?.(item);
    return make("li", { role: "listitem", dataset: { kind: item.kind, t: String(Math.round(item.t)) } }, button, below);
  }

  dress(element, index) {
    if (index === this.current) element.setAttribute("aria-current", "true");
    else element.removeAttribute("aria-current");
    const stop = index === this.sheet.pinned ? 0 : -1;
    if (element.firstChild.tabIndex === stop) return;
    for (const each of element.querySelectorAll(".row, summary")) each.tabIndex = stop;
  }

  step(event) {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!way || !event.target.matches(".row") || event.metaKey || event.ctrlKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const at = this.sheet.indexOf(event.target) + way;
    if (!this.items[at]) return;
    this.sheet.pin(at);
    this.sheet.draw();
    const button = this.sheet.row(at).querySelector(".row");
    button.focus({ preventScroll: true });
    button.click();
  }

  show(t, sought) {
    this.t = t;
    if (sought) this.hold.release();
    const index = this.inForce(t);
    if (index === this.current && !sought) return;
    this.current = index;
    if (!this.list.contains(document.activeElement)) this.sheet.pin(Math.max(0, index));
    if (this.hold.on) this.sheet.draw();
    else this.sheet.reveal(index < 0 ? lastAt(this.items, t) : index);
  }

  inForce(t) {
    let index = lastAt(this.items, t);
    while (index >= 0 && !this.holds(this.items[index], t)) index--;
    return index;
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
