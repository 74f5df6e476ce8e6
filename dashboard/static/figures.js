// What each panel looks like, as data for Plotly. No state here: frame and view in, figure out.

import { floor, logAxis, timeAxis, valueAxis, wholes } from "./axes.js";
import { faceted } from "./facets.js";
import { lanes } from "./lanes.js";
import { OUTCOME_NAMES, PERCENTILE_LOOK, PERCENTILE_NAMES, ROUTING_NAMES, css, outcomeColour, regionColour, stateColour } from "./look.js";
import { eventNames, marks, objectiveNames } from "./marks.js";
import { spread } from "./spread.js";
import { besides, bridged, faded, look, named, plain, stacked, summed, trace } from "./traces.js";

/**
 * Panels in the order of the page, by the group they stand in. `wide` ones take a whole row. Those
 * with an `own` interface are not among the panels of /api/panels; `timeless` ones have no axis of
 * time. `behind` is a panel whose lines are drawn too.
 */
export const LAYOUT = [
  { id: "responses_503", group: "overview", draw: refusals, wide: true, height: 210 },
  { id: "latency", group: "overview", draw: percentiles, wide: true, height: 300 },
  { id: "throughput", group: "overview", draw: outcomes, wide: true, height: 240 },
  { id: "response_time", group: "latency", draw: responseTimes, behind: "latency", wide: true, height: 280 },
  { id: "time_to_first_byte", group: "latency", draw: percentiles, height: 250 },
  { id: "edge_overhead", group: "latency", draw: percentiles, height: 250 },
  { id: "heatmap", group: "latency", draw: heatmap, wide: true, height: 260 },
  { id: "distribution", group: "latency", draw: (_lines, _x, view) => spread(view), own: true, timeless: true, wide: true, height: 260 },
  { id: "cold_start_wait", group: "cold", draw: percentiles, wide: true, height: 230 },
  { id: "cold_starts", group: "cold", draw: coldStarts, wide: true, height: 180 },
  { id: "affinity", group: "sticky", draw: shares, height: 220 },
  { id: "cache_hits", group: "sticky", draw: shares, height: 220 },
  { id: "containers", group: "containers", draw: containers, height: 220 },
  { id: "container_load", group: "containers", draw: containerLoad, height: 220 },
  { id: "container_lives", group: "containers", draw: (_lines, x, view) => lanes(view.lives, x, view), own: true, wide: true, height: 160 },
  { id: "generator", group: "generator", draw: generator, wide: true, height: 230 },
];

/**
 * A figure of a panel: {traces, layout, legend, empty, words}; `words` say it to who cannot see it.
 * `view` is {width, touch, frame, regions, hidden, spans, events, objectives, distribution, compared, lives},
 * and where two runs are compared `beside`, the other one's frame in the time of this one, and `runStart`.
 */
export function figure(panel, frame, view) {
  const lines = frame.lines(panel.id).filter(({ labels }) => shown(labels, view.hidden));
  const x = frame.plotTimes();
  const own = { ...view, height: panel.height, behind: panel.behind, objectives: objectivesOf(panel.id, frame, view) };
  const before = panel.own ? [] : (view.beside?.lines(panel.id) ?? []).filter(({ labels }) => shown(labels, view.hidden)).map((line) => ({ ...line, isBefore: true }));
  const made = panel.draw([...before, ...lines], x, own);
  const layout = {
    ...base(own),
    ...made.layout,
    height: made.height ?? panel.height,
    datarevision: frame.revision,
  };
  const empty = panel.own ? !made.traces.length : !lines.some(({ values }) => values.some((value) => value !== null));
  const legend = made.legend ?? [];
  const { traces, words } = made;
  if (panel.timeless) return { traces, layout, legend, empty, words };
  const axes = Object.keys(layout).filter((name) => /^xaxis\d*$/.test(name));
  layout.shapes = axes.flatMap((name) => marks(name, layout, own, made.regions?.[name]));
  layout.annotations = [...(layout.annotations ?? []), ...axes.flatMap((name) => objectiveNames(name, own))];
  if (panel.id === "responses_503") {
    const { annotations, height } = eventNames(own);
    layout.annotations.push(...annotations);
    layout.margin = { ...layout.margin, t: 4 + height };
  }
  return { traces, layout, legend, empty, words };
}

