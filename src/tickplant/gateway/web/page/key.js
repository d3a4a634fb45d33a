// The key of this tab: kept for as long as the tab lasts, sent in a header or as a subprotocol,
// and never a part of an address.

const PLACE = "tickplant.key";
const SENDABLE = /^[\w.~+/=-]{8,16000}$/;
const IN_PROTOCOL = /^[\w.~+-]+$/;

export const needed = document.documentElement.dataset.keys === "needed";

export function stored() {
  try {
    return sessionStorage.getItem(PLACE) ?? "";
  } catch {
    return ""; // a browser that keeps nothing asks again after a reload
  }
}

let held = stored();

export const key = () => held;
export const isKey = (text) => SENDABLE.test(text);

export function setKey(text) {
  held = text;
  try {
    if (text) sessionStorage.setItem(PLACE, text);
    else sessionStorage.removeItem(PLACE);
  } catch {
    // It is held until the page is left.
  }
}

export const headers = () => (held ? { Authorization: `Bearer ${held}` } : {});

// What a socket offers: the plant's own name, which it chooses, and beside it the key.
export const protocols = () =>
  held && IN_PROTOCOL.test(held) ? ["tickplant", `tickplant.key.${held}`] : [];
