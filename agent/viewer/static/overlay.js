// What the viewer draws over the phone: the view that is picked, and what was covered. Lengths are dp of the screen.

import { make } from "./element.js";

export class Overlay {
  /** `onPick(x, y)` and `onPoint(x, y)` (null, null when the pointer leaves) are called while `picking` is on. */
  constructor(layer, { onPick, onPoint }) {
    this.layer = layer;
    this.boxes = layer.querySelector(".boxes");
    this.covers = layer.querySelector(".covers");
    this.size = { width: 1, height: 1 };
    const at = (event) => {
      const box = layer.getBoundingClientRect();
      const share = (value, from, length) => (value - from) / length;
      return [
        share(event.clientX, box.left, box.width) * this.size.width,
        share(event.clientY, box.top, box.height) * this.size.height,
      ];
    };
    layer.addEventListener("pointermove", (event) => this.picking && onPoint(...at(event)));
    layer.addEventListener("pointerleave", () => this.picking && onPoint(null, null));
    layer.addEventListener("click", (event) => this.picking && onPick(...at(event)));
  }

  resize(size) {
    this.size = size;
  }

  get picking() {
    return this.layer.classList.contains("picking");
  }

  set picking(on) {
    this.layer.classList.toggle("picking", on);
  }

  /** Outlines: `selected` and `pointed` are {left, top, width, height, name} or null. */
  mark(selected, pointed) {
    const shown = [selected && this.box(selected, "selected"), pointed && pointed !== selected && this.box(pointed, "pointed")];
    this.boxes.replaceChildren(...shown.filter(Boolean));
  }

  /** Covered places with the rules that covered them. */
  cover(rects) {
    this.covers.replaceChildren(...rects.map((rect) => this.box(rect, "cover")));
  }

  box({ left, top, width, height, name }, className) {
    const { width: all, height: whole } = this.size;
    const box = make("div", { className }, make("span", {}, name));
    box.classList.toggle("low", top < 18);
    box.classList.toggle("right", left > all / 2);
    box.style.left = `${(100 * left) / all}%`;
    box.style.top = `${(100 * top) / whole}%`;
    box.style.width = `${(100 * width) / all}%`;
    box.style.height = `${(100 * height) / whole}%`;
    return box;
  }
}
