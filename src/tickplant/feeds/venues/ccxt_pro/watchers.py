"""What the library is asked for each channel, and what its answers come to.

Each stream has a task of its own that waits for its symbol alone, also where a method takes many
symbols: waiting for many at once returns the first of them only, and what came of another in the
same moment would lie until that one moves again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tickplant.feeds.venues.ccxt_pro import words
from tickplant.feeds.venues.ccxt_pro.library import TRADES_KEPT

Said = words.Trades | words.Quote | words.Book | words.Overrun
Watch = Callable[[str], Awaitable[list[Said]]]
"""Wait for news of a symbol, in the library's spelling."""

METHODS: Mapping[str, tuple[tuple[str, str, str, bool], ...]] = {
    "trades": (
        ("watchTrades", "watch_trades", "un_watch_trades", False),
        ("watchTradesForSymbols", "watch_trades_for_symbols", "un_watch_trades_for_symbols", True),
    ),
    "quotes": (
        ("watchBidsAsks", "watch_bids_asks", "un_watch_bids_asks", True),
        ("watchTicker", "watch_ticker", "un_watch_ticker", False),
        ("watchTickers", "watch_tickers", "un_watch_tickers", True),
    ),
    "book": (
        ("watchOrderBook", "watch_order_book", "un_watch_order_book", False),
        (
            "watchOrderBookForSymbols",
            "watch_order_book_for_symbols",
            "un_watch_order_book_for_symbols",
            True,
        ),
    ),
}
"""By channel, the best first: its name in `has`, the methods, whether they take a list."""


def method_of(has: Mapping[str, Any], channel: str) -> tuple[str, str, bool] | None:
    """Return the methods by which an exchange gives a channel, None where it has none."""
    for name, watch, unwatch, many in METHODS[channel]:
        if has.get(name) is True:
            return watch, unwatch, many
    return None


def watcher(exchange: Any, channel: words.Channel, depth: int | None) -> Watch:
    """Return what waits for news of this channel; it must have it."""
    found = method_of(exchange.has, channel)
    assert found is not None, f"{exchange.id} has no {channel}"
    name, _, many = found
    method = getattr(exchange, name)

    async def trades(symbol: str) -> list[Said]:
        news = await method([symbol] if many else symbol)
        return _trades(symbol, news)

    async def quotes(symbol: str) -> list[Said]:
        news = await method([symbol] if many else symbol)
        return [_quote(symbol, ticker) for ticker in (news.values() if many else (news,))]

    async def book(symbol: str) -> list[Said]:
        news = await method([symbol] if many else symbol, depth)
        return [_book(symbol, news, depth)]

    return {"trades": trades, "quotes": quotes, "book": book}[channel]


def _trades(symbol: str, trades: list[dict[str, Any]]) -> list[Said]:
    """Return new trades. They are copied: the library goes on using its list."""
    data = [trade(one) for one in trades]
    full: list[Said] = [words.Overrun(symbol)] if len(data) >= TRADES_KEPT else []
    return [*full, words.Trades(symbol, data)]


def trade(one: Mapping[str, Any]) -> words.Trade:
    """Return a trade of the library as ours."""
    number = one.get("id")
    return words.Trade(
        price=one["price"],
        amount=one.get("amount"),
        timestamp=one.get("timestamp"),
        side=one.get("side"),
        id=None if number is None else str(number),
    )


def _quote(symbol: str, ticker: Mapping[str, Any]) -> Said:
    return words.Quote(
        symbol=ticker.get("symbol") or symbol,
        bid=ticker.get("bid"),
        bid_size=ticker.get("bidVolume"),
        ask=ticker.get("ask"),
        ask_size=ticker.get("askVolume"),
        timestamp=ticker.get("timestamp"),
    )


def _book(symbol: str, book: Mapping[str, Any], depth: int | None) -> Said:
    """Return a book. Its levels are copied now: the library goes on changing them."""
    return words.Book(
        symbol=symbol,
        bids=[(level[0], level[1]) for level in book["bids"][:depth]],
        asks=[(level[0], level[1]) for level in book["asks"][:depth]],
        timestamp=book.get("timestamp"),
    )
