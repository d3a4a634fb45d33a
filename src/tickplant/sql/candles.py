"""`candles_1m`: bars of our own making, made when a query reads them.

The database asks a dataset for a scan and hands it the condition that it could push down. The
condition picks the instruments (Arrow's own simplification of conditions does that, on one
fragment an instrument that is never opened); their bars are then made chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import fs

from tickplant.formats.rows import public_candles, with_spreads
from tickplant.model.instruments import Instrument
from tickplant.plant.bar_table import QUOTE_SCHEMA
from tickplant.plant.history import History
from tickplant.plant.latest import MINUTE
from tickplant.sql.scan import Scan

_NOBODY = Instrument(number=0, symbol="", venue="")


def bars_of(history: History, instrument: Instrument) -> pa.Table:
    """Return all 1-minute bars of an instrument in the API's columns; the same as `/v1/candles`."""
    candles = history.candles(instrument, MINUTE)
    bars = public_candles(candles.table, instrument, "1m", candles.basis)
    return with_spreads(bars.drop_columns("interval"))


SCHEMA: pa.Schema = (
    public_candles(QUOTE_SCHEMA.empty_table(), _NOBODY, "1m", "mid").drop_columns("interval").schema
)


class CandleTable(ds.InMemoryDataset):  # type: ignore[misc]
    """A dataset whose rows are made when it is scanned, as often as it is scanned."""

    def __init__(
        self, instruments: list[Instrument], bars: Callable[[Instrument], pa.Table]
    ) -> None:
        super().__init__(SCHEMA.empty_table())
        self._by_name = {i.name: i for i in instruments}
        self._bars = bars
        self._index = _index(instruments)

    def scanner(self, **asked: Any) -> Scan:
        """Return a scan of the bars of the instruments that the condition lets through."""
        wanted = asked.get("filter")
        names = [fragment.path for fragment in self._index.get_fragments(wanted)]
        return Scan(SCHEMA, self._tables(names), asked.get("columns"), wanted)

    def _tables(self, names: list[str]) -> Iterator[pa.Table]:
        for name in names:
            yield self._bars(self._by_name[name]).cast(SCHEMA)


def _index(instruments: list[Instrument]) -> ds.FileSystemDataset:
    """Return a dataset with a fragment for each instrument that says which one it is."""
    form, nowhere = ds.ParquetFileFormat(), fs.LocalFileSystem()
    fragments = [
        form.make_fragment(
            i.name,
            nowhere,
            partition_expression=(pc.field("symbol") == i.symbol) & (pc.field("venue") == i.venue),
        )
        for i in instruments
    ]
    return ds.FileSystemDataset(fragments, SCHEMA, form, nowhere)
