// Two runs figure by figure: how much one differs from the other, and how sure that is.

import { get } from "./api.js";
import { dayTime, duration, rate, share } from "./format.js";
import { ROUTING_NAMES, regionColour, swatch } from "./look.js";
import { element } from "./verdict.js";

const OUTCOMES = {
  not_worse: ["warm", "Nothing is worse for sure."],
  worse: ["failing", "A figure is worse for sure."],
  unusable: ["cold", "There is too little data to tell."],
  bad_measurement: ["cold", "No verdict: the measurement itself is bad."],
};

/** The card of a comparison; hidden without two runs. Answers what was asked last only. */
export class Differences {
  #asked = "";

  async show(base, run, regions) {
    const card = document.getElementById("differences-card");
    const asked = base && run ? JSON.stringify([base.run, run.run, base.end, run.end]) : "";
    const same = asked === this.#asked;
    this.#asked = asked;
    if (!asked) card.hidden = true;
    if (!asked || same) return;
    let told = null;
    let trouble = "";
    try {
      told = await get("/api/compare", { base: base.run, run: run.run });
    } catch (error) {
      trouble = error.message;
    }
    if (asked !== this.#asked) return;
    if (told) this.#draw(told, regions);
    else this.#cannot(trouble);
    // What went wrong may be over when the page asks again.
    if (!told) this.#asked = "";
    card.hidden = false;
  }

  #cannot(trouble) {
    document.getElementById("differences-title").textContent = "Two runs";
    document.getElementById("differences-verdict").replaceChildren(element("span", "", trouble));
    document.getElementById("differences-foot").textContent = "";
    document.getElementById("differences").replaceChildren();
  }

  #draw(told, regions) {
    document.getElementById("differences-title").textContent = `Run of ${dayTime(told.run.start)} against the run of ${dayTime(told.base.start)} before`;
    const [className, words] = OUTCOMES[told.outcome];
    const verdict = document.getElementById("differences-verdict");
    verdict.replaceChildren(element("span", `state ${className}`, words), ...told.measurement_problems.map((problem) => element("small", "bad", problem)));
    const tested = told.rows.filter(({ p }) => p !== null).length;
    document.getElementById("differences-foot").textContent = `Changes of up to ${share(told.tolerance)} of the figure before count as none. Of two equal runs a row says better or worse in at most 5 of 100 cases, and in as many any of these ${tested} rows says so for sure.`;
    document.getElementById("differences").replaceChildren(...told.rows.map((row) => lineOf(row, regions)));
  }
}

function lineOf(row, regions) {
  const line = document.createElement("tr");
  const region = element("td");
  region.append(swatch({ colour: regionColour(row.region, regions), width: 5 }), ` ${row.region || "all"}`);
  const verdict = element("td", "");
  const looks = { better: "state warm", worse: "state failing" };
  verdict.append(element("span", looks[row.verdict] ?? "faint", row.sure ? `${row.verdict} for sure` : row.verdict));
  line.append(
    region,
    element("td", "", ROUTING_NAMES[row.routing] ?? row.routing),
    element("td", "", row.figure),
    element("td", "number", figureOf(row, row.before)),
    element("td", "number", figureOf(row, row.after)),
    element("td", "number", changeOf(row, row.change)),
    element("td", "number faint", row.low === null ? "–" : `${changeOf(row, row.low)} to ${changeOf(row, row.high)}`),
    verdict,
  );
  return line;
}

function figureOf({ unit }, value) {
  if (unit === "s") return duration(value);
  return unit === "share" ? share(value) : rate(value);
}

function changeOf({ unit }, value) {
  if (value === null) return "–";
  const sign = value > 0 ? "+" : value < 0 ? "−" : "±";
  const size = Math.abs(value);
  if (unit === "s") return `${sign}${(size * 100).toFixed(1)}\u00a0%`;
  return unit === "share" ? `${sign}${(size * 100).toFixed(2)}\u00a0pp` : `${sign}${size.toFixed(1)}/s`;
}
