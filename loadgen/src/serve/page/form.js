// The form of a new run.

import { at, html, swatch } from "./dom.js";
import { plural } from "./format.js";

const MAX_ARMS = 16;

const ORDERS = {
  rmit: "Each round gives every arm one block, in an order drawn anew: what drifts hits all arms alike.",
  duet: "The first arm runs beside each of the others, at the same time. The blocks must be an even number.",
  sequential: "All blocks of an arm, then all of the next. What drifts looks like a difference of the arms.",
};

let made = 0;

/** A row of the form: name and URL of an arm. */
function armRow({ name, url }) {
  made += 1;
  const nameId = `arm-${made}-name`;
  const urlId = `arm-${made}-url`;
  const row = html("div", { class: "arm", role: "group" });
  const remove = html(
    "button",
    {
      type: "button",
      class: "remove",
      onclick: () => {
        const next = row.nextElementSibling ?? row.previousElementSibling;
        row.remove();
        number();
        next?.querySelector("input").focus();
      },
    },
    "×",
  );
  row.append(
    html("span", { class: "swatch-place" }),
    html(
      "div",
      { class: "field name" },
      html("label", { for: nameId }, "Name"),
      html("input", { id: nameId, value: name, required: true, maxlength: "64", pattern: "[A-Za-z0-9_\\-][A-Za-z0-9_.\\-]*", spellcheck: "false", title: "Letters, digits, - _ and ." }),
    ),
    html(
      "div",
      { class: "field url" },
      html("label", { for: urlId }, "URL"),
      html("input", { id: urlId, type: "url", value: url, required: true, pattern: "http://.+", spellcheck: "false", placeholder: "http://127.0.0.1:8080/", title: "Begins with http://" }),
    ),
    remove,
  );
  return row;
}

/** Gives the arms their colours, and keeps at least one. */
function number() {
  const rows = [...at("arm-list").children];
  rows.forEach((row, index) => {
    row.setAttribute("aria-label", `Arm ${index + 1}`);
    row.querySelector(".swatch-place").replaceChildren(swatch(index));
    const remove = row.querySelector(".remove");
    remove.setAttribute("aria-label", `Remove arm ${index + 1}`);
    remove.hidden = rows.length === 1;
  });
  at("add-arm").disabled = rows.length >= MAX_ARMS;
}

/** Shows the form for a server. */
export function setUp(service, onSubmit) {
  const arms = service.arms.length > 0 ? service.arms : [{ name: "a", url: service.allowed[0] }];
  at("arm-list").replaceChildren(...arms.map(armRow));
  number();
  at("add-arm").addEventListener("click", () => {
    const names = wantedArms().map((arm) => arm.name);
    let index = names.length + 1;
    while (names.includes(`arm-${index}`)) index += 1;
    const row = armRow({ name: `arm-${index}`, url: wantedArms()[0]?.url ?? service.allowed[0] });
    at("arm-list").append(row);
    number();
    row.querySelector("input").select();
  });
  const explain = () => {
    at("order-hint").textContent = ORDERS[at("order").value];
  };
  at("order").addEventListener("change", explain);
  explain();
  const { requests, seconds } = service.limits;
  at("allowed").textContent =
    `Requests may go to ${service.allowed.join(", ")}. A run has at most ` +
    `${plural(requests, "request")} and ${plural(seconds, "second")}.`;
  at("new").addEventListener("submit", (event) => {
    event.preventDefault();
    onSubmit(wanted());
  });
}

function wantedArms() {
  return [...at("arm-list").children].map((row) => {
    const [name, url] = row.querySelectorAll("input");
    return { name: name.value.trim(), url: url.value.trim() };
  });
}

/** The run that the form describes. */
function wanted() {
  const number = (id) => at(id).valueAsNumber;
  const run = {
    arms: wantedArms(),
    requests: number("requests"),
    connections: number("connections"),
    blocks: number("blocks"),
    order: at("order").value,
    warmup: number("warmup"),
    timeout_seconds: number("timeout"),
  };
  if (at("seed").value !== "") run.seed = Number(at("seed").value);
  return run;
}

/** Says why a run was refused; nothing takes it back. */
export function refuse(text = "") {
  at("refusal").textContent = text;
}

/** Whether a run can be started now. */
export function allowStart(allowed) {
  at("start").disabled = !allowed;
  at("start").textContent = allowed ? "Start" : "A run is under way";
}
