"""What the answers look like, for the OpenAPI document only: no answer is built from these."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Side = Literal["buy", "sell"]
_TIME = "RFC 3339, UTC, as many fractional digits as needed."


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Fault(_Model):
    """One fault of the input."""

    loc: list[str | int] = Field(
        description="Path to the parameter.", examples=[["query", "limit"]]
    )
    msg: str = Field(examples=["allowed is a whole number from 1 to 10000"])
    value: Any = Field(examples=["0"])


class Problem(_Model):
    """An error, RFC 9457."""

    type: str = Field(examples=["urn:tickplant:problem:invalid-parameter"])
    title: str = Field(examples=["Invalid parameter"])
    status: int = Field(examples=[400])
    detail: str = Field(
        examples=["limit: 0 is not allowed; allowed is a whole number from 1 to 10000"]
    )
    instance: str = Field(description="Path of the request.", examples=["/v1/trades/EURUSD"])
    errors: list[Fault]


class InstrumentModel(_Model):
    """What is traded. `VENUE:SYMBOL` names one instrument and no other."""

    symbol: str = Field(examples=["EURUSD"])
    venue: str = Field(examples=["ORIGIN"])
    kind: str | None = Field(examples=["fx"])
    base: str | None = Field(examples=["EUR"])
    quote: str | None = Field(examples=["USD"])
    tick_size: float | None
    lot_size: float | None
    underlying: str | None
    expiry: str | None
    strike: float | None
    right: Literal["call", "put"] | None
    timezone: str | None
    calendar: str | None
    status: str = Field(examples=["active"])
    aliases: list[str]


class InstrumentsPage(_Model):
    """A page of instruments."""

    instruments: list[InstrumentModel]
    next_page_token: str | None


class TradeModel(_Model):
    """A trade."""

    ts_event: str = Field(
        description=f"When it happened. {_TIME}", examples=["2014-05-07T00:00:01Z"]
    )
    ts_recv: str = Field(
        description=f"When it reached the plant. {_TIME}", examples=["2014-05-07T00:00:01.25Z"]
    )
    seq: int = Field(description="The plant's own number, strictly rising.", examples=[1043])
    price: float = Field(examples=[1.3928])
    size: float | None = Field(examples=[100.0])
    side: Side | None = Field(description="The aggressor's side.", examples=["buy"])
    id: str | None = Field(description="The venue's trade id.", examples=["T-17"])
    conditions: str | None
    exchange: str | None
    flags: list[str] = Field(
        description="synthetic, backfilled, late, correction, cancel, snapshot.",
        examples=[["synthetic"]],
    )
    corrects: int | None = Field(
        default=None, description="Only on corrections: the `seq` of the original trade."
    )


class TradesPage(_Model):
    """A page of trades."""

    symbol: str = Field(examples=["EURUSD"])
    venue: str = Field(examples=["ORIGIN"])
    trades: list[TradeModel]
    next_page_token: str | None


class QuoteModel(_Model):
    """A quote; a side without a quote is null."""

    ts_event: str = Field(examples=["2014-05-07T00:00:01Z"])
    ts_recv: str = Field(examples=["2014-05-07T00:00:01.25Z"])
    seq: int = Field(examples=[1044])
    bid_price: float | None = Field(examples=[1.3927])
    bid_size: float | None = Field(examples=[1_000_000.0])
    ask_price: float | None = Field(examples=[1.3929])
    ask_size: float | None = Field(examples=[2_000_000.0])
    exchange: str | None
    flags: list[str]


class QuotesPage(_Model):
    """A page of quotes."""

    symbol: str = Field(examples=["EURUSD"])
    venue: str = Field(examples=["ORIGIN"])
    quotes: list[QuoteModel]
    next_page_token: str | None


class StatModel(_Model):
    """A statistic: what is told of an instrument besides its trades and quotes."""

    ts_event: str = Field(examples=["2014-05-07T00:00:01Z"])
    ts_recv: str = Field(examples=["2014-05-07T00:00:01.25Z"])
    seq: int = Field(examples=[1045])
    name: str = Field(description="What is told.", examples=["open_interest"])
    value: float = Field(examples=[81_450.5])
    flags: list[str]


class StatsPage(_Model):
    """A page of statistics."""

    symbol: str = Field(examples=["BTC-USDT"])
    venue: str = Field(examples=["ORIGIN"])
    stats: list[StatModel]
    next_page_token: str | None


class LastStatModel(StatModel):
    """The last statistic of a name and an instrument."""

    symbol: str = Field(examples=["BTC-USDT"])
    venue: str = Field(examples=["ORIGIN"])


class LastStats(_Model):
    """The last statistics of some instruments, in the order asked for, then by name."""

    stats: list[LastStatModel]


class CandleModel(_Model):
    """A candle, labelled by its start. Open and close are by event time, then sequence number."""

    start: str = Field(examples=["2014-05-07T00:00:00Z"])
    end: str = Field(examples=["2014-05-07T00:01:00Z"])
    open: float | None = Field(examples=[1.3928])
    high: float | None = Field(examples=[1.3931])
    low: float | None = Field(examples=[1.3927])
    close: float | None = Field(examples=[1.393])
    volume: float | None = Field(
        description="Sum of the sizes; null for bars of quotes.", examples=[1200.0]
    )
    vwap: float | None = Field(
        description="Null where nothing was traded with a size.", examples=[1.39295]
    )
    count: int = Field(description="Events in the bar.", examples=[42])
    revision: int | None = Field(
        description="`seq` of the last event that touched the bar, be it a trade or quote of it or "
        "a correction or cancel of one; null for a filled bar.",
        examples=[5077],
    )
    state: Literal["forming", "complete", "quiet", "partial", "gap"] = Field(
        description="`forming` until the watermark has passed the end; then `complete` (events, "
        "all covered), `quiet` (no events, all covered), `partial`, or `gap` (nothing covered)."
    )
    coverage: float = Field(
        description="Part of the bar, so far, in which a feed of it was connected, subscribed and "
        "alive: 0 to 1.",
        examples=[1.0],
    )
    spread_min: float | None = Field(
        default=None,
        description="Least spread, ask - bid, of the quotes in the bar that have two sides; below "
        "0 where they crossed. Spreads are only there for bars of quotes, and null without such a "
        "quote.",
        examples=[0.0001],
    )
    spread_max: float | None = Field(
        default=None, description="Greatest spread of these quotes.", examples=[0.0003]
    )
    spread_mean: float | None = Field(
        default=None, description="Sum of their spreads over their number.", examples=[0.00015]
    )
    spread_bps: float | None = Field(
        default=None,
        description="Mean spread over mean middle, in basis points.",
        examples=[1.08],
    )
    day: str | None = Field(
        default=None,
        description="Start of the trading day. Only bars by count, volume or value have it and "
        "`index`: together they name a bar, as several may begin at the same time.",
        examples=["2014-05-07T00:00:00Z"],
    )
    index: int | None = Field(
        default=None, description="Number of the bar within its day, from 0.", examples=[0]
    )


class CandlesPage(_Model):
    """A page of candles."""

    symbol: str = Field(examples=["EURUSD"])
    venue: str = Field(examples=["ORIGIN"])
    interval: str = Field(examples=["1m"])
    basis: Literal["trade", "mid", "bid", "ask"]
    timezone: str = Field(examples=["UTC"])
    day_start: str = Field(examples=["00:00"])
    calendar: str | None = Field(
        default=None, description="Left out where none was asked for.", examples=["XNYS"]
    )
    session: Literal["regular", "extended", "all"] | None = Field(
        default=None, description="Only beside a calendar."
    )
    candles: list[CandleModel]
    next_page_token: str | None


class IndicatorModel(_Model):
    """An indicator with its parameters."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(examples=["sma"])
    window: int | None = Field(
        description="Bars that a value is computed from at most, its own included; null for those "
        "of the trading day.",
        examples=[20],
    )
    columns: list[str] = Field(
        description="Names of its values in the rows; with parameters where an indicator was asked "
        "for more than once.",
        examples=[["sma"]],
    )


