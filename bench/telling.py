"""What log lines, traces and the look at the load cost ingest, in processor time.

    python -m bench.telling [--rounds 40] [--rows 1000] [--bodies 4]

One process, one application a variant, all of them open at the same time and taking turns: bodies
of Arrow with ids, each acknowledged after `fdatasync`. Prints the processor time of a body and its
ratio to the plain variant, of the least and of the median round (on a machine that others use the
least bends less); below, that of making a line, of a trace that is
not there, and of the imports. Traces go to an exporter that forgets them.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import itertools
import logging
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bench.ticks import arrow_body, trade_batches
from tickplant.compose import OpenPlant, World
from tickplant.config import TracingSettings, load
from tickplant.gateway.app import create_app
from tickplant.observe.logs import ACCESS, LineHandler, make_formatter
from tickplant.observe.tracing import Tracer, measured

PLAIN = "plain"
VARIANTS: dict[str, dict[str, Any]] = {
    PLAIN: {"backpressure.look_s": 3_600},
    "load looked at": {},
    "access log": {"log.access": True},
    "1 % traced": {"tracing.sample": 0.01},
    "all traced": {"tracing.sample": 1.0},
}


class Forgets:
    """An exporter that takes everything."""

    def export(self, spans: Any) -> Any:
        return SimpleNamespace(name="SUCCESS")

    def shutdown(self) -> None:
        return None


class Sink(io.StringIO):
    def write(self, text: str) -> int:
        return len(text)


def open_app(stack: ExitStack, folder: Path, flags: dict[str, Any]) -> Any:
    sample = flags.pop("tracing.sample", None)
    tracer = None if sample is None else Tracer(Forgets(), TracingSettings(sample=sample), None)
    settings = load(flags={"data": str(folder), "candles.served": "none", **flags})
    opened = stack.enter_context(OpenPlant(settings, world=World(tracer=tracer)))
    return create_app(opened.plant)


async def post(app: Any, body: bytes) -> int:
    said: list[dict[str, Any]] = []
    parts = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Any:
        return next(parts)

    async def send(message: Any) -> None:
        said.append(message)

    headers = [(b"content-type", b"application/vnd.apache.arrow.stream")]
    scope = {"type": "http", "method": "POST", "path": "/v1/trades", "raw_path": b"/v1/trades",
             "root_path": "", "query_string": b"", "headers": headers, "scheme": "http",
             "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2)}  # fmt: skip
    await app(scope, receive, send)
    return int(said[0]["status"])


async def measure(apps: dict[str, Any], bodies: Iterator[bytes], rounds: int, count: int) -> None:
    took: dict[str, list[float]] = {name: [] for name in apps}
    names = list(apps)
    for turn in range(rounds + 2):
        order = names if turn % 2 else names[::-1]
        for name in order:
            mine = list(itertools.islice(bodies, count))
            began = time.process_time()
            for body in mine:
                assert await post(apps[name], body) == 201
            if turn >= 2:
                took[name].append((time.process_time() - began) / count)
    plain = took[PLAIN]
    print(f"{'variant':<18}{'least, µs':>12}{'ratio':>9}{'median':>10}{'quartiles':>16}")
    for name, mine in took.items():
        ratios = [one / other for one, other in zip(mine, plain, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        least = f"{min(mine) * 1e6:>12,.0f}{min(mine) / min(plain):>9.3f}"
        print(f"{name:<18}{least}{middle:>10.3f}{low:>10.3f}-{high:.3f}")


def pieces() -> None:
    log = logging.Logger("bench", logging.INFO)
    log.addHandler(LineHandler(make_formatter(human=False), Sink()))
    access = logging.Logger(ACCESS, logging.INFO)
    access.addHandler(LineHandler(make_formatter(human=False), Sink()))
    for name, act in {
        "a line": lambda: access.info("%s %s", "GET", "/v1/latest", extra={"status": 200}),
        "a line held back": lambda: log.warning("the disk refuses: %s", "EIO"),
        "a trace that is not there": lambda: measured("read", int),
    }.items():
        times = timeit.repeat(act, number=2_000, repeat=5, timer=time.process_time)
        print(f"{name:<28}{min(times) / 2_000 * 1e6:>8.2f} µs")


def imports() -> None:
    served = "import tickplant.cli.server, tickplant.compose, tickplant.observe.logs as logs"
    more = {"serve": "", "with log lines": "; logs.make_formatter(human=False)"}
    found: dict[str, list[float]] = {name: [] for name in more}
    for _ in range(3):
        for name, text in more.items():
            code = f"import time; {served}{text}; print(time.process_time())"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
            found[name].append(float(done.stdout))
    for name, mine in found.items():
        print(f"imports: {name:<19}{min(mine):>8.3f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--bodies", type=int, default=4)
    given = parser.parse_args()
    logging.getLogger().addHandler(LineHandler(make_formatter(human=False), Sink()))
    logging.getLogger().setLevel(logging.INFO)
    needed = (given.rounds + 2) * given.bodies * len(VARIANTS)
    bodies = map(arrow_body, trade_batches(needed, given.rows, 100))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        apps = {
            name: open_app(stack, Path(folder) / str(n), dict(flags))
            for n, (name, flags) in enumerate(VARIANTS.items())
        }
        asyncio.run(measure(apps, iter(list(bodies)), given.rounds, given.bodies))
    pieces()
    imports()


if __name__ == "__main__":
    main()
