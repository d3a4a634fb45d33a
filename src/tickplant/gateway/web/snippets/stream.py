"""Listen to trades from a time of the past on, then live."""

from tickplant.client import Client

with (
    Client("http://127.0.0.1:8000") as plant,
    plant.stream("trades", "EURUSD", from_="2014-05-07T00:00:00Z") as events,
):
    for trade in events:  # those of the past first, then live; it reconnects and resumes by itself
        print(trade["ts_event"], trade["price"], trade["size"])
        break
