// The moment that is shown, in a session that may still be read: what is asked for and not there yet is read first.

import { Session } from "./session.js";
import { lastAt } from "./time.js";

const GATHER_MS = 400;
const AHEAD = 40;

export class Playhead {
  /**
   * `onLists(session)`: more of the session is known. `onTime(t, sought)`: the moment is shown; somebody asked for it or
   * it is played. `onWait(t)`: it is being read. `onRead(session)`: one more segment was read.
   */
  constructor(stage, source, { onLists, onTime, onWait, onRead }) {
    Object.assign(this, { stage, source, onLists, onTime, onWait, onRead });
    this.session = null;
    this.wanted = null;
    this.asked = false;
    this.sought = false;
    /** Whether it plays on once the moment that it waits for is there. */
    this.resume = false;
    this.reading = new AbortController();
  }

  get position() {
    return this.wanted ?? this.stage.position;
  }

  get playing() {
    return this.wanted === null ? this.stage.playing : this.resume;
  }

  close() {
    this.reading.abort();
    this.session = this.wanted = null;
    this.stage.unload();
  }

  /**
   * Show a session from moment `t` on. Resolves to its signal once that is on the glass, to null when another was
   * opened meanwhile. Raises Error in words when there is nothing to show.
   */
  async open(chosen, t) {
    this.close();
    const { signal } = (this.reading = new AbortController());
    const session = new Session(chosen, this.source);
    try {
      await session.open(signal);
      const first = Math.max(0, Math.min(t, session.duration));
      await session.need(first, signal);
      // One whose first segments cannot be read is shown from the first that can.
      if (!session.size) await session.rest(() => first, signal, () => undefined);
    } catch (error) {
      if (signal.aborted) return null;
      throw error;
    }
    if (signal.aborted) return null;
    if (!session.size) throw new Error(session.harm ?? "nothing of it can be read");
    this.session = session;
    session.gather();
    this.stage.load(session);
    this.onLists(session);
    this.seek(t);
    await this.stage.settled();
    return signal.aborted ? null : signal;
  }

  /** Read the rest of the session while it is already shown. Resolves to whether all of it came. */
  async complete(signal) {
    const { session } = this;
    let due = null;
    const gather = () => {
      due = null;
      if (!signal.aborted) this.gather();
    };
    try {
      await session.rest(
        () => this.position,
        signal,
        () => {
          this.onRead(session);
          due ??= setTimeout(gather, GATHER_MS);
        },
      );
    } catch (error) {
      if (signal.aborted) return false;
      throw error;
    }
    clearTimeout(due);
    gather();
    return !signal.aborted;
  }

  seek(ms) {
    this.go(ms, true);
  }

  /** `asked`: somebody wants to be there. It is not when playing has come upon a moment that is not read yet. */
  go(ms, asked) {
    const { session, stage } = this;
    if (!session) return;
    const t = Math.max(0, Math.min(ms, session.duration));
    if (Number.isNaN(t)) return;
    const waited = this.wanted !== null;
    if (!waited) this.resume = stage.playing;
    this.wanted = null;
    this.asked = asked;
    if (!session.has(t)) return this.wait(t);
    this.sought = asked;
    stage.seek(t);
    this.sought = false;
    // From the end the player would start anew.
    if (waited && this.resume && t < session.duration) stage.play();
  }

  /** While a moment is waited for, this is about what comes then. */
  toggle() {
    if (this.wanted === null) return this.stage.toggle();
    this.resume = !this.resume;
    this.onWait(this.wanted);
  }

  /** Called by the stage while it plays and when it was sought. */
  moved(t) {
    const { session } = this;
    if (!session || this.wanted !== null) return;
    if (this.playing && !session.has(t)) this.go(t, false);
    else this.onTime(t, this.sought);
  }

  /** Resolves when the moment that was asked for is there and on the glass. */
  async settled() {
    while (this.wanted !== null) {
      await this.session.need(this.wanted, this.reading.signal);
      this.gather();
    }
    await this.stage.settled();
  }

  /** Pictures that come next, so that each is there when it is due. */
  warm(t) {
    const { pictures } = this.session;
    const first = lastAt(pictures, t) + 1;
    const layers = pictures.slice(first, first + AHEAD).flatMap((picture) => picture.layers);
    this.source.warm(new Set(layers.map(({ attributes }) => attributes?.digest).filter(Boolean)));
  }

  wait(t) {
    const { session } = this;
    this.stage.pause();
    this.wanted = t;
    this.onWait(t);
    session
      .need(t, this.reading.signal)
      .then(() => {
        if (this.wanted === t && this.session === session) this.gather();
      })
      .catch(() => undefined);
  }

  gather() {
    const { session } = this;
    this.stage.add(session.gather());
    this.onLists(session);
    if (this.wanted !== null && session.has(this.wanted)) this.go(this.wanted, this.asked);
  }
}
