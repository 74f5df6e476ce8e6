// The charts on the page: draws those in sight, links their time axes and their cursor.

import { count, duration, fromPlotTime, rate, span, time } from "./format.js";
import { figure, LAYOUT } from "./figures.js";
import { swatch } from "./look.js";
import { element } from "./verdict.js";

// Charts with an interface of their own.
const OWN = [
  {
    id: "distribution", title: "Distribution of latency", unit: "s", metric: "loadgen_request_duration_seconds",
    meaning: "Share of answered attempts at each latency, over the whole window.",
  },
  {
    id: "container_lives", title: "Container by container", unit: "", metric: "events of the platform, target_requests_in_flight",
    meaning: "When each was asked for, booted, served and went.",
  },
];

/** Why a chart may be empty though all is well, and what to do. */
const HINTS = {
  cold_starts: "No request met a 503 in this window.",
  cold_start_wait: "No request met a 503 in this window.",
  edge_overhead: "The server tells no time of its own; have it send Server-Timing: app;dur=…",
  affinity: "No response named its container; tell the header’s name with --container-header.",
  cache_hits: "No container tells of a session cache, as the target app does for POST /generate.",
  containers: "No platform tells of containers; pass --flash-edge or --modal-app to the dashboard, and have a Prometheus that it asks scrape its /metrics.",
  container_load: "No container is scraped; pass --flash-edge or --modal-app to the dashboard.",
  container_lives: "No container is known; pass --flash-edge or --modal-app to the dashboard.",
};

const CONFIG = { displayModeBar: false, responsive: false, doubleClick: false, showTips: false };

export const plotlyReady = window.Plotly
  ? Promise.resolve()
  : new Promise((resolve, reject) => {
    const script = document.getElementById("plotly");
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error("The chart library could not be loaded.")));
  });

export class Board {
  constructor({ onZoom, onReset, locustUrl }) {
    this.onZoom = onZoom;
    this.onReset = onReset;
    this.locustUrl = locustUrl;
    this.cards = new Map();
    this.view = null;
    this.frame = null;
    this.dirty = new Set();
    this.drawing = false;
    this.touch = window.matchMedia("(pointer: coarse)").matches;
    this.sight = new IntersectionObserver((entries) => this.#seen(entries), { rootMargin: "200px" });
    this.sizes = new ResizeObserver((entries) => this.#resized(entries));
  }

  build(panels) {
    const byId = new Map([...panels, ...OWN].map((panel) => [panel.id, panel]));
    for (const box of document.querySelectorAll("#charts [data-group]")) {
      const here = LAYOUT.filter(({ id, group }) => group === box.dataset.group && byId.has(id));
      box.replaceChildren(...here.map((layout) => this.#card(layout, byId.get(layout.id))));
    }
  }

  get panelIds() {
    return [...this.cards.values()].filter(({ layout }) => !layout.own).map(({ panel }) => panel.id);
  }

  /** What stands in the head of a chart beside its legend. */
  addTools(id, ...tools) {
    this.cards.get(id).legend.before(...tools);
  }

  /** Draw a frame; charts out of sight are drawn when they come into it. */
  draw(frame, view, only = null) {
    this.frame = frame;
    this.view = view;
    for (const [id, { layout }] of this.cards) {
      if (!only || only.includes(id) || only.includes(layout.behind)) this.dirty.add(id);
    }
    this.#drawSoon();
  }

  loading(is) {
    document.getElementById("charts").classList.toggle("loading", is);
  }

  #card(layout, panel) {
    const card = element("section", layout.wide ? "card wide" : "card");
    card.dataset.panel = panel.id;
    card.setAttribute("aria-labelledby", `title-${panel.id}`);
    const head = element("div", "card-head");
    const title = element("h3", "", panel.title);
    title.id = `title-${panel.id}`;
    const legend = element("div", "legend");
    head.append(title, element("p", "", panel.meaning), legend);
    const plot = element("div", "plot");
    plot.style.minHeight = `${layout.height}px`;
    const canvas = element("div", "canvas");
    canvas.setAttribute("role", "img");
    const cursors = element("div", "cursors");
    const empty = element("div", "empty");
    empty.hidden = true;
    plot.append(canvas, cursors, empty);
    const foot = element("footer", "", panel.metric);
    card.append(head, plot, foot);
    this.cards.set(layout.id, { layout, panel, card, plot, canvas, cursors, empty, foot, legend, inSight: false, width: 0 });
    this.sight.observe(card);
    this.sizes.observe(plot);
    return card;
  }

  #seen(entries) {
    for (const entry of entries) {
      const card = this.cards.get(entry.target.dataset.panel);
      card.inSight = entry.isIntersecting;
    }
    this.#drawSoon();
  }

  #resized(entries) {
    for (const entry of entries) {
      const id = entry.target.parentElement.dataset.panel;
      const card = this.cards.get(id);
      const width = Math.floor(entry.contentRect.width);
      if (width && width !== card.width) {
        card.width = width;
        this.dirty.add(id);
      }
    }
    this.#drawSoon();
  }

  /** One chart per animation frame, so that a live update never holds the page up. */
  async #drawSoon() {
    if (this.drawing || !this.frame) return;
    this.drawing = true;
    try {
      await plotlyReady;
      for (;;) {
        // A chart that is being zoomed stays as it is until that is done.
        const due = [...this.dirty].filter((id) => {
          const { inSight, width, canvas } = this.cards.get(id);
          return inSight && width && !canvas._dragging;
        });
        if (!due.length) return;
        // What has something to show is not to wait for what has not.
        const next = due.find((id) => this.frame.tells(id)) ?? due[0];
        this.dirty.delete(next);
        this.#drawCard(this.cards.get(next));
        await nextFrame();
      }
    } finally {
      this.drawing = false;
    }
  }

