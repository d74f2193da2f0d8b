// What was covered at the moment that is shown, by which rule; drawn over the picture on demand.

import { make, piece } from "./element.js";
import { lastAt } from "./time.js";

export class Masks {
  /** `density()` gives pixels per dp or null; `onCover(rects)` draws, in dp. */
  constructor({ list, note, check }, { density, onCover }) {
    Object.assign(this, { list, note, check, density, onCover });
    this.load([], []);
    check.addEventListener("change", () => this.draw());
  }

  /** `starts` are those of documents: none is covered by what was told of the one before. */
  load(masks, starts) {
    this.masks = masks;
    this.starts = starts;
    this.now = undefined;
  }

  show(t) {
    const told = this.masks[lastAt(this.masks, t)];
    const now = told && told.t >= (this.starts[lastAt(this.starts, t)]?.t ?? 0) ? told : null;
    if (now === this.now) return;
    this.now = now;
    this.draw();
  }

  draw() {
    const payload = this.now?.payload ?? {};
    const rects = readable(payload.rects);
    const scale = this.density();
    this.list.replaceChildren(...rules(payload, rects).map(([rule, n]) => make("li", {}, piece("rule", rule), piece("count", `\u00d7 ${n}`))));
    this.note.textContent = this.remark(payload, rects, scale);
    this.check.disabled = !rects.length || !scale;
    this.onCover(this.check.checked && scale ? rects.map((rect) => place(rect, scale)) : []);
  }

  remark(payload, rects, scale) {
    if (!this.now) return "The recording does not say what is covered at this moment.";
    if (payload.blocked) return `The whole picture is blocked: ${payload.blocked}.`;
    if (!payload.count && !rects.length) return "Nothing is covered at this moment.";
    if (!rects.length) return "Where the covers lie was not recorded.";
    return scale ? "" : "The screen's density was not recorded: the covers cannot be drawn.";
  }
}

/** [[left, top, right, bottom, rule], ...] in screen pixels; others are left out. */
function readable(rects) {
  const fits = (rect) => Array.isArray(rect) && rect.slice(0, 4).every(Number.isFinite) && rect.length >= 4;
  return (Array.isArray(rects) ? rects : []).filter(fits);
}

function rules(payload, rects) {
  const told = Object.entries(payload.rules ?? {});
  if (told.length || !rects.length) return told;
  const counts = new Map();
  for (const rect of rects) counts.set(String(rect[4] ?? ""), (counts.get(String(rect[4] ?? "")) ?? 0) + 1);
  return [...counts];
}

function place([left, top, right, bottom, rule], scale) {
  return {
    left: left / scale,
    top: top / scale,
    width: (right - left) / scale,
    height: (bottom - top) / scale,
    name: String(rule ?? ""),
  };
}
