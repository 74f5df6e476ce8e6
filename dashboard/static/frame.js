// The numbers of one view: all panels on one grid of times, so that live points fall into place.

import { plotTime } from "./format.js";

// Of all frames together: a chart that is given another frame has to see that its numbers changed.
let revisions = 0;

export class Frame {
  constructor(start, step, steps) {
    this.start = start;
    this.step = step;
    this.steps = steps;
    this.panels = new Map();
    this.revision = 0;
  }

  #times = { start: null, values: [] };

  get end() {
    return this.start + this.step * this.steps;
  }

  /** The points' times as charts take them; worked out once, since all charts have the same. */
  plotTimes() {
    if (this.#times.start !== this.start) {
      this.#times = { start: this.start, values: Array.from({ length: this.steps }, (_, index) => plotTime(this.start + index * this.step)) };
    }
    return this.#times.values;
  }

  lines(panel) {
    return [...(this.panels.get(panel)?.values() ?? [])];
  }

  /** Whether a panel has any number. */
  tells(panel) {
    return this.lines(panel).some(({ values }) => values.some((value) => value !== null));
  }

  /** A panel's answer of the JSON interface. */
  load(panel, answer) {
    const lines = new Map();
    for (const { labels, points } of answer.lines) {
      const values = new Array(this.steps).fill(null);
      for (const [time, value] of points) {
        const at = (time - this.start) / this.step;
        if (at >= 0 && at < this.steps) values[at] = value;
      }
      lines.set(keyOf(labels), { labels, values });
    }
    this.panels.set(panel, lines);
    this.revision = revisions += 1;
  }

  /** New points of the live stream; the grid moves on so that they are its last ones. */
  add(message) {
    if (message.step !== this.step) return;
    this.#advance(message.end);
    for (const [panel, { names, lines: told }] of Object.entries(message.panels)) {
      const lines = this.panels.get(panel);
      if (!lines) continue;
      const from = (message.start - this.start) / this.step;
      const until = (message.end - this.start) / this.step;
      for (const line of lines.values()) line.values.fill(null, Math.max(0, from), until);
      for (const [labelValues, values] of told) {
        const labels = {};
        names.forEach((name, index) => { if (labelValues[index] !== "") labels[name] = labelValues[index]; });
        const key = keyOf(labels);
        if (!lines.has(key)) lines.set(key, { labels, values: new Array(this.steps).fill(null) });
        const line = lines.get(key);
        values.forEach((value, index) => { if (from + index >= 0) line.values[from + index] = value; });
      }
    }
    this.revision = revisions += 1;
  }

  #advance(end) {
    const by = (end - this.end) / this.step;
    if (by <= 0) return;
    this.start += by * this.step;
    const blank = new Array(Math.min(by, this.steps)).fill(null);
    for (const lines of this.panels.values()) {
      for (const line of lines.values()) {
        line.values.splice(0, blank.length);
        line.values.push(...blank);
      }
    }
  }
}

function keyOf(labels) {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}
