// The phone: rrweb's player, sized to the room that there is, with a seek that ends when the picture is on the glass.

/* global rrwebPlayer */

import { lastAt } from "./time.js";

const BEZEL = 2 * 11;
/** In milliseconds, of which events have whole ones. */
const BEHIND = 0.5;

export class Stage {
  /** `onTime(ms)` follows the playhead, `onState(playing)` the player, `onSize({width, height})` the screen in dp. */
  constructor(room, phone, { onTime, onState, onSize }) {
    this.room = room;
    this.phone = phone;
    this.onTime = onTime;
    this.onState = onState;
    this.onSize = onSize;
    this.player = null;
    this.playing = false;
    this.position = 0;
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(room);
  }

  /** `session` may still lack segments: they come with `add`. Its first and last instant are fixed from now on. */
  load(session) {
    this.unload();
    this.session = session;
    this.duration = session.duration;
    this.size = session.size ?? { width: 0, height: 0 };
    this.asked = null;
    const { start } = session.axis;
    const edge = (at) => ({ type: 5, timestamp: at, data: { tag: "edge", payload: {} } });
    this.player = new rrwebPlayer.Player({
      target: this.phone,
      props: {
        // Events of the last instant are applied, too: what is sought is a little later.
        events: [edge(start), ...session.events, edge(start + this.duration + 1)],
        width: 1,
        height: 1,
        maxScale: 0,
        autoPlay: false,
        skipInactive: false,
        showController: false,
        triggerFocus: false,
        mouseTail: false,
        speedOption: [0.5, 1, 2, 4, 8],
        speed: 1,
      },
    });
    const replayer = this.player.getReplayer();
    replayer.iframe.title = "Recorded screen";
    replayer.iframe.tabIndex = -1;
    let fitted = {};
    replayer.on("resize", (size) => {
      // Every segment that is played begins with it.
      if (size.width === fitted.width && size.height === fitted.height) return;
      fitted = this.size = size;
      this.fit();
    });
    // The player leaves the document open, and a page that is still being read would wait for it for ever.
    replayer.on("fullsnapshot-rebuilded", () => this.document.close());
    this.player.addEventListener("ui-update-current-time", ({ payload }) => this.moved(payload));
    this.player.addEventListener("ui-update-player-state", ({ payload }) => {
      this.playing = payload === "playing";
      this.onState(this.playing);
    });
    this.fit();
  }

  /**
   * More events, of any time. The player's own addEvent would play those of the past at once, over what is shown; its
   * list (rrweb-player 2.1.6, Replayer: service.state.context.events) is read anew by every seek and start.
   */
  add(events) {
    if (!this.player || !events.length) return;
    const list = this.player.getReplayer().service.state.context.events;
    const last = list.pop();
    list.push(...events);
    list.sort((a, b) => a.timestamp - b.timestamp).push(last);
    if (this.playing) this.player.goto(this.position, true);
  }

  /** The recorded document as it is now; null before there is one. */
  get document() {
    return this.player?.getReplayer().iframe.contentDocument ?? null;
  }

  /** rrweb's id of a node in that document. */
  idOf(node) {
    return this.player.getReplayer().getMirror().getId(node);
  }

  unload() {
    if (!this.player) return;
    this.player.pause();
    this.player.$destroy();
    this.phone.replaceChildren();
    this.player = null;
    this.position = 0;
  }

  /** Show the state at `ms`, events at exactly that time included. */
  seek(ms) {
    if (!this.player) return;
    const t = Math.max(0, Math.min(Math.round(ms), this.duration));
    this.asked = t;
    // The player applies what lies before the time that it is given, and queues the rest. By a whole millisecond more it
    // would take the next segment for the one that is shown, and apply nothing before that.
    this.player.goto(t + BEHIND);
    // The player lifts a finger only where it meets the event that does.
    if (!this.session.fingers[lastAt(this.session.fingers, t)]?.down) {
      this.player.getReplayer().wrapper.querySelector(".replayer-mouse")?.classList.remove("touch-active");
    }
    this.position = t;
    this.onTime(t);
  }

  pause() {
    this.player?.pause();
  }

  play() {
    this.player?.play();
  }

  toggle() {
    if (!this.player) return;
    if (this.playing) this.player.pause();
    else if (this.position >= this.duration) this.player.goto(0, true);
    else this.player.play();
  }

  speed(factor) {
    this.player?.setSpeed(factor);
  }

  /** Resolves when the pictures that are shown now are decoded and painted. */
  async settled() {
    // A document that never shows a picture (a damaged recording) must not be waited for without end.
    for (let round = 0; round < 100; round++) {
      const images = [...(this.player?.getReplayer().iframe.contentDocument?.images ?? [])];
      const sources = images.map((image) => image.src);
      await Promise.all(images.map((image) => image.decode().catch(() => undefined)));
      await painted();
      // Without pictures (level text) there is nothing more to wait for.
      if (images.every((image, i) => image.isConnected && image.src === sources[i])) return;
    }
  }

  fit() {
    if (!this.player || !this.size.width) return;
    const width = this.room.clientWidth - BEZEL;
    const height = this.room.clientHeight - BEZEL;
    const scale = Math.max(0.1, Math.min(width / this.size.width, height / this.size.height, 2));
    this.player.$set({ width: Math.floor(this.size.width * scale), height: Math.floor(this.size.height * scale) });
    const { wrapper, iframe } = this.player.getReplayer();
    if (iframe.offsetWidth) this.player.triggerResize();
    wrapper.dataset.scale = scale;
    this.onSize(this.size);
  }

  moved(ms) {
    this.position = this.asked !== null && ms === this.asked + BEHIND ? this.asked : ms;
    if (this.playing) this.asked = null;
    this.position = Math.min(this.position, this.duration);
    this.onTime(this.position);
  }
}

/** Two frames, so that what was set is laid out and painted; a page in the background gets none, so not for ever. */
function painted() {
  return new Promise((resolve) => {
    const late = setTimeout(resolve, 250);
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        clearTimeout(late);
        resolve();
      }),
    );
  });
}
