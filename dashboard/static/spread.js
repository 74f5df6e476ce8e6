// How the whole window's latencies are spread: line by line, or one selection over another.

import { logAxis, valueAxis } from "./axes.js";
import { count, duration } from "./format.js";
import { css } from "./look.js";
import { faded, look, named, plain, trace } from "./traces.js";

/** What the selection that the whole page shows is called beside another. */
export const SHOWN = "shown";

const LAST = 256;

/** A figure of /api/distribution: share of a line's samples per bucket. */
export function spread(view) {
  const { distribution, compared } = view;
  const shown = compared ? selections(compared) : lines(distribution, view);
  const bounds = shown.flatMap(({ line }) => line.buckets.map(([bound]) => bound ?? LAST));
  const low = Math.round(Math.log2(Math.min(...bounds)) * 8) - 1;
  const high = Math.round(Math.log2(Math.max(...bounds)) * 8) + 1;
  const rows = bounds.length ? Array.from({ length: high - low + 1 }, (_row, at) => low + at) : [];
  const traces = shown.map(({ line, name, colour, ...more }) => {
    const counts = new Map(line.buckets.map(([bound, amount]) => [Math.round(Math.log2(bound ?? LAST) * 8), amount]));
    const drawn = trace(rows.map((k) => 2 ** ((k - 0.5) / 8)), rows.map((k) => (counts.get(k) ?? 0) / line.samples), {
      name: plain(name), colour, ...more, hovertemplate: `%{x:.3~s}s: %{y:.1%}<extra>${plain(name)}</extra>`,
    });
    return { ...drawn, line: { ...drawn.line, shape: "spline", smoothing: 0.6 } };
  });
  const axis = logAxis(bounds);
  return {
    traces,
    words: shown.map(({ name, line }) => `${name}: ${figures(line)}`).join("; ") || "no data",
    legend: (compared ?? []).map(({ name, line }) => ({ name: `${name}: ${figures(line)}`, colour: colourOf(name) })),
    layout: {
      hovermode: "closest",
      dragmode: false,
      xaxis: {
        type: "log", tickvals: axis.tickvals, ticktext: axis.ticktext, range: axis.range, fixedrange: true, showgrid: true,
        gridcolor: css("--grid"), zeroline: false, linecolor: css("--line-strong"), showline: true, tickangle: 0,
      },
      yaxis: valueAxis({ tickformat: ".0%" }),
    },
  };
}

function lines(distribution, view) {
  return (distribution?.lines ?? [])
    .filter(({ labels, samples }) => samples > 0 && !Object.entries(view.hidden).some(([kind, values]) => values.has(labels[kind])))
    .map((line) => ({ line, name: named(line.labels), ...look(line.labels, view) }));
}

/** Two selections, each merged into one line. */
function selections(compared) {
  return compared.filter(({ line }) => line?.samples > 0).map(({ line, name }) => {
    const colour = colourOf(name);
    return { line, name, colour, dash: name === SHOWN ? "solid" : "dash", fill: "tozeroy", fillcolor: faded(colour, 0.16) };
  });
}

function colourOf(name) {
  return css(name === SHOWN ? "--accent" : "--warn");
}

function figures(line) {
  if (!(line?.samples > 0)) return "no data";
  const { p50, p95, p99, samples } = line;
  return `p50 ${duration(p50)}, p95 ${duration(p95)}, p99 ${duration(p99)}, ${count(samples)} samples`;
}
