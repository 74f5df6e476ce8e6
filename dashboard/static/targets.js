// Which targets are scraped, and how it goes.

import { duration } from "./format.js";
import { element } from "./verdict.js";

export function drawTargets({ targets, platform_error: platformError }) {
  const shown = targets.filter((target) => target.up || !target.optional);
  document.getElementById("targets").replaceChildren(...shown.map(row));
  const up = shown.filter((target) => target.up).length;
  const parts = [`${up} of ${shown.length} up`];
  if (platformError) parts.push(platformError);
  document.getElementById("targets-note").textContent = parts.join("; ");
  return { up, down: shown.filter((target) => !target.up && target.scraped_at !== null) };
}

/** Says that not all that targets tell is shown. */
export function drawLimits(targets, leftOut) {
  const told = targets
    .filter((target) => target.dropped_series)
    .map((target) => `${target.url} has too many series: ${target.dropped_series} are not stored (--series-limit).`);
  if (leftOut) told.push(`${leftOut} more regions or routings are not shown: there are too many.`);
  const box = document.getElementById("limits");
  box.hidden = !told.length;
  if (box.textContent !== told.join(" ")) box.textContent = told.join(" ");
}

function row(target) {
  const line = document.createElement("tr");
  const state = element("td");
  const waiting = target.scraped_at === null;
  state.append(element("i", `dot ${waiting ? "" : target.up ? "up" : "down"}`), waiting ? "waiting" : target.up ? "up" : "down");
  const dropped = target.dropped_series ? `${target.dropped_series} series are not stored: the target has too many` : "";
  const name = target.labels.container ? `${target.url} (${target.labels.container})` : target.url;
  line.append(
    state,
    element("td", "", target.job),
    element("td", "", name),
    element("td", "number", target.up && target.series !== null ? String(target.series) : "–"),
    element("td", "number", duration(target.duration_s)),
    element("td", "error", target.error ?? dropped),
  );
  return line;
}
