// The page: watches the run that is under way, or shows one of before.

import * as api from "./api.js";
import { Chart } from "./chart.js";
import { at, html, swatch } from "./dom.js";
import * as form from "./form.js";
import { clock, count, instant, plural, rate, state, timeUnit } from "./format.js";
import { nowTable, runsTable, summaryTable } from "./tables.js";

const PERIOD_MS = 1000;

/** The run that is shown, and what is known of how it went. */
let shown = null;
let intervals = [];
let runs = [];

const isOver = (run) => run.state !== "running" && run.state !== "stopping";
const current = () => runs.find((run) => !isOver(run));

const charts = [
  ["chart-rate", "Requests per second", (arm) => arm.requests_per_second, () => ({ size: 1, unit: "" }), true],
  ["chart-p50", "Response time, p50", (arm) => arm.p50_ns, timeUnit, false],
  ["chart-p90", "Response time, p90", (arm) => arm.p90_ns, timeUnit, false],
  ["chart-p99", "Response time, p99", (arm) => arm.p99_ns, timeUnit, false],
].map(([id, title, value, scale, fromZero]) => new Chart(at(id), { title, value, scale, fromZero, onPoint: point, say }));

/** Says a text to those who do not see the charts. */
function say(text) {
  at("said").textContent = text;
}

/** All charts mark the same second. */
function point(index) {
  for (const chart of charts) chart.point(index);
}

function drawCharts() {
  const times = intervals.map((interval) => interval.elapsed_ns / 1e9);
  const names = shown.arms.map((arm) => arm.name);
  const logarithmic = at("logarithmic").checked;
  for (const chart of charts) chart.show({ times, names, intervals }, logarithmic);
}

function drawTiles() {
  const sum = (what) => intervals.flatMap((interval) => interval.arms).reduce((all, arm) => all + arm[what], 0);
  const requests = sum("requests");
  const planned = shown.planned_requests;
  const last = intervals.at(-1);
  const lastRate = last ? last.arms.reduce((all, arm) => all + arm.requests, 0) / (last.interval_ns / 1e9) : 0;
  const seconds = last ? last.elapsed_ns / 1e9 : 0;
  at("tile-requests").textContent = planned ? `${count(requests)} of ${count(planned)}` : count(requests);
  at("tile-rate").textContent = isOver(shown) ? rate(seconds > 0 ? requests / seconds : 0) : rate(lastRate);
  at("tile-errors").textContent = count(sum("errors"));
  at("tile-errors").classList.toggle("bad", sum("errors") > 0);
  at("tile-time").textContent = clock(seconds);
  const bar = at("done");
  bar.hidden = isOver(shown);
  if (planned) bar.value = requests / planned;
  else bar.removeAttribute("value");
}

function about(run) {
  const { schedule } = run;
  return [
    instant(run.started_unix_ns),
    `${plural(schedule.requests_per_cell, "request")} per arm`,
    `${plural(schedule.blocks_per_cell, "block")}, ${schedule.order}`,
    plural(schedule.connections, "connection"),
  ].join(" · ");
}

function drawShown() {
  const known = shown !== null;
  for (const id of ["gauge", "charts-bar", "charts", "arms-table"]) at(id).hidden = !known;
  at("empty").hidden = known;
  if (!known) return;
  at("run-title").textContent = `Run ${shown.id}`;
  at("run-about").textContent = about(shown) + (shown.reason ? ` · ${shown.reason}` : "");
  const entries = shown.arms.map((arm, index) => html("li", {}, swatch(index), arm.name, html("span", { class: "address" }, arm.url)));
  at("legend").replaceChildren(...entries);
  const course = intervals.length > 0;
  at("gauge").hidden = at("charts").hidden = isOver(shown) && !course;
  if (course || !isOver(shown)) {
    drawTiles();
    drawCharts();
  }
  const names = shown.arms.map((arm) => arm.name);
  at("arms-table").replaceChildren(shown.summary ? summaryTable(shown.summary) : nowTable(names, intervals));
}

let drawnRuns = "";

