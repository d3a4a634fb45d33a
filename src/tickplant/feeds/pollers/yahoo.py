"""Yahoo Finance through yfinance, an extra: last price, and its time, of any symbol Yahoo has.

yfinance blocks, so it is asked on threads of its own. Yahoo spells a pair of crypto as we do
(`BTC-USD`) and one of currencies as `EURUSD=X`; other symbols are sent as they are.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tickplant.feeds.pollers.provider import Answer, Price, ProviderFault
from tickplant.model.errors import NotInstalled
from tickplant.model.instruments import describe_symbol

THREADS = 4
TIMEOUT_S = 30.0
NAME = "yahoo"

Ask = Callable[[str], Mapping[str, Any]]
"""Returns what Yahoo says of a symbol of its own; blocks; raises what it likes."""


def ask_yahoo(native: str) -> Mapping[str, Any]:
    """Ask through yfinance: the metadata of a day's chart, which has price and time in one."""
    import yfinance  # noqa: PLC0415 - optional, and takes long to import

    ticker = yfinance.Ticker(native)
    ticker.history(period="1d", interval="1d", timeout=TIMEOUT_S / 2, raise_errors=True)
    said: Mapping[str, Any] = ticker.get_history_metadata()
    return said


class Yahoo:
    """A `Provider`. Raises `NotInstalled` where yfinance is missing."""

    name = NAME
    venue = "YAHOO"

    def __init__(self, ask: Ask | None = None) -> None:
        self._ask = ask or _installed()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="yahoo")

    async def fetch(self, symbols: Sequence[str]) -> Answer:
        """Return the present prices of these symbols; see `Provider`."""
        loop = asyncio.get_running_loop()
        asked = [loop.run_in_executor(self._threads, self._one, symbol) for symbol in symbols]
        try:
            found = await asyncio.wait_for(asyncio.gather(*asked), TIMEOUT_S)
        except TimeoutError:
            raise ProviderFault(f"yahoo did not answer within {TIMEOUT_S:g} s") from None
        prices = [one for one in found if isinstance(one, Price)]
        faults = {s: one for s, one in zip(symbols, found, strict=True) if isinstance(one, str)}
        if not prices and faults:
            raise ProviderFault(next(iter(faults.values())))
        return Answer(prices, faults)

    def _one(self, symbol: str) -> Price | str:
        native = f"{symbol}=X" if describe_symbol(symbol).get("kind") == "fx" else symbol
        try:
            said = self._ask(native)
        except Exception as fault:  # whatever a scraper of somebody's web site comes upon
            return f"{native}: {type(fault).__name__}: {fault}"[:200]
        price, at = said.get("regularMarketPrice"), said.get("regularMarketTime")
        if price is None or not _is_number(price):
            return f"{native}: Yahoo names no price"
        return Price(symbol, price=float(price), ts_event=_time(at))


def _installed() -> Ask:
    from importlib.util import find_spec  # noqa: PLC0415 - beside what it looks for

    if find_spec("yfinance") is None:
        raise NotInstalled("provider", "yfinance", "yahoo")
    return ask_yahoo


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _time(at: Any) -> int | None:
    if _is_number(at):
        return int(at) * 1_000_000_000
    stamp = getattr(at, "timestamp", None)  # some releases give a time of pandas
    return int(stamp()) * 1_000_000_000 if callable(stamp) else None
