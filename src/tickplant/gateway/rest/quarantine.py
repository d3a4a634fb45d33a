"""`GET /v1/quarantine`: the rows that were refused, with the reason."""

from __future__ import annotations

from functools import partial

import pyarrow as pa
from starlette.responses import Response

from tickplant.formats.rows import public_quarantine, quarantine_structs
from tickplant.gateway.doors import Call, Door
from tickplant.gateway.rest.answers import Page, answer_rows
from tickplant.gateway.rest.params import RANGE, choice, text
from tickplant.gateway.rest.ticks import read_page
from tickplant.model.events import BOOK, POSTED_TABLES


def read_quarantine(call: Call) -> Response:
    """Answer a page of refused rows."""
    history, query = call.plant.history, call.query
    rows_of = partial(history.quarantine, reason=query["reason"], table=query["table"])
    rows, token = read_page(call, rows_of, None)
    feeds = _feed_names(call, rows)
    return answer_rows(
        call,
        Page(
            key="quarantine",
            head={},
            structs=lambda: quarantine_structs(rows, feeds),
            table=lambda: public_quarantine(rows, feeds),
            next_token=token,
        ),
    )


def _feed_names(call: Call, rows: pa.Table) -> list[str]:
    numbers = rows["feed"].to_pylist()
    names = {number: call.plant.feed_name(number) for number in set(numbers)}
    return [names[number] for number in numbers]


REASON = text(
    "reason", "Only rows refused for this reason.", length=64, example="price_not_positive"
)
TABLE = choice("table", (*POSTED_TABLES, BOOK), None, "Only rows that were meant for this table.")

DOORS = (
    Door(
        method="GET",
        path="/v1/quarantine",
        tag="Read",
        summary="Refused rows",
        doc="Rows that failed a check, by time of receipt, each as it was sent, with the reason.",
        model="QuarantinePage",
        params=(REASON, TABLE, *RANGE),
        rows=True,
        refusals=(400, 406),
        read=read_quarantine,
    ),
)
