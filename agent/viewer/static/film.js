// The film strip: as many pictures as fit, each the one that was shown in the middle of its place.

import { drawn } from "./stack.js";
import { lastAt } from "./time.js";

const MOST = 80;
const AT_ONCE = 8;

export class Film {
  constructor(strip) {
    this.strip = strip;
    this.session = null;
    new ResizeObserver(() => this.draw()).observe(strip);
  }

  /** `session` may hold more pictures than at the last call. */
  load(session) {
    this.session = session;
    this.draw();
  }

  draw() {
    const { session, strip } = this;
    if (!session?.size || !strip.clientWidth) return;
    const each = Math.max(14, (strip.clientHeight * session.size.width) / Math.max(1, session.size.height));
    const count = Math.min(MOST, Math.max(1, Math.floor(strip.clientWidth / (each + 2))));
    if (strip.children.length !== count || this.of !== session) {
      this.of = session;
      strip.replaceChildren(...Array.from({ length: count }, () => Object.assign(document.createElement("div"), { className: "cell" })));
      this.shown = new Array(count).fill(null);
    }
    const due = [];
    for (let i = 0; i < count; i++) {
      const t = (session.duration * (i + 0.5)) / count;
      const picture = session.has(t) ? this.at(t) : null;
      if (picture && picture !== this.shown[i]) due.push([i, picture]);
    }
    this.fill(due);
  }

  /** A few at a time, when the page has nothing better to do. */
  fill(due) {
    cancelIdle(this.idle);
    if (!due.length) return;
    this.idle = whenIdle(() => {
      for (const [i, picture] of due.splice(0, AT_ONCE)) {
        this.shown[i] = picture;
        this.strip.children[i]?.replaceChildren(drawn(picture.layers, this.session.size));
      }
      this.fill(due);
    });
  }

  /** The pictures in force at an offset; null before the first. */
  at(t) {
    const { pictures } = this.session;
    return pictures[Math.max(0, lastAt(pictures, t))] ?? null;
  }
}

// Safari has no requestIdleCallback.
const whenIdle = globalThis.requestIdleCallback ?? ((work) => setTimeout(work, 30));
const cancelIdle = globalThis.cancelIdleCallback ?? clearTimeout;
