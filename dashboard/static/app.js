// Puts the page together: state in, numbers from the interface, charts out.

import { Advice } from "./advice.js";
import { get, Live, post } from "./api.js";
import { Board } from "./board.js";
import { Compare } from "./compare.js";
import { Controls } from "./controls.js";
import { drawColdStarts, drawEvents } from "./course.js";
import { Differences } from "./differences.js";
import { Frame } from "./frame.js";
import { onThemeChange } from "./look.js";
import { coldSpans, markedEvents, objectivesOf } from "./marked.js";
import { drawMatrix } from "./matrix.js";
import { drawRefusals } from "./refusals.js";
import { Runs } from "./runs.js";
import { State } from "./state.js";
import { drawStickiness } from "./stickiness.js";
import { drawLimits, drawTargets } from "./targets.js";
import { drawVerdict } from "./verdict.js";

const settings = JSON.parse(document.body.dataset.settings);
if (/^https?:/.test(settings.locust_url)) document.getElementById("welcome-locust").href = settings.locust_url;
const state = new State(location.search);
const controls = new Controls(state, settings);
const board = new Board({
  locustUrl: settings.locust_url,
  // A part of a run that is compared is compared with that part of the other one.
  onZoom: (from, to) => state.change({ from: Math.floor(from), to: Math.ceil(to), run: runs.base ? state.run : "" }),
  onReset: () => controls.follow(),
});

const compare = new Compare(state, controls);
const runs = new Runs(state, controls, {
  changed: (run) => {
    if (state.run === run) controls.follow();
    else if (runs.base === undefined && state.compare === `run:${run}`) state.change({ compare: "" });
    else load();
  },
  failed: say,
});
const differences = new Differences();
const advice = new Advice(state, controls);

const POINTS = 300;
// In any run there is something to see in it; an empty chart would be no first one.
const FIRST = "latency";
const AT_ONCE = 2;
const DETAILS_EVERY = 4;

let frame = null;
let beside = null;
let live = null;
let loading = null;
let events = [];
let summary = null;
let distribution = null;
let compared = null;
let lives = [];
let lostSince = null;
let targetsDown = [];
let viewKey = "";

/** What has to be loaded anew when it changes; hiding percentiles only draws anew. */
function keyOf() {
  const { range, from, to, run, paused, hidden, compare: other } = state;
  return JSON.stringify([range, from, to, run, paused, other, [...hidden.region].sort(), [...hidden.routing].sort()]);
}

function filters() {
  // What there is no room for on the page is not asked for either.
  const left = (kind) => (state.hidden[kind].size || controls.leftOut ? controls.known[kind].filter((value) => !state.hidden[kind].has(value)) : []);
  return { region: left("region"), routing: left("routing") };
}

async function load() {
  loading?.abort();
  live?.close();
  live = null;
  const mine = new AbortController();
  loading = mine;
  board.loading(true);
  try {
    const known = controls.refresh();
    // What is hidden is told by naming what is left; for that all there is must be known.
    if (state.hidden.region.size || state.hidden.routing.size || controls.leftOut) await known;
    const { start, end } = bounds();
    // Twice as many points as this would not be told apart on most screens.
    const step = Math.max(1, Math.ceil((end - start) / POINTS));
    const asked = { start, end, step, ...filters() };
    // The first panel tells the step; the others follow it.
    const [first] = await Promise.all([get(`/api/panels/${FIRST}/data`, asked, mine.signal), known]);
    const made = new Frame(first.start, first.step, (first.end - first.start) / first.step);
    made.load(FIRST, first);
    frame = made;
    beside = null;
    drawBoard([FIRST]);
    const exact = { ...asked, start: first.start, end: first.end, step: first.step };
    const rest = board.panelIds.filter((id) => id !== FIRST).map((id) => async () => {
      made.load(id, await get(`/api/panels/${id}/data`, exact, mine.signal));
      if (frame === made) drawBoard([id]);
    });
    await inTurn([
      async () => {
        events = await loadEvents(mine.signal);
        // Those that were drawn before lack the marks.
        if (frame === made) drawBoard([...made.panels.keys()]);
      },
      ...rest,
      () => loadBeside(made, exact, mine.signal),
      () => refreshTargets(mine.signal),
    ]);
    await refreshSummary(mine.signal);
    say(null);
    advice.offer();
    if (state.following) follow();
    drawLiveState(true);
    await refreshDetails(mine.signal);
  } catch (error) {
    if (error.name === "AbortError") return;
    say(`${error.message} Trying again.`);
    setTimeout(() => { if (loading === mine) load(); }, 2000);
  } finally {
    if (loading === mine) board.loading(false);
  }
}

