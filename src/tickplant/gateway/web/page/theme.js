// Dark or light: as the system has it, until somebody chooses.

import { $, forgetColors } from "./dom.js";

const PLACE = "tickplant.theme";
const system = matchMedia("(prefers-color-scheme: light)");
const listeners = [];

export const theme = () => document.documentElement.dataset.theme ?? (system.matches ? "light" : "dark");

export function onTheme(act) {
  listeners.push(act);
}

function changed() {
  forgetColors();
  document.documentElement.dataset.shown = theme();
  const button = $("theme");
  if (button) button.title = `${theme() === "dark" ? "Light" : "Dark"} colours (t)`;
  for (const act of listeners) act();
}

export function toggleTheme() {
  const wanted = theme() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = wanted;
  try {
    localStorage.setItem(PLACE, wanted);
  } catch {
    // It lasts until the page is left.
  }
  changed();
}

export function startTheme() {
  system.addEventListener("change", changed);
  $("theme").onclick = toggleTheme;
  changed();
}
