// Browsers, and Node from version 22 on.
const socket = new WebSocket("ws://127.0.0.1:8000/v1/stream");
socket.onopen = () => socket.send(JSON.stringify({
  op: "subscribe", id: 1, channel: "trades", symbols: ["EURUSD"], from: "2014-05-07T00:00:00Z",
}));
socket.onmessage = ({ data }) => {
  const message = JSON.parse(data);
  if (message.op === "error") throw new Error(message.message);
  if (message.op !== "data") return;
  for (const trade of message.events) console.log(trade.ts_event, trade.price, trade.size);
  socket.close();
};
