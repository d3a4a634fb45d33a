import threading

import pytest

from tickplant.model.errors import AmbiguousSymbol, UnknownSymbol
from tickplant.model.instruments import Instrument, Registry, describe_symbol, is_symbol, is_venue


def instrument(number: int, symbol: str, venue: str, *aliases: str) -> Instrument:
    return Instrument(number=number, symbol=symbol, venue=venue, aliases=aliases)


def test_numbers_run_from_one_without_holes() -> None:
    registry = Registry()
    made = [registry.add(symbol, "V") for symbol in ("A", "B", "C")]
    assert [i.number for i in made] == [1, 2, 3]
    assert [registry.number(n).symbol for n in (1, 2, 3)] == ["A", "B", "C"]
    assert [i.symbol for i in registry] == ["A", "B", "C"]
    assert len(registry) == 3
    with pytest.raises(KeyError):
        registry.number(0)


@pytest.mark.parametrize("text", ["EURUSD", "eurusd", " EurUsd ", "origin:eurusd", "ORIGIN:EURUSD"])
def test_case_does_not_matter(text: str) -> None:
    registry = Registry()
    made = registry.add("eurusd", "origin")
    assert made.name == "ORIGIN:EURUSD"
    assert registry.resolve(text) is made


def test_an_alias_names_its_instrument_on_its_venue() -> None:
    registry = Registry([instrument(1, "BTC-USDT", "BINANCE", "btcusdt", "XBT-USDT")])
    for text in ("BTCUSDT", "binance:btcusdt", "xbt-usdt"):
        assert registry.resolve(text).number == 1
    assert registry.find("BTCUSDT", "BINANCE") is registry.number(1)
    assert registry.find("BTCUSDT", "KRAKEN") is None


def test_a_bare_symbol_on_two_venues_is_ambiguous_and_the_choices_resolve() -> None:
    registry = Registry()
    registry.add("AAPL", "NASDAQ")
    registry.add("AAPL", "ARCA")
    with pytest.raises(AmbiguousSymbol) as caught:
        registry.resolve("aapl")
    assert caught.value.choices == ("ARCA:AAPL", "NASDAQ:AAPL")
    assert [registry.resolve(choice).number for choice in caught.value.choices] == [2, 1]


def test_an_alias_on_another_venue_makes_a_symbol_ambiguous() -> None:
    registry = Registry([instrument(1, "XBT", "A"), instrument(2, "BTC", "B", "XBT")])
    with pytest.raises(AmbiguousSymbol) as caught:
        registry.resolve("XBT")
    assert caught.value.choices == ("A:XBT", "B:BTC")


@pytest.mark.parametrize("text", ["EURUSX", "ORIGIN:EURUSX", "KRAKEN:EURUSD"])
def test_an_unknown_symbol_is_answered_with_the_nearest(text: str) -> None:
    registry = Registry()
    registry.add("EURUSD", "ORIGIN")
    with pytest.raises(UnknownSymbol) as caught:
        registry.resolve(text)
    assert "ORIGIN:EURUSD" in str(caught.value)


@pytest.mark.parametrize("text", ["", ":", "V:", ":A", "A:B:C", "x" * 10_000])
def test_nonsense_is_unknown(text: str) -> None:
    registry = Registry()
    registry.add("A", "V")
    with pytest.raises(UnknownSymbol):
        registry.resolve(text)


@pytest.mark.parametrize("aliases", [(), ("BTCUSD",), ("btcusd", "xbt")])
def test_putting_the_same_instrument_twice_changes_nothing(aliases: tuple[str, ...]) -> None:
    registry = Registry()
    for _ in range(3):
        registry.put(instrument(1, "BTC-USD", "V", *aliases))
    assert len(registry) == 1
    for text in ("BTC-USD", *aliases):
        assert registry.resolve(text).number == 1


def test_a_replaced_instrument_loses_the_names_it_no_longer_has() -> None:
    registry = Registry([instrument(1, "OLD", "V", "alias", "kept")])
    registry.put(instrument(1, "NEW", "W", "kept"))
    assert registry.resolve("NEW") is registry.resolve("W:KEPT") is registry.resolve("kept")
    for text in ("OLD", "alias", "V:OLD", "V:ALIAS", "V:KEPT"):
        with pytest.raises(UnknownSymbol):
            registry.resolve(text)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_a_symbol_goes_before_an_alias_of_the_same_venue(order: tuple[int, int]) -> None:
    both = {1: instrument(1, "X", "V"), 2: instrument(2, "Y", "V", "X")}
    registry = Registry(both[number] for number in order)
    assert registry.resolve("V:X").number == 1
    registry.put(instrument(2, "Y", "V"))  # the alias goes, the symbol must stay
    assert registry.resolve("V:X").number == registry.resolve("X").number == 1


def test_look_ups_during_a_replacement_always_find_the_instrument() -> None:
    registry = Registry([instrument(1, "BTC-USD", "V", "XBT")])
    missed: list[Exception] = []
    done = threading.Event()

    def look_up() -> None:
        while not done.is_set():
            try:
                registry.resolve("BTC-USD")
                registry.resolve("V:XBT")
            except UnknownSymbol as fault:
                missed.append(fault)

    reader = threading.Thread(target=look_up)
    reader.start()
    for turn in range(20_000):
        registry.put(Instrument(number=1, symbol="BTC-USD", venue="V", aliases=("xbt",),
                                tick_size=float(turn)))  # fmt: skip
    done.set()
    reader.join()
    assert missed == []
    assert registry.resolve("XBT").tick_size == 19_999.0


@pytest.mark.parametrize(
    ("symbol", "known"),
    [
        ("BTC-USDT", {"kind": "spot", "base": "BTC", "quote": "USDT"}),
        ("EURUSD", {"kind": "fx", "base": "EUR", "quote": "USD"}),
        ("XAUUSD", {"kind": "fx", "base": "XAU", "quote": "USD"}),
        ("AAPL", {}),
        ("GOOGLE", {}),
        ("BRK-B", {}),
        ("-USD", {}),
        ("BTC-", {}),
        ("BTC-USD-250328", {}),
    ],
)
def test_what_a_bare_symbol_says_by_itself(symbol: str, known: dict[str, str]) -> None:
    assert describe_symbol(symbol) == known
    made = Registry().add(symbol, "V")
    assert {"kind": made.kind, "base": made.base, "quote": made.quote} == (
        dict.fromkeys(("kind", "base", "quote")) | known
    )


@pytest.mark.parametrize("text", ["A", "BTC-USDT", "ES.c.0", "^GSPC", "BRK.B", "Ω", "x" * 64])
def test_symbols_that_are_allowed(text: str) -> None:
    assert is_symbol(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", "A B", "A:B", "A,B", "*", "A?", "A/B", "A\\B", "A\n", "A\x00", "A\t", "x" * 65],
)
def test_symbols_that_are_not(text: str) -> None:
    assert not is_symbol(text)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("ORIGIN", True), ("origin", True), ("XNAS.ITCH", True), ("A-1_b", True), ("x" * 32, True),
        ("", False), ("A B", False), ("A:B", False), ("x" * 33, False), ("A\n", False),
        ("É", False),
    ],
)  # fmt: skip
def test_venues(text: str, allowed: bool) -> None:
    assert is_venue(text) is allowed
