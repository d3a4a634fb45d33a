"""Kite's list of instruments: CSV, one line each, all exchanges in one file.

The symbol of an instrument is `EXCHANGE:TRADINGSYMBOL`, with `_` for blanks: `NSE:INFY`,
`NFO:NIFTY26NOV26000CE`, `NSE:NIFTY_50`. The exchange is its venue.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone

from tickplant.feeds.venues.contract import Listing, VenueFault
from tickplant.model.errors import shorten

PATH = "/instruments"
WEIGHT = 10

_NEEDED = ("instrument_token", "tradingsymbol", "exchange")
_INDIA = timezone(timedelta(hours=5, minutes=30))
_RIGHTS = {"CE": "call", "PE": "put"}

CLOSES = {
    "NFO": time(15, 30),
    "BFO": time(15, 30),
    "CDS": time(12, 30),
    "BCD": time(12, 30),
    "MCX": time(23, 30),
}
"""When a contract expires on its day, India's time: the list gives the day only."""

INDICES = {
    "NIFTY": "NSE:NIFTY_50",
    "BANKNIFTY": "NSE:NIFTY_BANK",
    "FINNIFTY": "NSE:NIFTY_FIN_SERVICE",
    "MIDCPNIFTY": "NSE:NIFTY_MID_SELECT",
    "NIFTYNXT50": "NSE:NIFTY_NEXT_50",
    "SENSEX": "BSE:SENSEX",
    "BANKEX": "BSE:BANKEX",
    "SENSEX50": "BSE:SNSX50",
}
"""The indices by the names that contracts on them have."""


def symbol_of(exchange: str, tradingsymbol: str) -> str:
    """Return the symbol of an instrument."""
    return f"{exchange}:{'_'.join(tradingsymbol.split())}".upper()


def read_instruments(body: bytes) -> list[Listing]:
    """Return what the list says; `native` is the token. Raises `VenueFault` where it is no list.

    Lines that cannot be read are left out.
    """
    try:
        lines = csv.DictReader(io.StringIO(body.decode("utf-8-sig")))
        header = lines.fieldnames or []
        missing = [name for name in _NEEDED if name not in header]
        if missing:
            shown = shorten(", ".join(header))
            raise VenueFault(f"instruments: no column {', '.join(missing)}; there are {shown}")
        rows = list(lines)
    except (UnicodeDecodeError, csv.Error) as fault:
        raise VenueFault(f"instruments: no CSV in UTF-8 ({fault})") from None
    known = {symbol_of(row["exchange"] or "", row["tradingsymbol"] or "") for row in rows}
    return list(_listings(rows, known))


def _listings(rows: list[dict[str, str]], known: set[str]) -> Iterator[Listing]:
    for row in rows:
        try:
            yield _listing(row, known)
        except (ValueError, TypeError, AttributeError, KeyError):
            continue


def _listing(row: Mapping[str, str], known: set[str]) -> Listing:
    exchange, kind = row["exchange"], row.get("instrument_type", "")
    derived = kind in ("FUT", *_RIGHTS)
    return Listing(
        symbol=symbol_of(exchange, row["tradingsymbol"]),
        native=str(int(row["instrument_token"])),
        kind=_kind(kind, row.get("segment", "")),
        quote="INR",
        tick_size=_positive(row.get("tick_size")),
        lot_size=_positive(row.get("lot_size")),
        underlying=_underlying(row.get("name") or "", exchange, known) if derived else None,
        expiry=_expiry(row.get("expiry") or "", exchange),
        strike=_positive(row.get("strike")) if kind in _RIGHTS else None,
        right=_RIGHTS.get(kind),
    )


def _kind(kind: str, segment: str) -> str:
    if segment == "INDICES":
        return "index"
    if kind == "FUT":
        return "future"
    return "option" if kind in _RIGHTS else "equity"


def _underlying(name: str, exchange: str, known: set[str]) -> str | None:
    """Return the symbol of what a contract is on, or its name where it is not listed."""
    if name in INDICES:
        return INDICES[name]
    cash = "BSE" if exchange == "BFO" else "NSE"
    share = symbol_of(cash, name)
    return share if share in known else name or None


def _expiry(day: str, exchange: str) -> str | None:
    if not day:
        return None
    close = CLOSES.get(exchange, time(15, 30))
    moment = datetime.combine(date.fromisoformat(day), close, _INDIA)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _positive(text: str | None) -> float | None:
    value = float(text or 0)
    return value if value > 0 else None
