"""The routes of the systems that this one replaces, as thin doors to the same handlers.

Names of fields, status codes and defaults are theirs; what is behind them is the plant. Each of
them is described in docs/reference/http.md; what they did wrong, and what is right here, has tests
in tests/seeds.
"""

from tickplant.gateway.seeds import market, ohlc, prices, ticks, trades

DOORS = (*market.DOORS, *trades.DOORS, *prices.DOORS, *ticks.DOORS, *ohlc.DOORS)

__all__ = ["DOORS"]
