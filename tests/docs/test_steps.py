"""The blocks of the README and of the guides, run as they stand against a plant of their own.

Blocks marked `sh` and `python` are run in order in an empty folder, those marked `console` are not.
What stands in a `json` or `text` block after one is what that one must print, but for sequence
numbers, durations and the width of columns. Ports and addresses are put in place of the usual one.
The processes of the guides are forked from a warm one, see warm.py; those of the README are not.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from docs_files import Block, blocks, read, section
from warm import Warm

URL = "http://127.0.0.1:8000"
GUIDES = (
    "import-files",
    "push-ticks",
    "push-over-a-socket",
    "keys",
    "influx",
    "correct-and-cancel",
    "trade-conditions",
    "read-in-python",
    "sql",
    "replay",
    "back-up",
    "quarantine",
    "doctor",
    "sessions-and-time-zones",
    "indicators",
    "gaps",
    "poll-prices",
    "statistics",
)
NEEDED = ("bash", "curl")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    *(
        pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed")
        for name in NEEDED
    ),
]


def environment(*paths: Path) -> dict[str, str]:
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("TICKPLANT_", "PYTEST_"))}
    found = [*map(str, paths), *filter(None, [bare.get("PYTHONPATH")])]
    path = f"{Path(sys.executable).parent}{os.pathsep}{bare['PATH']}"
    return {**bare, "PATH": path, "PYTHONPATH": os.pathsep.join(found)}


def without_extras(folder: Path) -> Path:
    """Return a folder that hides what `make run` does not install."""
    folder.mkdir()
    for name in ("pandas", "polars"):
        (folder / f"{name}.py").write_text(f"raise ModuleNotFoundError({name!r}, name={name!r})\n")
    return folder


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Run a plant on `./data` of a folder, as `make run` does, and give its URL."""
    command = [sys.executable, "-m", "tickplant", "serve", "--port", "0", "--json"]
    with (
        (folder.parent / "plant.log").open("wb") as log,
        subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=log
        ) as plant,
    ):
        try:
            assert plant.stdout is not None
            yield json.loads(plant.stdout.readline())["url"]
        finally:
            plant.send_signal(signal.SIGTERM)
            assert plant.wait(60) == 0


def run(block: Block, folder: Path, url: str, bare: Path | None, warm: Warm | None) -> str:
    text = block.text.replace(URL, url)
    env = environment(*filter(None, [bare]))
    python = [sys.executable, "-W", "error", "-c"]
    if warm is not None:
        env["PATH"] = f"{warm.folder}{os.pathsep}{env['PATH']}"
        python = [str(warm.folder / "snippet")]
    command = ["bash", "-euo", "pipefail", "-c"] if block.language == "sh" else python
    done = subprocess.run(
        [*command, text],
        check=False,
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def compare(printed: str, shown: str) -> None:
    assert normal(printed) == normal(shown)


def normal(text: str) -> str:
    """Return what was printed without what differs from run to run."""
    text = re.sub(r'("seq_(?:first|last)":)\d+', r"\1N", text)
    text = re.sub(r"in [\d.]+ s, [\d,]+ rows/s", "in T, R", text)
    states = "forming|complete|quiet|partial|gap"
    text = re.sub(rf"\b\d+([, ]\s*(?:{states})\b)", r"N\1", text)
    text = re.sub(r"(\d{4}-\d\d-\d\dT\S*\s.*?)\b\d+$", r"\1N", text, flags=re.M)
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())


def run_all(
    text: str, folder: Path, url: str, bare: Path | None = None, warm: Warm | None = None
) -> int:
    """Run the blocks of a text in order; return how many outputs were compared."""
    compared = 0
    printed = ""
    for block in blocks(text):
        if block.language in {"sh", "python"}:
            printed = run(block, folder, url, bare, warm)
        elif block.language in {"json", "text"}:
            compare(printed, block.text)
            compared += 1
    return compared


def test_the_first_five_minutes(tmp_path: Path) -> None:
    folder = tmp_path / "checkout"
    folder.mkdir()
    bare = without_extras(tmp_path / "bare")
    with serving(folder) as url:
        steps = section(read("README.md"), "The first five minutes")
        assert run_all(steps, folder, url, bare) == 5
    # The plant has archived what it had, so another tool can read it as the page on storage says.
    (reading,) = (b for b in blocks(read("docs/concepts/storage.md")) if b.language == "python")
    printed = run(reading, folder, URL, bare, None)
    assert "101.25" in printed
    assert "200" in printed


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Give the folder and the URL of a plant that all guides share; their symbols differ."""
    folder = tmp_path_factory.mktemp("guides") / "checkout"
    folder.mkdir()
    with serving(folder) as url:
        yield folder, url


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    with Warm(tmp_path_factory.mktemp("warm") / "bin") as made:
        yield made


@pytest.mark.parametrize("guide", GUIDES)
def test_a_guide(guide: str, plant: tuple[Path, str], warm: Warm) -> None:
    text = read(f"docs/how-to/{guide}.md")
    assert [block for block in blocks(text) if block.language in {"sh", "python"}]
    run_all(text, *plant, warm=warm)


def test_outputs_are_compared_in_what_matters() -> None:
    line = "ACME,ORIGIN,1m,trade,2024-05-07T14:30:00Z,101.25,300,2,{},complete,1"
    compare(line.format(7155), line.format(12))
    with pytest.raises(AssertionError):
        compare(line.format(7155), line.format(12).replace("300", "301"))
    compare('{"accepted":3,"seq_first":7154}', '{"accepted":3,"seq_first":1}')
    with pytest.raises(AssertionError):
        compare('{"accepted":3,"seq_first":7154}', '{"accepted":2,"seq_first":7154}')
