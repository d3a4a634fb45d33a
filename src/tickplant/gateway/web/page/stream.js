// WS /v1/stream: one socket, the subscriptions that are wanted, and the way back after a loss.
//
//   connect ──► open ──► every subscription is sent ──► live
//      ▲                                                  │ closed, or silent for too long
//      └───────────── a pause that grows ◄────────────────┘      1008: wait for another key

import { socketAddress } from "./api.js";
import { protocols } from "./key.js";

const SILENCE_MS_MAX = 15000; // the plant says something at least every 5 s
const PAUSE_MS = 400, PAUSE_MS_MAX = 10000;
const BECAUSE = { 1012: "the plant restarts", 1013: "the plant cut a slow reader", 1006: "the connection broke" };

export class Stream {
  // `told` hears {state: connecting | live | lost | refused, reason, again: ms until the next try,
  // away: ms that it was lost}.
  constructor(told) {
    this.told = told;
    this.wanted = new Map();
    this.tries = 0;
    this.lostAt = null;
    this.skipped = 0;
  }

  // `request` makes the message anew for each connection. Handlers: events(list, message), begun()
  // whenever the plant has taken it, error(message), and notice(message) for gaps and feeds.
  subscribe(id, request, handlers) {
    if (this.wanted.has(id)) this.unsubscribe(id);
    this.wanted.set(id, { request, handlers });
    this.#send({ op: "subscribe", id, ...request() });
  }

  unsubscribe(id) {
    if (this.wanted.delete(id)) this.#send({ op: "unsubscribe", id });
  }

  get isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  open() {
    clearTimeout(this.timer);
    this.#drop();
    this.told({ state: "connecting", reason: "" });
    const socket = new WebSocket(socketAddress("v1/stream"), protocols());
    this.socket = socket;
    this.heard = performance.now();
    this.guard = setInterval(() => performance.now() - this.heard > SILENCE_MS_MAX && this.#lose(0, "silence"), 3000);
    socket.onopen = () => this.#opened();
    socket.onmessage = (frame) => {
      this.heard = performance.now();
      this.#take(JSON.parse(frame.data));
    };
    socket.onclose = (event) => this.#lose(event.code, event.reason);
  }

  #opened() {
    // A refused key is told after the opening, so `live` waits for the first word.
    for (const [id, { request }] of this.wanted) this.#send({ op: "subscribe", id, ...request() });
    if (!this.wanted.size) this.#send({ op: "ping" });
  }

  #take(message) {
    if (!this.isLive) this.#live();
    if (message.op === "slow") this.skipped += message.dropped ?? 0;
    if (message.op === "gap" || message.op === "feed") {
      for (const { handlers } of this.wanted.values()) handlers.notice?.(message);
      return;
    }
    const handlers = this.wanted.get(message.id)?.handlers;
    if (!handlers) return;
    if (message.op === "data") handlers.events?.(message.events, message);
    else if (message.op === "subscribed") handlers.begun?.(message);
    else if (message.op === "error") handlers.error?.(message);
  }

  #live() {
    this.isLive = true;
    this.tries = 0;
    const away = this.lostAt === null ? null : performance.now() - this.lostAt;
    this.lostAt = null;
    this.told({ state: "live", reason: "", away });
  }

  #lose(code, reason) {
    const was = this.isLive;
    this.#drop();
    if (code === 1008) {
      this.told({ state: "refused", reason });
      return;
    }
    if (was || this.lostAt === null) this.lostAt ??= performance.now();
    const pause = Math.min(PAUSE_MS * 2 ** this.tries, PAUSE_MS_MAX) * (0.5 + Math.random() / 2);
    this.tries += 1;
    const why = reason || (was && BECAUSE[code]) || "the plant does not answer";
    this.told({ state: "lost", reason: why, again: pause });
    this.timer = setTimeout(() => this.open(), pause);
  }

  #drop() {
    clearInterval(this.guard);
    this.isLive = false;
    if (!this.socket) return;
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.socket = null;
  }

  #send(message) {
    if (this.isOpen) this.socket.send(JSON.stringify(message));
  }
}
