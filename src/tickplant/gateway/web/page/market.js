// The chosen instrument above the chart: its last price, its trading day, its best bid and ask.

import { get } from "./api.js";
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
    this.hasQuotes = false;
    this.paint();
    this.#subscribe();
    try {
      const one = await get(`v1/instruments/${encodeURIComponent(choice.symbol)}`);
      if (turn !== this.turn) return;
      learn(choice.symbol, one.tick_size);
      put($("kind"), [one.kind, one.underlying, one.expiry].filter(Boolean).join(" · "));
      await this.refresh();
    } catch {
      // The chart says what is wrong with the choice, the stream that the plant is away.
    }
  }

  // Asks for the trading day, which the plant has in memory where it serves such days. The stream
  // would make the plant keep days of every instrument for one that is looked at.
  async refresh() {
    if (!choice.symbol) return;
    const { turn } = this;
    const { timezone, day_start } = choice;
    const query = { interval: "1d", timezone, day_start, limit: 2, basis: choice.basis || null };
    const found = await get(`v1/candles/${encodeURIComponent(choice.symbol)}`, query);
    if (turn !== this.turn) return;
    this.shown.days = found.candles;
    if (this.shown.last == null) this.takeLast(found.candles.at(-1)?.close ?? null);
    soon(this.paint);
  }

  #subscribe() {
    const request = () => ({ channel: "quotes", symbols: [choice.symbol], snapshot: true });
    this.stream.subscribe("quotes", request, { events: (events) => this.#takeQuote(events.at(-1)) });
  }

  // Takes the price of the newest bar.
  takeLast(last) {
    if (last == null || last === this.shown.last) return;
    this.shown.move = Math.sign(last - (this.shown.last ?? last));
    this.shown.last = last;
    soon(this.paint);
  }

  #takeQuote(quote) {
    for (const side of [quote.bid_price, quote.ask_price]) learn(choice.symbol, side);
    this.shown.quote = quote;
    this.hasQuotes = true;
    this.toldQuote(quote);
    soon(this.paint);
  }

  // Takes the best levels of a book, where no quotes come.
  takeBook({ bids, asks }) {
    if (this.hasQuotes) return;
    this.shown.quote = { bid_price: bids[0]?.[0], ask_price: asks[0]?.[0] };
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
