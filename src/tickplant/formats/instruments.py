"""Instruments as columns for tools: the fields of the API's document, one row an instrument."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from tickplant.model.instruments import Instrument

_NUMBERS = ("tick_size", "lot_size", "strike")
_TYPES = {name: pa.float64() for name in _NUMBERS} | {"aliases": pa.list_(pa.string())}

SCHEMA = pa.schema(
    [
        (name, _TYPES.get(name, pa.string()))
        for name in Instrument.__struct_fields__
        if name != "number"
    ]
)


def public_instruments(instruments: Sequence[Instrument]) -> pa.Table:
    """Return instruments as a table of `SCHEMA`, in the order given."""
    columns = [
        pa.array([getattr(one, field.name) for one in instruments], field.type) for field in SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def is_wanted(
    instrument: Instrument, venue: str | None, kind: str | None, part: str | None
) -> bool:
    """Say whether an instrument is of this venue and kind and has `part` in one of its names.

    Its names are `VENUE:SYMBOL` and its aliases; case does not matter. None asks for nothing.
    """
    names = (instrument.name, *instrument.aliases)
    return (
        (venue is None or instrument.venue == venue.upper())
        and (kind is None or (instrument.kind or "").lower() == kind.lower())
        and (part is None or any(part.upper() in name.upper() for name in names))
    )
