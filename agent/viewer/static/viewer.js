// The page: loads the recording, keeps phone, bar, panes and address at one time, takes keys.

import { Bar } from "./bar.js";
import { address, showFacts, showSessions } from "./facts.js";
import { Log, Rows, eventRow, inForce, noticeRow } from "./panes.js";
import { lastAt, load, sessions, wall } from "./session.js";
import { source } from "./source.js";
import { Stage } from "./stage.js";

const $ = (selector) => document.querySelector(selector);
const SPEEDS = ["0.5", "1", "2", "4", "8"];
const JUMP_MS = 5000;

const data = source();
const state = { all: [], session: null, model: null, holes: [], loading: null };
const stage = new Stage($("#room"), $("#phone"), { onTime, onState });
const bar = new Bar($("#transport"), { onSeek: seek });
const events = new Rows($("#events-box"), $("#events"), {
  row: eventRow,
  onSeek: seek,
  empty: "No Segment event in this session.",
});
const notices = new Rows($("#notices-box"), $("#notices"), {
  row: noticeRow,
  holds: inForce,
  onSeek: seek,
  empty: "No gap, no fault, and nothing was covered.",
});
const log = new Log($("#log"), {
  filter: $("#filter"),
  level: $("#level"),
  count: $("#log-count"),
  detail: $("#line"),
  onSeek: seek,
});
let sought = false;

async function start() {
  say("Loading the recording \u2026");
  let recording;
  try {
    recording = await data.overview();
  } catch (error) {
    return say(`The recording cannot be read: ${error.message}. Is the viewer still running?`, true);
  }
  const harm = recording.problems.map(({ file, reason }) => (reason.includes(file) ? reason : `${file}: ${reason}`));
  $("#problems").textContent = harm.length ? `${harm.length} unreadable: ${harm.join("; ")}` : "";
  $("#name").textContent = recording.name;
  state.all = sessions(recording.segments);
  document.body.classList.toggle("many", state.all.length > 1 || harm.length > 0);
  if (!state.all.length) return say("This recording holds no replay segment yet. Reload when something was recorded.", true);
  addEventListener("hashchange", follow);
  await follow();
}

/** Go where the address points: a session, and a moment in it. */
async function follow() {
  const words = new URLSearchParams(location.hash.slice(1));
  const fits = (session) =>
    session.sessionId === words.get("session") && [null, session.deviceId].includes(words.get("device"));
  const session = state.all.find(fits) ?? state.session ?? state.all[0];
  const t = Number(words.get("t")) || 0;
  if (session !== state.session) await open(session);
  if (session === state.session && state.model) seek(t);
}

async function open(session) {
  state.loading?.abort();
  const loading = (state.loading = new AbortController());
  state.session = session;
  state.model = null;
  $("#veil").textContent = "";
  window.replay = undefined;
  stage.unload();
  document.body.classList.remove("ready");
  document.title = `Replay ${session.sessionId}`;
  showFacts($("#facts"), $("#tally"), session);
  showSessions($("#sessions"), state.all, session);
  const count = session.segments.length;
  say(`Loading ${count} ${count === 1 ? "segment" : "segments"} \u2026`);
  let model;
  try {
    model = await load(session, data, loading.signal, (done, all) => say(`Loading segment ${done} of ${all} \u2026`));
  } catch (error) {
    if (!loading.signal.aborted) say(`The session cannot be shown: ${error.message}.`, true);
    return;
  }
  if (loading.signal.aborted) return;
  if (!model) return say("Nothing of this session can be read.", true);
  state.model = model;
  // What keeps the phone's picture from being that of the moment.
  state.holes = model.notices.filter(({ kind, stage }) => kind === "blocked" || kind === "lost" || stage === "screen");
  stage.load(model);
  bar.load(model);
  events.load(model.facts);
  notices.load(model.notices);
  log.load(model.logs);
  $("#events-count").textContent = model.facts.length.toLocaleString("en");
  $("#notices-count").textContent = model.notices.length.toLocaleString("en");
  window.replay = {
    player: stage.player,
    events: model.events,
    duration: model.duration,
    seek,
    whenSettled: () => stage.settled(),
    wall: (ms) => wall(model, ms),
    get position() {
      return stage.position;
    },
    get playing() {
      return stage.playing;
    },
  };
  await stage.settled();
  if (loading.signal.aborted) return;
  document.body.classList.add("ready");
  say("");
}

