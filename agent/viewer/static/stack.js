// The pictures that lie on each other at a moment: the base and the layers over parts of it. There may be none.

const BASE_ID = 10;

export class Stack {
  constructor() {
    this.base = null;
    this.over = new Map();
  }

  /** A new document. */
  full(node) {
    this.base = null;
    this.over.clear();
    this.put(node);
  }

  put(node) {
    if (node.tagName === "img" && node.id === BASE_ID) this.base = { ...whole(node.attributes) };
    else if (node.tagName === "img") this.over.set(node.id, { attributes: node.attributes, style: node.attributes.style });
    for (const child of node.childNodes ?? []) this.put(child);
  }

  /** A mutation's data; whether it changed any picture. */
  change({ removes, adds, attributes }) {
    let changed = false;
    for (const { id } of removes) changed = this.over.delete(id) || changed;
    for (const { node } of adds) {
      if (node.tagName !== "img") continue;
      this.put(node);
      changed = true;
    }
    for (const { id, attributes: now } of attributes) {
      const own = id === BASE_ID ? (this.base ??= whole(null)) : this.over.get(id);
      if (!own || !("src" in now || "style" in now)) continue;
      const next = { attributes: "src" in now ? now : own.attributes, style: now.style ?? own.style };
      if (id === BASE_ID) this.base = next;
      else this.over.set(id, next);
      changed = true;
    }
    return changed;
  }

  /** Bottom first: `attributes.src` is the address (read late), `attributes.digest` the name, `style` its place in dp. */
  layers() {
    return [...(this.base?.attributes ? [this.base] : []), ...this.over.values()];
  }
}

/** The stack as an element, `size` (dp) being the whole. Its pictures are decoded when there is time. */
export function drawn(layers, size) {
  const box = document.createElement("div");
  box.className = "stack";
  box.style.aspectRatio = `${size.width} / ${size.height}`;
  for (const { attributes, style } of layers) {
    const image = document.createElement("img");
    image.alt = "";
    image.decoding = "async";
    image.draggable = false;
    for (const [side, all] of Object.entries({ left: size.width, top: size.height, width: size.width, height: size.height })) {
      const length = style === undefined ? null : new RegExp(`(?:^|;)\\s*${side}:\\s*(-?[\\d.]+)px`).exec(style);
      if (length) image.style[side] = `${(100 * Number(length[1])) / all}%`;
    }
    image.src = attributes.src;
    box.append(image);
  }
  return box;
}

function whole(attributes) {
  return { attributes, style: undefined };
}
