import re
import subprocess
import sys

import pytest

from cli_kit import run, spawn
from tickplant.cli.app import app
from tickplant.version import VERSION

COMMANDS = sorted(info.name for info in app.registered_commands if info.name)


def test_the_commands_of_the_contract_are_there() -> None:
    assert {
        "serve", "follow", "capture", "import", "replay", "export", "candles", "indicators",
        "stats", "book", "gaps", "tail", "sql", "keys",
        "health", "doctor", "bench", "version",
    } == set(COMMANDS)  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_ends_with_an_example(
    name: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    ran = run(capfdbinary, name, "--help")
    assert ran.code == 0
    last = [line.strip() for line in ran.out.splitlines() if line.strip()]
    heads = [i for i, line in enumerate(last) if line in ("Example", "Examples")]
    assert heads, ran.out
    assert last[heads[-1] + 1].startswith("tickplant ")


def test_the_first_page_has_every_command_with_an_example(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    ran = run(capfdbinary, "--help")
    assert ran.code == 0
    for name in COMMANDS:
        assert re.search(rf"│ {name}\s", ran.out), name
        assert f"tickplant {name}" in ran.out


def test_version(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(capfdbinary, "version").out == f"tickplant {VERSION}\n"
    known = run(capfdbinary, "version", "--json").json()
    assert known["tickplant"] == VERSION
    assert {"python", "duckdb", "pyarrow"} <= set(known)


def test_the_entry_point_runs() -> None:
    done = spawn("version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"tickplant {VERSION}\n", "")


@pytest.mark.parametrize("argv", ["['--help']", "['version']", "['serve', '--help']"])
def test_help_and_version_import_nothing_heavy(argv: str) -> None:
    text = (
        "import sys; from tickplant.cli import main; main(" + argv + "); "
        "print('HEAVY', sorted({'numpy', 'pyarrow', 'duckdb', 'uvicorn', 'httpx', 'starlette', "
        "'structlog'} "
        "& set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("HEAVY []\n")


def test_bench_outside_a_checkout_says_so(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickplant.cli.bench.__file__", "/nowhere/a/b/c/bench.py")
    ran = run(capfdbinary, "bench")
    assert ran.code == 2
    assert "checkout" in ran.err
