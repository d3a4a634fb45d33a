"""B5, fan-out: 50 and 1,000 clients of 100 symbols each; events delivered a core of the server.

The plant does all of its work: it takes the events over a socket, checks and numbers them, makes
them durable, and serves each client its subscription. The peers send ready-made messages to
whoever is connected. What is measured is the processor time of the server's process, the system's
work for it included, against the events that the clients have counted; the clients are in another
process, and a server that writes prebuilt frames to bare transports shows what they can take.

A million events/s are to be delivered in all. Once all clients want the same 100 symbols, and once
each wants 100 of its own out of 1,000, for which the peers have no answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

import msgspec

from bench.fanout import Load, Target, peer, percentile, plant, run_load
from bench.fanout_clients import Order
from bench.harness import Comparison, Done, Side, compare
from bench.ticks import symbols

SYMBOLS = 100
OWN = 1_000
DELIVERED_S = 1e6
PEERS = (
    ("websockets.broadcast", "websockets"),
    ("uvicorn, Starlette, one send after the other", "uvicorn"),
    ("picows", "picows"),
    ("null: prebuilt frames to bare transports", "null"),
)


def measure(target: Target, load: Load, clients: int) -> Done:
    """Fan a load out once; every event is counted at every client, of some every field is read."""
    order = order_of(target, load, clients)
    found = run_load(target, order, load)
    report = found.report
    if report.events != order.expected:
        pairs = zip(report.events, order.expected, strict=True)
        wrong = [(got, want) for got, want in pairs if got != want]
        raise AssertionError(f"{len(wrong)} of {clients} clients miss events, first {wrong[0]}")
    if report.faults or not report.checked:
        raise AssertionError(f"events are not right: {report.faults}")
    extra = {
        "events a frame": found.events / sum(report.frames),
        "frames/s a core": sum(report.frames) / found.server_cpu_s,
        "delay p50 ms": 1e3 * percentile(report.delays_s, 0.5),
        "p99 ms": 1e3 * percentile(report.delays_s, 0.99),
        "delivered/s by the clock": found.events / report.seconds,
        "cores of the clients": report.cpu_s / report.seconds,
    }
    return Done(found.events, found.server_cpu_s, extra)


def order_of(target: Target, load: Load, clients: int) -> Order:
    """Return the clients' wishes: of 100 instruments the same for all, of more others for each."""
    names = symbols(load.instruments)
    counts = [0] * load.instruments
    for batch in range(load.batches):
        for number in load.numbers(batch):
            counts[number] += 1
    wishes: list[list[bytes]] = []
    expected = []
    for client in range(clients):
        own = load.instruments > SYMBOLS
        first, step = (client * 7, 1 + client % 3) if own else (0, 1)
        mine = sorted({(first + place * step) % load.instruments for place in range(SYMBOLS)})
        wish = {
            "op": "subscribe",
            "id": 1,
            "channel": load.table,
            "symbols": [names[number] for number in mine],
        }
        wishes.append([msgspec.json.encode(wish)] if target.speaks else [])
        expected.append(sum(counts[number] for number in mine))
    return Order(target.port, target.path, wishes, expected, 60 + load.batches * load.every_s)


def load_of(clients: int, seconds: float, instruments: int) -> Load:
    """Return a load of which a million events/s go to so many clients."""
    rows = 20 if clients <= 50 or instruments > SYMBOLS else 10
    every_s = clients * rows * SYMBOLS / instruments / DELIVERED_S
    return Load(max(int(seconds / every_s), 10), rows, every_s, instruments)


def run(
    *,
    seconds: float = 4.0,
    rounds: int = 5,
    peers: bool = True,
    clients: tuple[int, ...] = (50, 1_000),
    own: bool = True,
) -> list[Comparison]:
    """Run B5 with so many clients each."""
    found = []
    with ExitStack() as stack:
        ours = stack.enter_context(plant(OWN))
        theirs = [(name, stack.enter_context(peer(kind))) for name, kind in PEERS if peers]
        for count in clients:
            load = load_of(count, seconds, SYMBOLS)
            name = f"{count:,} clients, the same {SYMBOLS} symbols"
            found.append(_compared(name, ours, theirs, load, count, rounds))
        if own:
            load = load_of(clients[-1], seconds, OWN)
            name = f"{clients[-1]:,} clients, {SYMBOLS} symbols of their own of {OWN:,}"
            found.append(_compared(name, ours, [], load, clients[-1], rounds))
    return found


def _compared(
    name: str,
    ours: Target,
    theirs: Sequence[tuple[str, Target]],
    load: Load,
    clients: int,
    rounds: int,
) -> Comparison:
    work = partial(measure, ours, load, clients)
    sides = [Side("tickplant, the whole plant", work, "ack after fdatasync")]
    for peer_name, target in theirs:
        sides.append(Side(peer_name, partial(measure, target, load, clients), "sends only"))
    return compare(
        f"B5 fan-out, {name}, {load.rows} events each {1e3 * load.every_s:.0f} ms",
        sides,
        rounds=rounds,
        unit="events/s a core",
        target=">= 1,000,000 events/s delivered a core",
    )
