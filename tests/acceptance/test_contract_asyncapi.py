"""The AsyncAPI document, held against what a plant says over its sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from contract_kit import NOW, Json, Site, site
from websockets.sync.client import ClientConnection, connect

from tickplant.gateway.asyncapi.document import ALL, asyncapi_document
from tickplant.gateway.keys.rules import SOCKETS
from tickplant.plant.published import CHANNELS

WAIT_S = 20
SECOND = 10**9
TRADE = {"symbol": "EURUSD", "price": 1.5, "size": 2, "side": "buy"}


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "$ref")
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from references(one)


def find(document: Json, reference: str) -> Any:
    found: Any = document
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found


def validator(document: Json, message: Json) -> Any:
    return jsonschema_rs.validator_for({**message["payload"], "components": document["components"]})


def test_the_document_hangs_together() -> None:
    document = asyncapi_document("/tickplant")
    assert document["asyncapi"].startswith("3.")
    for reference in references(document):
        find(document, reference)
    assert {channel["address"] for channel in document["channels"].values()} == set(SOCKETS)
    assert document["servers"]["plant"]["pathname"] == "/tickplant"
    said = {
        reference["$ref"].rpartition("/")[2]
        for operation in document["operations"].values()
        for reference in operation["messages"]
    }
    assert said == {
        name for channel in document["channels"].values() for name in channel["messages"]
    }


def test_every_message_has_an_example_that_fits_it_and_no_other() -> None:
    document = asyncapi_document()
    for socket in ALL:
        own = {
            name: validator(document, find(document, reference["$ref"]))
            for name, reference in document["channels"][socket.name]["messages"].items()
        }
        for heard in (socket.hears, socket.says):
            for name in heard:
                (example,) = document["components"]["messages"][f"{socket.name}_{name}"]["examples"]
                fitting = [one for one in heard if own[one].is_valid(example["payload"])]
                assert fitting == [name]


# -- a plant that says everything ------------------------------------------------------------------


class Heard:
    """Takes what a plant says over a socket, and holds it against the document."""

    def __init__(self, document: Json, name: str, socket: ClientConnection) -> None:
        (spoken,) = (one for one in ALL if one.name == name)
        self.socket, self.kinds = socket, set[str]()
        self._models = {
            kind: validator(document, document["components"]["messages"][f"{name}_{kind}"])
            for kind in spoken.says
        }

    def send(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def next(self) -> Json:
        message: Json = json.loads(self.socket.recv(WAIT_S))
        fitting = [name for name, model in self._models.items() if model.is_valid(message)]
        assert len(fitting) == 1, (message, fitting)
        self.kinds.add(fitting[0])
        return message

    def until(self, kind: str) -> Json:
        """Take messages until one is of this kind."""
        while True:
            before, self.kinds = self.kinds, set()
            message = self.next()
            found, self.kinds = kind in self.kinds, self.kinds | before
            if found:
                return message


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("asyncapi")
    with site(folder, stream__heartbeat_s=0.1, candles__bases="trade,mid") as made:
        rows = [{**TRADE, "ts_event": NOW - back * SECOND} for back in (300, 200, 100)]
        made.post("/v1/trades", rows)
        yield made


@pytest.fixture
def document(plant: Site) -> Json:
    return plant.get("/asyncapi.json")


def listen(plant: Site, path: str) -> Any:
    return connect(plant.ws.removesuffix("/v1/stream") + path, open_timeout=WAIT_S)


def test_what_the_stream_says_is_in_the_document(plant: Site, document: Json) -> None:
    with listen(plant, "/v1/stream") as socket:
        heard = Heard(document, "stream", socket)
        heard.send(op="ping", id="p")
        heard.until("Pong")
        wishes: dict[str, Json] = {
            "candles": {"interval": "1m", "from": "2024-05-08T00:00:00Z"},
            "indicators": {"interval": "1m", "name": "sma:2", "from": "2024-05-08T00:00:00Z"},
            "trades": {"from": "2024-05-08T00:00:00Z"},
        }
        assert set(wishes) <= set(CHANNELS)
        for number, channel in enumerate(CHANNELS, 1):
            heard.send(
                op="subscribe", id=number, channel=channel,
                **({} if channel == "status" else {"symbols": ["*"]}), **wishes.get(channel, {}),
            )  # fmt: skip
            heard.until("Subscribed")
        heard.send(op="subscribe", id="top", channel="books", symbols=["*"], depth=5)
        heard.until("Subscribed")
        plant.post("/v1/trades", {**TRADE, "ts_event": NOW})
        quote = {"symbol": "EURUSD", "bid_price": 1.4, "ask_price": 1.6, "ts_event": NOW}
        plant.post("/v1/quotes", quote)
        stat = {"symbol": "EURUSD", "name": "open_interest", "value": 5, "ts_event": NOW}
        plant.post("/v1/stats", stat)
        seq = plant.rows("/v1/trades/EURUSD")[0]["seq"]
        plant.http.put(f"/v1/trades/EURUSD/{seq}", json={"price": 1.25}).raise_for_status()
        heard.until("Stats")
        for wrong in (
            {"op": "subscribe", "id": 50, "channel": "trades", "symbols": ["NOTHING"]},
            {"op": "nothing"},
            {"op": "subscribe", "id": 1, "channel": "trades", "symbols": ["EURUSD"]},
        ):
            heard.send(**wrong)
            heard.until("Error")
        heard.send(op="unsubscribe", id=1)
        heard.until("Unsubscribed")
        with listen(plant, "/v1/ingest?strict=false") as producer:  # which leaves a gap
            for message in (
                {"op": "hello", "feed": "mine", "symbols": ["EURUSD"]},
                {"op": "rows", "seq": 1, "table": "trades", "rows": [TRADE]},
                {"op": "alive", "ts": NOW},
            ):
                producer.send(json.dumps(message))
            while json.loads(producer.recv(WAIT_S))["op"] != "ack":
                pass
        heard.until("Gap")
        heard.until("Heartbeat")
    silent = {"Slow", "Feed", "Books"}  # which take a slow client, a venue, a book
    assert heard.kinds | silent == {kind for one in ALL[:1] for kind in one.says}


def test_what_a_book_is_fits_too(document: Json) -> None:
    from tickplant.gateway.rest.models import BookModel

    books = validator(document, document["components"]["messages"]["stream_Books"])
    shown = {name: None for name in BookModel.model_fields if name != "depth_bps"}
    whole = {**shown, "symbol": "A", "venue": "X", "state": "none", "bids": [], "asks": []}
    frame = {"op": "data", "id": 1, "channel": "books", "seq": 1}
    assert books.is_valid({**frame, "events": [whole]})
    assert not books.is_valid({**frame, "events": [{**whole, "other": 1}]})


def test_what_the_ingest_socket_says_is_in_the_document(plant: Site, document: Json) -> None:
    with listen(plant, "/v1/ingest") as socket:
        heard = Heard(document, "ingest", socket)
        heard.until("HelloSaid")
        for message, answer in (
            ({"op": "hello", "feed": "other", "producer": "p", "venue": "X"}, "Ready"),
            ({"op": "rows", "seq": 1, "table": "trades", "rows": [TRADE, {}]}, "Ack"),
            ({"op": "rows", "seq": 2, "table": "nothing", "rows": []}, "Refused"),
            ({"op": "rows", "seq": 3, "table": "trades", "rows": [1]}, None),
            ({"op": "ping", "id": 4}, "PongSaid"),
            ({"op": "hole", "start": NOW, "end": 0}, "Refused"),
            ({"op": "end"}, "Ended"),
        ):
            heard.send(**message)
            if answer is not None:
                heard.until(answer)
        heard.until("Beat")
    assert heard.kinds == {kind for one in ALL if one.name == "ingest" for kind in one.says}


def test_what_other_systems_sockets_say_is_in_the_document(plant: Site, document: Json) -> None:
    with listen(plant, "/ws") as ticker, listen(plant, "/ws/ticks") as ticks:
        heard, told = Heard(document, "ticker", ticker), Heard(document, "ticks", ticks)
        heard.until("Connected")
        heard.send(action="subscribe", symbols=["ORIGIN:EURUSD"])
        heard.until("Changed")
        told.send(action="ping")
        told.until("Ponged")
        plant.post("/v1/trades", {**TRADE, "ts_event": NOW - SECOND})
        heard.until("Ticked")
        told.until("Tick")
        heard.send(action="ping")
        heard.until("Ponged")
        for one in (heard, told):
            one.send(action="nothing")
            one.until("Fault")
    with listen(plant, "/ws/ohlc/minute?symbol=ORIGIN:EURUSD") as bars:
        shown = Heard(document, "bars_minute", bars)
        shown.send(action="ping")
        shown.until("Ponged")
        plant.post("/v1/trades", {**TRADE, "ts_event": NOW - 2 * SECOND})
        shown.until("Bar")
