"""Install the packages of lock files into this Python's environment, without their dependencies.

    python requirements/install.py requirements/run.lock [requirements/dev.lock …]

By uv, which takes a tenth of pip's time, from where pip is told to fetch packages; by pip itself
where uv cannot be had or does not get on. Modules are not compiled: `make` does that for all at
once. What is installed is the same either way, since the locks name every version.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
QUIET = ["install", "--quiet", "--no-deps", "--only-binary", ":all:"]
UV_S_MAX = 600

_OPTIONS = {
    "index-url": "--default-index",
    "extra-index-url": "--index",
    "find-links": "--find-links",
    "trusted-host": "--allow-insecure-host",
}
"""Settings of pip that may name several places, and uv's options for one."""
_VARIABLES = {"cert": "SSL_CERT_FILE", "proxy": "ALL_PROXY", "default-timeout": "UV_HTTP_TIMEOUT"}


def main(locks: list[str]) -> int:
    """Install; return the exit code."""
    files = [part for lock in locks for part in ("-r", lock)]
    if not (get_uv() and by_uv(files)):
        return subprocess.run([*PIP, *QUIET, "--no-compile", *files], check=False).returncode
    return 0


def get_uv() -> bool:
    """Install uv itself; return whether it is there."""
    lock = str(HERE / "setup.lock")
    return (
        subprocess.run([*PIP, *QUIET, "-r", lock], check=False, capture_output=True).returncode == 0
    )


def by_uv(files: list[str]) -> bool:
    """Install with uv; return whether that went well."""
    found = pip_settings()
    options = [
        part
        for name, option in _OPTIONS.items()
        for place in found.get(name, "").split()
        if name != "find-links" or "://" in place or Path(place).is_dir()
        for part in (option, place)
    ]
    options += ["--no-index"] if found.get("no-index", "") in {"1", "true", "True"} else []
    variables = {own: found[name] for name, own in _VARIABLES.items() if name in found}
    uv = [str(Path(sys.executable).parent / "uv"), "pip", "install", "--quiet"]
    command = [
        *uv,
        "--python",
        sys.executable,
        "--no-deps",
        "--only-binary",
        ":all:",
        *options,
        *files,
    ]
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            timeout=UV_S_MAX,
            env=variables | {**os.environ},
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def pip_settings() -> dict[str, str]:
    """Return what pip is told by its files and by the environment, which counts more."""
    said = subprocess.run([*PIP, "config", "list"], check=False, capture_output=True, text=True)
    found: dict[str, str] = {}
    for line in sorted(said.stdout.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        found[name.rpartition(".")[2]] = value.strip("'\"").replace("\\n", " ")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
