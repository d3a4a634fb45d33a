"""B6, slow clients: a tenth reads at a hundredth of the speed, a hundredth not at all.

What the healthy clients notice of it: the 99th percentile of the time from a publisher's send until
a client has read the event, with the slow ones and without, in turn. The plant's memory with and
without. Of each slow client it is checked that what it got and what it was told was left out are
what was published (quotes), or that it got everything up to the number from which it was told to
resume, and 1013 (trades). They read what is left for them once the healthy ones are done.

The load is one that two busy cores sustain, since a server that cannot keep up is late with slow
clients and without. Each round gives a pair, and what counts is the median of the pairs' ratios; on
a machine with other work let it go before that (`chrt -r 1 python -m bench b6`). Some 770 quotes
fit between the plant and a client that reads nothing, so four times as many and more are published.
Peers have no bounds, so that what their slow clients do not read lies in their memory; one that
awaits each send is missing here, since a client that has stopped stops it.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from bench import b5_fanout
from bench.b5_fanout import SYMBOLS, order_of
from bench.fanout import Load, Measured, Target, peer, percentile, plant, run_load
from bench.fanout_clients import Order
from bench.harness import Comparison, Done, Outcome, Side, compare

CRAWL_SHARE, STOP_SHARE, SPEED = 0.1, 0.01, 0.01
EVENT_BYTES = 200
WITH_AND_WITHOUT = ((True, "with slow clients"), (False, "without"))
PEERS = (("websockets.broadcast", "websockets"), ("picows", "picows"))
SETTINGS = "[stream]\nring_rows = {ring}\nbehind_rows = {behind}\n"


def measure(target: Target, load: Load, clients: int, *, slow: bool) -> Done:
    """Run once; the rate of what is returned is the healthy clients' 99th percentile, ms."""
    order = order_of(target, load, clients)
    order.check_every = max(clients // 20, 1)
    if slow:
        order.slow = slow_clients(clients, load)
    found = run_load(target, order, load)
    healthy = [n for n in range(clients) if n not in order.slow]
    report = found.report
    short = [n for n in healthy if report.events[n] != order.expected[n]]
    if short or report.faults or not report.delays_s:
        raise AssertionError(f"{len(short)} healthy clients miss events; {report.faults}")
    skipped = check_slow(found, order, load) if target.speaks and slow else 0
    p99_s = percentile(report.delays_s, 0.99)
    extra = {
        "p50 ms": 1e3 * percentile(report.delays_s, 0.5),
        "server CPU s": found.server_cpu_s,
        "memory MB": found.rss_mb,
        "grown MB": found.rss_mb - found.server_rss_before_mb,
        "slow clients": len(order.slow),
        "events left out and told": skipped,
    }
    return Done(round(1e6 * p99_s), 1e3, extra)


def slow_clients(clients: int, load: Load) -> dict[int, float]:
    """Return what slow clients read in a second, bytes: some a little, some nothing."""
    speed = EVENT_BYTES * load.rows / load.every_s * SPEED
    crawling = range(1, clients, round(1 / CRAWL_SHARE))
    stopped = range(2, clients, round(1 / STOP_SHARE))
    return dict.fromkeys(crawling, speed) | dict.fromkeys(stopped, 0.0)


def check_slow(found: Measured, order: Order, load: Load) -> int:
    """Check that every slow client was told of what it did not get; return how much that was."""
    report, skipped = found.report, 0
    for number in order.slow:
        got, told = report.counted.get(number, 0), report.dropped[number]
        if got == order.expected[number] and not told:
            continue  # it has caught up in the end
        if load.table == "trades":
            ends = [said for said in report.said[number] if said.get("code") == "slow"]
            if len(ends) != 1 or ends[0]["seq"] != report.last[number]:
                raise AssertionError(
                    f"client {number} got up to {report.last[number]}, told {ends}"
                )
            if report.closed.get(number) != 1013:
                raise AssertionError(f"client {number} was closed with {report.closed.get(number)}")
            told = order.expected[number] - got
        if got + told != order.expected[number]:
            raise AssertionError(
                f"client {number} got {got} and was told of {told}, not {order.expected[number]}"
            )
        skipped += told
    if not skipped:
        raise AssertionError("no slow client was ever too slow; publish for longer")
    return skipped


@contextmanager
def bounded_plant(load: Load) -> Iterator[Target]:
    """Yield a plant that bounds how far behind slow clients are.

    Of trades the ring holds a quarter of what will be published; of quotes a client that is waited
    for may be a quarter of it behind.
    """
    with tempfile.TemporaryDirectory(prefix="tickplant-bench-") as folder:
        config = Path(folder) / "tickplant.toml"
        # An entry counts for 20 rows more than it has.
        weight = load.batches * (load.rows + 20)
        ring = max(weight // 4, 1_000) if load.table == "trades" else 500_000
        config.write_text(SETTINGS.format(ring=ring, behind=max(load.events // 4, 100)))
        with plant(load.instruments, "--config", str(config)) as target:
            yield target


def run(
    *,
    seconds: float = 8.0,
    rounds: int = 5,
    clients: int = 100,
    rate: int = 400,
    peers: bool = True,
    tables: tuple[str, ...] = ("quotes", "trades"),
) -> list[Comparison]:
    """Run B6 with so many clients, each of which is sent `rate` events/s."""
    found = []
    for table in tables:
        rows = 10
        load = Load(max(int(seconds * rate / rows), 20), rows, rows / rate, SYMBOLS, table)
        with ExitStack() as stack:
            sides = []
            for slow, name in WITH_AND_WITHOUT:
                target = stack.enter_context(bounded_plant(load))
                work = partial(measure, target, load, clients, slow=slow)
                sides.append(Side(f"tickplant, {name}", work, "ack after fdatasync"))
            for peer_name, kind in PEERS if peers and table == "trades" else ():
                for slow, name in WITH_AND_WITHOUT:
                    target = stack.enter_context(peer(kind))
                    work = partial(measure, target, load, clients, slow=slow)
                    sides.append(Side(f"{peer_name}, {name}", work, "sends only"))
            compared = compare(
                f"B6 p99 of the healthy, {clients:,} clients, {table}, {rate:,} events/s each",
                sides,
                rounds=rounds,
                unit="ms",
                target="with slow clients <= 1.1x of without; memory <= 1.2x; every skip told",
            )
        compared.better = "lower"
        compare_pairs(compared)
        found.append(compared)
    return found


def compare_pairs(compared: Comparison) -> None:
    """Note with each side that has slow clients what its rounds came to against those without."""
    outcomes = compared.outcomes
    for having, lacking in zip(outcomes[::2], outcomes[1::2], strict=True):
        ratios = [a / b for a, b in zip(having.rates, lacking.rates, strict=True)]
        having.extra["p99 with / without, median of rounds"] = statistics.median(ratios)
        having.extra["least"], having.extra["greatest"] = min(ratios), max(ratios)
        memory = having.extra["memory MB"] / lacking.extra["memory MB"]
        having.extra["memory with / without"] = memory


def smoke() -> list[Comparison]:
    """Run B5 and B6 once with little data, on one plant."""
    load = Load(150, 50, 0.01, SYMBOLS, "quotes")
    with bounded_plant(load) as target:
        fan, slow = b5_fanout.measure(target, load, 20), measure(target, load, 20, slow=True)
    sides = [("B5 fan-out", "events/s a core", fan), ("B6 p99 of the healthy", "ms", slow)]
    return [
        Comparison(name, unit, [Outcome("tickplant", "", [done.rate], done.extra)])
        for name, unit, done in sides
    ]
