// The page at "/ws-test": watch the sockets for ticks and bars, and how they come back by themselves.
const ROWS = 60, PAUSE_MS_MAX = 10000;
const $ = (id) => document.getElementById(id);
const state = { wanted: false, sockets: [], since: null, tries: 0, ticks: 0, bars: 0, reconnects: 0, recent: [], rows: new Map() };

function say(text, kind) {
  $("connection").textContent = text;
  $("connection").className = `pill ${kind}`;
}

function cell(text, kind = "") {
  const node = document.createElement("td");
  node.textContent = text;
  node.className = kind;
  return node;
}

function row(...cells) {
  const node = document.createElement("tr");
  node.append(...cells);
  return node;
}

const clock = (time) => time.slice(11, 23).replace("Z", "");

function onTick(tick) {
  if (tick.type === "error") return say(tick.message, "lost");
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
  const base = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`;
  const socket = new WebSocket(`${base}${path}${symbol ? `?symbol=${encodeURIComponent(symbol)}` : ""}`);
  socket.onmessage = (event) => hear(JSON.parse(event.data));
  socket.onclose = () => lost(socket);
  state.sockets.push(socket);
  return socket;
}

function connect() {
  drop();
  state.wanted = true;
  const bars = `/ws/ohlc/${$("bars").value}`;
  $("bars-path").textContent = bars;
  say("connecting", "waiting");
  open(bars, onBar);
  open("/ws/ticks", onTick).onopen = () => {
    state.since = performance.now();
    state.tries = 0;
    say("connected", "live");
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

function lost(socket) {
  if (!state.wanted || !state.sockets.includes(socket)) return;
  drop();
  state.tries += 1;
  state.reconnects += 1;
  const pause = Math.min(500 * 2 ** state.tries, PAUSE_MS_MAX) * (0.5 + Math.random() / 2);
  say(`lost; again in ${(pause / 1000).toFixed(1)} s`, "lost");
  setTimeout(() => state.wanted && connect(), pause);
}

function disconnect() {
  state.wanted = false;
  drop();
  say("not connected", "waiting");
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
fetch("/symbols").then((answer) => answer.json()).then(({ symbols }) => {
  $("symbols").replaceChildren(...symbols.slice(0, 500).map((one) => {
    const node = document.createElement("option");
    node.value = `${one.exchange}:${one.symbol}`;
    return node;
  }));
});
connect();
