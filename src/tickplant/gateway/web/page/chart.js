// The chart: bars from history, the same bars live, older ones as the window moves to the left.

import { Refused, get } from "./api.js";
import { Bars, barOf, hasPrice } from "./bars.js";
import { choice, choose, isChosen } from "./choice.js";
import { $, make, put, settled, soon } from "./dom.js";
import * as engineRoom from "./engine.js";
import { count, direction, learn, percent, placesOf, price, size } from "./format.js";
import { onClock } from "./zone.js";

const FIRST = 500, OLDER = 1000, BARS_MAX = 50000, FEW = 5;
const OLDER_AT = 40; // bars left of the window at which older ones are asked for
const TAIL_MS_MIN = 1000, QUIET_CHECK_MS = 10000;
const UNITS = { s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5, mo: 2592e6 };
const STATES = ["forming", "complete", "quiet", "partial", "gap"];
const TELLS = {
  forming: "not over yet", complete: "everything is known", quiet: "nothing happened, and that is known",
  partial: "a part was missed", gap: "nobody knows what happened",
};

export function lengthMs(interval) {
  const found = /^(\d+)(mo|[smhdw])$/.exec(interval);
  return found ? Number(found[1]) * UNITS[found[2]] : null;
}

export class Chart {
  // `now` gives the plant's time in ms; `told` has fault(text) for bars that were refused, or not
  // any more, and last(close) for the newest price.
  constructor(stream, now, told) {
    this.stream = stream;
    this.now = now;
    this.told = told;
    this.bars = new Bars();
    this.turn = 0;
    this.hovered = null;
    this.isLoaded = this.isLoading = false;
    // Takes the newest bars again: what was missed while the stream was away, and quiet ones.
    this.reloadTail = settled(TAIL_MS_MIN, () => this.#reloadTail());
    this.resetSoon = () => this.engine.reset(this.bars.list);
    this.moved = () => this.#moved();
    this.engine = engineRoom.makeEngine($("chart"), {
      moved: this.moved,
      hover: (bar) => {
        this.hovered = bar;
        soon(this.paintLegend);
      },
    });
    $("newest").onclick = () => this.engine.toNewest();
    setInterval(() => this.#lookForQuiet(), QUIET_CHECK_MS);
    for (const state of STATES) $("states").append(this.#legendOf(state));
  }

  #legendOf(state) {
    const item = make("li", state, state);
    item.title = TELLS[state];
    item.append(make("b", "0"));
    return item;
  }

  get query() {
    const { interval, timezone, day_start, basis } = choice;
    return { interval, timezone, day_start, basis: basis || null };
  }

  get fill() {
    return lengthMs(choice.interval) === null ? "none" : choice.fill || "none";
  }

  get path() {
    return `v1/candles/${encodeURIComponent(choice.symbol)}`;
  }

  // Begins anew with what is chosen.
  async load() {
    const turn = (this.turn += 1);
    this.bars = new Bars();
    this.older = { busy: false, done: false };
    this.hovered = null;
    this.isLoaded = false;
    this.#subscribe();
    await this.#begin(turn);
  }

  async #begin(turn) {
    this.#busy(true);
    try {
      await this.#loadNewest(turn);
    } catch (fault) {
      // Where the plant is away, `begun` takes it up again when it is back.
      if (turn !== this.turn) return;
      if (fault instanceof Refused) this.#refuse(fault);
      else if (this.stream.isOpen) this.reloadTail();
    } finally {
      if (turn === this.turn) this.#busy(false);
    }
  }

  #busy(is) {
    this.isLoading = is;
    $("chart").ariaBusy = String(is);
    $("chart").classList.toggle("waiting", is);
  }

