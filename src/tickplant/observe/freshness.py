"""How fresh data is. The one definition; routes, status, stream and metrics all ask here."""

from __future__ import annotations

from typing import Literal, NamedTuple

FRESH_S_MAX = 60.0
WARN_S_MAX = 120.0


class Freshness(NamedTuple):
    """A word for people and a number for graphs: 1.0 fresh, 0.5 to be watched, 0.0 stale."""

    status: Literal["FRESH", "WARN", "STALE"]
    health: float


def freshness(age_s: float | None) -> Freshness:
    """Return how fresh data of this age is, seconds; None (there is none) is stale.

    FRESH up to and including 60 s, WARN up to and including 120 s, else STALE. An event of the
    near future (a producer's clock is ahead) is fresh.
    """
    if age_s is not None and age_s <= FRESH_S_MAX:
        return Freshness("FRESH", 1.0)
    if age_s is not None and age_s <= WARN_S_MAX:
        return Freshness("WARN", 0.5)
    return Freshness("STALE", 0.0)


INGESTION_INTERVALS_MAX = 3
"""Ingestion is alive while its heartbeat is not older than so many intervals."""


def ingestion_alive(age_s: float | None, interval_s: float) -> bool:
    """Say whether rows are being stored: the last durable commit is so old, None is never."""
    return age_s is not None and age_s <= INGESTION_INTERVALS_MAX * interval_s
