"""A few of the random sequences of faults; `make faults` plays as many as one likes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from venues.fault_sequences import SETUPS, play
from venues.venue_kit import FakeVenue, fake_venue


@pytest.fixture(scope="module")
def fakes() -> Iterator[dict[str, FakeVenue]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(fake_venue(name)) for name in ("binance", "kraken")
        }  # those of these seeds


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [19, 156, 316], ids=lambda seed: SETUPS[seed % len(SETUPS)].name)
def test_a_sequence_leaves_everything_right(seed: int, fakes: dict[str, FakeVenue]) -> None:
    happened = play(seed, fakes)
    assert sum(happened.values()) > 0
