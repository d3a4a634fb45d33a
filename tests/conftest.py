"""Makes the modules of this folder importable to all tests (`from realdata import real`)."""

from __future__ import annotations

import gc

import pyarrow as pa
import pytest

gc.disable()  # until all tests are found: what is loaded for them stays anyway


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--crash-rounds", type=int, default=6, help="kills in tests/crash (make crash: 100)"
    )


@pytest.fixture
def crash_rounds(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--crash-rounds"))


def pytest_collection_finish() -> None:
    """Let the garbage collector look no more at what lives as long as the tests do."""
    pa.scalar(0)  # lets Arrow find pandas, which a command that is run in a test hides from it
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    gc.unfreeze()
