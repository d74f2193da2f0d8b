// A long list of which only the rows in view are in the document, each at the place that it has among all.

// Rows above and below those in view, so that a list can be scrolled before the next are made: there once the hand rests.
const SPARE_PX = 300;
const REST_MS = 120;

export class Sheet {
  /**
   * `box` scrolls, `list` in it holds the rows. `build(item)` makes a row, once for each item (one that stands for the
   * item `of` an earlier list keeps what is known of its row), `dress(row, index)` what of it depends on its place.
   * `guess(item)` is a row's height in pixels before it was laid out.
   */
  constructor(box, list, { build, dress, guess }) {
    Object.assign(this, { box, list, build, dress, guess });
    this.items = [];
    this.tops = new Float64Array(1);
    this.rows = new Map();
    this.made = new WeakMap();
    this.heights = new WeakMap();
    this.pinned = -1;
    this.goal = -1;
    this.scroll = 0;
    this.height = 0;
    list.classList.add("sheet");
    box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.sizes = new ResizeObserver((entries) => this.measure(entries));
    this.sizes.observe(box);
  }

  /**
   * The pinned row stays so, wherever it is in the new list; `otherwise` is pinned where there is none. What was brought
   * into view, or is first in view, keeps its place there.
   */
  load(items, otherwise = -1) {
    const held = this.items[this.pinned];
    const goal = this.items[this.goal];
    const first = this.at(this.scroll);
    const anchor = goal ?? this.items[first];
    const below = this.scroll - this.tops[goal ? this.goal : first];
    const find = (wanted) => (wanted ? items.findIndex((item) => same(item, wanted)) : -1);
    this.pinned = find(held);
    if (this.pinned < 0) this.pinned = otherwise;
    this.items = items;
    this.arrange();
    const now = find(anchor);
    this.goal = goal ? now : -1;
    const to = now < 0 ? 0 : Math.max(0, Math.min(this.tops[now] + below, this.tops[items.length] - this.height));
    if (this.scroll !== to) this.move(to);
    this.draw(true);
  }

  /** The row of an item, when it is in the document. */
  row(index) {
    return this.rows.get(index) ?? null;
  }

  indexOf(element) {
    const row = element.closest("[aria-posinset]");
    return row && this.list.contains(row) ? Number(row.ariaPosInSet) - 1 : -1;
  }

  /** This row is in the document wherever the list is scrolled to; seen at the next `draw` or `reveal`. */
  pin(index) {
    this.pinned = index;
  }

  /** Bring a row into view if it is not; the list's beginning for -1. Scrolls with the next frame, all lists at once. */
  reveal(index) {
    this.goal = index;
    const to = this.due(index);
    if (to !== this.scroll) this.move(to);
    this.draw();
  }

  move(to) {
    this.scroll = to;
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => (this.box.scrollTop = this.scroll));
  }

  due(index) {
    if (index < 0) return 0;
    const top = this.tops[index];
    const bottom = this.tops[index + 1];
    if (top >= this.scroll && bottom <= this.scroll + this.height) return this.scroll;
    const middle = top - (this.height - (bottom - top)) / 2;
    return Math.max(0, Math.min(middle, this.tops[this.items.length] - this.height));
  }

  scrolled() {
    const { scrollTop } = this.box;
    if (Math.abs(scrollTop - this.scroll) <= 1) return;
    this.goal = -1;
    this.scroll = scrollTop;
    this.draw(true);
  }

  /** Rows that turn out to be higher or lower than thought must not move what is read. */
  measure(entries) {
    const first = this.at(this.scroll);
    const before = this.tops[first];
    let resized = false;
    let changed = false;
    for (const { target, borderBoxSize } of entries) {
      const height = borderBoxSize[0].blockSize;
      if (target === this.box) {
        this.height = target.clientHeight;
        resized = true;
      } else if (height && target.isConnected) {
        const item = this.items[Number(target.ariaPosInSet) - 1];
        if (!item || Math.abs(this.tall(item) - height) < 0.5) continue;
        this.heights.set(item.of ?? item, height);
        changed = true;
      }
    }
    if (changed) {
      this.arrange();
      for (const [index, row] of this.rows) this.place(row, index);
    }
    const to = this.goal < 0 ? this.scroll + this.tops[first] - before : this.due(this.goal);
    // A box that was hidden has lost its place.
    if (to !== this.scroll || resized) this.box.scrollTop = this.scroll = to;
    // Rows that come into view are put there in a frame of their own: made here, they would be measured too late.
    if (!changed && !resized) return;
    cancelAnimationFrame(this.late);
    this.late = requestAnimationFrame(() => this.draw());
  }

  tall(item) {
    return this.heights.get(item.of ?? item) ?? this.guess(item);
  }

  arrange() {
    const { items } = this;
    this.tops = new Float64Array(items.length + 1);
    for (let index = 0; index < items.length; index++) this.tops[index + 1] = this.tops[index] + this.tall(items[index]);
    this.list.style.height = `${this.tops[items.length]}px`;
  }

  /** The row at a place of the list, the last one below its end. */
  at(y) {
    let low = 0;
    let high = this.items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.tops[middle + 1] <= y) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, Math.min(low, this.items.length - 1));
  }

  /** Put the rows in view into the document; more around them later, unless they are asked for `now`. */
  draw(now = false) {
    clearTimeout(this.rest);
    if (!now) this.rest = setTimeout(() => this.draw(true), REST_MS);
    const { items, list, rows } = this;
    const [first, last] = this.range(0);
    const [low, high] = this.range(SPARE_PX);
    const due = [];
    if (this.pinned >= 0 && this.pinned < low) due.push(this.pinned);
    for (let index = low; index <= high; index++) {
      if (now || (first <= index && index <= last) || index === this.pinned || rows.has(index)) due.push(index);
    }
    if (this.pinned > high && this.pinned < items.length) due.push(this.pinned);
    const shown = new Map(due.map((index) => [index, this.rowOf(items[index])]));
    const kept = new Set(shown.values());
    for (const row of rows.values()) {
      if (kept.has(row)) continue;
      this.sizes.unobserve(row);
      row.remove();
    }
    this.rows = shown;
    let next = list.firstElementChild;
    for (const [index, row] of shown) {
      this.place(row, index);
      if (row === next) next = next.nextElementSibling;
      else {
        list.insertBefore(row, next);
        this.sizes.observe(row);
      }
    }
  }

  /** The first and the last row in view, with so many pixels around it. */
  range(around) {
    const last = this.items.length ? this.at(this.scroll + this.height + around) : -1;
    return [this.at(this.scroll - around), last];
  }

  rowOf(item) {
    const key = item.of ?? item;
    const known = this.made.get(key);
    if (known && known.text === item.text) return known.row;
    const row = this.build(item);
    this.made.set(key, { row, text: item.text });
    return row;
  }

  place(row, index) {
    const top = `${this.tops[index]}px`;
    if (row.style.top !== top) row.style.top = top;
    const place = String(index + 1);
    if (row.ariaPosInSet !== place) row.ariaPosInSet = place;
    const size = String(this.items.length);
    if (row.ariaSetSize !== size) row.ariaSetSize = size;
    this.dress(row, index);
  }
}

function same(one, other) {
  return (one.of ?? one) === (other.of ?? other);
}
