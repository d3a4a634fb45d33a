// The HTTP API of the host that this page is from, also behind a path of a proxy.

import { headers } from "./key.js";

const ROOT = new URL(document.documentElement.dataset.root, document.baseURI);

export class Refused extends Error {
  constructor(status, detail, afterS) {
    super(detail);
    this.status = status;
    this.afterS = afterS;
  }
}

export const address = (path) => new URL(path, ROOT);

export function socketAddress(path) {
  const url = address(path);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}

let refusedKey = () => {};

// Names who is told when a key is missing, unknown, or not enough.
export function onRefusedKey(act) {
  refusedKey = act;
}

async function ask(path, query, signal) {
  const url = address(path);
  for (const [name, value] of Object.entries(query)) {
    if (value != null && value !== "") url.searchParams.set(name, value);
  }
  const answer = await fetch(url, { headers: headers(), cache: "no-store", signal });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  const fault = new Refused(
    answer.status, said.detail ?? `${url.pathname}: ${answer.status}`, Number(answer.headers.get("Retry-After")),
  );
  if (answer.status === 401 || answer.status === 403) refusedKey(fault);
  throw fault;
}

export const get = async (path, query = {}, signal = undefined) => (await ask(path, query, signal)).json();
export const getText = async (path) => (await ask(path, {})).text();
