// A session as the page shows it: the events of its segments on one time line, and what the panes list.
// Times of items are offsets in ms from the first event, as the player counts them.

export const LONG_MS = 60_000;
export const SHORT_MS = 3_000;
const RETRY_MS = 1_000;
const PICTURE_ID = 10;
const BLOCKED = {
  "no-picture": "there was none yet",
  "no-tree": "the view tree could not be read",
  "not-app": "another app was in front",
  rotation: "the screen was turning",
  secure: "a secure window was in front",
  settling: "the app was only opening",
  size: "picture and view tree differ in size",
  unstable: "the screen was changing",
};
const LEVELS = { debug: "D", trace: "V", log: "I", info: "I", warn: "W", error: "E", assert: "F" };
const LINE = /^([VDIWEFS])\/([^\n]*?): ?([\s\S]*)$/;

/** The sessions of a recording, newest first: {key, sessionId, deviceId, segments, start, end}. */
export function sessions(manifests) {
  const found = new Map();
  for (const manifest of manifests) {
    const key = `${manifest.session_id}\u0000${manifest.device_id}`;
    const session = found.get(key) ?? {
      key,
      sessionId: String(manifest.session_id),
      deviceId: manifest.device_id,
      segments: [],
      start: Infinity,
      end: -Infinity,
    };
    session.segments.push(manifest);
    session.start = Math.min(session.start, manifest.start_ms);
    session.end = Math.max(session.end, manifest.end_ms);
    found.set(key, session);
  }
  for (const session of found.values()) session.segments.sort((a, b) => a.start_ms - b.start_ms || a.seq - b.seq);
  return [...found.values()].sort((a, b) => b.start - a.start);
}

/** Fetch the events of a session. A segment that cannot be read becomes a notice; `progress(done, all)` is called. */
export async function load(session, source, signal, progress) {
  const lists = new Array(session.segments.length);
  const failures = [];
  let next = 0;
  let done = 0;
  const lane = async () => {
    while (next < lists.length) {
      const index = next++;
      const segment = session.segments[index];
      try {
        lists[index] = await source.events(segment, signal);
        for (const event of lists[index]) name(event, source);
      } catch (error) {
        if (signal.aborted) throw error;
        failures.push({ segment, reason: error.message });
        lists[index] = [];
      }
      progress(++done, lists.length);
    }
  };
  await Promise.all([lane(), lane(), lane()]);
  return build(lists.flat(), failures);
}

/** Put raw events in order, cut what is too long to sit through, and sort them into what the panes list. */
export function build(raw, failures = []) {
  const events = raw.slice().sort((a, b) => a.timestamp - b.timestamp);
  if (events.length < 2) return null;
  const last = events.at(-1);
  // The player counts to its last event and shows a picture only once it has passed its time.
  if (last.type !== 5) events.push({ type: 5, timestamp: last.timestamp + 1, data: { tag: "end", payload: {} } });
  // A seek to a segment's first instant stands before its document, which comes a millisecond later.
  events.forEach((event, i) => {
    if (event.type === 2 && events[i - 1]?.type === 4) event.timestamp = events[i - 1].timestamp;
  });
  const cuts = shorten(events);
  const start = events[0].timestamp;
  const model = {
    events,
    start,
    duration: events.at(-1).timestamp - start,
    cuts,
    facts: [],
    logs: [],
    notices: [],
    touches: [],
    fingers: [],
    pictures: [],
    segments: [],
    size: { width: 0, height: 0 },
  };
  for (const event of events) sortIn(model, event);
  for (const cut of cuts) {
    const text = `${span(cut.removed + SHORT_MS)} without any record, played as ${SHORT_MS / 1000} s`;
    model.notices.push({ t: cut.at - SHORT_MS, end: cut.at, kind: "cut", text });
  }
  for (const { segment, reason } of failures) {
    const t = clamp(offset(model, segment.start_ms), model);
    const end = clamp(offset(model, segment.end_ms), model);
    model.notices.push({ t, end, kind: "lost", text: `Segment ${segment.seq} cannot be read: ${reason}`, short: `Segment ${segment.seq} cannot be read` });
  }
  model.notices.sort((a, b) => a.t - b.t);
  model.notices = merge(model.notices, model.duration);
  return model;
}

