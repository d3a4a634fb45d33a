"""Concurrent writers that retry, and a subscriber that resumes: what they know must be true."""

from __future__ import annotations

import http.client
import json
import random
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from tickplant.client.follow import Follower, stream_url
from tickplant.client.stream import Stream

TIMEOUT_S = 5.0
CANCELLED = None
State = float | None
"""What a trade may be after amendments: a price, or cancelled."""


@dataclass
class Ledger:
    """What was ever sent and what was acknowledged. One for all writers.

    Trades go by id, quotes by their bid, which is different for each. `states` holds for the seq of
    a trade what it may be by now: one state after an acknowledgement, more after attempts whose
    fate nobody knows.
    """

    sent: dict[str, set[Any]] = field(default_factory=lambda: {"trades": set(), "quotes": set()})
    acknowledged: dict[str, set[Any]] = field(
        default_factory=lambda: {"trades": set(), "quotes": set()}
    )
    states: dict[int, set[State]] = field(default_factory=dict)
    amended: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    faults: list[str] = field(default_factory=list)


class Writer(threading.Thread):
    """Posts 1 to 50 trades or quotes and sends them again until acknowledged; amends its trades."""

    def __init__(self, number: int, url: str, ledger: Ledger, seed: int) -> None:
        super().__init__(name=f"writer-{number}", daemon=True)
        self.number = number
        self.url = url
        self.ledger = ledger
        self.random = random.Random(seed * 1_000 + number)
        self.stopping = threading.Event()
        self.count = 0
        self.mine: list[tuple[str, int, float]] = []

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                chance = self.random.random()
                if chance < 0.2 and self.mine:
                    self.amend(*self.random.choice(self.mine))
                else:
                    self.write("quotes" if chance < 0.4 else "trades")
        except Exception as fault:
            self.ledger.faults.append(f"{self.name}: {fault!r}")

    def write(self, table: str) -> None:
        rows = [self.next_row(table) for _ in range(self.random.randint(1, 50))]
        names = {row["id"] if table == "trades" else row["bid_price"] for row in rows}
        with self.ledger.lock:
            self.ledger.sent[table] |= names
        while not self.stopping.is_set():
            receipt = self.ask("POST", f"/v1/{table}", rows)
            if receipt is None:
                self.stopping.wait(0.01)
                continue
            if receipt["accepted"] + receipt["duplicates"] != len(rows):
                self.ledger.faults.append(f"{len(rows)} rows were sent, the receipt is {receipt}")
            with self.ledger.lock:
                self.ledger.acknowledged[table] |= names
            if table == "trades" and receipt["accepted"] == len(rows):
                place = self.random.randrange(len(rows))
                row = rows[place]
                self.mine.append((row["symbol"], receipt["seq_first"] + place, row["price"]))
            return

    def next_row(self, table: str) -> dict[str, Any]:
        self.count += 1
        symbol = f"S{self.random.randrange(20)}"
        name = f"w{self.number}-{self.count}"
        if table == "quotes":
            bid = float(self.number * 10**8 + self.count)
            return {"symbol": symbol, "key": name, "bid_price": bid, "ask_price": bid + 1}
        price = round(self.random.uniform(1, 100), 2)
        return {"symbol": symbol, "id": name, "price": price, "size": self.random.randint(1, 100)}

    def amend(self, symbol: str, seq: int, original: float) -> None:
        price: State = CANCELLED
        if self.random.random() < 0.8:
            price = round(self.random.uniform(1, 100), 2)
        with self.ledger.lock:
            states = self.ledger.states.setdefault(seq, {original})
            states.add(price)
        path = f"/v1/trades/{symbol}/{seq}"
        told = (
            self.ask("DELETE", path)
            if price is CANCELLED
            else self.ask("PUT", path, {"price": price})
        )
        if told is not None:
            with self.ledger.lock:
                self.ledger.states[seq] = {CANCELLED if told.get("status") == 404 else price}
                self.ledger.amended += 1

    def ask(self, method: str, path: str, body: object = None) -> dict[str, Any] | None:
        """Return what the plant answers, None where it does not or says that it cannot now."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as fault:
            try:
                said = fault.read()
            except (OSError, http.client.HTTPException):
                return None
            if fault.code == 404 and method != "POST":
                return json.loads(said)
            if fault.code != 503:
                self.ledger.faults.append(f"{method} {path}: {fault.code}: {said[:500]!r}")
        except (OSError, ValueError, http.client.HTTPException):  # killed in mid-answer, too
            pass
        return None


class Watcher(threading.Thread):
    """Follows all trades from the first one, over every kill; `seen` is by sequence number.

    What it saw of a run and the next run does not have was never durable: it is forgotten when the
    plant says where the run begins.
    """

    def __init__(self, url: str, ledger: Ledger) -> None:
        super().__init__(name="watcher", daemon=True)
        self.ledger = ledger
        self.seen: dict[int, tuple[object, ...]] = {}
        self.doubled = self.taken_back = self.reconnects = 0
        self.subscribed = threading.Event()  # the client retries every connection but the first
        follower = Follower("trades", "*", 0, on_notice=self.note)
        self.stream = Stream(
            stream_url(url),
            follower,
            headers={},
            on_reconnect=lambda _: None,
            idle_s=15.0,
            backoff_s=(0.02, 0.2),
        )

    def note(self, message: dict[str, Any]) -> None:
        if message["op"] == "subscribed":
            self.reconnects += 1
            self.subscribed.set()
            gone = [seq for seq in self.seen if seq > message["seq"]]
            self.taken_back += len(gone)
            for seq in gone:
                del self.seen[seq]
        elif message["op"] in ("slow", "gap"):
            self.ledger.faults.append(f"the stream says {message}")

    def run(self) -> None:
        try:
            for event in self.stream:
                seq = event["seq"]
                self.doubled += seq in self.seen
                self.seen[seq] = (event["symbol"], event.get("id"), event["price"])
        except Exception as fault:
            self.ledger.faults.append(f"the watcher: {fault!r}")