/** The objectives that are drawn on a panel, for the time of their run; of hidden percentiles none. */
function objectivesOf(id, frame, { objectives, hidden }) {
  return objectives
    .filter(({ panel, quantile }) => panel === id && !hidden.quantile.has(String(quantile)))
    .map((objective) => ({ ...objective, from: Math.max(objective.from, frame.start), to: Math.min(objective.to, frame.end) }))
    .filter(({ from, to }) => from < to);
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

// Lines

/** A line as it is drawn; of the run before in grey. */
function drawn(line, x, how) {
  const made = trace(x, line.values, how);
  return line.isBefore ? besides(made) : made;
}

/** What is stacked in the shown run is one line of the run before. */
function allBefore(lines, x) {
  const sums = summed(lines.filter(({ isBefore }) => isBefore), () => "all", x.length);
  return [...sums.values()].map((values) => besides(trace(x, values, { name: "all", colour: css("--faint") })));
}

function refusals(lines, x, view) {
  const traces = lines.map((line) => {
    const { colour, dash } = look(line.labels, view);
    return drawn(line, x, { name: named(line.labels), colour, dash, unit: "/s", fill: "tozeroy", fillcolor: faded(colour, 0.1) });
  });
  return { traces, layout: { yaxis: valueAxis({ ticksuffix: "/s", ...floor(lines, 1) }) } };
}

function shares(lines, x, view) {
  const traces = lines.map((line) => drawn(line, x, { name: named(line.labels) || "all", ...look(line.labels, view), format: ".2%" }));
  return { traces, layout: { yaxis: valueAxis({ tickformat: ".0%", range: [0, 1.02], autorange: false }) } };
}

function coldStarts(lines, x, view) {
  const traces = lines.map((line) => {
    const { labels } = line;
    const gaveUp = labels.result === "gave_up";
    return drawn(line, x, { name: named(labels, gaveUp ? "gave up" : "answered"), ...look(labels, view), width: gaveUp ? 3.5 : 2, unit: "/s" });
  });
  return { traces, layout: { yaxis: valueAxis({ ticksuffix: "/s", ...floor(lines, 1) }) } };
}

// Containers: a small chart per region in which they run, with one scale for all.

/** How many there are, the states on top of each other. */
function containers(lines, x, view) {
  const order = ["live", "starting", "draining"];
  const placed = [ofShown(lines), lines.filter(({ isBefore }) => isBefore)].flatMap((part) => withNone(part, x.length));
  const states = [...new Set(ofShown(placed).map(({ labels }) => labels.state ?? ""))].sort((a, b) => order.indexOf(a) - order.indexOf(b));
  const facets = byRegion(placed, view).map((facet) => {
    const sums = summed(ofShown(facet.lines), ({ state }) => state ?? "", x.length);
    const rows = states.filter((state) => sums.has(state)).map((state) => ({
      values: sums.get(state), name: plain(state), colour: stateColour(state), fillcolor: faded(stateColour(state), 0.55), shape: "hv",
    }));
    const all = summed(ofShown(facet.lines), () => "all", x.length);
    const before = allBefore(facet.lines, x);
    return { ...facet, traces: [...stacked(x, rows), ...before], totals: [...all.values(), ...before.map(({ y }) => y)] };
  });
  const axis = valueAxis(wholes(facets.flatMap(({ totals }) => totals)));
  const made = faceted(facets, x, { ...view, ownScales: true }, ({ traces }, suffix) => traces.map((one) => onAxes(one, suffix)), () => axis);
  return { ...made, legend: states.map((state) => ({ name: state, colour: stateColour(state) })) };
}

/**
 * Whenever the platform answered, a region that it told nothing of had none. Zeros without a region
 * are from before it told of the first one.
 */
function withNone(lines, length) {
  const told = summed(lines, () => "all", length).get("all");
  const here = withData(lines);
  const placed = here.filter(({ labels, values }) => labels.region || values.some((value) => value > 0));
  return (placed.length ? placed : here).map((line) => ({ ...line, values: line.values.map((value, at) => value ?? (told[at] === null ? null : 0)) }));
}

/** What each container serves, in one colour since there may be many, and what it is to serve. */
function containerLoad(lines, x, view) {
  const colours = { container: css("--accent"), target: css("--warn") };
  const [targets, loads] = [true, false].map((is) => withData(lines).filter(({ labels }) => (labels.measure === "target") === is));
  const axis = valueAxis(wholes(lines.map(({ values }) => values)));
  const made = faceted(byRegion(loads, view), x, { ...view, ownScales: true }, (facet, suffix) => [...facet.lines, ...targets]
    .map((line) => onAxes(drawn(line, x, line.labels.measure === "target"
      ? { name: "target concurrency", colour: colours.target, dash: "dash", width: 1.6 }
      : { name: plain(line.labels.container ?? "all"), colour: colours.container, width: 1.4, opacity: 0.65 }), suffix)), () => axis);
  return { ...made, legend: [{ name: "a container", colour: colours.container }, { name: "target concurrency", colour: colours.target }] };
}

/** Facets of lines by their region, in the order of the page; a single one without any. */
function byRegion(lines, view) {
  const regions = [...new Set(lines.map(({ labels }) => labels.region ?? ""))].sort((a, b) => view.regions.indexOf(a) - view.regions.indexOf(b));
  return (regions.length ? regions : [""]).map((region) => ({
    title: region, colour: regionColour(region, view.regions), lines: lines.filter(({ labels }) => (labels.region ?? "") === region),
  }));
}

/** Lines that have data in the window; those of another time have no chart. */
function withData(lines) {
  return lines.filter(({ values }) => values.some((value) => value !== null));
}

function onAxes(drawnLine, suffix) {
  return { ...drawnLine, xaxis: `x${suffix}`, yaxis: `y${suffix}` };
}

function outcomes(lines, x) {
  const order = Object.keys(OUTCOME_NAMES);
  const sums = summed(ofShown(lines), (labels) => labels.outcome ?? "", x.length);
  const known = [...sums.keys()].sort((a, b) => order.indexOf(a) - order.indexOf(b));
  const traces = stacked(x, known.map((outcome) => ({
    values: sums.get(outcome), name: plain(OUTCOME_NAMES[outcome] ?? outcome), colour: outcomeColour(outcome), unit: "/s",
    fillcolor: faded(outcomeColour(outcome), outcome === "ok" ? 0.22 : 0.8),
  })));
  const legend = known.map((outcome) => ({ name: OUTCOME_NAMES[outcome] ?? outcome, colour: outcomeColour(outcome) }));
  return { traces: [...traces, ...allBefore(lines, x)], legend, layout: { yaxis: valueAxis({ ticksuffix: "/s" }) } };
}

function ofShown(lines) {
  return lines.filter(({ isBefore }) => !isBefore);
}

function generator(lines, x, view) {
  const facets = [
    { title: "Users and requests in flight", lines: lines.filter(({ labels }) => ["users", "in_flight"].includes(labels.measure)), axis: {} },
    { title: "CPU of a process", lines: lines.filter(({ labels }) => labels.measure === "cpu_ratio"), axis: { tickformat: ".0%" }, format: ".1%" },
    { title: "Late starts, p99", lines: lines.filter(({ labels }) => labels.measure === "schedule_lag_p99_s"), axis: { tickformat: ".3~s", ticksuffix: "s" }, format: ".3~s", unit: "s" },
    { title: "Workers", lines: lines.filter(({ labels }) => labels.measure === "workers") },
  ];
  facets[3].axis = wholes(facets[3].lines.map(({ values }) => values));
  // Users that wait for answers have no schedule to be late against.
  const told = facets.filter((facet) => facet.lines.length);
  const palette = [css("--accent"), css("--warn"), css("--good"), css("--bad"), css("--soft")];
  return faceted(told.length ? told : facets, x, { ...view, ownScales: true }, (facet, suffix) => facet.lines.map((line) => drawn(line, x, {
    name: plain(line.labels.process ?? { users: "users", in_flight: "in flight", workers: "workers" }[line.labels.measure] ?? "p99"),
    colour: palette[ofShown(facet.lines).indexOf(line) % palette.length] ?? css("--faint"), format: facet.format ?? ",.4~g", unit: facet.unit ?? "", xaxis: `x${suffix}`, yaxis: `y${suffix}`,
  })), (facet) => valueAxis(facet.axis));
}

// Percentiles: a small chart per region with one scale for all, since lines of all regions, both
// routings and three percentiles in one chart are not readable.

function percentiles(lines, x, view, behind = []) {
  const all = [...lines, ...behind].flatMap((line) => line.values.filter((value) => value !== null && value > 0));
  const axis = logAxis([...all, ...view.objectives.map(({ limit }) => limit)]);
  const facets = byRegion(lines, view).map((facet) => ({
    ...facet, region: facet.title,
    lines: [...ofRegion(behind, facet.title).map((line) => ({ ...line, faint: true })), ...ofRegion(lines, facet.title)],
  }));
  return faceted(facets, x, view, (facet, suffix) => facet.lines
    .map((line) => percentile(line, x, view, suffix)), () => valueAxis(axis));
}

/** Lines of a region, the least common percentile first, so that the others lie on top. */
function ofRegion(lines, region) {
  return lines.filter(({ labels }) => (labels.region ?? "") === region).sort((a, b) => Number(b.labels.quantile) - Number(a.labels.quantile));
}

function percentile({ labels, values, faint, isBefore }, x, view, suffix) {
  const parts = [ROUTING_NAMES[labels.routing] ?? labels.routing, PERCENTILE_NAMES[labels.quantile] ?? labels.quantile, faint ? "latency" : ""];
  const made = trace(...bridged(x, values, view.frame), {
    name: plain(parts.filter(Boolean).join(" ")), ...look(labels, view), ...PERCENTILE_LOOK[labels.quantile],
    ...(faint ? { colour: css("--faint"), opacity: 0.7, width: 1 } : {}),
    unit: "s", format: ".3~s", xaxis: `x${suffix}`, yaxis: `y${suffix}`,
  });
  return isBefore ? besides(made) : made;
}

/** Response time over latency, so that what retries and queueing add lies between the two. */
function responseTimes(lines, x, view) {
  const latency = view.frame.lines(view.behind).filter(({ labels }) => shown(labels, view.hidden));
  const made = percentiles(lines, x, view, latency);
  return { ...made, legend: [{ name: "response time", colour: css("--text") }, { name: "latency of the same requests", colour: css("--faint") }] };
}

/** Of the shown run only: two of them over each other cannot be read. */
function heatmap(lines, x) {
  const sorted = ofShown(lines)
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

function tickTextFine(seconds) {
  return seconds < 1 ? `${(seconds * 1e3).toPrecision(3)} ms` : `${seconds.toPrecision(3)} s`;
}

