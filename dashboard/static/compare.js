// A second selection, whose distribution is laid over the one that is shown.

import { get } from "./api.js";
import { dayTime, time } from "./format.js";
import { SHOWN } from "./spread.js";
import { element } from "./verdict.js";

const KINDS = ["region", "routing"];
const KEPT = "kept:";
/** How the choice of a run begins, before its id. */
export const RUN = "run:";
const BEFORE = "before";

export class Compare {
  constructor(state, controls) {
    this.state = state;
    this.controls = controls;
    this.shown = null;
  }

  /** The choice and the button for the head of the chart. */
  tools() {
    const label = element("label", "pick small-pick");
    this.select = element("select");
    this.select.id = "compare";
    this.select.addEventListener("change", () => this.state.change({ compare: this.select.value }));
    label.append(element("span", "hidden", "Compare with"), this.select);
    const keep = element("button", "button small-button", "Keep to compare");
    keep.type = "button";
    keep.id = "keep";
    keep.title = "Keeps this window and these filters; then choose others, and see both";
    keep.addEventListener("click", () => this.state.change({ compare: this.#kept() }));
    this.#draw();
    return [label, keep];
  }

  /**
   * Both selections' distributions, each in one line: [{name, line}, {name, line}]; null when
   * nothing is compared. `shown` is the window and the filters of the page.
   */
  async load(shown, signal) {
    this.shown = shown;
    this.#draw();
    const other = this.#other(shown);
    if (other === null) return null;
    const [one, two] = await Promise.all([shown, other.asked].map((asked) => get("/api/distribution", { ...asked, merged: true }, signal)));
    return [{ name: SHOWN, line: one.lines[0] }, { name: other.name, line: two.lines[0] }];
  }

  #other(shown) {
    const { compare } = this.state;
    if (compare === BEFORE) {
      return { name: "the time just before", asked: { ...shown, start: 2 * shown.start - shown.end, end: shown.start } };
    }
    if (compare.startsWith(RUN)) {
      const run = this.controls.runs.find((known) => known.run === compare.slice(RUN.length));
      if (!run) return null;
      return { name: `run of ${dayTime(run.start)}`, asked: { ...shown, start: Math.floor(run.start), end: Math.ceil(run.end ?? shown.end) + 1 } };
    }
    const kept = parsed(compare);
    return kept && { name: nameOf(kept), asked: kept };
  }

  /** The selection as text for the address; times first, then what is left of each filter. */
  #kept() {
    const { start, end, ...filters } = this.shown ?? { start: 0, end: 1 };
    return `${KEPT}${start}~${end}~${KINDS.map((kind) => (filters[kind] ?? []).join(".")).join("~")}`;
  }

  #draw() {
    const { select } = this;
    if (!select || document.activeElement === select) return;
    const { compare } = this.state;
    const options = [new Option("Compare with …", ""), new Option("The time just before", BEFORE)];
    const kept = parsed(compare);
    if (kept) options.push(new Option(`Kept: ${nameOf(kept)}`, compare));
    for (const run of this.controls.runs.slice(0, 50)) options.push(new Option(`Run of ${dayTime(run.start)}`, `${RUN}${run.run}`));
    select.replaceChildren(...options);
    select.value = compare;
    if (select.selectedIndex < 0) select.value = "";
  }
}

function parsed(text) {
  if (!text.startsWith(KEPT)) return null;
  const [start, end, ...filters] = text.slice(KEPT.length).split("~");
  const window = { start: Number(start), end: Number(end) };
  if (!(window.start < window.end)) return null;
  return { ...window, ...Object.fromEntries(KINDS.map((kind, at) => [kind, (filters[at] ?? "").split(".").filter(Boolean)])) };
}

function nameOf({ start, end, region, routing }) {
  return [`${time(start)} to ${time(end)}`, ...region, ...routing].join(", ");
}
