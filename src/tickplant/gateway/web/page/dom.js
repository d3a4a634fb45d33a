// Small help with elements. Text goes in as text, never as markup.

export const $ = (id) => document.getElementById(id);

export function make(tag, text = "", kind = "") {
  const node = document.createElement(tag);
  if (text !== "") node.textContent = text;
  if (kind) node.className = kind;
  return node;
}

// Makes an element of text in which `code` stands between backticks.
export function prose(tag, text) {
  const node = make(tag);
  node.append(...text.split("`").map((part, at) => (at % 2 ? make("code", part) : part)));
  return node;
}

export function line(...cells) {
  const row = document.createElement("tr");
  row.append(...cells.map((cell) => (cell instanceof Node ? cell : make("td", ...[cell].flat()))));
  return row;
}

// Sets a text only where it is another one, so that what did not change costs no layout.
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function kind(node, name) {
  if (node.className !== name) node.className = name;
}

// -- colours of the style sheet, as canvases take them ------------------------------------------

const known = new Map();
const probe = make("i");
probe.hidden = true;

// Returns a colour variable as "rgb(…)": a probe resolves light-dark(), which its text does not.
export function color(name) {
  if (!known.has(name)) {
    if (!probe.isConnected) document.body.append(probe);
    probe.style.color = `var(${name})`;
    known.set(name, getComputedStyle(probe).color);
  }
  return known.get(name);
}

export const faint = (name, alpha) => color(name).replace("rgb(", "rgba(").replace(")", `, ${alpha})`);

export function forgetColors() {
  known.clear();
}

// -- painting -----------------------------------------------------------------------------------

const PAINT_MS_MIN = 60;
const waiting = new Set();
let painted = 0, timer = null;

// Runs an act with the next frame, each once however often it was asked for, and not more often
// than a person can follow. What comes alone is painted at once.
export function soon(act) {
  waiting.add(act);
  if (timer !== null) return;
  const rest = Math.max(PAINT_MS_MIN - (performance.now() - painted), 0);
  timer = setTimeout(() => requestAnimationFrame(paint), rest);
}

function paint() {
  painted = performance.now();
  timer = null;
  const acts = [...waiting];
  waiting.clear();
  for (const act of acts) act();
}

// Returns what asks for an act: `ms` after the first asking, never twice at once, and once more
// where it was asked for while it ran. What the act raises is its own matter.
export function settled(ms, act) {
  let timer = null, isRunning = false, isWanted = false;
  const run = async () => {
    [isRunning, isWanted] = [true, false];
    try {
      await act();
    } finally {
      [isRunning, timer] = [false, null];
      if (isWanted) ask();
    }
  };
  const ask = () => {
    if (isRunning) isWanted = true;
    else timer ??= setTimeout(run, ms);
  };
  return ask;
}

// Calls an act again and again, each time `ms` after it has ended; what it raises is its own matter.
export function every(ms, act) {
  const turn = async () => {
    try {
      if (!document.hidden) await act();
    } finally {
      setTimeout(turn, ms);
    }
  };
  turn();
}
