// A long list of which only the rows in view are in the document, each at the place that it has among all.

const SPARE_PX = 160;

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

  load(items) {
    const held = this.items[this.pinned];
    this.pinned = held ? items.findIndex((item) => same(item, held)) : -1;
    this.goal = -1;
    this.items = items;
    this.arrange();
    this.draw();
  }

  /** The row of an item, when it is in the document. */
  row(index) {
    return this.rows.get(index) ?? null;
  }

  indexOf(element) {
    const row = element.closest("[aria-posinset]");
    return row && this.list.contains(row) ? Number(row.ariaPosInSet) - 1 : -1;
  }

  /** This row is in the document wherever the list is scrolled to. */
  pin(index) {
    this.pinned = index;
    this.draw();
  }

  /** Bring a row into view if it is not; the list's beginning for -1. Scrolls with the next frame, all lists at once. */
  reveal(index) {
    this.goal = index;
    const to = this.due(index);
    if (to === this.scroll) return this.draw();
    this.scroll = to;
    this.draw();
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
    if (Math.abs(scrollTop - this.scroll) > 1) this.goal = -1;
    this.scroll = scrollTop;
    this.draw();
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

  draw() {
    const { items, list, rows } = this;
    const first = this.at(this.scroll - SPARE_PX);
    const last = items.length ? this.at(this.scroll + this.height + SPARE_PX) : -1;
    const due = [];
    if (this.pinned >= 0 && this.pinned < first) due.push(this.pinned);
    for (let index = first; index <= last; index++) due.push(index);
    if (this.pinned > last && this.pinned < items.length) due.push(this.pinned);
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
