"""`tickplant tail`: watch a plant's stream in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tickplant.cli.common import DATA_OR_URL, Common, check_choice, command, parse_count
from tickplant.cli.process import keep_pandas_out
from tickplant.cli.read import Calendar, DayStart, Session, Timezone
from tickplant.model.errors import InvalidParameter

CHANNELS = ("trades", "quotes", "stats", "books", "candles", "indicators", "status")
OF_BARS = ("candles", "indicators")
DEFAULT_URL = "http://127.0.0.1:8000"

GREEN, RED, DIM, BOLD, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[1m", "\x1b[0m"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "tail",
        panel="Read",
        takes=DATA_OR_URL,
        summary="Watch a plant's stream.",
        examples=(
            "tickplant tail",
            "tickplant tail quotes SYNTH:EURUSD SYNTH:GBPUSD --url http://127.0.0.1:8000",
            "tickplant tail candles SYNTH:BTC-USDT --interval 10s --json",
            "tickplant tail candles NASDAQ:AAPL --interval 5m --calendar XNYS",
            "tickplant tail books BINANCE:BTC-USDT --depth 5 --rate-ms 500",
            "tickplant tail indicators SYNTH:EURUSD --name sma:20,rsi --interval 10s",
        ),
    )(tail)


def tail(
    common: Common,
    channel: Annotated[
        str,
        typer.Argument(
            metavar="[CHANNEL]", help="trades, quotes, stats, books, candles, indicators, status"
        ),
    ] = "trades",
    symbols: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SYMBOL]...", show_default=False, help="Symbols. Default: all."),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SEQ|TIME",
            show_default=False,
            help="Begin behind this sequence number or at this time. Default: now.",
        ),
    ] = None,
    interval: Annotated[
        str | None, typer.Option(metavar="INTERVAL", show_default=False, help="Of candles.")
    ] = None,
    basis: Annotated[
        str | None,
        typer.Option(
            metavar="BASIS", show_default=False, help="Of candles: trade, mid, bid or ask."
        ),
    ] = None,
    timezone: Timezone = None,
    day_start: DayStart = None,
    calendar: Calendar = None,
    session: Session = None,
    depth: Annotated[
        str | None,
        typer.Option(
            metavar="N", show_default=False, help="Of books: only the best levels, conflated."
        ),
    ] = None,
    rate_ms: Annotated[
        str | None,
        typer.Option(
            metavar="MS", show_default=False, help="Of books: the best levels, at most this often."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", show_default=False, help="Of indicators: sma:20,ema:50,macd."
        ),
    ] = None,
    count: Annotated[
        str | None,
        typer.Option(metavar="N", show_default=False, help="End after so many events."),
    ] = None,
) -> int:
    """Watch trades, quotes, bars or the status as they come, one line an event, until Ctrl-C.

    Without --url it is the plant that runs on the data folder, else the one at the default address.
    A lost connection is made again and goes on where it was, without a hole or a double.
    """
    channel = check_choice("CHANNEL", channel, CHANNELS)
    if channel in OF_BARS:
        interval = interval or "1m"
    options: dict[str, Any] = {
        "interval": interval,
        "basis": basis,
        "timezone": timezone,
        "day_start": day_start,
        "calendar": calendar,
        "session": session,
    }
    for option, value in options.items():
        if value is not None and channel not in OF_BARS:
            shown = f"--{option.replace('_', '-')}"
            raise InvalidParameter(shown, value, "nothing, except with candles and indicators")
    if (name is None) == (channel == "indicators"):
        raise InvalidParameter("--name", name or "", "names of indicators, and only with them")
    options["name"] = name
    options |= _tops(channel, depth, rate_ms)
    common.check_one_source()
    screen = _JsonLines() if common.json else _Lines(channel)
    left = parse_count("--count", count)

    keep_pandas_out()
    from tickplant.client import Client  # noqa: PLC0415 - heavy

    with Client(find_url(common), key=common.plant_key()) as client:
        stream = client.stream(
            channel,
            symbols or "*",
            from_=_begin(begin),
            on_reconnect=_say_reconnected,
            on_notice=_say_notice,
            **options,
        )
        with stream:
            try:
                for events in stream.batches():
                    part = events if left is None else events[:left]
                    screen.show(part)
                    left = None if left is None else left - len(part)
                    if left == 0:
                        break
            except KeyboardInterrupt:
                return 0
    return 0


def _tops(channel: str, depth: str | None, rate_ms: str | None) -> dict[str, Any]:
    """Return what makes a subscription to books one to their best levels."""
    found = {"depth": parse_count("--depth", depth), "rate_ms": parse_count("--rate-ms", rate_ms)}
    for option, value in found.items():
        if value is not None and channel != "books":
            shown = f"--{option.replace('_', '-')}"
            raise InvalidParameter(shown, value, "nothing, except with books")
    return found


def find_url(common: Common) -> str:
    """Return the URL of the plant that is meant."""
    if common.url is not None:
        return common.url
    from tickplant.plant.folder import read_owner  # noqa: PLC0415 - heavy

    found = read_owner(Path(common.folder())).url
    return found if isinstance(found, str) else DEFAULT_URL


def _begin(text: str | None) -> int | str | None:
    from tickplant.model.times import parse_time  # noqa: PLC0415 - heavy

    if text is None or text.isdigit():
        return None if text is None else int(text)
    parse_time(text, "--from", where="option")
    return text


def _say_reconnected(seq: int | None) -> None:
    print(f"connected again, going on behind seq {seq}", file=sys.stderr, flush=True)


def _say_notice(message: Mapping[str, Any]) -> None:
    if message.get("op") == "slow":
        lost = message.get("dropped")
        print(f"too slow: {lost} events were left out", file=sys.stderr, flush=True)


class _JsonLines:
    """Events as NDJSON."""

    def show(self, events: list[dict[str, Any]]) -> None:
        """Print one line an event."""
        from tickplant.cli.output import encode_json  # noqa: PLC0415 - heavy

        sys.stdout.write("".join(encode_json(event).decode() + "\n" for event in events))
        sys.stdout.flush()


class _Lines:
    """Events for people; a price above the last one of its instrument is green, one below red."""

    def __init__(self, channel: str) -> None:
        from tickplant.cli.output import use_colour  # noqa: PLC0415 - heavy

        self._colour = use_colour()
        self._line = {
            "trades": self._trade,
            "quotes": self._quote,
            "stats": self._stat,
            "books": self._book,
            "candles": self._candle,
            "indicators": self._indicator,
        }.get(channel, self._other)
        self._last: dict[str, float] = {}

    def show(self, events: list[dict[str, Any]]) -> None:
        """Print one line an event."""
        sys.stdout.write("".join(self._line(event) + "\n" for event in events))
        sys.stdout.flush()

    def _trade(self, event: dict[str, Any]) -> str:
        price = self._moved(event, event["price"])
        size, side = _number(event.get("size")), event.get("side") or ""
        flags = self._dim(" ".join(event.get("flags", ())))
        return f"{self._head(event, 'ts_event')}  {price}  {size:>12}  {side:<4}  {flags}".rstrip()

    def _quote(self, event: dict[str, Any]) -> str:
        bid, ask = _number(event["bid_price"]), _number(event["ask_price"])
        bid_size, ask_size = _number(event["bid_size"]), _number(event["ask_size"])
        middle = event["bid_price"] or event["ask_price"] or 0.0
        shown = self._moved(event, middle, f"{bid:>12} / {ask:<12}")
        return f"{self._head(event, 'ts_event')}  {shown}  {self._dim(f'{bid_size} x {ask_size}')}"

    def _stat(self, event: dict[str, Any]) -> str:
        value = _number(event["value"])
        return f"{self._head(event, 'ts_event')}  {event['name']:<24}  {value:>16}"

    def _book(self, event: dict[str, Any]) -> str:
        if "mid" in event:  # the best levels
            best = [event[side][0] if event[side] else (None, None) for side in ("bids", "asks")]
            (bid, bid_size), (ask, ask_size) = (level[:2] for level in best)
            shown = self._moved(event, event["mid"] or 0.0, f"{_number(bid):>12} / {_number(ask)}")
            state = self._dim(f"{_number(bid_size)} x {_number(ask_size)}  {event['state']}")
            return f"{self._head(event, 'ts_event')}  {shown}  {state}"
        levels = [f"{s} {_level(one)}" for s in ("bid", "ask") for one in event[f"{s}s"][:8]]
        count = len(event["bids"]) + len(event["asks"])
        more = self._dim(f"and {count - len(levels)} more") if count > len(levels) else ""
        return f"{self._head(event, 'ts_event')}  {event['action']:<8}  {'  '.join(levels)}  {more}"

    def _candle(self, event: dict[str, Any]) -> str:
        prices = "  ".join(f"{name[0].upper()} {_number(event[name]):<10}" for name in _BAR)
        volume = _number(event.get("volume"))
        state = self._dim(event.get("state") or "")
        close = self._moved(event, event["close"] or 0.0, prices)
        place = f"#{event['index']}  " if "index" in event else ""
        return f"{self._head(event, 'start')}  {place}{close}  V {volume:<10}  {state}".rstrip()

    def _indicator(self, event: dict[str, Any]) -> str:
        # The source and the values stand behind the revision.
        values = list(event.items())[list(event).index("revision") + 1 :]
        shown = "  ".join(f"{name} {_number(value)}" for name, value in values)
        state = self._dim(event.get("state") or "")
        return f"{self._head(event, 'start')}  {shown}  {state}".rstrip()

    def _other(self, event: dict[str, Any]) -> str:
        return "  ".join(f"{name}={value}" for name, value in event.items())

    def _head(self, event: dict[str, Any], time: str) -> str:
        name = f"{event.get('venue', '')}:{event.get('symbol', '')}"
        when = f"{event[time] or '-':<30}"
        return f"{self._dim(when)}  {BOLD + name.ljust(20) + PLAIN if self._colour else name:<20}"

    def _moved(self, event: dict[str, Any], price: float, text: str | None = None) -> str:
        shown = f"{_number(price):>12}" if text is None else text
        name = f"{event.get('venue')}:{event.get('symbol')}"
        before = self._last.get(name, price)
        self._last[name] = price
        if not self._colour or price == before:
            return shown
        return f"{GREEN if price > before else RED}{shown}{PLAIN}"

    def _dim(self, text: str) -> str:
        return f"{DIM}{text}{PLAIN}" if self._colour and text else text


def _level(level: list[Any]) -> str:
    return f"{_number(level[0])} x {_number(level[1])}"


_BAR = ("open", "high", "low", "close")


def _number(value: float | None) -> str:
    return "-" if value is None else repr(value).removesuffix(".0")
