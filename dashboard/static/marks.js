// Marks on every time chart: cold starts as shaded spans, events and objectives as thin lines.

import { shownFrom } from "./axes.js";
import { plotTime } from "./format.js";
import { css } from "./look.js";
import { plain } from "./traces.js";

const NAMES = {
  run_start: "run began",
  run_end: "run ended",
  autoscaler_updated: "autoscaler changed",
  faults_changed: "faults changed",
  worker_lost: "worker lost",
  worker_returned: "worker returned",
};
const LONGEST_NAME = 28;
const MOST_ROWS = 3;
const MARGINS = 64;
const LETTER = 6;
const ROW = 14;

/** Shapes for the chart whose axis of time is `name` of `layout`, which is of `region` if any. */
export function marks(name, layout, view, region) {
  const xref = name.replace("axis", "");
  const yaxis = name.replace("x", "y");
  const domain = layout[yaxis]?.domain ?? [0, 1];
  const across = { xref, yref: "paper", y0: domain[0], y1: domain[1] };
  const spans = united(view.spans, region).map(([from, to]) => ({
    type: "rect", ...across, x0: plotTime(from), x1: plotTime(to), fillcolor: css("--cold"), line: { width: 0 }, layer: "below",
  }));
  const lines = view.events.map((event) => ({
    type: "line", ...across, x0: plotTime(event.at), x1: plotTime(event.at),
    line: { color: css(colourOf(event.kind)), width: 1, dash: event.kind === "container_live" ? "solid" : "dot" },
    opacity: 0.7, layer: "below",
  }));
  const limits = view.objectives.map(({ from, to, limit }) => ({
    type: "line", xref, yref: yaxis.replace("axis", ""), x0: plotTime(from), x1: plotTime(to), y0: limit, y1: limit,
    line: { color: css("--bad"), width: 1.4, dash: "dash" },
  }));
  return [...spans, ...lines, ...limits];
}

/** What each objective is called, at the end of its line; annotations take logarithms. */
export function objectiveNames(name, view) {
  return view.objectives.map(({ to, limit, text }) => ({
    text: plain(text.replace("<=", " ≤ ").replace("<", " < ")),
    x: plotTime(to), xref: name.replace("axis", ""), y: Math.log10(limit), yref: name.replace("axis", "").replace("x", "y"),
    xanchor: "right", yanchor: "bottom", showarrow: false, font: { size: 10.5, color: css("--bad") },
  }));
}

/**
 * What runs, load steps and notes are called, above their line in the first chart, in as many rows
 * as they need, newest first; those for which there is no room are in the list of events only.
 */
export function eventNames(view) {
  const { events, frame, width } = view;
  const from = shownFrom(view);
  const perSecond = Math.max(1, width - MARGINS) / (frame.end - from);
  const free = new Array(MOST_ROWS).fill(Infinity);
  const named = [];
  for (const { at, kind, text } of events.filter((event) => event.at >= from && nameOf(event)).toReversed()) {
    const name = plain(nameOf({ kind, text }));
    const place = (at - from) * perSecond;
    const long = name.length * LETTER;
    // One at the right end has its room to the left.
    const leftwards = place + long > width - MARGINS;
    const left = leftwards ? place - long : place;
    const row = free.findIndex((until) => left + long < until);
    if (row < 0) continue;
    free[row] = left - LETTER;
    named.push({
      text: name, x: plotTime(at), xref: "x", y: 1, yref: "paper", yshift: row * ROW, xshift: -3, showarrow: false,
      xanchor: leftwards ? "right" : "left", yanchor: "bottom",
      font: { size: 10.5, color: css(kind === "note" ? "--text" : colourOf(kind)) },
    });
  }
  return { annotations: named, height: ROW * Math.max(1, ...named.map(({ yshift }) => 1 + yshift / ROW)) };
}

function nameOf({ kind, text }) {
  if (kind !== "note" && kind !== "load_step") return NAMES[kind];
  return text.length > LONGEST_NAME ? `${text.slice(0, LONGEST_NAME - 1)}…` : text;
}

function colourOf(kind) {
  if (kind === "worker_lost" || kind === "container_failed") return "--bad";
  return kind.startsWith("run") || kind === "load_step" || kind === "autoscaler_updated" || kind === "worker_returned" ? "--accent" : "--faint";
}

/** A region's spans, or those of all without overlaps, so that none is shaded twice. */
function united(spans, region) {
  const joined = [];
  for (const { from, to } of spans.filter((span) => !region || span.region === region).sort((a, b) => a.from - b.from)) {
    const last = joined[joined.length - 1];
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else joined.push([from, to]);
  }
  return joined;
}
