// The kinds of things that happen: their names. Their colours stand in viewer.css.

const NAMES = {
  track: "Track",
  screen: "Screen",
  identify: "Identify",
  group: "Group",
  alias: "Alias",
  session: "Session",
  marker: "Marker",
  note: "Note",
  crash: "Crash",
  anr: "Hang",
  lowmemory: "No memory",
  process: "Process",
  app: "App",
  keyboard: "Keyboard",
  "screen-state": "Screen on/off",
  rotation: "Rotation",
  touch: "Touch",
  warning: "Warning",
  error: "Error",
  gap: "Gap",
  lost: "Unreadable",
  cut: "Shortened",
  blocked: "Blocked",
  fault: "Fault",
  hint: "Hint",
  mask: "Mask",
};

/** A kind in words; one that a newer recorder wrote is its own name. */
export function kindName(kind) {
  if (Object.hasOwn(NAMES, kind)) return NAMES[kind];
  const text = kind.slice(0, 24).replace(/[_:.-]+/g, " ").trim();
  return text.charAt(0).toUpperCase() + text.slice(1) || "Other";
}