  // Bars of what was looked at before must not stand under another name.
  #refuse(fault) {
    this.told.fault(fault.message);
    this.bars = new Bars();
    this.engine.reset([], { anew: true });
    this.paintLegend();
    if (fault.afterS) setTimeout(this.reloadTail, fault.afterS * 1000);
  }

  async #loadNewest(turn) {
    const page = await get(this.path, { ...this.query, fill: this.fill, limit: FIRST });
    if (turn !== this.turn) return;
    // A plant that has only just begun shows more in seconds than in minutes.
    const few = page.candles.length && page.candles.length < FEW && choice.interval === "1m" && !isChosen("interval");
    if (few) return choose({ interval: "1s" }, { remember: false });
    this.told.fault("");
    this.bars.merge(page.candles.map(barOf));
    this.older.done = page.candles.length < FIRST;
    this.isLoaded = true;
    this.#learn();
    this.dress();
    this.engine.reset(this.bars.list, { anew: true });
    this.paintLegend();
  }

  #subscribe() {
    const id = `chart ${this.turn}`;
    if (this.id) this.stream.unsubscribe(this.id);
    this.id = id;
    const { basis, ...grid } = this.query;
    const request = () => ({ channel: "candles", symbols: [choice.symbol], ...grid, ...(basis ? { basis } : {}) });
    this.stream.subscribe(id, request, {
      events: (events) => this.id === id && this.#take(events),
      // What came between the answer below and this moment, or while the stream was away.
      begun: () => !this.isLoading && this.reloadTail(),
      notice: (message) => message.op === "gap" && this.#concerns(message) && this.reloadTail(),
    });
  }

  #concerns({ symbols }) {
    return symbols == null || symbols.includes(choice.symbol);
  }

  #take(events) {
    for (const event of events) {
      const bar = barOf(event);
      const skipped = this.bars.last && bar.at > this.bars.last.until;
      const what = this.bars.put(bar);
      if (what === null || !this.isLoaded) continue; // what is drawn is of another choice until then
      if (what === "moved") soon(this.resetSoon);
      else this.engine.put(bar, what);
      if (skipped && this.fill !== "none") this.reloadTail();
    }
    if (!this.isLoaded) return;
    if (this.#learn(events)) this.dress();
    soon(this.paintLegend);
  }

  async #reloadTail() {
    const { turn } = this;
    if (this.isLoading) return;
    if (!this.isLoaded) return await this.#begin(turn);
    try {
      const page = await get(this.path, { ...this.query, fill: this.fill, limit: FIRST });
      if (turn === this.turn) this.#mergeTail(page.candles.map(barOf));
    } catch {
      // The plant is away; the stream says so, and asks again when it is back.
    }
  }

  #mergeTail(bars) {
    const { last } = this.bars;
    if (last && bars.length && bars[0].at > last.until) return this.load(); // a hole too long to join
    if (!this.bars.merge(bars)) return;
    this.engine.reset(this.bars.list);
    soon(this.paintLegend);
  }

  // No event says that nothing happens, so bars without events are asked for.
  #lookForQuiet() {
    const { last } = this.bars;
    if (!document.hidden && last && this.fill !== "none" && last.until < this.now()) this.reloadTail();
  }

  // The window moved: other bars are counted, and bars may be needed that are not there.
  #moved() {
    soon(this.paintLegend);
    const range = this.engine?.window();
    if (this.isLoaded && range && range.from < OLDER_AT) this.#older();
  }

  async #older() {
    const { older, turn, bars } = this;
    if (!older || older.busy || older.done || !bars.first || bars.list.length >= BARS_MAX) return;
    older.busy = true;
    $("chart").ariaBusy = "true";
    let isMore = false;
    try {
      const end = bars.first.day == null ? bars.first.start : bars.first.day;
      const ask = (fill) => get(this.path, { ...this.query, fill, end, limit: OLDER });
      let found = (await ask(this.fill)).candles;
      // A long time without any event is left out, so that one comes to what was before it.
      if (found.length === OLDER && found.every((bar) => !bar.count)) found = (await ask("none")).candles;
      if (turn !== this.turn) return;
      older.done = !found.length;
      if (!bars.merge(found.map(barOf))) older.done = true;
      isMore = !older.done;
      this.#learn(found);
      this.engine.reset(bars.list);
      soon(this.paintLegend);
    } catch {
      // Moving the window asks again.
    } finally {
      older.busy = false;
      if (turn === this.turn) $("chart").ariaBusy = "false";
    }
    if (isMore) soon(this.moved); // a wide window, or one moved on since, may begin before these, too
  }

  #learn(bars = this.bars.list) {
    const more = choice.basis === "mid" ? [] : bars;
    return more.map((bar) => learn(choice.symbol, bar.close)).includes(true);
  }

  dress() {
    const length = lengthMs(choice.interval);
    this.engine.dress({
      places: placesOf(choice.symbol),
      zone: choice.timezone,
      seconds: length === null || length % 6e4 !== 0,
      intraday: length === null || length < 864e5,
    });
  }

  repaint() {
    this.engine.repaint();
    soon(this.paintLegend);
  }

  paintLegend = () => {
    const bar = this.hovered ?? this.bars.list.findLast(hasPrice) ?? this.bars.last;
    $("bar").hidden = !bar;
    $("newest").hidden = this.engine.isAtNewest();
    $("no-bars").hidden = this.bars.list.length > 0;
    this.#countStates();
    $("chart").ariaLabel = this.#said;
    if (!bar) return;
    const text = onClock(bar.at, choice.timezone).replace("T", " ");
    const intraday = (lengthMs(choice.interval) ?? 0) < 864e5;
    put($("bar-time"), intraday ? text.slice(0, 19) : text.slice(0, 10));
    for (const part of ["open", "high", "low", "close", "vwap"]) {
      put($(`bar-${part}`), price(choice.symbol, bar[part], part === "vwap" ? 1 : 0));
    }
    this.told.last(this.bars.list.findLast(hasPrice)?.close ?? null);
    const change = percent(bar.open, bar.close);
    put($("bar-change"), change.text);
    $("bar-change").className = direction(change.up);
    put($("bar-volume"), size(bar.volume));
    put($("bar-count"), count(bar.count));
    put($("bar-state"), bar.coverage < 1 ? `${bar.state} ${Math.floor(bar.coverage * 100)} %` : bar.state);
    $("bar-state").className = `state ${bar.state}`;
  };

  // What a reader of screens is told of the drawing.
  get #said() {
    const { list, first, last } = this.bars;
    const of = `Candles of ${choice.symbol}, ${choice.interval}`;
    if (!last) return `${of}: no bars`;
    const text = (bar) => onClock(bar.at, choice.timezone).slice(0, 19).replace("T", " ");
    return `${of}: ${list.length} bars from ${text(first)} to ${text(last)} ${choice.timezone}`;
  }

  #countStates() {
    const range = this.engine.window();
    const { list } = this.bars;
    const shown = range ? list.slice(Math.max(Math.ceil(range.from), 0), Math.floor(range.to) + 1) : list;
    for (const item of $("states").children) {
      const number = shown.filter((bar) => bar.state === item.classList[0]).length;
      put(item.lastChild, count(number));
      item.classList.toggle("none", !number);
    }
  }
}
