"""A batch: rows that have their sequence numbers and are about to be stored."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from tickplant.store.contract import Keys


@dataclass(frozen=True, slots=True)
class Batch:
    """Stamped rows of one table, in sequence order, with their idempotency keys if any has one."""

    table: str
    rows: pa.RecordBatch
    keys: Keys | None

    @property
    def seq_last(self) -> int:
        """The number of the last row."""
        return int(self.rows.column("seq")[-1].as_py())
