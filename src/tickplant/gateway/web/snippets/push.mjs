const answer = await fetch("http://127.0.0.1:8000/v1/trades", {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({
    symbol: "EURUSD", price: 1.3928, size: 100, ts_event: "2014-05-07T00:00:01Z", id: "T-17",
  }),
});
const receipt = await answer.json();
if (!answer.ok) throw new Error(receipt.detail);
console.log(receipt.accepted, receipt.duplicates);