/** Questions, a few at a time: all at once would make the first answer as late as the last. */
async function inTurn(questions) {
  const left = questions[Symbol.iterator]();
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (const ask of left) await ask();
  }));
}

function bounds() {
  if (state.from !== null) return { start: state.from, end: state.to };
  const now = Math.floor(Date.now() / 1000);
  return { start: now - state.range, end: now };
}

/** The same panels of the run that the shown one is compared with, at the same time of the run. */
async function loadBeside(shown, asked, signal) {
  const { base, open } = runs;
  if (!base) return;
  const made = new Frame(shown.start, shown.step, shown.steps);
  const later = Math.round((Math.floor(open.start) - Math.floor(base.start)) / shown.step) * shown.step;
  const window = { ...asked, start: asked.start - later, end: asked.end - later };
  await Promise.all(board.panelIds.map(async (id) => {
    const told = await get(`/api/panels/${id}/data`, window, signal);
    // Of an older run there are only coarser points; each is shown for as long as it tells of.
    const each = Math.max(1, Math.round(told.step / shown.step));
    const lines = told.lines
      .filter(({ points }) => points.some(([, value]) => value !== null))
      .map(({ labels, points }) => ({
        labels,
        points: points.flatMap(([at, value]) => Array.from({ length: each }, (_, n) => [at + later + n * shown.step, value])),
      }));
    made.load(id, { lines });
  }));
  if (frame !== shown) return;
  beside = made;
  drawBoard();
}

function loadEvents(signal) {
  return get("/api/events", { start: frame.start, end: frame.end + frame.step }, signal);
}

async function refreshTargets(signal = undefined) {
  const targets = await get("/api/targets", {}, signal);
  targetsDown = drawTargets({ targets, platform_error: null }).down;
  drawLimits(targets, controls.leftOut);
}

function follow() {
  live = new Live(
    { step: frame.step, panels: board.panelIds, ...filters(), since: frame.end },
    {
      points: (message) => {
        frame.add(message);
        drawBoard();
      },
      status: (status) => {
        targetsDown = drawTargets(status).down;
        drawLimits(status.targets, controls.leftOut);
      },
      skipped: () => load(),
      state: (connected) => drawLiveState(connected),
    },
  );
}

function drawBoard(only = null) {
  board.draw(frame, {
    regions: controls.known.region,
    hidden: state.hidden,
    spans: coldSpans(frame),
    events: markedEvents(events, frame),
    objectives: objectivesOf(controls.runs, frame),
    beside,
    runStart: runs.open?.start,
    since: state.from === null ? firstData() : null,
    distribution,
    compared,
    lives,
    reason: targetsDown.length ? targetsDown[0].error : null,
  }, only);
  controls.drawWindow(frame, beside ? runs.base : null);
  if (summary) drawVerdict(summary, frame, controls.known.region);
}

/** A little before the first attempt in the frame, null when there is none. */
function firstData() {
  let first = frame.steps;
  for (const { values } of frame.lines("throughput")) {
    const at = values.findIndex((value) => value !== null);
    if (at >= 0 && at < first) first = at;
  }
  return first < frame.steps ? frame.start + first * frame.step - 5 : null;
}