class IndicatorValuesModel(_Model):
    """A bar's times and state, or an event's, then the sources and the values of the indicators."""

    model_config = ConfigDict(extra="allow")

    start: str | None = Field(default=None, description="Of a bar.")
    end: str | None = Field(default=None, description="Of a bar.")
    state: str | None = Field(default=None, description="Of a bar, as in candles.")
    revision: int | None = Field(default=None, description="Of a bar, as in candles.")
    ts_event: str | None = Field(default=None, description="Of an event.")
    seq: int | None = Field(default=None, description="Of an event.")


class IndicatorsPage(_Model):
    """A page of bars or events with indicators."""

    symbol: str = Field(examples=["EURUSD"])
    venue: str = Field(examples=["ORIGIN"])
    interval: str | None = Field(default=None, examples=["1m"])
    basis: Literal["trade", "mid", "bid", "ask"]
    timezone: str | None = Field(default=None, examples=["UTC"])
    day_start: str | None = Field(default=None, examples=["00:00"])
    calendar: str | None = Field(
        default=None, description="Left out where none was asked for.", examples=["XNYS"]
    )
    session: Literal["regular", "extended", "all"] | None = Field(
        default=None, description="Only beside a calendar."
    )
    indicators: list[IndicatorModel]
    values: list[IndicatorValuesModel] = Field(
        examples=[
            [
                {
                    "start": "2014-05-07T00:00:00Z",
                    "end": "2014-05-07T00:01:00Z",
                    "revision": 5077,
                    "close": 1.393,
                    "sma": 1.39295,
                }
            ]
        ]
    )
    next_page_token: str | None


