"""What the database asks for the rows of a table that is made when a query reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc


class Scan:
    """Rows of `schema` from `tables`, which are made one by one as they are read.

    Not one of Arrow's scanners: they read ahead on threads of their own, and such a thread that
    still runs our code when a LIMIT has ended the query and the process ends takes it down.
    `columns` None means all of them.
    """

    def __init__(
        self,
        schema: pa.Schema,
        tables: Iterator[pa.Table],
        columns: Sequence[str] | None,
        wanted: pc.Expression | None,
    ) -> None:
        self._schema = schema
        self._tables = tables
        self._columns = schema.names if columns is None else list(columns)
        self._wanted = wanted

    def to_reader(self) -> pa.RecordBatchReader:
        """Return the rows that are wanted; they are made when they are read."""
        schema = pa.schema([self._schema.field(name) for name in self._columns])
        return pa.RecordBatchReader.from_batches(schema, self._batches(schema))

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for table in self._tables:
            rows = table if self._wanted is None else table.filter(self._wanted)
            yield from rows.select(self._columns).cast(schema).to_batches()
