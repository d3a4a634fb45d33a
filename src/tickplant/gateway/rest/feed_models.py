"""What the answers about feeds and polling jobs look like, for the OpenAPI document only."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tickplant.gateway.rest.models import FeedModel


class SubscriptionModel(BaseModel):
    """A stream of a feed: one channel of one symbol."""

    symbol: str = Field(examples=["BTC-USDT"])
    channel: Literal["trades", "quotes", "book", "stats"]
    state: Literal["waiting", "live", "quiet", "stalled", "down", "refused"] = Field(
        description="`quiet` has had no event for a minute on a connection that lives; `stalled` "
        "is on one that shows no life and is being replaced.",
        examples=["live"],
    )
    reason: str | None = Field(description="Why it is not live.")
    line: int | None = Field(description="The connection that carries it.", examples=[1])
    last_event: str | None = Field(description="When it last came.")


class OneFeedModel(FeedModel):
    """A feed, closely."""

    subscriptions: list[SubscriptionModel] | None = Field(
        description="Its streams; null for a feed that is not one of a venue."
    )


class PollConfigModel(BaseModel):
    """What is polled."""

    symbols: list[str] = Field(examples=[["BTC-USD", "EURUSD"]])
    interval: float = Field(description="Seconds between two polls.", examples=[60.0])
    provider: str = Field(examples=["yahoo"])


class PollJobModel(BaseModel):
    """A polling job."""

    model_config = ConfigDict(extra="allow")

    job_id: str = Field(examples=["5f0c9e21a7d4"])
    status: str = Field(
        description="accepted (not yet polled), running, failing (the last poll failed), failed "
        "(it cannot run), cancelled.",
        examples=["accepted"],
    )
    config: PollConfigModel
    created: str = Field(examples=["2024-05-07T12:30:00Z"])
    feed: str | None = Field(
        description="Its feed in `/v1/feeds` and the gap ledger.", examples=["poll-5f0c9e21a7d4"]
    )
    error: str | None = Field(description="Why the last poll failed.", examples=[None])


class PollJobsModel(BaseModel):
    """All polling jobs."""

    jobs: list[PollJobModel]
