// The chart by TradingView Lightweight Charts, which `make setup` builds in where npm is there.
//
//   candles, hollow while forming, paler where a part is missing
//   volume behind them · what is not covered as a band from above · the states as a ribbon below

import {
  CandlestickSeries, ColorType, CrosshairMode, HistogramSeries, LineStyle, createChartEx, defaultHorzScaleBehavior,
} from "../built/lightweight-charts.mjs";
import { hasPrice } from "./bars.js";
import { color, faint } from "./dom.js";
import { onClock } from "./zone.js";

export const NAME = "library";
const SPACING = 8, RIGHT = 6, PAN_BARS = 20;
const STATE_COLORS = { complete: "--up", quiet: "--quiet", partial: "--warn", gap: "--down", forming: "--accent" };

// Labels begin days, months and hours on the clock of the chosen zone, not of UTC.
class ZoneScale extends defaultHorzScaleBehavior() {
  zone = "UTC";

  fillWeightsForPoints(points, start) {
    for (let place = start; place < points.length; place += 1) {
      const now = onClock(points[place].originalTime * 1000, this.zone);
      const was = place ? onClock(points[place - 1].originalTime * 1000, this.zone) : now;
      points[place].timeWeight = weight(was, now);
    }
  }
}

function weight(was, now) {
  if (was.slice(0, 4) !== now.slice(0, 4)) return 70;
  if (was.slice(0, 7) !== now.slice(0, 7)) return 60;
  if (was.slice(0, 10) !== now.slice(0, 10)) return 50;
  const crossed = (minutes) => Math.floor(minuteOf(was) / minutes) !== Math.floor(minuteOf(now) / minutes);
  for (const [minutes, value] of [[720, 33], [360, 32], [180, 31], [60, 30], [30, 22], [5, 21], [1, 20]]) {
    if (crossed(minutes)) return value;
  }
  return was.slice(0, 19) === now.slice(0, 19) ? 0 : 10;
}

const minuteOf = (text) => Number(text.slice(11, 13)) * 60 + Number(text.slice(14, 16));
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function label(seconds, kind, zone) {
  const text = onClock(seconds * 1000, zone);
  if (kind === 0) return text.slice(0, 4);
  if (kind === 1) return MONTHS[Number(text.slice(5, 7)) - 1];
  if (kind === 2) return String(Number(text.slice(8, 10)));
  return text.slice(11, kind === 4 ? 19 : 16);
}