class DepthModel(_Model):
    """The sizes near the mid of a book."""

    bps: float = Field(description="As asked for.", examples=[10.0])
    bid: float | None = Field(examples=[12.5])
    ask: float | None = Field(examples=[9.75])


class BookModel(_Model):
    """An order book. What there is not is null; no book means no number."""

    symbol: str = Field(examples=["BTC-USDT"])
    venue: str = Field(examples=["BINANCE"])
    ts_event: str | None = Field(
        description="When the book was so.", examples=["2026-05-07T00:00:01Z"]
    )
    ts_recv: str | None = Field(
        description="When that reached the plant.", examples=["2026-05-07T00:00:01.25Z"]
    )
    seq: int | None = Field(description="Number of the last row in it.", examples=[1046])
    state: Literal["live", "stale", "rebuilding", "none"] = Field(examples=["live"])
    mid: float | None = Field(examples=[64_000.5])
    spread: float | None = Field(examples=[1.0])
    spread_bps: float | None = Field(description="spread / mid * 10,000", examples=[0.156])
    imbalance: float | None = Field(
        description="bid / (bid + ask) of the sizes of the best five levels, from 0 to 1.",
        examples=[0.55],
    )
    signal: Literal["BUY_PRESSURE", "SELL_PRESSURE", "NEUTRAL"] | None = Field(
        description="BUY_PRESSURE above an imbalance of 0.6, SELL_PRESSURE below 0.4."
    )
    depth_bps: DepthModel | None = Field(default=None, description="Only with `bps`.")
    bids: list[list[float]] = Field(
        description="[price, size], or [price, size, orders] where the venue counts them.",
        examples=[[[64_000.0, 1.5]]],
    )
    asks: list[list[float]] = Field(examples=[[[64_001.0, 0.5]]])


class LatestModel(_Model):
    """The last that is known of an instrument. What there is none of is null."""

    symbol: str = Field(examples=["EURUSD"])
    venue: str = Field(examples=["ORIGIN"])
    ts_event: str | None = Field(
        description="Event time of the newest trade, quote or book.",
        examples=["2014-05-07T00:00:01Z"],
    )
    age_s: float | None = Field(description="Seconds since then.", examples=[0.25])
    freshness: Literal["FRESH", "WARN", "STALE"] = Field(
        description="FRESH up to 60 s, WARN up to 120 s, else STALE."
    )
    trade: TradeModel | None
    quote: QuoteModel | None
    candle: CandleModel | None = Field(description="The last 1m candle, usually forming.")


class LatestList(_Model):
    """The last of several instruments, in the order asked for."""

    left_out: int = Field(description="Instruments that `*` did not have room for.", examples=[0])
    latest: list[LatestModel]


class QuarantineModel(_Model):
    """A refused row."""

    ts_recv: str = Field(examples=["2014-05-07T00:00:01.25Z"])
    seq: int = Field(examples=[1045])
    feed: str = Field(examples=["push"])
    table: Literal["trades", "quotes", "stats", "book"]
    symbol: str | None
    reason: str = Field(examples=["price_not_positive"])
    detail: str = Field(examples=["price: -1 is not allowed; allowed is a number above 0"])
    row: Any = Field(
        description="The row as it was sent; JSON text where rows are columns.",
        examples=[{"symbol": "EURUSD", "price": -1}],
    )


