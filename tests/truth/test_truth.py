"""Live, stored, compacted and recomputed, a bar is the same bar: 10,000 cases, each a kind of bars
of one symbol in a random world. `make truth` plays a million and writes the result down.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from truth_run import play

from tickplant.store.reader import ArchiveFile

CASES = 10_240
SIZES = {"symbols": 16, "ticks": 30, "grids": 16}
WORLDS = CASES // (SIZES["symbols"] * SIZES["grids"] * 2)
FIRST_SEED = 1_000


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + WORLDS))
def test_every_bar_of_a_world_is_the_oracles(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ArchiveFile, "read_groups", reading_once(ArchiveFile.read_groups))
    assert play(seed, **SIZES)[0] == CASES // WORLDS


def reading_once(read):
    """Return a reader of row groups that decodes the same ones of a file only the first time.

    A thousand queries of a world ask for the same few; `make truth` decodes them for each.
    """
    found: dict[tuple[Path, tuple[int, ...], tuple[str, ...]], pa.Table] = {}

    def read_groups(file: ArchiveFile, groups: Sequence[int], columns: Sequence[str]) -> pa.Table:
        key = (file._path, tuple(groups), tuple(columns))
        if key not in found:
            found[key] = read(file, groups, columns)
        return found[key]

    return read_groups
