# Store a trade; answered once it is on disk.
curl -sS http://127.0.0.1:8000/v1/trades \
  -H 'Content-Type: application/json' \
  -d '{"symbol": "EURUSD", "price": 1.3928, "size": 100, "ts_event": "2014-05-07T00:00:01Z", "id": "T-17"}'
