// The page of sockets: watch the sockets for ticks and bars, and how they come back by themselves.

import { get, socketAddress } from "./api.js";
import { $, line as row, make, put, soon } from "./dom.js";
import { amount, count, learn, learnSize, price } from "./format.js";
import { protocols } from "./key.js";
import { askKey, hasKey, pill, startKey } from "./session.js";
import { startTheme } from "./theme.js";

const ROWS = 60, RATE_MS = 5000, PAUSE_MS_MAX = 10000;
const EMPTY = { tape: [], table: new Map(), ticks: 0, bars: 0, reconnects: 0, recent: [] };
const state = { wanted: false, sockets: [], since: null, tries: 0, ...structuredClone(EMPTY) };

const PARTS = ["open", "high", "low", "close"];

const cell = (text, kind = "") => make("td", text, kind);

const clock = (time) => time.slice(11, 23).replace("Z", "");

function onTick(tick) {
  if (tick.type === "error") return pill("lost", tick.message);
  state.ticks += 1;
  state.recent.push(performance.now());
  learn(tick.symbol, tick.price);
  learnSize(tick.symbol, tick.size);
  state.tape.unshift(tick);
  state.tape.length = Math.min(state.tape.length, ROWS);
  soon(show);
}

function tickRow({ time, symbol, price: cost, size }) {
  return row(cell(clock(time), "dim"), cell(symbol), cell(price(symbol, cost), "num"), cell(amount(symbol, size), "num"));
}

function onBar(bar) {
  if (bar.type === "error") return;
  state.bars += 1;
  const name = `${bar.bucket} ${bar.symbol}`;
  for (const part of PARTS) learn(bar.symbol, bar[part]);
  state.table.set(name, bar);
  if (state.table.size > ROWS) state.table.delete([...state.table.keys()].sort()[0]);
  soon(show);
}

// The newest bucket on top, in it by symbol, so that a line stays where one looks for it.
function barRows() {
  const bars = [...state.table.values()];
  bars.sort((a, b) => b.bucket.localeCompare(a.bucket) || a.symbol.localeCompare(b.symbol));
  return bars.map((bar) => row(
    cell(bar.bucket.replace("T", " ").replace(":00Z", ""), "dim"), cell(bar.symbol),
    ...PARTS.map((part) => cell(price(bar.symbol, bar[part]), "num")), cell(count(bar.tick_count), "num"),
  ));
}

function open(path, hear) {
  const symbol = $("symbol").value.trim();
  const url = socketAddress(path);
  if (symbol) url.searchParams.set("symbol", symbol);
  const socket = new WebSocket(url, protocols());
  socket.onmessage = (event) => hear(JSON.parse(event.data));
  socket.onclose = (event) => lost(socket, event);
  state.sockets.push(socket);
  return socket;
}

function connect() {
  if (!hasKey()) return askKey("");
  drop();
  state.wanted = true;
  const bars = `ws/ohlc/${$("bars").value}`;
  $("bars-path").textContent = `/${bars}`;
  pill("waiting", "connecting");
  open(bars, onBar);
  open("ws/ticks", onTick).onopen = () => {
    state.since = performance.now();
    state.tries = 0;
    pill("live", "connected");
  };
  $("connect").disabled = true;
  $("disconnect").disabled = false;
}

function drop() {
  for (const socket of state.sockets.splice(0)) {
    socket.onclose = null;
    socket.close();
  }
  state.since = null;
}

function lost(socket, { code, reason }) {
  if (!state.wanted || !state.sockets.includes(socket)) return;
  drop();
  if (code === 1008) {
    disconnect();
    pill("lost", "refused");
    return askKey(reason);
  }
  state.tries += 1;
  state.reconnects += 1;
  const pause = Math.min(500 * 2 ** state.tries, PAUSE_MS_MAX) * (0.5 + Math.random() / 2);
  pill("lost", `lost; again in ${(pause / 1000).toFixed(1)} s`);
  setTimeout(() => state.wanted && connect(), pause);
}

function disconnect() {
  state.wanted = false;
  drop();
  pill("waiting", "not connected");
  $("connect").disabled = false;
  $("disconnect").disabled = true;
}

function clear() {
  Object.assign(state, structuredClone(EMPTY));
  show();
}

// Lists and counters together, so that neither runs ahead of the other.
function show() {
  $("tape").replaceChildren(...state.tape.map(tickRow));
  $("last-bars").replaceChildren(...barRows());
  $("no-ticks").hidden = state.tape.length > 0;
  $("no-bars").hidden = state.table.size > 0;
  put($("ticks"), count(state.ticks));
  put($("bar-count"), count(state.bars));
  put($("reconnects"), count(state.reconnects));
  showTimes();
}

function showTimes() {
  const now = performance.now();
  state.recent = state.recent.filter((at) => now - at < RATE_MS);
  const span = Math.min(RATE_MS, Math.max(now - (state.since ?? now), 1000));
  put($("rate"), (state.recent.length / (span / 1000)).toFixed(1));
  put($("age"), state.since === null ? "–" : `${Math.floor((now - state.since) / 1000)} s`);
}

$("connect").onclick = connect;
$("disconnect").onclick = disconnect;
$("clear").onclick = clear;
for (const id of ["symbol", "bars"]) $(id).onchange = () => state.wanted && connect();
setInterval(showTimes, 500);

async function listSymbols() {
  if (!hasKey()) return;
  const { symbols } = await get("symbols");
  $("symbols").replaceChildren(...symbols.slice(0, 500).map((one) => {
    return Object.assign(make("option"), { value: `${one.exchange}:${one.symbol}` });
  }));
}

function begin() {
  connect();
  listSymbols().catch(() => {}); // names to choose from are a help, the field takes any
}

startTheme();
startKey(begin);
begin();
