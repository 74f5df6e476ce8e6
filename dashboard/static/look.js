// Colours and dashes. A region keeps its colour everywhere; routing is told by the dash, so that
// neither depends on telling colours apart. Colours after Okabe and Ito, "Color Universal Design".

const LIGHT = { "us-east": "#0068a8", "eu-west": "#c26a00", "ap-south": "#00805d", "us-west": "#b0467f", "ca-central": "#6b4fbb" };
const DARK = { "us-east": "#56b4e9", "eu-west": "#f0a830", "ap-south": "#2cc295", "us-west": "#e38bb8", "ca-central": "#ab94f5" };
const OTHERS_LIGHT = ["#4b5160", "#8a7400", "#a33b20", "#1f7a8c"];
const OTHERS_DARK = ["#b6bcc9", "#d9c84a", "#ff8f70", "#6fd0e3"];

const OUTCOMES = {
  ok: ["#3b7dd8", "#6aa5f7"],
  cold_start: ["#d68c10", "#eab04f"],
  throttled: ["#8a63d2", "#b394f5"],
  client_error: ["#b0467f", "#e38bb8"],
  server_error: ["#bf2a37", "#ff7a84"],
  timeout: ["#6d4c41", "#c0988a"],
  connection_error: ["#3f4552", "#aeb5c3"],
};
export const OUTCOME_NAMES = {
  ok: "ok", cold_start: "503 cold start", throttled: "429 throttled", client_error: "client error",
  server_error: "server error", timeout: "timeout", connection_error: "connection error",
};
const STATES = { starting: ["#d68c10", "#eab04f"], live: ["#0a7d53", "#4cc595"], draining: ["#6d7280", "#9aa1b0"] };

export const DASHES = { sticky: "solid", non_sticky: "dot" };
export const ROUTING_NAMES = { sticky: "sticky", non_sticky: "not sticky" };
export const PERCENTILE_NAMES = { 0.5: "p50", 0.95: "p95", 0.99: "p99" };
export const PERCENTILE_LOOK = { 0.5: { width: 2.4, opacity: 1 }, 0.95: { width: 1.6, opacity: 0.75 }, 0.99: { width: 1.2, opacity: 0.55 } };

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const colours = new Map();
dark.addEventListener("change", () => colours.clear());

export function onThemeChange(callback) {
  dark.addEventListener("change", callback);
}

/** Colours of regions; names not known beforehand get the next free one, in their order. */
export function regionColour(region, all) {
  const own = (dark.matches ? DARK : LIGHT)[region];
  if (own) return own;
  const others = all.filter((name) => !(name in LIGHT));
  const palette = dark.matches ? OTHERS_DARK : OTHERS_LIGHT;
  return palette[Math.max(0, others.indexOf(region)) % palette.length];
}

export function outcomeColour(outcome) {
  return (OUTCOMES[outcome] ?? OUTCOMES.connection_error)[dark.matches ? 1 : 0];
}

export function stateColour(state) {
  return (STATES[state] ?? STATES.draining)[dark.matches ? 1 : 0];
}

/** A colour of the style sheet; asked for once, since every line of every chart has one. */
export function css(name) {
  if (!colours.get(name)) colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return colours.get(name);
}

/** A short line as it is drawn in the charts, for legends. */
export function swatch({ colour, dash = "solid", width = 2.4, opacity = 1 }) {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  for (const [name, value] of [["width", 20], ["height", 8], ["aria-hidden", "true"]]) svg.setAttribute(name, value);
  const line = document.createElementNS(namespace, "line");
  const attributes = { x1: 1, y1: 4, x2: 19, y2: 4, stroke: colour, "stroke-width": width, "stroke-linecap": "round", "stroke-opacity": opacity };
  if (dash === "dot") attributes["stroke-dasharray"] = "0.5 4.5";
  for (const [name, value] of Object.entries(attributes)) line.setAttribute(name, value);
  svg.append(line);
  return svg;
}
