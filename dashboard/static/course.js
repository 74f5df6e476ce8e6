// What happened: cold starts one by one, and the list of events.

import { count, duration, time } from "./format.js";
import { fill, regionCell, timeCell } from "./tables.js";
import { element } from "./verdict.js";

const MOST_LANES = 6;

/** `zoom(from, to)` is called with a cold start's times when it is chosen. */
export function drawColdStarts(found, regions, zoom) {
  const legend = document.getElementById("cold-legend");
  if (!legend.childElementCount) {
    for (const [kind, text] of [["refusing", "503s"], ["placing", "container placed"], ["booting", "process starting"], ["answer", "first answer"]]) {
      const item = element("span");
      item.append(element("i", `key ${kind}`), text);
      legend.append(item);
    }
  }
  // One scale for all, so that long ones look long.
  const longest = Math.max(0, ...found.map((cold) => lengthOf(cold)));
  if (found.length) {
    document.getElementById("course-scale").replaceChildren(...[0, 0.5, 1].map((part) => element("span", "", duration(part * longest))));
  }
  const rows = found.slice(0, 50).map((cold) => row(cold, longest, regions, zoom));
  fill("cold-starts", rows, 7, "No request met a 503 in this window.");
}

function row(cold, longest, regions, zoom) {
  const line = document.createElement("tr");
  const answer = cold.first_answer_at === null ? "not yet" : duration(cold.first_answer_at - cold.began_at);
  line.append(
    timeCell(time(cold.began_at), () => zoom(beginOf(cold), endOf(cold))),
    regionCell(cold.region, regions),
    course(cold, longest),
    element("td", "number", answer),
    element("td", "number", count(cold.refused)),
    element("td", "number", count(cold.waits)),
    element("td", "number", cold.waits ? duration(cold.waited) : "–"),
  );
  return line;
}

/** The 503s in a lane, and below it one for each container: placed, then starting. */
function course(cold, longest) {
  const cell = element("td", "course");
  const shown = cold.containers.slice(0, MOST_LANES);
  const track = element("div", "track");
  track.style.setProperty("--lanes", 1 + shown.length);
  const from = beginOf(cold);
  const place = (kind, lane, begin, end) => {
    const bar = element("i", kind);
    bar.style.setProperty("--lane", lane);
    bar.style.left = `${((begin - from) / longest) * 100}%`;
    if (end !== undefined) bar.style.width = `max(2px, ${((end - begin) / longest) * 100}%)`;
    track.append(bar);
  };
  place("refusing", 0, cold.began_at, cold.ended_at);
  const words = [`503s for ${duration(cold.ended_at - cold.began_at)}`];
  shown.forEach(({ task_id: id, requested_at: requested, process_started_at: started, live_at: live }, at) => {
    if (started !== null) place("placing", at + 1, requested, started);
    if (live !== null) {
      place("booting", at + 1, started ?? requested, live);
      const parts = started === null ? "" : ` (placed in ${duration(started - requested)}, started in ${duration(live - started)})`;
      words.push(`${id} live after ${duration(live - requested)}${parts}`);
    } else words.push(`${id} not live yet`);
  });
  if (cold.containers.length > shown.length) words.push(`${count(cold.containers.length - shown.length)} more containers`);
  if (cold.first_answer_at !== null) {
    place("answer", 0, cold.first_answer_at);
    words.push(`first answer after ${duration(cold.first_answer_at - cold.began_at)}`);
  }
  track.title = words.join("; ");
  track.setAttribute("role", "img");
  track.setAttribute("aria-label", track.title);
  cell.append(track);
  return cell;
}

function beginOf(cold) {
  return Math.min(cold.began_at, ...cold.containers.map(({ requested_at: at }) => at));
}

function endOf(cold) {
  return Math.max(cold.ended_at, cold.first_answer_at ?? 0, ...cold.containers.map(({ live_at: at }) => at ?? 0));
}

function lengthOf(cold) {
  return endOf(cold) - beginOf(cold);
}

export function drawEvents(events) {
  const newest = [...events].sort((a, b) => b.at - a.at).slice(0, 100);
  document.getElementById("events").replaceChildren(...newest.map((event) => {
    const item = document.createElement("li");
    item.append(element("time", "", time(event.at)), element("span", event.kind === "note" ? "note-text" : "", event.text));
    return item;
  }));
}
