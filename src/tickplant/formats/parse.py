"""Parse a body of rows by its media type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

from tickplant.formats.json_rows import row_reader
from tickplant.formats.parse_arrow import parse_arrow
from tickplant.formats.parse_csv import parse_csv
from tickplant.formats.parse_json import list_in, parse_json
from tickplant.formats.parse_ndjson import parse_ndjson
from tickplant.formats.parsed import Parsed, assemble
from tickplant.formats.regular import read_regular
from tickplant.model.errors import Complaint, UnsupportedMedia, shorten

Parser = Callable[[str, bytes], Parsed]

PARSERS: dict[str, Parser] = {
    "application/json": parse_json,
    "application/x-ndjson": parse_ndjson,
    "text/csv": parse_csv,
    "application/vnd.apache.arrow.stream": parse_arrow,
}
"""The parser of each media type that rows are read in."""

_SAME = {
    "": "application/json",
    "text/json": "application/json",
    "application/ndjson": "application/x-ndjson",
    "application/jsonl": "application/x-ndjson",
    "application/x-jsonlines": "application/x-ndjson",
    "application/csv": "text/csv",
}


def find_parser(media_type: str | None) -> Parser:
    """Return the parser of a `Content-Type`; its parameters do not matter, none means JSON.

    Raises `UnsupportedMedia`, which lists what is read. A character set other than UTF-8 is not.
    """
    name, *parameters = [part.strip().lower() for part in (media_type or "").split(";")]
    parser = PARSERS.get(_SAME.get(name, name))
    charsets = [p.partition("=")[2].strip('"') for p in parameters if p.startswith("charset=")]
    if parser is None or not set(charsets) <= {"utf-8", "utf8", "us-ascii"}:
        allowed = f"allowed is one of {', '.join(PARSERS)}, in UTF-8"
        shown = shorten(media_type)
        raise UnsupportedMedia(
            f"Content-Type: {shown} is not allowed; {allowed}",
            [Complaint(("header", "content-type"), allowed, shown)],
        )
    return parser


def parse_body(table: str, media_type: str | None, body: bytes) -> Parsed:
    """Parse rows of `table` (one of `POSTED_TABLES`) from a body.

    Rows that cannot be read are in the result with their reasons, the others are taken; unknown
    fields are ignored everywhere. Raises `UnsupportedMedia` for an unknown media type and
    `InvalidBody` where the body as a whole is not what it says it is. Rows keep their order. Any
    thread may call it.
    """
    return find_parser(media_type)(table, body)


def parse_together(table: str, media_type: str | None, bodies: Sequence[bytes]) -> list[Parsed]:
    """Parse bodies of one media type in one go; the list is empty where they cannot be.

    What is in the list is what `parse_body` returns for each. Bodies that are laid out alike are
    read as one, which costs less than each by itself; others have to be parsed one by one.
    """
    parser = find_parser(media_type)
    if parser not in (parse_json, parse_ndjson):
        return []
    if not all(body.isascii() for body in bodies):  # so none has a byte order mark
        return []
    reader = row_reader(table)
    lines = parser is parse_ndjson
    texts = bodies if lines else [list_in(body, table) for body in bodies]
    found = read_regular(texts, reader.fields, reader.keys, lines=lines)
    if found is None or any(faults for _, faults in found.columns.values()):
        return []
    rows = assemble(table, found.columns, lambda place: "").rows
    ends = list(accumulate(found.counts))
    return [Parsed(rows.slice(end - n, n)) for end, n in zip(ends, found.counts, strict=True)]
