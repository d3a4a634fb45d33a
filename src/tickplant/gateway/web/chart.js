// Drawing on canvases: the candle chart, the sparklines, the curve of the rate.

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function prepare(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

export function decimals(price) {
  const size = Math.abs(price || 1);
  return size >= 1000 ? 2 : size >= 10 ? 3 : size >= 0.1 ? 5 : 7;
}

export function drawLine(canvas, values, { fill = false, color = null, zero = false } = {}) {
  const { pen, width, height } = prepare(canvas);
  const known = values.filter((v) => v != null);
  if (known.length < 2) return;
  const low = zero ? 0 : Math.min(...known);
  const span = Math.max(...known) - low || Math.abs(low) * 1e-6 || 1;
  const x = (i) => (i / (values.length - 1)) * (width - 3) + 1;
  const y = (v) => height - 3 - ((v - low) / span) * (height - 6);
  const stroke = color || css(known.at(-1) >= known[0] ? "--up" : "--down");
  pen.beginPath();
  values.forEach((v, i) => v != null && pen.lineTo(x(i), y(v)));
  pen.strokeStyle = stroke;
  pen.lineWidth = 1.4;
  pen.lineJoin = "round";
  pen.stroke();
  if (!fill) return;
  pen.lineTo(width, height);
  pen.lineTo(0, height);
  const shade = pen.createLinearGradient(0, 0, 0, height);
  shade.addColorStop(0, stroke + "40");
  shade.addColorStop(1, stroke + "00");
  pen.fillStyle = shade;
  pen.fill();
}

function niceStep(span, count) {
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= raw);
}

// Draws bars ({start, open, high, low, close, volume, coverage} with start in ms), what is not
// covered of a bar as a band behind it; returns the bar under the pointer, or the last one.
export function drawCandles(canvas, bars, pointer) {
  const { pen, width, height } = prepare(canvas);
  const shown = bars.filter((bar) => ![bar.open, bar.high, bar.low, bar.close].includes(null));
  if (!shown.length) return null;
  const right = 74, foot = 22, body = height - foot, prices = body * 0.82;
  const top = Math.max(...shown.map((b) => b.high)), bottom = Math.min(...shown.map((b) => b.low));
  const places = decimals(top), digit = 10 ** -places;
  // Room for labels that differ, around a price that stands still as well.
  const pad = Math.max((top - bottom) * 0.08, digit * 3, Math.abs(top) * 1e-6);
  const high = top + pad, low = bottom - pad;
  const y = (price) => ((high - price) / (high - low)) * prices;
  const slot = Math.min((width - right) / Math.max(shown.length, 30), 18);
  const left = width - right - slot * shown.length;
  const x = (i) => left + slot * (i + 0.5);
  const thick = Math.max(slot * 0.64, 1);
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "middle";

  const step = Math.max(niceStep(high - low, 5), digit);
  for (let price = Math.ceil(low / step) * step; price < high; price += step) {
    pen.fillStyle = css("--line");
    pen.fillRect(0, Math.round(y(price)), width - right + 6, 1);
    pen.fillStyle = css("--dim");
    pen.fillText(price.toFixed(places), width - right + 12, y(price));
  }
  pen.textAlign = "center";
  const every = Math.max(Math.round(90 / slot), 1);
  shown.forEach((bar, i) => {
    const time = new Date(bar.start).toISOString();
    if ((shown.length - 1 - i) % every !== 0 || x(i) < 24) return;
    pen.fillText(time.slice(11, bar.start % 60000 ? 19 : 16), x(i), height - 9);
  });
  pen.textAlign = "left";

  shown.forEach((bar, i) => {
    if (!(bar.coverage < 1)) return;
    pen.fillStyle = css("--accent") + "40";
    pen.fillRect(x(i) - slot / 2, body * bar.coverage, slot, body * (1 - bar.coverage));
  });

  const most = Math.max(...shown.map((b) => b.volume || 0));
  shown.forEach((bar, i) => {
    const color = css(bar.close >= bar.open ? "--up" : "--down");
    if (most > 0) {
      const tall = ((bar.volume || 0) / most) * body * 0.15;
      pen.fillStyle = color + "55";
      pen.fillRect(x(i) - thick / 2, body - tall, thick, tall);
    }
    pen.fillStyle = color;
    pen.fillRect(x(i) - 0.5, y(bar.high), 1, Math.max(y(bar.low) - y(bar.high), 1));
    const upper = y(Math.max(bar.open, bar.close));
    pen.fillRect(x(i) - thick / 2, upper, thick, Math.max(y(Math.min(bar.open, bar.close)) - upper, 1));
  });

  const last = shown.at(-1);
  const color = css(last.close >= last.open ? "--up" : "--down");
  pen.setLineDash([3, 3]);
  pen.strokeStyle = color;
  pen.beginPath();
  pen.moveTo(0, y(last.close));
  pen.lineTo(width - right + 6, y(last.close));
  pen.stroke();
  pen.setLineDash([]);
  pen.fillStyle = color;
  pen.beginPath();
  pen.roundRect(width - right + 7, y(last.close) - 9, right - 9, 18, 4);
  pen.fill();
  pen.fillStyle = css("--card");
  pen.fillText(last.close.toFixed(places), width - right + 12, y(last.close) + 0.5);

  if (!pointer) return last;
  const at = Math.min(Math.max(Math.floor((pointer.x - left) / slot), 0), shown.length - 1);
  pen.fillStyle = css("--dim") + "66";
  pen.fillRect(Math.round(x(at)), 0, 1, body);
  return shown[at];
}
