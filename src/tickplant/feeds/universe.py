"""The instruments of the synthetic feed: names one can believe, prices and ticks to match."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# symbol, price, decimals of the tick size, decimals of the lot size, typical size in lots
_CRYPTO = (
    ("BTC-USDT", 64_250.0, 2, 5, 4_000),
    ("ETH-USDT", 3_150.0, 2, 4, 5_000),
    ("SOL-USDT", 148.0, 2, 3, 12_000),
    ("BNB-USDT", 585.0, 2, 3, 900),
    ("XRP-USDT", 0.5234, 4, 1, 6_000),
    ("ADA-USDT", 0.4561, 4, 1, 5_000),
    ("DOGE-USDT", 0.12345, 5, 0, 2_500),
    ("LTC-USDT", 83.4, 2, 3, 3_000),
    ("AVAX-USDT", 36.2, 2, 2, 1_400),
    ("LINK-USDT", 14.31, 3, 2, 3_500),
)
_FX = (
    ("EURUSD", 1.0852, 5, -3, 800),
    ("GBPUSD", 1.2641, 5, -3, 600),
    ("USDJPY", 151.23, 3, -3, 700),
    ("AUDUSD", 0.6587, 5, -3, 500),
    ("USDCHF", 0.9031, 5, -3, 400),
    ("USDCAD", 1.3562, 5, -3, 450),
    ("EURGBP", 0.8584, 5, -3, 350),
    ("NZDUSD", 0.6012, 5, -3, 300),
    ("EURJPY", 164.11, 3, -3, 400),
    ("XAUUSD", 2_331.4, 2, 0, 40),
)
_EQUITY = (
    ("AAPL", 189.5, 2, 0, 120),
    ("MSFT", 415.3, 2, 0, 80),
    ("NVDA", 118.2, 2, 0, 150),
    ("AMZN", 181.7, 2, 0, 90),
    ("GOOGL", 172.4, 2, 0, 90),
    ("META", 493.9, 2, 0, 60),
    ("TSLA", 177.8, 2, 0, 140),
    ("JPM", 196.6, 2, 0, 70),
    ("SPY", 521.4, 2, 0, 200),
    ("QQQ", 443.2, 2, 0, 160),
)
_NAMED = tuple(row for rows in zip(_CRYPTO, _FX, _EQUITY, strict=True) for row in rows)

HALF_SPREAD = 0.5e-4
"""Half the typical spread as a share of the price: a spread of one basis point."""


@dataclass(frozen=True, slots=True)
class Universe:
    """What the walk needs to know of each instrument; arrays of shape (n,).

    A price is `ticks / price_scale` and a size `lots / lot_scale`: both scales are powers of ten,
    and a whole number divided by one is the float nearest to that decimal.
    """

    symbols: pa.StringArray
    price: Floats
    price_scale: Floats
    lot_scale: Floats
    size_lots: Floats

    def __len__(self) -> int:
        return len(self.price)


def make_universe(count: int) -> Universe:
    """Return `count` instruments: well-known names first, then `SYN0001`, `SYN0002`, …"""
    rows = [_NAMED[i] if i < len(_NAMED) else _made_up(i - len(_NAMED)) for i in range(count)]
    symbols, price, decimals, lot_decimals, lots = zip(*rows, strict=True)
    return Universe(
        symbols=pa.array(symbols, pa.string()),
        price=np.array(price, np.float64),
        price_scale=10.0 ** np.array(decimals, np.float64),
        lot_scale=10.0 ** np.array(lot_decimals, np.float64),
        size_lots=np.array(lots, np.float64),
    )


def _made_up(index: int) -> tuple[str, float, int, int, int]:
    # Prices from 5 to 500, spread evenly on a log scale by the golden ratio.
    price = 5.0 * 100.0 ** ((index * 0.6180339887498949) % 1.0)
    return f"SYN{index + 1:04d}", round(price, 2), 2, 0, 100
