// The keyboard: every key that does something, and the list of them.

import { $, make } from "./dom.js";

// `acts` is a list of {keys, label, act(key)}; keys without modifiers, outside of fields.
export function startKeyboard(acts) {
  const byKey = new Map(acts.flatMap(({ keys, act }) => keys.map((key) => [key, act])));
  $("keys").append(...acts.map(({ keys, shown, label }) => {
    const row = make("tr"), cell = make("td");
    (shown ?? keys).forEach((key) => cell.append(make("kbd", key)));
    row.append(cell, make("td", label));
    return row;
  }));
  addEventListener("keydown", (press) => {
    if (press.ctrlKey || press.metaKey || press.altKey || isTyping(press.target)) return;
    if (document.querySelector("dialog[open]") && press.key !== "?") return;
    const act = byKey.get(press.key);
    if (!act) return;
    press.preventDefault();
    act(press.key);
  });
  addEventListener("keydown", (press) => press.key === "Escape" && isTyping(press.target) && press.target.blur());
}

const isTyping = (node) => node instanceof Element && node.matches("input, select, textarea");

export function toggleHelp() {
  const help = $("help");
  if (help.open) help.close();
  else help.showModal();
}
