// Search for an instrument: the plant itself looks through all it knows as one types.

import { get } from "./api.js";
import { choose } from "./choice.js";
import { $, make } from "./dom.js";

const PAUSE_MS = 90, SHOWN = 12, ASKED = 100;

// Whether one is called as was typed, or begins with it: those one looks for first.
const begins = ({ symbol }, text) => Number(symbol.startsWith(text.toUpperCase())) + Number(symbol === text.toUpperCase());

export class Search {
  constructor() {
    this.field = $("search");
    this.list = $("found");
    this.names = [];
    this.at = -1;
    this.field.oninput = () => this.#wait();
    this.field.onfocus = () => this.#wait();
    this.field.onkeydown = (press) => this.#press(press);
    this.field.onblur = () => setTimeout(() => this.close(), 150);
  }

  #wait() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#look(), PAUSE_MS);
  }

  async #look() {
    this.asked?.abort();
    this.asked = new AbortController();
    try {
      const q = this.field.value.trim();
      const page = await get("v1/instruments", { q, limit: ASKED }, this.asked.signal);
      const found = page.instruments.toSorted((a, b) => begins(b, q) - begins(a, q));
      const isMore = found.length > SHOWN || Boolean(page.next_page_token);
      if (document.activeElement === this.field) this.#show(found.slice(0, SHOWN), isMore);
    } catch {
      // Typed on, or the plant is away.
    }
  }

  #show(instruments, more) {
    this.names = instruments.map((one) => `${one.venue}:${one.symbol}`);
    this.list.replaceChildren(...instruments.map((one, place) => this.#option(one, place)));
    if (!instruments.length) this.list.append(make("li", "Nothing is called so", "dim"));
    if (more) this.list.append(make("li", "and more; type on", "dim"));
    this.list.hidden = false;
    this.field.ariaExpanded = "true";
    this.#mark(this.names.length ? 0 : -1);
  }

  #option(one, place) {
    const item = make("li", one.symbol);
    item.id = `found-${place}`;
    item.role = "option";
    item.append(make("small", [one.venue, one.kind].filter(Boolean).join(" · ")));
    item.onpointerdown = (event) => {
      event.preventDefault();
      this.#take(place);
    };
    return item;
  }

  #mark(place) {
    this.at = place;
    [...this.list.children].forEach((item, i) => (item.ariaSelected = String(i === place)));
    if (place < 0) this.field.removeAttribute("aria-activedescendant");
    else this.field.setAttribute("aria-activedescendant", `found-${place}`);
    this.list.children[place]?.scrollIntoView({ block: "nearest" });
  }

  #press(press) {
    const last = this.names.length - 1;
    if (press.key === "ArrowDown") this.#mark(Math.min(this.at + 1, last));
    else if (press.key === "ArrowUp") this.#mark(Math.max(this.at - 1, Math.min(last, 0)));
    else if (press.key === "Enter") this.#enter();
    else if (press.key === "Escape") this.leave();
    else return;
    press.preventDefault();
    press.stopPropagation();
  }

  async #enter() {
    clearTimeout(this.timer);
    if (this.list.hidden || this.asked === undefined || this.#isBehind()) await this.#look();
    if (this.at >= 0) this.#take(this.at);
  }

  // Whether the list is of an older text than the field's.
  #isBehind() {
    const wanted = this.field.value.trim().toUpperCase();
    return !this.names.some((name) => name.includes(wanted));
  }

  #take(place) {
    choose({ symbol: this.names[place] });
    this.leave();
  }

  close() {
    this.list.hidden = true;
    this.field.ariaExpanded = "false";
  }

  leave() {
    this.field.value = "";
    this.close();
    this.field.blur();
  }
}
