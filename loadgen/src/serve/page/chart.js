// One line chart: a line an arm, over the seconds of a run.

import { svg, html, swatch } from "./dom.js";
import { clock } from "./format.js";

const HEIGHT = 190;
const MARGIN = { top: 10, right: 12, bottom: 24, left: 54 };

/** Values between two bounds at which people expect lines. */
function ticks(low, high, wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => power * factor >= rough * 0.999);
  const values = [];
  for (let value = Math.ceil(low / step - 1e-9) * step + 0; value <= high + step * 1e-6; value += step) {
    values.push(value);
  }
  return values;
}

/** Steps of a time axis, in seconds. */
function timeStep(seconds, wanted) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
  return steps.find((step) => seconds / step <= wanted) ?? 14400;
}

/** From values to places, along one axis. */
function linear(low, high, from, to) {
  return (value) => from + ((value - low) / (high - low)) * (to - from);
}

/** What the vertical axis shows: bounds, lines, and where a value lies. */
function verticalAxis(values, { fromZero, logarithmic }, bottom, top) {
  const largest = values.length > 0 ? Math.max(...values) : 1;
  const smallest = values.length > 0 ? Math.min(...values) : 0;
  if (logarithmic && smallest > 0) {
    const low = 10 ** Math.floor(Math.log10(smallest));
    const high = 10 ** Math.max(Math.ceil(Math.log10(largest)), Math.log10(low) + 1);
    const marks = [];
    for (let mark = low; mark <= high * 1.001; mark *= 10) marks.push(mark);
    const place = linear(Math.log10(low), Math.log10(high), bottom, top);
    return { marks, place: (value) => place(Math.log10(value)) };
  }
  // Close to each other, lines would lie on each other on an axis from zero.
  const away = !fromZero && smallest > largest * 0.5;
  const margin = (largest - smallest) * 0.15 || largest * 0.05 || 1;
  const low = away ? Math.max(0, smallest - margin) : 0;
  const high = largest + (away ? margin : largest * 0.08) || 1;
  return { marks: ticks(low, high, 4), place: linear(low, high, bottom, top) };
}