  #drawCard(card) {
    const view = { ...this.view, width: card.width, touch: this.touch, frame: this.frame };
    const { traces, layout, legend, empty, words } = figure(card.layout, this.frame, view);
    card.plot.style.minHeight = `${layout.height}px`;
    window.Plotly.react(card.canvas, traces, { ...layout, width: card.width }, CONFIG);
    if (!card.linked && !card.layout.timeless) this.#link(card);
    card.legend.replaceChildren(...legend.map(({ name, colour }) => {
      const item = element("span");
      item.append(swatch({ colour, width: 5 }), name);
      return item;
    }));
    const whole = view.distribution ?? this.frame;
    card.foot.textContent = card.layout.timeless
      ? `${card.panel.metric} · ${time(whole.start)} to ${time(whole.end)} · ${samplesOf(view.distribution)} samples`
      : `${card.panel.metric}${card.layout.own ? "" : ` · a point per ${span(this.frame.step)}`}`;
    card.canvas.setAttribute("aria-label", `${card.panel.title}: ${words ?? this.#words(card)}`);
    this.#drawEmpty(card, empty);
  }

  #link(card) {
    card.linked = true;
    card.canvas.on("plotly_relayout", (change) => {
      const name = Object.keys(change).find((key) => /^xaxis\d*\.range\[0\]$/.test(key));
      if (!name) return;
      const axis = name.split(".")[0];
      const from = fromPlotTime(change[`${axis}.range[0]`]);
      const to = fromPlotTime(change[`${axis}.range[1]`]);
      if (to - from >= 2) this.onZoom(from, to);
    });
    card.canvas.on("plotly_doubleclick", () => this.onReset());
    // A lane's bar begins where its container does; what counts there is where the pointer is.
    const at = (event) => (card.layout.own ? event.xvals?.[0] : event.points[0]?.x ?? event.xvals?.[0]);
    card.canvas.on("plotly_hover", (event) => this.#cursor(at(event)));
    card.canvas.on("plotly_unhover", () => this.#cursor(null));
  }

  /** The time under the pointer, on every chart at once. */
  #cursor(x) {
    for (const { canvas, cursors, inSight, layout: { timeless } } of this.cards.values()) {
      const layout = canvas._fullLayout;
      const places = x === null || x === undefined || !layout || !inSight || timeless ? [] : placesOf(layout, x);
      while (cursors.childElementCount < places.length) cursors.append(element("i"));
      [...cursors.children].forEach((cursor, index) => {
        const place = places[index];
        cursor.style.display = place ? "block" : "none";
        if (!place) return;
        cursor.style.height = `${place.height}px`;
        cursor.style.transform = `translate(${place.left}px, ${place.top}px)`;
      });
    }
  }

  #words(card) {
    const unit = card.panel.unit;
    const lines = this.frame.lines(card.panel.id)
      .map(({ labels, values }) => [Object.values(labels).join(" "), values.findLast((value) => value !== null)])
      .filter(([, value]) => value !== undefined)
      .slice(0, 12)
      .map(([name, value]) => `${name} ${unit === "s" ? duration(value) : unit === "1/s" ? rate(value) : value}`);
    return lines.length ? `until ${time(this.frame.end)}; latest: ${lines.join(", ")}` : "no data";
  }

  #drawEmpty(card, empty) {
    card.empty.hidden = !empty;
    card.canvas.style.opacity = empty ? 0.35 : 1;
    if (!empty) return;
    const text = element("span", "", this.view.reason ?? HINTS[card.layout.id] ?? "Nothing was measured in this window.");
    card.empty.replaceChildren(element("strong", "", "No data"), text);
    if (card.layout.id === "responses_503" && /^https?:/.test(this.locustUrl)) {
      const link = element("a", "", "Start a run in Locust");
      link.href = this.locustUrl;
      link.target = "_blank";
      link.rel = "noopener noreferrer";
      card.empty.append(link);
    }
  }
}

function samplesOf(distribution) {
  return count((distribution?.lines ?? []).reduce((sum, { samples }) => sum + samples, 0));
}

/** Where a time lies in each of a figure's small charts, in pixels. */
function placesOf(layout, x) {
  return Object.keys(layout).filter((name) => /^xaxis\d*$/.test(name)).flatMap((name) => {
    const across = layout[name];
    const up = layout[name.replace("x", "y")];
    const at = across.d2p(x);
    if (!(at >= 0 && at <= across._length)) return [];
    return [{ left: Math.round(across._offset + at), top: Math.round(up._offset), height: Math.round(up._length) }];
  });
}

function nextFrame() {
  return document.hidden
    ? new Promise((resolve) => { setTimeout(resolve, 0); })
    : new Promise((resolve) => { requestAnimationFrame(() => setTimeout(resolve, 0)); });
}
