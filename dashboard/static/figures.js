// What each panel looks like, as data for Plotly. No state here: frame and view in, figure out.

import { plotTime } from "./format.js";
import { PERCENTILE_LOOK, PERCENTILE_NAMES } from "./controls.js";
import { DASHES, OUTCOME_NAMES, ROUTING_NAMES, css, outcomeColour, regionColour, stateColour } from "./look.js";

const NARROW = 640;
const LONGEST_BRIDGE = 2;
const SHORTEST_SHOWN_S = 60;

/** Panels in the order of the page. `wide` ones take a whole row. */
export const LAYOUT = [
  { id: "responses_503", draw: refusals, wide: true, height: 210 },
  { id: "latency", draw: percentiles, wide: true, height: 300 },
  { id: "throughput", draw: outcomes, wide: true, height: 240 },
  { id: "response_time", draw: percentiles, height: 250 },
  { id: "time_to_first_byte", draw: percentiles, height: 250 },
  { id: "edge_overhead", draw: percentiles, height: 250 },
  { id: "cold_start_wait", draw: percentiles, height: 250 },
  { id: "affinity", draw: shares, height: 220 },
  { id: "cache_hits", draw: shares, height: 220 },
  { id: "heatmap", draw: heatmap, wide: true, height: 260 },
  { id: "distribution", draw: distribution, timeless: true, wide: true, height: 250 },
  { id: "cold_starts", draw: coldStarts, height: 220 },
  { id: "containers", draw: containers, height: 220 },
  { id: "generator", draw: generator, wide: true, height: 230 },
];

/**
 * A figure of a panel: {traces, layout, legend, empty}.
 * `view` is {width, regions, hidden, spans, events}.
 */
export function figure(panel, frame, view) {
  const lines = frame.lines(panel.id).filter(({ labels }) => shown(labels, view.hidden));
  const x = frame.times().map(plotTime);
  const made = panel.draw(lines, x, { ...view, height: panel.height });
  const empty = !lines.some(({ values }) => values.some((value) => value !== null));
  const layout = {
    ...base({ ...view, frame }),
    ...made.layout,
    height: made.height ?? panel.height,
    datarevision: frame.revision,
  };
  if (panel.timeless) return { traces: made.traces, layout, legend: made.legend ?? [], empty: !made.traces.length };
  const axes = Object.keys(layout).filter((name) => /^xaxis\d*$/.test(name));
  layout.shapes = axes.flatMap((name) => marks(name.replace("axis", ""), layout[name.replace("x", "y")], view));
  if (panel.id === "responses_503") {
    layout.annotations = eventNames(view);
    layout.margin = { ...layout.margin, t: 18 };
  }
  return { traces: made.traces, layout, legend: made.legend ?? [], empty };
}

/** What runs and notes are called, at their line in the first chart. */
function eventNames({ events }) {
  const names = { run_start: "run began", run_end: "run ended", autoscaler_updated: "autoscaler changed", faults_changed: "faults changed" };
  return events.filter(({ kind }) => kind === "note" || kind in names).map(({ at, kind, text }) => ({
    text: plain(names[kind] ?? (text.length > 28 ? `${text.slice(0, 27)}…` : text)),
    x: plotTime(at), xref: "x", y: 1, yref: "paper", xanchor: "left", yanchor: "bottom", xshift: -3,
    showarrow: false, font: { size: 10.5, color: css(kind === "note" ? "--text" : "--accent") },
  }));
}

function shown(labels, hidden) {
  return Object.entries(hidden).every(([kind, values]) => labels[kind] === undefined || !values.has(labels[kind]));
}

