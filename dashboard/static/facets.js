// A small chart per region or measure, side by side, or one below the other where there is no room.

import { timeAxis } from "./axes.js";
import { css } from "./look.js";
import { plain } from "./traces.js";

const NARROW = 640;

/**
 * `facets` are {title, colour, region, lines}; `tracesOf(facet, suffix)` draws one on the axes with
 * that suffix, `axisOf(facet)` is its axis of values. The answer's `regions` tell which region an
 * axis of time is of.
 */
export function faceted(facets, x, view, tracesOf, axisOf) {
  const stacked = view.width < NARROW;
  const count = facets.length;
  const room = view.ownScales ? 62 : 26;
  const gap = stacked ? 0 : Math.min(0.09, room / Math.max(view.width, 1));
  const layout = { annotations: [] };
  const traces = [];
  const regions = {};
  const height = stacked && count > 1 ? Math.max(view.height, 150 * count + 20) : view.height;
  const rowGap = 46 / height;
  facets.forEach((facet, at) => {
    const suffix = at === 0 ? "" : String(at + 1);
    const wide = (1 - gap * (count - 1)) / count;
    const tall = (1 - rowGap * (count - 1)) / count;
    const domainX = stacked ? [0, 1] : [at * (wide + gap), at * (wide + gap) + wide];
    const domainY = stacked ? [1 - at * (tall + rowGap) - tall, 1 - at * (tall + rowGap)] : [0, 1];
    const sameScale = axisOf(facet).type === "log";
    layout[`xaxis${suffix}`] = { ...timeAxis(view, Math.floor(view.width / (stacked ? 1 : count) / 110)), domain: domainX, anchor: `y${suffix}`, ticklabeloverflow: "hide past domain" };
    layout[`yaxis${suffix}`] = { ...axisOf(facet), domain: domainY, anchor: `x${suffix}`, showticklabels: stacked || at === 0 || !sameScale };
    if (facet.region) regions[`xaxis${suffix}`] = facet.region;
    if (facet.title) {
      layout.annotations.push({
        text: `<b>${plain(facet.title)}</b>`, x: domainX[0], y: domainY[1], xref: "paper", yref: "paper",
        xanchor: "left", yanchor: "bottom", showarrow: false, font: { color: facet.colour ?? css("--soft"), size: 12 },
      });
    }
    traces.push(...tracesOf(facet, suffix));
  });
  layout.margin = { l: 52, r: 12, t: 26, b: 26 };
  return { traces, layout, height, regions };
}