/** The line through the values that are there: it is broken where an arm had no turn. */
function path(values, x, y) {
  let text = "";
  let pen = false;
  values.forEach((value, index) => {
    if (value === null) {
      pen = false;
      return;
    }
    text += `${pen ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = true;
  });
  return text;
}

/** Values with no neighbour would be no line at all. */
function loners(values) {
  const alone = (index) => (values[index - 1] ?? null) === null && (values[index + 1] ?? null) === null;
  return values.map((value, index) => [value, index]).filter(([value, index]) => value !== null && alone(index));
}

export class Chart {
  /**
   * `value` takes what is shown from an arm's interval. `scale` says how values are shown: a function from
   * the largest to `{size, unit}`. `onPoint` is told which second is pointed at, or null; `say` says a text to
   * those who do not see the chart.
   */
  constructor(figure, { title, value, scale, fromZero, onPoint, say }) {
    Object.assign(this, { title, value, scale, fromZero, onPoint, say });
    this.unit = html("span", { class: "unit" });
    this.plot = html("div", {
      class: "plot",
      tabindex: "0",
      role: "group",
      "aria-roledescription": "chart",
      "aria-label": title,
      onpointermove: (event) => this.#pointAt(event.clientX),
      onpointerleave: () => onPoint(null),
      onblur: () => onPoint(null),
      onkeydown: (event) => this.#key(event),
    });
    this.tip = html("div", { class: "tip", hidden: true });
    const heading = html("figcaption", {}, html("h3", {}, title), this.unit);
    figure.replaceChildren(heading, this.plot, this.tip);
    this.data = { times: [], names: [], intervals: [] };
    this.pointed = null;
    this.logarithmic = false;
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }

  /** Shows other data: the end of each interval in seconds, names of arms, and the intervals. */
  show(data, logarithmic) {
    this.data = data;
    this.logarithmic = logarithmic;
    this.draw();
  }

  /** Marks a second, by its index, or none. */
  point(index) {
    this.pointed = index;
    this.#mark();
  }

  draw() {
    const width = Math.max(240, this.plot.clientWidth);
    const { times, names, intervals } = this.data;
    const series = names.map((_, arm) => intervals.map((interval) => this.value(interval.arms[arm])));
    const present = series.flat().filter((value) => value !== null);
    const bottom = HEIGHT - MARGIN.bottom;
    const options = { fromZero: this.fromZero, logarithmic: this.logarithmic && !this.fromZero };
    const { marks, place } = verticalAxis(present, options, bottom, MARGIN.top);
    const end = Math.max(10, times.at(-1) ?? 0);
    const along = linear(0, end, MARGIN.left, width - MARGIN.right);
    const x = (index) => along(times[index]);
    const { size, unit } = this.scale(marks.at(-1));
    this.unit.textContent = unit;
    this.geometry = { width, bottom, x, y: place, series, size };

    const parts = [];
    const fine = Math.max(0, ...marks.map((mark) => decimals(mark / size)));
    for (const mark of marks) {
      const y = place(mark);
      parts.push(svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y }));
      const text = (mark / size).toLocaleString("en", { minimumFractionDigits: fine, maximumFractionDigits: fine });
      parts.push(svg("text", { class: "mark", x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, text));
    }
    const step = timeStep(end, Math.max(2, width / 90));
    for (let second = 0; second <= end; second += step) {
      const place = along(second);
      parts.push(svg("text", { class: "mark", x: place, y: HEIGHT - 6, "text-anchor": "middle" }, clock(second)));
    }
    series.forEach((values, arm) => {
      parts.push(svg("path", { class: `line arm-${arm % 6}`, d: path(values, x, place) }));
      for (const [value, index] of loners(values)) {
        parts.push(svg("circle", { class: `dot arm-${arm % 6}`, cx: x(index), cy: place(value), r: 2.5 }));
      }
    });
    this.overlay = svg("g");
    const root = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, "aria-hidden": "true" });
    root.append(...parts, this.overlay);
    this.plot.replaceChildren(root);
    this.plot.setAttribute("aria-label", this.#describe(series));
    this.#mark();
  }

  #describe(series) {
    const latest = this.data.names.map((name, arm) => {
      const value = series[arm].findLast((value) => value !== null);
      return value === undefined ? null : `${name} ${this.#text(value)}`;
    });
    const said = latest.filter((text) => text !== null).join(", ");
    return `${this.title}, second by second. ${said ? `Latest: ${said}. Arrow keys go through the seconds.` : "No data yet."}`;
  }

  #text(value) {
    const { size, unit } = this.scale(value);
    return `${(value / size).toLocaleString("en", { maximumSignificantDigits: 3 })}${unit === "" ? "" : ` ${unit}`}`;
  }

  /** Draws the mark and the values at the second that is pointed at. */
  #mark() {
    const index = this.pointed;
    const { times, names } = this.data;
    if (index === null || index >= times.length || !this.geometry) {
      this.overlay?.replaceChildren();
      this.tip.hidden = true;
      return;
    }
    const { x, y, bottom, series, width } = this.geometry;
    const place = x(index);
    const marks = [svg("line", { class: "cursor", x1: place, x2: place, y1: MARGIN.top, y2: bottom })];
    const rows = [html("span", { class: "when" }, clock(times[index]))];
    names.forEach((name, arm) => {
      const value = series[arm][index];
      if (value === null) return;
      marks.push(svg("circle", { class: `dot arm-${arm % 6}`, cx: place, cy: y(value), r: 4 }));
      rows.push(html("span", {}, swatch(arm), `${name} `, html("b", {}, this.#text(value))));
    });
    this.overlay.replaceChildren(...marks);
    this.tip.replaceChildren(...rows);
    this.tip.hidden = false;
    const right = place > width / 2;
    this.tip.style.left = right ? "auto" : `${place + 12}px`;
    this.tip.style.right = right ? `${width - place + 12}px` : "auto";
  }

  #pointAt(clientX) {
    const { times } = this.data;
    if (times.length === 0 || !this.geometry) return;
    const place = clientX - this.plot.getBoundingClientRect().left;
    let nearest = 0;
    times.forEach((_, index) => {
      const distance = (index) => Math.abs(this.geometry.x(index) - place);
      if (distance(index) < distance(nearest)) nearest = index;
    });
    this.onPoint(nearest);
  }

  #key(event) {
    const last = this.data.times.length - 1;
    if (last < 0) return;
    const now = this.pointed ?? last;
    const next = {
      ArrowLeft: Math.max(0, now - 1),
      ArrowRight: Math.min(last, now + 1),
      Home: 0,
      End: last,
      Escape: null,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    this.onPoint(next);
    if (next !== null) this.say(this.#values(next));
  }

  /** The values of a second, in words. */
  #values(index) {
    const texts = this.data.names.map((name, arm) => {
      const value = this.value(this.data.intervals[index].arms[arm]);
      return value === null ? `${name} no value` : `${name} ${this.#text(value)}`;
    });
    return `${clock(this.data.times[index])}: ${texts.join(", ")}`;
  }
}

/** How many digits behind the point a mark needs. */
function decimals(value) {
  for (let digits = 0; digits < 4; digits += 1) {
    if (Math.abs(value - Number(value.toFixed(digits))) <= Math.abs(value) * 1e-6) return digits;
  }
  return 4;
}
