"""Freed memory is kept for a second, unless somebody has said otherwise."""

import subprocess
import sys

from tickplant.cli.process import KEEP_MS, NAME, keep_freed_memory


def test_what_was_set_is_left_alone() -> None:
    environ = {NAME: "-1"}
    keep_freed_memory(environ)
    assert environ == {NAME: "-1"}
    environ = {}
    keep_freed_memory(environ)
    assert environ == {NAME: str(KEEP_MS)}


def test_it_is_said_before_arrow_is_there() -> None:
    code = "import sys, tickplant.cli.serve, tickplant.cli.follow; print('pyarrow' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=25
    )
    assert ran.stdout.strip() == "False"
