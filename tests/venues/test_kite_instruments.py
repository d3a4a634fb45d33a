"""Kite's list of instruments as listings."""

from __future__ import annotations

import asyncio
import csv
from pathlib import Path

import pytest

from realdata import real
from tickplant.feeds.venues.contract import Listing, VenueFault
from tickplant.feeds.venues.kite.client import Kite, make
from tickplant.feeds.venues.kite.instruments import read_instruments
from tickplant.feeds.venues.options import Account, VenueOptions
from tickplant.model.instruments import is_symbol, split_name

HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,"
    "lot_size,instrument_type,segment,exchange\n"
)
LINES = """\
408065,1594,INFY,INFOSYS,0,,0.0,0.05,1,EQ,NSE,NSE
256265,1001,NIFTY 50,NIFTY 50,0,,0.0,0.0,0,EQ,INDICES,NSE
1000002,3906,INFY26NOVFUT,INFY,0,2026-11-26,0.0,0.05,400,FUT,NFO-FUT,NFO
1000258,3907,NIFTY26NOV26000CE,NIFTY,0,2026-11-26,26000.0,0.05,75,CE,NFO-OPT,NFO
1000514,3908,SENSEX26NOV85000PE,SENSEX,0,2026-11-26,85000,0.05,20,PE,BFO-OPT,BFO
1000003,3909,USDINR26NOVFUT,USDINR,0,2026-11-26,0.0,0.0025,1,FUT,CDS-FUT,CDS
nonsense,1,BAD,BAD,0,,0,0,1,EQ,NSE,NSE
"""


def listed(text: str = HEADER + LINES) -> dict[str, Listing]:
    return {one.symbol: one for one in read_instruments(text.encode())}


def test_contracts_have_what_they_are_on_and_when_they_end() -> None:
    found = listed()
    assert list(found) == [
        "NSE:INFY", "NSE:NIFTY_50", "NFO:INFY26NOVFUT", "NFO:NIFTY26NOV26000CE",
        "BFO:SENSEX26NOV85000PE", "CDS:USDINR26NOVFUT",
    ]  # fmt: skip
    assert found["NSE:INFY"] == Listing(
        "NSE:INFY", "408065", "equity", quote="INR", tick_size=0.05, lot_size=1.0
    )
    assert found["NSE:NIFTY_50"] == Listing("NSE:NIFTY_50", "256265", "index", quote="INR")
    future = found["NFO:INFY26NOVFUT"]
    assert (future.kind, future.underlying, future.lot_size) == ("future", "NSE:INFY", 400.0)
    assert future.expiry == "2026-11-26T10:00:00Z"  # half past three in India
    call, put = found["NFO:NIFTY26NOV26000CE"], found["BFO:SENSEX26NOV85000PE"]
    assert (call.right, call.strike, call.underlying) == ("call", 26_000.0, "NSE:NIFTY_50")
    assert (put.right, put.strike, put.underlying) == ("put", 85_000.0, "BSE:SENSEX")
    rate = found["CDS:USDINR26NOVFUT"]
    assert (rate.expiry, rate.underlying) == ("2026-11-26T07:00:00Z", "USDINR")


def test_the_recorded_list_is_read_line_by_line() -> None:
    path = real("kite/instruments_nse.csv")
    found = {one.native: one for one in read_instruments(path.read_bytes())}
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(found) == len({line["instrument_token"] for line in lines}) == 99
    for line in lines:
        one = found[line["instrument_token"]]
        symbol, venue = split_name(one.symbol, "")
        assert (venue, symbol) == ("NSE", line["tradingsymbol"].replace(" ", "_"))
        assert is_symbol(symbol)
        assert one.tick_size == (float(line["tick_size"]) or None)


@pytest.mark.parametrize("body", [b"", b"a,b\n1,2\n", b"\xff\xfe", b'"'])
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(VenueFault, match="instruments"):
        read_instruments(body)


class Http:
    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    async def get(self, path: str, params: object = None, *, weight: int = 1) -> bytes:
        self.asked.append((path, weight))
        return (HEADER + LINES).encode()


def kite(**extra: object) -> Kite:
    accounts = (Account(key="k", token="t"),)
    return make(VenueOptions(accounts=accounts, extra=extra))


def test_names_are_translated_from_the_venue_or_from_a_file(tmp_path: Path) -> None:
    http, file = Http(), tmp_path / "instruments.csv"
    file.write_text(HEADER + LINES.splitlines()[0])
    for venue, count in ((kite(), 6), (kite(instruments=str(file), exchange="nse"), 1)):
        listings = asyncio.run(venue.listings(http))
        assert len(listings) == count
        venue.learn(listings)
        assert venue.name == "NSE"
        assert [venue.native(name) for name in ("infy", "NSE:INFY", "BSE:INFY")] == [
            "408065", "408065", "BSE:INFY",
        ]  # fmt: skip
    assert http.asked == [("/instruments", 10)]
    with pytest.raises(VenueFault, match="No such file"):
        asyncio.run(kite(instruments=str(tmp_path / "none")).listings(http))
