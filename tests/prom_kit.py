"""Prometheus' tools and k6 as judges of rules, queries, routes; `ops/install-tools.sh` has them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

INSTALLER = Path(__file__).parents[1] / "ops" / "install-tools.sh"


def promtool() -> str:
    """Return where promtool is; see `tool`."""
    return tool("promtool")


def tool(name: str) -> str:
    """Return where a program is; in CI, where root and apt are there, have it installed."""
    found = _find(name)
    if found is None and os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "PYTHON": sys.executable}
        subprocess.run(["sh", str(INSTALLER)], check=True, timeout=300, env=environment)
        found = _find(name)
        assert found is not None, f"ops/install-tools.sh did not bring {name}"
    if found is None:
        pytest.skip(f"{name} is not there; as root, ops/install-tools.sh installs it")
    return found


def _find(name: str) -> str | None:
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.is_file() else shutil.which(name)


def judge(file: Path) -> subprocess.CompletedProcess[str]:
    """Return what `promtool test rules` says of a file of tests; JSON is YAML."""
    return subprocess.run(
        [promtool(), "test", "rules", str(file)],
        capture_output=True, text=True, timeout=28, check=False,
    )  # fmt: skip
