// Numbers and times as people read them. Nothing here rounds what is stored or drawn.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const NONE = "–";

/** A duration given in seconds as [number, unit]. */
export function durationParts(seconds) {
  if (seconds === null || seconds === undefined) return [NONE, ""];
  if (seconds === 0) return ["0", "s"];
  if (seconds < 0.001) return [digits(seconds * 1e6), "µs"];
  if (seconds < 1) return [digits(seconds * 1e3), "ms"];
  return [digits(seconds), "s"];
}

export function duration(seconds) {
  const [number, unit] = durationParts(seconds);
  return unit ? `${number}\u00a0${unit}` : number;
}

export function count(number) {
  return number === null || number === undefined ? NONE : whole.format(number);
}

/** A share of 0 to 1 in per cent; a share that is not zero never reads as zero. */
export function share(value) {
  if (value === null || value === undefined) return NONE;
  const percent = value * 100;
  if (percent > 0 && percent < 0.1) return "< 0.1\u00a0%";
  if (percent < 100 && percent > 99.9) return "> 99.9\u00a0%";
  return `${percent < 10 && percent > 0 ? percent.toFixed(1) : percent.toFixed(percent > 99 && percent < 100 ? 1 : 0)}\u00a0%`;
}

export function rate(value) {
  return value === null || value === undefined ? NONE : `${digits(value)}/s`;
}

function digits(value) {
  if (value >= 100) return whole.format(value);
  if (value >= 10) return value.toFixed(value % 1 ? 1 : 0);
  return value === 0 ? "0" : String(Number(value.toPrecision(3)));
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const dayClock = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

export function time(seconds) {
  return clock.format(new Date(seconds * 1000));
}

export function dayTime(seconds) {
  return dayClock.format(new Date(seconds * 1000));
}

export function span(seconds) {
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["m", 60]]) {
    if (seconds >= size && seconds % size === 0) return `${seconds / size} ${unit}`;
  }
  return `${seconds} s`;
}

/** Unix seconds as Plotly's date axis shows them in this browser's own time zone. */
export function plotTime(seconds) {
  return seconds * 1000 - new Date(seconds * 1000).getTimezoneOffset() * 60000;
}

/** The way back from what a date axis says. */
export function fromPlotTime(value) {
  const asUtc = typeof value === "number" ? value : Date.parse(`${String(value).replace(" ", "T")}Z`);
  return (asUtc + new Date(asUtc).getTimezoneOffset() * 60000) / 1000;
}
