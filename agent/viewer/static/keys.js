// The keyboard. Single keys can be switched off, for those whose software presses them (WCAG 2.2, 2.1.4).

import { scrolls } from "./element.js";

const STORE = "replay-single-keys";

export class Keys {
  /** `actions`: key to what it does. `help` is the dialog with the switch, `ready()` whether there is a session. */
  constructor(actions, { help, ready }) {
    this.actions = actions;
    this.help = help;
    this.ready = ready;
    this.check = help.querySelector("input[type=checkbox]");
    this.check.checked = stored() !== "off";
    this.check.addEventListener("change", () => store(this.check.checked ? "on" : "off"));
    addEventListener("keydown", (event) => this.press(event));
  }

  press(event) {
    if (event.metaKey || event.ctrlKey || event.altKey || document.querySelector("dialog[open]")) return;
    const own = event.target.closest?.("input:not([type=range], [type=checkbox]), select, textarea");
    if (event.key === "Escape" && own) return own.blur();
    if (own || !this.actions[event.key]) return;
    // Space presses the button that has the focus, as everywhere; arrows move the slider that has it only here.
    if (event.key === " " && event.target.closest?.("button, a, summary, input[type=checkbox]")) return;
    if (scrolls(event.target, event.key)) return;
    if (event.key.length === 1 && event.key !== " " && !this.check.checked) return;
    if (event.key !== "?" && !this.ready()) return;
    event.preventDefault();
    this.actions[event.key]();
  }
}

/** A page from disk may be denied storage. */
function stored() {
  try {
    return localStorage.getItem(STORE);
  } catch {
    return null;
  }
}

function store(value) {
  try {
    localStorage.setItem(STORE, value);
  } catch {
    // It holds until the page is closed.
  }
}
