// What sticky routing is worth: who stayed, what it saves, who had to move.

import { count, duration, share, time } from "./format.js";
import { ROUTING_NAMES } from "./look.js";
import { fill, regionCell } from "./tables.js";
import { element } from "./verdict.js";

const FIGURES = { mean: "mean", p50: "p50", p95: "p95" };
const TOKEN = "loadgen_time_to_first_token_seconds";
/** Moved sessions beyond the average by this many standard deviations are not chance. */
const SURPRISING = 3;

export function drawStickiness(told, regions) {
  drawShares(told, regions);
  drawComparisons(told, regions);
  drawMoves(told.moves);
}

function drawShares({ affinity, cache_hits: hits }, regions) {
  const rows = affinity.filter(({ trials }) => trials > 0).map((one) => shareRow(regionCell(one.labels.region, regions), ROUTING_NAMES[one.labels.routing] ?? one.labels.routing, one));
  if (hits?.trials) rows.push(shareRow(element("td", "", "all containers"), "session cache hits", hits));
  fill("sticky-shares", rows, 5, "No response named its container in this window.");
}

function shareRow(where, what, { share: value, low, high, trials }) {
  const line = document.createElement("tr");
  line.append(where, element("td", "", what), element("td", "number", share(value)), element("td", "number faint", between(low, high, share)), element("td", "number", count(trials)));
  return line;
}

function drawComparisons({ comparisons, metric }, regions) {
  const title = metric === TOKEN ? "Time to first token" : "Time to first byte";
  document.getElementById("sticky-metric").textContent = `${title}, sticky against not sticky`;
  const scales = {};
  for (const { figure, difference, low, high } of comparisons) {
    scales[figure] = Math.max(scales[figure] ?? 0, ...[difference, low ?? 0, high ?? 0].map(Math.abs));
  }
  const rows = comparisons.map((one) => {
    const line = document.createElement("tr");
    line.append(
      regionCell(one.region, regions),
      element("td", "", FIGURES[one.figure] ?? one.figure),
      element("td", "number", duration(one.sticky)),
      element("td", "number", duration(one.non_sticky)),
      element("td", "number", signed(one.difference)),
      whisker(one, scales[one.figure]),
      element("td", "", wordsOf(one)),
    );
    line.title = `${count(one.sticky_samples)} sticky requests, ${count(one.non_sticky_samples)} not sticky`;
    return line;
  });
  fill("sticky-comparisons", rows, 7, "Nothing to compare: requests of both kinds are needed in one region.");
}

/** The interval as a bar around its dot, on a scale with zero in its middle. */
function whisker({ difference, low, high }, scale) {
  const cell = element("td", "whisker");
  const track = element("div", "track");
  track.append(element("i", "zero"));
  const at = (value) => 50 + (scale ? (value / scale) * 46 : 0);
  if (low !== null) {
    const bar = element("i", high < 0 ? "interval better" : low > 0 ? "interval worse" : "interval");
    bar.style.left = `${at(low)}%`;
    bar.style.width = `max(2px, ${at(high) - at(low)}%)`;
    track.append(bar);
  }
  const dot = element("i", "dot-mark");
  dot.style.left = `${at(difference)}%`;
  track.append(dot);
  track.setAttribute("role", "img");
  track.setAttribute("aria-label", low === null ? "no interval" : `95 % interval ${between(low, high, signed)}`);
  track.title = track.getAttribute("aria-label");
  cell.append(track);
  return cell;
}

function wordsOf({ low, high }) {
  if (low === null) return "too short a window to tell";
  if (low === 0 && high === 0) return "the same bucket";
  const range = between(low, high, signed);
  if (high < 0) return `sticky is faster: ${range}`;
  if (low > 0) return `sticky is slower: ${range}`;
  return `no difference to be seen: ${range}`;
}

function drawMoves(moves) {
  const rows = moves.slice(0, 50).map((one) => {
    const line = document.createElement("tr");
    line.append(
      element("td", "", time(one.at)),
      element("td", "", `${one.before} → ${one.after}`),
      element("td", "number", count(one.sessions)),
      element("td", "number", count(one.moved)),
      element("td", "number", one.least === null ? "–" : `${decimal(one.least)} (${share(one.least_share)})`),
      element("td", "", judged(one)),
    );
    return line;
  });
  fill("sticky-moves", rows, 6, "No container came or went in this window while sessions were served.");
}

function judged({ sessions, moved, least, least_share: part }) {
  if (least === null) return "";
  const deviation = Math.sqrt(sessions * part * (1 - part));
  if (moved > least + Math.max(1, SURPRISING * deviation)) return "more than had to";
  return moved < least - Math.max(1, SURPRISING * deviation) ? "fewer; some have not asked again" : "about as few as possible";
}

function between(low, high, words) {
  if (low === null) return "–";
  return words(low) === words(high) ? words(low) : `${words(low)} to ${words(high)}`;
}

function signed(seconds) {
  const sign = seconds > 0 ? "+" : seconds < 0 ? "−" : "±";
  return `${sign}${duration(Math.abs(seconds))}`;
}

function decimal(value) {
  return value < 10 ? String(Number(value.toFixed(1))) : count(value);
}
