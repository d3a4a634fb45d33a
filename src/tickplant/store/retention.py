"""Which files are older than their table is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tickplant.config import StoreSettings
from tickplant.model.events import BOOK, COVERAGE, QUARANTINE, QUOTES, STATS, TRADES
from tickplant.model.times import NS_PER_DAY, utc_day
from tickplant.store.manifest import FileEntry


def days_kept(settings: StoreSettings) -> dict[str, int]:
    """Return the days that each table is kept; 0 means for ever.

    What was covered is kept as long as any of the events that it is about.
    """
    market = settings.trades_retention_days, settings.quotes_retention_days
    return {
        TRADES: settings.trades_retention_days,
        QUOTES: settings.quotes_retention_days,
        BOOK: settings.book_retention_days,
        STATS: settings.stats_retention_days,
        QUARANTINE: settings.quarantine_retention_days,
        COVERAGE: 0 if 0 in market else max(market),
    }


def first_days(kept: Mapping[str, int], now: int) -> dict[str, int]:
    """Return when the first day that is kept begins, ns, of each table that loses days."""
    return {
        table: (now // NS_PER_DAY - days) * NS_PER_DAY for table, days in kept.items() if days > 0
    }


def expired(files: Sequence[FileEntry], firsts: Mapping[str, int]) -> list[FileEntry]:
    """Return the files of days before those that `first_days` gives."""
    return [e for e in files if e.table in firsts and e.day < utc_day(firsts[e.table])]
