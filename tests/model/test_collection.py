"""The garbage collector keeps still while things are loaded, and looks again afterwards."""

import gc
from collections.abc import Iterator

import pytest

from tickplant.model.collection import settle, without_collection


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_it_is_off_within_and_as_before_after() -> None:
    with without_collection():
        assert not gc.isenabled()
        with without_collection():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    with without_collection():
        pass
    assert not gc.isenabled()


def test_a_fault_turns_it_on_again() -> None:
    with pytest.raises(KeyError), without_collection():
        raise KeyError
    assert gc.isenabled()


def test_what_is_settled_is_not_looked_at_and_what_comes_is() -> None:
    with without_collection():
        loaded = [[]]
        settle()
        assert gc.isenabled()
        assert not any(found is loaded for found in gc.get_objects())
        fresh = [[]]
        assert any(found is fresh for found in gc.get_objects())
