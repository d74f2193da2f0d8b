// The header's facts and the list of sessions.

import { address } from "./address.js";
import { arrange } from "./element.js";
import { IN_ZONE, span, when } from "./time.js";

/** Fill the header with what the manifests of a session say: who and when, and how much of what. */
export function showFacts(list, tally, session) {
  const first = session.segments[0];
  const device = first.device ?? {};
  const sum = (name) => session.segments.reduce((total, { counts }) => total + (counts?.[name] ?? 0), 0);
  const named = [device.manufacturer, device.model].filter(Boolean).join(" ");
  const lost = session.segments.flatMap(({ losses }) => losses ?? []);
  const rows = [
    ["Device", [named, device.android && `Android ${device.android}`].filter(Boolean).join(" \u00b7 ") || "unknown"],
    ["Serial", [...new Set(session.segments.map(({ serial }) => serial))].join(", ") || "unknown", "mono"],
    ["Session id", session.sessionId, "mono", first.session_from],
    ["Device id", session.deviceId, "mono", first.device_from],
    ["Started", when(session.start), "", "", `${when(session.start)}, ${IN_ZONE}`],
  ];
  const counts = [
    ["long", span(session.end - session.start)],
    counted("segment", session.segments.length),
    counted("picture", sum("frames")),
    counted("event", sum("events")),
    counted("touch", sum("touches"), "touches"),
    counted("log line", sum("logs")),
    [...counted("gap", sum("gaps")), sum("gaps") ? "warn" : ""],
  ];
  if (sum("blocked")) counts.push(["blocked", sum("blocked"), "warn"]);
  if (lost.length) {
    const why = lost.map(({ stage, reason, count: n }) => `${stage}: ${reason} \u00d7 ${n}`).join("\n");
    counts.push(["left out", lost.reduce((total, loss) => total + loss.count, 0), "warn", "", why]);
  }
  tally.replaceChildren(...counts.map(([name, n, ...rest]) => fact([name, n.toLocaleString("en"), ...rest])));
  list.replaceChildren(...rows.map(fact));
}

const MANY = 5;

/** Fill the navigation with one link per session; where there are many, those that `filter` fits. */
export function showSessions(list, filter, sessions, current) {
  filter.hidden = sessions.length <= MANY;
  filter.oninput = () => {
    const words = filter.value.trim().toLowerCase();
    for (const item of list.children) item.hidden = !item.textContent.toLowerCase().includes(words);
  };
  arrange(list, sessions, entry);
  for (const [index, { firstElementChild: link }] of [...list.children].entries()) {
    if (sessions[index].key === current?.key) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  filter.oninput();
}

function entry(session) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = address(session, 0);
  const device = session.segments[0].device ?? {};
  const began = text("strong", when(session.start));
  began.title = `Time of day ${IN_ZONE}`;
  link.append(
    began,
    text("span", `${span(session.end - session.start)} \u00b7 ${device.model ?? session.segments[0].serial}`),
    text("span", session.sessionId, "mono"),
    text("span", session.deviceId, "mono"),
  );
  item.append(link);
  return item;
}

function counted(one, n, many = `${one}s`) {
  return [n === 1 ? one : many, n];
}

function fact([name, value, look = "", from = "", hint = ""]) {
  const group = document.createElement("div");
  if (look) group.className = look;
  const description = text("dd", value);
  description.title = hint || value;
  if (from) description.append(text("small", `from ${from}`));
  group.append(text("dt", name), description);
  return group;
}

function text(tag, content, look = "") {
  const element = document.createElement(tag);
  element.textContent = content;
  if (look) element.className = look;
  return element;
}
