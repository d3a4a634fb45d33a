"""Prometheus' own tool as a judge of rules and queries; Debian package `prometheus`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

INSTALLER = Path(__file__).parents[1] / "ops" / "install-tools.sh"


def promtool() -> str:
    """Return where promtool is; in CI, where root and apt are there, have it installed."""
    found = shutil.which("promtool")
    if found is None and os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["sh", str(INSTALLER)], check=True, timeout=300)
        found = shutil.which("promtool")
        assert found is not None, "ops/install-tools.sh did not bring promtool"
    if found is None:
        pytest.skip("promtool is not there; as root, ops/install-tools.sh installs it")
    return found


def judge(file: Path) -> subprocess.CompletedProcess[str]:
    """Return what `promtool test rules` says of a file of tests; JSON is YAML."""
    return subprocess.run(
        [promtool(), "test", "rules", str(file)],
        capture_output=True, text=True, timeout=28, check=False,
    )  # fmt: skip
