// The page: opens a session, keeps phone, time line, panes and address at one time.

import { address, asked } from "./address.js";
import { Bar } from "./bar.js";
import { copy } from "./element.js";
import { showFacts, showSessions } from "./facts.js";
import { Keys } from "./keys.js";
import { Log } from "./log.js";
import { Masks } from "./masks.js";
import { Overlay } from "./overlay.js";
import { Playhead } from "./playhead.js";
import { Rows, eventMore, eventRow, inForce, noticeMore, noticeRow } from "./rows.js";
import { Search, said } from "./search.js";
import { sessions } from "./session.js";
import { source } from "./source.js";
import { Stage } from "./stage.js";
import { neighbour, stepped } from "./steering.js";
import { Tabs } from "./tabs.js";
import { lastAt } from "./time.js";
import { Views } from "./views.js";

const $ = (selector) => document.querySelector(selector);
const JUMP_MS = 5000;
const LEAP_MS = 10_000;
const REFRESH_MS = 300;
const ADDRESS_MS = 200;
const EYES = new Set(["screen", "device", "capture", "recording"]);

const state = { all: [], chosen: null, holes: [], refreshed: 0, due: 0, astray: false };

const stage = new Stage($("#room"), $("#phone"), {
  onTime: (t) => head.moved(t),
  onState: () => {
    bar.playing(head.playing);
    if (!head.playing) pointSoon();
  },
  onSize: (size) => overlay.resize(size),
});
const data = source();
const head = new Playhead(stage, data, { onLists: list, onTime: show, onWait: wait, onRead: count });
const overlay = new Overlay($("#overlay"), {
  onPick: (x, y) => views.choose(views.at(x, y)),
  onPoint: (x, y) => views.point(x === null ? null : views.at(x, y)),
});
const bar = new Bar($("#transport"), { onSeek: seek, onSift: (hidden) => events.sift(hidden) });
const events = new Rows($("#events-box"), $("#events"), {
  row: eventRow,
  more: eventMore,
  guess: ({ fact }) => (fact ? 52 : 33),
  onSeek: seek,
  empty: "No Segment event in this session.",
});
const notices = new Rows($("#notices-box"), $("#notices"), {
  row: noticeRow,
  more: noticeMore,
  guess: () => 33,
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
const search = new Search($("#search"), { items: () => said(head.session), onSeek: seek });
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
  const { session, named, t } = asked(location.hash, state.all);
  if (session === undefined) return miss(named);
  const chosen = session ?? state.chosen ?? state.all[0];
  if (chosen !== state.chosen) await open(chosen, t ?? 0);
  else if (session || t !== null) seek(t ?? 0);
}

/** What is shown stays so, and the address as it is, until somebody goes on from here. */
function miss(named) {
  clearTimeout(state.due);
  state.astray = true;
  const { chosen, all } = state;
  if (!chosen) {
    document.body.classList.add("many");
    showSessions($("#sessions"), $("#sessions-filter"), all, null);
  }
  const rest = chosen ? `Session ${chosen.sessionId} is still shown` : "Choose one of those that it holds";
  say(`This recording does not hold ${named}. ${rest}.`, !chosen || document.body.classList.contains("stuck"));
}

async function open(chosen, t) {
  clearTimeout(state.due);
  state.astray = false;
  state.chosen = chosen;
  window.replay = undefined;
  $("#veil").textContent = $("#loaded").textContent = "";
  document.body.classList.remove("ready", "whole");
  document.title = `Replay ${chosen.sessionId}`;
  showFacts($("#facts"), $("#tally"), chosen);
  showSessions($("#sessions"), $("#sessions-filter"), state.all, chosen);
  say("Loading the session \u2026");
  try {
    const signal = await head.open(chosen, t);
    if (!signal) return;
    window.replay = handle();
    document.body.classList.add("ready");
    if (!state.astray) {
      say("");
      point();
    }
    if (await head.complete(signal)) document.body.classList.add("whole");
  } catch (error) {
    say(`The session cannot be shown: ${error.message}.`, true);
  }
}

/** What tests and the console may use. */
function handle() {
  return {
    player: stage.player,
    duration: head.session.duration,
    seek,
    whenSettled: () => head.settled(),
    wall: (ms) => head.session.wall(ms),
    get events() {
      return head.session.events;
    },
    get position() {
      return head.position;
    },
    get playing() {
      return head.playing;
    },
  };
}

function seek(ms) {
  if (state.astray) say("");
  state.astray = false;
  head.seek(ms);
  if (!head.playing) pointSoon();
}

/** More of the session is known. */
function list(session) {
  // What keeps the phone's picture from being that of the moment.
  state.holes = session.notices.filter(({ kind, stage: at }) => kind === "blocked" || kind === "lost" || EYES.has(at));
  events.load(session.facts);
  notices.load(session.notices);
  masks.load(session.masks, session.starts);
  log.load(session.logs, head.position);
  bar.load(session);
  $("#events-count").textContent = session.facts.length.toLocaleString("en");
  $("#notices-count").textContent = session.notices.length.toLocaleString("en");
  if (head.wanted === null) show(stage.position, false);
}

/** A moment is on the glass: everything follows. */
function show(t, sought) {
  bar.show(t);
  events.show(t, sought);
  notices.show(t, sought);
  log.show(t, sought);
  masks.show(t);
  const hole = state.holes.findLast((item) => item.t <= t && inForce(item, t));
  const blank = lastAt(head.session.pictures, t) < 0 ? "No picture of this moment" : "";
  veil(hole ? hole.short : blank);
  const now = performance.now();
  if (head.playing && !sought && now - state.refreshed < REFRESH_MS) return;
  state.refreshed = now;
  views.refresh();
  if (head.playing) head.warm(t);
}

function wait(t) {
  bar.show(t);
  bar.playing(head.playing);
  veil("Loading this moment \u2026");
}

/** Say why the phone's picture is not that of the moment; once, for what is written anew is announced anew. */
function veil(text) {
  if ($("#veil").textContent !== text) $("#veil").textContent = text;
}

function count(session) {
  $("#loaded").textContent = session.complete ? "" : `${session.done} of ${session.segments.length} segments read`;
}

/** Pixels of the screen per dp, by the mask event in force, else by the device's facts; null when neither says. */
function density() {
  const screen = masks.now?.payload.screen;
  if (Array.isArray(screen) && screen[0] > 0 && stage.size.width) return screen[0] / stage.size.width;
  const dpi = Number(state.chosen?.segments[0].device?.density);
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
  clearTimeout(state.due);
  state.astray = false;
  if (head.session) history.replaceState(null, "", address(state.chosen, head.position));
}

/** Once the hand rests: it takes as long as all lists together, and Safari allows a hundred in ten seconds. */
function pointSoon() {
  clearTimeout(state.due);
  if (!state.astray) state.due = setTimeout(point, ADDRESS_MS);
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
  const t = neighbour(items, head.position, way, fits);
  if (t !== null) seek(t);
}

const stepEvent = (way) => head.session && step(head.session.facts, way, ({ kind }) => !bar.hidden.has(kind));
const stepPicture = (way) => step(head.session.pictures, way);
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
    " ": () => head.toggle(),
    k: () => head.toggle(),
    j: () => seek(head.position - LEAP_MS),
    l: () => seek(head.position + LEAP_MS),
    ArrowLeft: () => seek(head.position - JUMP_MS),
    ArrowRight: () => seek(head.position + JUMP_MS),
    ArrowUp: () => stepEvent(-1),
    ArrowDown: () => stepEvent(1),
    ",": () => stepPicture(-1),
    ".": () => stepPicture(1),
    "<": () => stepSpeed(-1),
    ">": () => stepSpeed(1),
    Home: () => seek(0),
    End: () => seek(head.session.duration),
    c: link,
    s: () => search.open(),
    i: () => pick(!overlay.picking),
    Escape: () => pick(false),
    "/": () => focus("#filter", "pane-log"),
    "?": () => help.showModal(),
  },
  { help, ready: () => Boolean(head.session) },
);
// As an address it would leave the moment that the page was opened at.
$(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  $("#play").focus();
});
$("#play").addEventListener("click", () => head.toggle());
$("#previous").addEventListener("click", () => stepEvent(-1));
$("#next").addEventListener("click", () => stepEvent(1));
$("#speed").addEventListener("change", (event) => stage.speed(Number(event.target.value)));
$("#copy").addEventListener("click", link);
$("#pick").addEventListener("click", () => pick(!overlay.picking));
$("#search-open").addEventListener("click", () => head.session && search.open());
$("#help-open").addEventListener("click", () => help.showModal());
await start();
