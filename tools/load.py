"""Load every route and socket of a plant with k6, and ask the dashboard's queries: `make load`.

Starts a plant with a synthetic feed and a Prometheus that takes remote writes, runs
`ops/k6/load.js`, and then asks Prometheus each query of the dashboard `tickplant-load`. With --url
the plant is one that runs; it needs a provider named `itself` and keeps what the load writes. Ends
with 1 where a threshold was not kept or a panel has no data.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx

TOOLS = Path(__file__).resolve().parent
if str(TOOLS) not in sys.path:
    sys.path.insert(0, str(TOOLS))

from dashboard_panels import WINDOW, Board  # noqa: E402
from load_panels import LOAD  # noqa: E402

SCRIPT = TOOLS.parent / "ops" / "k6" / "load.js"
START_S_MAX = 30.0
THRESHOLDS_FAILED = 99
"""The exit code of k6 where a threshold was not kept."""


class MissingTool(Exception):
    """A program that this needs is not there; the message says how to get it."""


def find_tool(name: str) -> str:
    """Return where a program is: beside this Python, or on the path. Raises `MissingTool`."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        hint = "`make setup` brings k6; as root, ops/install-tools.sh installs prometheus"
        raise MissingTool(f"{name} is not there; {hint}")
    return found


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def plant(folder: Path) -> Iterator[str]:
    """Yield the URL of a plant with a synthetic feed and a provider, which is itself."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    config = folder / "tickplant.toml"
    config.write_text(
        f'[providers.itself]\nurl = "{url}/v1/latest/K6:{{symbol}}"\nvenue = "K6"\n'
        'price = "trade.price"\ntime = "trade.ts_event"\n',
        "utf-8",
    )
    serve = ["serve", "--json", "--port", str(port), "--config", str(config)]
    feed = ["--feed", "synthetic:instruments=20,rate=500", "--data", str(folder / "data")]
    with _running([sys.executable, "-m", "tickplant", *serve, *feed], folder / "plant.log"):
        wait_for(f"{url}/ready", folder / "plant.log")
        yield url


@contextmanager
def prometheus(
    folder: Path, plant_url: str, every_s: float = 1.0, rules: str | None = None
) -> Iterator[str]:
    """Yield the URL of a Prometheus that scrapes the plant and takes what k6 writes.

    `rules` is the text of a file of rules that it evaluates.
    """
    folder.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{free_port()}"
    config = folder / "prometheus.yml"
    target = {"targets": [plant_url.partition("://")[2]]}
    jobs = [{"job_name": "tickplant", "static_configs": [target]}]
    every = {
        "scrape_interval": f"{every_s * 1e3:.0f}ms",
        "evaluation_interval": f"{every_s * 1e3:.0f}ms",
    }
    files = [] if rules is None else [str(folder / "rules.yml")]
    if rules is not None:
        (folder / "rules.yml").write_text(rules, "utf-8")
    whole = {"global": every, "rule_files": files, "scrape_configs": jobs}
    config.write_text(json.dumps(whole), "utf-8")
    command = [
        find_tool("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address={url.partition('://')[2]}",
        "--web.enable-remote-write-receiver",
    ]
    with _running(command, folder / "prometheus.log"):
        wait_for(f"{url}/-/ready", folder / "prometheus.log")
        yield url


@contextmanager
def _running(command: list[str], log: Path) -> Iterator[None]:
    with (
        log.open("wb") as said,
        subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(START_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_for(url: str, log: Path) -> None:
    """Wait until a server answers 200; raises with the end of its log where it does not."""
    deadline = time.monotonic() + START_S_MAX
    with httpx.Client(timeout=5) as http:
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if http.get(url).status_code == 200:
                    return
            time.sleep(0.05)
    raise RuntimeError(f"{url} did not answer in time\n{log.read_text('utf-8')[-2000:]}")


def run_k6(
    plant_url: str,
    prometheus_url: str,
    settings: Mapping[str, str],
    *,
    summary: Path | None = None,
    quiet: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run the script; what it measures goes to Prometheus every second.

    `settings` are DURATION, RATE and P95_MS of the script. With `quiet` what k6 prints is returned.
    """
    command = [find_tool("k6"), "run", "--out", "experimental-prometheus-rw", "--no-usage-report"]
    for name, value in {"URL": plant_url, **settings}.items():
        command += ["-e", f"{name}={value}"]
    command += [] if summary is None else ["--summary-export", str(summary)]
    environment = {
        **os.environ,
        "K6_PROMETHEUS_RW_SERVER_URL": f"{prometheus_url}/api/v1/write",
        "K6_PROMETHEUS_RW_PUSH_INTERVAL": "1s",
        "K6_PROMETHEUS_RW_TREND_STATS": "p(50),p(95),p(99)",
    }
    return subprocess.run(
        [*command, *(["--quiet"] if quiet else []), str(SCRIPT)],
        env=environment, check=False, text=True, capture_output=quiet,
    )  # fmt: skip


class Answer(NamedTuple):
    """What one query of a panel brought."""

    panel: str
    query: str
    series: int


def ask_panels(board: Board, prometheus_url: str, window: str = "30s") -> list[Answer]:
    """Ask every query of a dashboard as of now; `window` is what Grafana puts for rates."""
    found = []
    with httpx.Client(base_url=prometheus_url, timeout=30) as http:
        for panels in board.rows.values():
            for panel in panels:
                for query in panel.queries.values():
                    asked = {"query": query.replace(WINDOW, window)}
                    answer = http.get("/api/v1/query", params=asked).raise_for_status().json()
                    rows = answer["data"]["result"]
                    shown = [row for row in rows if row["value"][1] != "NaN"]
                    found.append(Answer(panel.title, asked["query"], len(shown)))
    return found


def main() -> int:
    """Run a load; return the exit code."""
    parser = argparse.ArgumentParser(prog="make load", description=__doc__)
    parser.add_argument("--url", help="a running plant (default: one of its own)")
    parser.add_argument("--duration", default="30s", help="as k6 takes it (default 30s)")
    parser.add_argument("--rate", default="2", help="walks over all routes a second (default 2)")
    parser.add_argument("--p95-ms", default="500", help="what each route must keep (default 500)")
    options = parser.parse_args()
    settings = {"DURATION": options.duration, "RATE": options.rate, "P95_MS": options.p95_ms}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tickplant-load-")))
        url = options.url or stack.enter_context(plant(folder))
        store = stack.enter_context(prometheus(folder / "prometheus", url))
        print(f"plant {url}   Prometheus {store}", flush=True)
        code = run_k6(url, store, settings).returncode
        answers = ask_panels(LOAD, store)
    for answer in answers:
        print(f"{answer.panel:<32}{answer.series:>6} series   {answer.query}")
    empty = [answer.panel for answer in answers if not answer.series]
    if code == THRESHOLDS_FAILED:
        print("a threshold was not kept", file=sys.stderr)
    if empty:
        print(f"panels without data: {', '.join(empty)}", file=sys.stderr)
    return 1 if code or empty else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MissingTool as fault:
        sys.exit(f"load: {fault}")
