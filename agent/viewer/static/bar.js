// The transport: buttons, clocks, and the time line with its film strip and marks.

import { clock, lastAt, wall } from "./session.js";

const BUCKETS = 500;
const NEAR_PX = 6;

export class Bar {
  /** `root` holds the markup; `onSeek(ms)` is called when the user drags or clicks. */
  constructor(root, { onSeek }) {
    this.track = root.querySelector(".track");
    this.film = root.querySelector(".film");
    this.marks = root.querySelector(".marks");
    this.head = root.querySelector(".head");
    this.tip = root.querySelector(".tip");
    this.slider = root.querySelector("input[type=range]");
    this.now = root.querySelector("#now");
    this.total = root.querySelector("#total");
    this.wall = root.querySelector("#wall");
    this.button = root.querySelector("#play");
    this.legend = root.querySelector(".legend");
    this.model = null;
    this.slider.addEventListener("input", () => onSeek(Number(this.slider.value)));
    this.track.addEventListener("pointermove", (event) => this.point(event.clientX));
    this.track.addEventListener("pointerleave", () => (this.tip.hidden = true));
    new ResizeObserver(() => this.strip()).observe(this.film);
  }

  load(model) {
    this.model = model;
    this.slider.max = String(model.duration);
    this.slider.disabled = false;
    this.total.textContent = clock(model.duration);
    // Something is covered nearly always, and hints stand in most recordings: marks for these would say nothing.
    this.holes = model.notices.filter(({ kind }) => kind !== "mask" && kind !== "hint");
    this.tips = [...model.facts, ...this.holes].sort((a, b) => a.t - b.t);
    this.marks.replaceChildren(...this.build());
    const kinds = [...new Set([...this.marks.children].map((mark) => mark.dataset.kind))];
    this.legend.replaceChildren(...kinds.filter((kind) => kind in NAMES).map(chip));
    this.strip();
    this.show(0);
  }

  show(t) {
    const share = this.model.duration ? t / this.model.duration : 0;
    this.head.style.left = `${100 * share}%`;
    this.slider.value = String(Math.round(t));
    this.slider.setAttribute("aria-valuetext", `${clock(t)} of ${clock(this.model.duration)}`);
    this.now.textContent = clock(t);
    const date = new Date(wall(this.model, t));
    this.wall.textContent = date.toLocaleTimeString([], { hour12: false });
    this.wall.dateTime = date.toISOString();
  }

  playing(on) {
    this.button.classList.toggle("on", on);
    this.button.setAttribute("aria-label", on ? "Pause" : "Play");
    this.button.title = on ? "Pause (Space)" : "Play (Space)";
  }

  build() {
    const { model } = this;
    const marks = [];
    for (const { t } of model.segments.slice(1)) marks.push(this.mark("segment", t));
    for (const { kind, t, end } of this.holes) marks.push(this.mark(kind, t, end));
    for (const t of spread(model.touches, model.duration)) marks.push(this.mark("touch", t));
    const loud = model.logs.filter(({ level }) => "WEF".includes(level));
    for (const t of spread(loud.filter(({ level }) => level === "W"), model.duration)) marks.push(this.mark("warning", t));
    for (const t of spread(loud.filter(({ level }) => level !== "W"), model.duration)) marks.push(this.mark("error", t));
    for (const { kind, t } of model.facts) marks.push(this.mark(kind, t));
    return marks;
  }

  mark(kind, t, end = t) {
    const mark = document.createElement("span");
    mark.className = "mark";
    mark.dataset.kind = kind;
    mark.dataset.t = String(Math.round(t));
    mark.style.left = `${(100 * t) / this.model.duration}%`;
    if (end > t) mark.style.width = `${(100 * (end - t)) / this.model.duration}%`;
    return mark;
  }

  /** As many pictures as fit, each the one that was shown when its place in the strip begins. */
  strip() {
    if (!this.model) return;
    const { pictures, size, duration } = this.model;
    const width = this.film.clientWidth;
    const each = Math.max(12, (this.film.clientHeight * size.width) / Math.max(1, size.height));
    const count = Math.min(80, Math.max(1, Math.floor(width / (each + 2))));
    if (this.stripOf === this.model && this.stripCount === count) return;
    this.stripOf = this.model;
    this.stripCount = count;
    const images = [];
    for (let i = 0; i < count && pictures.length; i++) {
      const image = document.createElement("img");
      image.alt = "";
      image.decoding = "async";
      image.src = pictures[Math.max(0, lastAt(pictures, (duration * i) / count))].src;
      images.push(image);
    }
    this.film.replaceChildren(...images);
  }

  point(clientX) {
    if (!this.model) return;
    const box = this.track.getBoundingClientRect();
    const share = Math.max(0, Math.min((clientX - box.left) / box.width, 1));
    const t = share * this.model.duration;
    const near = (NEAR_PX / box.width) * this.model.duration;
    const names = this.tips
      .filter((item) => item.t - near <= t && t <= (item.end ?? item.t) + near)
      .slice(0, 3)
      .map((item) => item.name ?? item.text);
    this.tip.textContent = [clock(t), ...names].join("\n");
    this.tip.style.left = `${100 * share}%`;
    this.tip.classList.toggle("flip", share > 0.8);
    this.tip.hidden = false;
  }
}

export const NAMES = {
  track: "Track",
  screen: "Screen",
  identify: "Identify",
  group: "Group",
  alias: "Alias",
  session: "Session",
  marker: "Marker",
  note: "Note",
  crash: "Crash",
  anr: "Hang",
  lowmemory: "No memory",
  process: "Process",
  app: "App",
  keyboard: "Keyboard",
  "screen-state": "Screen on/off",
  rotation: "Rotation",
  touch: "Touch",
  warning: "Warning",
  error: "Error",
  gap: "Gap",
  lost: "Unreadable",
  cut: "Shortened",
  blocked: "Blocked",
  fault: "Fault",
  hint: "Hint",
  mask: "Mask",
};

function chip(kind) {
  const item = document.createElement("li");
  item.dataset.kind = kind;
  item.textContent = NAMES[kind];
  return item;
}

/** Times of items, at most one per bucket of the time line. */
function spread(items, duration) {
  const seen = new Map();
  for (const { t } of items) {
    const bucket = Math.floor((BUCKETS * t) / Math.max(1, duration));
    if (!seen.has(bucket)) seen.set(bucket, t);
  }
  return seen.values();
}
