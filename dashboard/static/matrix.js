// Latency from where generators run to each routing region.

import { count, duration } from "./format.js";
import { element } from "./verdict.js";

export function drawMatrix({ cells }) {
  document.getElementById("matrix-card").hidden = !cells.length;
  if (!cells.length) return;
  const clients = [...new Set(cells.map(({ client_region: client }) => client))];
  const regions = [...new Set(cells.map(({ region }) => region))];
  const head = document.createElement("tr");
  head.append(column("Generator in"), ...regions.map((region) => column(region, "number")));
  document.getElementById("matrix-head").replaceChildren(head);
  const logs = cells.map(({ p50 }) => Math.log(p50));
  const [least, most] = [Math.min(...logs), Math.max(...logs)];
  document.getElementById("matrix").replaceChildren(...clients.map((client) => {
    const line = document.createElement("tr");
    const name = element("th", "", client);
    name.scope = "row";
    line.append(name, ...regions.map((region) => {
      const found = cells.find((cell) => cell.client_region === client && cell.region === region);
      return found ? square(found, most > least ? (Math.log(found.p50) - least) / (most - least) : 0) : element("td", "number", "–");
    }));
    return line;
  }));
}

function square(cell, heat) {
  const made = element("td", cell.best ? "number square best" : "number square");
  made.style.setProperty("--heat", `${Math.round(8 + 42 * heat)}%`);
  made.title = `${count(cell.samples)} samples`;
  made.append(element("strong", "", duration(cell.p50)), element("span", "", `p99 ${duration(cell.p99)}`));
  if (cell.best) made.append(element("em", "", "best"));
  return made;
}

function column(text, className = "") {
  const made = element("th", className, text);
  made.scope = "col";
  return made;
}
