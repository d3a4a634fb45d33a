import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What hands on names or calls of other rooms, and the version, which imports nothing.
NO_ROOMS = {"tickplant.__init__", "tickplant.__main__", "tickplant.version"}


def run_linter(*options: str) -> subprocess.CompletedProcess[str]:
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache", *options],
        cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"NO_COLOR": "1"},
    )  # fmt: skip


def test_rooms_import_only_downwards() -> None:
    done = run_linter()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout


def test_an_import_upwards_is_noticed(tmp_path: Path) -> None:
    # The same layers turned upside down must be broken, or the contract checks nothing.
    config = (ROOT / "pyproject.toml").read_text("utf-8")
    begin = config.index("layers = [")
    end = config.index("]", begin)
    layers = config[begin:end].splitlines()[1:]
    upside_down = "layers = [\n" + "\n".join(reversed(layers)) + "\n"
    file = tmp_path / "pyproject.toml"
    file.write_text(config[:begin] + upside_down + config[end:], "utf-8")
    done = run_linter("--config", str(file))
    assert done.returncode == 1
    assert "0 kept, 1 broken" in done.stdout


def test_every_room_has_its_layer() -> None:
    tree = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (contract,) = tree["tool"]["importlinter"]["contracts"]
    named = {room.strip() for layer in contract["layers"] for room in layer.split("|")}
    folder = ROOT / "src" / "tickplant"
    rooms = {f"tickplant.{path.parent.name}" for path in folder.glob("*/__init__.py")}
    rooms |= {f"tickplant.{path.stem}" for path in folder.glob("*.py")} - NO_ROOMS
    assert rooms == named
