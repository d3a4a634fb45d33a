const key = process.env.TICKPLANT_KEY;
const answer = await fetch("http://127.0.0.1:8000/v1/status", {
  headers: { Authorization: `Bearer ${key}` },
});
const status = await answer.json();
if (!answer.ok) throw new Error(status.detail);
console.log(status.state);

// A browser cannot set headers of a WebSocket: it offers the key as a subprotocol.
const socket = new WebSocket("ws://127.0.0.1:8000/v1/stream", ["tickplant", `tickplant.key.${key}`]);
socket.onopen = () => socket.send('{"op": "ping"}');
socket.onmessage = ({ data }) => {
  console.log(JSON.parse(data).op);
  socket.close();
};
