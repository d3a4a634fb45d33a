// The chosen instrument above the chart: its last price, its trading day, its best bid and ask.

import { get } from "./api.js";
import { barOf } from "./bars.js";
import { choice } from "./choice.js";
import { $, put, soon } from "./dom.js";
import { direction, learn, percent, price, size } from "./format.js";

const SHOWN = { last: null, move: 0, quote: null, days: [] };

export class Market {
  constructor(stream, toldQuote) {
    this.stream = stream;
    this.toldQuote = toldQuote;
    this.shown = { ...SHOWN };
    this.turn = 0;
  }

  async load() {
    const turn = (this.turn += 1);
    this.shown = { ...SHOWN };
    this.paint();
    this.#subscribe();
    const name = encodeURIComponent(choice.symbol);
    const { timezone, day_start } = choice;
    const days = { interval: "1d", timezone, day_start, limit: 2, basis: choice.basis || null };
    try {
      const [one, found] = await Promise.all([get(`v1/instruments/${name}`), get(`v1/candles/${name}`, days)]);
      if (turn !== this.turn) return;
      learn(choice.symbol, one.tick_size);
      put($("kind"), [one.kind, one.underlying, one.expiry].filter(Boolean).join(" · "));
      for (const bar of found.candles) this.#takeDay(bar);
    } catch {
      // The chart says what is wrong with the choice, the stream that the plant is away.
    }
  }

  #subscribe() {
    const symbols = [choice.symbol];
    const { timezone, day_start, basis } = choice;
    const day = { channel: "candles", symbols, interval: "1d", timezone, day_start, ...(basis ? { basis } : {}) };
    this.stream.subscribe("day", () => day, { events: (bars) => bars.forEach((bar) => this.#takeDay(bar)) });
    const quotes = { channel: "quotes", symbols, snapshot: true };
    this.stream.subscribe("quotes", () => quotes, { events: (events) => this.#takeQuote(events.at(-1)) });
  }

  #takeDay(event) {
    const bar = barOf(event);
    const { days } = this.shown;
    const known = days.findIndex((day) => day.at === bar.at);
    if (known >= 0 && (days[known].revision ?? 0) > (bar.revision ?? 0)) return;
    if (known >= 0) days[known] = bar;
    else days.push(bar);
    days.sort((a, b) => a.at - b.at);
    if (days.length > 2) days.shift();
    const { close } = days.at(-1);
    if (close !== this.shown.last) this.shown.move = Math.sign(close - (this.shown.last ?? close));
    this.shown.last = close;
    soon(this.paint);
  }

  #takeQuote(quote) {
    for (const side of [quote.bid_price, quote.ask_price]) learn(choice.symbol, side);
    this.shown.quote = quote;
    this.toldQuote(quote);
    soon(this.paint);
  }

  paint = () => {
    const { last, move, days, quote } = this.shown;
    const name = choice.symbol;
    const [venue, symbol] = name.includes(":") ? name.split(/:(.*)/) : ["", name];
    put($("symbol"), symbol || "–");
    put($("venue"), venue);
    put($("price"), price(name, last));
    $("price").className = `price ${direction(move)}`;
    const day = days.at(-1);
    const change = percent(days.length > 1 ? days[0].close : day?.open, last);
    put($("change"), change.text);
    $("change").className = direction(change.up);
    for (const part of ["high", "low"]) put($(`day-${part}`), price(name, day?.[part]));
    put($("day-volume"), size(day?.volume));
    put($("day-vwap"), price(name, day?.vwap, 1));
    put($("bid"), price(name, quote?.bid_price));
    put($("ask"), price(name, quote?.ask_price));
    document.title = last == null ? "Tickplant" : `${symbol} ${price(name, last)} · Tickplant`;
  };
}
