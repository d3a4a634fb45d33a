// The page of sockets: watch the sockets for ticks and bars, and how they come back by themselves.

import { get, socketAddress } from "./api.js";
import { $, line as row, make } from "./dom.js";
import { protocols } from "./key.js";
import { askKey, hasKey, pill, startKey } from "./session.js";
import { startTheme } from "./theme.js";

const ROWS = 60, PAUSE_MS_MAX = 10000;
const state = { wanted: false, sockets: [], since: null, tries: 0, ticks: 0, bars: 0, reconnects: 0, recent: [], rows: new Map() };

const cell = (text, kind = "") => make("td", text, kind);

const clock = (time) => time.slice(11, 23).replace("Z", "");

function onTick(tick) {
  if (tick.type === "error") return pill("lost", tick.message);
  state.ticks += 1;
  state.recent.push(performance.now());
  $("tape").prepend(row(cell(clock(tick.time)), cell(tick.symbol), cell(tick.price, "num"), cell(tick.size ?? "–", "num")));
  while ($("tape").rows.length > ROWS) $("tape").deleteRow(-1);
}

function onBar(bar) {
  if (bar.type === "error") return;
  state.bars += 1;
  const name = `${bar.symbol} ${bar.bucket}`;
  const line = row(
    cell(bar.bucket.replace("T", " ").replace(":00Z", "")), cell(bar.symbol),
    ...["open", "high", "low", "close"].map((key) => cell(bar[key] ?? "–", "num")), cell(bar.tick_count, "num"),
  );
  state.rows.get(name)?.remove();
  state.rows.delete(name);
  state.rows.set(name, line);
  $("last-bars").prepend(line);
  if (state.rows.size > ROWS) {
    const [oldest, node] = state.rows.entries().next().value;
    node.remove();
    state.rows.delete(oldest);
  }
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
  $("tape").replaceChildren();
  $("last-bars").replaceChildren();
  state.rows.clear();
  Object.assign(state, { ticks: 0, bars: 0, reconnects: 0, recent: [] });
}

function show() {
  const now = performance.now();
  state.recent = state.recent.filter((at) => now - at < 5000);
  $("ticks").textContent = state.ticks;
  $("rate").textContent = (state.recent.length / 5).toFixed(1);
  $("bar-count").textContent = state.bars;
  $("reconnects").textContent = state.reconnects;
  $("age").textContent = state.since === null ? "–" : `${Math.floor((now - state.since) / 1000)} s`;
}

$("connect").onclick = connect;
$("disconnect").onclick = disconnect;
$("clear").onclick = clear;
for (const id of ["symbol", "bars"]) $(id).onchange = () => state.wanted && connect();
setInterval(show, 250);

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
