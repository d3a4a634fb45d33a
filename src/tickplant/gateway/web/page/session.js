// Whether the page is connected, said in the header and, when it is not, across the page; and the
// field for a key, where the plant asks for one.

import { onRefusedKey } from "./api.js";
import { $, kind, put } from "./dom.js";
import { isKey, key, needed, setKey } from "./key.js";
import { span } from "./format.js";

const BACK_MS = 6000;
let next = null;

// `connect` is called when there is a key to try.
export function startKey(connect) {
  const dialog = $("key-dialog");
  $("key").hidden = !needed;
  $("key").onclick = () => askKey("");
  $("key-form").onsubmit = (event) => {
    event.preventDefault();
    const text = $("key-field").value.trim();
    if (text && !isKey(text)) return sayKey("A key looks like tp_…; a token like eyJ….");
    setKey(text);
    dialog.close();
    connect();
  };
  $("key-forget").onclick = () => {
    setKey("");
    location.reload();
  };
  onRefusedKey((fault) => askKey(fault.message));
}

function sayKey(text) {
  $("key-fault").textContent = text;
  $("key-fault").hidden = !text;
}

export function askKey(reason) {
  const dialog = $("key-dialog");
  const why = reason.split(":")[0]; // behind it, how a program sends a key
  sayKey(reason && key() ? `The plant refused this key: ${why}.` : why);
  $("key-forget").hidden = !key();
  if (dialog.open) return;
  $("key-field").value = "";
  dialog.showModal();
}

export const hasKey = () => !needed || Boolean(key());

// Whether the stream has been let in. Until then nothing else is asked, as it would be refused, too.
let isIn = !needed;
export const mayAsk = () => isIn;

// -- the connection -----------------------------------------------------------------------------

export function showConnection({ state, reason, again, away }) {
  clearInterval(next);
  document.body.classList.toggle("away", state === "lost" || state === "refused");
  if (needed && state === "live") isIn = true;
  if (needed && state === "refused") isIn = false;
  if (state === "live") return showLive(away);
  if (state === "connecting") return pill("waiting", $("banner").hidden ? "connecting" : "reconnecting");
  if (state === "refused") {
    pill("lost", "refused");
    banner("bad", `Not connected: ${reason.split(":")[0] || "the plant refused it"}.`);
    if (needed || reason.includes("key")) askKey(reason);
    return;
  }
  const until = performance.now() + again;
  const tick = () => {
    const left = Math.max(until - performance.now(), 0) / 1000;
    pill("lost", "reconnecting");
    banner("bad", `Connection lost: ${reason}. What you see is as of then; trying again in ${Math.ceil(left)} s.`);
  };
  tick();
  next = setInterval(tick, 500);
}

function showLive(away) {
  pill("live", "live");
  if (away == null) return banner("", "");
  banner("good", `Connected again after ${span(away / 1000)}; what was missed has been loaded.`);
  next = setTimeout(() => banner("", ""), BACK_MS);
}

export function pill(name, text) {
  kind($("connection"), `pill ${name}`);
  put($("connection"), text);
}

function banner(name, text) {
  kind($("banner"), `banner ${name}`);
  put($("banner-text"), text);
  $("banner").hidden = !text;
}
