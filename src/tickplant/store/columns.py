"""Small helpers over Arrow tables whose integer columns are used as NumPy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def ints(rows: pa.Table | pa.RecordBatch, name: str) -> NDArray[Any]:
    """Return an integer column without nulls as an array; no copy where it is in one piece."""
    column = rows.column(name)
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    array: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return array


def subschema(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """Return the fields of `names`, in that order."""
    return pa.schema([schema.field(name) for name in names])


def is_ordered(keys: Sequence[NDArray[Any]]) -> bool:
    """Say whether rows are in the order of `keys`, the most significant first."""
    undecided = np.ones(max(len(keys[0]) - 1, 0), dtype=bool)
    for key in keys:
        step = key[1:] - key[:-1]
        if (step[undecided] < 0).any():
            return False
        undecided &= step == 0
    return True
