"""What a process that serves keeps out of the way: pages given back, pandas, the collector."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from cli_kit import make_folder
from tickplant.cli import process
from tickplant.cli.process import KEEP_MS, NAME, keep_freed_memory


def test_what_was_set_is_left_alone() -> None:
    environ = {NAME: "-1", "MALLOC_TOP_PAD_": "0"}
    keep_freed_memory(environ)
    assert environ == {NAME: "-1", "MALLOC_TOP_PAD_": "0"}
    environ = {}
    keep_freed_memory(environ)
    assert environ == {NAME: str(KEEP_MS)}


@pytest.mark.parametrize(
    ("environ", "heaps"), [({}, 1), ({"MALLOC_ARENA_MAX": "1"}, 0), ({NAME: "-1"}, 1)]
)
def test_heaps_keep_what_is_freed_unless_somebody_has_set_them(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], heaps: int
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(process, "_keep_in_heaps", lambda: asked.append(True))
    keep_freed_memory(environ)
    assert len(asked) == heaps


TOUCHED = """
import resource, sys
import numpy as np
from tickplant.cli.process import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory({})
for _ in range(3):
    [np.ones(4 << 20, np.int8) for _ in range(8)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    [np.ones(4 << 20, np.int8) for _ in range(8)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_arrays_that_come_and_go_touch_the_same_pages() -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    faults = [
        int(
            subprocess.run(
                [sys.executable, "-c", TOUCHED, way],
                capture_output=True, text=True, check=True, timeout=25, env=bare,
            ).stdout
        )
        for way in ("keep", "leave")
    ]  # fmt: skip
    assert faults[0] * 10 < faults[1], faults


def test_it_is_said_before_arrow_is_there() -> None:
    code = "import sys, tickplant.cli.serve, tickplant.cli.follow; print('pyarrow' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=25
    )
    assert ran.stdout.strip() == "False"


STARTED = """
import gc, importlib, json, os, signal, sys
from tickplant.cli import main, serve

announcer = serve._announcer

def announce(*given):
    def ready(url):
        import pyarrow as pa
        heavy = "pandas polars fastapi duckdb httpx opentelemetry".split()
        pa.array(["a"]), pa.array([1.5]).to_numpy()
        heavy += ["tickplant.gateway.described", "tickplant.gateway.openapi"]
        loaded = [name for name in heavy if name in sys.modules]
        there = importlib.util.find_spec("pandas") is not None
        print(json.dumps([loaded, there, gc.isenabled(), gc.get_freeze_count() > 10_000]))
        os.kill(os.getpid(), signal.SIGTERM)
    return ready

serve._announcer = announce
sys.exit(main(["serve", "--feed", "none", "--port", "0", "--data", sys.argv[1]]))
"""


def test_a_plant_starts_without_what_it_may_never_need(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", STARTED, str(tmp_path / "data")],
        capture_output=True, text=True, check=False, timeout=25,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    loaded, there, collects, frozen = json.loads(ran.stdout)
    assert loaded == []
    assert there  # whoever else wants pandas finds it
    assert collects
    assert frozen


READ = """
import json, sys
from tickplant.cli import main
code = main()
heavy = "pandas polars httpx duckdb starlette".split()
print(json.dumps([code, [name for name in heavy if name in sys.modules]]), file=sys.stderr)
import pandas
"""


def test_a_command_on_a_folder_loads_neither_pandas_nor_what_speaks_http(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data")
    ran = subprocess.run(
        [sys.executable, "-c", READ, "candles", "EURUSD", "--data", folder, "--format", "csv"],
        capture_output=True, text=True, check=False, timeout=25,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "EURUSD" in ran.stdout
    assert json.loads(ran.stderr) == [0, []]