function drawRuns() {
  // What has not changed is left alone, and with it the keyboard's place.
  const now = JSON.stringify([runs, shown?.id]);
  if (now === drawnRuns) return;
  drawnRuns = now;
  const focused = document.activeElement?.closest("[data-run]")?.dataset.run;
  const open = at("runs").querySelector("details[open]")?.closest("[data-run]").dataset.run;
  const focusedKind = document.activeElement?.tagName;
  at("runs").replaceChildren(runsTable(runs, shown?.id, show));
  const row = (id) => at("runs").querySelector(`[data-run="${CSS.escape(id)}"]`);
  if (open) row(open)?.querySelector("details")?.setAttribute("open", "");
  if (focused && at("runs").contains(document.activeElement) === false) row(focused)?.querySelector(focusedKind)?.focus();
}

let saidState = "";

function drawStatus() {
  const run = current();
  const stateName = run?.state ?? "idle";
  at("state").className = `state ${stateName}`;
  at("state").textContent = run ? state(run.state) : "Ready";
  at("stop").disabled = run?.state !== "running";
  form.allowStart(run === undefined);
  // Said aloud when it changes, not each second.
  const said = run ? `${run.id}` : runs[0] ? `Last run: ${state(runs[0].state).toLowerCase()}` : "";
  if (said !== saidState) at("status-text").textContent = saidState = said;
  document.title = run ? `${state(run.state)} – loadgen` : "loadgen";
}

function drawAll() {
  drawStatus();
  drawShown();
  drawRuns();
}

async function show(id) {
  shown = await api.getRun(id);
  intervals = [];
  await fetchProgress();
  drawAll();
}

/** Fetches what is new of the shown run. */
async function fetchProgress() {
  const { id } = shown;
  const news = await api.progress(id, intervals.length);
  if (shown.id !== id || news.from !== intervals.length) return;
  intervals.push(...news.intervals);
  // The charts of a run that is over need it whole: the last interval comes with the end.
  if (news.state !== shown.state) shown = await api.getRun(id);
}

async function refreshRuns() {
  runs = await api.runs();
}

async function start(wanted) {
  form.refuse();
  form.allowStart(false);
  try {
    const run = await api.start(wanted);
    await refreshRuns();
    await show(run.id);
  } catch (error) {
    form.refuse(error.message);
    drawStatus();
  }
}

async function stop() {
  const run = current();
  if (!run) return;
  at("stop").disabled = true;
  try {
    await api.stop(run.id);
    await refreshRuns();
    drawStatus();
  } catch (error) {
    form.refuse(error.message);
  }
}

/** Asks for the token until it is right. Resolves when a session is open. */
function askForToken() {
  const dialog = at("token-dialog");
  dialog.showModal();
  return new Promise((resolve) => {
    const submit = async (event) => {
      event.preventDefault();
      try {
        await api.openSession(at("token").value);
        at("token").value = "";
        at("token-form").removeEventListener("submit", submit);
        dialog.close();
        resolve(true);
      } catch (error) {
        at("token-refusal").textContent = error.message;
        at("token").select();
      }
    };
    at("token-form").addEventListener("submit", submit);
    dialog.addEventListener("close", () => resolve(false), { once: true });
  });
}

let beats = 0;

async function beat() {
  try {
    beats += 1;
    const watching = shown !== null && !isOver(shown);
    if (watching) await fetchProgress();
    // Somebody else may have started one.
    if (watching || beats % 5 === 0) {
      await refreshRuns();
      const run = current();
      if (run && !watching) await show(run.id);
      else if (watching) drawAll();
      else drawStatus();
    }
    if (at("state").classList.contains("gone")) drawAll();
  } catch (error) {
    if (!(error instanceof api.Refused)) {
      at("state").className = "state gone";
      at("state").textContent = "No connection";
      at("status-text").textContent = saidState = "The server does not answer.";
    }
  }
  setTimeout(beat, PERIOD_MS);
}

async function begin() {
  api.onTokenWanted(askForToken);
  at("stop").addEventListener("click", stop);
  at("logarithmic").addEventListener("change", drawShown);
  form.setUp(await api.service(), start);
  await refreshRuns();
  const first = current() ?? runs[0];
  if (first) await show(first.id);
  else drawAll();
  setTimeout(beat, PERIOD_MS);
}

begin().catch((error) => form.refuse(error.message));
