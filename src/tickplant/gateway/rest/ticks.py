"""`GET /v1/trades/{symbol}` and `GET /v1/quotes/{symbol}`: stored rows in event order, by pages.

The first page pins the snapshot: every later page shows what was visible then, so that rows which
arrive in between neither shift nor double anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from starlette.responses import Response

from tickplant.formats.rows import public_quotes, public_trades, quote_structs, trade_structs
from tickplant.gateway.doors import Call, Door
from tickplant.gateway.rest.again import answered_again
from tickplant.gateway.rest.answers import Page, answer_rows
from tickplant.gateway.rest.pages import Token, decode_token, encode_token, fingerprint, pin
from tickplant.gateway.rest.params import RANGE, check_range, is_quick
from tickplant.model.instruments import Instrument
from tickplant.plant.history import History
from tickplant.store.contract import NOW, AsOf, Cursor

Rows = Callable[..., pa.Table]


def read_trades(call: Call) -> Response:
    """Answer a page of trades."""
    instrument = call.plant.registry.resolve(call.path["symbol"])
    return answered_again(call, instrument, lambda: _trades(call, instrument))


def _trades(call: Call, instrument: Instrument) -> Response:
    rows, token = read_page(call, partial(call.plant.history.trades, instrument), instrument.number)
    return answer_rows(
        call,
        Page(
            key="trades",
            head={"symbol": instrument.symbol, "venue": instrument.venue},
            structs=lambda: row_texts(call, instrument, rows, trade_structs),
            table=lambda: public_trades(rows, instrument),
            next_token=token,
        ),
    )


def read_quotes(call: Call) -> Response:
    """Answer a page of quotes."""
    instrument = call.plant.registry.resolve(call.path["symbol"])
    return answered_again(call, instrument, lambda: _quotes(call, instrument))


def _quotes(call: Call, instrument: Instrument) -> Response:
    rows, token = read_page(call, partial(call.plant.history.quotes, instrument), instrument.number)
    return answer_rows(
        call,
        Page(
            key="quotes",
            head={"symbol": instrument.symbol, "venue": instrument.venue},
            structs=lambda: row_texts(call, instrument, rows, quote_structs),
            table=lambda: public_quotes(rows, instrument),
            next_token=token,
        ),
    )


def row_texts(
    call: Call, instrument: Instrument, rows: pa.Table, structs: Callable[[pa.Table], list[Any]]
) -> msgspec.Raw:
    """Return rows for JSON, those that were written before as they were written then.

    A row is never another one under its number: a correction is a row of its own.
    """

    def chosen(places: slice | NDArray[np.int64]) -> list[Any]:
        return structs(rows if isinstance(places, slice) else rows.take(pa.array(places)))

    query = call.query
    name = (call.door.path, instrument.number, query["order"], query["start"])
    keys = rows["seq"].to_numpy().reshape(1, -1).copy()  # not to hold on to what it is a part of
    return msgspec.Raw(call.plant.history.texts.array(name, keys, chosen))


def read_page(call: Call, rows_of: Rows, subject: object) -> tuple[pa.Table, str | None]:
    """Return the rows of the page that a call asks for, and the token of the next one or None.

    `rows_of` takes start, end, descending, limit, after and as_of. One row more than the page is
    read, to know whether there is another.
    """
    query = call.query
    check_range(query["start"], query["end"])
    mark = fingerprint(call.door.path, {**query, "of": subject})
    as_of, after = snapshot(call.plant.history, query, mark)
    limit = query["limit"]
    rows = rows_of(
        start=query["start"],
        end=query["end"],
        descending=query["order"] == "desc",
        limit=limit + 1,
        after=after,
        as_of=as_of,
    )
    if rows.num_rows <= limit:
        return rows, None
    rows = rows.slice(0, limit)
    place = (rows["ts_event"][-1].as_py(), rows["seq"][-1].as_py())
    return rows, encode_token(mark, place, as_of)


def snapshot(history: History, query: Mapping[str, Any], mark: int) -> tuple[AsOf, Cursor | None]:
    """Return the snapshot of a query and where its page begins; of the first page both are new."""
    if query["page_token"] is not None:
        token: Token = decode_token(query["page_token"], mark)
        return token.as_of, Cursor(*token.place)
    return pin(wanted_as_of(history, query), history.seq_last), None


def wanted_as_of(history: History, query: Mapping[str, Any]) -> AsOf:
    """Return what the parameter `as_of` means; the present where it is absent."""
    return NOW if query["as_of"] is None else history.resolve_as_of(query["as_of"])


_SYMBOL = {"symbol": "`SYMBOL` or `VENUE:SYMBOL`, in any case."}

DOORS = (
    Door(
        method="GET",
        path="/v1/trades/{symbol}",
        tag="Read",
        summary="Trades of an instrument",
        doc="Trades with `start <= ts_event < end`, by event time and then sequence number, as "
        "they stand: a corrected trade shows its last correction (`corrects` names what it "
        "corrects), a cancelled one is left out. Pages are stable while rows arrive.",
        model="TradesPage",
        params=RANGE,
        path_params=_SYMBOL,
        rows=True,
        refusals=(400, 404, 406),
        read=read_trades,
        quick=is_quick,
    ),
    Door(
        method="GET",
        path="/v1/quotes/{symbol}",
        tag="Read",
        summary="Quotes of an instrument",
        doc="Quotes with `start <= ts_event < end`, by event time and then sequence number. A side "
        "without a quote is null. Pages are stable while rows arrive.",
        model="QuotesPage",
        params=RANGE,
        path_params=_SYMBOL,
        rows=True,
        refusals=(400, 404, 406),
        read=read_quotes,
        quick=is_quick,
    ),
)
