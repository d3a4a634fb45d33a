"""What `/v1/status` and `tickplant doctor` say of a running plant."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tickplant.model.times import NS_PER_S, format_time
from tickplant.version import VERSION

if TYPE_CHECKING:
    from tickplant.plant.plant import Plant


def plant_status(plant: Plant) -> dict[str, Any]:
    """Return version, uptime, numbers, load, log, store, candles, stream, feeds: plain values."""
    ready, reason = plant.readiness()
    now = plant.clock()
    store = plant.store.status()
    log = asdict(plant.log.status())
    log["damage"] = [asdict(item) for item in plant.log.status().damage]
    return {
        "version": VERSION,
        "state": plant.state,
        "ready": ready,
        "reason": reason,
        "run": plant.run,
        "started_at": format_time(plant.started_at),
        "uptime_s": round((now - plant.started_at) / NS_PER_S, 3),
        "now": format_time(now),
        "seq_last": plant.seq_last,
        "instruments": len(plant.registry),
        "rows_waiting": plant.waiting_rows,
        "backpressure": plant.backpressure.shown(),
        "log": log,
        "store": {
            "seq_archived": store.seq_archived,
            "bytes_in_memory": store.bytes_in_memory,
            "last_error": store.last_error,
            "damage": list(store.damage),
            "tables": {name: _table(asdict(table)) for name, table in store.tables.items()},
        },
        "served": plant.served.status()._asdict(),
        "stream": asdict(plant.hub.status()),
        "feeds": plant.feeds(),
    }


def _table(table: dict[str, Any]) -> dict[str, Any]:
    rows = {"rows": table["rows_archived"] + table["rows_in_memory"]}
    times = {
        name: None if table[name] is None else format_time(table[name])
        for name in ("ts_min", "ts_max")
    }
    return rows | table | times
