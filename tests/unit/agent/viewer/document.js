// As much of a browser's document as the modules under test ask for. Nothing is laid out: heights are what a test sets.

export class Element {
  constructor(tag, attributes = {}) {
    Object.assign(this, { tag, attributes: { ...attributes }, dataset: {}, style: {}, heard: {}, className: "", hidden: false });
    Object.assign(this, { content: [], parentElement: null, scrollTop: 0, clientHeight: 0, scrollHeight: 0 });
    const names = new Set();
    this.classList = { add: (name) => names.add(name), toggle: (name, on) => (on ? names.add(name) : names.delete(name)) };
  }

  get children() {
    return this.content.filter((child) => child instanceof Element);
  }

  get firstElementChild() {
    return this.children[0] ?? null;
  }

  get nextElementSibling() {
    const beside = this.parentElement?.children ?? [];
    return beside[beside.indexOf(this) + 1] ?? null;
  }

  get isConnected() {
    return this.parentElement !== null;
  }

  get textContent() {
    return this.content.map((child) => child.textContent ?? child).join("");
  }

  set textContent(text) {
    this.replaceChildren(String(text));
  }

  append(...added) {
    for (const child of added) this.insertBefore(child, null);
  }

  replaceChildren(...added) {
    for (const child of this.children) child.remove();
    this.content = [];
    this.append(...added);
  }

  insertBefore(child, next) {
    child.remove?.();
    if (child instanceof Element) child.parentElement = this;
    this.content.splice(next ? this.content.indexOf(next) : this.content.length, 0, child);
  }

  remove() {
    if (!this.parentElement) return;
    if (this.contains(document.activeElement)) document.activeElement = document.body;
    this.parentElement.content = this.parentElement.content.filter((child) => child !== this);
    this.parentElement = null;
  }

  contains(other) {
    for (let each = other; each; each = each.parentElement) if (each === this) return true;
    return false;
  }

  setAttribute(name, value) {
    this.attributes[name] = value;
  }

  getAttribute(name) {
    return this.attributes[name] ?? null;
  }

  removeAttribute(name) {
    delete this.attributes[name];
  }

  closest(selector) {
    for (let each = this; each; each = each.parentElement) if (fits(each, selector)) return each;
    return null;
  }

  querySelectorAll(selector) {
    return this.children.flatMap((child) => [...(fits(child, selector) ? [child] : []), ...child.querySelectorAll(selector)]);
  }

  focus() {
    document.activeElement = this;
  }

  select() {
    this.focus();
  }

  scrollIntoView() {}

  addEventListener(name, listener) {
    (this.heard[name] ??= []).push(listener);
  }

  /** Whatever listens to an event is told of it, here and above. */
  fire(name, event = {}) {
    const told = { target: this, preventDefault: () => (told.prevented = true), stopPropagation: () => undefined, ...event };
    for (let each = this; each; each = each.parentElement) for (const listener of each.heard[name] ?? []) listener(told);
    return told;
  }
}

/** Tags, attributes and :not() of them. */
function fits(element, selector) {
  return selector.match(/(?:[^,(]|\([^)]*\))+/g).some((each) => {
    const [, plain, not] = /^\s*([^:]*)(?::not\((.*)\))?\s*$/.exec(each);
    const [, tag, rest] = /^([\w-]*)(.*)$/.exec(plain);
    const asked = [...rest.matchAll(/\[([\w-]+)(?:='?([^'\]]*)'?)?\]/g)];
    const has = ([, name, value]) => (value === undefined ? name in element.attributes : element.attributes[name] === value);
    return (!tag || element.tag === tag) && asked.every(has) && !(not && fits(element, not));
  });
}

const sized = new Map();

/** A box turns out to be so high. */
export function resize(box, height) {
  box.clientHeight = height;
  for (const each of sized.get(box)) each([{ target: box, borderBoxSize: [{ blockSize: height }] }]);
}

/** What was put off until the next frame happens. */
export function frame() {
  for (const [id, work] of [...frames]) {
    frames.delete(id);
    work();
  }
}

const frames = new Map();
let count = 0;
let now = 0;

/** So many milliseconds pass by the page's own clock. */
export function pass(ms) {
  now += ms;
}

const body = new Element("body");
Object.assign(globalThis, {
  document: Object.assign(new Element("html"), { body, activeElement: body, createElement: (tag) => new Element(tag), querySelector: () => null }),
  getComputedStyle: ({ style }) => style,
  requestAnimationFrame: (work) => frames.set(++count, work) && count,
  cancelAnimationFrame: (id) => frames.delete(id),
  addEventListener: (name, listener) => body.addEventListener(name, listener),
  setTimeout: () => 0,
  clearTimeout: () => undefined,
  ResizeObserver: class {
    constructor(told) {
      this.told = told;
    }

    observe(element) {
      sized.set(element, [...(sized.get(element) ?? []), this.told]);
    }

    unobserve() {}
  },
});
performance.now = () => now;
