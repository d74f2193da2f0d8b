// One segment's rrweb events sorted into what the panes list. Times of items (`t`) are offsets on the time line.
// Events come from a file that anybody may have written: what makes no sense is counted and left out.

import { finding, gapNotice, maskNotice } from "./notices.js";
import { Stack } from "./stack.js";

const LEVELS = { debug: "D", trace: "V", log: "I", info: "I", warn: "W", error: "E", assert: "F" };
const LINE = /^([VDIWEFS])\/([^\n]*?): ?([\s\S]*)$/;
// All that a phone's replay is made of. Another element may reach for the network without asking the page's policy, as
// the hints of a link do.
const ELEMENTS = new Set(["html", "head", "style", "body", "div", "img"]);
const REFERENCE = /^picture:([0-9a-f]{32})$/;
const POSITIONED = new Set([1, 6, 12]);
const LISTED = ["texts", "attributes", "removes", "adds"];
const LAST_INTERACTION = 10;
// How far behind its document a segment tells what covers it.
const OPENING_MS = 2;

/**
 * `events` with their times put on `axis` and their pictures named by the addresses that `source` gives when asked,
 * and the lists: facts, logs, notices, touches, fingers, pictures, masks, labels, starts (of documents).
 */
export function read(events, axis, source) {
  const part = {
    events: [],
    facts: [],
    logs: [],
    notices: [],
    touches: [],
    fingers: [],
    pictures: [],
    masks: [],
    labels: [],
    starts: [],
    size: null,
    strange: 0,
  };
  const stack = new Stack();
  const known = new Map();
  let previous = null;
  const given = Array.isArray(events) ? events : [];
  const ordered = given.filter((event) => Number.isFinite(event?.timestamp)).sort((a, b) => a.timestamp - b.timestamp);
  part.strange = given.length - ordered.length;
  for (const event of ordered) {
    try {
      event.t = axis.offset(event.timestamp);
      // A seek to a segment's first instant would stand before its document, which comes a millisecond later.
      if (event.type === 2 && previous?.type === 4) event.t = previous.t;
      event.timestamp = axis.start + event.t;
      sort(part, event, { axis, source, stack, known });
      part.events.push(event);
      previous = event;
    } catch {
      part.strange++;
    }
  }
  return part;
}

function sort(part, event, { axis, source, stack, known }) {
  const { t, type, data } = event;
  if (type === 3 && !playable(data)) throw new Error("The player would fail at it.");
  if (type === 5) custom(part, t, String(data.tag), data.payload ?? {}, axis);
  else if (type === 6 && data.plugin === "rrweb/console@1") part.logs.push(log(t, data.payload));
  else if (type === 4) part.size ??= { width: Number(data.width), height: Number(data.height) };
  else if (type === 2) {
    visit(data.node, (node) => tamed(node, source));
    part.starts.push({ t });
    visit(data.node, (node) => label(part, t, node.id, node.attributes, known));
    stack.full(data.node);
    part.pictures.push({ t, layers: stack.layers() });
  } else if (type === 3 && data.source === 0) {
    for (const { attributes } of data.attributes) named(attributes, source);
    for (const { node } of data.adds) visit(node, (each) => tamed(each, source));
    for (const { id, attributes } of data.attributes) label(part, t, id, attributes, known);
    for (const { node } of data.adds) label(part, t, node.id, node.attributes, known);
    if (stack.change(data)) part.pictures.push({ t, layers: stack.layers() });
  } else if (type === 3 && data.source === 2) {
    if (data.type === 7) part.touches.push({ t });
    part.fingers.push({ t, down: data.type === 7 });
  }
}

/** Whether the player can take a change: it fails at one that it cannot, and with it every seek to a later moment. */
function playable({ source, type, positions, ...lists }) {
  if (source === 0) return LISTED.every((name) => Array.isArray(lists[name]));
  if (source === 2) return Number.isInteger(type) && type >= 0 && type <= LAST_INTERACTION;
  if (!POSITIONED.has(source)) return true;
  return positions?.length > 0 && positions.every(({ x, y, timeOffset }) => [x, y, timeOffset].every(Number.isFinite));
}

function custom(part, t, tag, payload, axis) {
  if (tag === "end") return;
  if (tag === "mask") {
    const begun = part.starts.at(-1)?.t;
    const from = t - begun <= OPENING_MS ? begun : t;
    part.notices.push(maskNotice(from, payload));
    part.masks.push({ t: from, payload });
  } else if (tag === "gap") part.notices.push(gapNotice(t, payload, axis));
  else if (tag === "doctor") part.notices.push(finding(t, payload));
  else {
    const fact = tag.startsWith("segment:");
    part.facts.push({ t, kind: tag.replace("segment:", ""), name: title(tag, payload), payload, fact });
  }
}

/** What a row says of an event whose tag this page may not know. */
function title(tag, payload) {
  if (tag === "session") return `Session ${payload.session_id ?? ""}`;
  const noted = tag === "marker" && payload.note ? remark(payload) : null;
  const known = noted ?? payload.event ?? payload.name ?? payload.text ?? payload.userId ?? payload.reason ?? payload.activity;
  const text = known ?? payload.package ?? Object.values(payload).find((value) => typeof value === "string") ?? "";
  return String(text).split("\n", 1)[0] || tag.replace("segment:", "");
}

/** A marker with a note; what is only a note has no other name. */
function remark({ name, note }) {
  return name && name !== "note" ? `${name}: ${note}` : note;
}

function log(t, payload) {
  const text = (payload.payload ?? []).map(unquote).join(" ");
  const parts = LINE.exec(text);
  const level = parts ? parts[1] : LEVELS[payload.level] ?? "I";
  return { t, level, tag: parts ? parts[2] : "", text: parts ? parts[3] : text };
}

/** Other writers put each console argument as JSON text. */
function unquote(text) {
  if (!/^"[\s\S]*"$/.test(text)) return String(text);
  try {
    return String(JSON.parse(text));
  } catch {
    return text;
  }
}

/** What a view says, when it says something new: for the search. `known` holds each view's last words. */
function label(part, t, id, attributes, known) {
  const said = attributes?.["aria-label"] || attributes?.["data-text"];
  if (typeof said !== "string" || known.get(id) === said) return;
  known.set(id, said);
  part.labels.push({ t, text: said });
}

function tamed(node, source) {
  // The player goes through the children of every document and element.
  if (node.type === 0 || node.type === 2) node.childNodes ??= [];
  if (node.tagName !== undefined && !ELEMENTS.has(node.tagName)) node.tagName = "div";
  named(node.attributes, source);
}

/** A picture's address is asked for when the player sets it, so that only what is shown is loaded or decoded. */
function named(attributes, source) {
  const [, digest] = REFERENCE.exec(attributes?.src ?? "") ?? [];
  if (!digest) return;
  Object.defineProperty(attributes, "src", { get: () => source.picture(digest), enumerable: true, configurable: true });
  Object.defineProperty(attributes, "digest", { value: digest });
}

function visit(node, then) {
  then(node);
  for (const child of node.childNodes ?? []) visit(child, then);
}
