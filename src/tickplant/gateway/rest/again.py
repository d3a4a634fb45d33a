"""Answers that are given again, for as long as nothing about their instrument has changed."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from tickplant.gateway.doors import Call
from tickplant.model.instruments import Instrument


def answered_again(call: Call, instrument: Instrument, make: Callable[[], Response]) -> Response:
    """Return the answer to a small read of the present, as it was given before or made now."""
    if call.door.quick is None or not call.door.quick(call.query):
        return make()
    history = call.plant.history
    mark = history.mark(instrument.number)  # first: what comes in meanwhile is not missed then
    if mark is None:
        return make()
    # A link to the next page repeats the path as it was asked for.
    name = (call.path_asked, instrument.symbol, instrument.venue, call.raw_query, call.accept)
    found: Response | None = history.kept.get(name, mark)
    if found is None:
        found = make()
        history.kept.put(name, mark, found, len(found.body))
    return found
