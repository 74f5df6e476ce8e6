// Why there were 503s: each streak with its cause and evidence, who met them alone, who was held.

import { count, duration, time } from "./format.js";
import { fill, regionCell, timeCell } from "./tables.js";
import { element } from "./verdict.js";

const CAUSES = {
  scale_from_zero: "scaled from zero", no_container: "no container", saturation: "saturated",
  draining: "draining", application: "the application’s own", unknown: "not known",
};
const MOST = 50;

/** `zoom(from, to)` is called with a streak's times when it is chosen. */
export function drawRefusals({ streaks, sessions, held, held_above: heldAbove }, regions, zoom) {
  const nothing = "No request met a 503 in this window.";
  fill("refusals", streaks.slice(0, MOST).map((streak) => streakRow(streak, regions, zoom)), 6, nothing);
  fill("refused-sessions", sessions.map((one) => sessionRow(one, regions)), 7, "");
  fill("held", (held ?? []).slice(0, MOST).map((one) => heldRow(one, regions, zoom)), 5, "");
  document.getElementById("refused-sessions-card").hidden = !sessions.length;
  document.getElementById("held-card").hidden = !held?.length;
  document.getElementById("refusals-note").textContent = held === null
    ? "Whether requests were held instead of refused cannot be told: no server says how long it took (Server-Timing: app;dur=…)."
    : held.length ? "" : `No request was held instead: none took ${duration(heldAbove)} longer than the server’s own time.`;
}

function streakRow(streak, regions, zoom) {
  const line = document.createElement("tr");
  line.dataset.cause = streak.cause;
  line.append(
    timeCell(time(streak.began_at), () => zoom(streak.began_at, streak.ended_at)),
    regionCell(streak.region, regions),
    element("td", streak.cause === "unknown" ? "faint" : "", CAUSES[streak.cause] ?? streak.cause),
    element("td", "number", count(streak.refused)),
    element("td", "number", duration(streak.ended_at - streak.began_at)),
    element("td", "evidence", streak.evidence.map(({ text }) => text).join("; ")),
  );
  return line;
}

function sessionRow(one, regions) {
  const line = document.createElement("tr");
  line.append(
    element("td", "", one.session),
    regionCell(one.region, regions),
    element("td", "number", count(one.refused)),
    element("td", "number", duration(one.ended_at - one.began_at)),
    element("td", "number", count(one.others_answered)),
    element("td", "", roomOf(one)),
    element("td", "", `${one.containers.join(", ") || "the proxy"}${one.answered ? "" : "; not answered"}`),
  );
  return line;
}

function roomOf({ idlest_in_flight: idlest, target_concurrency: target }) {
  if (idlest === null) return "not known";
  const served = `${Number(idlest.toFixed(1))} in flight`;
  return target === null ? served : `${served}, ${count(target)} aimed at`;
}

function heldRow(one, regions, zoom) {
  const came = one.containers.map(({ task_id: id }) => id);
  const line = document.createElement("tr");
  line.append(
    timeCell(time(one.began_at), () => zoom(one.began_at, one.ended_at)),
    regionCell(one.region, regions),
    element("td", "number", count(one.held)),
    element("td", "number", duration(one.longest)),
    element("td", "", came.length ? `${came.slice(0, 3).join(", ")} came up` : "no container came up: the way was slow"),
  );
  return line;
}
