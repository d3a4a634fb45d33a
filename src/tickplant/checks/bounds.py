"""What a row must be like to be accepted, in the units of the columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tickplant.config import CheckSettings, read_by_venue
from tickplant.model.times import NS_PER_S, parse_time

ID_BYTES_MAX = 128
KEY_BYTES_MAX = 64
CONDITIONS_BYTES_MAX = 256
EXCHANGE_BYTES_MAX = 32
STAT_NAME_MAX = 64


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of values; times are nanoseconds.

    A price must be above `price_min` and not above `price_max`, a size from 0 to `size_max`, open
    interest from 0 to `open_interest_max`, or that of its venue in `open_interest_venues`, a time
    not before `ts_event_min` and at most `future_ns_max` ahead of the clock.
    """

    price_min: float = 0.0
    price_max: float = 1e12
    size_max: float = 1e15
    open_interest_max: float = 1e8
    open_interest_venues: Mapping[str, float] = field(default_factory=dict)
    ts_event_min: int = 0
    future_ns_max: int = 60 * NS_PER_S

    @classmethod
    def of(cls, settings: CheckSettings) -> Bounds:
        """Return the bounds of the settings; raises `InvalidParameter` for a bad time there."""
        return cls(
            price_min=settings.price_min,
            price_max=settings.price_max,
            size_max=settings.size_max,
            open_interest_max=settings.open_interest_max,
            open_interest_venues=read_by_venue(settings.open_interest_venues),
            ts_event_min=parse_time(settings.ts_event_min, "checks.ts_event_min", where="config"),
            future_ns_max=int(settings.future_s_max * NS_PER_S),
        )
