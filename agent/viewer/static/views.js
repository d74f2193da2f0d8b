// The views of the moment that is shown, read from the replayed document: a tree to walk, and what one of them is.

import { copy, make, piece, reveal } from "./element.js";
import { place, selectors } from "./selectors.js";

const MOST = 3000;

export class Views {
  /** `stage` gives the document, `density()` pixels per dp or null, `onMark(selected, pointed)` draws outlines. */
  constructor({ tree, detail, count, filter }, { stage, density, onMark, say }) {
    Object.assign(this, { tree, detail, count, filter, stage, density, onMark, say });
    this.views = [];
    this.selected = null;
    this.pointed = null;
    this.shown = false;
    tree.addEventListener("click", (event) => this.choose(this.of(event.target)));
    tree.addEventListener("pointerover", (event) => this.point(this.of(event.target)));
    tree.addEventListener("pointerleave", () => this.point(null));
    tree.addEventListener("keydown", (event) => this.step(event));
    filter.addEventListener("input", () => this.draw());
  }

  /** Read the document again; cheap while the pane is not shown. */
  refresh() {
    if (!this.shown) return;
    const found = this.stage.document ? [...this.stage.document.querySelectorAll(".v")].slice(0, MOST) : [];
    const views = nested(found.map((element, order) => view(element, order, this.stage.idOf(element))));
    const print = JSON.stringify(views.map(({ id, key }) => [id, key]));
    this.views = views;
    if (print !== this.print) {
      this.print = print;
      this.draw();
    }
    this.mark();
  }

  /** The smallest view at a place (dp), the topmost of equals. */
  at(x, y) {
    let best = null;
    for (const each of this.views) {
      const { left, top, width, height } = each;
      const inside = left <= x && x < left + width && top <= y && y < top + height;
      if (inside && (!best || width * height <= best.width * best.height)) best = each;
    }
    return best;
  }

  choose(found) {
    if (!found) return;
    this.selected = found.id;
    this.draw();
    this.mark();
    reveal(this.tree, this.tree.querySelector("[aria-selected=true]"));
  }

  point(found) {
    if (this.pointed === (found?.id ?? null)) return;
    this.pointed = found?.id ?? null;
    this.mark();
  }

  get current() {
    return this.views.find(({ id }) => id === this.selected) ?? null;
  }

  mark() {
    const pointed = this.views.find(({ id }) => id === this.pointed) ?? null;
    this.onMark(this.shown ? this.current : null, this.shown ? pointed : null);
  }

  of(target) {
    const id = Number(target.closest?.("[data-node]")?.dataset.node);
    return this.views.find((each) => each.id === id) ?? null;
  }

