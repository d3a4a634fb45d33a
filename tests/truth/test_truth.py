"""Live, stored, compacted and recomputed, a bar is the same bar: 10,000 cases, each a kind of bars
of one symbol in a random world. `make truth` plays a million and writes the result down.
"""

from __future__ import annotations

import pytest
from truth_run import play

CASES = 10_240
SIZES = {"symbols": 16, "ticks": 30, "grids": 16}
WORLDS = CASES // (SIZES["symbols"] * SIZES["grids"] * 2)
FIRST_SEED = 1_000


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + WORLDS))
def test_every_bar_of_a_world_is_the_oracles(seed: int) -> None:
    assert play(seed, **SIZES)[0] == CASES // WORLDS