async function refreshSummary(signal) {
  if (!frame) return;
  const shown = { start: frame.start, end: frame.end, ...filters() };
  let coldStarts;
  [summary, distribution, compared, coldStarts, lives] = await Promise.all([
    get("/api/summary", shown, signal),
    get("/api/distribution", shown, signal),
    compare.load(shown, signal),
    get("/api/cold_starts", shown, signal),
    get("/api/containers", { start: frame.start, end: frame.end }, signal),
  ]);
  drawVerdict(summary, frame, controls.known.region);
  drawColdStarts(coldStarts, controls.known.region, zoomTo);
  drawEvents(events);
  drawBoard(["distribution", "container_lives"]);
  const nothing = !controls.known.region.length && !controls.runs.length;
  document.getElementById("welcome").hidden = !nothing;
  document.getElementById("welcome-reason").textContent = targetsDown.map((target) => target.error).join("; ");
}

/** What costs the server more to work out, and changes little from second to second. */
async function refreshDetails(signal) {
  const { region, routing } = filters();
  const window = { start: frame.start, end: frame.end, region };
  const [stickiness, matrix, refusals] = await Promise.all([
    get("/api/stickiness", window, signal),
    get("/api/matrix", { ...window, routing }, signal),
    get("/api/refusals", { ...window, routing }, signal),
  ]);
  drawStickiness(stickiness, controls.known.region);
  drawMatrix(matrix);
  drawRefusals(refusals, controls.known.region, zoomTo);
  await runs.refresh();
  await differences.show(runs.base, runs.open, controls.known.region);
}

/** A window a little wider than a stretch of time. */
function zoomTo(from, to) {
  const margin = Math.max(3, (to - from) / 4);
  state.change({ from: Math.floor(from - margin), to: Math.ceil(to + margin), run: "" });
}

function say(text) {
  const box = document.getElementById("trouble");
  box.hidden = text === null;
  box.textContent = text ?? "";
}

function drawLiveState(connected) {
  if (connected && lostSince !== null) say(null);
  lostSince = connected ? null : lostSince ?? Date.now();
  const box = document.getElementById("live");
  const [name, text] = state.from !== null ? ["paused", "Fixed window"]
    : state.paused ? ["paused", "Paused"]
      : connected ? ["on", "Live"] : ["off", "Reconnecting"];
  box.className = `live ${name}`;
  const words = box.querySelector("span");
  if (words.textContent !== text) words.textContent = text;
}

document.getElementById("note").addEventListener("submit", async (event) => {
  event.preventDefault();
  const input = document.getElementById("note-text");
  const text = input.value.trim();
  if (!text) return;
  try {
    const { open } = runs;
    // What is noted while a run is shown that has ended belongs to its time.
    const at = open && open.end !== null ? open.start : null;
    events.push(await post("/api/events", { text, at }));
    input.value = "";
    await runs.refresh(true);
    drawEvents(events);
    drawBoard();
  } catch (error) {
    say(error.message);
  }
});

/** What the live stream does not carry is asked for now and then. */
async function refreshOften() {
  for (let turn = 1; ; turn += 1) {
    // Of a long window a few seconds change little, and cost the server more.
    const pause = Math.min(30, Math.max(2, (frame?.step ?? 0) / 4));
    await new Promise((resolve) => { setTimeout(resolve, pause * 1000); });
    if (lostSince !== null && Date.now() - lostSince > 3000) {
      say("The dashboard does not answer; what is shown is what was known last. Is “python -m dashboard” still running?");
    }
    if (document.hidden || !frame) continue;
    try {
      const regions = controls.known.region.join();
      await controls.refresh();
      await runs.refresh();
      advice.offer();
      if (state.following) {
        // Another selection ends what is asked for this one.
        const { signal } = loading;
        events = await loadEvents(signal);
        await refreshSummary(signal);
        if (turn % DETAILS_EVERY === 0) await refreshDetails(signal);
      } else {
        await refreshTargets();
      }
      if (regions !== controls.known.region.join()) drawBoard();
    } catch {
      // The live stream tells that the dashboard is away, and what is shown stays.
    }
  }
}

state.addEventListener("change", () => {
  const key = keyOf();
  if (key !== viewKey) {
    viewKey = key;
    load();
  } else if (frame) drawBoard();
});
onThemeChange(() => {
  controls.draw();
  advice.draw();
  if (frame) drawBoard();
});

viewKey = keyOf();
controls.draw();
board.build(settings.panels);
board.addTools("distribution", ...compare.tools());
load().then(refreshOften);
