# curl has no WebSocket yet; the command of the plant has.
tickplant tail trades EURUSD --url http://127.0.0.1:8000 --from 2014-05-07T00:00:00Z --count 1
