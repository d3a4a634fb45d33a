// The watchlist: last price, an hour of closes, age and freshness of the instruments somebody chose,
// or of the freshest ones where nobody has. Prices come live, freshness is the plant's own word.

import { get } from "./api.js";
import { barOf } from "./bars.js";
import { choice, choose, onChoice } from "./choice.js";
import { $, color, make, put, soon } from "./dom.js";
import { age, direction, learn, percent, price } from "./format.js";

const PLACE = "tickplant.watch";
const SPARK = 60, AT_ONCE = 2;
const OWN_MAX = 200, FRESHEST = 16, ALL_MAX = 2000;
const ASK_SOON_MS = 400, ASK_NONE_MS = 1000;

const DOTS = { FRESH: "new", WARN: "warn", STALE: "stale" };

const nameOf = (event) => `${event.venue}:${event.symbol}`;

export class Watchlist {
  // `told` hears {none: true or false}: whether the plant has no data at all.
  constructor(stream, now, told) {
    this.stream = stream;
    this.now = now;
    this.told = told;
    this.rows = new Map();
    this.own = readOwn();
    onChoice((changed) => changed.includes("symbol") && this.#paintChosen());
    setInterval(() => soon(this.paintAges), 1000);
    $("star").onclick = () => this.toggle(choice.symbol);
  }

  // Asked every few seconds: finds out what to show, while there is nothing or little, and asks
  // how fresh that is.
  async turn() {
    if (!this.rows.size || (!this.own && this.rows.size < FRESHEST)) await this.#grow();
    else await this.#ask();
  }

  async #grow() {
    const names = this.own ?? (await freshest());
    this.told({ none: !names.length });
    if (!names.length) this.#soon(ASK_NONE_MS, () => this.turn());
    const all = [...new Set([...this.rows.keys(), ...names])];
    if (all.length === this.rows.size) return this.#ask();
    if (!choice.symbol) choose({ symbol: all[0] }); // first, so that the chart is not kept waiting
    this.#show(all);
  }

