// What happened: cold starts one by one, and the list of events.

import { count, duration, time } from "./format.js";
import { regionColour, swatch } from "./look.js";
import { element } from "./verdict.js";

export function drawColdStarts(found, regions) {
  const legend = document.getElementById("cold-legend");
  if (!legend.childElementCount) {
    for (const [kind, text] of [["refusing", "503s"], ["placing", "container placed"], ["booting", "process starting"]]) {
      const item = element("span");
      item.append(element("i", `key ${kind}`), text);
      legend.append(item);
    }
  }
  const body = document.getElementById("cold-starts");
  if (!found.length) {
    const line = element("tr", "nothing");
    const cell = element("td", "", "No request met a 503 in this window.");
    cell.colSpan = 7;
    line.append(cell);
    body.replaceChildren(line);
    return;
  }
  // One scale for all, so that long ones look long.
  const longest = Math.max(...found.map((cold) => lengthOf(cold)));
  body.replaceChildren(...found.slice(0, 50).map((cold) => row(cold, longest, regions)));
}

function row(cold, longest, regions) {
  const line = document.createElement("tr");
  const region = element("td");
  region.append(swatch({ colour: regionColour(cold.region, regions), width: 5 }), ` ${cold.region || "all"}`);
  const answer = cold.first_answer_at === null ? "not yet" : duration(cold.first_answer_at - cold.began_at);
  line.append(
    element("td", "", time(cold.began_at)),
    region,
    course(cold, longest),
    element("td", "number", answer),
    element("td", "number", count(cold.refused)),
    element("td", "number", count(cold.waits)),
    element("td", "number", cold.waits ? duration(cold.waited) : "–"),
  );
  return line;
}

function course(cold, longest) {
  const cell = element("td", "course");
  const track = element("div", "track");
  const from = beginOf(cold);
  const place = (kind, begin, end) => {
    const bar = element("i", kind);
    bar.style.left = `${((begin - from) / longest) * 100}%`;
    bar.style.width = `max(2px, ${((end - begin) / longest) * 100}%)`;
    track.append(bar);
  };
  place("refusing", cold.began_at, cold.ended_at);
  const words = [`503s for ${duration(cold.ended_at - cold.began_at)}`];
  for (const { task_id: id, requested_at: requested, process_started_at: started, live_at: live } of cold.containers) {
    if (started !== null) place("placing", requested, started);
    if (live !== null) {
      place("booting", started ?? requested, live);
      words.push(`${id} live after ${duration(live - requested)}`);
    } else words.push(`${id} not live yet`);
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

function lengthOf(cold) {
  const ends = cold.containers.map(({ live_at: at }) => at ?? 0);
  return Math.max(cold.ended_at, ...ends) - beginOf(cold);
}

export function drawEvents(events) {
  const newest = [...events].sort((a, b) => b.at - a.at).slice(0, 100);
  document.getElementById("events").replaceChildren(...newest.map((event) => {
    const item = document.createElement("li");
    item.append(element("time", "", time(event.at)), element("span", event.kind === "note" ? "note-text" : "", event.text));
    return item;
  }));
}
