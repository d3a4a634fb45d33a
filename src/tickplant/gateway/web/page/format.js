// Numbers as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });
const NONE = "–";
const PLACES_MAX = 10, SIZE_PLACES_MAX = 8;

export const count = (n) => (n == null ? NONE : whole.format(n));
export const short = (n) => (n == null ? NONE : Math.abs(n) < 1e4 ? whole.format(n) : compact.format(n));

export function size(n) {
  if (n == null) return NONE;
  if (Math.abs(n) >= 1e5) return compact.format(n);
  return n.toLocaleString("en", { maximumFractionDigits: Math.abs(n) < 1 ? 6 : 3 });
}

export function bytes(n) {
  if (n == null) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (n >= 1024 && at < units.length - 1) [n, at] = [n / 1024, at + 1];
  return `${n.toFixed(at && n < 100 ? 1 : 0)} ${units[at]}`;
}

// A length of time, in two units at most.
export function span(s) {
  if (s == null) return NONE;
  if (s < 0.9995) return `${Math.max(s * 1000, 0).toFixed(s < 0.00995 ? 1 : 0)} ms`;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export function age(ms) {
  const s = Math.max(ms, 0) / 1000;
  if (s < 1) return "now";
  if (s < 90) return `${Math.floor(s)} s`;
  if (s < 5400) return `${Math.floor(s / 60)} min`;
  return s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
}

export function percent(from, to) {
  if (!from || to == null) return { text: "", up: 0 };
  const value = Math.round((to / from - 1) * 1e4) / 100;
  const sign = value > 0 ? "+" : value < 0 ? "−" : "";
  return { text: `${sign}${Math.abs(value).toFixed(2)} %`, up: Math.sign(value) };
}

export const direction = (up) => (up > 0 ? "up" : up < 0 ? "down" : "");

// -- prices, each with the decimals of its instrument -------------------------------------------

const places = new Map(), sizePlaces = new Map();

export function decimals(price) {
  const [digits, power = "0"] = String(Math.abs(price)).split("e");
  const after = digits.split(".")[1]?.length ?? 0;
  return Math.min(Math.max(after - Number(power), 0), PLACES_MAX);
}

// Learns from a price, or a tick size, how many decimals the instrument has; says if they are more.
export function learn(name, price) {
  if (price == null) return false;
  const seen = decimals(price);
  if (seen <= (places.get(name) ?? -1)) return false;
  places.set(name, seen);
  return true;
}

// The same of sizes, so that those of one column stand decimal below decimal.
export function learnSize(name, size) {
  if (size != null) sizePlaces.set(name, Math.max(Math.min(decimals(size), SIZE_PLACES_MAX), sizePlaces.get(name) ?? 0));
}

export function amount(name, n) {
  if (n == null || Math.abs(n) >= 1e7) return size(n);
  const fixed = sizePlaces.get(name) ?? 0;
  return n.toLocaleString("en", { minimumFractionDigits: fixed, maximumFractionDigits: fixed });
}

export const placesOf = (name) => places.get(name) ?? 2;
export const price = (name, value, more = 0) =>
  value == null ? NONE : value.toFixed(Math.min(placesOf(name) + more, 100));
