"""`GET /v1/latest`: the last that is known, with its age."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
from starlette.responses import Response

from tickplant.formats.latest import age_of, public_latest
from tickplant.formats.rows import TIMESTAMP, public_records
from tickplant.gateway.doors import Call, Door
from tickplant.gateway.rest.answers import FreshJson, Page, answer_rows
from tickplant.gateway.rest.params import FORMAT, Param, said_in_query
from tickplant.model.errors import InvalidParameter, UserError
from tickplant.model.instruments import Instrument, Registry
from tickplant.model.times import parse_time
from tickplant.observe.freshness import freshness
from tickplant.plant.plant import Plant

_ENCODER = msgspec.json.Encoder()

SYMBOLS_MAX = 1_000
QUICK_MAX = 4
"""So many are found in less than a millisecond."""
ALL_MAX = 10_000
"""Instruments that `*` gives."""
_ALLOWED = f"1 to {SYMBOLS_MAX} symbols with commas between them, or *"


def latest_of(plant: Plant, instruments: Sequence[Instrument]) -> list[dict[str, Any]]:
    """Return the last of instruments, as JSON shows it."""
    found = plant.history.latest(instruments)
    return public_latest(instruments, found.tables, found.places, found.last, plant.clock())


def read_one(call: Call) -> Response:
    """Answer the last of the instrument in the path."""
    instrument = call.plant.registry.resolve(call.path["symbol"])
    history = call.plant.history
    # The mark is taken first, so that what comes in meanwhile is not missed.
    mark = history.mark(instrument.number, book=True)
    name = ("latest", instrument.symbol, instrument.venue)
    last: _Last | None = None if mark is None else history.kept.get(name, mark)
    if last is None:
        last = _Last.of(call.plant, instrument)
        if mark is not None:
            history.kept.put(name, mark, last, len(last.before) + len(last.behind))
    return FreshJson(last.text(call.plant.clock()))


class _Last(NamedTuple):
    """The last of an instrument as JSON, without what the time of the answer makes of it.

    `ts` is the time from which its age counts, None for none.
    """

    before: bytes
    ts: int | None
    behind: bytes

    @classmethod
    def of(cls, plant: Plant, instrument: Instrument) -> _Last:
        found = plant.history.latest([instrument])
        [row] = public_latest([instrument], found.tables, found.places, found.last, plant.clock())
        ts = None if row["ts_event"] is None else int(found.last[0])
        before = {name: row.pop(name) for name in ("symbol", "venue", "ts_event")}
        del row["age_s"], row["freshness"]
        return cls(_ENCODER.encode(before)[:-1], ts, _ENCODER.encode(row)[1:])

    def text(self, now: int) -> bytes:
        """Return it with its age at a time, ns."""
        age_s = age_of(self.ts, now)
        aged = _ENCODER.encode({"age_s": age_s, "freshness": freshness(age_s).status})
        return b",".join((self.before, aged[1:-1], self.behind))


def read_several(call: Call) -> Response:
    """Answer the last of the instruments in `symbols`."""
    wanted = call.query["symbols"]
    if wanted is None:
        raise InvalidParameter("symbols", "", f"{_ALLOWED}; it must be given")
    chosen = _resolve(call.plant.registry, wanted)
    rows = latest_of(call.plant, chosen[:ALL_MAX])
    return answer_rows(
        call,
        Page(
            key="latest",
            head={"left_out": max(len(chosen) - ALL_MAX, 0)},
            structs=lambda: rows,
            table=lambda: _table(rows),
            paged=False,
        ),
    )


def _resolve(registry: Registry, symbols: list[str]) -> list[Instrument]:
    if symbols == ["*"]:
        return list(registry)
    try:
        return [registry.resolve(symbol) for symbol in symbols]
    except UserError as fault:
        raise said_in_query(fault, "symbols") from None


def parse_symbols(given: str, allowed: str = _ALLOWED) -> list[str]:
    """Return the symbols in a text, each once. Raises `InvalidParameter`."""
    symbols = list(dict.fromkeys(part.strip() for part in given.split(",")))
    if not all(symbols) or len(symbols) > SYMBOLS_MAX:
        raise InvalidParameter("symbols", given, allowed)
    return symbols


def _is_quick(query: Mapping[str, Any]) -> bool:
    """Say whether so few were asked for that they can be found at once."""
    symbols = query["symbols"]
    return symbols is not None and symbols != ["*"] and len(symbols) <= QUICK_MAX


_FLAT = pa.schema(
    [
        ("symbol", pa.string()),
        ("venue", pa.string()),
        ("ts_event", TIMESTAMP),
        ("age_s", pa.float64()),
        ("freshness", pa.string()),
        ("price", pa.float64()),
        ("size", pa.float64()),
        ("bid_price", pa.float64()),
        ("bid_size", pa.float64()),
        ("ask_price", pa.float64()),
        ("ask_size", pa.float64()),
    ]
)


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    flat = []
    for row in rows:
        trade, quote = row["trade"], row["quote"]
        flat.append(
            {
                **{name: row[name] for name in ("symbol", "venue", "age_s", "freshness")},
                "ts_event": None if row["ts_event"] is None else parse_time(row["ts_event"]),
                **{name: getattr(trade, name, None) for name in ("price", "size")},
                **{name: getattr(quote, name, None) for name in _FLAT.names[7:]},
            }
        )
    return public_records(flat, _FLAT)


SYMBOLS = Param(
    "symbols",
    parse_symbols,
    f"{_ALLOWED[0].upper()}{_ALLOWED[1:]}.",
    {"type": "string", "minLength": 1},
    example="EURUSD,BTC-USDT",
    required=True,
)

DOORS = (
    Door(
        method="GET",
        path="/v1/latest/{symbol}",
        tag="Read",
        summary="The last of an instrument",
        doc="Last trade, last quote and the last 1m candle, with their age and freshness.",
        model="LatestModel",
        path_params={"symbol": "`SYMBOL` or `VENUE:SYMBOL`, in any case."},
        refusals=(400, 404),
        read=read_one,
        quick=lambda _: True,
    ),
    Door(
        method="GET",
        path="/v1/latest",
        tag="Read",
        summary="The last of several instruments",
        doc="As above for each symbol, in the order asked for; `*` gives the "
        f"first {ALL_MAX:,} and says how many it left out. CSV, Arrow and Parquet carry last "
        "price and quote in one flat row.",
        model="LatestList",
        params=(SYMBOLS, FORMAT),
        rows=True,
        refusals=(400, 404, 406),
        read=read_several,
        quick=_is_quick,
    ),
)