function base(view) {
  const font = { family: getComputedStyle(document.body).fontFamily, size: 11.5, color: css("--soft") };
  return {
    font,
    margin: { l: 52, r: 12, t: 10, b: 26 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    showlegend: false,
    hovermode: "x unified",
    hoverlabel: { bgcolor: css("--card"), bordercolor: css("--line-strong"), font: { ...font, color: css("--text") } },
    dragmode: view.touch ? false : "zoom",
    xaxis: timeAxis(view),
    yaxis: valueAxis(),
  };
}

function timeAxis({ frame, since, width }) {
  // A run that has just begun would be a sliver at the right; the axis grows with it instead.
  const start = Math.max(frame.start, Math.min(since ?? frame.start, frame.end - SHORTEST_SHOWN_S));
  return {
    type: "date",
    range: [plotTime(start), plotTime(frame.end)],
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
    nticks: Math.max(3, Math.min(10, Math.floor(width / 130))),
    tickangle: 0,
    hoverformat: "%H:%M:%S",
    // The cursor of the page is drawn over all charts; Plotly's own is not wanted besides.
    showspikes: false,
    spikethickness: -2,
    spikecolor: "rgba(0,0,0,0)",
  };
}

function valueAxis(more = {}) {
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

// Lines

/**
 * Percentiles have nothing to say of a second whose scrape came late or in which nothing was
 * answered. At one point per second such holes are bridged if they are short: the line is drawn
 * across, and no point is made up.
 */
function bridged(x, values, frame) {
  if (frame.step > 1) return [x, values];
  const kept = values.map((value, at) => {
    if (value !== null) return true;
    let from = at;
    while (from > 0 && values[from - 1] === null && at - from <= LONGEST_BRIDGE) from -= 1;
    let to = at;
    while (to < values.length - 1 && values[to + 1] === null && to - at <= LONGEST_BRIDGE) to += 1;
    return from === 0 || to === values.length - 1 || to - from + 1 > LONGEST_BRIDGE;
  });
  if (kept.every(Boolean)) return [x, values];
  return [x.filter((_, at) => kept[at]), values.filter((_, at) => kept[at])];
}

function trace(x, values, { name, colour, dash = "solid", width = 2, opacity = 1, unit = "", format = ",.3~g", ...more }) {
  const alone = values.map((value, at) => value !== null && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null);
  const dotted = alone.includes(true);
  return {
    type: "scatter",
    // A point without neighbours is no line; it is drawn as a dot.
    mode: dotted ? "lines+markers" : "lines",
    ...(dotted ? { marker: { color: colour, size: alone.map((is) => (is ? 5 : 0)), line: { width: 0 } } } : {}),
    x,
    y: values,
    name,
    line: { color: colour, width, dash },
    opacity,
    connectgaps: false,
    hovertemplate: `%{y:${format}}${unit}<extra>${name}</extra>`,
    ...more,
  };
}

/** What is drawn must not be markup: Plotly understands some. */
function plain(text) {
  return String(text).replace(/[<>&%{}$]/g, "");
}

function named(labels, ...parts) {
  return plain([labels.region, ROUTING_NAMES[labels.routing] ?? labels.routing, ...parts].filter(Boolean).join(" · "));
}

function look(labels, view) {
  return { colour: regionColour(labels.region ?? "", view.regions), dash: DASHES[labels.routing] ?? "solid" };
}

function refusals(lines, x, view) {
  const traces = lines.map(({ labels, values }) => {
    const { colour, dash } = look(labels, view);
    return trace(x, values, { name: named(labels), colour, dash, unit: "/s", fill: "tozeroy", fillcolor: faded(colour, 0.1) });
  });
  return { traces, layout: { yaxis: valueAxis({ ticksuffix: "/s", ...floor(lines, 1) }) } };
}

function shares(lines, x, view) {
  const traces = lines.map(({ labels, values }) => trace(x, values, { name: named(labels) || "all", ...look(labels, view), format: ".2%" }));
  return { traces, layout: { yaxis: valueAxis({ tickformat: ".0%", range: [0, 1.02], autorange: false }) } };
}

function coldStarts(lines, x, view) {
  const traces = lines.map(({ labels, values }) => {
    const gaveUp = labels.result === "gave_up";
    return trace(x, values, { name: named(labels, gaveUp ? "gave up" : "answered"), ...look(labels, view), width: gaveUp ? 3.5 : 2, unit: "/s" });
  });
  return { traces, layout: { yaxis: valueAxis({ ticksuffix: "/s", ...floor(lines, 1) }) } };
}

function containers(lines, x) {
  const order = ["live", "starting", "draining"];
  const sums = summed(lines, (labels) => labels.state ?? "", x.length);
  const states = [...sums.keys()].sort((a, b) => order.indexOf(a) - order.indexOf(b));
  const traces = states.map((state) => trace(x, sums.get(state), {
    name: plain(state), colour: stateColour(state), stackgroup: "all", line: { shape: "hv", color: stateColour(state), width: 0 },
    fillcolor: faded(stateColour(state), 0.55),
  }));
  const legend = states.map((state) => ({ name: state, colour: stateColour(state) }));
  return { traces, legend, layout: { yaxis: valueAxis(wholes([...sums.values()])) } };
}

function outcomes(lines, x) {
  const order = Object.keys(OUTCOME_NAMES);
  const sums = summed(lines, (labels) => labels.outcome ?? "", x.length);
  const known = [...sums.keys()].sort((a, b) => order.indexOf(a) - order.indexOf(b));
  const traces = known.map((outcome) => {
    const colour = outcomeColour(outcome);
    return trace(x, sums.get(outcome), {
      name: plain(OUTCOME_NAMES[outcome] ?? outcome), colour, width: outcome === "ok" ? 1.6 : 0, unit: "/s", stackgroup: "all",
      fillcolor: faded(colour, outcome === "ok" ? 0.22 : 0.8),
    });
  });
  const legend = known.map((outcome) => ({ name: OUTCOME_NAMES[outcome] ?? outcome, colour: outcomeColour(outcome) }));
  return { traces, legend, layout: { yaxis: valueAxis({ ticksuffix: "/s" }) } };
}

function generator(lines, x, view) {
  const facets = [
    { title: "Users and requests in flight", lines: lines.filter(({ labels }) => ["users", "in_flight"].includes(labels.measure)), axis: {} },
    { title: "CPU of a process", lines: lines.filter(({ labels }) => labels.measure === "cpu_ratio"), axis: { tickformat: ".0%" }, format: ".1%" },
    { title: "Late starts, p99", lines: lines.filter(({ labels }) => labels.measure === "schedule_lag_p99_s"), axis: { tickformat: ".3~s", ticksuffix: "s" }, format: ".3~s", unit: "s" },
    { title: "Workers", lines: lines.filter(({ labels }) => labels.measure === "workers") },
  ];
  facets[3].axis = wholes(facets[3].lines.map(({ values }) => values));
  const palette = [css("--accent"), css("--warn"), css("--good"), css("--bad"), css("--soft")];
  return faceted(facets, x, { ...view, ownScales: true }, (facet, suffix) => facet.lines.map(({ labels, values }, at) => trace(x, values, {
    name: plain(labels.process ?? { users: "users", in_flight: "in flight", workers: "workers" }[labels.measure] ?? "p99"),
    colour: palette[at % palette.length], format: facet.format ?? ",.4~g", unit: facet.unit ?? "", xaxis: `x${suffix}`, yaxis: `y${suffix}`,
  })), (facet) => valueAxis(facet.axis));
}

// Percentiles: a small chart per region with one scale for all, since lines of all regions, both
// routings and three percentiles in one chart are not readable.

function percentiles(lines, x, view) {
  const regions = [...new Set(lines.map(({ labels }) => labels.region ?? ""))].sort((a, b) => view.regions.indexOf(a) - view.regions.indexOf(b));
  const values = lines.flatMap((line) => line.values.filter((value) => value !== null && value > 0));
  const facets = regions.map((region) => ({ title: region, colour: regionColour(region, view.regions), lines: lines.filter(({ labels }) => (labels.region ?? "") === region) }));
  const axis = logAxis(values);
  return faceted(facets.length ? facets : [{ title: "", lines: [] }], x, view, (facet, suffix) => facet.lines
    .sort((a, b) => Number(b.labels.quantile) - Number(a.labels.quantile))
    .map(({ labels, values: own }) => trace(...bridged(x, own, view.frame), {
      name: plain([ROUTING_NAMES[labels.routing] ?? labels.routing, PERCENTILE_NAMES[labels.quantile] ?? labels.quantile].filter(Boolean).join(" ")),
      ...look(labels, view), ...PERCENTILE_LOOK[labels.quantile], unit: "s", format: ".3~s", xaxis: `x${suffix}`, yaxis: `y${suffix}`,
    })), () => valueAxis(axis));
}

function logAxis(values) {
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

function faceted(facets, x, view, tracesOf, axisOf) {
  const stacked = view.width < NARROW;
  const count = facets.length;
  const room = view.ownScales ? 62 : 26;
  const gap = stacked ? 0 : Math.min(0.09, room / Math.max(view.width, 1));
  const layout = { annotations: [] };
  const traces = [];
  const height = stacked && count > 1 ? Math.max(view.height, 150 * count + 20) : view.height;
  const rowGap = 46 / height;
  facets.forEach((facet, at) => {
    const suffix = at === 0 ? "" : String(at + 1);
    const wide = (1 - gap * (count - 1)) / count;
    const tall = (1 - rowGap * (count - 1)) / count;
    const domainX = stacked ? [0, 1] : [at * (wide + gap), at * (wide + gap) + wide];
    const domainY = stacked ? [1 - at * (tall + rowGap) - tall, 1 - at * (tall + rowGap)] : [0, 1];
    const sameScale = axisOf(facet).type === "log";
    layout[`xaxis${suffix}`] = { ...timeAxis(view), domain: domainX, anchor: `y${suffix}`, ticklabeloverflow: "hide past domain", nticks: Math.max(3, Math.min(10, Math.floor(view.width / (stacked ? 1 : count) / 110))) };
    layout[`yaxis${suffix}`] = { ...axisOf(facet), domain: domainY, anchor: `x${suffix}`, showticklabels: stacked || at === 0 || !sameScale };
    if (facet.title) {
      layout.annotations.push({
        text: `<b>${plain(facet.title)}</b>`, x: domainX[0], y: domainY[1], xref: "paper", yref: "paper",
        xanchor: "left", yanchor: "bottom", showarrow: false, font: { color: facet.colour ?? css("--soft"), size: 12 },
      });
    }
    traces.push(...tracesOf(facet, suffix));
  });
  layout.margin = { l: 52, r: 12, t: 26, b: 26 };
  return { traces, layout, height };
}

function heatmap(lines, x) {
  const sorted = lines
    .map(({ labels, values }) => ({ le: labels.le === "+Inf" ? 256 : Number(labels.le), values }))
    .sort((a, b) => a.le - b.le);
  const values = sorted.map(({ le }) => le);
  // Empty buckets between full ones keep their place, as rows of a regular grid in the logarithm.
  const rows = [];
  if (sorted.length) {
    const first = Math.round(Math.log2(sorted[0].le) * 8);
    const last = Math.round(Math.log2(sorted[sorted.length - 1].le) * 8);
    for (let k = first; k <= last; k += 1) rows.push(k);
  }
  const byRow = new Map(sorted.map((line) => [Math.round(Math.log2(line.le) * 8), line.values]));
  const z = rows.map((k) => (byRow.get(k) ?? new Array(x.length).fill(null)).map((value) => (value > 0 ? value : null)));
  const ticks = rows.length ? logAxis(values) : logAxis([]);
  const least = rows.length ? rows[0] - 1 : 0;
  return {
    traces: [{
      type: "heatmap", x, y: rows.map((k) => k - 0.5), z, zsmooth: false, hoverongaps: false,
      colorscale: [[0, faded(css("--accent"), 0.15)], [0.35, faded(css("--accent"), 0.6)], [1, css("--accent")]],
      showscale: false,
      customdata: rows.map((k) => x.map(() => `${tickTextFine(2 ** ((k - 1) / 8))} to ${tickTextFine(2 ** (k / 8))}`)),
      hovertemplate: "%{customdata}: %{z:,.3~g}/s<extra></extra>",
    }],
    layout: {
      hovermode: "closest",
      yaxis: valueAxis({
        rangemode: "normal", autorange: false, range: [least, (rows[rows.length - 1] ?? 8) + 0.2],
        tickvals: ticks.tickvals.map((value) => Math.log2(value) * 8), ticktext: ticks.ticktext,
      }),
    },
  };
}

/** How the whole window's latencies are spread: share of a line's samples per bucket. */
function distribution(_, __, view) {
  const shownLines = (view.distribution?.lines ?? []).filter(({ labels, samples }) => samples > 0 && shown(labels, view.hidden));
  const bounds = shownLines.flatMap(({ buckets }) => buckets.map(([bound]) => bound ?? 256));
  const low = Math.round(Math.log2(Math.min(...bounds)) * 8) - 1;
  const high = Math.round(Math.log2(Math.max(...bounds)) * 8) + 1;
  const rows = bounds.length ? Array.from({ length: high - low + 1 }, (_row, at) => low + at) : [];
  const traces = shownLines.map(({ labels, samples, buckets }) => {
    const counts = new Map(buckets.map(([bound, amount]) => [Math.round(Math.log2(bound ?? 256) * 8), amount]));
    return {
      ...trace(rows.map((k) => 2 ** ((k - 0.5) / 8)), rows.map((k) => (counts.get(k) ?? 0) / samples), {
        name: named(labels), ...look(labels, view), format: ".1%",
      }),
      line: { ...look(labels, view), color: look(labels, view).colour, width: 2, shape: "spline", smoothing: 0.6 },
      hovertemplate: `%{x:.3~s}s: %{y:.1%}<extra>${named(labels)}</extra>`,
    };
  });
  const axis = logAxis(bounds);
  return {
    traces,
    layout: {
      hovermode: "closest",
      dragmode: false,
      xaxis: { type: "log", tickvals: axis.tickvals, ticktext: axis.ticktext, range: axis.range, fixedrange: true, showgrid: true, gridcolor: css("--grid"), zeroline: false, linecolor: css("--line-strong"), showline: true, tickangle: 0 },
      yaxis: valueAxis({ tickformat: ".0%" }),
    },
  };
}

function tickTextFine(seconds) {
  return seconds < 1 ? `${(seconds * 1e3).toPrecision(3)} ms` : `${seconds.toPrecision(3)} s`;
}

// Marks on every time chart: cold starts as shaded spans, events as thin lines.

function marks(xref, yaxis, view) {
  const domain = yaxis?.domain ?? [0, 1];
  const spans = view.spans.map(([from, to]) => ({
    type: "rect", xref, yref: "paper", x0: plotTime(from), x1: plotTime(to), y0: domain[0], y1: domain[1],
    fillcolor: css("--cold"), line: { width: 0 }, layer: "below",
  }));
  const lines = view.events.map((event) => ({
    type: "line", xref, yref: "paper", x0: plotTime(event.at), x1: plotTime(event.at), y0: domain[0], y1: domain[1],
    line: { color: event.kind.startsWith("run") ? css("--accent") : css("--faint"), width: 1, dash: event.kind === "container_live" ? "solid" : "dot" },
    opacity: 0.7, layer: "below",
  }));
  return [...spans, ...lines];
}

function summed(lines, keyOf, length) {
  const sums = new Map();
  for (const { labels, values } of lines) {
    const key = keyOf(labels);
    if (!sums.has(key)) sums.set(key, new Array(length).fill(null));
    const sum = sums.get(key);
    values.forEach((value, at) => { if (value !== null) sum[at] = (sum[at] ?? 0) + value; });
  }
  return sums;
}

/** A scale that does not blow up a little noise: at least up to `least`. */
function floor(lines, least) {
  const most = Math.max(0, ...lines.map(({ values }) => values.reduce((high, value) => Math.max(high, value ?? 0), 0)));
  return most < least ? { range: [0, least * 1.05], autorange: false } : {};
}

/** A scale of whole numbers, for things that are counted one by one. */
function wholes(rows) {
  const most = Math.max(1, ...rows.map((values) => values.reduce((high, value) => Math.max(high, value ?? 0), 0)));
  return most < 6 ? { dtick: 1, range: [0, most + 0.5], autorange: false } : {};
}

function faded(colour, alpha) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return `rgba(${r},${g},${b},${alpha})`;
}
