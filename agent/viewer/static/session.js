// A session of a recording: which there are, and the parts of one as they are read.

import { Axis, LONG_MS, SHORT_MS } from "./axis.js";
import { merged } from "./notices.js";
import { read } from "./reader.js";
import { span } from "./time.js";

const LANES = 3;
const LISTS = ["events", "facts", "logs", "notices", "touches", "fingers", "pictures", "masks", "labels", "starts"];

/** The sessions of a recording, newest first: {key, sessionId, deviceId, segments, start, end}. */
export function sessions(manifests) {
  const found = new Map();
  for (const manifest of manifests) {
    const key = `${manifest.session_id}\u0000${manifest.device_id}`;
    const session = found.get(key) ?? {
      key,
      sessionId: String(manifest.session_id),
      deviceId: manifest.device_id,
      segments: [],
      start: Infinity,
      end: -Infinity,
    };
    session.segments.push(manifest);
    session.start = Math.min(session.start, manifest.start_ms);
    session.end = Math.max(session.end, manifest.end_ms);
    found.set(key, session);
  }
  for (const session of found.values()) session.segments.sort((a, b) => a.start_ms - b.start_ms || a.seq - b.seq);
  return [...found.values()].sort((a, b) => b.start - a.start);
}

/**
 * What is known of a session so far. `open` decides the time line, `need` reads the segment of a moment, `rest` all
 * others. The lists (events, facts, logs, ...) hold what was read, in order of `t`, once `gather` was called.
 */
export class Session {
  constructor(session, source) {
    this.segments = session.segments;
    this.source = source;
    this.parts = new Array(this.segments.length);
    this.reading = new Map();
    this.fresh = [];
    this.size = null;
    for (const list of LISTS) this[list] = [];
  }

  /** Pauses within a segment are cut, too: segments long enough to hold one are read before the time line is known. */
  async open(signal) {
    const raw = new Map();
    for (const [index, segment] of this.segments.entries()) {
      if (segment.end_ms - segment.start_ms > LONG_MS) raw.set(index, await this.fetch(index, signal));
    }
    const stretches = this.segments.flatMap((segment, index) => {
      const times = (raw.get(index)?.events ?? []).map((event) => event?.timestamp).filter(Number.isFinite);
      return times.length ? times.map((at) => [at, at]) : [[segment.start_ms, segment.end_ms]];
    });
    this.axis = new Axis(stretches);
    this.duration = this.axis.duration;
    this.cuts = this.axis.cuts.map(({ at, removed }) => {
      const text = `${span(removed + SHORT_MS)} without any record, played as ${SHORT_MS / 1000} s`;
      return { t: at - SHORT_MS, end: at, kind: "cut", text };
    });
    for (const [index, part] of raw) this.take(index, part);
  }

  wall(t) {
    return this.axis.wall(t);
  }

  get complete() {
    return this.done === this.parts.length;
  }

  get done() {
    return this.parts.reduce((sum, part) => sum + (part ? 1 : 0), 0);
  }

  /** Which segment shows the moment: the last that has begun. */
  at(t) {
    let found = 0;
    for (const [index, segment] of this.segments.entries()) if (this.axis.offset(segment.start_ms) <= t) found = index;
    return found;
  }

  /** Read the segment of a moment, and those before it as long as they show nothing. Resolves to whether it was new. */
  async need(t, signal) {
    let fresh = false;
    for (let index = this.at(t); index >= 0; index--) {
      fresh ||= !this.parts[index];
      await this.part(index, signal);
      if (this.parts[index].events.length) break;
    }
    return fresh;
  }

  has(t) {
    return Boolean(this.parts[this.at(t)]);
  }

  /** Read all that is left, onwards from the moment that `now()` gives; `onPart` is called after each. */
  async rest(now, signal, onPart) {
    const lane = async () => {
      while (!signal.aborted) {
        const order = [...this.parts.keys()];
        const first = this.at(now());
        const index = [...order.slice(first), ...order.slice(0, first)].find((i) => !this.parts[i] && !this.reading.has(i));
        if (index === undefined) return;
        await this.part(index, signal);
        onPart();
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    await Promise.all(this.reading.values());
  }

  part(index, signal) {
    if (this.parts[index]) return Promise.resolve();
    if (!this.reading.has(index)) {
      const work = this.fetch(index, signal).then((raw) => this.take(index, raw));
      this.reading.set(index, work.finally(() => this.reading.delete(index)));
    }
    return this.reading.get(index);
  }

  async fetch(index, signal) {
    try {
      return { events: await this.source.events(this.segments[index], signal) };
    } catch (error) {
      if (signal.aborted) throw error;
      return { events: [], reason: error.message };
    }
  }

  take(index, { events, reason }) {
    const segment = this.segments[index];
    const part = read(events, this.axis, this.source);
    const t = this.axis.offset(segment.start_ms);
    const end = this.axis.offset(segment.end_ms);
    const short = `Segment ${segment.seq} cannot be read`;
    if (reason) part.notices.push({ t, end, kind: "lost", text: `${short}: ${reason}`, short });
    if (part.strange) {
      const text = `${part.strange} events of segment ${segment.seq} make no sense and are left out`;
      part.notices.push({ t, end: t, kind: "lost", text, short: text });
    }
    this.parts[index] = part;
    this.size ??= part.size;
    this.fresh.push(...part.events);
  }

  /** What the first part says that could not be read; null when all could. */
  get harm() {
    return this.parts.flatMap((part) => part?.notices ?? []).find(({ kind }) => kind === "lost")?.text ?? null;
  }

  /** Put what was read into the lists; returns the events that were not in them before. */
  gather() {
    const read = this.parts.filter(Boolean);
    for (const list of LISTS) this[list] = read.flatMap((part) => part[list]).sort((a, b) => a.t - b.t);
    this.notices = merged([...this.notices, ...this.cuts], this.starts, this.duration);
    return this.fresh.splice(0);
  }
}
