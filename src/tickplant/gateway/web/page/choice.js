// What is looked at: the instrument and the kind of its bars. It stands in the address behind the
// `#`, so that it can be sent to somebody, and the kind of bars is the next visit's default.

import { isZone } from "./zone.js";

const PLACE = "tickplant.view";
const DEFAULTS = { interval: "1m", timezone: "UTC", day_start: "00:00", basis: "", fill: "null" };
const NAMES = ["symbol", ...Object.keys(DEFAULTS)];

export const choice = { symbol: "", ...DEFAULTS };
const listeners = [];

export function onChoice(act) {
  listeners.push(act);
}

function read() {
  const said = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  return Object.fromEntries(NAMES.filter((name) => name in said).map((name) => [name, said[name]]));
}

function kept() {
  try {
    return JSON.parse(localStorage.getItem(PLACE) ?? "{}");
  } catch {
    return {};
  }
}

function keep() {
  const { symbol, ...view } = choice;
  try {
    localStorage.setItem(PLACE, JSON.stringify(view));
  } catch {
    // The address still says it.
  }
}

export function isChosen(name) {
  return name in read() || name in kept();
}

export function choose(changes, { remember = true } = {}) {
  const before = { ...choice };
  Object.assign(choice, changes);
  if (!isZone(choice.timezone)) choice.timezone = before.timezone;
  const changed = NAMES.filter((name) => choice[name] !== before[name]);
  if (!changed.length) return;
  const shown = Object.entries(choice).filter(([name, value]) => value && value !== DEFAULTS[name]);
  history.replaceState(null, "", `#${new URLSearchParams(shown)}`);
  if (remember && changed.some((name) => name !== "symbol")) keep();
  for (const act of listeners) act(changed);
}

// Takes what the address and the last visit say, without telling anybody.
export function restore() {
  Object.assign(choice, DEFAULTS, kept(), read());
  if (!isZone(choice.timezone)) choice.timezone = "UTC";
  addEventListener("hashchange", () => choose(read()));
}
