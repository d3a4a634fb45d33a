// The order book: the best levels a side, the spread between them, and what is measured of it.
// Where a feed brings quotes but no book, its best bid and ask are the only level.

import { choice } from "./choice.js";
import { $, kind, make, put, soon } from "./dom.js";
import { amount, learn, learnSize, price } from "./format.js";

const PLACE = "tickplant.depth";
const RATE_MS = 100;
const TELLS = {
  live: "live", stale: "stale: the feed is away", rebuilding: "being made anew", none: "best quote only",
};

export class Ladder {
  // `told` hears each book.
  constructor(stream, told) {
    this.stream = stream;
    this.told = told;
    this.book = this.quote = null;
    const kept = localStorage.getItem(PLACE);
    if ([...$("depth").options].some((option) => option.value === kept)) $("depth").value = kept;
    $("depth").onchange = () => {
      localStorage.setItem(PLACE, $("depth").value);
      this.load();
    };
  }

  load() {
    this.book = this.quote = null;
    const request = () => ({
      channel: "books", symbols: [choice.symbol], depth: Number($("depth").value), rate_ms: RATE_MS,
    });
    this.stream.subscribe("book", request, { events: (events) => this.take(events.at(-1)) });
    soon(this.paint);
  }

  take(book) {
    this.book = book;
    if (book.state !== "none") this.told(book);
    for (const [level] of [...book.bids.slice(0, 3), ...book.asks.slice(0, 3)]) learn(choice.symbol, level);
    soon(this.paint);
  }

  takeQuote(quote) {
    this.quote = quote;
    if (!this.#hasBook) soon(this.paint);
  }

  get #hasBook() {
    return Boolean(this.book?.bids.length || this.book?.asks.length);
  }

  get shown() {
    if (this.#hasBook || !this.quote) return this.book;
    const { bid_price, bid_size, ask_price, ask_size } = this.quote;
    const spread = bid_price != null && ask_price != null ? ask_price - bid_price : null;
    const mid = spread === null ? null : (bid_price + ask_price) / 2;
    const all = (bid_size ?? 0) + (ask_size ?? 0);
    return {
      state: "none", mid, spread, spread_bps: mid ? (spread / mid) * 1e4 : null, signal: null,
      imbalance: all && spread !== null ? (bid_size ?? 0) / all : null,
      bids: bid_price == null ? [] : [[bid_price, bid_size]], asks: ask_price == null ? [] : [[ask_price, ask_size]],
    };
  }

  paint = () => {
    const book = this.shown;
    const name = choice.symbol;
    const state = this.book?.state ?? "none";
    const empty = !book || (!book.bids.length && !book.asks.length);
    $("book").classList.toggle("thin", !this.#hasBook);
    put($("book-state"), empty ? "no book" : TELLS[state] ?? state);
    kind($("book-state"), `tag ${state}`);
    const bids = accumulate(book?.bids ?? []), asks = accumulate(book?.asks ?? []);
    const most = Math.max(bids.at(-1)?.total ?? 0, asks.at(-1)?.total ?? 0);
    fill($("asks"), asks.reverse(), most, name);
    fill($("bids"), bids, most, name);
    put($("spread"), price(name, book?.spread));
    put($("spread-bps"), book?.spread_bps == null ? "" : `${book.spread_bps.toFixed(2)} bp`);
    put($("mid"), price(name, book?.mid, 1));
    const share = book?.imbalance;
    $("imbalance").hidden = share == null;
    $("imbalance").value = share ?? 0.5;
    put($("imbalance-text"), share == null ? "–" : `${Math.round(share * 100)} % bid`);
    put($("signal"), book?.signal ? book.signal.replace("_", " ").toLowerCase() : "");
  };
}

function accumulate(levels) {
  let total = 0;
  for (const [, size] of levels) learnSize(choice.symbol, size);
  return levels.map(([price, size, orders]) => ({ price, size, orders, total: (total += size ?? 0) }));
}

// Rows are kept and filled anew, as a book changes many times a second.
function fill(body, levels, most, name) {
  while (body.rows.length > levels.length) body.deleteRow(-1);
  while (body.rows.length < levels.length) body.append(levelRow());
  levels.forEach((level, at) => {
    const row = body.rows[at], [cost, offered, total] = row.cells;
    put(cost, price(name, level.price));
    put(offered, amount(name, level.size));
    put(total, amount(name, level.total));
    row.style.setProperty("--share", most ? `${((level.total / most) * 100).toFixed(1)}%` : "0%");
    row.title = level.orders == null ? "" : `${level.orders} orders`;
  });
}

function levelRow() {
  const row = make("tr");
  row.append(make("td", "", "num"), make("td", "", "num"), make("td", "", "num dim"));
  return row;
}
