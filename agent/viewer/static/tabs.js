// Panes that share a place: one is shown, arrow keys go from tab to tab (WAI-ARIA tab pattern).

export class Tabs {
  /** `list` holds buttons with aria-controls; `onChange(id)` is told which pane is shown. */
  constructor(list, onChange = () => undefined) {
    this.tabs = [...list.querySelectorAll("[role=tab]")];
    this.onChange = onChange;
    for (const tab of this.tabs) tab.addEventListener("click", () => this.show(tab.getAttribute("aria-controls")));
    list.addEventListener("keydown", (event) => {
      const at = this.tabs.indexOf(event.target);
      const last = this.tabs.length - 1;
      const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: last }[event.key];
      if (next === undefined || event.metaKey || event.ctrlKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      const tab = this.tabs[(next + this.tabs.length) % this.tabs.length];
      tab.focus();
      this.show(tab.getAttribute("aria-controls"));
    });
  }

  show(id) {
    const chosen = this.tabs.find((tab) => tab.getAttribute("aria-controls") === id);
    if (!chosen) return;
    for (const tab of this.tabs) {
      const own = tab === chosen;
      const pane = document.getElementById(tab.getAttribute("aria-controls"));
      // With what is hidden the focus would go.
      if (!own && pane.contains(document.activeElement)) chosen.focus();
      tab.setAttribute("aria-selected", String(own));
      tab.tabIndex = own ? 0 : -1;
      pane.hidden = !own;
    }
    this.shown = id;
    this.onChange(id);
  }
}
