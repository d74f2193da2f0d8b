// Steps along a session: to the event, the picture, the speed before and after.

import { lastAt } from "./time.js";

/** The time of the item before (-1) or after (1) a moment, of those that `fits`; null when there is none. */
export function neighbour(items, t, step, fits = () => true) {
  const at = lastAt(items, t);
  if (step > 0) return items.slice(at + 1).find(fits)?.t ?? null;
  return items.slice(0, at + 1).findLast((item) => item.t < t && fits(item))?.t ?? null;
}

/** The choice before or after the one that a <select> has. */
export function stepped(select, step) {
  const next = select.selectedIndex + step;
  if (next < 0 || next >= select.options.length) return false;
  select.selectedIndex = next;
  return true;
}
