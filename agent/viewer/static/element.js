// Making elements. Text goes in as text: nothing that was recorded is ever read as markup.

/** `make("li", {className: "x", dataset: {kind}}, "text", child)`; other properties are set as they are. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "dataset") Object.assign(element.dataset, value);
    else if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A span with a class. */
export function piece(className, text) {
  return make("span", { className }, text);
}

// What each child of an arranged list stands for.
const shown = new WeakMap();

/**
 * Let a list have one child for each item, in their order; `build(item)` makes those that it has not yet. What stays
 * where it is keeps the focus.
 */
export function arrange(list, items, build) {
  const focused = document.activeElement;
  const wanted = new Set(items);
  const kept = new Map();
  for (const child of [...list.children]) {
    const item = shown.get(child);
    if (wanted.has(item)) kept.set(item, child);
    else child.remove();
  }
  let next = list.firstElementChild;
  for (const item of wanted) {
    const child = kept.get(item) ?? build(item);
    shown.set(child, item);
    if (child === next) next = next.nextElementSibling;
    else list.insertBefore(child, next);
  }
  if (list.contains(focused)) focused.focus({ preventScroll: true });
}

/** Bring a row into view within its box only: scrollIntoView would move the page, too. */
export function reveal(box, row) {
  if (!row) {
    box.scrollTop = 0;
    return;
  }
  const top = row.getBoundingClientRect().top - box.getBoundingClientRect().top + box.scrollTop;
  const bottom = top + row.offsetHeight;
  if (top < box.scrollTop || bottom > box.scrollTop + box.clientHeight) {
    box.scrollTop = Math.max(0, top - (box.clientHeight - row.offsetHeight) / 2);
  }
}

// Controls, and lists whose rows arrows choose, take the focus for their own ends.
const READ = "[tabindex='0']:not(button, summary, [role=listbox], [role=tree])";
const DOWN = { side: "Height", overflow: "overflowY" };
const ACROSS = { side: "Width", overflow: "overflowX" };
const AXES = { ArrowUp: DOWN, ArrowDown: DOWN, Home: DOWN, End: DOWN, " ": DOWN, ArrowLeft: ACROSS, ArrowRight: ACROSS };

/**
 * Whether a key scrolls what the focus is in: a text that takes the focus for that alone, or the pane around it. At an end
 * too: who scrolls on there does not want to leave the moment.
 */
export function scrolls(target, key) {
  const axis = AXES[key];
  if (!axis) return false;
  for (let each = target.closest?.(READ) ?? null; each && each !== document.body; each = each.parentElement) {
    const far = each[`scroll${axis.side}`] - each[`client${axis.side}`];
    if (far > 1 && /auto|scroll/.test(getComputedStyle(each)[axis.overflow])) return true;
  }
  return false;
}

const HOLD_MS = 4000;

/** Whether the user has just scrolled a list by hand, which then must not follow the playhead; a seek ends it. */
export class Hold {
  constructor(box) {
    this.until = 0;
    const hold = () => (this.until = performance.now() + HOLD_MS);
    for (const name of ["wheel", "touchmove", "pointerdown"]) box.addEventListener(name, hold, { passive: true });
    box.addEventListener("keydown", ({ target, key }) => (key.startsWith("Page") || scrolls(target, key)) && hold());
  }

  get on() {
    return performance.now() < this.until;
  }

  release() {
    this.until = 0;
  }
}

/** Put text on the clipboard; whether the browser allowed it. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // A page from disk or from another machine's address may have no clipboard of its own.
    const focused = document.activeElement;
    const area = make("textarea", { value: text, className: "aside" });
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    focused?.focus({ preventScroll: true });
    return done;
  }
}
