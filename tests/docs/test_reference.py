import tomllib
from pathlib import Path

import pytest
from docs_files import PAGES, read, section

import tickplant
from tickplant.config import KNOWN, Settings, load
from tickplant.gateway.app import DOORS
from tickplant.model.errors import TickplantError
from tickplant.observe.metrics import Metrics


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_up_to_date(name: str) -> None:
    assert read(f"docs/reference/{name}") == PAGES[name](), "run `make docs`"


def test_every_setting_stands_in_the_reference_with_its_variable() -> None:
    page = read("docs/reference/settings.md")
    for setting in KNOWN.values():
        assert f"| `{setting.key}` |" in page
        assert f"| `{setting.env}` |" in page
        assert setting.doc in page


def test_the_example_of_the_reference_loads(tmp_path: Path) -> None:
    page = read("docs/reference/settings.md")
    example = page.split("```toml\n")[1].split("```")[0]
    assert tomllib.loads(example)["synthetic"] == {"instruments": 100, "rate": 5_000}
    file = tmp_path / "tickplant.toml"
    file.write_text(example, "utf-8")
    export = page.split("```sh\nexport ")[1].split("\n")[0]
    environ = dict(pair.split("=") for pair in export.split())
    assert load(file=file) == load(environ=environ) != Settings()


def test_every_route_and_parameter_stands_in_the_reference() -> None:
    page = read("docs/reference/http.md")
    for door in DOORS:
        _, found, rest = page.partition(f"\n### {door.method} {door.path}\n")
        assert found, door
        mine = rest.split("\n### ")[0]
        for name in (*door.path_params, *(param.name for param in door.params)):
            assert f"\n| `{name}` |" in mine


def test_every_metric_that_a_fresh_plant_shows_stands_in_the_reference() -> None:
    metrics = Metrics()
    metrics.fsync_observer()(0.001)
    page = read("docs/reference/metrics.md")
    shown = metrics.render()[0].decode().splitlines()
    types = dict(line.split()[2:4] for line in shown if line.startswith("# TYPE tickplant_"))
    assert len(types) > 10
    for name, kind in types.items():
        if not name.endswith("_created"):
            assert f"| `{name}` | {kind} |" in page


def _subclasses(parent: type) -> set[type]:
    return {parent}.union(*(_subclasses(child) for child in parent.__subclasses__()))


def test_every_error_stands_in_the_reference() -> None:
    table = section(read("docs/reference/errors.md"), "Each of them")
    ours = {one for one in _subclasses(TickplantError) if one.__module__.startswith("tickplant.")}
    assert len(ours) > 15
    for one in ours:
        assert f"| `{one.__name__}` |" in table, one


def test_every_name_of_the_package_stands_in_the_reference() -> None:
    page = read("docs/reference/python.md")
    for name in tickplant.__all__:
        assert f"`{name}`" in page
    for method in ("trades", "quotes", "candles", "stream", "post_trades", "correct", "cancel"):
        assert f"### Client.{method}\n" in page
