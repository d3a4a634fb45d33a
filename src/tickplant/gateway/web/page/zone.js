// Times in a zone: an instant moved by the zone's offset, so that it can be read as if it were UTC.

const SLOT_MS = 900000; // offsets change on quarters of an hour only
const KEPT_MAX = 50000;
const clocks = new Map();
const offsets = new Map();

function clockOf(zone) {
  if (!clocks.has(zone)) {
    const parts = { year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric" };
    clocks.set(zone, new Intl.DateTimeFormat("en-US", { timeZone: zone, hourCycle: "h23", ...parts }));
  }
  return clocks.get(zone);
}

export function offset(ms, zone) {
  if (zone === "UTC") return 0;
  const slot = Math.floor(ms / SLOT_MS) * SLOT_MS;
  const name = `${zone} ${slot}`;
  let found = offsets.get(name);
  if (found === undefined) {
    const of = {};
    for (const { type, value } of clockOf(zone).formatToParts(slot)) of[type] = Number(value);
    found = Date.UTC(of.year, of.month - 1, of.day, of.hour, of.minute) - Math.floor(slot / 60000) * 60000;
    if (offsets.size > KEPT_MAX) offsets.clear();
    offsets.set(name, found);
  }
  return found;
}

// The text of an instant on the zone's clock: "2014-05-07T00:00:00.000".
export const onClock = (ms, zone) => new Date(ms + offset(ms, zone)).toISOString().slice(0, 23);

export function isZone(name) {
  try {
    clockOf(name);
    return true;
  } catch {
    return false;
  }
}

export const zones = () => ["UTC", ...Intl.supportedValuesOf("timeZone").filter((zone) => zone !== "UTC")];
