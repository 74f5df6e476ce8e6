// Axes: of time, of values, of durations on a logarithmic scale.

import { plotTime } from "./format.js";
import { css } from "./look.js";

const SHORTEST_SHOWN_S = 60;

/** Where the axis begins: a run that has just begun would be a sliver at the right, so it grows. */
export function shownFrom({ frame, since }) {
  return Math.max(frame.start, Math.min(since ?? frame.start, frame.end - SHORTEST_SHOWN_S));
}

/** The time of a run from its start on, where two are compared: the other one is laid over it. */
const RUN_TICKS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];

function runTicks({ frame, runStart }, most) {
  const begin = Math.floor(runStart);
  const tick = RUN_TICKS.find((seconds) => (frame.end - frame.start) / seconds <= most) ?? RUN_TICKS[RUN_TICKS.length - 1];
  const times = [];
  for (let at = Math.max(0, Math.ceil((frame.start - begin) / tick) * tick); begin + at <= frame.end; at += tick) times.push(at);
  return { tickmode: "array", tickvals: times.map((at) => plotTime(begin + at)), ticktext: times.map(clockOf) };
}

function clockOf(seconds) {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const rest = String(seconds % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** `most` is how many ticks there is room for. */
export function timeAxis(view, most = Math.floor(view.width / 130)) {
  const { frame } = view;
  const nticks = Math.max(3, Math.min(10, most));
  return {
    type: "date",
    range: [plotTime(shownFrom(view)), plotTime(frame.end)],
    showgrid: false,
    zeroline: false,
    linecolor: css("--line-strong"),
    showline: true,
    ticks: "outside",
    ticklen: 4,
    tickcolor: css("--line-strong"),
    tickformatstops: [
      { dtickrange: [null, 60000], value: "%H:%M:%S" },
      { dtickrange: [60000, 86400000], value: "%H:%M" },
      { dtickrange: [86400000, null], value: "%d %b" },
    ],
    nticks,
    ...(view.beside ? runTicks(view, nticks) : {}),
    tickangle: 0,
    hoverformat: "%H:%M:%S",
    // The cursor of the page is drawn over all charts; Plotly's own is not wanted besides.
    showspikes: false,
    spikethickness: -2,
    spikecolor: "rgba(0,0,0,0)",
  };
}

export function valueAxis(more = {}) {
  return {
    gridcolor: css("--grid"),
    zeroline: false,
    fixedrange: true,
    rangemode: "tozero",
    nticks: 5,
    separatethousands: true,
    ...more,
  };
}

export function logAxis(values) {
  if (!values.length) return { type: "log", range: [-3, 0], tickvals: [0.001, 0.01, 0.1, 1], ticktext: ["1 ms", "10 ms", "100 ms", "1 s"] };
  const [least, most] = values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, 0]);
  const low = Math.log10(least) - 0.12;
  const high = Math.log10(most) + 0.12;
  let ticks = [];
  for (const digits of [[1], [1, 3], [1, 2, 5], [1, 2, 3, 4, 5, 6, 7, 8, 9]]) {
    ticks = [];
    for (let power = -6; power <= 3; power += 1) {
      for (const digit of digits) {
        const value = digit * 10 ** power;
        if (Math.log10(value) >= low && Math.log10(value) <= high) ticks.push(value);
      }
    }
    if (ticks.length >= 3) break;
  }
  return { type: "log", range: [low, high], autorange: false, tickvals: ticks, ticktext: ticks.map(tickText) };
}

function tickText(value) {
  if (value < 0.001) return `${Math.round(value * 1e6)} µs`;
  return value < 1 ? `${Math.round(value * 1e3)} ms` : `${Math.round(value)} s`;
}

/** A scale that does not blow up a little noise: at least up to `least`. */
export function floor(lines, least) {
  const most = Math.max(0, ...lines.map(({ values }) => values.reduce((high, value) => Math.max(high, value ?? 0), 0)));
  return most < least ? { range: [0, least * 1.05], autorange: false } : {};
}

/** A scale of whole numbers, for things that are counted one by one. */
export function wholes(rows) {
  const most = Math.max(1, ...rows.map((values) => values.reduce((high, value) => Math.max(high, value ?? 0), 0)));
  return most < 6 ? { dtick: 1, range: [0, most + 0.5], autorange: false } : { range: [0, most * 1.05], autorange: false };
}