  #show(names) {
    for (const name of [...this.rows.keys()]) if (!names.includes(name)) this.rows.delete(name);
    for (const name of names) if (!this.rows.has(name)) this.rows.set(name, rowOf(name, this));
    const ordered = names.map((name) => this.rows.get(name));
    this.rows = new Map(ordered.map((row) => [row.name, row]));
    const venues = new Set(names.map((name) => name.split(":")[0]));
    $("watch").classList.toggle("one-venue", venues.size < 2);
    $("watch").replaceChildren(...ordered.map((row) => row.cells.row));
    this.#paintChosen();
    this.#subscribe();
    this.#soon(0, () => this.#ask());
  }

  #subscribe() {
    if (!this.#known.length) return this.stream.unsubscribe("watch");
    const request = () => ({ channel: "candles", interval: "1m", symbols: this.#known });
    this.stream.subscribe("watch", request, {
      events: (bars) => bars.forEach((bar) => this.#take(bar)),
      // Again once it is taken, which after a loss brings what was missed.
      begun: () => this.hasHours && this.#loadHours(this.#known),
    });
    this.#loadHours(this.#known);
  }

  // Takes the bars of the last hour, which the plant has in memory, of a few instruments at a time.
  async #loadHours(names) {
    const waiting = names.filter((name) => this.rows.has(name));
    const unknown = [];
    const load = async (name) => {
      try {
        const page = await get(`v1/candles/${encodeURIComponent(name)}`, { interval: "1m", limit: SPARK });
        for (const bar of page.candles) this.#take({ ...bar, venue: page.venue, symbol: page.symbol });
      } catch (fault) {
        if (fault.status === 404) unknown.push(name); // else the plant is away, which the stream says
      }
    };
    const work = async () => {
      for (let name = waiting.shift(); name; name = waiting.shift()) await load(name);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    const left = unknown.filter((name) => this.rows.has(name));
    if (left.length) this.#leaveOut(left);
    this.hasHours = true;
  }

  #take(event) {
    const row = this.rows.get(nameOf(event));
    if (!row) return;
    const bar = barOf(event);
    const at = row.bars.findLastIndex((known) => known.at <= bar.at);
    const known = row.bars[at];
    if (known?.at === bar.at && (known.revision ?? 0) > (bar.revision ?? 0)) return;
    if (known?.at === bar.at) row.bars[at] = bar;
    else row.bars.splice(at + 1, 0, bar);
    row.bars.splice(0, row.bars.length - SPARK);
    if (bar !== row.bars.at(-1) || bar.close == null) return;
    this.#setLast(row, bar.close);
    if (bar.state !== "forming") return;
    row.seen = Math.max(row.seen, Math.min(this.now(), bar.until));
    const isNow = this.now() - row.seen < ASK_SOON_MS; // not what is replayed of another year
    if (isNow && row.freshness !== "FRESH") this.#soon(ASK_SOON_MS, () => this.#ask());
  }

  #setLast(row, last) {
    if (row.last != null && last !== row.last) row.move = Math.sign(last - row.last);
    row.last = last;
    learn(row.name, last);
    row.isDirty = true;
    soon(this.paint);
  }

  // Does something again in a moment, once; where the plant is away the stream says so.
  #soon(ms, act) {
    this.soonAsked ??= setTimeout(() => {
      this.soonAsked = null;
      act().catch(() => {});
    }, ms);
  }

  get #known() {
    return [...this.rows.values()].filter((row) => !row.isUnknown).map((row) => row.name);
  }

  async #ask() {
    const names = this.#known;
    if (!names.length) return;
    const { latest } = await get("v1/latest", { symbols: names.join(",") });
    for (const one of latest) this.#takeLatest(one);
    soon(this.paintAges);
  }

  #takeLatest(one) {
    const row = this.rows.get(nameOf(one));
    if (!row) return;
    row.freshness = one.freshness;
    row.seen = one.ts_event ? Date.parse(one.ts_event) : 0;
    for (const seen of [one.trade?.price, one.quote?.bid_price, one.quote?.ask_price]) learn(row.name, seen);
    const last = one.candle?.close ?? one.trade?.price;
    if (row.last == null && last != null) this.#setLast(row, last);
  }

  // A list that was made for another plant may name what this one does not know, and one such name
  // has a question about many refused.
  #leaveOut(names) {
    for (const name of names) {
      const row = this.rows.get(name);
      row.isUnknown = true;
      row.cells.row.classList.add("unknown");
      row.cells.row.title = "This plant does not know it; w takes it from the list";
    }
    this.#subscribe();
    this.#soon(0, () => this.#ask());
  }

  // Adds an instrument, or takes it away; from then on the list is the user's own.
  toggle(name) {
    if (!name) return;
    const names = [...this.rows.keys()];
    this.own = names.includes(name) ? names.filter((one) => one !== name) : [...names, name].slice(0, OWN_MAX);
    localStorage.setItem(PLACE, JSON.stringify(this.own));
    this.#show(this.own);
  }

  // Moves the choice up or down the list.
  step(by) {
    const names = [...this.rows.keys()];
    if (!names.length) return;
    const at = names.indexOf(choice.symbol);
    const to = at < 0 ? 0 : Math.min(Math.max(at + by, 0), names.length - 1);
    choose({ symbol: names[to] });
    this.rows.get(names[to]).cells.row.scrollIntoView({ block: "nearest" });
  }

  #paintChosen() {
    for (const row of this.rows.values()) {
      row.cells.row.classList.toggle("chosen", row.name === choice.symbol);
      row.cells.pick.ariaCurrent = String(row.name === choice.symbol);
    }
    const watched = this.rows.has(choice.symbol);
    $("star").ariaPressed = String(watched);
    $("star").title = watched ? "Take from the watchlist (w)" : "Add to the watchlist (w)";
  }

  paint = () => {
    for (const row of this.rows.values()) if (row.isDirty) paintRow(row);
  };

  paintAges = () => {
    for (const { cells, seen, freshness } of this.rows.values()) {
      put(cells.age, seen ? age(this.now() - seen) : "–");
      cells.age.className = `num fresh ${DOTS[freshness] ?? ""}`;
      cells.age.title = freshness ?? "";
    }
  };

  repaint() {
    for (const row of this.rows.values()) row.isDirty = true;
    soon(this.paint);
  }
}

