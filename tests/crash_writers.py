"""Concurrent writers that retry: what they were told is what must be there afterwards."""

from __future__ import annotations

import json
import random
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, field

TIMEOUT_S = 5.0


@dataclass
class Ledger:
    """What was acknowledged, by id, and what was ever sent. One for all writers."""

    sent: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    faults: list[str] = field(default_factory=list)


class Writer(threading.Thread):
    """Posts batches of 1 to 50 trades and sends each again until it is acknowledged."""

    def __init__(self, number: int, url: str, ledger: Ledger, seed: int) -> None:
        super().__init__(name=f"writer-{number}", daemon=True)
        self.number = number
        self.url = url
        self.ledger = ledger
        self.random = random.Random(seed * 1_000 + number)
        self.stopping = threading.Event()
        self.count = 0

    def run(self) -> None:
        while not self.stopping.is_set():
            rows = self.next_rows()
            while not self.stopping.is_set() and not self.post(rows):
                self.stopping.wait(0.01)

    def next_rows(self) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = []
        for _ in range(self.random.randint(1, 50)):
            self.count += 1
            rows.append(
                {
                    "symbol": f"S{self.random.randrange(20)}",
                    "id": f"w{self.number}-{self.count}",
                    "price": round(self.random.uniform(1, 100), 2),
                    "size": self.random.randint(1, 100),
                }
            )
        with self.ledger.lock:
            self.ledger.sent.update(str(row["id"]) for row in rows)
        return rows

    def post(self, rows: list[dict[str, object]]) -> bool:
        request = urllib.request.Request(
            f"{self.url}/v1/trades",
            data=json.dumps(rows).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                receipt = json.loads(answer.read())
        except urllib.error.HTTPError as fault:
            if fault.code != 503:
                self.ledger.faults.append(f"{fault.code}: {fault.read()[:500]!r}")
            return False
        except (OSError, ValueError):
            return False
        if receipt["accepted"] + receipt["duplicates"] != len(rows):
            self.ledger.faults.append(f"{len(rows)} rows were sent, the receipt is {receipt}")
        with self.ledger.lock:
            self.ledger.acknowledged.update(str(row["id"]) for row in rows)
        return True
