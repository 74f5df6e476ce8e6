// What tables have in common.

import { regionColour, swatch } from "./look.js";
import { element } from "./verdict.js";

/** Put rows into a table's body, or one that says why there are none. */
export function fill(id, rows, columns, otherwise) {
  const body = document.getElementById(id);
  if (rows.length) {
    body.replaceChildren(...rows);
    return;
  }
  const line = element("tr", "nothing");
  const cell = element("td", "", otherwise);
  cell.colSpan = columns;
  line.append(cell);
  body.replaceChildren(line);
}

export function regionCell(region, regions) {
  const cell = element("td");
  if (region) cell.append(swatch({ colour: regionColour(region, regions), width: 5 }), ` ${region}`);
  else cell.append("all");
  return cell;
}

/** A time that, when it is chosen, is shown on all charts: `zoom` is called then. */
export function timeCell(text, zoom) {
  const cell = element("td");
  const show = element("button", "link", text);
  show.type = "button";
  show.title = "Show this time on all charts";
  show.addEventListener("click", zoom);
  cell.append(show);
  return cell;
}
