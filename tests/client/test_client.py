"""The clients against a whole plant behind a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import tickplant
from stream_fakes import Served
from tickplant.client import AsyncClient, Client
from tickplant.client.problems import Unreachable, error_of
from tickplant.compose import OpenPlant
from tickplant.config import Settings
from tickplant.gateway.app import create_app
from tickplant.model.errors import (
    AmbiguousSymbol,
    Conflict,
    InvalidBody,
    InvalidParameter,
    LogUnavailable,
    NotFound,
    TickplantError,
    UnknownSymbol,
    UserError,
)

T0 = "2024-05-07T00:00:00Z"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("plant")
    with OpenPlant(Settings(data=str(folder))) as opened, Served(create_app(opened.plant)) as made:
        yield made


def rows_of(symbol: str, prices: list[float]) -> list[dict[str, object]]:
    base = 1_715_040_000_000_000_000
    return [
        {"symbol": symbol, "ts_event": base + place * 10**9, "price": price, "size": 1.0}
        for place, price in enumerate(prices)
    ]


def test_what_is_posted_is_read_in_every_form(served: Served) -> None:
    with Client(served.url) as client:
        receipt = client.post_trades(rows_of("FORMS", [1.5, 2.5, -1.0, 3.5]))
        assert (receipt.accepted, receipt.duplicates) == (3, 0)
        assert [(one.index, one.reason) for one in receipt.rejected] == [(2, "price_not_positive")]
        rows = client.trades("forms")
        assert rows.about == {"symbol": "FORMS", "venue": "ORIGIN"}
        assert rows.arrow()["price"].to_pylist() == [1.5, 2.5, 3.5]
        assert rows.pandas()["price"].tolist() == [1.5, 2.5, 3.5]
        assert rows.polars()["price"].to_list() == [1.5, 2.5, 3.5]
        assert [row["price"] for row in rows] == [1.5, 2.5, 3.5]
        assert [row["price"] for row in client.trades("FORMS", order="desc", limit=2)] == [3.5, 2.5]
        assert len(client.trades("FORMS", start=T0, end="2024-05-07T00:00:01Z")) == 1


@pytest.mark.parametrize("form", ["list", "arrow", "batch", "pandas", "polars"])
def test_rows_are_taken_from_any_kind_of_table(served: Served, form: str) -> None:
    listed = rows_of(f"TAKE-{form}", [1.0, 2.0])
    table = pa.Table.from_pylist(listed)
    rows = {
        "list": listed,
        "arrow": table,
        "batch": table.to_batches()[0],
        "pandas": pd.DataFrame(listed),
        "polars": pl.DataFrame(listed),
    }[form]
    with Client(served.url) as client:
        assert client.post_trades(rows).accepted == 2
        assert [row["price"] for row in client.trades(f"TAKE-{form}")] == [1.0, 2.0]


def test_many_rows_come_in_pages_that_nobody_sees(served: Served) -> None:
    many = pa.Table.from_pylist(rows_of("PAGES", [float(n + 1) for n in range(25_000)]))
    with Client(served.url) as client:
        assert client.post_trades(many).accepted == 25_000
        assert client.trades("PAGES").arrow()["price"].to_pylist() == [
            float(n + 1) for n in range(25_000)
        ]
        assert len(client.trades("PAGES", limit=10_001)) == 10_001
        seconds = client.candles("PAGES", "1s")
        assert len(seconds) == 25_000
        assert [row["close"] for row in client.candles("PAGES", "1s", limit=2)] == [24_999, 25_000]
        assert seconds.about["interval"] == "1s"


def test_the_other_routes(served: Served) -> None:
    with Client(served.url) as client:
        client.post_quotes({"symbol": "ROUTES", "bid_price": 1.0, "ask_price": 2.0})
        [quote] = client.quotes("ROUTES")
        assert (quote["bid_price"], quote["ask_price"]) == (1.0, 2.0)
        assert client.latest("ROUTES")["quote"]["seq"] == quote["seq"]
        assert [one["symbol"] for one in client.latest(["ROUTES"])] == ["ROUTES"]
        assert "ROUTES" in [row["symbol"] for row in client.instruments(q="rout")]
        assert client.status()
        assert client.feeds() is not None
        client.post_trades({"symbol": "ROUTES", "price": -5})
        refused = list(client.quarantine(reason="price_not_positive"))
        assert refused[-1]["symbol"] == "ROUTES"


def test_a_trade_is_corrected_and_cancelled(served: Served) -> None:
    with Client(served.url) as client:
        first = client.post_trades(rows_of("AMEND", [1.0, 2.0])).seq_first
        assert first is not None
        assert client.correct("AMEND", first, price=1.25)["price"] == 1.25
        assert [row["price"] for row in client.trades("AMEND")] == [1.25, 2.0]
        assert client.cancel("AMEND", first)["cancels"] == first
        assert [row["price"] for row in client.trades("AMEND")] == [2.0]
        assert [row["price"] for row in client.trades("AMEND", as_of=first + 1)] == [1.0, 2.0]


def test_refusals_are_the_errors_of_the_tree(served: Served) -> None:
    with Client(served.url) as client:
        client.post_trades([{"symbol": "TWICE", "venue": venue, "price": 1} for venue in "AB"])
        with pytest.raises(UnknownSymbol) as unknown:
            client.trades("NOWHERE")
        assert unknown.value.symbol == "NOWHERE"
        with pytest.raises(AmbiguousSymbol) as ambiguous:
            client.trades("TWICE")
        assert ambiguous.value.choices == ("A:TWICE", "B:TWICE")
        with pytest.raises(InvalidParameter, match="yesterday"):
            client.trades("TWICE", start="yesterday")
        with pytest.raises(InvalidBody):
            client.post_trades([{"symbol": "X", "price": -1}], strict=True)
        with pytest.raises(NotFound):
            client.cancel("A:TWICE", 10**9)
        with pytest.raises(InvalidParameter, match="limit: 0"):
            client.trades("A:TWICE", limit=0)


@pytest.mark.parametrize(
    ("status", "title", "kind"),
    [
        (409, "Conflict", Conflict),
        (418, "Teapot", UserError),
        (500, "", TickplantError),
        (503, "Log unavailable", LogUnavailable),
    ],
)
def test_problems_become_errors_by_their_title(
    status: int, title: str, kind: type[TickplantError]
) -> None:
    body = f'{{"title":"{title}","detail":"so it is","errors":[]}}'.encode()
    error = error_of(status, body, httpx.Headers({"Retry-After": "7"}))
    assert type(error) is kind
    assert str(error) == "so it is"
    assert getattr(error, "retry_after_s", 7.0) == 7.0
    assert isinstance(error_of(502, b"<html>", {}), TickplantError)


async def test_the_asyncio_client_does_the_same(served: Served) -> None:
    async with AsyncClient(served.url) as client:
        receipt = await client.post_trades(rows_of("AIO", [1.0, 2.0]))
        assert receipt.accepted == 2
        assert len(await client.trades("AIO")) == 2
        assert len(await client.candles("AIO", "1m")) == 1
        await client.post_quotes([{"symbol": "AIO", "bid_price": 1.0}])
        assert len(await client.quotes("AIO")) == 1
        assert (await client.latest("AIO"))["symbol"] == "AIO"
        assert await client.status()
        assert await client.feeds() is not None
        assert len(await client.instruments(q="AIO")) == 1
        assert len(await client.quarantine(reason="nothing")) == 0
        first = receipt.seq_first
        assert first is not None
        await client.correct("AIO", first, price=3.0)
        await client.cancel("AIO", first)
        assert [row["price"] for row in await client.trades("AIO")] == [2.0]


def test_nobody_at_the_address_is_said_so() -> None:
    with (
        Client("http://127.0.0.1:9") as client,
        pytest.raises(Unreachable, match=":9 does"),
    ):
        client.status()
    assert tickplant.Client is Client
