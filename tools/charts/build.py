"""Put the charting library of the page into the package: `make setup` runs this where npm is.

    package.json ─► npm install, in a folder that is thrown away ─► checksums ─► gateway/web/built

What npm brings is taken only if it is the very files whose SHA-256 stand here, so that neither a
registry nor a cache can put anything else into the page. Without npm, without a network, or with
other files there is a message, the page shows its plain chart, and setup goes on: this never fails
and takes at most `WAIT_S` seconds. Uses nothing beyond Python's own library.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILT = HERE.parents[1] / "src" / "tickplant" / "gateway" / "web" / "built"
WAIT_S = 9
FILES = {
    "lightweight-charts.mjs": (
        "lightweight-charts/dist/lightweight-charts.standalone.production.mjs",
        "1bb1ee79f9d4dd17261b53d930f7a8995748276f80e7ba0e24412b5068062f5f",
    ),
    "LICENSE.txt": (
        "lightweight-charts/LICENSE",
        "70c9d5382506dd184465425c08a99ad9bd6d9ac1313c252968ba0b585e5ef823",
    ),
}
"""By their names in the package: where npm puts them, and their SHA-256."""

_OPTIONS = (
    "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error",
    "--fetch-retries=0", f"--fetch-timeout={WAIT_S * 1000}", "--prefer-offline",
)  # fmt: skip


def main() -> int:
    """Build unless it is built; always 0, as a plant runs without it."""
    if is_built():
        for name in FILES:
            (BUILT / name).touch()  # younger than this file, so that make need not ask again
        return 0
    npm = shutil.which("npm")
    if npm is None:
        return _say("npm is not there; the page will show its plain chart")
    with tempfile.TemporaryDirectory(prefix="tickplant-charts-") as folder:
        try:
            fault = _install(npm, Path(folder))
        except (OSError, subprocess.TimeoutExpired) as raised:
            fault = f"npm: {raised}"
        fault = fault or _take(Path(folder) / "node_modules")
    return _say(f"{fault}; the page will show its plain chart" if fault else "the charts are built")


def is_built() -> bool:
    """Say whether the very files are there."""
    return all(_has(BUILT / name, digest) for name, (_, digest) in FILES.items())


def _has(file: Path, digest: str) -> bool:
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == digest


def _install(npm: str, folder: Path) -> str:
    """Let npm install into a folder; return what went wrong."""
    shutil.copy(HERE / "package.json", folder)
    ran = subprocess.run(
        [npm, "install", *_OPTIONS], cwd=folder, timeout=WAIT_S, check=False,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        env={**os.environ, "NPM_CONFIG_UPDATE_NOTIFIER": "false"},
    )  # fmt: skip
    said = ran.stderr.strip().splitlines()
    return "" if ran.returncode == 0 else f"npm: {said[0] if said else ran.returncode}"


def _take(modules: Path) -> str:
    """Move the files into the package, whole or not at all; return what went wrong."""
    for source, digest in FILES.values():
        if not _has(modules / source, digest):
            return f"{source} is not the file whose checksum is known"
    BUILT.mkdir(parents=True, exist_ok=True)
    for name, (source, _) in FILES.items():
        beside = BUILT / f".{name}.{os.getpid()}"
        shutil.copyfile(modules / source, beside)
        beside.replace(BUILT / name)
    return ""


def _say(text: str) -> int:
    print(f"==> setup: {text}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
