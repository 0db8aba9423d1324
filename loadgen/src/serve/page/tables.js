// The tables: arms of the shown run, and all runs.

import { fileAddress, reportAddress } from "./api.js";
import { html, swatch } from "./dom.js";
import { bytes, count, instant, rate, state, time } from "./format.js";

function table(caption, heads, rows) {
  const head = ([text, kind]) => html("th", { scope: "col", class: kind }, text);
  return html(
    "table",
    {},
    html("caption", {}, caption),
    html("thead", {}, html("tr", {}, ...heads.map(head))),
    html("tbody", {}, ...rows),
  );
}

const number = (text) => html("td", { class: "number" }, text);

function armName(index, name) {
  return html("th", { scope: "row" }, swatch(index), name);
}

/** The arms in the last second in which each had its turn; errors since the start. */
export function nowTable(names, intervals) {
  const rows = names.map((name, arm) => {
    const last = intervals.findLast((interval) => interval.arms[arm].active_ns > 0)?.arms[arm];
    const sum = (what) => intervals.reduce((all, interval) => all + interval.arms[arm][what], 0);
    return html(
      "tr",
      {},
      armName(arm, name),
      number(count(sum("requests"))),
      number(count(sum("errors"))),
      number(rate(last?.requests_per_second)),
      number(time(last?.p50_ns)),
      number(time(last?.p90_ns)),
      number(time(last?.p99_ns)),
    );
  });
  const heads = ["Requests", "Errors", "Requests/s", "p50", "p90", "p99"].map((text) => [text, "number"]);
  return table("So far, and in the last second", [["Arm"], ...heads], rows);
}

/** The arms over the whole run. */
export function summaryTable(summary) {
  const rows = summary.arms.map((arm, index) => {
    const latency = arm.latency_ns;
    const kinds = Object.entries(arm.errors_by_kind).map(([kind, many]) => `${kind.replaceAll("_", " ")}: ${count(many)}`);
    return html(
      "tr",
      {},
      armName(index, arm.pacer?.open_loop === false ? `${arm.name} (NOT OPEN LOOP)` : arm.name),
      number(count(arm.requests)),
      html("td", { class: "number" }, count(arm.errors), kinds.length > 0 ? html("div", { class: "kinds" }, kinds.join(", ")) : null),
      number(rate(arm.requests_per_second)),
      ...["mean", "p50", "p90", "p99", "p999", "max"].map((key) => number(time(latency?.[key]))),
    );
  });
  const heads = ["Requests", "Errors", "Requests/s", "Mean", "p50", "p90", "p99", "p99.9", "Max"];
  return table("The whole run, without warm-up", [["Arm"], ...heads.map((text) => [text, "number"])], rows);
}

function downloads(run) {
  if (run.files.length === 0) return html("td", {}, "–");
  const link = (file) => {
    const address = fileAddress(run.id, file.name);
    return html("li", {}, html("a", { href: address, download: `${run.id}-${file.name}` }, file.name), ` ${bytes(file.bytes)}`);
  };
  return html(
    "td",
    { class: "downloads" },
    html("a", { href: reportAddress(run.id), target: "_blank", rel: "noopener", "aria-label": `Report of ${run.id}` }, "Report"),
    html(
      "details",
      { name: "downloads" },
      html("summary", { "aria-label": `Files of ${run.id}` }, "Files"),
      html("ul", {}, ...run.files.map(link)),
    ),
  );
}

/** The seconds-old state of all runs, as a table from which one is shown. */
export function runsTable(runs, shown, onShow) {
  if (runs.length === 0) return html("p", { class: "empty" }, "Runs are listed here, with their files.");
  const rows = runs.map((run) => {
    const arms = run.summary?.arms ?? run.arms;
    const lines = (text) => html("td", { class: "number lines" }, ...arms.map((arm) => html("div", {}, text(arm))));
    const show = html("button", { type: "button", class: "link", onclick: () => onShow(run.id), "aria-label": `Show ${run.id}` }, instant(run.started_unix_ns));
    return html(
      "tr",
      { "aria-current": run.id === shown ? "true" : null, "data-run": run.id },
      html("th", { scope: "row" }, show),
      html("td", { title: run.reason }, html("span", { class: `state ${run.state}` }, state(run.state))),
      html("td", { class: "lines" }, ...arms.map((arm, index) => html("div", {}, swatch(index), arm.name))),
      lines((arm) => rate(arm.requests_per_second)),
      lines((arm) => time(arm.latency_ns?.p50)),
      lines((arm) => time(arm.latency_ns?.p99)),
      lines((arm) => (arm.errors === undefined ? "–" : count(arm.errors))),
      downloads(run),
    );
  });
  const numbers = ["Requests/s", "p50", "p99", "Errors"].map((text) => [text, "number"]);
  return table("Runs in this server's folder, the newest first", [["Started"], ["State"], ["Arms"], ...numbers, ["Download"]], rows);
}
