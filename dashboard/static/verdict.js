// One card per region: what the window comes to, in numbers and in words.

import { count, duration, durationParts, share } from "./format.js";
import { regionColour } from "./look.js";

export function drawVerdict(summary, frame, regions) {
  const cards = summary.regions
    .filter((line) => line.labels.region !== undefined)
    .map((line) => card(line, summary.lines.filter((part) => part.labels.region === line.labels.region), frame, regions));
  document.getElementById("verdict").replaceChildren(...cards);
  const generator = document.getElementById("generator-verdict");
  generator.textContent = cards.length ? generatorWords(summary) : "";
  generator.classList.toggle("bad", summary.generator_limited);
}

function card(line, routings, frame, regions) {
  const item = element("article", "verdict");
  item.setAttribute("role", "listitem");
  item.style.setProperty("--colour", regionColour(line.labels.region, regions));
  const head = element("header");
  head.append(element("h3", "", line.labels.region), stateBadge(line, frame));
  item.append(head, big(line), small(line, routings), element("p", "words", words(line)));
  return item;
}

function stateBadge(line, frame) {
  const latest = latestOutcomes(line.labels.region, frame);
  if (latest === null) return element("span", "state", "no traffic now");
  if (latest.cold_start > 0 && !(latest.ok > 0)) return element("span", "state cold", "cold: refusing");
  if (latest.cold_start > 0) return element("span", "state cold", "some 503s");
  if (latest.failed > 0 && latest.failed >= 0.05 * (latest.ok + latest.failed)) return element("span", "state failing", "failing");
  return element("span", "state warm", "answering");
}

/** Rates over the last few steps; null when there was no attempt at all. */
function latestOutcomes(region, frame) {
  const found = { ok: 0, cold_start: 0, failed: 0 };
  let any = false;
  for (const { labels, values } of frame.lines("throughput")) {
    if (labels.region !== region) continue;
    const recent = values.slice(-4).filter((value) => value !== null);
    const total = recent.reduce((sum, value) => sum + value, 0);
    any ||= total > 0;
    found[labels.outcome in found ? labels.outcome : "failed"] += total;
  }
  return any ? found : null;
}

function big(line) {
  const list = element("dl", "big");
  for (const [name, seconds] of [["p50", line.p50], ["p95", line.p95], ["p99", line.p99]]) {
    const [number, unit] = durationParts(seconds);
    const value = element("dd", "", number);
    if (unit) value.append(element("small", "", unit));
    list.append(pair(name, value));
  }
  return list;
}

function small(line, routings) {
  const list = element("dl", "small");
  const affinity = routings.filter((part) => part.affinity !== null);
  const sticky = affinity.find((part) => part.labels.routing === "sticky");
  for (const [name, text] of [
    ["Answered", count(line.answered)],
    ["Met a 503", share(line.share_503)],
    ["Longest cold start", duration(line.cold_start_wait_max)],
    ["Sticky affinity", share(sticky ? sticky.affinity : null)],
  ]) list.append(pair(name, element("dd", "", text)));
  return list;
}

function words(line) {
  const refused = line.outcomes.cold_start ?? 0;
  const failed = Object.entries(line.outcomes)
    .filter(([outcome]) => !["ok", "cold_start", "throttled"].includes(outcome))
    .reduce((sum, [, amount]) => sum + amount, 0);
  const parts = [];
  if (!line.attempts) return "No requests in this window.";
  if (refused) {
    parts.push(`${count(refused)} of ${count(line.attempts)} attempts met a 503`);
    if (line.cold_start_wait_max !== null) parts.push(`nobody waited longer than about ${duration(line.cold_start_wait_max)}`);
    if (line.gave_up) parts.push(`${count(line.gave_up)} gave up`);
  } else {
    parts.push(`No 503 in ${count(line.attempts)} attempts`);
  }
  if (line.outcomes.throttled) parts.push(`${count(line.outcomes.throttled)} throttled (429)`);
  if (failed) parts.push(`${count(failed)} failed`);
  if (line.generator_share >= 0.01) parts.push(`${share(line.generator_share)} of what users waited was the load generator’s own`);
  return `${parts.join("; ")}.`;
}

function generatorWords(summary) {
  const told = [];
  if (summary.schedule_lag_p99 !== null) told.push(`99 % of requests started within ${duration(summary.schedule_lag_p99)} of their time`);
  if (summary.cpu_ratio_max !== null) told.push(`its busiest process used ${share(summary.cpu_ratio_max)} of a CPU in its busiest ten seconds`);
  if (!told.length) return "";
  return summary.generator_limited
    ? `The load generator itself was a bottleneck, so these numbers are not the server's alone: ${summary.generator_limits.join("; ")}.`
    : `The load generator kept up: ${told.join(", ")}.`;
}

function pair(name, value) {
  const box = element("div");
  box.append(element("dt", "", name), value);
  return box;
}

export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