function seek(t) {
  if (!state.model) return;
  sought = true;
  stage.seek(t);
  sought = false;
  if (!stage.playing) point();
}

function onTime(t) {
  if (!state.model) return;
  bar.show(t);
  events.show(t, sought);
  notices.show(t, sought);
  log.show(t, sought);
  const hole = state.holes.findLast((item) => item.t <= t && inForce(item, t));
  $("#veil").textContent = hole ? hole.short : "";
}

function onState(playing) {
  bar.playing(playing);
  if (!playing) point();
}

/** Write the moment into the address, so that a reload or a copied link leads back to it. */
function point() {
  if (state.model) history.replaceState(null, "", address(state.session, stage.position));
}

function say(text, stuck = false) {
  $("#status").textContent = text;
  document.body.classList.toggle("stuck", stuck);
}

function stepEvent(step) {
  const { facts } = state.model;
  const at = lastAt(facts, stage.position);
  let next = at + step;
  if (step < 0 && at >= 0 && stage.position > facts[at].t) next = at;
  if (facts[next]) seek(facts[next].t);
}

function stepPicture(step) {
  const { pictures } = state.model;
  const next = pictures[lastAt(pictures, stage.position) + step];
  if (next) seek(next.t);
}

function stepSpeed(step) {
  const choice = $("#speed");
  choice.value = SPEEDS[Math.max(0, Math.min(SPEEDS.indexOf(choice.value) + step, SPEEDS.length - 1))];
  stage.speed(Number(choice.value));
}

async function copy() {
  point();
  try {
    await navigator.clipboard.writeText(location.href);
    say("Link to this moment copied.");
  } catch {
    say("The browser does not allow copying here: take the address of the page.");
  }
  setTimeout(() => say(""), 2500);
}

const KEYS = {
  " ": () => stage.toggle(),
  k: () => stage.toggle(),
  ArrowLeft: () => seek(stage.position - JUMP_MS),
  ArrowRight: () => seek(stage.position + JUMP_MS),
  ArrowUp: () => stepEvent(-1),
  ArrowDown: () => stepEvent(1),
  ",": () => stepPicture(-1),
  ".": () => stepPicture(1),
  "<": () => stepSpeed(-1),
  ">": () => stepSpeed(1),
  Home: () => seek(0),
  End: () => seek(state.model.duration),
  c: copy,
};

addEventListener("keydown", (event) => {
  if (event.metaKey || event.ctrlKey || event.altKey || $("#help").open) return;
  const own = event.target.closest?.("input:not([type=range]), select, textarea");
  if (event.key === "Escape" && own) return own.blur();
  if (own) return;
  if (event.key === "?") {
    event.preventDefault();
    $("#help").showModal();
  } else if (event.key === "/") {
    event.preventDefault();
    $("#filter").focus();
    $("#filter").select();
  } else if (KEYS[event.key] && state.model) {
    // Space presses the button that has the focus, as everywhere.
    if (event.key === " " && event.target.closest?.("button, a, summary")) return;
    event.preventDefault();
    KEYS[event.key]();
  }
});

$("#play").addEventListener("click", () => stage.toggle());
$("#previous").addEventListener("click", () => state.model && stepEvent(-1));
$("#next").addEventListener("click", () => state.model && stepEvent(1));
$("#speed").addEventListener("change", (event) => stage.speed(Number(event.target.value)));
$("#copy").addEventListener("click", copy);
$("#help-open").addEventListener("click", () => $("#help").showModal());
await start();
