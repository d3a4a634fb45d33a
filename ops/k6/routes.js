// Every route of the plant and what must be true of its answer.
//
// The names are those of the OpenAPI document. `load.js` compares the two before it begins, so that
// a route that was added to the plant and not here stops the run. They are walked over in this order:
// what one makes, `keep` hands on to those that change it and take it away. Symbols that are changed
// or deleted are of this load alone, under the venue K6 or named K6FX.

const JSON_TYPE = { 'Content-Type': 'application/json' };
const TEXT_TYPE = { 'Content-Type': 'text/plain' };

const has = (...names) => (answer) => {
  const found = answer.json();
  return names.every((name) => found[name] !== undefined);
};
const rows = (name) => (answer) => Array.isArray(answer.json(name)) && answer.json(name).length > 0;
const listed = (name) => (answer) => Array.isArray(answer.json(name));
const accepted = (answer) => answer.json('accepted') + answer.json('duplicates') >= 1;

const read = (path, said, check) => () => ({ path, checks: { [said]: check } });
const send = (path, body, said, check, { status = 201, headers = JSON_TYPE, keep } = {}) => (world) => ({
  path,
  body: typeof body === 'function' ? body(world) : body,
  headers,
  status,
  keep,
  checks: { [said]: check },
});
const line = (path) => send(
  path, 'trades,symbol=LINE,venue=K6 price=101.5,size=2', 'takes a line', (a) => a.status === 204,
  { status: 204, headers: TEXT_TYPE },
);

