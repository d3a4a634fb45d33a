// What chooses the kind of bars: interval, prices, zone, start of the day, and empty bars.

import { choice, choose, onChoice } from "./choice.js";
import { $, make } from "./dom.js";
import { isZone, zones } from "./zone.js";

export const INTERVALS = ["1s", "1m", "5m", "15m", "1h", "4h", "1d", "1w"];
const DAY_START = /^([01]\d|2[0-3]):[0-5]\d$/;

export function startControls() {
  for (const interval of INTERVALS) {
    const button = make("button", interval);
    button.type = "button";
    button.onclick = () => choose({ interval });
    $("intervals").append(button);
  }
  $("zones").append(...zones().map((zone) => Object.assign(make("option"), { value: zone })));
  const own = $("interval");
  own.onchange = () => own.value.trim() && choose({ interval: own.value.trim().toLowerCase() });
  $("basis").onchange = () => choose({ basis: $("basis").value });
  $("fill").onchange = () => choose({ fill: $("fill").checked ? "null" : "none" });
  $("timezone").onchange = () => take("timezone", isZone, "an IANA zone, such as America/New_York");
  $("day-start").onchange = () => take("day-start", (text) => DAY_START.test(text), "HH:MM, such as 17:00");
  onChoice(show);
  show();
}

function take(id, allowed, said) {
  const field = $(id), text = field.value.trim();
  const good = allowed(text);
  sayFault(good ? "" : `${field.title}: allowed is ${said}`);
  field.ariaInvalid = String(!good);
  if (good) choose({ [id.replace("-", "_")]: text });
}

export function sayFault(text) {
  $("fault").textContent = text;
  $("fault").hidden = !text;
}

function show() {
  for (const button of $("intervals").children) {
    button.ariaPressed = String(button.textContent === choice.interval);
  }
  $("interval").value = INTERVALS.includes(choice.interval) ? "" : choice.interval;
  $("basis").value = choice.basis;
  $("fill").checked = choice.fill !== "none";
  for (const id of ["timezone", "day-start"]) $(id).ariaInvalid = "false";
  $("timezone").value = choice.timezone;
  $("day-start").value = choice.day_start;
}
