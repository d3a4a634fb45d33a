"""What the routes of other systems answer, for the OpenAPI document only."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from tickplant.gateway.rest.models import RejectModel, TradeModel


class SeedModel(BaseModel):
    """An answer in another system's words."""

    model_config = ConfigDict(extra="forbid")


class OhlcvBarModel(SeedModel):
    """A 1-minute bar of trades."""

    window_start: str = Field(examples=["2014-05-07T00:00:00Z"])
    window_end: str = Field(examples=["2014-05-07T00:01:00Z"])
    open_price: float | None = Field(examples=[1.3928])
    high_price: float | None = Field(examples=[1.3931])
    low_price: float | None = Field(examples=[1.3927])
    close_price: float | None = Field(examples=[1.393])
    volume: float | None = Field(examples=[1200.0])
    vwap: float | None = Field(examples=[1.39295])
    tick_count: int = Field(examples=[42])
    first_ts: str | None = Field(examples=["2014-05-07T00:00:01Z"])
    last_ts: str | None = Field(examples=["2014-05-07T00:00:59.5Z"])
    state: str = Field(examples=["complete"])


class OhlcvModel(SeedModel):
    """1-minute bars, the newest first."""

    symbol: str = Field(examples=["EURUSD"])
    exchange: str = Field(examples=["ORIGIN"])
    interval: str = Field(examples=["1m"])
    count: int = Field(examples=[1])
    bars: list[OhlcvBarModel]


class SpreadModel(SeedModel):
    """The best bid and ask; null where there is no book."""

    exchange: str = Field(examples=["ORIGIN"])
    symbol: str = Field(examples=["EURUSD"])
    latest_ts: str | None = Field(examples=["2014-05-07T00:00:01Z"])
    best_bid_price: float | None = Field(examples=[1.3927])
    best_ask_price: float | None = Field(examples=[1.3929])
    spread: float | None = Field(examples=[0.0002])
    mid_price: float | None = Field(examples=[1.3928])
    spread_bps: float | None = Field(examples=[1.436])


class LiquidityModel(SpreadModel):
    """The spread with sizes, imbalance from 0 to 1, and freshness."""

    best_bid_qty: float | None = Field(examples=[1_000_000.0])
    best_ask_qty: float | None = Field(examples=[2_000_000.0])
    imbalance: float | None = Field(examples=[0.333])
    market_signal: Literal["BUY_PRESSURE", "SELL_PRESSURE", "NEUTRAL"] | None = Field(
        examples=["SELL_PRESSURE"]
    )
    staleness_seconds: float | None = Field(examples=[0.25])
    freshness_status: Literal["FRESH", "WARN", "STALE"]


class LagItemModel(SeedModel):
    """How old the newest data of an instrument is."""

    exchange: str = Field(examples=["ORIGIN"])
    symbol: str = Field(examples=["EURUSD"])
    latest_event_ts: str | None = Field(examples=["2014-05-07T00:00:01Z"])
    latest_ingest_ts: str | None = Field(examples=["2014-05-07T00:00:01.25Z"])
    staleness_seconds: float | None = Field(examples=[0.5])
    freshness_status: Literal["FRESH", "WARN", "STALE"]
    health_score: float = Field(examples=[1.0])


class LagModel(SeedModel):
    """How old the newest data of every instrument is."""

    items: list[LagItemModel]
    checked_at: str = Field(examples=["2014-05-07T00:00:01.5Z"])
    healthy_count: int = Field(examples=[1])
    total_count: int = Field(examples=[1])


class SymbolModel(SeedModel):
    """An instrument and what is known of it."""

    symbol: str = Field(examples=["EURUSD"])
    exchange: str = Field(examples=["ORIGIN"])
    status: str = Field(examples=["active"])
    base: str | None = Field(examples=["EUR"])
    quote: str | None = Field(examples=["USD"])
    tick_size: float | None
    lot_size: float | None
    expiry: str | None
    strike: float | None
    right: Literal["call", "put"] | None
    underlying: str | None


class SymbolsModel(SeedModel):
    """What is known to be traded."""

    symbols: list[SymbolModel]
    count: int = Field(examples=[1])


class OhlcBarModel(SeedModel):
    """A bar; `bucket` is its start."""

    bucket: str = Field(examples=["2014-05-07T00:00:00Z"])
    symbol: str = Field(examples=["EURUSD"])
    open: float | None = Field(examples=[1.3928])
    high: float | None = Field(examples=[1.3931])
    low: float | None = Field(examples=[1.3927])
    close: float | None = Field(examples=[1.393])
    tick_count: int = Field(examples=[42])
    state: str = Field(examples=["complete"])


class OhlcModel(RootModel[list[OhlcBarModel]]):
    """Bars, ascending."""


class PriceModel(SeedModel):
    """The last price with its age."""

    symbol: str = Field(examples=["EURUSD"])
    venue: str = Field(examples=["ORIGIN"])
    price: float | None = Field(examples=[1.3928])
    timestamp: str | None = Field(examples=["2014-05-07T00:00:01Z"])
    age_seconds: float | None = Field(examples=[0.25])
    freshness: Literal["FRESH", "WARN", "STALE"]


class SeedTradeModel(TradeModel):
    """A trade, with its symbol and its time under another name, too."""

    symbol: str = Field(examples=["EURUSD"])
    timestamp: str = Field(examples=["2014-05-07T00:00:01Z"])


class TradesModel(SeedModel):
    """Trades by event time, then sequence number."""

    symbol: str = Field(examples=["EURUSD"])
    count: int = Field(examples=[1])
    trades: list[SeedTradeModel]
    next_page_token: str | None


class IngestionModel(SeedModel):
    """Whether rows are being stored."""

    ingestion_status: Literal["alive", "dead"]
    ingestion_alive: bool = Field(examples=[True])
    stale_threshold_seconds: float = Field(examples=[30.0])
    last_successful_ingestion: str | None = Field(examples=["2014-05-07T00:00:01.25Z"])
    seconds_since_last_heartbeat: float | None = Field(examples=[0.25])
    seconds_since_last_trade: float | None = Field(examples=[0.5])
    db_healthy: bool = Field(examples=[True])
    uptime_seconds: float = Field(examples=[3600.0])
    process_started_at: str = Field(examples=["2014-05-06T23:00:00Z"])


class ProvidedPriceModel(SeedModel):
    """The last price of a symbol; `provider` is where it came from."""

    symbol: str = Field(examples=["EURUSD"])
    price: float | None = Field(examples=[1.3928])
    timestamp: str | None = Field(examples=["2014-05-07T00:00:01Z"])
    provider: str = Field(examples=["yahoo"])


class TickModel(SeedModel):
    """A tick; `seq` is the number of the trade behind it."""

    time: str = Field(examples=["2025-12-05T10:00:00Z"])
    symbol: str = Field(examples=["EURUSD"])
    price: float = Field(examples=[1.12345])
    size: float | None = Field(examples=[100.0])
    seq: int = Field(examples=[1043])


class TicksModel(RootModel[list[TickModel]]):
    """Ticks by time."""


class BulkModel(SeedModel):
    """What became of many ticks."""

    created: int = Field(examples=[1])
    duplicates: int = Field(examples=[0])
    rejected: list[RejectModel]


class DeletedModel(SeedModel):
    """How many ticks were deleted."""

    deleted: int = Field(examples=[1])
    symbol: str = Field(examples=["EURUSD"])
    time: str | None = Field(default=None, description="Of the one that was named.")
