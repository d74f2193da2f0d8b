// The time line: wall clock to offsets from the session's start, with pauses cut that nobody would sit through.

export const LONG_MS = 60_000;
export const SHORT_MS = 3_000;

export class Axis {
  /** `stretches`: [from, to] pairs of epoch times in which something was recorded, in any order, at least one. */
  constructor(stretches) {
    const ordered = stretches.slice().sort((a, b) => a[0] - b[0]);
    this.start = ordered[0][0];
    /** {at: offset at which the record goes on, removed: how much shorter the pause before it is played} */
    this.cuts = [];
    let end = ordered[0][1];
    let removed = 0;
    for (const [from, to] of ordered) {
      if (from - end > LONG_MS) {
        removed += from - end - SHORT_MS;
        this.cuts.push({ at: from - removed - this.start, removed: from - end - SHORT_MS });
      }
      end = Math.max(end, to);
    }
    this.duration = end - removed - this.start;
  }

  /** The wall clock (epoch ms) of an offset. */
  wall(t) {
    let removed = 0;
    for (const cut of this.cuts) if (cut.at <= t) removed += cut.removed;
    return this.start + t + removed;
  }

  /** The offset of a wall time, within the time line. */
  offset(wallMs) {
    let removed = 0;
    for (const cut of this.cuts) {
      const at = this.start + cut.at + removed;
      if (wallMs >= at + cut.removed) removed += cut.removed;
      else if (wallMs > at) return cut.at;
    }
    return Math.max(0, Math.min(wallMs - this.start - removed, this.duration));
  }
}
