"""Which trades count: the built-in sets against the tapes' tables, and how codes are told apart."""

from __future__ import annotations

import pytest

from tickplant.model.conditions import BUILT_IN, EVERYTHING, RuleSet, TradeRules, Update

EVERY, HIGH_LOW_VOLUME, VOLUME, NOTHING = "OHLV", "HV", "V", ""

# Consolidated processing of the CTS and UTDF specifications: O open, H high and low, L last,
# V volume. "Only where no other trade has set the last" is a no.
TABLE = {
    "@": EVERY, "A": EVERY, "D": EVERY, "E": EVERY, "F": EVERY, "K": EVERY, "L": EVERY, "O": EVERY,
    "S": EVERY, "X": EVERY, "Y": EVERY, "1": EVERY, "5": EVERY, "6": EVERY, "8": EVERY,
    "C": VOLUME, "H": VOLUME, "I": VOLUME, "N": VOLUME, "R": VOLUME, "T": VOLUME, "U": VOLUME,
    "V": VOLUME, "W": VOLUME, "7": VOLUME,
    "G": HIGH_LOW_VOLUME, "P": HIGH_LOW_VOLUME, "Z": HIGH_LOW_VOLUME, "4": HIGH_LOW_VOLUME,
    "M": NOTHING, "Q": NOTHING, "9": "HL",
}  # fmt: skip


def letters(bits: int) -> str:
    return "".join(letter for letter, one in zip("OHLV", Update, strict=True) if bits & one)


@pytest.mark.parametrize("code", sorted(TABLE))
def test_the_tapes_are_as_their_specifications_say(code: str) -> None:
    for name in ("cta", "utp"):
        assert letters(BUILT_IN[name].updates(code)) == TABLE[code], name


def test_the_tapes_differ_in_what_the_code_b_means() -> None:
    assert letters(BUILT_IN["cta"].updates("B")) == VOLUME
    assert letters(BUILT_IN["utp"].updates("B")) == EVERY


def test_extended_sets_differ_in_extended_hours_only() -> None:
    for name in ("cta", "utp"):
        strict, extended = BUILT_IN[name], BUILT_IN[f"{name}-extended"]
        differing = [c for c in [*TABLE, "B"] if strict.updates(c) != extended.updates(c)]
        assert sorted(differing) == ["T", "U"]
        assert extended.updates("T") == extended.updates("U") == EVERYTHING


@pytest.mark.parametrize(("text", "updates"), [
    (None, EVERY), ("", EVERY), ("   ", EVERY), ("@", EVERY), ("@F", EVERY), ("@F I", VOLUME),
    ("@,F,I", VOLUME), ("@;I", VOLUME), ("@|I", VOLUME), ("FTI", VOLUME), ("@4 ", HIGH_LOW_VOLUME),
    ("4W", VOLUME), ("Z9", "H"), ("@6 M", NOTHING), ("CM", NOTHING), ("i", EVERY),
    ("37", EVERY), ("14,37", EVERY), ("14, 7", VOLUME), ("é漢", EVERY),
])  # fmt: skip
def test_codes_may_run_together_or_be_separated(text: str | None, updates: str) -> None:
    assert letters(BUILT_IN["cta"].updates(text)) == updates


def test_longer_codes_are_taken_whole_before_they_are_taken_letter_by_letter() -> None:
    rules = RuleSet("x", {"37": 8, "BT": 10, "B": 8})
    assert [rules.updates(text) for text in ("37", "14 37", "BT", "TB", "3", "ABT")] == [
        8, 8, 10, 8, EVERYTHING, 8,
    ]  # fmt: skip


def test_bits_are_masks_of_a_hexadecimal_number() -> None:
    rules = RuleSet("x", {"100000": 8, "200": 10, "80000000": 8}, "bits")
    wanted = {"1": 15, "20000020": 15, "20100200": 8, "200": 10, "0x200": 10, "80000001": 8,
              "nothing": 15, "": 15, None: 15, "-": 15}  # fmt: skip
    assert {text: rules.updates(text) for text in wanted} == wanted


@pytest.mark.parametrize(("venue", "name"), [
    ("XNYS", "cta-extended"), ("NYSE", "cta-extended"), ("ARCX", "cta-extended"),
    ("BATS", "cta-extended"), ("IEXG", "cta-extended"), ("US", "cta-extended"),
    ("XNAS", "utp-extended"), ("NASDAQ", "utp-extended"),
    ("BINANCE", "all"), ("OANDA", "all"), ("ORIGIN", "all"), ("SYNTH", "all"), ("XLON", "all"),
])  # fmt: skip
def test_venues_of_the_united_states_use_the_tapes_and_all_others_take_every_trade(
    venue: str, name: str
) -> None:
    rules = TradeRules().of(venue)
    assert rules.name == name
    assert rules.restricts == (name != "all")
