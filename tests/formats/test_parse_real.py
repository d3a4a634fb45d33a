"""Real files in every format, against readers that share no code with ours."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pyarrow as pa
import pytest

from realdata import real
from tickplant.formats.parse import parse_body

FILES = [
    ("trades", "trades/ibm-20131007.csv.gz"),
    ("quotes", "quotes/ibm-20131007.csv.gz"),
    ("quotes", "quotes/oanda-eurusd-20140504.csv.gz"),
]
ROWS = 5_000
INTEGERS = {"ts_event"}
TEXTS = {"symbol", "exchange", "conditions"}


def load(path: str) -> list[dict[str, object]]:
    """Read rows by the csv module: every value as Python reads it."""
    with gzip.open(real(path), "rt") as file:
        rows = [row for row, _ in zip(csv.DictReader(file), range(ROWS), strict=False)]
    return [
        {
            name: int(text) if name in INTEGERS else text if name in TEXTS else float(text)
            for name, text in row.items()
        }
        for row in rows
    ]


def seen(table: str, media: str, body: bytes, names: list[str]) -> list[dict[str, object]]:
    parsed = parse_body(table, media, body)
    assert parsed.unreadable == ()
    return parsed.rows.select(names).to_pylist()


@pytest.mark.parametrize(("table", "path"), FILES)
def test_each_format_reads_what_the_csv_module_reads(table: str, path: str) -> None:
    rows = load(path)
    names = list(rows[0])
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    sink = io.BytesIO()
    batch = pa.RecordBatch.from_pylist(rows)
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    bodies = {
        "application/json": json.dumps({table: rows}).encode(),
        "application/x-ndjson": "\n".join(map(json.dumps, rows)).encode(),
        "text/csv": text.getvalue().encode(),
        "application/vnd.apache.arrow.stream": sink.getvalue(),
    }
    for media, body in bodies.items():
        assert seen(table, media, body, names) == rows, media