  step(event) {
    const rows = [...this.tree.querySelectorAll("[role=treeitem]")];
    const at = rows.findIndex((row) => row.ariaSelected === "true");
    const next = { ArrowDown: at + 1, ArrowUp: Math.max(0, at - 1), Home: 0, End: rows.length - 1 }[event.key];
    if (next === undefined || event.metaKey || event.ctrlKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (rows[next]) this.choose(this.of(rows[next]));
  }

  draw() {
    const words = this.filter.value.trim().toLowerCase();
    const rows = this.views.filter((each) => `${each.cls} ${each.res} ${each.label}`.toLowerCase().includes(words));
    this.count.textContent = rows.length === this.views.length ? String(rows.length) : `${rows.length} of ${this.views.length}`;
    this.tree.replaceChildren(...rows.map((each) => this.row(each)));
    this.tree.classList.toggle("none", !rows.length);
    this.tree.dataset.empty = this.views.length ? "No view fits the filter." : "No view is recorded at this moment.";
    const active = this.tree.querySelector("[aria-selected=true]");
    if (active) this.tree.setAttribute("aria-activedescendant", active.id);
    else this.tree.removeAttribute("aria-activedescendant");
    this.detail.replaceChildren(...this.facts());
  }

  row(each) {
    const row = make(
      "div",
      { role: "treeitem", id: `view-${each.id}`, className: "view", dataset: { node: String(each.id) }, "aria-level": String(each.depth + 1), "aria-selected": String(each.id === this.selected) },
      piece("class", short(each.cls)),
      each.res ? piece("res", each.res.replace(/^[\w.]+:id\//, "#")) : null,
      each.label ? piece("label", each.label) : null,
    );
    row.style.paddingInlineStart = `${0.6 + Math.min(each.depth, 12) * 0.8}rem`;
    return row;
  }

  facts() {
    const each = this.current;
    if (!each) {
      const text = this.selected === null ? "Choose a view in the list, or pick one on the screen." : "The chosen view is not there at this moment.";
      return [make("p", { className: "empty" }, text)];
    }
    const scale = this.density();
    const dp = `${tidy(each.left)}, ${tidy(each.top)} \u00b7 ${tidy(each.width)} \u00d7 ${tidy(each.height)} dp`;
    const { pixels } = bounds(each, scale);
    const facts = [
      ["Class", each.cls],
      ["Id", each.res || "none"],
      ["Label", each.label || "none"],
      ["Bounds", pixels ? `${dp} = [${pixels.left},${pixels.top}][${pixels.right},${pixels.bottom}] px` : dp],
      ["Flags", each.flags || "none"],
      ...each.others,
    ];
    const list = make("dl", {}, ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
    return [list, make("h3", {}, "Selectors"), make("ul", { className: "selectors" }, ...this.selectors(each, scale))];
  }

  selectors(each, scale) {
    const { width, height } = this.stage.size;
    const x = each.left + each.width / 2;
    const y = each.top + each.height / 2;
    const pixels = scale && { x: Math.round(x * scale), y: Math.round(y * scale) };
    const percent = { x: Math.round((100 * x) / width), y: Math.round((100 * y) / height) };
    const named = selectors(each);
    const same = this.views.filter((other) => (each.res ? other.res === each.res : other.label === each.label)).length;
    const items = (named.length ? named : place({ pixels, percent })).map(({ tool, text }) => {
      const button = make("button", { type: "button", "aria-label": `Copy the selector for ${tool}` }, "Copy");
      button.addEventListener("click", async () => this.say((await copy(text)) ? `Selector for ${tool} copied.` : "Copying is not allowed here."));
      return make("li", {}, piece("tool", tool), make("code", { tabIndex: 0 }, text), button);
    });
    if (!named.length) items.unshift(make("li", { className: "remark" }, "Neither an id nor a readable label names it: only its place does."));
    else if (same > 1) items.unshift(make("li", { className: "remark" }, `${same} views answer to this at this moment.`));
    return items;
  }
}

function view(element, order, id) {
  const { left, top, width, height } = element.style;
  const get = (name) => element.getAttribute(name) ?? "";
  const others = element
    .getAttributeNames()
    .filter((name) => /^data-(?!class$|res$|flags$|rrweb)/.test(name))
    .map((name) => [name.slice(5), get(name)]);
  const each = {
    id,
    order,
    left: parseFloat(left) || 0,
    top: parseFloat(top) || 0,
    width: parseFloat(width) || 0,
    height: parseFloat(height) || 0,
    cls: get("data-class"),
    res: get("data-res"),
    label: get("aria-label") || element.textContent || "",
    flags: get("data-flags"),
    others,
    depth: 0,
  };
  each.name = [short(each.cls), each.res.replace(/^[\w.]+:id\//, "#") || each.label].filter(Boolean).join(" ");
  each.key = JSON.stringify([each.left, each.top, each.width, each.height, each.cls, each.res, each.label, each.flags, others]);
  return each;
}

/** The recording holds flat boxes: a view is told as within the smallest of those drawn before it that encloses it. */
function nested(views) {
  const sorted = views.slice().sort((a, b) => b.width * b.height - a.width * a.height || a.order - b.order);
  const done = [];
  for (const each of sorted) {
    let parent = null;
    for (const other of done) if (encloses(other, each)) parent = other;
    each.parent = parent;
    each.depth = parent ? parent.depth + 1 : 0;
    done.push(each);
  }
  const below = new Map();
  for (const each of views) below.set(each.parent, [...(below.get(each.parent) ?? []), each]);
  const walk = (parent) =>
    (below.get(parent) ?? []).sort((a, b) => a.top - b.top || a.left - b.left).flatMap((each) => [each, ...walk(each)]);
  return walk(null);
}

function encloses(outer, inner) {
  return (
    outer.left <= inner.left + 0.5 &&
    outer.top <= inner.top + 0.5 &&
    outer.left + outer.width >= inner.left + inner.width - 0.5 &&
    outer.top + outer.height >= inner.top + inner.height - 0.5
  );
}

function bounds({ left, top, width, height }, scale) {
  if (!scale) return { pixels: null };
  const [l, t, r, b] = [left, top, left + width, top + height].map((dp) => Math.round(dp * scale));
  return { pixels: { left: l, top: t, right: r, bottom: b } };
}

function short(cls) {
  return cls.replace(/^.*[.$]/, "") || "View";
}

function tidy(dp) {
  return String(Math.round(dp * 10) / 10);
}
