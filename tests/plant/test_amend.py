"""What may be changed of a trade, and what may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from plant_kit import NOW, amend, open_plant, submit, trades
from tickplant.model.errors import InvalidBody


@pytest.mark.parametrize("name", ["instrument", "seq", "id", "ref_seq", "colour"])
def test_nothing_but_what_is_amendable_is_changed(tmp_path: Path, name: str) -> None:
    with open_plant(tmp_path) as plant:
        submit(plant, symbol=["A", "B"], ts_event=[NOW, NOW], price=[1.0, 2.0])
        with pytest.raises(InvalidBody, match=f"{name}: cannot be amended; what can is price"):
            amend(plant, "A", 1, {name: 2})
        assert [row["price"] for row in trades(plant, "B")] == [2.0]
        assert plant.seq_last == 2
