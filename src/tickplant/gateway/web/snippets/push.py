"""Store a trade: `pip install tickplant`."""

from tickplant.client import Client

with Client("http://127.0.0.1:8000") as plant:
    receipt = plant.post_trades(
        [
            {
                "symbol": "EURUSD",
                "price": 1.3928,
                "size": 100,
                "ts_event": "2014-05-07T00:00:01Z",
                "id": "T-17",
            }
        ]
    )
    print(receipt.accepted, receipt.duplicates)
