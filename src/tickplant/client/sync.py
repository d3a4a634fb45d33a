"""The client for plain code, written from `aio.py` by `make docs`: edit that one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self, TypeVar

import httpx

from tickplant.client import calls
from tickplant.client.credentials import key_headers
from tickplant.client.follow import (
    Follower,
    check_url,
    stream_url,
)
from tickplant.client.outbox import PATH as INGEST_PATH
from tickplant.client.outbox import Outbox
from tickplant.client.problems import no_answer
from tickplant.client.push import Ingest
from tickplant.client.rows import Receipt
from tickplant.client.stream import Stream
from tickplant.formats.result import Rows

T = TypeVar("T")


class Client:
    """Reads, writes and follows the plant at `url`; a context manager.

    `key` is a key or a token for a plant that wants one; it travels in a header and never shows.
    Errors are those of `tickplant.model.errors`. Safe from several threads.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        key: str | None = None,
        timeout_s: float = 30.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.url = check_url(url)
        self._headers = {**key_headers(key), **(headers or {})}
        self._http = httpx.Client(base_url=self.url, timeout=timeout_s, headers=self._headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the connections. Streams are closed on their own."""
        self._http.close()

    def _run(self, call: calls.Call[T]) -> T:
        try:
            request = next(call)
            while True:
                request = call.send(self._send(request))
        except StopIteration as end:
            result: T = end.value
            return result

    def _send(self, request: calls.Request) -> calls.Answer:
        try:
            found = self._http.request(
                request.method,
                request.path,
                params=dict(request.params),
                headers=dict(request.headers),
                content=request.content,
            )
        except httpx.TransportError as fault:
            raise no_answer(self.url, fault) from fault
        return calls.Answer(found.status_code, found.headers, found.content)

    def instruments(
        self,
        *,
        venue: str | None = None,
        kind: str | None = None,
        q: str | None = None,
        limit: int | None = None,
    ) -> Rows:
        """Return the instruments in the order in which they became known.

        `q` is a part of a symbol, a venue or an alias; case does not matter.
        """
        return self._run(calls.read_rows("/v1/instruments", limit, venue=venue, kind=kind, q=q))

    def trades(
        self,
        symbol: str,
        *,
        start: Any = None,
        end: Any = None,
        limit: int | None = None,
        order: str = "asc",
        as_of: Any = None,
    ) -> Rows:
        """Return trades with `start <= ts_event < end`; all of them where `limit` is None."""
        return self._run(
            calls.read_table(
                "trades", symbol, limit, start=start, end=end, order=order, as_of=as_of
            )
        )

    def quotes(
        self,
        symbol: str,
        *,
        start: Any = None,
        end: Any = None,
        limit: int | None = None,
        order: str = "asc",
        as_of: Any = None,
    ) -> Rows:
        """Return quotes with `start <= ts_event < end`; all of them where `limit` is None."""
        return self._run(
            calls.read_table(
                "quotes", symbol, limit, start=start, end=end, order=order, as_of=as_of
            )
        )

    def stats(
        self,
        symbol: str,
        *,
        name: str | Iterable[str] | None = None,
        start: Any = None,
        end: Any = None,
        limit: int | None = None,
        order: str = "asc",
        as_of: Any = None,
    ) -> Rows:
        """Return statistics, such as open interest, with `start <= ts_event < end`.

        With one of these names, where any are given; all of them where `limit` is None.
        """
        return self._run(
            calls.read_stats(
                symbol, limit, name=name, start=start, end=end, order=order, as_of=as_of
            )
        )

    def last_stats(
        self,
        symbols: str | Iterable[str],
        *,
        name: str | Iterable[str] | None = None,
        as_of: Any = None,
    ) -> Rows:
        """Return the last statistic of each name of some instruments, in their order."""
        return self._run(calls.read_last_stats(symbols, name=name, as_of=as_of))

    def candles(
        self,
        symbol: str,
        interval: str = "1m",
        *,
        start: Any = None,
        end: Any = None,
        limit: int | None = None,
        basis: str | None = None,
        timezone: str | None = None,
        day_start: str | None = None,
        calendar: str | None = None,
        session: str | None = None,
        fill: str = "none",
        as_of: Any = None,
    ) -> Rows:
        """Return candles; without `start` the newest `limit`, or all where that is None too."""
        return self._run(
            calls.read_candles(
                symbol,
                limit,
                start=start,
                end=end,
                interval=interval,
                basis=basis,
                timezone=timezone,
                day_start=day_start,
                calendar=calendar,
                session=session,
                fill=fill,
                as_of=as_of,
            )
        )

    def indicators(
        self,
        symbol: str,
        name: str | Iterable[str],
        interval: str = "1m",
        *,
        period: int | None = None,
        fast: int | None = None,
        slow: int | None = None,
        signal: int | None = None,
        deviations: float | None = None,
        source: str | None = None,
        over: str = "bars",
        start: Any = None,
        end: Any = None,
        limit: int | None = None,
        basis: str | None = None,
        timezone: str | None = None,
        day_start: str | None = None,
        calendar: str | None = None,
        session: str | None = None,
        fill: str = "none",
        as_of: Any = None,
    ) -> Rows:
        """Return the bars of `candles`, or with `over="events"` ticks, and indicators of each.

        `name` is one of sma, ema, wma, vwap, rsi, macd, bbands, atr, or several, each with its own
        parameters behind colons: `["sma:20", "ema:50:hlc3"]`.
        """
        return self._run(
            calls.read_indicators(
                symbol,
                limit,
                name=name,
                period=period,
                fast=fast,
                slow=slow,
                signal=signal,
                deviations=deviations,
                source=source,
                over=over,
                start=start,
                end=end,
                interval=interval,
                basis=basis,
                timezone=timezone,
                day_start=day_start,
                calendar=calendar,
                session=session,
                fill=fill,
                as_of=as_of,
            )
        )

    def latest(self, symbols: str | Iterable[str]) -> Any:
        """Return the last trade, quote and 1-minute candle of one symbol, a list for several.

        What there is none of is None; `age_s` is the age of the last event. `["*"]` is all.
        """
        return self._run(calls.read_latest(symbols))

    def book(
        self,
        symbol: str,
        *,
        depth: int = 20,
        bps: float | None = None,
        as_of: Any = None,
    ) -> dict[str, Any]:
        """Return an order book: its best `depth` levels a side and what is measured of it.

        `bids` and `asks` are lists of [price, size], the best first; `state` is live, stale,
        rebuilding or none. `bps` adds `depth_bps`, the sizes within so many basis points of the
        mid. What there is not is None.
        """
        return self._run(calls.read_book(symbol, depth=depth, bps=bps, as_of=as_of))

    def status(self) -> dict[str, Any]:
        """Return the plant's state."""
        found: dict[str, Any] = self._run(calls.read_json("/v1/status"))
        return found

    def feeds(self) -> Any:
        """Return the feeds and their state."""
        return self._run(calls.read_json("/v1/feeds"))

    def feed(self, name: str) -> dict[str, Any]:
        """Return one feed with its connections and each of its streams."""
        return self._run(calls.read_feed(name))

    def subscribe_feed(
        self, name: str, symbols: str | Iterable[str], channels: Iterable[str] | None = None
    ) -> dict[str, Any]:
        """Subscribe a venue's feed to more symbols while it runs; return the feed.

        `channels` None are those that it was configured with. It is kept over a restart.
        """
        return self._run(calls.subscribe_feed(name, symbols, channels))

    def unsubscribe_feed(
        self, name: str, symbols: str | Iterable[str], channels: Iterable[str] | None = None
    ) -> dict[str, Any]:
        """Unsubscribe a venue's feed from symbols, or from some of their channels; return it."""
        return self._run(calls.unsubscribe_feed(name, symbols, channels))

    def quarantine(
        self,
        *,
        start: Any = None,
        end: Any = None,
        reason: str | None = None,
        table: str | None = None,
        limit: int | None = None,
        order: str = "asc",
        as_of: Any = None,
    ) -> Rows:
        """Return refused rows by time of receipt, which `start` and `end` are about.

        `row` is the row as it was sent: an object where rows are iterated, JSON text in columns.
        """
        return self._run(
            calls.read_rows(
                "/v1/quarantine",
                limit,
                start=start,
                end=end,
                reason=reason,
                table=table,
                order=order,
                as_of=as_of,
            )
        )

    def gaps(
        self,
        *,
        feed: str | None = None,
        symbol: str | None = None,
        start: Any = None,
        end: Any = None,
        status: str | None = None,
        limit: int | None = None,
        order: str = "asc",
        as_of: Any = None,
    ) -> Rows:
        """Return what is known to be missing, by id: the gap ledger.

        Gaps of a feed, that touch an instrument or the span `[start, end)`, and with a status:
        open, repairing, repaired or unrepairable.
        """
        return self._run(
            calls.read_rows(
                "/v1/gaps",
                limit,
                feed=feed,
                symbol=symbol,
                start=start,
                end=end,
                status=status,
                order=order,
                as_of=as_of,
            )
        )

    def post_trades(self, rows: Any, *, strict: bool | None = None) -> Receipt:
        """Store trades: dictionaries, or a pandas, polars or Arrow table."""
        return self._run(calls.post_rows("trades", rows, strict))

    def post_quotes(self, rows: Any, *, strict: bool | None = None) -> Receipt:
        """Store quotes: dictionaries, or a pandas, polars or Arrow table."""
        return self._run(calls.post_rows("quotes", rows, strict))

    def post_stats(self, rows: Any, *, strict: bool | None = None) -> Receipt:
        """Store statistics: dictionaries, or a pandas, polars or Arrow table."""
        return self._run(calls.post_rows("stats", rows, strict))

    def declare(self, symbols: str | Iterable[str], start: Any, end: Any) -> dict[str, Any]:
        """Say that everything of these instruments in `[start, end)` has been sent.

        Its bars are then complete or quiet. The span must be over.
        """
        return self._run(calls.declare_complete(symbols, start, end))

    def correct(self, symbol: str, seq: int, **changes: Any) -> dict[str, Any]:
        """Correct a trade and return it as it now stands."""
        return self._run(calls.correct_trade(symbol, seq, changes))

    def cancel(self, symbol: str, seq: int) -> dict[str, Any]:
        """Cancel a trade."""
        return self._run(calls.cancel_trade(symbol, seq))

    def stream(
        self,
        channel: str,
        symbols: str | Iterable[str] = "*",
        *,
        from_: Any = None,
        on_reconnect: Callable[[int | None], object] | None = None,
        idle_s: float = 15.0,
        backoff_s: tuple[float, float] = (0.1, 10.0),
        **options: Any,
    ) -> Stream:
        """Return an iterator of events; see `Stream`.

        `from_` is a sequence number or a time; `options` are further fields of the subscription:
        venue and kind, interval, basis, timezone, day_start, calendar, session, snapshot, for
        indicators name and their parameters, and for books depth and rate_ms.
        """
        follower = Follower(channel, symbols, from_, **options)
        return Stream(
            stream_url(self.url),
            follower,
            headers=self._headers,
            on_reconnect=on_reconnect,
            idle_s=idle_s,
            backoff_s=backoff_s,
        )

    def ingest(
        self,
        *,
        feed: str | None = None,
        venue: str | None = None,
        symbols: Iterable[str] | None = None,
        producer: str | None = None,
        first_seq: int = 1,
        on_reconnect: Callable[[int], object] | None = None,
        idle_s: float = 15.0,
        timeout_s: float = 60.0,
        backoff_s: tuple[float, float] = (0.1, 10.0),
    ) -> Ingest:
        """Return a producer that sends rows over a socket, a context manager; see `Ingest`.

        With `feed` it is known as a feed of that name, whose coverage is kept: `symbols` are what
        it delivers, and leaving the context in an exception, or a lost connection, makes a gap.
        `venue` is that of rows without one. A `producer` names the messages for ever, with their
        numbers from `first_seq` on; without it, one is made up that no other has.
        """
        outbox = Outbox(
            feed=feed, venue=venue, symbols=symbols, producer=producer, first_seq=first_seq
        )
        return Ingest(
            stream_url(self.url, INGEST_PATH),
            outbox,
            headers=self._headers,
            on_reconnect=on_reconnect,
            idle_s=idle_s,
            timeout_s=timeout_s,
            backoff_s=backoff_s,
        )
