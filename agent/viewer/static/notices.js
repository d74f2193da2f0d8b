// Gaps, masks and findings as the page tells them.

import { lastAt, span } from "./time.js";

const RETRY_MS = 1_000;
const BLOCKED = {
  "no-picture": "there was none yet",
  tightened: "masking became stricter, and none has been taken since",
  "no-tree": "the view tree could not be read",
  "not-app": "another app was in front",
  rotation: "the screen was turning",
  secure: "a secure window was in front",
  settling: "the app was only opening",
  size: "picture and view tree differ in size",
  unstable: "the screen was changing",
};

/** The notice of a mask event: what is covered from `t` on; `bare` when it is nothing. */
export function maskNotice(t, payload) {
  const text = covered(payload);
  const bare = !payload.blocked && !payload.count;
  return { t, end: t, kind: payload.blocked ? "blocked" : "mask", text, short: text, bare };
}

/** The notice of a gap; its times are clock times, which `axis` puts on the time line. */
export function gapNotice(t, payload, axis) {
  const [begun, over] = [payload.from_ms, payload.to_ms].map((wall) => (Number.isFinite(wall) ? wall : axis.wall(t)));
  const from = axis.offset(begun);
  const to = axis.offset(over);
  const ms = Number.isFinite(payload.ms) ? payload.ms : over - begun;
  const reason = words(payload.reason) ?? "";
  const what = reason.startsWith(payload.stage) ? reason : [payload.stage, reason].filter(Boolean).join(": ");
  const detail = payload.detail ? ` \u2013 ${payload.detail}` : "";
  const gap = { t: Math.min(from, t), end: Math.max(to, t), kind: "gap", stage: payload.stage, what, detail, ms };
  return { ...gap, text: gapText(gap), short: `No picture \u2013 ${what}` };
}

/** The notice of a finding of the doctor. A hint is no fault: it stands in the list and not on the time line. */
export function finding(t, payload) {
  const kind = payload.severity === "info" ? "hint" : "fault";
  const name = `${payload.severity} ${payload.rule}`;
  return { t, end: t, kind, text: `${name}: ${payload.meaning} ${payload.fix}`, name, payload };
}

/**
 * Notices in order, where a scrolling list that is covered anew in every picture is one notice until what it says
 * changes, and a screen that is tried again and again is one gap. `starts` are those of documents: each is covered by what
 * is told from then on. Leaves its arguments as they are; a notice is `of` the first that it stands for.
 */
export function merged(notices, starts, duration) {
  const list = [];
  const open = {};
  const untilNext = (t) => (starts[lastAt(starts, t) + 1]?.t ?? duration + 1) - 1;
  for (const each of notices.slice().sort((a, b) => a.t - b.t)) {
    const notice = { ...each, of: each };
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
      const last = open.cover;
      if (last && last.text === notice.text && notice.t <= last.end + 1) {
        last.end = untilNext(notice.t);
        continue;
      }
      // Every segment tells what covers it; that nothing does is news only where something did.
      if (!last && notice.bare) continue;
      if (last?.t === notice.t) list.splice(list.indexOf(last), 1);
      else if (last) last.end = Math.min(last.end, notice.t - 1);
      open.cover = notice;
      notice.end = untilNext(notice.t);
    }
    list.push(notice);
  }
  return list;
}

function covered(payload) {
  if (payload.blocked) return `Whole picture blocked: ${BLOCKED[payload.blocked] ?? payload.blocked}`;
  const count = payload.count ?? 0;
  if (!count) return "Nothing covered from here";
  const rules = Object.entries(payload.rules ?? {}).map(([rule, n]) => (n > 1 ? `${rule} \u00d7 ${n}` : rule));
  const tail = rules.length ? `: ${rules.join(", ")}` : payload.reason ? `: ${payload.reason}` : "";
  return `${count} ${count === 1 ? "area" : "areas"} covered${tail}`;
}

/** "ScreenBlocked" as "screen blocked"; what is words already stays. */
function words(name) {
  return /^([A-Z][a-z]+){2,}$/.test(name ?? "") ? name.replace(/(?!^)[A-Z]/g, " $&").toLowerCase() : name;
}

function gapText({ what, detail, ms }) {
  return `${what}, ${span(ms)}${detail}`;
}
