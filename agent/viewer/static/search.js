// One search over everything that was said: events with their properties, log lines, gaps and findings, views.

import { make, piece } from "./element.js";
import { kindName } from "./kinds.js";
import { clock } from "./time.js";

const MOST = 200;
const AROUND = 40;

export class Search {
  /** `items()` gives {t, kind, text} of the session so far; `onSeek(t)` goes to one. */
  constructor(dialog, { items, onSeek }) {
    this.dialog = dialog;
    this.input = dialog.querySelector("input");
    this.list = dialog.querySelector("[role=listbox]");
    this.status = dialog.querySelector("[role=status]");
    this.items = items;
    this.onSeek = onSeek;
    this.input.addEventListener("input", () => this.find());
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("click", (event) => this.go(event.target.closest("[role=option]")));
  }

  open() {
    this.all = this.items();
    this.dialog.showModal();
    this.input.select();
    this.find();
  }

  find() {
    const words = lower(this.input.value.trim());
    const found = words ? this.all.filter((item) => lower(item.text).includes(words)).slice(0, MOST + 1) : [];
    this.list.replaceChildren(...found.slice(0, MOST).map((item, index) => this.option(item, index, words)));
    this.choose(found.length ? 0 : -1);
    const many = found.length > MOST ? `The first ${MOST} are listed: write more to find less.` : `${found.length} found`;
    this.status.textContent = words ? many : "Events, log lines, gaps, findings, and what views say.";
  }

  option(item, index, words) {
    const at = lower(item.text).indexOf(words);
    const from = at > AROUND ? at - AROUND / 2 : 0;
    const text = make("span", { className: "text" }, `${from ? "\u2026" : ""}${item.text.slice(from, at)}`);
    text.append(make("mark", {}, item.text.slice(at, at + words.length)), item.text.slice(at + words.length, at + 200));
    return make(
      "li",
      { role: "option", id: `found-${index}`, "aria-selected": "false", dataset: { t: String(item.t) } },
      piece("time", clock(item.t)),
      make("span", { className: "badge", dataset: { kind: item.kind } }, item.kind === "log" ? "Log" : item.kind === "view" ? "View" : kindName(item.kind)),
      text,
    );
  }

  choose(index) {
    this.chosen = index;
    for (const [at, option] of [...this.list.children].entries()) option.setAttribute("aria-selected", String(at === index));
    const option = this.list.children[index];
    if (option) this.input.setAttribute("aria-activedescendant", option.id);
    else this.input.removeAttribute("aria-activedescendant");
    option?.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-expanded", String(Boolean(option)));
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      this.choose(Math.max(0, Math.min(this.chosen + step, this.list.children.length - 1)));
    } else if (event.key === "Escape") {
      // A search field would only empty itself.
      event.preventDefault();
      this.close();
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.go(this.list.children[this.chosen]);
    }
  }

  /** Where nothing had the focus before, the hidden field would keep it, and with it the keys, until the next frame. */
  close() {
    this.dialog.close();
    if (this.dialog.contains(document.activeElement)) document.activeElement.blur();
  }

  go(option) {
    if (!option) return;
    this.close();
    this.onSeek(Number(option.dataset.t));
  }
}

/** All that a session says, in order of time; words of views count once for each time that they come up. */
export function said({ facts, logs, notices, labels }) {
  const spoken = new Map(labels.map((label) => [`${label.t} ${label.text}`, label]));
  const all = [
    ...facts.map((item) => ({ t: item.t, kind: item.kind, text: [item.name, ...parts(item.payload)].join(" ") })),
    ...logs.map((line) => ({ t: line.t, kind: "log", text: `${line.level}/${line.tag}: ${line.text}` })),
    ...notices.map(({ t, kind, text, payload }) => {
      return { t, kind, text: [text, ...parts(payload?.saw), ...parts(payload?.proof)].join(" ") };
    }),
    ...[...spoken.values()].map((label) => ({ t: label.t, kind: "view", text: label.text })),
  ];
  return all.sort((a, b) => a.t - b.t);
}

/** The names and values of which a payload is made, as they are: JSON would write quotation marks in another way. */
function parts(value) {
  if (value === undefined) return [];
  if (value === null || typeof value !== "object") return [String(value)];
  if (Array.isArray(value)) return value.flatMap(parts);
  return Object.entries(value).flatMap(([name, each]) => [name, ...parts(each)]);
}

/** In small letters and as long as before, so that places in it are places in `text`: only a dotted I would grow. */
function lower(text) {
  return text.replaceAll("\u0130", "i").toLowerCase();
}
