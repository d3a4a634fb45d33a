from typing import Any

import pytest

from tickplant.feeds.pollers.configured import read_providers
from tickplant.feeds.pollers.http_json import HttpJson, Reply
from tickplant.model.errors import ConfigError

GOOD = {"url": "https://api.test/{symbol}", "venue": "mine", "price": "last"}


async def never(url: str, headers: object, timeout_s: float) -> Reply:
    raise AssertionError(url)


def test_providers_are_there_by_name_beside_the_built_in_one() -> None:
    table = {**GOOD, "names": {"btc-usd": "bitcoin"}, "timeout_s": 3, "lower_case": True}
    makers = read_providers({"mine": table}, never, {})
    assert list(makers) == ["yahoo", "mine"]
    made = makers["mine"]()
    assert isinstance(made, HttpJson)
    assert (made.name, made.venue) == ("mine", "MINE")
    assert makers["mine"]() is made
    assert list(read_providers({}, never, {})) == ["yahoo"]


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"mine": {**GOOD, "prise": "x"}}, r"providers\.mine\.prise: .* providers\.mine\.price"),
        ({"mine": {"venue": "X"}}, r"providers\.mine\.url: is needed"),
        ({"mine": {**GOOD, "venue": "a b"}}, r"providers\.mine\.venue: a b"),
        ({"mine": {**GOOD, "timeout_s": 0}}, r"providers\.mine\.timeout_s: 0"),
        ({"mine": {**GOOD, "timeout_s": True}}, r"providers\.mine\.timeout_s: True"),
        ({"mine": {**GOOD, "lower_case": 1}}, r"providers\.mine\.lower_case: 1"),
        ({"mine": {**GOOD, "price": 5}}, r"providers\.mine\.price: 5"),
        ({"mine": {**GOOD, "names": ["x"]}}, r"providers\.mine\.names"),
        ({"mine": {**GOOD, "headers": {"A": 1}}}, r"providers\.mine\.headers\.A: 1"),
        ({"yahoo": GOOD}, r"providers\.yahoo"),
        ({"Mine!": GOOD}, r"providers\.Mine!"),
        ({"mine": 5}, r"providers\.mine: 5"),
        ([], r"providers: "),
    ],
)
def test_what_is_wrong_is_refused_by_its_key(tree: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_providers(tree, never, {})
