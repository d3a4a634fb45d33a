"""The section `conditions` of a settings file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tickplant.config import Settings, load
from tickplant.model.conditions import BUILT_IN, EVERYTHING, TradeRules
from tickplant.model.errors import ConfigError


def rules(folder: Path, text: str) -> TradeRules:
    file = folder / "tickplant.toml"
    file.write_text(text, "utf-8")
    return load(file=file).conditions


def test_without_the_section_the_built_in_rules_hold(tmp_path: Path) -> None:
    assert rules(tmp_path, "[server]\nport = 1\n") == TradeRules() == Settings().conditions
    assert rules(tmp_path, "[conditions]\n") == TradeRules()


def test_venues_and_sets_are_put_over_the_built_in_ones(tmp_path: Path) -> None:
    found = rules(
        tmp_path,
        """
        [conditions.venues]
        xnys = "all"
        SMART = "mine"
        "*" = "utp"
        [conditions.sets.mine]
        like = "cta"
        codes = { T = ["open", "high_low", "last", "volume"], X = [], 37 = ["volume"] }
    """,
    )
    assert [found.of(v).name for v in ("XNYS", "SMART", "XNAS", "ELSEWHERE", "ARCX")] == [
        "all", "mine", "utp-extended", "utp", "cta-extended",
    ]  # fmt: skip
    mine = found.of("SMART")
    assert [mine.updates(code) for code in ("T", "U", "X", "37", "I", "@")] == [
        EVERYTHING, 8, 0, 8, 8, EVERYTHING,
    ]  # fmt: skip
    assert BUILT_IN["cta"].updates("T") == 8


def test_a_set_may_be_like_one_that_is_defined_behind_it(tmp_path: Path) -> None:
    found = rules(
        tmp_path,
        """
        [conditions.sets.b]
        like = "a"
        codes = { 2 = [] }
        [conditions.sets.a]
        form = "bits"
        codes = { 0x10 = ["volume"], FF00 = ["high_low"] }
    """,
    ).sets["b"]
    assert (found.form, found.codes) == ("bits", {"10": 8, "ff00": 2, "2": 0})


@pytest.mark.parametrize(("text", "wanted"), [
    ("conditions = 5", "conditions: 5 is not allowed; allowed is a table"),
    ("[condition.venues]\nX = 'all'", "condition: no such setting"),
    ("[conditions.venue]\nX = 'all'",
     "conditions.venue: no such setting; the nearest is conditions.venues"),
    ("[conditions.venues]\nXNYS = 'al'", "conditions.venues.XNYS: al is not allowed; allowed is "
     "one of the sets all, cta, utp, cta-extended, utp-extended"),
    ("[conditions.venues]\nXNYS = 5", "conditions.venues.XNYS: 5 is not allowed"),
    ("[conditions.venues]\n'a b' = 'all'", "conditions.venues.a b: a b is not allowed; allowed is "
     "a venue"),
    ("[conditions.sets]\nmine = 'cta'", "conditions.sets.mine: cta is not allowed; allowed is a "
     "table"),
    ("[conditions.sets.cta]\nform = 'bits'", "conditions.sets.cta: cta is not allowed; allowed is "
     "a name other than"),
    ("[conditions.sets.m]\nlik = 'cta'",
     "conditions.sets.m.lik: no such setting; the nearest is conditions.sets.m.like"),
    ("[conditions.sets.m]\nlike = 'ct'", "conditions.sets.m.like: ct is not allowed"),
    ("[conditions.sets.m]\nlike = 'm'", "conditions.sets.m.like: m is not allowed"),
    ("[conditions.sets.m]\nlike = 'n'\n[conditions.sets.n]\nlike = 'm'", ".like: "),
    ("[conditions.sets.m]\nlike = ['cta']", "conditions.sets.m.like: ['cta'] is not allowed"),
    ("[conditions.sets.m]\nform = 'words'", "conditions.sets.m.form: words is not allowed; allowed "
     "is letters or bits"),
    ("[conditions.sets.m]\nlike = 'cta'\nform = 'bits'", "conditions.sets.m.form: bits is not"),
    ("[conditions.sets.m.codes]\nX = 'volume'", "conditions.sets.m.codes.X: volume is not allowed; "
     "allowed is a list of open, high_low, last, volume"),
    ("[conditions.sets.m.codes]\nX = ['high']", "conditions.sets.m.codes.X: high is not allowed"),
    ("[conditions.sets.m.codes]\nX = [5]", "conditions.sets.m.codes.X: 5 is not allowed"),
    ("[conditions.sets.m.codes]\n'A B' = []", "conditions.sets.m.codes: A B is not allowed"),
    ("[conditions.sets.m.codes]\n'' = []", "conditions.sets.m.codes: an empty text is not allowed"),
    ("[conditions.sets.m]\nform = 'bits'\ncodes = { XY = [] }", "conditions.sets.m.codes: XY is "
     "not allowed; allowed is a hexadecimal number above 0"),
    ("[conditions.sets.m]\nform = 'bits'\ncodes = { 0 = [] }", "conditions.sets.m.codes: 0 is"),
])  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_what_is_allowed(
    tmp_path: Path, text: str, wanted: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        rules(tmp_path, text)
    assert wanted in str(caught.value)


def test_neither_a_variable_nor_a_flag_can_hold_the_section() -> None:
    with pytest.raises(ConfigError, match="no such setting"):
        load(environ={"TICKPLANT_CONDITIONS_VENUES": "x"})
    with pytest.raises(ConfigError, match="no such setting"):
        load(flags={"conditions.venues": "x"})
