// Lines as Plotly draws them, and what they are called and look like.

import { ROUTING_NAMES, DASHES, css, regionColour } from "./look.js";

const LONGEST_BRIDGE = 2;
const MOST_STRETCHES = 50;

/**
 * Percentiles have nothing to say of a second whose scrape came late or in which nothing was
 * answered. At one point per second such holes are bridged if they are short: the line is drawn
 * across, and no point is made up.
 */
export function bridged(x, values, frame) {
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

export function trace(x, values, { name, colour, dash = "solid", width = 2, opacity = 1, unit = "", format = ",.3~g", ...more }) {
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

/**
 * Rows of values on top of each other, the lowest with a line on its top. Plotly takes a gap in a
 * stack for zero, so every stretch between gaps is a stack of its own; where that would be too many
 * to draw, the rows are lines.
 */
export function stacked(x, rows) {
  const told = x.map((_, at) => rows.some(({ values }) => values[at] !== null));
  const starts = [...told.keys()].filter((at) => told[at] && !told[at - 1]);
  if (starts.length > MOST_STRETCHES) return rows.map(({ values, shape, fillcolor, ...how }) => trace(x, values, { ...how, width: 1.6 }));
  return starts.flatMap((from) => {
    const gap = told.indexOf(false, from);
    const to = gap < 0 ? x.length : gap;
    return rows.map(({ values, shape = "linear", ...how }, at) => trace(x.slice(from, to), values.slice(from, to), {
      ...how, stackgroup: String(from), line: { shape, color: how.colour, width: at === 0 ? 1.6 : 0 },
    }));
  });
}

/** A line of the run that the shown one is compared with: grey, and below. */
export function besides(drawn) {
  const colour = css("--faint");
  return { ...drawn, name: `${drawn.name} · before`, line: { ...drawn.line, color: colour, width: Math.min(1.4, drawn.line.width || 1.4) }, marker: { ...drawn.marker, color: colour }, opacity: 0.8, fill: "none", hovertemplate: drawn.hovertemplate.replace("</extra>", " · before</extra>") };
}

/** What is drawn must not be markup: Plotly understands some. */
export function plain(text) {
  return String(text).replace(/[<>&%{}$]/g, "");
}

export function named(labels, ...parts) {
  return plain([labels.region, ROUTING_NAMES[labels.routing] ?? labels.routing, ...parts].filter(Boolean).join(" · "));
}

export function look(labels, view) {
  return { colour: regionColour(labels.region ?? "", view.regions), dash: DASHES[labels.routing] ?? "solid" };
}

export function summed(lines, keyOf, length) {
  const sums = new Map();
  for (const { labels, values } of lines) {
    const key = keyOf(labels);
    if (!sums.has(key)) sums.set(key, new Array(length).fill(null));
    const sum = sums.get(key);
    values.forEach((value, at) => { if (value !== null) sum[at] = (sum[at] ?? 0) + value; });
  }
  return sums;
}

export function faded(colour, alpha) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return `rgba(${r},${g},${b},${alpha})`;
}
