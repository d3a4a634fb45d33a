// The bars of one chart in order, each in its newest revision, whichever way it came.

const LEAST_STEP_S = 1e-6; // bars by activity may begin together; a chart wants times that rise

// A bar as charts take it: `at` and `until` in ms, `name` and `rank` which bar it is.
export function barOf(event) {
  const at = Date.parse(event.start);
  const place = event.day == null ? at : Date.parse(event.day);
  return { ...event, at, until: Date.parse(event.end), place, index: event.index ?? 0 };
}

const before = (a, b) => a.place - b.place || a.index - b.index;

export class Bars {
  constructor() {
    this.list = [];
  }

  get first() {
    return this.list[0];
  }

  get last() {
    return this.list.at(-1);
  }

  // Puts a bar in its place. Says what that means for who draws: "last" (the last one changed),
  // "next" (one after it), "inner", "moved" (places changed), or null for what is old news.
  put(bar) {
    const { list } = this;
    const place = this.#find(bar);
    const known = list[place];
    if (known && !before(known, bar)) return this.#replace(place, known, bar);
    if (bar.count === 0 && bar.day != null) return null;
    list.splice(place, 0, bar);
    if (place < list.length - 1) return this.#number(), "moved";
    bar.time = Math.max(bar.at / 1000, place ? list[place - 1].time + LEAST_STEP_S : 0);
    return "next";
  }

  #replace(place, known, bar) {
    const older = (bar.revision ?? -1) < (known.revision ?? -1);
    const same = bar.revision === known.revision;
    if (older || (same && bar.state === "forming" && known.state !== "forming")) return null;
    if (bar.day != null && bar.count === 0) return this.list.splice(place, 1), this.#number(), "moved";
    bar.time = known.time;
    this.list[place] = bar;
    return place === this.list.length - 1 ? "last" : "inner";
  }

  // Puts many, and says whether anything is another than before.
  merge(bars) {
    return bars.map((bar) => this.put(bar)).some((what) => what !== null);
  }

  #find(bar) {
    const { list } = this;
    let [low, high] = [0, list.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (before(list[middle], bar) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #number() {
    let time = -Infinity;
    for (const bar of this.list) time = bar.time = Math.max(bar.at / 1000, time + LEAST_STEP_S);
  }
}

export const hasPrice = (bar) => bar.open != null && bar.high != null && bar.low != null && bar.close != null;
