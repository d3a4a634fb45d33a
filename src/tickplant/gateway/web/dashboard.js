// The page at "/dashboard": what an operator asks first, from the HTTP API of this host alone.
const EVERY_MS = 5000;
const $ = (id) => document.getElementById(id);
const count = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

async function ask(path, how = "json") {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return how === "json" ? answer.json() : answer.text();
}

function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

function show(id, text, kind = "") {
  $(id).textContent = text;
  $(id).className = kind;
}

function cell(text, kind = "") {
  const node = document.createElement("td");
  node.textContent = text;
  node.className = kind;
  return node;
}

// The number of a metric without labels, null where there is none.
function metric(text, name) {
  const line = text.split("\n").find((one) => one.startsWith(`${name} `));
  return line === undefined ? null : Number(line.slice(name.length + 1));
}

async function look() {
  const [ingestion, status, metrics] = await Promise.all([
    ask("/status/ingestion"), ask("/v1/status"), ask("/metrics", "text"),
  ]);
  const alive = ingestion.ingestion_alive;
  show("alive", alive ? "alive" : "dead", alive ? "good" : "bad");
  const beat = ingestion.seconds_since_last_heartbeat;
  show("heartbeat", beat === null ? "nothing stored yet" : `stored ${span(beat)} ago`);
  show("trade", span(ingestion.seconds_since_last_trade));
  show("trades", count.format(status.store.tables.trades.rows));
  const kept = metric(metrics, "tickplant_served_bytes") ?? status.served.bytes;
  show("candles", `${(kept / 1048576).toFixed(1)} MiB`);
  show("store", ingestion.db_healthy ? "healthy" : "failing", ingestion.db_healthy ? "good" : "bad");
  show("uptime", span(ingestion.uptime_seconds));
  show("started", ingestion.process_started_at.slice(0, 19).replace("T", " ") + " UTC");
  $("feeds").replaceChildren(...status.feeds.map((feed) => {
    const row = document.createElement("tr");
    row.append(
      cell(feed.id), cell(feed.state, feed.state === "connected" ? "up" : ""),
      cell(count.format(feed.instruments), "num"), cell(count.format(feed.events_per_s), "num"),
      cell(feed.lag === null ? "–" : span(feed.lag), "num"), cell(String(feed.restarts), "num"),
      cell(feed.error ?? "", "dim"),
    );
    return row;
  }));
}

async function turn() {
  try {
    await look();
    $("connection").textContent = "live";
    $("connection").className = "pill live";
  } catch {
    $("connection").textContent = "the plant does not answer";
    $("connection").className = "pill lost";
  }
  setTimeout(turn, EVERY_MS);
}

turn();
