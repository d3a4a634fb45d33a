"""The guide's backup: copied while a plant takes rows, restored elsewhere, compared row by row."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from plant_kit import NOW, Clock, open_plant, submit
from tickplant.compose import open_history
from tickplant.model.events import TRADES
from tickplant.plant.plant import Plant

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "back-up.md"
ROWS = 200


def script() -> str:
    (found,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.S)
    return found


def trades(folder: Path) -> pa.Table:
    rows = open_history(folder).store.scan(TRADES)
    return rows.select(["seq", "instrument", "ts_event", "price", "id"]).sort_by("seq")


def send(plant: Plant, number: int) -> int:
    """Send one batch and return the last number that was acknowledged."""
    receipt = submit(
        plant, symbol=["ACME", "EURUSD"] * (ROWS // 2),
        ts_event=[NOW + number * ROWS + n for n in range(ROWS)],
        price=[1.0 + n for n in range(ROWS)], id=[f"{number}-{n}" for n in range(ROWS)],
    )  # fmt: skip
    return receipt.seq_last


def test_a_copy_of_a_running_plant_has_what_was_acknowledged_and_starts(tmp_path: Path) -> None:
    source, target = tmp_path / "data", tmp_path / "backup"
    stop = threading.Event()
    sent = 20
    # Blocks of a few batches, so that the archive takes rows over while the copy is made.
    with open_plant(source, Clock(NOW + 10**12), store__block_rows=1_000) as plant:
        before = max(send(plant, number) for number in range(sent))

        def go_on() -> None:
            number = sent
            while not stop.is_set():
                send(plant, number)
                number += 1

        writer = threading.Thread(target=go_on)
        writer.start()
        try:
            subprocess.run(
                [sys.executable, "-W", "error", "-c", script()], cwd=tmp_path, check=True,
                timeout=25, env=os.environ,
            )  # fmt: skip
        finally:
            stop.set()
            writer.join()
    whole, restored = trades(source), tmp_path / "elsewhere" / "data"
    restored.parent.mkdir()
    target.rename(restored)
    copied = trades(restored)
    last = pc.max(copied["seq"]).as_py()
    assert last >= before, "what was acknowledged before the copy began is in it"
    # Of what came later it has a beginning, without a hole and without a change.
    assert copied.equals(whole.filter(pc.less_equal(whole["seq"], last)))
    with open_plant(restored, Clock(NOW + 10**12)) as again:
        after = send(again, 10**6)
    assert after > last
    assert trades(restored).num_rows == copied.num_rows + ROWS
