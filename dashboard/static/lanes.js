// Containers as lanes over time: when each was asked for, booted, served and went.

import { duration, plotTime, time } from "./format.js";
import { stateColour } from "./look.js";
import { faded, plain } from "./traces.js";

const MOST = 40;
const LANE = 20;
const SHORTEST_NAME = 8;

/** A figure of /api/containers, newest at the top. */
export function lanes(lives, x, view) {
  const { frame } = view;
  const shown = lives.filter((life) => beginOf(life, frame) < frame.end).slice(-MOST);
  const parts = { starting: [], live: [], draining: [] };
  shown.forEach((life, lane) => {
    const gone = life.gone_at ?? frame.end;
    const live = life.live_at ?? (life.requested_at === null ? frame.start : null);
    const down = life.draining_at ?? gone;
    if (life.requested_at !== null) parts.starting.push([lane, life, life.requested_at, life.live_at ?? down]);
    if (live !== null) parts.live.push([lane, life, live, down]);
    if (life.draining_at !== null) parts.draining.push([lane, life, life.draining_at, gone]);
  });
  const traces = Object.entries(parts).filter(([, bars]) => bars.length).map(([state, bars]) => bar(state, bars, frame));
  const names = shown.map(nameOf);
  return {
    traces,
    legend: Object.keys(parts).map((state) => ({ name: state, colour: stateColour(state) })),
    words: shown.map(wordsOf).join("; ") || "no data",
    height: Math.max(110, 46 + LANE * shown.length),
    layout: {
      hovermode: "closest",
      barmode: "overlay",
      margin: { l: 12 + 6.6 * Math.max(SHORTEST_NAME, ...names.map((name) => name.length)), r: 12, t: 10, b: 26 },
      yaxis: {
        tickvals: shown.map((_, lane) => lane), ticktext: names, range: [-0.7, shown.length - 0.3], fixedrange: true,
        showgrid: false, zeroline: false, autorange: false,
      },
    },
  };
}

function bar(state, bars, frame) {
  const colour = stateColour(state);
  const points = bars.map(([lane, life, from, to]) => ({
    lane, from: Math.max(from, frame.start), to: Math.min(to, frame.end), text: plain(wordsOf(life)),
  })).filter(({ from, to }) => to > from);
  return {
    type: "bar", orientation: "h", name: state, width: 0.62,
    y: points.map(({ lane }) => lane),
    base: points.map(({ from }) => plotTime(from)),
    x: points.map(({ from, to }) => (to - from) * 1000),
    customdata: points.map(({ text }) => text),
    marker: { color: faded(colour, 0.8), line: { width: 0 } },
    hovertemplate: "%{customdata}<extra></extra>",
  };
}

function beginOf(life, frame) {
  return life.requested_at ?? life.live_at ?? frame.start;
}

function nameOf({ task_id: id, region }) {
  const short = id.length > 14 ? `…${id.slice(-10)}` : id;
  return plain(region ? `${short} ${region}` : short);
}

function wordsOf(life) {
  const parts = [life.task_id];
  if (life.region) parts.push(`in ${life.region}`);
  if (life.requested_at !== null) parts.push(`requested ${time(life.requested_at)}`);
  if (life.boot !== null) parts.push(`live after ${duration(life.boot)}`);
  if (life.server_boot !== null) parts.push(`its server took ${duration(life.server_boot)}`);
  if (life.in_flight_max !== null) parts.push(`up to ${life.in_flight_max} requests at once`);
  if (life.gone_at !== null) parts.push(`gone ${time(life.gone_at)}`);
  return parts.join(", ");
}
