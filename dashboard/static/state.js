// What is shown: kept in the address, so that a link shows the same view.

export const RANGES = [["5m", 300], ["15m", 900], ["1h", 3600], ["6h", 21600], ["24h", 86400]];
export const PERCENTILES = ["0.5", "0.95", "0.99"];

const DEFAULT_RANGE = 300;

export class State extends EventTarget {
  constructor(query) {
    super();
    const given = new URLSearchParams(query);
    this.range = RANGES.find(([name]) => name === given.get("range"))?.[1] ?? DEFAULT_RANGE;
    this.run = given.get("run") ?? "";
    this.from = number(given.get("from"));
    this.to = number(given.get("to"));
    if (!(this.from < this.to)) this.from = this.to = null;
    this.paused = given.get("paused") === "1";
    this.compare = given.get("compare") ?? "";
    this.hidden = {
      region: new Set(list(given.get("hide_region"))),
      routing: new Set(list(given.get("hide_routing"))),
      quantile: new Set(list(given.get("hide_quantile"))),
    };
  }

  /** Whether the window moves with time. */
  get following() {
    return this.from === null && !this.paused;
  }

  change(changes) {
    Object.assign(this, changes);
    this.#save();
    this.dispatchEvent(new Event("change"));
  }

  toggle(kind, value, all) {
    const hidden = new Set(this.hidden[kind]);
    if (hidden.has(value)) hidden.delete(value);
    else hidden.add(value);
    // With everything hidden there would be nothing to look at: the last one brings all back.
    if (all.every((other) => hidden.has(other))) hidden.clear();
    this.change({ hidden: { ...this.hidden, [kind]: hidden } });
  }

  only(kind, value, all) {
    const others = all.filter((other) => other !== value);
    const alone = others.every((other) => this.hidden[kind].has(other)) && !this.hidden[kind].has(value);
    this.change({ hidden: { ...this.hidden, [kind]: new Set(alone ? [] : others) } });
  }

  #save() {
    const query = new URLSearchParams();
    if (this.range !== DEFAULT_RANGE) query.set("range", RANGES.find(([, seconds]) => seconds === this.range)[0]);
    if (this.run) query.set("run", this.run);
    if (this.from !== null) {
      query.set("from", this.from);
      query.set("to", this.to);
    }
    if (this.paused) query.set("paused", "1");
    if (this.compare) query.set("compare", this.compare);
    for (const [kind, values] of Object.entries(this.hidden)) {
      if (values.size) query.set(`hide_${kind}`, [...values].join(","));
    }
    const text = query.toString();
    history.replaceState(null, "", text ? `?${text}` : location.pathname);
  }
}

function number(text) {
  const value = text === null || text === "" ? NaN : Number(text);
  return Number.isFinite(value) ? value : null;
}

function list(text) {
  return (text ?? "").split(",").filter(Boolean);
}
