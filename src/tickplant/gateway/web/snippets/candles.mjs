const query = new URLSearchParams({
  interval: "1m", start: "2014-05-07T00:00:00Z", end: "2014-05-08T00:00:00Z",
});
let token = null;
do {
  if (token) query.set("page_token", token);
  const answer = await fetch(`http://127.0.0.1:8000/v1/candles/EURUSD?${query}`);
  const page = await answer.json();
  if (!answer.ok) throw new Error(page.detail);
  for (const bar of page.candles) console.log(bar.start, bar.open, bar.high, bar.low, bar.close, bar.state);
  token = page.next_page_token;
} while (token);
