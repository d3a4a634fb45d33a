"""Read the bars of a day."""

from tickplant.client import Client

with Client("http://127.0.0.1:8000") as plant:
    bars = plant.candles("EURUSD", "1m", start="2014-05-07T00:00:00Z", end="2014-05-08T00:00:00Z")
    for bar in bars:
        print(bar["start"], bar["open"], bar["high"], bar["low"], bar["close"], bar["state"])
