// The page at "/": everything on it comes from WS /v1/stream and the HTTP API of this host.
import { decimals, drawCandles, drawLine } from "/web/chart.js";
import { loadGaps } from "/web/gaps.js";

const BARS = 90, SPARK = 60, TAPE = 40, SHOWN_MAX = 200, SPARKS_MAX = 60;
const $ = (id) => document.getElementById(id);
const state = {
  rows: new Map(),      // "VENUE:SYMBOL" -> {name, symbol, venue, last, ts, closes, cells}
  chosen: null, interval: null, bars: [], tape: [], quote: null, pointer: null,
  seq: null, seqAt: 0, rates: [], clock: 0, socket: null, tries: 0, dirty: new Set(),
};
const now = () => Date.now() + state.clock;
const key = (event) => `${event.venue}:${event.symbol}`;
const count = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });

async function get(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function quietly(act) {
  try {
    await act();
  } catch {
    // The stream's own state shows that the plant is away; the next turn tries again.
  }
}

function make(tag, text = "", kind = "") {
  const node = document.createElement(tag);
  node.textContent = text;
  if (kind) node.className = kind;
  return node;
}

// -- instruments --------------------------------------------------------------------------------

function rowOf(event) {
  const name = key(event);
  let row = state.rows.get(name);
  if (row || state.rows.size >= SHOWN_MAX) return row;
  const line = document.createElement("tr");
  line.tabIndex = 0;
  const symbol = make("td", event.symbol);
  symbol.append(make("small", event.venue));
  const cells = {
    line, last: make("td", "–", "num"), change: make("td", "", "num"), age: make("td", "", "num dim"),
    spark: make("canvas"),
  };
  const spark = make("td", "", "spark");
  spark.append(cells.spark);
  line.append(symbol, cells.last, cells.change, spark, cells.age);
  line.onclick = () => choose(name);
  line.onkeydown = (press) => press.key === "Enter" && choose(name);
  row = { name, symbol: event.symbol, venue: event.venue, last: null, ts: 0, closes: [], cells };
  const after = [...state.rows.values()].filter((other) => other.name > name);
  after.sort((a, b) => (a.name < b.name ? -1 : 1));
  $("table").insertBefore(line, after[0]?.cells.line ?? null);
  state.rows.set(name, row);
  return row;
}

function setLast(row, price, ts) {
  if (price == null) return;
  const was = row.last;
  row.last = price;
  row.ts = Math.max(row.ts, ts);
  if (was != null && was !== price) row.move = price > was ? "flash-up" : "flash-down";
  state.dirty.add(row);
}

function paintRow(row) {
  const { last, change, spark } = row.cells;
  last.textContent = row.last.toFixed(decimals(row.last));
  if (row.move) {
    last.classList.remove("flash-up", "flash-down");
    void last.offsetWidth; // so that the same animation starts anew
    last.classList.add(row.move);
    row.move = null;
  }
  const bars = row.closes.filter((bar) => bar.close != null);
  if (!bars.length) return;
  paintChange(change, bars[0].open, row.last);
  drawLine(spark, [bars[0].open, ...bars.map((bar) => bar.close)]);
}

function paintChange(node, first, last) {
  if (!first || last == null) return;
  const percent = Math.round((last / first - 1) * 1e4) / 100;
  node.textContent = `${percent > 0 ? "+" : percent < 0 ? "−" : ""}${Math.abs(percent).toFixed(2)} %`;
  node.classList.toggle("up", percent > 0);
  node.classList.toggle("down", percent < 0);
}

function putBar(list, bar, most) {
  let at = list.length;
  while (at > 0 && list[at - 1].start > bar.start) at -= 1;
  if (at > 0 && list[at - 1].start === bar.start) list[at - 1] = bar;
  else list.splice(at, 0, bar);
  if (list.length > most) list.splice(0, list.length - most);
}

const barOf = (event) => ({ ...event, start: Date.parse(event.start) });

function ageText(ms) {
  const s = Math.max(ms, 0) / 1000;
  if (s < 1) return "now";
  if (s < 90) return `${Math.floor(s)} s`;
  if (s < 5400) return `${Math.floor(s / 60)} min`;
  return s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
}

async function loadMarket() {
  const { latest } = await get("/v1/latest?symbols=*");
  $("empty").hidden = latest.some((one) => one.ts_event);
  $("market").hidden = !latest.length;
  for (const one of latest) {
    const row = rowOf(one);
    if (!row) break;
    const price = one.candle?.close ?? one.trade?.price;
    if (one.ts_event) setLast(row, price, Date.parse(one.ts_event));
  }
  if (!state.chosen && latest.length) {
    const first = latest.find((one) => one.ts_event) || latest[0];
    choose(key(first));
  }
  const waiting = [...state.rows.values()].slice(0, SPARKS_MAX).filter((row) => !row.loaded);
  await Promise.all([0, 1, 2].map(async () => {
    for (let row = waiting.shift(); row; row = waiting.shift()) await loadSpark(row);
  }));
}

async function loadSpark(row) {
  row.loaded = true;
  const path = `/v1/candles/${encodeURIComponent(row.name)}?interval=1m&limit=${SPARK}`;
  const { candles } = await get(path);
  const live = row.closes;
  row.closes = candles.map(barOf);
  for (const bar of live) putBar(row.closes, bar, SPARK); // what came meanwhile is newer
  if (row.last != null) state.dirty.add(row);
}

// -- the selected instrument --------------------------------------------------------------------

const choose = (name) => quietly(() => show(name));

async function show(name) {
  const path = encodeURIComponent(name);
  state.rows.get(state.chosen)?.cells.line.classList.remove("chosen");
  state.chosen = name;
  Object.assign(state, { bars: [], tape: [], quote: null });
  const row = state.rows.get(name);
  row.cells.line.classList.add("chosen");
  $("name").textContent = row.symbol;
  for (const id of ["change", "book", "bar"]) $(id).textContent = "";
  $("tape").replaceChildren();
  watchChosen();
  const trades = await get(`/v1/trades/${path}?order=desc&limit=${TAPE}`);
  if (state.chosen !== name) return;
  for (const trade of trades.trades.reverse()) addTrade(trade);
  // A plant that has only just begun shows more in seconds than in minutes.
  if ((await loadBars(state.interval ?? "1m")) < 5 && !state.interval) await loadBars("1s");
}

async function loadBars(interval) {
  const name = state.chosen;
  for (const button of $("intervals").children) {
    button.ariaPressed = String(button.textContent === interval);
  }
  say({ op: "unsubscribe", id: "chart" });
  say({ op: "subscribe", id: "chart", channel: "candles", interval, symbols: [name] });
  state.shown = interval;
  state.bars = [];
  const path = `/v1/candles/${encodeURIComponent(name)}?interval=${interval}&limit=${BARS}`;
  const { candles } = await get(path);
  if (state.chosen !== name || state.shown !== interval) return BARS;
  for (const bar of candles.map(barOf)) putBar(state.bars, bar, BARS);
  return candles.length;
}

function addTrade(trade) {
  if (state.tape.some((known) => known.seq === trade.seq)) return;
  state.tape.unshift(trade);
  state.tape.sort((a, b) => b.seq - a.seq);
  state.tape.length = Math.min(state.tape.length, TAPE);
  state.tapeDirty = true;
}

function paintChosen() {
  const row = state.rows.get(state.chosen);
  if (!row) return;
  if (row.last != null) $("price").textContent = row.last.toFixed(decimals(row.last));
  paintChange($("change"), state.bars[0]?.open, row.last);
  const bar = drawCandles($("chart"), state.bars, state.pointer);
  if (bar) {
    const places = decimals(bar.close);
    const values = [["O", bar.open], ["H", bar.high], ["L", bar.low], ["C", bar.close]];
    const shown = values.map(([label, price]) => `${label} ${price.toFixed(places)}`).join("  ");
    const volume = bar.volume == null ? "" : `  V ${short.format(bar.volume)}`;
    const covered = bar.coverage < 1 ? `, ${Math.floor(bar.coverage * 100)} % covered` : "";
    const usual = bar.state === "complete" && !covered;
    const shownState = usual ? "" : `  ${bar.state}${covered}`;
    $("bar").textContent =
      `${new Date(bar.start).toISOString().slice(0, 19).replace("T", " ")}Z  ${shown}${volume}` +
      `  ${count.format(bar.count)} ${bar.count === 1 ? "event" : "events"}${shownState}`;
  }
  if (state.quote) {
    const { bid_price: bid, ask_price: ask } = state.quote;
    const side = (price) => (price == null ? "–" : price.toFixed(decimals(price)));
    $("book").textContent = `bid ${side(bid)}   ask ${side(ask)}`;
  }
  if (state.tapeDirty) paintTape();
}

function paintTape() {
  state.tapeDirty = false;
  $("tape").replaceChildren(...state.tape.map((trade) => {
    const line = document.createElement("tr");
    const side = trade.side === "buy" ? "up" : trade.side === "sell" ? "down" : "";
    line.append(
      make("td", trade.ts_event.slice(11, 23).replace("Z", ""), "dim"),
      make("td", trade.price.toFixed(decimals(trade.price)), `num ${side}`),
      make("td", trade.size == null ? "–" : short.format(trade.size), "num"),
      make("td", count.format(trade.seq), "num dim"),
    );
    return line;
  }));
}

// -- the stream ---------------------------------------------------------------------------------

function say(message) {
  if (state.socket?.readyState === WebSocket.OPEN) state.socket.send(JSON.stringify(message));
}

function watchChosen() {
  for (const channel of ["trades", "quotes"]) {
    if (state.watched) say({ op: "unsubscribe", id: `${channel} ${state.watched}` });
    say({ op: "subscribe", id: `${channel} ${state.chosen}`, channel, symbols: [state.chosen] });
  }
  state.watched = state.chosen;
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/v1/stream`);
  state.socket = socket;
  let heard = Date.now();
  const guard = setInterval(() => Date.now() - heard > 15000 && socket.close(), 3000);
  socket.onopen = async () => {
    state.tries = 0;
    state.watched = null;
    pill("live", "live");
    say({ op: "subscribe", id: "bars", channel: "candles", interval: "1m", symbols: ["*"] });
    for (const row of state.rows.values()) row.loaded = false; // bars of the time without a stream
    await quietly(loadMarket);
    if (state.chosen && !state.watched) await choose(state.chosen);
  };
  socket.onmessage = (frame) => {
    heard = Date.now();
    take(JSON.parse(frame.data));
  };
  socket.onclose = () => {
    clearInterval(guard);
    const pause = Math.min(500 * 2 ** state.tries, 10000) * (0.5 + Math.random() / 2);
    state.tries += 1;
    pill("lost", "reconnecting");
    setTimeout(connect, pause);
  };
}

function take(message) {
  if (message.op !== "data") return;
  for (const event of message.events) {
    if (message.id === "chart") takeChartBar(event);
    else if (message.channel === "candles") takeBar(event);
    else if (key(event) !== state.chosen) continue;
    else if (message.channel === "quotes") state.quote = event;
    else addTrade(event);
  }
}

function takeBar(event) {
  $("empty").hidden = true;
  $("market").hidden = false;
  const bar = barOf(event);
  const row = rowOf(event);
  if (!row) return;
  putBar(row.closes, bar, SPARK);
  if (bar.start >= (row.closes.at(-1)?.start ?? 0)) setLast(row, bar.close, now());
  if (!state.chosen) choose(row.name);
}

function takeChartBar(event) {
  if (key(event) !== state.chosen || event.interval !== state.shown) return;
  putBar(state.bars, barOf(event), BARS);
}

function pill(kind, text) {
  $("connection").className = `pill ${kind}`;
  $("connection").textContent = text;
}

// -- the plant's own state ----------------------------------------------------------------------

async function loadStatus() {
  const status = await get("/v1/status");
  const at = performance.now();
  state.clock = Date.parse(status.now) - Date.now();
  if (state.seq != null) {
    const rate = Math.max(((status.seq_last - state.seq) / (at - state.seqAt)) * 1000, 0);
    state.rates.push(rate);
    if (state.rates.length > 60) state.rates.shift();
    const recent = state.rates.slice(-3);
    $("rate").textContent = count.format(recent.reduce((a, b) => a + b, 0) / recent.length);
    drawLine($("rates"), state.rates, { fill: true, zero: true, color: accent() });
  }
  [state.seq, state.seqAt] = [status.seq_last, at];
  $("version").textContent = status.version;
  $("seq").textContent = count.format(status.seq_last);
  $("instruments").textContent = count.format(status.instruments);
  const tables = status.store.tables;
  const rows = (tables.trades?.rows ?? 0) + (tables.quotes?.rows ?? 0);
  $("rows").textContent = rows > 1e7 ? short.format(rows) : count.format(rows);
  paintState("log", status.log.state === "ok", status.log.reason ?? `${bytes(status.log.bytes)} journal`);
  const refused = tables.quarantine?.rows ?? 0;
  const detail = `${bytes(status.store.bytes_in_memory)} in memory` +
    (refused ? `, ${count.format(refused)} refused` : "");
  paintState("store", !status.store.last_error, status.store.last_error ?? detail);
  $("feeds").replaceChildren(...status.feeds.map(feedCard));
  if (!status.feeds.length) $("feeds").append(make("span", "No feed runs; rows may be pushed over HTTP.", "dim"));
}

function paintState(id, good, detail) {
  $(id).textContent = good ? "ok" : "failing";
  $(id).className = good ? "good" : "bad";
  $(`${id}-detail`).textContent = detail;
}

function feedCard(feed) {
  const card = make("div", "", "feed");
  const head = make("b", feed.id);
  head.append(make("i", feed.state, feed.error ? "down" : feed.state === "connected" ? "up" : "dim"));
  const said = [
    `${short.format(feed.events)} events, ${count.format(feed.events_per_s)} a second`,
    `${feed.kind} · ${feed.venue} · ${count.format(feed.instruments)} instruments`,
  ];
  if (feed.covered_since) said.push(`covered since ${feed.covered_since.slice(0, 19).replace("T", " ")}Z`);
  if (feed.gaps_open) said.push(`${count.format(feed.gaps_open)} ${feed.gaps_open === 1 ? "gap" : "gaps"} open`);
  if (feed.error) said.push(feed.error);
  card.append(head, ...said.map((text) => make("span", text)));
  return card;
}

const accent = () => getComputedStyle(document.documentElement).getPropertyValue("--accent").trim();
const bytes = (n) => (n >= 1 << 20 ? `${(n / (1 << 20)).toFixed(1)} MiB` : `${Math.round(n / 1024)} KiB`);

// -- go -----------------------------------------------------------------------------------------

function paint() {
  for (const row of state.dirty) paintRow(row);
  state.dirty.clear();
  paintChosen();
}

function every(ms, act) {
  const turn = async () => {
    await quietly(act);
    setTimeout(turn, ms);
  };
  turn();
}

$("curl").textContent =
  `curl -H 'Content-Type: application/json' ${location.origin}/v1/trades \\\n` +
  `  -d '{"symbol": "EURUSD", "price": 1.3928, "size": 100}'`;
$("filter").oninput = (event) => {
  const part = event.target.value.trim().toUpperCase();
  for (const row of state.rows.values()) row.cells.line.hidden = !row.name.toUpperCase().includes(part);
};
for (const button of $("intervals").children) {
  button.onclick = () => quietly(() => loadBars((state.interval = button.textContent)));
}
$("chart").onpointermove = (event) => { state.pointer = { x: event.offsetX, y: event.offsetY }; };
$("chart").onpointerleave = () => { state.pointer = null; };
setInterval(() => {
  for (const row of state.rows.values()) {
    if (row.ts) row.cells.age.textContent = ageText(now() - row.ts);
  }
}, 1000);
setInterval(() => document.hidden || requestAnimationFrame(paint), 150);
every(1000, loadStatus);
every(30000, loadMarket);
every(5000, () => loadGaps(get, now()));
connect();
