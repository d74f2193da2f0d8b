// What makes up the screen at a moment, bottom first: a base picture with layers over parts of it, or, in a recording
// without pictures, the views as boxes.

const BASE_ID = 10;

export class Stack {
  constructor() {
    this.full(null);
  }

  /** A new document. */
  full(node) {
    this.base = null;
    this.over = [];
    this.views = new Map();
    if (node) this.put(node);
  }

  /** `nextId` is the layer that comes to lie above. */
  put(node, nextId = null) {
    const { id, tagName, attributes = {} } = node;
    if (id === BASE_ID) this.base = tagName === "img" ? { id, attributes } : null;
    else if (tagName === "img") {
      const above = this.over.findIndex((layer) => layer.id === nextId);
      this.over.splice(above < 0 ? this.over.length : above, 0, { id, attributes, style: attributes.style });
    } else if (String(attributes.class ?? "").split(" ").includes("v")) this.views.set(id, { id, style: attributes.style });
    for (const child of node.childNodes ?? []) this.put(child);
  }

  /** A mutation's data; whether it changed what `layers` gives. */
  change({ removes, adds, attributes }) {
    let pictures = false;
    let views = false;
    for (const { id } of removes) {
      views = this.views.delete(id) || views;
      const kept = this.over.filter((layer) => layer.id !== id);
      pictures ||= kept.length < this.over.length;
      this.over = kept;
    }
    for (const { node, nextId } of adds) {
      this.put(node, nextId);
      if (node.tagName === "img") pictures = true;
      else views = true;
    }
    for (const { id, attributes: now } of attributes) {
      if (id === BASE_ID && this.base && "src" in now) {
        this.base = { id, attributes: now };
        pictures = true;
      } else if (this.views.has(id) && now.style) {
        this.views.set(id, { id, style: now.style });
        views = true;
      }
      const at = this.over.findIndex((layer) => layer.id === id);
      if (at < 0) continue;
      const { attributes: before, style } = this.over[at];
      this.over[at] = { id, attributes: "src" in now ? now : before, style: now.style ?? style };
      pictures = true;
    }
    return pictures || (views && !this.base);
  }

  /** `attributes.src` is a picture's address (read late) and `attributes.digest` its name, `style` its place in dp. */
  layers() {
    return this.base ? [this.base, ...this.over] : [...this.views.values()];
  }
}

/** A stack's layers as an element, `size` (dp) being the whole. Its pictures are decoded when there is time. */
export function drawn(layers, size) {
  const box = document.createElement("div");
  box.className = "stack";
  box.style.aspectRatio = `${size.width} / ${size.height}`;
  const whole = { left: size.width, top: size.height, width: size.width, height: size.height };
  for (const { attributes, style } of layers) {
    const layer = document.createElement(attributes ? "img" : "i");
    for (const [side, all] of Object.entries(whole)) {
      const length = new RegExp(`(?:^|;)\\s*${side}:\\s*(-?[\\d.]+)px`).exec(style ?? "");
      if (length) layer.style[side] = `${(100 * Number(length[1])) / all}%`;
    }
    if (attributes) Object.assign(layer, { alt: "", decoding: "async", draggable: false, src: attributes.src });
    box.append(layer);
  }
  return box;
}