function readOwn() {
  try {
    const kept = JSON.parse(localStorage.getItem(PLACE));
    return Array.isArray(kept) && kept.length ? kept.map(String).slice(0, OWN_MAX) : null;
  } catch {
    return null;
  }
}

// The instruments that had an event most recently, by name; of a large plant simply the first ones.
async function freshest() {
  const { instruments } = await get("v1/status");
  if (!instruments) return [];
  if (instruments > ALL_MAX) {
    const page = await get("v1/instruments", { limit: FRESHEST });
    return page.instruments.map(nameOf);
  }
  const { latest } = await get("v1/latest", { symbols: "*" });
  const at = (one) => (one.ts_event ? Date.parse(one.ts_event) : 0); // none where there is a book alone
  return latest.sort((a, b) => at(b) - at(a)).slice(0, FRESHEST).map(nameOf).sort();
}

function rowOf(name, list) {
  const [, venue, symbol] = /^([^:]*):(.*)$/.exec(name) ?? [null, "", name];
  const pick = make("button", symbol, "pick");
  pick.type = "button";
  pick.append(make("small", venue));
  pick.onclick = () => choose({ symbol: name });
  const first = make("td");
  first.append(pick);
  const spark = make("canvas");
  spark.ariaHidden = "true";
  const cells = { pick, last: make("td", "–", "num"), change: make("td", "", "num"), spark, age: make("td", "–", "num") };
  const drawn = make("td", "", "spark");
  drawn.append(spark);
  cells.row = make("tr");
  cells.row.append(first, cells.last, cells.change, drawn, cells.age);
  cells.row.onclick = (event) => event.target !== pick && choose({ symbol: name });
  return { name, list, cells, last: null, move: 0, bars: [], seen: 0, freshness: null, isDirty: false };
}

function paintRow(row) {
  row.isDirty = false;
  const { last, change, spark } = row.cells;
  put(last, price(row.name, row.last));
  if (row.move) {
    last.classList.remove("flash-up", "flash-down");
    void last.offsetWidth; // so that the same animation starts anew
    last.classList.add(row.move > 0 ? "flash-up" : "flash-down");
    row.move = 0;
  }
  const known = row.bars.filter((bar) => bar.close != null);
  if (!known.length) return;
  const since = percent(known[0].open, row.last);
  put(change, since.text);
  change.className = `num ${direction(since.up)}`;
  drawLine(spark, [known[0].open, ...known.map((bar) => bar.close)]);
}

// Draws a curve; with `zero` from zero on and filled.
export function drawLine(canvas, values, { zero = false, name = null } = {}) {
  const { clientWidth: width, clientHeight: height } = canvas, ratio = devicePixelRatio || 1;
  if (!width || values.length < 2) return;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  const low = zero ? 0 : Math.min(...values);
  const tall = Math.max(...values) - low || Math.abs(low) * 1e-6 || 1;
  pen.beginPath();
  values.forEach((value, i) => {
    pen.lineTo((i / (values.length - 1)) * (width - 2) + 1, height - 2 - ((value - low) / tall) * (height - 4));
  });
  pen.strokeStyle = color(name ?? (values.at(-1) >= values[0] ? "--up" : "--down"));
  pen.lineWidth = 1.3;
  pen.lineJoin = "round";
  pen.stroke();
}
