"""`gaps`: the gap ledger, read when a query asks for it, because most do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from tickplant.formats.gaps import GAPS, public_gaps
from tickplant.plant.history import History
from tickplant.sql.scan import Scan


class GapTable(ds.InMemoryDataset):  # type: ignore[misc]
    """A dataset of the ledger as it is when it is scanned. `feeds` are numbers by name."""

    def __init__(self, history: History, feeds: Mapping[str, int]) -> None:
        super().__init__(GAPS.empty_table())
        self._history = history
        self._names = {number: name for name, number in feeds.items()}

    def scanner(self, **asked: Any) -> Scan:
        """Return a scan of the gaps that the condition lets through."""
        return Scan(GAPS, self._tables(), asked.get("columns"), asked.get("filter"))

    def _tables(self) -> Iterator[pa.Table]:
        numbers = self._history.registry.number
        yield public_gaps(self._history.gaps(), lambda feed: self._names.get(feed, ""), numbers)
