"""CSV bodies to columns.

The first line is the header; columns may stand in any order, case and surrounding blanks of their
names do not matter, those that we do not know are ignored. An empty cell is a missing value,
quoted or not. Quoting is that of RFC 4180. Every cell is read as text and coerced column by column.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.csv as pa_csv

from tickplant.formats.columns import read_array
from tickplant.formats.parsed import Parsed, assemble, check_text, pick_columns
from tickplant.formats.values import FIELDS
from tickplant.model.errors import InvalidBody
from tickplant.model.rejects import Reject, row_text

_HEADER_ROWS = 1


class RowFaults:
    """Collects lines with too many or too few cells, so that the other lines are still read.

    Handed to the CSV reader as its handler of invalid rows. `rejects` hold them with their place
    among the rows of the body.
    """

    def __init__(self) -> None:
        self.rejects: list[Reject] = []

    def __call__(self, row: pa_csv.InvalidRow) -> str:
        """Note the row and have it left out."""
        number = (row.number or 0) - _HEADER_ROWS - 1
        detail = (
            f"line with {row.actual_columns} cells; allowed is {row.expected_columns}, as many as "
            "the header has"
        )
        text = row_text(row.text)
        self.rejects.append(Reject(max(number, 0), "row_unreadable", detail, text))
        return "skip"


def parse_csv(table: str, body: bytes) -> Parsed:
    """Parse a header and rows.

    Raises `InvalidBody` where there is no header, a needed column is missing, or the text cannot
    be cut into rows.
    """
    body = check_text(body)
    header = read_header(body)
    picked = pick_columns(table, header, "header")
    faults = RowFaults()
    rows = _read_cells(body, header, sorted(set(picked.values())), faults)
    kinds = FIELDS[table]
    columns = {
        name: read_array(kind, name, rows.column(picked[name]))
        for name, kind in kinds.items()
        if name in picked
    }
    return assemble(
        table,
        columns,
        lambda p: row_text(rows.slice(p, 1).to_pylist()[0]),
        indexes=places_left(rows.num_rows, faults.rejects),
        unreadable=faults.rejects,
    )


def read_header(text: bytes, delimiter: str = ",") -> list[str]:
    """Return the column names of the first line that is not blank, in lower case."""
    lines = text.lstrip(b"\r\n").splitlines() or [b""]
    try:
        cells = next(csv.reader([lines[0].decode()], strict=True, delimiter=delimiter), [])
    except csv.Error as fault:
        raise InvalidBody(f"header: it is no CSV ({fault})") from None
    return [cell.strip().lower() for cell in cells]


def _read_cells(
    body: bytes, header: Sequence[str], wanted: Sequence[str], faults: RowFaults
) -> pa.RecordBatch:
    names = [name if name in wanted else f"{place}" for place, name in enumerate(header)]
    schema = pa.schema([(name, pa.string()) for name in wanted])
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(body + b"\n"),
            # One block holds the body, so that a quoted line break never meets a block's end.
            pa_csv.ReadOptions(
                use_threads=False, block_size=len(body) + 2, column_names=names, skip_rows=0
            ),
            pa_csv.ParseOptions(invalid_row_handler=faults),
            pa_csv.ConvertOptions(
                column_types=schema,
                include_columns=list(wanted),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as fault:
        raise InvalidBody(f"body: it is no CSV that can be read ({fault})") from None
    batches = table.slice(_HEADER_ROWS).combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=schema)


def places_left(count: int, rejects: Sequence[Reject]) -> list[int] | None:
    """Return the places of `count` rows that were read, which are those of no reject."""
    if not rejects:
        return None
    gone = {reject.index for reject in rejects}
    return [place for place in range(count + len(gone)) if place not in gone]
