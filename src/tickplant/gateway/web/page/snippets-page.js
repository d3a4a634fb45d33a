// Shows the snippets in one language, with the address of this plant in place of the usual one.

import { address, getText } from "./api.js";
import { $, make } from "./dom.js";
import { startTheme } from "./theme.js";

const SNIPPETS = [
  ["push", "Store a trade"],
  ["candles", "Read bars"],
  ["stream", "Listen, from a time of the past on"],
  ["key", "Show a key"],
];
const USUAL = "127.0.0.1:8000", COPIED_MS = 1500;
const root = address(".");
const place = root.host + root.pathname.replace(/\/$/, "");
const secure = root.protocol === "https:";

function here(text) {
  return text
    .replaceAll(`http://${USUAL}`, `${secure ? "https" : "http"}://${place}`)
    .replaceAll(`ws://${USUAL}`, `${secure ? "wss" : "ws"}://${place}`);
}

// A page that did not come by HTTPS, nor from this machine, may not write to the clipboard.
async function copy(button, shown) {
  try {
    await navigator.clipboard.writeText(shown.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(shown);
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), COPIED_MS);
}

function boxOf(title, text) {
  const box = make("div", "", "snippet"), shown = make("pre", text), button = make("button", "Copy");
  shown.tabIndex = 0;
  button.type = "button";
  button.ariaLabel = `Copy: ${title}`;
  button.onclick = () => copy(button, shown);
  box.append(shown, button);
  return box;
}

async function show(language) {
  const buttons = [...document.querySelectorAll("[data-language]")];
  for (const button of buttons) button.ariaPressed = String(button.dataset.language === language);
  try {
    const texts = await Promise.all(SNIPPETS.map(([name]) => getText(`docs/snippets/${name}.${language}`)));
    const boxes = SNIPPETS.flatMap(([, title], at) => [make("h2", title), boxOf(title, here(texts[at]))]);
    $("snippets").replaceChildren(...boxes);
  } catch (fault) {
    $("snippets").replaceChildren(make("p", `The snippets cannot be read: ${fault.message}.`, "bad"));
  }
}

for (const button of document.querySelectorAll("[data-language]")) {
  button.onclick = () => show(button.dataset.language);
}
startTheme();
await show("sh");