class QuarantinePage(_Model):
    """A page of refused rows."""

    quarantine: list[QuarantineModel]
    next_page_token: str | None


class GapModel(_Model):
    """A span of event time of which it is not known that everything was delivered."""

    id: int = Field(description="`seq` of the record that opened it.", examples=[5078])
    feed: str = Field(examples=["push"])
    symbol: str | None = Field(
        description="Null, as `venue`, where it is one of every instrument of the feed.",
        examples=["EURUSD"],
    )
    venue: str | None = Field(examples=["ORIGIN"])
    start: str = Field(examples=["2014-05-07T00:00:01Z"])
    end: str | None = Field(
        description="Null while it lasts, as `duration_s`.", examples=["2014-05-07T00:03:00Z"]
    )
    duration_s: float | None = Field(examples=[179.0])
    cause: Literal["disconnect", "sequence", "stall", "restart", "overload"]
    status: Literal["open", "repairing", "repaired", "unrepairable"] = Field(
        description="What became of it; a repaired one is covered again."
    )
    noticed: str = Field(
        description="When the plant noticed it.", examples=["2014-05-07T00:03:01Z"]
    )
    events: int | None = Field(
        description="Events that a repair brought, null before one.", examples=[17]
    )
    changed: int = Field(description="`seq` of the last record about it.", examples=[5079])
    detail: str | None = Field(description="What the feed said of it.")


class GapsPage(_Model):
    """A page of the gap ledger."""

    gaps: list[GapModel]
    next_page_token: str | None


class RejectModel(_Model):
    """Why a row was refused."""

    index: int = Field(description="Place in the body, from 0.", examples=[3])
    reason: str = Field(examples=["price_not_positive"])
    detail: str = Field(examples=["price: -1 is not allowed; allowed is a number above 0"])


class ReceiptModel(_Model):
    """What became of a body. The numbers are null where no row was accepted."""

    accepted: int = Field(examples=[999])
    duplicates: int = Field(examples=[0])
    rejected: list[RejectModel]
    seq_first: int | None = Field(examples=[1001])
    seq_last: int | None = Field(examples=[1999])


class CorrectionModel(TradeModel):
    """The corrected trade as it now stands."""

    symbol: str = Field(examples=["EURUSD"])
    venue: str = Field(examples=["ORIGIN"])


class DeclaredModel(_Model):
    """What was declared complete, and of which instruments."""

    symbols: list[str] = Field(examples=[["ORIGIN:EURUSD"]])
    start: str = Field(examples=["2014-05-07T00:00:00Z"])
    end: str = Field(examples=["2014-05-08T00:00:00Z"])


class CancelModel(_Model):
    """A cancel: its own number and that of the trade it cancels."""

    seq: int = Field(examples=[2001])
    cancels: int = Field(examples=[1043])


class ConnectionModel(_Model):
    """One connection of a venue's feed."""

    line: int = Field(description="Its place; a new connection takes the old one's.", examples=[1])
    state: Literal["waiting", "live", "stalled", "down"]
    reason: str | None = Field(description="Why it is not live.")
    since: str | None = Field(description="Since when it is so.")
    streams: int = Field(description="How many streams it carries.", examples=[40])
    opened: int = Field(description="How often it was connected and subscribed.", examples=[1])
    failed: int = Field(description="How often it ended, or could not be made.", examples=[0])


class RepairsModel(_Model):
    """What became of the gaps of a feed since the plant has started."""

    repaired: int = Field(examples=[1])
    events: int = Field(description="Events that repairs brought.", examples=[26])
    unrepairable: int = Field(examples=[0])
    failed: int = Field(description="Attempts that failed, and are made again.", examples=[0])


