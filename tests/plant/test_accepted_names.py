"""Which instrument a row's name means, while names come and change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tickplant.config import CheckSettings, StoreSettings
from tickplant.formats.parsed import incoming_batch
from tickplant.model.instruments import Instrument
from tickplant.plant.accept import Acceptor
from tickplant.plant.catalog import Catalog
from tickplant.plant.submission import Submission
from tickplant.store.tiered import TieredStore

NOW = 1_700_000_000_000_000_000


@pytest.mark.parametrize("times", [1, 100])
def test_a_name_means_what_the_registry_says_now(tmp_path: Path, times: int) -> None:
    store = TieredStore.open(tmp_path, StoreSettings())
    catalog = Catalog(instruments_max=4)
    acceptor = Acceptor(catalog, store, CheckSettings())

    def numbers(*symbols: str) -> list[int]:
        rows = incoming_batch("trades", symbol=symbols * times, price=[1.0] * len(symbols) * times)
        accepted = acceptor.accept([Submission("trades", rows, venue="V")], 1, NOW)
        if not accepted.batches or accepted.batches[0].table != "trades":
            return []
        found = accepted.batches[0].rows.column("instrument").to_pylist()
        assert found == found[: len(found) // times] * times
        return found[: len(found) // times]

    assert numbers("A", "b", "B", "V:a") == [1, 2, 2, 1]
    registry = catalog.registry
    registry.put(Instrument(number=3, symbol="C", venue="V", aliases=("D",)))
    assert numbers("D", "c", "a") == [3, 3, 1]
    registry.put(Instrument(number=3, symbol="C", venue="V"))
    assert numbers("D", "C") == [4, 3]  # no alias any more, hence a symbol of its own
    assert numbers("A", "E") == [1]  # one too many is refused, in each batch anew
    assert numbers("E") == []
    store.close()
