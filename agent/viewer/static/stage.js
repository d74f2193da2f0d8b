// The phone: rrweb's player, sized to the room that there is, with a seek that ends when the picture is on the glass.

/* global rrwebPlayer */

import { lastAt } from "./session.js";

const BEZEL = 2 * 11;

export class Stage {
  /** `onTime(ms)` follows the playhead, `onState(playing)` the player. */
  constructor(room, phone, { onTime, onState }) {
    this.room = room;
    this.phone = phone;
    this.onTime = onTime;
    this.onState = onState;
    this.player = null;
    this.playing = false;
    this.position = 0;
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(room);
  }

  load(model) {
    this.unload();
    this.duration = model.duration;
    this.size = model.size;
    this.fingers = model.fingers;
    this.asked = null;
    this.player = new rrwebPlayer.Player({
      target: this.phone,
      props: {
        events: model.events,
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
    replayer.on("resize", (size) => {
      this.size = size;
      this.fit();
    });
    this.player.addEventListener("ui-update-current-time", ({ payload }) => this.moved(payload));
    this.player.addEventListener("ui-update-player-state", ({ payload }) => {
      this.playing = payload === "playing";
      this.onState(this.playing);
    });
    this.fit();
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
    // The player applies what lies before the time that it is given, and queues the rest.
    this.player.goto(Math.min(t + 1, this.duration));
    // The player lifts a finger only where it meets the event that does.
    if (!this.fingers[lastAt(this.fingers, t)]?.down) {
      this.player.getReplayer().wrapper.querySelector(".replayer-mouse")?.classList.remove("touch-active");
    }
    this.position = t;
    this.onTime(t);
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
      await painted();
      const images = [...(this.player?.getReplayer().iframe.contentDocument?.images ?? [])];
      const sources = images.map((image) => image.src);
      await Promise.all(images.map((image) => image.decode().catch(() => undefined)));
      await painted();
      if (images.length && images.every((image, i) => image.isConnected && image.src === sources[i])) return;
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
  }

  moved(ms) {
    this.position = this.asked !== null && ms === Math.min(this.asked + 1, this.duration) ? this.asked : ms;
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