class FeedModel(_Model):
    """A feed and how it is doing. What its coverage says is null until it has said anything."""

    id: str = Field(examples=["synthetic"])
    venue: str = Field(examples=["SYNTH"])
    kind: str = Field(examples=["synthetic"])
    state: Literal["starting", "connected", "waiting", "finished", "stopped"] = Field(
        description="`waiting` is the pause before a feed that failed is started again.",
        examples=["connected"],
    )
    instruments: int = Field(examples=[100])
    events: int = Field(description="Rows that it has submitted.", examples=[5077])
    events_per_s: float = Field(examples=[1000.0])
    last_event: str | None = Field(description=f"The youngest of them. {_TIME}")
    lag: float | None = Field(description="How old that was on arrival, s.", examples=[0.002])
    restarts: int = Field(examples=[0])
    error: str | None = Field(description="The last fault, until rows flow again.")
    watermark: str | None = Field(
        description="How far its event time has surely come.", examples=["2014-05-07T00:00:01Z"]
    )
    covered_since: str | None = Field(
        description="Where its present session begins.", examples=["2014-05-07T00:00:00Z"]
    )
    gaps_open: int = Field(description="Gaps of it that are open or being repaired.", examples=[0])
    connections: list[ConnectionModel] | None = Field(
        default=None,
        description="Those of a venue's feed; absent for other feeds, as what follows.",
    )
    streams: dict[str, int] | None = Field(
        default=None,
        description="How many of its streams are in each state; `GET /v1/feeds/{id}` lists them.",
        examples=[{"live": 40, "quiet": 2, "refused": 1}],
    )
    repairs: RepairsModel | None = None
    breaker: Literal["closed", "open", "half_open"] | None = Field(
        default=None,
        description="Whether its venue or provider is asked over HTTP: not while it is `open`, "
        "which is after failures in a row; `half_open` lets one request try. Shared by all feeds "
        "of it, absent for feeds that ask nobody.",
        examples=["closed"],
    )


class FeedsModel(_Model):
    """The feeds and how each is doing."""

    feeds: list[FeedModel]


Load = Literal["healthy", "warning", "critical", "overload"]


class MeasureModel(_Model):
    """One thing that is measured under load, and its bound."""

    value: float = Field(examples=[120.0])
    bound: float = Field(examples=[2_000_000.0])
    unit: str = Field(examples=["rows"])
    share: float = Field(description="The part of the bound that is used.", examples=[0.0001])


class BackpressureModel(_Model):
    """How hard pressed the plant is, by what, and what was left out."""

    level: Load = Field(examples=["healthy"])
    since_s: float = Field(description="How long it has been so, s.", examples=[3600.0])
    refuses: bool = Field(description="Whether new rows are refused now.", examples=[False])
    cause: str | None = Field(description="The measure that decides, if any.", examples=[None])
    measures: dict[str, MeasureModel]
    shed: dict[str, int] = Field(
        description="Quotes of live feeds that were left out, by policy.",
        examples=[{"conflate": 0, "drop": 0}],
    )


class StatusModel(BaseModel):
    """How much, how fresh, how durable."""

    model_config = ConfigDict(extra="allow")

    version: str = Field(examples=["0.1.0"])
    state: Literal["starting", "running", "stopping", "stopped"] = Field(examples=["running"])
    ready: bool = Field(examples=[True])
    reason: str = Field(description="Why it is ready, or is not.", examples=["accepting"])
    run: int = Field(description="How often this folder has been started.", examples=[3])
    started_at: str = Field(examples=["2014-05-06T23:00:00Z"])
    uptime_s: float = Field(examples=[3600.0])
    now: str = Field(description="The plant's clock.", examples=["2014-05-07T00:00:00Z"])
    instruments: int = Field(examples=[100])
    rows_waiting: int = Field(description="Rows that wait to be accepted.", examples=[0])
    seq_last: int = Field(description="The last sequence number that can be read.", examples=[5077])
    backpressure: BackpressureModel | None = Field(
        default=None, description="Absent where a reader answers for the plant."
    )
    feeds: list[FeedModel]


class Probe(_Model):
    """One thing that the process depends on."""

    ok: bool = Field(examples=[True])
    detail: str = Field(examples=["ok"])


class HealthModel(_Model):
    """Whether the process is up and what it depends on works."""

    status: Literal["ok", "failing"]
    checks: dict[str, Probe] = Field(examples=[{"log": {"ok": True, "detail": "ok"}}])


class ReadyModel(_Model):
    """Whether rows are accepted now."""

    ready: bool = Field(examples=[True])
    reason: str = Field(examples=["accepting"])