/** The wall clock (epoch ms) of an offset. */
export function wall(model, t) {
  let removed = 0;
  for (const cut of model.cuts) if (cut.at <= t) removed += cut.removed;
  return model.start + t + removed;
}

/** The offset of a wall time. */
export function offset(model, wallMs) {
  let removed = 0;
  for (const cut of model.cuts) {
    const at = model.start + cut.at + removed;
    if (wallMs >= at + cut.removed) removed += cut.removed;
    else if (wallMs > at) return cut.at;
  }
  return wallMs - model.start - removed;
}

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
  const head = hours ? `${hours}:${String(minutes).padStart(2, "0")}` : String(minutes);
  return `${head}:${String(seconds).padStart(2, "0")}${fraction}`;
}

/** A length of time in words: "450 ms", "3.2 s", "12 min 5 s". */
export function span(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  const rest = Math.floor((ms % 60_000) / 1000);
  return minutes < 60 ? `${minutes} min ${rest} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function shorten(events) {
  const cuts = [];
  let removed = 0;
  let previous = events[0].timestamp;
  const start = previous;
  for (const event of events) {
    const pause = event.timestamp - previous;
    previous = event.timestamp;
    if (pause > LONG_MS) {
      removed += pause - SHORT_MS;
      cuts.push({ at: event.timestamp - removed - start, removed: pause - SHORT_MS });
    }
    event.timestamp -= removed;
  }
  return cuts;
}

function sortIn(model, event) {
  const t = event.timestamp - model.start;
  if (event.type === 5) custom(model, t, event.data.tag, event.data.payload ?? {});
  else if (event.type === 6 && event.data.plugin === "rrweb/console@1") model.logs.push(log(t, event.data.payload));
  else if (event.type === 4) {
    model.segments.push({ t });
    if (!model.size.width) model.size = { width: event.data.width, height: event.data.height };
  } else if (event.type === 2) picture(model, t, find(event.data.node)?.attributes);
  else if (event.type === 3 && event.data.source === 0) {
    for (const change of event.data.attributes) if (change.id === PICTURE_ID) picture(model, t, change.attributes);
  } else if (event.type === 3 && event.data.source === 2) {
    if (event.data.type === 7) model.touches.push({ t });
    model.fingers.push({ t, down: event.data.type === 7 });
  }
}

function custom(model, t, tag, payload) {
  if (tag === "end") return;
  if (tag === "mask") model.notices.push({ t, end: t, kind: payload.blocked ? "blocked" : "mask", text: covers(payload), short: covers(payload) });
  else if (tag === "gap") {
    const from = clamp(offset(model, payload.from_ms ?? wall(model, t)), model);
    const to = clamp(offset(model, payload.to_ms ?? wall(model, t)), model);
    const ms = payload.ms ?? (payload.to_ms ?? 0) - (payload.from_ms ?? 0);
    const reason = words(payload.reason) ?? "";
    const what = reason.startsWith(payload.stage) ? reason : [payload.stage, reason].filter(Boolean).join(": ");
    const detail = payload.detail ? ` \u2013 ${payload.detail}` : "";
    const gap = { t: Math.min(from, t), end: Math.max(to, t), kind: "gap", stage: payload.stage, what, detail, ms };
    model.notices.push({ ...gap, text: gapText(gap), short: `No picture \u2013 ${what}` });
  } else if (tag === "doctor") {
    // A hint is no fault: it stands in the list and not on the time line.
    const kind = payload.severity === "info" ? "hint" : "fault";
    const text = `${payload.severity} ${payload.rule}: ${payload.meaning} ${payload.fix}`;
    model.notices.push({ t, end: t, kind, text, name: `${payload.severity} ${payload.rule}`, payload });
  } else model.facts.push({ t, kind: tag.replace("segment:", ""), name: title(tag, payload), payload, fact: tag.startsWith("segment:") });
}

function title(tag, payload) {
  if (tag === "session") return `Session ${payload.session_id ?? ""}`;
  const text = payload.event ?? payload.name ?? payload.text ?? payload.userId ?? "";
  return String(text).split("\n", 1)[0] || tag.replace("segment:", "");
}

function covers(payload) {
  if (payload.blocked) return `Whole picture blocked: ${BLOCKED[payload.blocked] ?? payload.blocked}`;
  const count = payload.count ?? 0;
  if (!count) return "Nothing covered from here";
  const rules = Object.entries(payload.rules ?? {}).map(([rule, n]) => (n > 1 ? `${rule} \u00d7 ${n}` : rule));
  const tail = rules.length ? `: ${rules.join(", ")}` : payload.reason ? `: ${payload.reason}` : "";
  return `${count} ${count === 1 ? "area" : "areas"} covered${tail}`;
}

function log(t, payload) {
  const text = (payload.payload ?? []).map(unquote).join(" ");
  const parts = LINE.exec(text);
  const level = parts ? parts[1] : LEVELS[payload.level] ?? "I";
  return { t, level, tag: parts ? parts[2] : "", text: parts ? parts[3] : text };
}

/** Other writers put each console argument as JSON text. */
function unquote(text) {
  if (!/^"[\s\S]*"$/.test(text)) return text;
  try {
    return String(JSON.parse(text));
  } catch {
    return text;
  }
}

/** Put addresses where an event names pictures by their digest. */
function name(event, source) {
  const put = (attributes) => {
    const [, digest] = /^picture:([0-9a-f]{32})$/.exec(attributes?.src ?? "") ?? [];
    if (digest) attributes.src = source.picture(digest);
  };
  const walk = (node) => {
    put(node.attributes);
    for (const child of node.childNodes ?? []) walk(child);
  };
  if (event.type === 2) walk(event.data.node);
  if (event.type === 3 && event.data.source === 0) {
    for (const { attributes } of event.data.attributes) put(attributes);
    for (const { node } of event.data.adds) walk(node);
  }
}

function picture(model, t, attributes) {
  if (attributes?.src) model.pictures.push({ t, src: attributes.src });
}

function find(node) {
  if (node.id === PICTURE_ID) return node;
  for (const child of node.childNodes ?? []) {
    const found = find(child);
    if (found) return found;
  }
  return null;
}

function clamp(t, model) {
  return Math.max(0, Math.min(t, model.duration));
}

/** "ScreenBlocked" as "screen blocked"; what is words already stays. */
function words(name) {
  return /^([A-Z][a-z]+){2,}$/.test(name ?? "") ? name.replace(/(?!^)[A-Z]/g, " $&").toLowerCase() : name;
}

function gapText({ what, detail, ms }) {
  return `${what}, ${span(ms)}${detail}`;
}

/**
 * A scrolling list is covered anew in every picture: one notice says it, until what it says changes. A screen that is
 * tried again and again is one gap.
 */
function merge(notices, duration) {
  const merged = [];
  const open = {};
  for (const notice of notices) {
    if (notice.kind === "gap") {
      const last = open.gap;
      if (last && last.what === notice.what && last.detail === notice.detail && notice.t - last.end <= RETRY_MS) {
        last.ms += Math.max(0, notice.t - last.end) + notice.ms;
        last.end = Math.max(last.end, notice.end);
        last.text = gapText(last);
        continue;
      }
      open.gap = notice;
    }
    if (notice.kind === "mask" || notice.kind === "blocked") {
      if (open.cover?.text === notice.text) continue;
      if (open.cover) open.cover.end = notice.t;
      open.cover = notice;
      notice.end = duration;
    }
    merged.push(notice);
  }
  return merged;
}
