import runpy
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tickplant.config import KNOWN, Settings, load

ROOT = Path(__file__).resolve().parents[2]
PAGES: dict[str, Callable[[], str]] = runpy.run_path(str(ROOT / "tools" / "reference.py"))["PAGES"]


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_up_to_date(name: str) -> None:
    written = (ROOT / "docs" / "reference" / name).read_text("utf-8")
    assert written == PAGES[name](), "run `make docs`"


def test_every_setting_stands_in_the_reference_with_its_variable() -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text("utf-8")
    for setting in KNOWN.values():
        assert f"| `{setting.key}` |" in page
        assert f"| `{setting.env}` |" in page
        assert setting.doc in page


def test_the_example_of_the_reference_loads(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text("utf-8")
    example = page.split("```toml\n")[1].split("```")[0]
    assert tomllib.loads(example)["synthetic"] == {"instruments": 100, "rate": 5_000}
    file = tmp_path / "tickplant.toml"
    file.write_text(example, "utf-8")
    export = page.split("```sh\nexport ")[1].split("\n")[0]
    environ = dict(pair.split("=") for pair in export.split())
    assert load(file=file) == load(environ=environ) != Settings()
