// The list of runs: what each came to, to open, compare, note on and delete.

import { get, remove } from "./api.js";
import { RUN } from "./compare.js";
import { count, dayTime, duration, share, span } from "./format.js";
import { element } from "./verdict.js";

const SHOWN_AT_FIRST = 20;

const VERDICTS = {
  met: ["warm", "met"],
  missed: ["failing", "missed"],
  unusable: ["cold", "no data"],
  bad_measurement: ["cold", "bad measurement"],
};

export class Runs {
  /** `changed` is called when a run was deleted, `failed` with what went wrong. */
  constructor(state, controls, { changed, failed }) {
    this.state = state;
    this.controls = controls;
    this.changed = changed;
    this.failed = failed;
    this.limit = SHOWN_AT_FIRST;
    this.runs = [];
    this.known = "";
    this.dialog = document.getElementById("delete-run");
    document.getElementById("delete-run-no").addEventListener("click", () => this.dialog.close());
    document.getElementById("delete-run-yes").addEventListener("click", () => this.#delete());
    document.getElementById("more-runs").addEventListener("click", () => {
      this.limit += SHOWN_AT_FIRST;
      this.refresh(true).catch((error) => this.failed(error.message));
    });
    state.addEventListener("change", () => this.#draw());
  }

  /** Ask for the runs if there is another one, or one has ended, or `anyway`. */
  async refresh(anyway = false) {
    const known = JSON.stringify(this.controls.runs.map(({ run, end }) => [run, end]));
    if (known === this.known && !anyway) return;
    this.runs = await get("/api/runs", { figures: true, limit: this.limit });
    this.known = known;
    this.#draw();
  }

  /** The run that is shown as a whole or in part, if one is. */
  get open() {
    return this.controls.runs.find(({ run }) => run === this.state.run);
  }

  /** The run that the shown one is compared with. */
  get base() {
    if (!this.open || !this.state.compare.startsWith(RUN)) return undefined;
    const name = this.state.compare.slice(RUN.length);
    return this.controls.runs.find(({ run }) => run === name && run !== this.state.run);
  }

  #draw() {
    const body = document.getElementById("run-list");
    const focused = body.contains(document.activeElement) ? document.activeElement.id : "";
    const open = this.open;
    const base = this.base;
    body.replaceChildren(...this.runs.map((run) => this.#row(run, open, base)));
    if (!this.runs.length) {
      const line = element("tr", "nothing");
      const cell = element("td", "", "No run yet.");
      cell.colSpan = 8;
      line.append(cell);
      body.replaceChildren(line);
    }
    document.getElementById("more-runs").hidden = this.runs.length < this.limit;
    if (focused) document.getElementById(focused)?.focus();
  }

  #row(run, open, base) {
    const { figures, labels } = run;
    const line = document.createElement("tr");
    if (run.run === open?.run) line.classList.add("chosen");
    const name = element("td");
    name.append(this.#button(run, "open", "link", dayTime(run.start), "Show this run on all charts", () => this.controls.openRun(run.run)));
    name.append(element("small", "faint", run.run));
    const tools = element("td", "run-tools");
    const other = open && open.run !== run.run ? open : this.controls.runs.find((one) => one.run !== run.run && one.end !== null);
    if (run.run === base?.run) {
      tools.append(this.#button(run, "compare", "button small-button", "Comparing", "Stop comparing with this run", () => this.state.change({ compare: "" }), true));
    } else if (other && run.end !== null && run.run !== open?.run) {
      tools.append(this.#button(run, "compare", "button small-button", "Compare", `Compare the run of ${dayTime(other.start)} with this one, as the one before`, () => {
        if (open !== other) this.controls.openRun(other.run);
        this.state.change({ compare: `${RUN}${run.run}` });
      }, false));
    }
    if (run.end !== null || run !== this.runs[0]) {
      tools.append(this.#button(run, "delete", "button small-button", "Delete", "Delete this run and its points", () => this.#ask(run)));
    }
    line.append(
      name,
      element("td", "number", figures ? span(Math.max(1, Math.round(figures.seconds))) : "–"),
      element("td", "target", labels.target ?? "–"),
      element("td", "number", count(figures?.requests)),
      element("td", "number", figures ? `${duration(figures.p50)} / ${duration(figures.p99)}` : "–"),
      element("td", "number", share(figures?.share_503)),
      this.#verdict(run),
      tools,
    );
    return line;
  }

  #verdict({ end, figures, notes }) {
    const cell = element("td", "run-verdict");
    if (!figures) cell.append(element("span", "state", end === null ? "running" : "–"));
    else if (figures.verdict === null) cell.append(element("span", "faint", "no objectives"));
    else {
      const [className, text] = VERDICTS[figures.verdict];
      cell.append(element("span", `state ${className}`, text));
    }
    for (const problem of figures?.measurement_problems ?? []) cell.append(element("small", "bad", problem));
    const wanting = (figures?.objectives ?? []).filter(({ verdict }) => verdict !== "met");
    for (const { objective, verdict } of wanting) cell.append(element("small", "faint", `${objective}: ${verdict}`));
    for (const { text } of notes ?? []) cell.append(element("small", "note-text", text));
    return cell;
  }

  #button(run, kind, className, text, title, act, pressed = undefined) {
    const made = element("button", className, text);
    made.type = "button";
    made.id = `run-${kind}-${run.run}`;
    made.title = title;
    if (pressed !== undefined) made.setAttribute("aria-pressed", String(pressed));
    made.addEventListener("click", act);
    return made;
  }

  #ask(run) {
    this.asked = run;
    const took = run.figures ? `, ${count(run.figures.requests)} requests` : "";
    const notes = run.notes?.length ? ` and ${run.notes.length === 1 ? "its note" : `its ${run.notes.length} notes`}` : "";
    document.getElementById("delete-run-what").textContent = `Run of ${dayTime(run.start)}${took}: all points of its time${notes} are deleted for good. What it shares with another run stays.`;
    this.dialog.showModal();
  }

  async #delete() {
    const { run } = this.asked;
    this.dialog.close();
    try {
      await remove(`/api/runs/${encodeURIComponent(run)}`);
      await this.controls.refresh();
      await this.refresh(true);
      this.changed(run);
    } catch (error) {
      this.failed(error.message);
    }
  }
}
