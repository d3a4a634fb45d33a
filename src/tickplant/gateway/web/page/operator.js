// What an operator asks first, from HTTP routes alone: does it take rows, does it keep them, is
// there room, since when does it run?

import { get } from "./api.js";
import { $, kind, line, put } from "./dom.js";
import { bytes, count, short, span } from "./format.js";
import { drawLine } from "./watchlist.js";

const RATES = 90, RECENT = 3;
const rates = [];
let before = null;

// Returns the status, so that who needs it too does not ask again.
export async function loadStatus() {
  const status = await get("v1/status");
  paintRate(status);
  put($("seq"), count(status.seq_last));
  put($("instruments"), count(status.instruments));
  put($("uptime"), span(status.uptime_s));
  $("uptime").title = `since ${status.started_at.slice(0, 19).replace("T", " ")} UTC, run ${status.run}`;
  put($("version"), status.version);
  say("plant-state", status.ready, status.ready ? status.state : `${status.state}: ${status.reason}`);
  paintLog(status.log);
  paintStore(status.store);
  put($("waiting"), count(status.rows_waiting));
  put($("served"), `${bytes(status.served.bytes)} of ${bytes(status.served.bytes_max)}`);
  put($("listeners"), count(status.stream.listeners));
  return status;
}

function paintRate(status) {
  const at = performance.now();
  if (before && before.run === status.run) {
    if (at <= before.at) return; // two answers in one tick of the browser's clock make no rate
    rates.push(Math.max(((status.seq_last - before.seq) / (at - before.at)) * 1000, 0));
    rates.splice(0, rates.length - RATES);
    const recent = rates.slice(-RECENT);
    put($("rate"), count(recent.reduce((a, b) => a + b, 0) / recent.length));
    drawLine($("rates"), rates, { zero: true, name: "--accent" });
  }
  before = { at, seq: status.seq_last, run: status.run };
}

function paintLog(log) {
  say("log", log.state === "ok", log.state === "ok" ? "ok" : `${log.state}: ${log.reason}`);
  put($("log-detail"), `${bytes(log.bytes)} in ${count(log.segments)} ${log.segments === 1 ? "segment" : "segments"}`);
  put($("fsync"), span(log.fsync_s_max));
  put($("behind"), count(log.seq_appended - log.seq_durable));
  const damaged = log.damage.length;
  if (damaged) say("log", false, `${count(damaged)} damaged`);
}

function paintStore(store) {
  const fault = store.last_error ?? (store.damage.length ? `${count(store.damage.length)} damaged` : null);
  say("store", !fault, fault ?? "ok");
  const tables = Object.entries(store.tables);
  const archived = tables.reduce((sum, [, table]) => sum + table.bytes, 0);
  put($("store-detail"), `${bytes(store.bytes_in_memory)} in memory, ${bytes(archived)} archived`);
  put($("refused"), short(store.tables.quarantine?.rows ?? 0));
  $("refused").className = store.tables.quarantine?.rows ? "warn" : "";
  $("tables").replaceChildren(...tables.filter(([, table]) => table.rows).map(([name, table]) => line(
    name, [count(table.rows), "num"], [short(table.rows_in_memory), "num dim"], [count(table.files), "num dim"],
    [bytes(table.bytes), "num dim"],
  )));
}

export async function loadIngestion() {
  const [ingestion, health] = await Promise.all([get("status/ingestion"), getHealth()]);
  const stored = ingestion.seconds_since_last_heartbeat;
  if (stored == null) put($("alive"), "nothing yet");
  else say("alive", ingestion.ingestion_alive, ingestion.ingestion_status);
  put($("heartbeat"), stored == null ? "nothing stored yet" : `stored ${span(stored)} ago`);
  put($("trade-age"), ingestion.seconds_since_last_trade == null ? "–" : span(ingestion.seconds_since_last_trade));
  const failing = Object.entries(health.checks).filter(([, probe]) => !probe.ok);
  say("health", !failing.length, failing.length ? failing.map(([name, probe]) => `${name}: ${probe.detail}`).join("; ") : "ok");
  const disk = health.checks.disk?.detail ?? "–";
  put($("disk"), disk.replace(/(\d+) MiB/g, (_, n) => bytes(n * 2 ** 20)));
}

// A failing plant answers 503 with the same body.
async function getHealth() {
  const answer = await fetch(new URL("health", document.baseURI), { cache: "no-store" });
  return answer.json();
}

function say(id, good, text) {
  put($(id), text);
  kind($(id), `state-word ${good ? "good" : "bad"}`);
}
