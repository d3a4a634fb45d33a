// The page at "/": everything on it comes from WS /v1/stream and the HTTP API of this host.
//
//   choice ──► market · chart · ladder · tape      what is chosen, each with its subscriptions
//   stream ──► watchlist · session                 what is watched, and whether it is connected
//   status ──► operator · feeds                    asked for every two seconds

import { Chart } from "./chart.js";
import { choice, onChoice, choose, restore } from "./choice.js";
import { INTERVALS, sayFault, startControls } from "./controls.js";
import { $, every, put, soon } from "./dom.js";
import * as engine from "./engine.js";
import { loadGaps, paintFeeds } from "./feeds.js";
import { startKeyboard, toggleHelp } from "./keyboard.js";
import { Ladder } from "./ladder.js";
import { Market } from "./market.js";
import { loadIngestion, loadStatus } from "./operator.js";
import { Search } from "./search.js";
import { askKey, hasKey, mayAsk, showConnection, startKey } from "./session.js";
import { Stream } from "./stream.js";
import { Tape } from "./tape.js";
import { onTheme, startTheme, toggleTheme } from "./theme.js";
import { Watchlist } from "./watchlist.js";
import { onClock } from "./zone.js";

const DAY_MS = 5000, WATCH_MS = 5000, STATUS_MS = 2000, INGESTION_MS = 5000, GAPS_MS = 15000, GAPS_SOON_MS = 300;
const BARS = ["interval", "timezone", "day_start", "basis", "fill"];
let clock = 0; // how far the plant's clock is ahead of this machine's, ms
let gapsSoon = null;

const now = () => Date.now() + clock;
restore();
const stream = new Stream((told) => {
  const wasIn = mayAsk();
  showConnection(told);
  if (mayAsk() && !wasIn) begin();
});
const ladder = new Ladder(stream, (book) => market.takeBook(book));
const market = new Market(stream, (quote) => ladder.takeQuote(quote));
const tape = new Tape(stream);
const chart = new Chart(stream, now, {
  fault: sayFault,
  last: (close) => market.takeLast(close),
});
const watchlist = new Watchlist(stream, now, ({ none }) => {
  $("empty").hidden = !none;
  $("market").hidden = none;
});
new Search();

// -- what is chosen -----------------------------------------------------------------------------

function show(changed) {
  if (!choice.symbol || !mayAsk()) return;
  if (changed.includes("symbol")) for (const part of [ladder, tape]) part.load();
  if (changed.some((name) => name === "symbol" || (BARS.slice(1, 4).includes(name)))) market.load();
  if (changed.some((name) => name === "symbol" || BARS.includes(name))) chart.load();
  if (changed.includes("timezone")) soon(tape.paint);
}

onChoice(show);
onTheme(() => {
  chart.repaint();
  watchlist.repaint();
});

// -- the plant's own state ----------------------------------------------------------------------

async function quietly(act) {
  if (!mayAsk()) return;
  try {
    await act();
  } catch {
    // The stream's own state shows that the plant is away; the next turn tries again.
  }
}

const status = () => quietly(async () => {
  const found = await loadStatus();
  clock = Date.parse(found.now) - Date.now();
  paintFeeds(found.feeds, now());
});
const gaps = () => quietly(() => loadGaps(now()));

function hearNotice(message) {
  if (message.op === "feed") return status();
  gapsSoon ??= setTimeout(() => {
    gapsSoon = null;
    gaps();
  }, GAPS_SOON_MS);
}

// -- go -----------------------------------------------------------------------------------------

const ingestion = () => quietly(loadIngestion);
const watch = () => quietly(() => watchlist.turn());

function connect() {
  if (hasKey()) stream.open();
  else askKey("");
}

function begin() {
  show(["symbol"]);
  for (const act of [watch, ingestion]) act();
  status().then(gaps); // which asks by the plant's clock
}

startTheme();
startControls();
startKey(connect);
startKeyboard([
  { keys: ["/"], label: "search for an instrument", act: () => $("search").focus() },
  { keys: ["ArrowDown", "ArrowUp", "j", "k"], shown: ["↓", "↑"], label: "next or previous of the watchlist",
    act: (key) => watchlist.step(key === "ArrowDown" || key === "j" ? 1 : -1) },
  { keys: ["ArrowLeft", "ArrowRight"], shown: ["←", "→"], label: "move the chart to older or newer bars",
    act: (key) => chart.engine.pan(key === "ArrowLeft" ? -1 : 1) },
  { keys: ["+", "-"], label: "wider or narrower bars", act: (key) => chart.engine.zoom(key === "+" ? 1.25 : 0.8) },
  { keys: ["End"], label: "to the newest bar", act: () => chart.engine.toNewest() },
  { keys: INTERVALS.map((_, i) => String(i + 1)), shown: ["1", "…", "8"], label: `interval: ${INTERVALS.join(", ")}`,
    act: (key) => choose({ interval: INTERVALS[Number(key) - 1] }) },
  { keys: ["i"], label: "any other interval", act: () => $("interval").focus() },
  { keys: ["w"], label: "add to the watchlist, or take away", act: () => watchlist.toggle(choice.symbol) },
  { keys: ["p"], label: "stop the tape, or let it go on", act: () => tape.pause() },
  { keys: ["t"], label: "dark or light", act: toggleTheme },
  { keys: ["?"], label: "this list", act: toggleHelp },
  { keys: ["Escape"], shown: ["Esc"], label: "leave a field or a dialog", act: () => $("help").close() },
]);
$("help-button").onclick = toggleHelp;
$("again").onclick = () => stream.open();
$("gap-days").onchange = gaps;
put($("curl"), `curl -H 'Content-Type: application/json' ${new URL("v1/trades", document.baseURI)} \\\n` +
  `  -d '{"symbol": "EURUSD", "price": 1.3928, "size": 100}'`);
$("plain").hidden = engine.NAME !== "plain";
$("notice").hidden = engine.NAME !== "library";
stream.subscribe("status", () => ({ channel: "status" }), { notice: hearNotice });
setInterval(() => {
  put($("clock"), `${onClock(now(), choice.timezone).slice(11, 19)} ${choice.timezone}`);
  $("skipped").hidden = !stream.skipped;
  put($("skipped"), `${stream.skipped} updates skipped`);
}, 1000);
connect();
show(["symbol"]);
every(WATCH_MS, watch);
every(DAY_MS, () => quietly(() => market.refresh()));
every(STATUS_MS, status);
every(INGESTION_MS, ingestion);
status().then(() => every(GAPS_MS, gaps));
