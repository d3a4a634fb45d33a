// The chart without a library: what a plant shows that was set up where no npm was. It draws the
// same bars and states on a canvas, moves by wheel and drag, and has no crosshair.

import { hasPrice } from "./bars.js";
import { color, faint } from "./dom.js";
import { onClock } from "./zone.js";

export const NAME = "plain";
const RIGHT_PX = 74, FOOT_PX = 22, PAN_BARS = 20;
const STATE_COLORS = { complete: "--up", quiet: "--quiet", partial: "--warn", gap: "--down", forming: "--accent" };

export function makeEngine(box, told) {
  const canvas = document.createElement("canvas");
  canvas.className = "plain-chart";
  box.append(canvas);
  let bars = [], slot = 9, back = 0, places = 2, zone = "UTC", seconds = true, intraday = true, pointer = null;

  const room = () => Math.max(Math.floor((canvas.clientWidth - RIGHT_PX) / slot), 1);
  const end = () => Math.max(bars.length - Math.round(back), 1);
  const start = () => Math.max(end() - room(), 0);

  function draw() {
    const ratio = devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = canvas;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    const shown = bars.slice(start(), end());
    const priced = shown.filter(hasPrice);
    if (!priced.length || width < RIGHT_PX * 2) return;
    const axis = scaleOf(priced, (height - FOOT_PX) * 0.78, places);
    const left = width - RIGHT_PX - slot * shown.length;
    const x = (i) => left + slot * (i + 0.5);
    drawGrid(pen, axis, width - RIGHT_PX, places);
    drawTimes(pen, shown, x, height, { slot, zone, seconds, intraday });
    shown.forEach((bar, i) => drawBar(pen, bar, x(i), { slot, axis, foot: height - FOOT_PX, most: axis.most }));
    drawLast(pen, priced.at(-1), axis, width - RIGHT_PX, places);
    if (pointer === null) return told.hover(null);
    const under = Math.min(Math.max(Math.floor((pointer - left) / slot), 0), shown.length - 1);
    pen.fillStyle = faint("--dim", 0.5);
    pen.fillRect(Math.round(x(under)), 0, 1, height - FOOT_PX);
    told.hover(shown[under]);
  }

  function move(to) {
    back = Math.min(Math.max(to, 0), Math.max(bars.length - 5, 0));
    draw();
    told.moved();
  }

  let held = null;
  canvas.onpointerdown = (event) => {
    held = { x: event.clientX, back };
    canvas.setPointerCapture(event.pointerId);
  };
  canvas.onpointerup = () => (held = null);
  canvas.onpointermove = (event) => {
    pointer = event.offsetX;
    if (held) move(held.back + (event.clientX - held.x) / slot);
    else draw();
  };
  canvas.onpointerleave = () => {
    pointer = null;
    draw();
  };
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const across = Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (across) move(back - event.deltaX / slot);
    else zoom(event.deltaY < 0 ? 1.1 : 1 / 1.1);
  }, { passive: false });
  new ResizeObserver(draw).observe(box);

  function zoom(by) {
    slot = Math.min(Math.max(slot * by, 2), 40);
    move(back);
  }

  return {
    reset(list, { anew = false } = {}) {
      bars = list;
      if (anew) back = 0;
      draw();
      if (anew) told.moved();
    },
    put(bar, what) {
      if (what === "next" && back > 0) back += 1;
      draw();
    },
    dress(view) {
      ({ places, zone, seconds, intraday } = view);
      draw();
    },
    repaint: draw,
    toNewest: () => move(0),
    isAtNewest: () => back < 2,
    pan: (to) => move(back - to * PAN_BARS),
    zoom,
    window: () => ({ from: start(), to: end() }),
  };
}

function scaleOf(bars, tall, places) {
  const top = Math.max(...bars.map((bar) => bar.high)), bottom = Math.min(...bars.map((bar) => bar.low));
  const pad = Math.max((top - bottom) * 0.08, 3 * 10 ** -places); // also around a price that stands still
  const high = top + pad, low = bottom - pad;
  const raw = (high - low) / 5, power = 10 ** Math.floor(Math.log10(raw));
  const step = Math.max([1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= raw), 10 ** -places);
  const most = Math.max(...bars.map((bar) => bar.volume ?? 0));
  return { high, low, step, most, y: (price) => ((high - price) / (high - low)) * tall };
}

function drawGrid(pen, { high, low, step, y }, width, places) {
  for (let price = Math.ceil(low / step) * step; price < high; price += step) {
    pen.fillStyle = color("--line");
    pen.fillRect(0, Math.round(y(price)), width + 6, 1);
    pen.fillStyle = color("--dim");
    pen.fillText(price.toFixed(places), width + 12, y(price));
  }
}

function drawTimes(pen, bars, x, height, { slot, zone, seconds, intraday }) {
  pen.textAlign = "center";
  pen.fillStyle = color("--dim");
  const each = Math.max(Math.round(90 / slot), 1);
  bars.forEach((bar, i) => {
    if ((bars.length - 1 - i) % each || x(i) < 30) return;
    const text = onClock(bar.at, zone);
    pen.fillText(intraday ? text.slice(11, seconds ? 19 : 16) : text.slice(0, 10), x(i), height - 9);
  });
  pen.textAlign = "left";
}

function drawBar(pen, bar, x, { slot, axis, foot, most }) {
  const thick = Math.max(slot * 0.64, 1), side = bar.close >= bar.open ? "--up" : "--down";
  if (bar.coverage < 1 && bar.state !== "forming") {
    pen.fillStyle = faint("--warn", 0.2);
    pen.fillRect(x - slot / 2, foot * bar.coverage, slot, foot * (1 - bar.coverage));
  }
  pen.fillStyle = color(STATE_COLORS[bar.state] ?? "--dim");
  pen.fillRect(x - slot / 2, foot - 4, Math.max(slot - 1, 1), 4);
  if (!hasPrice(bar)) return;
  if (most > 0) {
    const tall = ((bar.volume ?? 0) / most) * foot * 0.14;
    pen.fillStyle = faint(side, 0.35);
    pen.fillRect(x - thick / 2, foot - 6 - tall, thick, tall);
  }
  const { y } = axis, upper = y(Math.max(bar.open, bar.close)), lower = y(Math.min(bar.open, bar.close));
  pen.fillStyle = pen.strokeStyle = bar.state === "partial" ? faint(side, 0.45) : color(side);
  pen.fillRect(x - 0.5, y(bar.high), 1, Math.max(y(bar.low) - y(bar.high), 1));
  if (bar.state === "forming") pen.clearRect(x - thick / 2, upper, thick, Math.max(lower - upper, 1));
  if (bar.state === "forming") pen.strokeRect(x - thick / 2, upper, thick, Math.max(lower - upper, 1));
  else pen.fillRect(x - thick / 2, upper, thick, Math.max(lower - upper, 1));
}

function drawLast(pen, last, { y }, width, places) {
  pen.fillStyle = pen.strokeStyle = color(last.close >= last.open ? "--up" : "--down");
  pen.setLineDash([3, 3]);
  pen.strokeRect(0, y(last.close), width + 6, 0);
  pen.setLineDash([]);
  pen.beginPath();
  pen.roundRect(width + 7, y(last.close) - 9, RIGHT_PX - 9, 18, 4);
  pen.fill();
  pen.fillStyle = color("--card");
  pen.fillText(last.close.toFixed(places), width + 12, y(last.close) + 0.5);
}
