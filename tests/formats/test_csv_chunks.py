"""Tables whose columns are cut in different places are written as CSV like whole ones."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tickplant.formats.encode import to_csv


@pytest.mark.parametrize("cuts", [(0, 0, 2), (0, 1, 1), (1, 0, 1), (2, 0)])
def test_empty_chunks_of_one_column_do_not_move_another(cuts: tuple[int, ...]) -> None:
    numbers = iter(range(1, 3))
    chunks = [pa.array([next(numbers) for _ in range(cut)], pa.int64()) for cut in cuts]
    table = pa.table({"symbol": pa.array(["EURUSD", "BTC-USDT"]), "seq": pa.chunked_array(chunks)})
    assert to_csv(table) == b"symbol,seq\nEURUSD,1\nBTC-USDT,2\n"
