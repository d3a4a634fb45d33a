"""The page on security names tests that there are."""

import re

import pytest
from docs_files import ROOT, read

NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", read("docs/security.md"))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_is_named_exists(file: str, name: str) -> None:
    assert re.search(rf"^(?:async )?def {name}\(", (ROOT / file).read_text("utf-8"), re.M)


def test_each_of_the_ten_is_walked_through_and_most_have_tests() -> None:
    parts = re.split(r"^## (API\d+) ", read("docs/security.md"), flags=re.M)[1:]
    assert parts[::2] == [f"API{number}" for number in range(1, 11)]
    assert all("`tests/" in part.split("\n## ")[0] for part in parts[1::2])
    assert len(NAMED) > 30
