// The feeds, each with its state, rate and lag, and the gap ledger of the last days.

import { get } from "./api.js";
import { choice } from "./choice.js";
import { $, line, make } from "./dom.js";
import { age, count, short, span } from "./format.js";
import { drawLine } from "./watchlist.js";
import { onClock } from "./zone.js";

const RATES = 60, GAPS_SHOWN = 12, GAPS_MAX = 1000, DAY_MS = 86400000;
const GOOD = { connected: "good", finished: "dim", stopped: "dim", starting: "dim", waiting: "bad" };
const rates = new Map();

export function paintFeeds(feeds, now) {
  $("no-feeds").hidden = feeds.length > 0;
  $("feeds-table").hidden = !feeds.length;
  $("feeds").replaceChildren(...feeds.map((feed) => feedRow(feed, now)));
  for (const feed of feeds) drawLine($(`rate-${feed.id}`), rates.get(feed.id), { zero: true, name: "--accent" });
}

function feedRow(feed, now) {
  const known = rates.get(feed.id) ?? [];
  rates.set(feed.id, [...known, feed.events_per_s].slice(-RATES));
  const name = make("td", feed.id);
  name.append(make("small", [feed.venue, feed.kind].join(" · ")));
  const curve = make("canvas");
  curve.id = `rate-${feed.id}`;
  curve.ariaHidden = "true";
  const rate = make("td", count(feed.events_per_s), "num");
  const spark = make("td", "", "spark");
  spark.append(curve);
  const since = feed.covered_since ? `covered since ${feed.covered_since}` : "";
  const row = line(
    name, [feed.state, `state-word ${GOOD[feed.state] ?? "bad"}`], [count(feed.instruments), "num"], rate, spark,
    [feed.lag == null ? "–" : span(feed.lag), "num"],
    [feed.last_event ? age(now - Date.parse(feed.last_event)) : "–", "num"],
    [connections(feed), "num"], [count(feed.gaps_open), `num ${feed.gaps_open ? "warn" : ""}`],
    [feed.error ?? "", "dim fault"],
  );
  row.title = [`${count(feed.events)} events`, since, feed.restarts ? `${feed.restarts} restarts` : ""].filter(Boolean).join(", ");
  return row;
}

function connections({ connections: lines }) {
  if (!lines) return "–";
  return `${lines.filter((one) => one.state === "live").length} of ${lines.length}`;
}

export async function loadGaps(now) {
  const days = Number($("gap-days").value);
  const page = await get("v1/gaps", { start: new Date(now - days * DAY_MS).toISOString(), limit: GAPS_MAX });
  const gaps = page.gaps.toSorted((a, b) => (b.end === null) - (a.end === null) || b.id - a.id);
  const open = gaps.filter((gap) => gap.status === "open" || gap.status === "repairing").length;
  const all = `${short(gaps.length)}${page.next_page_token ? " and more" : ""}`;
  const shown = gaps.length > GAPS_SHOWN ? `${all}, the newest ${GAPS_SHOWN}` : all;
  $("gaps-count").textContent = gaps.length ? `${shown}${open ? ` · ${open} open` : ""}` : "none";
  $("gaps-table").hidden = !gaps.length;
  $("no-gaps").hidden = gaps.length > 0;
  $("gaps").replaceChildren(...gaps.slice(0, GAPS_SHOWN).map((gap) => gapRow(gap, now)));
}

function gapRow(gap, now) {
  const length = gap.end ? span(gap.duration_s) : `${span((now - Date.parse(gap.start)) / 1000)}, lasts`;
  const good = gap.status === "repaired" ? "good" : gap.status === "repairing" ? "" : "warn";
  const row = line(
    [onClock(Date.parse(gap.start), choice.timezone).slice(0, 19).replace("T", " "), "dim"], [length, "num"], gap.feed,
    [gap.symbol ?? "all", gap.symbol ? "" : "dim"], gap.cause, [gap.status, `state-word ${good}`],
    [gap.events == null ? "" : count(gap.events), "num"], [gap.detail ?? "", "dim fault"],
  );
  return row;
}
