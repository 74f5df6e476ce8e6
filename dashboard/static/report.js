// A report: the page's charts and tables for one run, from answers that were recorded for it.

import { Board } from "./board.js";
import { drawColdStarts, drawEvents } from "./course.js";
import { count, dayTime, span } from "./format.js";
import { Frame } from "./frame.js";
import { DASHES, PERCENTILE_LOOK, PERCENTILE_NAMES, ROUTING_NAMES, css, onThemeChange, regionColour, swatch } from "./look.js";
import { coldSpans, markedEvents, objectivesOf } from "./marked.js";
import { drawMatrix } from "./matrix.js";
import { drawRefusals } from "./refusals.js";
import { drawStickiness } from "./stickiness.js";
import { drawVerdict, element } from "./verdict.js";

const recorded = JSON.parse(document.getElementById("recorded").textContent);
const { run, panels, data, labels, summary, events } = recorded;
const [first] = Object.values(data);
const regions = labels.region;
const NOTHING_HIDDEN = { region: new Set(), routing: new Set(), quantile: new Set() };

for (const part of document.querySelectorAll("[data-dashboard]")) part.remove();

const whole = frameOf(first.start, first.end);
let frame = whole;
const board = new Board({
  onZoom: zoomTo,
  onReset: () => show(whole),
});

/** The recorded points of a stretch of time. */
function frameOf(from, to) {
  const { step } = first;
  const start = Math.max(first.start, Math.floor(from / step) * step);
  const end = Math.min(first.end, Math.ceil(to / step) * step);
  const made = new Frame(start, step, Math.max(1, (end - start) / step));
  for (const [id, answer] of Object.entries(data)) made.load(id, answer);
  return made;
}

function zoomTo(from, to) {
  show(frameOf(from, to));
}

function show(chosen) {
  frame = chosen;
  board.draw(frame, {
    regions,
    hidden: NOTHING_HIDDEN,
    spans: coldSpans(frame),
    events: markedEvents(events, frame),
    objectives: objectivesOf([run], frame),
    since: null,
    distribution: recorded.distribution,
    compared: null,
    beside: null,
    lives: recorded.containers,
    reason: null,
  });
  const shown = frame === whole ? "" : ` · shown: ${dayTime(frame.start)} to ${dayTime(frame.end)}; double-click or Escape shows all`;
  document.getElementById("window").textContent = `Run ${run.run} · ${dayTime(whole.start)} to ${dayTime(whole.end)} · a point per ${span(frame.step)}${shown}`;
}

/** What the lines of all charts are, where the page has buttons that hide them. */
function drawLegend() {
  const soft = css("--soft");
  const percentiles = Object.keys(PERCENTILE_NAMES).sort();
  legend("regions", regions, (region) => [swatch({ colour: regionColour(region, regions), width: 4 }), region]);
  legend("routings", Object.keys(DASHES), (routing) => [swatch({ colour: soft, dash: DASHES[routing] }), ROUTING_NAMES[routing]]);
  legend("percentiles", percentiles, (quantile) => [swatch({ colour: soft, ...PERCENTILE_LOOK[quantile] }), PERCENTILE_NAMES[quantile]]);
}

function legend(id, values, partsOf) {
  document.getElementById(id).replaceChildren(...values.map((value) => {
    const item = element("span", "chip");
    item.append(...partsOf(value));
    return item;
  }));
}

/** What the load generator told of the run, as it told it, and its attempts. */
function drawFacts() {
  const attempts = summary.regions.reduce((sum, line) => sum + line.attempts, 0);
  const began = `${new Date(run.start * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;
  const facts = [["began", began], ["attempts", count(attempts)], ...Object.entries(run.labels).filter(([, value]) => value !== "")];
  const list = element("dl", "facts");
  for (const [name, value] of facts) {
    const fact = element("div");
    fact.append(element("dt", "", name.replaceAll("_", " ")), element("dd", "", value));
    list.append(fact);
  }
  document.getElementById("verdict").after(list);
}

function drawTables() {
  drawVerdict(summary, whole, regions);
  const zoomAround = (from, to) => {
    const margin = Math.max(3, (to - from) / 4);
    zoomTo(from - margin, to + margin);
  };
  drawColdStarts(recorded.cold_starts, regions, zoomAround);
  drawRefusals(recorded.refusals, regions, zoomAround);
  drawStickiness(recorded.stickiness, regions);
  drawMatrix(recorded.matrix);
  drawEvents(events);
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") show(whole);
});
onThemeChange(() => {
  drawLegend();
  drawTables();
  show(frame);
});

document.title = `Run ${run.run} · flashgauge`;
drawLegend();
drawFacts();
board.build(panels);
drawTables();
show(whole);
