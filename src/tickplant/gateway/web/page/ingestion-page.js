// The page at "/dashboard": what an operator asks first, from the HTTP API of this host alone.

import { get, getText } from "./api.js";
import { $, line } from "./dom.js";
import { bytes, count, span } from "./format.js";
import { hasKey, pill, startKey, askKey } from "./session.js";
import { startTheme } from "./theme.js";

const EVERY_MS = 5000;
let timer = null;

function show(id, text, kind = "") {
  $(id).textContent = text;
  $(id).className = kind;
}

// The number of a metric without labels, null where there is none.
function metric(text, name) {
  const found = text.split("\n").find((one) => one.startsWith(`${name} `));
  return found === undefined ? null : Number(found.slice(name.length + 1));
}

async function look() {
  const [ingestion, status, metrics] = await Promise.all([
    get("status/ingestion"), get("v1/status"), getText("metrics"),
  ]);
  const alive = ingestion.ingestion_alive;
  show("alive", alive ? "alive" : "dead", alive ? "good" : "bad");
  const beat = ingestion.seconds_since_last_heartbeat;
  show("heartbeat", beat === null ? "nothing stored yet" : `stored ${span(beat)} ago`);
  show("trade", span(ingestion.seconds_since_last_trade));
  show("trades", count(status.store.tables.trades.rows));
  show("candles", bytes(metric(metrics, "tickplant_served_bytes") ?? status.served.bytes));
  show("store", ingestion.db_healthy ? "healthy" : "failing", ingestion.db_healthy ? "good" : "bad");
  show("uptime", span(ingestion.uptime_seconds));
  show("started", `${ingestion.process_started_at.slice(0, 19).replace("T", " ")} UTC`);
  $("feeds").replaceChildren(...status.feeds.map((feed) => line(
    feed.id, [feed.state, feed.state === "connected" ? "up" : ""], [count(feed.instruments), "num"],
    [count(feed.events_per_s), "num"], [span(feed.lag), "num"], [String(feed.restarts), "num"],
    [feed.error ?? "", "dim fault"],
  )));
}

async function turn() {
  clearTimeout(timer);
  if (!hasKey()) return askKey("");
  try {
    await look();
    pill("live", "live");
    document.body.classList.remove("away");
  } catch (fault) {
    document.body.classList.add("away");
    pill("lost", fault.status === 401 || fault.status === 403 ? "refused" : "the plant does not answer");
  }
  timer = setTimeout(turn, EVERY_MS);
}

startTheme();
startKey(turn);
turn();
