"""What is told of coverage: notices of gaps, the facts of each feed, and numbers for metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tickplant.model.events import CAUSES
from tickplant.model.times import NS_PER_S, format_time
from tickplant.plant.catalog import Catalog
from tickplant.plant.coverage import CoverageBook
from tickplant.plant.ledger import OPEN_END, REPAIRED, REPAIRING, Gap


@dataclass(frozen=True, slots=True)
class CoverageStatus:
    """The ledger in numbers.

    `open_s_max` is how long the oldest open gap has been known, `lags_s` how far each feed's
    watermark is behind the clock.
    """

    gaps: dict[str, int]
    gaps_open: int
    uncovered_s: float
    events_repaired: int
    lags_s: dict[str, float]
    open_s_max: float = 0.0


def coverage_status(book: CoverageBook, name_of: Callable[[int], str], now: int) -> CoverageStatus:
    """Return the numbers of the ledger as it is."""
    with book.lock:
        rows = book.ledger.rows.copy()
        marks = {feed: book.watermark_of(feed) for feed in book.wide}
    missing = rows[(rows["status"] != REPAIRED) & (rows["end"] != OPEN_END)]
    opened = rows[rows["status"] <= REPAIRING]
    causes = Counter(rows["cause"].tolist())
    return CoverageStatus(
        gaps={cause: causes.get(code, 0) for code, cause in enumerate(CAUSES)},
        gaps_open=len(opened),
        uncovered_s=float((missing["end"] - missing["start"]).sum() / NS_PER_S),
        events_repaired=int(np.maximum(rows["events"], 0).sum()),
        lags_s={
            name_of(feed): (now - mark) / NS_PER_S
            for feed, mark in marks.items()
            if mark is not None
        },
        open_s_max=max(0, now - int(opened["noticed"].min())) / NS_PER_S if len(opened) else 0.0,
    )


def feed_facts(book: CoverageBook, feed: int | None) -> dict[str, Any]:
    """Return what `/v1/feeds` shows of a feed's coverage; times as text, null where unknown."""
    with book.lock:
        wide = None if feed is None else book.wide.get(feed)
        mark = None if feed is None else book.watermark_of(feed)
        gaps_open = 0 if feed is None else book.ledger.unrepaired(feed)
    began = None if wide is None else wide.began
    return {
        "watermark": None if mark is None else format_time(mark),
        "covered_since": None if began is None else format_time(began),
        "gaps_open": gaps_open,
    }


def notices(
    book: CoverageBook, rows: pa.RecordBatch, catalog: Catalog
) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield a notice of each gap that these rows of `coverage` made or changed, and its number."""
    kinds = rows.column("kind").to_pylist()
    if "gap" not in kinds and "change" not in kinds:
        return
    refs, seqs = rows.column("ref_seq").to_pylist(), rows.column("seq").to_pylist()
    for kind, ref, seq in zip(kinds, refs, seqs, strict=True):
        gap = book.ledger.find(ref or seq) if kind in ("gap", "change") else None
        if gap is not None:
            yield _notice(gap, catalog), seq


def _notice(gap: Gap, catalog: Catalog) -> dict[str, Any]:
    symbols = None if not gap.instrument else [catalog.registry.number(gap.instrument).name]
    return {
        "op": "gap",
        "id": gap.id,
        "feed": catalog.feed_name(gap.feed),
        "symbols": symbols,
        "start": format_time(gap.start),
        "end": None if gap.end is None else format_time(gap.end),
        "cause": gap.cause,
        "noticed": format_time(gap.noticed),
        "status": gap.status,
        "events": gap.events,
    }
