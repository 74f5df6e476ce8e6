// The bar at the top and the filters, which are the legend of all charts too.

import { get } from "./api.js";
import { dayTime, span, time } from "./format.js";
import { DASHES, PERCENTILE_LOOK, PERCENTILE_NAMES, ROUTING_NAMES, css, regionColour, swatch } from "./look.js";
import { PERCENTILES, RANGES } from "./state.js";
import { element } from "./verdict.js";

export class Controls {
  constructor(state, settings) {
    this.state = state;
    this.known = { region: [], routing: [] };
    this.leftOut = 0;
    this.runs = [];
    document.getElementById("locust").href = safeUrl(settings.locust_url);
    this.#buildRanges();
    document.getElementById("pause").addEventListener("click", () => this.#pause());
    document.getElementById("runs").addEventListener("change", (event) => this.openRun(event.target.value));
    document.addEventListener("keydown", (event) => {
      if (event.target.closest?.("input, select, textarea, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === " " && !event.target.closest?.("button, a")) {
        event.preventDefault();
        this.#pause();
      }
      if (event.key === "Escape") this.follow();
    });
    state.addEventListener("change", () => this.draw());
  }

  /** Learn which regions, routings and runs there are. */
  async refresh() {
    const [labels, runs] = await Promise.all([get("/api/labels"), get("/api/runs")]);
    const text = JSON.stringify([labels, runs]);
    if (text === this.last) return;
    this.last = text;
    // "sticky" before "not sticky", as their lines are told apart: solid, then dotted.
    this.known = { region: labels.region, routing: labels.routing.toReversed() };
    this.leftOut = labels.left_out;
    this.runs = runs;
    this.draw();
  }

  follow() {
    this.state.change({ from: null, to: null, run: "", paused: false });
  }

  draw() {
    const { state } = this;
    for (const button of document.querySelectorAll("#ranges button")) {
      button.setAttribute("aria-pressed", String(state.from === null && Number(button.dataset.seconds) === state.range));
    }
    const pause = document.getElementById("pause");
    pause.setAttribute("aria-pressed", String(!state.following));
    pause.textContent = state.following ? "Pause" : "Follow live";
    this.#chips("regions", "region", this.known.region, (region) => swatch({ colour: regionColour(region, this.known.region), width: 4 }), (region) => region);
    const soft = css("--soft");
    this.#chips("routings", "routing", this.known.routing, (routing) => swatch({ colour: soft, dash: DASHES[routing] ?? "solid" }), (routing) => ROUTING_NAMES[routing] ?? routing);
    this.#chips("percentiles", "quantile", PERCENTILES, (quantile) => swatch({ colour: soft, ...PERCENTILE_LOOK[quantile] }), (quantile) => PERCENTILE_NAMES[quantile]);
    this.#drawRuns();
  }

  drawWindow(frame, base) {
    const text = frame.end - frame.start > 86400
      ? `${dayTime(frame.start)} to ${dayTime(frame.end)}`
      : `${time(frame.start)} to ${time(frame.end)}`;
    document.getElementById("window").textContent = `${text} · a point per ${span(frame.step)}${base ? ` · grey: the run of ${dayTime(base.start)}` : ""}`;
  }

  #buildRanges() {
    const buttons = RANGES.map(([name, seconds]) => {
      const button = element("button", "", name);
      button.type = "button";
      button.dataset.seconds = seconds;
      button.addEventListener("click", () => this.state.change({ range: seconds, from: null, to: null, run: "" }));
      return button;
    });
    document.getElementById("ranges").replaceChildren(...buttons);
  }

  #chips(id, kind, values, mark, name) {
    const box = document.getElementById(id);
    const focused = box.contains(document.activeElement) ? document.activeElement.dataset.value : null;
    const made = values.map((value) => {
      const button = element("button");
      button.type = "button";
      button.dataset.value = value;
      button.setAttribute("aria-pressed", String(!this.state.hidden[kind].has(value)));
      button.title = "Click to hide or show; double-click to see it alone";
      button.append(mark(value), name(value));
      button.addEventListener("click", (event) => {
        if (event.detail > 1) this.state.only(kind, value, values);
        else this.state.toggle(kind, value, values);
      });
      return button;
    });
    box.replaceChildren(...made);
    if (focused !== null) made.find((button) => button.dataset.value === focused)?.focus();
  }

  #drawRuns() {
    const select = document.getElementById("runs");
    if (document.activeElement === select) return;
    const options = [new Option(this.runs.length ? "Latest" : "No run yet", "")];
    for (const run of this.runs.slice(0, 200)) {
      const length = run.end === null ? "running" : span(Math.max(1, Math.round(run.end - run.start)));
      options.push(new Option(`Run of ${dayTime(run.start)} (${length})`, run.run));
    }
    select.replaceChildren(...options);
    select.value = this.state.run;
    if (select.selectedIndex < 0) select.value = "";
  }

  /** Show the time of a run; follow the present where there is none of that name. */
  openRun(name) {
    const run = this.runs.find((known) => known.run === name);
    if (!run) {
      this.follow();
      return;
    }
    const end = run.end ?? Date.now() / 1000;
    this.state.change({ run: name, from: Math.floor(run.start), to: Math.ceil(end) + 1 });
  }

  #pause() {
    if (this.state.following) this.state.change({ paused: true });
    else this.follow();
  }
}

function safeUrl(text) {
  return /^https?:\/\//.test(text) ? text : "#";
}
