"""NDJSON bodies to columns: one JSON object a line."""

from __future__ import annotations

from tickplant.formats.json_rows import UNREADABLE, ReadTimes, parse_items, raw_text, row_reader
from tickplant.formats.parsed import Parsed, assemble, check_text
from tickplant.formats.regular import read_regular


def parse_ndjson(
    table: str,
    body: bytes,
    *,
    names: tuple[tuple[str, str], ...] = (),
    line_first: int = 1,
    times: ReadTimes | None = None,
) -> Parsed:
    """Parse one JSON object a line; blank lines are skipped and not counted as rows.

    `names` gives the JSON keys of fields that are called otherwise in a file, and `times` reads its
    times. `line_first` is the number of the first line in messages. A line that is no JSON is a
    rejected row; when no line at all is an object, `InvalidBody` names the first.
    """
    body = check_text(body)
    reader = row_reader(table, names)
    found = None if times else read_regular([body], reader.fields, reader.keys, lines=True)
    try:
        columns = found.columns if found else reader.columns(reader.one.decode_lines(body), times)
    except UNREADABLE:
        lines = list(enumerate(body.split(b"\n"), line_first))
        filled = [(number, line) for number, line in lines if line.strip()]
        return parse_items(
            reader, [line for _, line in filled], [number for number, _ in filled], times
        )
    filled_lines: list[bytes] = []

    def show(place: int) -> str:
        lines = () if filled_lines else body.split(b"\n")
        filled_lines.extend(line for line in lines if line.strip())
        return raw_text(filled_lines[place])

    return assemble(table, columns, show)
