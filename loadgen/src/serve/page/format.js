// Numbers for people.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function count(value) {
  return whole.format(value);
}

/** Three digits of a value, without an exponent. */
function digits(value) {
  if (value === 0) return "0";
  const before = Math.floor(Math.log10(Math.abs(value))) + 1;
  const behind = Math.max(0, Math.min(3, 3 - before));
  return value.toLocaleString("en", { minimumFractionDigits: behind, maximumFractionDigits: behind });
}

const TIME_UNITS = [
  [1e9, "s"],
  [1e6, "ms"],
  [1e3, "µs"],
  [1, "ns"],
];

/** A time, in the unit that suits it. */
export function time(ns) {
  if (ns === null || ns === undefined) return "–";
  const [size, unit] = TIME_UNITS.find(([size]) => ns >= size) ?? TIME_UNITS[3];
  return `${digits(ns / size)} ${unit}`;
}

/** The unit that suits the largest of several times, and how many ns it has. */
export function timeUnit(largestNs) {
  const [size, unit] = TIME_UNITS.find(([size]) => largestNs >= size) ?? TIME_UNITS[3];
  return { size, unit };
}

export function rate(perSecond) {
  return perSecond === null || perSecond === undefined ? "–" : digits(perSecond);
}

/** Seconds as on a clock. */
export function clock(seconds) {
  const all = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  const two = (value) => String(value).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

const SIZE_UNITS = ["B", "kB", "MB", "GB"];

export function bytes(size) {
  let unit = 0;
  while (size >= 1000 && unit < SIZE_UNITS.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? size : digits(size)} ${SIZE_UNITS[unit]}`;
}

const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** An instant, in the browser's time zone. */
export function instant(unixNs) {
  return moment.format(new Date(unixNs / 1e6));
}

const STATES = {
  running: "Running",
  stopping: "Stopping",
  complete: "Complete",
  cut_short: "Cut short",
  failed: "Failed",
};

export function state(name) {
  return STATES[name] ?? name;
}

export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}
