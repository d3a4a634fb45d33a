"""Which instruments a subscription wants: by name, pattern, venue and kind."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tickplant.gateway.stream.protocol import ProtocolError
from tickplant.gateway.stream.selection import Selection
from tickplant.model.instruments import Registry

NAMES = (("EURUSD", "FX"), ("BTC-USDT", "A"), ("BTC-USDT", "B"), ("BTC-PERP", "A"), ("X", "A"))


def known() -> Registry:
    registry = Registry()
    for symbol, venue in NAMES:
        registry.add(symbol, venue)
    registry.put(msgspec.structs.replace(registry.number(4), kind="future"))
    return registry


@pytest.mark.parametrize(
    ("symbols", "narrow", "numbers"),
    [
        (["*"], {}, None),
        ("*", {"venue": "a"}, {2, 4, 5}),
        (None, {"venue": "A"}, {2, 4, 5}),
        (None, {"kind": "SPOT"}, {2, 3}),
        ("A:*", {"kind": "future"}, {4}),
        ("BTC-*", {"venue": "B"}, {3}),
        (["BTC-USDT"], {"venue": "B"}, {3}),
        (["btc-usdt"], {"venue": "A", "kind": "spot"}, {2}),
        (["EURUSD", "BTC-*"], {"kind": "fx"}, {1}),
        (None, {"kind": "bond"}, set()),
        (None, {"venue": "nowhere"}, set()),
    ],
)
def test_a_selection_is_narrowed(
    symbols: Any, narrow: dict[str, str], numbers: set[int] | None
) -> None:
    assert Selection(symbols, known(), **narrow).numbers == numbers


@pytest.mark.parametrize(
    ("symbols", "narrow", "code"),
    [
        (None, {}, "bad_symbols"),
        ([], {}, "bad_symbols"),
        (["A:BTC-USDT"], {"venue": "B"}, "bad_symbols"),
        (["EURUSD"], {"kind": "spot"}, "bad_symbols"),
        (["EURUSD"], {"venue": "A"}, "unknown_symbol"),
        (["BTC-USDT"], {"kind": "spot"}, "ambiguous_symbol"),
    ],
)
def test_what_cannot_be_selected_is_refused(
    symbols: Any, narrow: dict[str, str], code: str
) -> None:
    with pytest.raises(ProtocolError) as caught:
        Selection(symbols, known(), **narrow)
    assert caught.value.code == code


def test_a_selection_follows_what_is_registered_and_learned_later() -> None:
    registry = known()
    spots = Selection(None, registry, kind="spot")
    futures = Selection("A:*", registry, kind="future")
    registry.add("ETH-USDT", "A")
    registry.put(msgspec.structs.replace(registry.number(5), kind="future"))
    for one in (spots, futures):
        one.grow()
    assert (spots.numbers, futures.numbers) == ({2, 3, 6}, {4, 5})
    registry.put(msgspec.structs.replace(registry.number(2), kind="index"))
    spots.grow()
    assert spots.numbers == {3, 6}


def test_selections_of_the_same_have_one_key() -> None:
    registry = known()
    one = Selection(["EURUSD", "X"], registry).key
    assert one == Selection(["x", "FX:EURUSD"], registry).key
    assert one != Selection(["EURUSD"], registry).key
    assert Selection(None, registry, kind="fx").key != Selection(None, registry, kind="spot").key
