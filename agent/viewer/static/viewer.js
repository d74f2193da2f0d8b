// The page: opens a session, keeps phone, time line, panes and address at one time.

import { Bar } from "./bar.js";
import { copy } from "./element.js";
import { address, showFacts, showSessions } from "./facts.js";
import { Keys } from "./keys.js";
import { Log } from "./log.js";
import { Masks } from "./masks.js";
import { Overlay } from "./overlay.js";
import { Rows, eventMore, eventRow, inForce, noticeMore, noticeRow } from "./rows.js";
import { Search, said } from "./search.js";
import { Session, sessions } from "./session.js";
import { source } from "./source.js";
import { Stage } from "./stage.js";
import { neighbour, stepped } from "./steering.js";
import { Tabs } from "./tabs.js";
import { lastAt } from "./time.js";
import { Views } from "./views.js";

const $ = (selector) => document.querySelector(selector);
const JUMP_MS = 5000;
const LEAP_MS = 10_000;
const GATHER_MS = 400;
const AHEAD = 40;
const REFRESH_MS = 300;

const data = source();
// `session` is what was chosen, `model` what is known of it, `wanted` a moment that waits for its segment.
const state = { all: [], session: null, model: null, holes: [], loading: null, wanted: null, sought: false, refreshed: 0 };

const stage = new Stage($("#room"), $("#phone"), { onTime, onState, onSize });
const overlay = new Overlay($("#overlay"), {
  onPick: (x, y) => views.choose(views.at(x, y)),
  onPoint: (x, y) => views.point(x === null ? null : views.at(x, y)),
});
const bar = new Bar($("#transport"), { onSeek: seek, onSift: (hidden) => events.sift(hidden) });
const events = new Rows($("#events-box"), $("#events"), {
  row: eventRow,
  more: eventMore,
  onSeek: seek,
  empty: "No Segment event in this session.",
});
const notices = new Rows($("#notices-box"), $("#notices"), {
  row: noticeRow,
  more: noticeMore,
  holds: inForce,
  onSeek: seek,
  empty: "No gap, no fault, and nothing was covered.",
});
const log = new Log($("#log"), { filter: $("#filter"), level: $("#level"), count: $("#log-count"), detail: $("#line"), onSeek: seek });
const views = new Views(
  { tree: $("#tree"), detail: $("#view"), count: $("#views-count"), filter: $("#views-filter") },
  { stage, density, onMark: (selected, pointed) => overlay.mark(selected, pointed), say: tell },
);
const masks = new Masks({ list: $("#masks"), note: $("#masks-note"), check: $("#masks-show") }, { density, onCover: (rects) => overlay.cover(rects) });
const search = new Search($("#search"), { items: () => (state.model ? said(state.model) : []), onSeek: seek });
const upper = new Tabs($("#upper-tabs"));
const lower = new Tabs($("#lower-tabs"), (id) => {
  views.shown = id === "pane-views";
  if (!views.shown) pick(false);
  views.refresh();
  views.mark();
});

async function start() {
  upper.show("pane-events");
  lower.show("pane-log");
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
  if (session !== state.session) await open(session, t);
  else if (state.model) seek(t);
}

async function open(session, t) {
  state.loading?.abort();
  const { signal } = (state.loading = new AbortController());
  Object.assign(state, { session, model: null, wanted: null });
  window.replay = undefined;
  stage.unload();
  $("#veil").textContent = "";
  document.body.classList.remove("ready", "whole");
  document.title = `Replay ${session.sessionId}`;
  showFacts($("#facts"), $("#tally"), session);
  showSessions($("#sessions"), state.all, session);
  say("Loading the session \u2026");
  const model = new Session(session, data);
  try {
    await model.open(signal);
    const first = Math.max(0, Math.min(t, model.duration));
    await model.need(first, signal);
    // A session whose first segments cannot be read is shown from the first that can.
    if (!model.size) await model.rest(() => first, signal, () => undefined);
  } catch (error) {
    if (!signal.aborted) say(`The session cannot be shown: ${error.message}.`, true);
    return;
  }
  if (signal.aborted) return;
  if (!model.size) return say("Nothing of this session can be read.", true);
  state.model = model;
  model.gather();
  stage.load(model);
  list();
  window.replay = handle();
  seek(t);
  await stage.settled();
  if (signal.aborted) return;
  document.body.classList.add("ready");
  say("");
  await complete(model, signal);
}

/** Read the rest of the session while it is already shown. */
async function complete(model, signal) {
  let due = null;
  const gather = () => {
    due = null;
    if (signal.aborted) return;
    stage.add(model.gather());
    list();
    if (state.wanted !== null && model.has(state.wanted)) seek(state.wanted);
  };
  try {
    await model.rest(
      () => state.wanted ?? stage.position,
      signal,
      () => {
        $("#loaded").textContent = model.complete ? "" : `${model.done} of ${model.segments.length} segments read`;
        due ??= setTimeout(gather, GATHER_MS);
      },
    );
  } catch (error) {
    if (!signal.aborted) tell(`The session cannot be read further: ${error.message}.`);
    return;
  }
  clearTimeout(due);
  gather();
  if (!signal.aborted) document.body.classList.add("whole");
}

