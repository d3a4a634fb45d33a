"""What a request/response provider is to a poller: it is asked for symbols and answers prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Price:
    """What a provider says of one symbol; None is what it does not say.

    `ts_event` is ns UTC, when it was so by the provider's clock. `id` names a trade.
    """

    symbol: str
    price: float | None = None
    ts_event: int | None = None
    size: float | None = None
    bid_price: float | None = None
    bid_size: float | None = None
    ask_price: float | None = None
    ask_size: float | None = None
    id: str | None = None

    @property
    def is_trade(self) -> bool:
        """Whether it has a price of its own."""
        return self.price is not None

    @property
    def is_quote(self) -> bool:
        """Whether it has a bid or an ask."""
        return self.bid_price is not None or self.ask_price is not None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking: prices, and why there is none of a symbol."""

    prices: Sequence[Price] = ()
    faults: Mapping[str, str] = field(default_factory=dict)


class ProviderFault(Exception):
    """A provider did not answer, or not well. `retry_after_s` is what it asks us to wait."""

    def __init__(self, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Provider(Protocol):
    """A source of prices that has to be asked. Used on one event loop."""

    @property
    def name(self) -> str:
        """What jobs call it; lower case."""
        ...

    @property
    def venue(self) -> str:
        """The venue of its rows."""
        ...

    async def fetch(self, symbols: Sequence[str]) -> Answer:
        """Return the present prices of these canonical symbols.

        Raises `ProviderFault` where nothing is known of any of them; takes a bounded time.
        """
        ...
