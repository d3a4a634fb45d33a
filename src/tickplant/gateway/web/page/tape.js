// The tape: the last trades, the newest on top, also what corrects or cancels one.

import { get } from "./api.js";
import { choice } from "./choice.js";
import { $, make, soon } from "./dom.js";
import { amount, learn, learnSize, price } from "./format.js";
import { onClock } from "./zone.js";

const KEPT = 500, SHOWN = 80;
const FLAGS = ["late", "backfilled", "correction", "cancel"];

export class Tape {
  constructor(stream) {
    this.stream = stream;
    this.trades = [];
    this.turn = 0;
    this.isPaused = false;
    $("pause").onclick = () => this.pause();
    $("least").oninput = () => soon(this.paint);
  }

  load() {
    const turn = (this.turn += 1);
    this.trades = [];
    soon(this.paint);
    const request = () => ({ channel: "trades", symbols: [choice.symbol] });
    this.stream.subscribe("tape", request, {
      events: (events) => this.#take(events),
      // The past is asked for once the present is subscribed to, so that nothing lies between;
      // after a reconnect this is what was missed.
      begun: () => this.#loadPast(turn),
    });
  }

  async #loadPast(turn) {
    try {
      const path = `v1/trades/${encodeURIComponent(choice.symbol)}`;
      const { trades } = await get(path, { order: "desc", limit: SHOWN });
      if (turn === this.turn) this.#take(trades);
    } catch {
      // The stream says that the plant is away.
    }
  }

  #take(events) {
    const known = new Set(this.trades.map((trade) => trade.seq));
    const fresh = events.filter((trade) => !known.has(trade.seq));
    if (!fresh.length) return;
    for (const trade of fresh) {
      learn(choice.symbol, trade.price);
      learnSize(choice.symbol, trade.size);
    }
    this.trades = [...this.trades, ...fresh].sort((a, b) => b.seq - a.seq).slice(0, KEPT);
    if (!this.isPaused) soon(this.paint);
  }

  pause() {
    this.isPaused = !this.isPaused;
    $("pause").ariaPressed = String(this.isPaused);
    $("pause").textContent = this.isPaused ? "Go on" : "Pause";
    soon(this.paint);
  }

  paint = () => {
    const least = Number($("least").value) || 0;
    const shown = this.trades.filter((trade) => (trade.size ?? 0) >= least).slice(0, SHOWN);
    const most = Math.max(...shown.map((trade) => trade.size ?? 0), 0);
    $("tape").replaceChildren(...shown.map((trade) => tradeRow(trade, most)));
    $("no-trades").hidden = shown.length > 0;
  };
}

function tradeRow(trade, most) {
  const row = make("tr", "", trade.side === "buy" ? "buy" : trade.side === "sell" ? "sell" : "");
  const flags = trade.flags.filter((flag) => FLAGS.includes(flag));
  const traded = make("td", amount(choice.symbol, trade.size), "num amount");
  traded.style.setProperty("--share", most ? `${(((trade.size ?? 0) / most) * 100).toFixed(1)}%` : "0%");
  row.append(
    make("td", onClock(Date.parse(trade.ts_event), choice.timezone).slice(11), "dim"),
    make("td", price(choice.symbol, trade.price), "num cost"), traded,
    make("td", [trade.conditions, ...flags].filter(Boolean).join(" "), "dim small"),
  );
  row.title = `seq ${trade.seq}${trade.side ? `, ${trade.side}` : ""}, ${trade.ts_event}`;
  return row;
}
