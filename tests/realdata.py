"""Where the real market data is that some tests use; it is not part of this repository."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data"


def real(path: str) -> Path:
    """Return the path of a file of real data; skips the test where it is missing."""
    found = FOLDER / path
    if not found.is_file():
        pytest.skip(f"no real data here: shared/data/{path}")
    return found
