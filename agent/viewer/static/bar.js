// The transport: clocks, and the time line with its marks by kind, which the legend shows and hides.

import { arrange, make } from "./element.js";
import { Film } from "./film.js";
import { kindName } from "./kinds.js";
import { drawn } from "./stack.js";
import { IN_ZONE, clock, zone } from "./time.js";

const BUCKETS = 500;
const NEAR_PX = 6;
// Something is covered nearly always, and hints stand in most recordings: marks for these would say nothing.
const UNMARKED = new Set(["mask", "hint"]);

export class Bar {
  /** `root` holds the markup; `onSeek(ms)` is called when the user drags or clicks, `onSift(kinds)` when kinds are hidden. */
  constructor(root, { onSeek, onSift }) {
    this.track = root.querySelector(".track");
    this.marks = root.querySelector(".marks");
    this.head = root.querySelector(".head");
    this.tip = root.querySelector(".tip");
    this.slider = root.querySelector("input[type=range]");
    this.now = root.querySelector("#now");
    this.total = root.querySelector("#total");
    this.clock = root.querySelector("#wall");
    this.clock.title = `Time of day ${IN_ZONE}`;
    this.button = root.querySelector("#play");
    this.legend = root.querySelector(".legend");
    this.film = new Film(root.querySelector(".film"));
    this.hidden = new Set();
    this.onSift = onSift;
    this.session = null;
    this.slider.addEventListener("input", () => onSeek(Number(this.slider.value)));
    this.track.addEventListener("pointermove", (event) => this.point(event.clientX));
    this.track.addEventListener("pointerleave", () => (this.tip.hidden = true));
    this.legend.addEventListener("click", (event) => this.toggle(event.target.closest("button")));
  }

  /** A session, again whenever more of it was read. */
  load(session) {
    this.session = session;
    this.slider.max = String(session.duration);
    this.slider.disabled = false;
    this.total.textContent = clock(session.duration);
    this.holes = session.notices.filter(({ kind }) => !UNMARKED.has(kind));
    this.tips = [...session.facts, ...this.holes].sort((a, b) => a.t - b.t);
    this.marks.replaceChildren(...this.build());
    const kinds = new Set([...this.marks.children].map((mark) => mark.dataset.kind));
    kinds.delete("segment");
    arrange(this.legend, kinds, (kind) => this.chip(kind));
    this.sift();
    this.film.load(session);
  }

  show(t) {
    const { session } = this;
    // As wide as the track, and moved: that takes no layout.
    this.head.style.transform = `translateX(${session.duration ? (100 * t) / session.duration : 0}%)`;
    this.slider.value = String(Math.round(t));
    this.slider.setAttribute("aria-valuetext", `${clock(t)} of ${clock(session.duration)}`);
    this.now.textContent = clock(t);
    const date = new Date(session.wall(t));
    if (Number.isNaN(date.getTime())) return;
    this.clock.textContent = `${date.toLocaleTimeString([], { hour12: false })} ${zone(date)}`;
    this.clock.dateTime = date.toISOString();
  }

  playing(on) {
    this.button.classList.toggle("on", on);
    this.button.setAttribute("aria-label", on ? "Pause" : "Play");
    this.button.title = on ? "Pause (Space)" : "Play (Space)";
  }

  build() {
    const { session } = this;
    const marks = [];
    for (const { t } of session.starts.slice(1)) marks.push(this.mark("segment", t));
    for (const { kind, t, end } of this.holes) marks.push(this.mark(kind, t, end));
    for (const t of this.spread(session.touches)) marks.push(this.mark("touch", t));
    for (const t of this.spread(session.logs.filter(({ level }) => level === "W"))) marks.push(this.mark("warning", t));
    for (const t of this.spread(session.logs.filter(({ level }) => "EF".includes(level)))) marks.push(this.mark("error", t));
    for (const { kind, t } of session.facts) marks.push(this.mark(kind, t));
    return marks;
  }

  mark(kind, t, end = t) {
    const mark = make("span", { className: "mark", dataset: { kind, t: String(Math.round(t)) } });
    mark.style.left = `${(100 * t) / this.session.duration}%`;
    if (end > t) mark.style.width = `${(100 * (end - t)) / this.session.duration}%`;
    return mark;
  }

  /** Times of items, at most one per bucket of the time line. */
  spread(items) {
    const seen = new Map();
    for (const { t } of items) {
      const bucket = Math.floor((BUCKETS * t) / Math.max(1, this.session.duration));
      if (!seen.has(bucket)) seen.set(bucket, t);
    }
    return seen.values();
  }

  chip(kind) {
    const pressed = String(!this.hidden.has(kind));
    const title = `Show or hide: ${kindName(kind)}`;
    return make("li", { dataset: { kind } }, make("button", { type: "button", "aria-pressed": pressed, title }, kindName(kind)));
  }

  toggle(button) {
    if (!button) return;
    const { kind } = button.closest("li").dataset;
    if (!this.hidden.delete(kind)) this.hidden.add(kind);
    button.setAttribute("aria-pressed", String(!this.hidden.has(kind)));
    this.sift();
  }

  sift() {
    for (const mark of this.marks.children) mark.hidden = this.hidden.has(mark.dataset.kind);
    this.onSift(this.hidden);
  }

  point(clientX) {
    if (!this.session) return;
    const box = this.track.getBoundingClientRect();
    const share = Math.max(0, Math.min((clientX - box.left) / box.width, 1));
    const t = share * this.session.duration;
    const near = (NEAR_PX / box.width) * this.session.duration;
    const names = this.tips
      .filter((item) => item.t - near <= t && t <= (item.end ?? item.t) + near && !this.hidden.has(item.kind))
      .slice(0, 3)
      .map((item) => item.name ?? item.text);
    const picture = this.session.has(t) ? this.film.at(t) : null;
    if (picture !== this.pictured) {
      this.pictured = picture;
      this.view = picture?.layers.length ? drawn(picture.layers, this.session.size) : null;
    }
    this.tip.replaceChildren(...(this.view ? [this.view] : []), [clock(t), ...names].join("\n"));
    this.tip.style.left = `${100 * share}%`;
    this.tip.classList.toggle("flip", share > 0.8);
    this.tip.hidden = false;
  }
}