/** Show in the lists what is known of the session. */
function list() {
  const { model } = state;
  // What keeps the phone's picture from being that of the moment.
  state.holes = model.notices.filter(({ kind, stage: at }) => kind === "blocked" || kind === "lost" || at === "screen");
  events.load(model.facts);
  notices.load(model.notices);
  masks.load(model.masks);
  log.load(model.logs, stage.position);
  bar.load(model);
  $("#events-count").textContent = model.facts.length.toLocaleString("en");
  $("#notices-count").textContent = model.notices.length.toLocaleString("en");
  onTime(stage.position);
}

/** What tests and the console may use. */
function handle() {
  const { model } = state;
  return {
    player: stage.player,
    duration: model.duration,
    seek,
    whenSettled: () => settled(),
    wall: (ms) => model.wall(ms),
    get events() {
      return model.events;
    },
    get position() {
      return state.wanted ?? stage.position;
    },
    get playing() {
      return stage.playing;
    },
  };
}

async function settled() {
  while (state.wanted !== null) await state.model.need(state.wanted, state.loading.signal).then(arrived);
  await stage.settled();
}

function seek(ms) {
  const { model } = state;
  if (!model) return;
  const t = Math.max(0, Math.min(ms, model.duration));
  state.wanted = null;
  if (!model.has(t)) return wait(t, stage.playing);
  state.sought = true;
  stage.seek(t);
  state.sought = false;
  if (!stage.playing) point();
}

/** A moment whose segment is not there yet: it is read first, then shown. */
function wait(t, resume) {
  stage.pause();
  state.wanted = t;
  const { model } = state;
  bar.show(t);
  $("#veil").textContent = "Loading this moment \u2026";
  model
    .need(t, state.loading.signal)
    .then(() => {
      if (state.wanted !== t || state.model !== model) return;
      arrived();
      if (resume) stage.toggle();
    })
    .catch(() => undefined);
}

function arrived() {
  if (state.wanted === null) return;
  stage.add(state.model.gather());
  list();
  seek(state.wanted);
}

function onTime(t) {
  const { model, sought } = state;
  if (!model || state.wanted !== null) return;
  if (stage.playing && !model.has(t)) return wait(t, true);
  bar.show(t);
  events.show(t, sought);
  notices.show(t, sought);
  log.show(t, sought);
  masks.show(t);
  const hole = state.holes.findLast((item) => item.t <= t && inForce(item, t));
  $("#veil").textContent = hole ? hole.short : "";
  const now = performance.now();
  if (sought || !stage.playing || now - state.refreshed > REFRESH_MS) {
    state.refreshed = now;
    views.refresh();
    if (stage.playing) warm(t);
  }
}

/** Pictures that come next, so that each is there when it is due. */
function warm(t) {
  const { pictures } = state.model;
  const first = lastAt(pictures, t) + 1;
  const next = pictures.slice(first, first + AHEAD).flatMap(({ layers }) => layers.map(({ attributes }) => attributes.digest));
  data.warm(new Set(next.filter(Boolean)));
}

function onState(playing) {
  bar.playing(playing);
  if (!playing) point();
}

function onSize(size) {
  overlay.resize(size);
}

/** Pixels of the screen per dp; null when the recording does not say. */
function density() {
  const dpi = Number(state.session?.segments[0].device?.density);
  return dpi > 0 ? dpi / 160 : null;
}

function pick(on) {
  if (on) lower.show("pane-views");
  overlay.picking = on;
  $("#pick").setAttribute("aria-pressed", String(on));
  if (!on) views.point(null);
}

/** Write the moment into the address, so that a reload or a copied link leads back to it. */
function point() {
  if (state.model && state.wanted === null) history.replaceState(null, "", address(state.session, stage.position));
}

function say(text, stuck = false) {
  $("#status").textContent = text;
  document.body.classList.toggle("stuck", stuck);
}

/** Say something for a moment. */
function tell(text) {
  say(text);
  setTimeout(() => $("#status").textContent === text && say(""), 2500);
}

function step(items, way, fits) {
  const t = neighbour(items, stage.position, way, fits);
  if (t !== null) seek(t);
}

const stepEvent = (way) => state.model && step(state.model.facts, way, ({ kind }) => !bar.hidden.has(kind));
const stepPicture = (way) => step(state.model.pictures, way);
const stepSpeed = (way) => stepped($("#speed"), way) && stage.speed(Number($("#speed").value));

async function link() {
  point();
  tell((await copy(location.href)) ? "Link to this moment copied." : "The browser does not allow copying here: take the address of the page.");
}

function focus(selector, pane) {
  lower.show(pane);
  $(selector).focus();
  $(selector).select?.();
}

const help = $("#help");
new Keys(
  {
    " ": () => stage.toggle(),
    k: () => stage.toggle(),
    j: () => seek(stage.position - LEAP_MS),
    l: () => seek(stage.position + LEAP_MS),
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
    c: link,
    s: () => search.open(),
    i: () => pick(!overlay.picking),
    Escape: () => pick(false),
    "/": () => focus("#filter", "pane-log"),
    "?": () => help.showModal(),
  },
  { help, ready: () => Boolean(state.model) },
);
$("#play").addEventListener("click", () => stage.toggle());
$("#previous").addEventListener("click", () => stepEvent(-1));
$("#next").addEventListener("click", () => stepEvent(1));
$("#speed").addEventListener("change", (event) => stage.speed(Number(event.target.value)));
$("#copy").addEventListener("click", link);
$("#pick").addEventListener("click", () => pick(!overlay.picking));
$("#search-open").addEventListener("click", () => search.open());
$("#help-open").addEventListener("click", () => help.showModal());
await start();
