// A load of every route and every socket of a plant: `make load`, or
//
//   k6 run -e URL=http://127.0.0.1:8000 ops/k6/load.js
//
// RATE walks over all routes begin each second (2), whatever becomes of the ones before, for
// DURATION (30s). A route fails where its p95 is above P95_MS (500) or a check does not hold.

import http from 'k6/http';
import ws from 'k6/ws';
import { check, fail, sleep } from 'k6';
import exec from 'k6/execution';
import { ROUTES, SOCKETS } from './routes.js';

const URL = (__ENV.URL || 'http://127.0.0.1:8000').replace(/\/$/, '');
const DURATION = __ENV.DURATION || '30s';
const RATE = Number(__ENV.RATE || 2);
const P95_MS = Number(__ENV.P95_MS || 500);
const KEY = __ENV.TICKPLANT_KEY ? { Authorization: `Bearer ${__ENV.TICKPLANT_KEY}` } : {};
const NS_PER_MS = 1e6;
const SOCKET_MS_MAX = 5000;
const SOCKET_PAUSE_S = 0.5;

const thresholds = { checks: ['rate==1'], http_req_failed: ['rate==0'] };
for (const route of Object.keys(ROUTES)) {
  thresholds[`http_req_duration{route:${route}}`] = [`p(95)<${P95_MS}`];
  thresholds[`checks{route:${route}}`] = ['rate==1'];
}
for (const path of Object.keys(SOCKETS)) {
  thresholds[`checks{route:WS ${path}}`] = ['rate==1'];
}

export const options = {
  scenarios: {
    routes: {
      executor: 'constant-arrival-rate', exec: 'walk', duration: DURATION, rate: RATE,
      preAllocatedVUs: 8, maxVUs: 200, gracefulStop: '20s',
    },
    sockets: {
      executor: 'constant-vus', exec: 'listen', duration: DURATION, vus: Object.keys(SOCKETS).length, gracefulStop: '20s',
    },
  },
  thresholds,
  systemTags: ['check', 'error_code', 'method', 'name', 'scenario', 'status', 'group'],
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max'],
  noCookiesReset: true,
};

const ask = (route, request) => {
  const [method] = route.split(' ');
  const status = request.status || 200;
  const params = {
    headers: { ...KEY, ...(request.headers || {}) },
    tags: { route, name: route },
    responseCallback: http.expectedStatuses(status),
  };
  return http.request(method, `${URL}${request.path}`, request.body || null, params);
};

const must = (route, request) => {
  const answer = ask(route, request);
  if (answer.status !== (request.status || 200)) fail(`${route}: ${answer.status} ${answer.body}`);
  return answer;
};

const post = (path, body) => must(`POST ${path}`, {
  path, body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' }, status: 201,
});

// The document and the list above have the same routes, or nothing begins.
const compare = () => {
  const { paths } = must('GET /openapi.json', { path: '/openapi.json' }).json();
  const told = new Set(
    Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map((m) => `${m.toUpperCase()} ${path}`)),
  );
  const missing = [...told].filter((route) => !ROUTES[route]);
  if (missing.length) fail(`ops/k6/routes.js lacks ${missing.join(', ')}`);
};

const findInstrument = () => {
  for (let turn = 0; turn < 50; turn += 1) {
    const { latest } = must('GET /v1/latest', { path: '/v1/latest?symbols=*' }).json();
    const found = latest.find((one) => one.trade && one.quote && one.quote.bid_price && one.quote.ask_price && one.venue !== 'K6');
    if (found) return found;
  }
  return fail('the plant has no instrument with a trade and a quote');
};

export function setup() {
  compare();
  const found = findInstrument();
  const begun = Date.now();
  const iso = (ms) => new Date(ms).toISOString();
  post('/v1/stats', { symbol: 'STAT', venue: 'K6', name: 'open_interest', value: 1 });
  const feeds = must('GET /v1/feeds', { path: '/v1/feeds' }).json('feeds');
  const feed = feeds.find((one) => one.kind === 'synthetic') || feeds[0];
  return {
    symbol: `${found.venue}:${found.symbol}`, bare: found.symbol, feed: feed.id, epoch: begun,
    before: iso(begun - 600000), begun: iso(begun - 60000), after: iso(begun + 86400000),
  };
}

const world = (data) => {
  // A number that no other walk has, of this run or of another: times and ids are made from it.
  const number = data.epoch * 1000 + exec.scenario.iterationInTest;
  // Times of ticks are keys here, so each walk has its own two nanoseconds of the last minute.
  const stamp = (more) => {
    const ns = BigInt(data.epoch - 30000) * BigInt(NS_PER_MS) + BigInt(exec.scenario.iterationInTest * 2 + more);
    return `${new Date(Number(ns / 1000000n)).toISOString().slice(0, 19)}.${(ns % 1000000000n).toString().padStart(9, '0')}Z`;
  };
  return { ...data, number, stamp: stamp(0), stampBulk: stamp(1) };
};

export function walk(data) {
  let now = world(data);
  for (const [route, make] of Object.entries(ROUTES)) {
    const request = make(now);
    const answer = ask(route, request);
    const status = request.status || 200;
    const checks = { [`${route}: ${status}`]: (a) => a.status === status };
    for (const [name, holds] of Object.entries(request.checks)) {
      checks[`${route}: ${name}`] = (a) => a.status === status && holds(a);
    }
    check(answer, checks, { route });
    if (answer.status === status && request.keep) now = { ...now, ...request.keep(answer) };
    if (answer.status !== status) console.error(`${route}: ${answer.status} ${String(answer.body).slice(0, 300)}`);
  }
}

export function listen(data) {
  const paths = Object.keys(SOCKETS);
  const path = paths[exec.vu.idInInstance % paths.length];  // numbers of users follow one another
  const { hello, checks } = SOCKETS[path];
  const route = `WS ${path}`;
  const waiting = new Map(Object.entries(checks));
  const answer = ws.connect(`${URL.replace(/^http/, 'ws')}${path}`, { headers: KEY, tags: { route, name: route } }, (socket) => {
    socket.on('open', () => {
      const first = hello(data);
      if (first !== null) socket.send(first);
    });
    socket.on('message', (message) => {
      for (const [name, holds] of waiting) if (holds(message)) waiting.delete(name);
      if (!waiting.size) socket.close();
    });
    socket.setTimeout(() => socket.close(), SOCKET_MS_MAX);
  });
  const wanted = { [`${route}: opens`]: () => answer && answer.status === 101 };
  for (const name of Object.keys(checks)) wanted[`${route}: ${name}`] = () => !waiting.has(name);
  check(null, wanted, { route });
  sleep(SOCKET_PAUSE_S);
}
