"""Write the lock files `run.lock`, `dev.lock` and `bench.lock` from `pyproject.toml`.

Run it with the oldest Python that the project supports, because a version that installs there
installs on the newer ones too: `make lock` (or `python3.11 requirements/lock.py`). pip resolves and
nothing is installed. Every lock is a list of plain `name==version` lines: no addresses and no
hashes, so that any index or folder of wheels can serve it. `dev.lock` and `bench.lock` hold only
what they add to `run.lock`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
HEAD = "# Written by `make lock` from pyproject.toml; do not edit.\n"


def main() -> None:
    """Resolve each group on top of the ones before it and write its file."""
    tree = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))
    project = tree["project"]
    oldest = re.search(r"3\.\d+", project["requires-python"])
    assert oldest is not None
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if here != oldest.group():
        sys.exit(
            f"lock: this is Python {here}; resolve with {oldest.group()}, the oldest supported"
        )
    extras = project["optional-dependencies"]
    run = resolve([*tree["build-system"]["requires"], *project["dependencies"]], {})
    dev = resolve([*project["dependencies"], *extras["dev"]], run)
    bench = resolve([*project["dependencies"], *extras["bench"]], run | dev)
    write("run.lock", run)
    write("dev.lock", {name: dev[name] for name in dev.keys() - run.keys()})
    write("bench.lock", {name: bench[name] for name in bench.keys() - run.keys()})


def resolve(wanted: list[str], pinned: dict[str, str]) -> dict[str, str]:
    """Return the version of each package that pip would install, `pinned` ones held fast."""
    with tempfile.TemporaryDirectory() as folder:
        report, constraints = Path(folder, "report.json"), Path(folder, "constraints.txt")
        constraints.write_text(lines(pinned), "utf-8")
        # fmt: off
        command = [
            sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed",
            "--only-binary", ":all:", "--constraint", str(constraints), "--report", str(report),
            *wanted,
        ]
        # fmt: on
        subprocess.run(command, check=True)
        installed = json.loads(report.read_text("utf-8"))["install"]
    return {
        re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower(): item["metadata"]["version"]
        for item in installed
    }


def lines(versions: dict[str, str]) -> str:
    """Return one `name==version` line a package, sorted."""
    return "".join(f"{name}=={versions[name]}\n" for name in sorted(versions))


def write(name: str, versions: dict[str, str]) -> None:
    """Write a lock file and say how long it is."""
    (HERE / name).write_text(HEAD + lines(versions), "utf-8")
    print(f"requirements/{name}: {len(versions)} packages")


if __name__ == "__main__":
    main()
