"""Which files are older than their table is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tickplant.config import StoreSettings
from tickplant.model.events import QUARANTINE, QUOTES, TRADES
from tickplant.model.times import NS_PER_DAY, utc_day
from tickplant.store.manifest import FileEntry


def days_kept(settings: StoreSettings) -> dict[str, int]:
    """Return the days that each table is kept; 0 means for ever."""
    return {
        TRADES: settings.trades_retention_days,
        QUOTES: settings.quotes_retention_days,
        QUARANTINE: settings.quarantine_retention_days,
    }


def expired(files: Sequence[FileEntry], kept: Mapping[str, int], now: int) -> list[FileEntry]:
    """Return the files of days that ended at least the kept number of days before today, UTC."""
    first_day = {
        table: utc_day(now - days * NS_PER_DAY) for table, days in kept.items() if days > 0
    }
    return [e for e in files if e.table in first_day and e.day < first_day[e.table]]
