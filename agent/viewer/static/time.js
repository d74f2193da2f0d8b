// Times and lengths in words, and looking up what holds at a time. All times are milliseconds.

/** Index of the last item that begins at or before `t`, -1 when there is none. Items are in order of `t`. */
export function lastAt(items, t) {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle].t <= t) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** 75 345 ms as "1:15.3"; `digits` after the point. */
export function clock(ms, digits = 1) {
  const unit = 10 ** (3 - digits);
  const rounded = Math.floor(ms / unit) * unit;
  const hours = Math.floor(rounded / 3_600_000);
  const minutes = Math.floor(rounded / 60_000) % 60;
  const seconds = Math.floor(rounded / 1000) % 60;
  const fraction = digits ? `.${String(Math.floor(rounded % 1000)).padStart(3, "0").slice(0, digits)}` : "";
  const head = hours ? `${hours}:${two(minutes)}` : String(minutes);
  return `${head}:${two(seconds)}${fraction}`;
}

/** A length of time in words: "450 ms", "3.2 s", "12 min 5 s". */
export function span(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  const rest = Math.floor((ms % 60_000) / 1000);
  return minutes < 60 ? `${minutes} min ${rest} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** What times of day are: a recording does not say in which zone its host was. */
export const IN_ZONE = "in your own time zone, by the clock of the recording host";

/** Day and time of an epoch time. */
export function when(ms) {
  const day = new Date(ms);
  const date = `${day.getFullYear()}-${two(day.getMonth() + 1)}-${two(day.getDate())}`;
  return `${date} ${two(day.getHours())}:${two(day.getMinutes())}:${two(day.getSeconds())} ${zone(day)}`;
}

/** The reader's time zone on that day: "UTC", "UTC+2", "UTC-3:30". */
export function zone(day) {
  const east = -day.getTimezoneOffset();
  if (!east) return "UTC";
  const minutes = Math.abs(east);
  const rest = minutes % 60 ? `:${two(minutes % 60)}` : "";
  return `UTC${east < 0 ? "-" : "+"}${Math.floor(minutes / 60)}${rest}`;
}

function two(n) {
  return String(n).padStart(2, "0");
}