// `told` has moved(), where the window shows other bars, and hover(bar or null, since then nothing
// is under the pointer).
export function makeEngine(box, told) {
  const scale = new ZoneScale();
  const chart = createChartEx(box, scale, {
    autoSize: true,
    // The library's own mark brings a style element, which the page's policy refuses, and tells
    // its maker where it is used; the notice stands in the page instead.
    layout: { attributionLogo: false, fontSize: 11 },
    crosshair: { mode: CrosshairMode.Normal },
    rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.1, bottom: 0.24 } },
    timeScale: {
      borderVisible: false, rightOffset: RIGHT, barSpacing: SPACING, timeVisible: true, secondsVisible: true,
      tickMarkFormatter: (time, kind) => label(time, kind, scale.zone),
    },
    localization: { timeFormatter: (time) => onClock(time * 1000, scale.zone).slice(0, 19).replace("T", " ") },
  });
  const overlay = (id, top, bottom, range) => {
    const series = chart.addSeries(HistogramSeries, {
      priceScaleId: id, lastValueVisible: false, priceLineVisible: false, priceFormat: { type: "volume" },
      ...(range ? { autoscaleInfoProvider: () => ({ priceRange: range }) } : {}),
    });
    series.priceScale().applyOptions({ scaleMargins: { top, bottom } });
    return series;
  };
  const missing = overlay("missing", 0, 0.02, { minValue: 0, maxValue: 1 });
  const volume = overlay("volume", 0.8, 0.035);
  const ribbon = overlay("states", 0.978, 0, { minValue: 0, maxValue: 1 });
  const candles = chart.addSeries(CandlestickSeries, { priceLineStyle: LineStyle.Dashed });
  let bars = [], byTime = new Map();

  // The library moves with the next frame and until then tells where it was, so that of keys held
  // down each step begins where the one before it will have ended.
  let ahead = {};
  const timeScale = chart.timeScale();
  const goTo = (position) => {
    timeScale.scrollToPosition((ahead.position = position), false);
    requestAnimationFrame(() => (ahead = {}));
  };
  const space = (spacing) => {
    timeScale.applyOptions({ barSpacing: (ahead.spacing = Math.min(Math.max(spacing, 1), 60)) });
    requestAnimationFrame(() => (ahead = {}));
  };

  timeScale.subscribeVisibleLogicalRangeChange(() => told.moved());
  chart.subscribeCrosshairMove((move) => told.hover(byTime.get(move.time) ?? null));

  const candle = (bar) => {
    if (!hasPrice(bar)) return { time: bar.time };
    const side = bar.close >= bar.open ? "--up" : "--down";
    const solid = bar.state === "partial" || bar.state === "gap" ? faint(side, 0.45) : color(side);
    const body = bar.state === "forming" ? faint(side, 0.25) : solid;
    const { time, open, high, low, close } = bar;
    return { time, open, high, low, close, color: body, borderColor: solid, wickColor: solid };
  };
  const traded = (bar) =>
    bar.volume == null
      ? { time: bar.time }
      : { time: bar.time, value: bar.volume, color: faint(bar.close >= bar.open ? "--up" : "--down", 0.35) };
  const uncovered = (bar) =>
    bar.coverage < 1 && bar.state !== "forming"
      ? { time: bar.time, value: 1 - bar.coverage, color: faint("--warn", 0.2) }
      : { time: bar.time };
  const state = (bar) => ({ time: bar.time, value: 1, color: faint(STATE_COLORS[bar.state] ?? "--dim", 0.9) });
  const shown = [[candles, candle], [volume, traded], [missing, uncovered], [ribbon, state]];

  const fill = () => {
    byTime = new Map(bars.map((bar) => [bar.time, bar]));
    for (const [series, of] of shown) series.setData(bars.map(of));
  };

  const paper = () => {
    chart.applyOptions({
      layout: { background: { type: ColorType.Solid, color: "transparent" }, textColor: color("--dim") },
      grid: { vertLines: { color: faint("--line", 0.6) }, horzLines: { color: faint("--line", 0.6) } },
      crosshair: {
        vertLine: { color: faint("--dim", 0.6), labelBackgroundColor: color("--chip") },
        horzLine: { color: faint("--dim", 0.6), labelBackgroundColor: color("--chip") },
      },
    });
  };
  paper();

  return {
    // Shows these bars; with `anew` from the newest on, else where the window is.
    reset(list, { anew = false } = {}) {
      bars = list;
      fill();
      if (anew) {
        timeScale.applyOptions({ barSpacing: SPACING, rightOffset: RIGHT });
        timeScale.scrollToPosition(RIGHT, false);
        candles.priceScale().applyOptions({ autoScale: true });
      }
    },
    put(bar, what) {
      byTime.set(bar.time, bar);
      for (const [series, of] of shown) series.update(of(bar), what === "inner");
    },
    dress({ places, zone, seconds, intraday }) {
      const moved = scale.zone !== zone;
      scale.zone = zone;
      timeScale.applyOptions({ secondsVisible: seconds, timeVisible: intraday });
      candles.applyOptions({ priceFormat: { type: "price", precision: places, minMove: 10 ** -places } });
      if (moved) fill();
    },
    repaint() {
      paper();
      fill();
    },
    toNewest: () => goTo(RIGHT),
    isAtNewest: () => timeScale.scrollPosition() > -2,
    pan: (to) => goTo((ahead.position ?? timeScale.scrollPosition()) + to * PAN_BARS),
    zoom: (by) => space((ahead.spacing ?? timeScale.options().barSpacing) * by),
    window: () => timeScale.getVisibleLogicalRange(),
  };
}