// `world` is what `setup` has found: a symbol with data, a feed, the time, a number of its own.
export const ROUTES = {
  'GET /v1/instruments': read('/v1/instruments', 'lists instruments', rows('instruments')),
  'GET /v1/instruments/{symbol}': (w) => ({
    path: `/v1/instruments/${w.symbol}`,
    checks: { 'shows the instrument': has('symbol', 'venue', 'kind') },
  }),
  'GET /v1/trades/{symbol}': (w) => ({
    path: `/v1/trades/${w.symbol}?limit=100`,
    checks: { 'has trades': rows('trades') },
  }),
  'GET /v1/quotes/{symbol}': (w) => ({
    path: `/v1/quotes/${w.symbol}?limit=100`,
    checks: { 'has quotes': rows('quotes') },
  }),
  'GET /v1/stats/{symbol}': read('/v1/stats/K6:STAT', 'has statistics', rows('stats')),
  'GET /v1/stats': read('/v1/stats?symbols=K6:STAT', 'has the last statistics', rows('stats')),
  'POST /v1/stats': send(
    '/v1/stats',
    (w) => JSON.stringify({ symbol: 'STAT', venue: 'K6', name: 'open_interest', value: w.number % 1000 }),
    'takes a statistic', accepted,
  ),
  'GET /v1/books/{symbol}': (w) => ({
    path: `/v1/books/${w.symbol}`,
    checks: { 'says in what state the book is': has('state', 'bids', 'asks') },
  }),
  'GET /v1/candles/{symbol}': (w) => ({
    path: `/v1/candles/${w.symbol}?interval=1m&limit=100`,
    checks: { 'has candles with a state': (a) => rows('candles')(a) && a.json('candles.0.state') !== undefined },
  }),
  'GET /v1/indicators/{symbol}': (w) => ({
    path: `/v1/indicators/${w.symbol}?name=vwap&interval=1s&limit=10`,
    checks: { 'has values': listed('indicators') },
  }),
  'GET /v1/latest/{symbol}': (w) => ({
    path: `/v1/latest/${w.symbol}`,
    checks: { 'has the last trade and its age': has('trade', 'age_s', 'freshness') },
  }),
  'GET /v1/latest': read('/v1/latest?symbols=*', 'has the last values of all', (a) => a.json().latest.length > 0),
  'POST /v1/trades': send(
    '/v1/trades',
    (w) => JSON.stringify([{ symbol: 'TICK', venue: 'K6', price: 100 + (w.number % 10), size: 1, id: `k6-${w.number}` }]),
    'takes a trade', accepted, { keep: (a) => ({ seq: a.json('seq_first') }) },
  ),
  'POST /v1/quotes': send(
    '/v1/quotes', JSON.stringify({ symbol: 'TICK', venue: 'K6', bid_price: 99.5, ask_price: 100.5 }),
    'takes a quote', accepted,
  ),
  'POST /write': line('/write'),
  'POST /api/v2/write': line('/api/v2/write'),
  'GET /ping': () => ({ path: '/ping', status: 204, checks: { 'says that it is there': (a) => a.status === 204 } }),
  'GET /query': read('/query?q=SHOW%20DATABASES', 'answers a collector', has('results')),
  'POST /query': send(
    '/query?q=SHOW%20DATABASES', '', 'answers a collector', has('results'), { status: 200, headers: TEXT_TYPE },
  ),
  'PUT /v1/trades/{symbol}/{seq}': (w) => ({
    path: `/v1/trades/K6:TICK/${w.seq}`,
    body: JSON.stringify({ price: 100.25 + (w.number % 100) / 100 }),
    headers: JSON_TYPE,
    checks: { 'shows the trade as it stands now': has('price', 'seq') },
  }),
  'DELETE /v1/trades/{symbol}/{seq}': (w) => ({
    path: `/v1/trades/K6:TICK/${w.seq}`, checks: { 'names what it cancels': has('seq', 'cancels') },
  }),
  'POST /v1/coverage': send(
    '/v1/coverage',
    (w) => JSON.stringify({ symbols: ['K6:TICK'], start: w.before, end: w.begun }),
    'takes a declaration', (a) => a.status === 201,
  ),
  'GET /v1/gaps': read('/v1/gaps', 'has the ledger', listed('gaps')),
  'POST /prices/poll': send(
    '/prices/poll', (w) => JSON.stringify({ symbols: ['TICK'], interval: 3600 + (w.number % 80000), provider: 'itself' }),
    'starts a job', has('job_id', 'status'), { status: 202, keep: (a) => ({ job: a.json('job_id') }) },
  ),
  'GET /prices/poll': read('/prices/poll', 'lists the jobs', (a) => a.json() !== null),
  'GET /prices/poll/{job_id}': (w) => ({
    path: `/prices/poll/${w.job}`, checks: { 'shows the job': has('job_id', 'status') },
  }),
  'DELETE /prices/poll/{job_id}': (w) => ({
    path: `/prices/poll/${w.job}`, checks: { 'ends the job': has('job_id', 'status') },
  }),
  'GET /v1/quarantine': read('/v1/quarantine?limit=10', 'has the quarantine', listed('quarantine')),
  'GET /v1/feeds': read('/v1/feeds', 'lists feeds', listed('feeds')),
  'GET /v1/status': read('/v1/status', 'says how it is', has('version', 'seq_last', 'store')),
  'GET /v1/feeds/{id}': (w) => ({ path: `/v1/feeds/${w.feed}`, checks: { 'shows the feed': has('id', 'state') } }),
  // Only feeds of venues can be changed; the one of a load is made up.
  'POST /v1/feeds/{id}/symbols': (w) => ({
    path: `/v1/feeds/${w.feed}/symbols`, body: JSON.stringify({ symbols: ['X'] }), headers: JSON_TYPE, status: 409,
    checks: { 'says why it cannot': has('title', 'detail') },
  }),
  'DELETE /v1/feeds/{id}/symbols': (w) => ({
    path: `/v1/feeds/${w.feed}/symbols?symbols=X`, status: 409, checks: { 'says why it cannot': has('title', 'detail') },
  }),
  'GET /health': read('/health', 'is healthy', has('status')),
  'GET /ready': read('/ready', 'is ready', has('ready')),
  'GET /metrics': read('/metrics', 'has metrics', (a) => a.body.includes('tickplant_events_accepted_total')),
  'GET /ohlcv/{symbol}': (w) => ({ path: `/ohlcv/${w.bare}?limit=10`, checks: { 'has bars': rows('bars') } }),
  'GET /spread/{symbol}': (w) => ({ path: `/spread/${w.bare}`, checks: { 'has a spread': has('spread', 'mid_price') } }),
  'GET /liquidity/{symbol}': (w) => ({
    path: `/liquidity/${w.bare}`, checks: { 'has a signal and its freshness': has('imbalance', 'freshness_status') },
  }),
  'GET /pipeline/lag': read('/pipeline/lag', 'has the lag of all', rows('items')),
  'GET /symbols': read('/symbols', 'lists symbols', (a) => a.json() !== null),
  'GET /price/latest': (w) => ({ path: `/price/latest?symbol=${w.bare}`, checks: { 'has a price': has('price') } }),
  'GET /trades': (w) => ({
    path: `/trades?symbol=${w.bare}&start=${w.before}&end=${w.after}&limit=10`,
    checks: { 'has trades': (a) => JSON.stringify(a.json()).includes('price') },
  }),
  'GET /candles': (w) => ({
    path: `/candles?symbol=${w.bare}&interval=1m&start=${w.before}&end=${w.after}`,
    checks: { 'has candles': (a) => JSON.stringify(a.json()).includes('open') },
  }),
  'GET /status/ingestion': read('/status/ingestion', 'is alive', (a) => a.json('ingestion_alive') === true),
  'GET /prices/latest': (w) => ({ path: `/prices/latest?symbol=${w.bare}`, checks: { 'has a price': has('price', 'timestamp') } }),
  'POST /ticks/': send(
    '/ticks/', (w) => JSON.stringify({ time: w.stamp, symbol: 'K6FX', price: 1.25 }), 'takes a tick', (a) => a.json() !== null,
  ),
  'GET /ticks/': (w) => ({
    path: `/ticks/?symbol=K6FX&start=${w.before}&end=${w.after}&limit=10`, checks: { 'has ticks': (a) => a.json() !== null },
  }),
  'PUT /ticks/': (w) => ({
    path: `/ticks/?symbol=K6FX&time=${w.stamp}`, body: JSON.stringify({ price: 1.5 + (w.number % 100) / 100 }), headers: JSON_TYPE,
    checks: { 'shows the tick as it stands now': (a) => a.body.includes('price') },
  }),
  'POST /ticks/bulk': send(
    '/ticks/bulk', (w) => JSON.stringify([{ time: w.stampBulk, symbol: 'K6FX', price: 1.26 }]),
    'takes ticks', (a) => a.json() !== null,
  ),
  'DELETE /ticks/{symbol}/{time}': (w) => ({
    path: `/ticks/K6FX/${w.stampBulk}`, checks: { 'says that it is gone': (a) => a.json() !== null },
  }),
  'DELETE /ticks/{symbol}': (w) => ({
    path: `/ticks/K6FX?start=${w.stamp}&end=${w.stampBulk}`, checks: { 'says how many it took away': (a) => a.json() !== null },
  }),
  'GET /ohlc/minute': (w) => ({ path: `/ohlc/minute?symbol=${w.bare}`, checks: { 'has bars': (a) => a.body.includes('bucket') } }),
  'GET /ohlc/hour': (w) => ({ path: `/ohlc/hour?symbol=${w.bare}`, checks: { 'has bars': (a) => a.body.includes('bucket') } }),
  'GET /ohlc/day': (w) => ({ path: `/ohlc/day?symbol=${w.bare}`, checks: { 'has bars': (a) => a.body.includes('bucket') } }),
  'GET /ohlc/custom-day': (w) => ({
    path: `/ohlc/custom-day?symbol=${w.bare}&day_start_hour=22`, checks: { 'has bars': (a) => a.body.includes('bucket') },
  }),
  // Pages and documents, which stand in no OpenAPI document.
  'GET /': read('/', 'is a page', (a) => a.body.includes('<html')),
  'GET /dashboard': read('/dashboard', 'is a page', (a) => a.body.includes('<html')),
  'GET /docs': read('/docs', 'is a page', (a) => a.body.includes('swagger')),
  'GET /openapi.json': read('/openapi.json', 'describes the routes', has('paths')),
  'GET /ws/stats': read('/ws/stats', 'counts connections', (a) => a.json() !== null),
  'GET /ws-test': read('/ws-test', 'is a page', (a) => a.body.includes('<html')),
};

const said = (word) => (message) => message.includes(word);

// Every socket: what is sent when it is open, and what one of the first messages must have in it.
export const SOCKETS = {
  '/v1/stream': {
    hello: (w) => JSON.stringify({ op: 'subscribe', id: 1, channel: 'trades', symbols: [w.symbol] }),
    checks: { 'is subscribed': said('"subscribed"'), 'gets events': said('"data"') },
  },
  '/v1/ingest': {
    hello: () => JSON.stringify({
      op: 'rows', seq: 1, table: 'trades', rows: [{ symbol: 'TICK', venue: 'K6', price: 100, size: 1 }],
    }),
    checks: { 'acknowledges rows': said('"ack"') },
  },
  '/ws': { hello: (w) => JSON.stringify({ action: 'subscribe', symbols: [w.bare] }), checks: { 'is subscribed': said('subscribed') } },
  '/ws/ticks': { hello: () => null, checks: { 'gets ticks': said('price') } },
  '/ws/ohlc/minute': { hello: () => null, checks: { 'gets bars': said('open') } },
  '/ws/ohlc/hour': { hello: () => null, checks: { 'gets bars': said('open') } },
  '/ws/ohlc/day': { hello: () => null, checks: { 'gets bars': said('open') } },
};
