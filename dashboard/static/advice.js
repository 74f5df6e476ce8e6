// What a finished run would have met and cost with other settings of the autoscaler.

import { get } from "./api.js";
import { valueAxis } from "./axes.js";
import { plotlyReady } from "./board.js";
import { count, dayTime, duration, share } from "./format.js";
import { css, swatch } from "./look.js";
import { element } from "./verdict.js";

const SETTINGS = ["min_containers", "max_containers", "buffer_containers", "target_concurrency", "scaleup_window", "scaledown_window"];
const FIGURES = {
  refused: { name: "503s", of: ({ refused }) => refused },
  delayed: { name: "Requests that waited", of: ({ delayed }) => delayed },
  waited: { name: "Seconds waited in all", of: ({ delayed, gave_up: gaveUp, mean_wait: wait }) => (delayed - gaveUp) * (wait ?? 0) },
};
const HEIGHT = 300;

export class Advice {
  constructor(state, controls) {
    this.state = state;
    this.controls = controls;
    this.told = null;
    this.card = document.getElementById("advice");
    this.runs = document.getElementById("advice-run");
    this.figure = document.getElementById("advice-figure");
    this.words = document.getElementById("advice-words");
    this.chart = document.getElementById("advice-chart");
    this.figure.replaceChildren(...Object.entries(FIGURES).map(([id, { name }]) => new Option(name, id)));
    this.figure.addEventListener("change", () => this.draw());
    this.inputs = SETTINGS.map((name) => this.#input(name));
    document.getElementById("advice-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
    new ResizeObserver(() => this.draw()).observe(this.chart.parentElement);
  }

  /** The finished runs to choose from; at first the one that is shown, or the newest. */
  offer() {
    const ended = this.controls.runs.filter(({ end }) => end !== null).slice(0, 200);
    this.card.hidden = !ended.length;
    if (document.activeElement === this.runs) return;
    const chosen = this.touched ? this.runs.value : this.state.run;
    this.runs.replaceChildren(...ended.map(({ run, start, end }) => new Option(`Run of ${dayTime(start)} (${count(end - start)} s)`, run)));
    if (ended.some(({ run }) => run === chosen)) this.runs.value = chosen;
    this.runs.onchange = () => { this.touched = true; };
  }

  async #ask() {
    const given = Object.fromEntries(this.inputs.map(({ name, value }) => [name, value]));
    this.#say("Replaying …");
    try {
      this.told = await get(`/api/runs/${encodeURIComponent(this.runs.value)}/advice`, given);
      this.#say("");
    } catch (error) {
      this.told = null;
      this.#say(error.message, true);
    }
    document.getElementById("advice-found").hidden = !this.told;
    this.draw();
  }

  #say(text, bad = false) {
    this.words.textContent = text;
    this.words.classList.toggle("bad", bad);
  }

  #input(name) {
    const label = element("label", "", name);
    const input = element("input");
    Object.assign(input, { type: "number", name, min: 0, step: "any", placeholder: "as told" });
    label.append(input);
    document.getElementById("advice-settings").append(label);
    return input;
  }

  draw() {
    if (!this.told) return;
    const { own, measured, picked, notes } = this.told;
    document.getElementById("advice-rows").replaceChildren(
      row("measured", measured, ""),
      row("replayed as it was", own.outcome, ""),
      ...picked.filter(({ settings }) => namesOf(settings, own.settings)).map(({ settings, outcome, text }) => row(namesOf(settings, own.settings), outcome, text)),
    );
    document.getElementById("advice-notes").replaceChildren(...notes.map((note) => element("li", "", note)));
    this.#plot();
  }

  async #plot() {
    await plotlyReady;
    const width = Math.floor(this.chart.parentElement.clientWidth);
    if (!width || !this.told) return;
    const { own, measured, options } = this.told;
    const { name, of } = FIGURES[this.figure.value];
    const points = (chosen) => ({
      x: chosen.map(({ outcome }) => outcome.container_seconds),
      y: chosen.map(({ outcome }) => of(outcome)),
      text: chosen.map(({ settings }) => namesOf(settings, own.settings) || "as it was"),
      type: "scatter",
      hovertemplate: `%{text}<br>%{x:,.0f} container-seconds, %{y:,.0f} ${name.toLowerCase()}<extra></extra>`,
    });
    const best = options.filter(({ best: is }) => is);
    const looks = { others: css("--faint"), best: css("--accent"), own: css("--warn"), measured: css("--text") };
    const traces = [
      { ...points(options), mode: "markers", marker: { size: 6, color: looks.others, opacity: 0.6 } },
      { ...points(best), mode: "lines+markers", line: { shape: "hv", width: 1.5, color: looks.best }, marker: { size: 7, color: looks.best } },
      { ...points([own]), mode: "markers", marker: { size: 11, symbol: "diamond", color: looks.own } },
      { ...points([{ outcome: measured, settings: own.settings }]), text: ["measured"], mode: "markers", marker: { size: 12, symbol: "circle-open", color: looks.measured, line: { width: 2 } } },
    ];
    window.Plotly.react(this.chart, traces, {
      width,
      height: HEIGHT,
      font: { family: getComputedStyle(document.body).fontFamily, size: 11.5, color: css("--soft") },
      margin: { l: 58, r: 12, t: 10, b: 42 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      showlegend: false,
      hovermode: "closest",
      dragmode: false,
      xaxis: { title: { text: "container-seconds" }, rangemode: "tozero", fixedrange: true, gridcolor: css("--grid"), zeroline: false, linecolor: css("--line-strong"), showline: true },
      yaxis: { ...valueAxis({}), title: { text: name }, rangemode: "tozero", fixedrange: true },
    }, { displayModeBar: false, responsive: false, doubleClick: false, showTips: false });
    this.chart.setAttribute("aria-label", `${name} against container-seconds: measured ${count(of(measured))} at ${count(measured.container_seconds)}; ${this.told.picked.map(({ text }) => text).join(" ")}`);
    document.getElementById("advice-legend").replaceChildren(...[
      ["measured", looks.measured], ["replayed as it was", looks.own], ["best for what they cost", looks.best], ["others", looks.others],
    ].map(([text, colour]) => {
      const item = element("span");
      item.append(swatch({ colour, width: 5 }), text);
      return item;
    }));
  }
}

function row(name, outcome, words) {
  const line = document.createElement("tr");
  line.append(
    element("td", "", name),
    element("td", "number", count(outcome.refused)),
    element("td", "number", share(outcome.share_503)),
    element("td", "number", count(outcome.delayed)),
    element("td", "number", duration(outcome.mean_wait)),
    element("td", "number", count(outcome.container_seconds)),
    element("td", "", words),
  );
  return line;
}

/** What is set otherwise than in the run, as Modal names it; nothing if all is as it was. */
function namesOf(settings, own) {
  return SETTINGS.filter((name) => settings[name] !== own[name]).map((name) => `${name}=${settings[name]}`).join(", ");
}
