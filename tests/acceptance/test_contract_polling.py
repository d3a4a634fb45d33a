"""Polling jobs of a served plant, against a provider on a real socket that goes down."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli_kit import serve

WAIT_S = 20


class Provider(ThreadingHTTPServer):
    """Answers one price for every symbol, or 503 while it is `down`; counts both."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.price, self.ts, self.down = 100.5, 1_700_000_000, False
        self.good = self.bad = 0
        self.change = threading.Condition()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self.change:
            assert self.change.wait_for(condition, WAIT_S), (self.good, self.bad)


class Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        provider = self.server
        body = json.dumps({"last": str(provider.price), "t": provider.ts}).encode()
        self.send_response(503 if provider.down else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        with provider.change:
            provider.bad += provider.down
            provider.good += not provider.down
            provider.change.notify_all()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def config(folder: Path, provider: Provider) -> Path:
    path = folder / "tickplant.toml"
    path.write_text(
        f'[providers.mine]\nurl = "http://127.0.0.1:{provider.server_port}/p/{{symbol}}"\n'
        'venue = "MINE"\nprice = "last"\ntime = "t"\n'
    )
    return path


def until(ask: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    """Ask again until it holds: each question is a round trip, and they have a bound."""
    for _ in range(2_000):
        answer = ask()
        if holds(answer):
            return answer
    raise AssertionError(answer)


def test_a_job_polls_notices_an_outage_and_survives_a_restart(
    tmp_path: Path, provider: Provider
) -> None:
    args = ("--data", tmp_path / "data", "--config", config(tmp_path, provider), "--feed", "none")
    with serve("serve", *args) as plant, httpx.Client(base_url=plant.url) as http:
        asked = {"symbols": ["btc-usd"], "interval": 1, "provider": "mine"}
        made = http.post("/prices/poll", json=asked)
        assert made.status_code == 202
        job = made.json()
        assert job["config"] == {"symbols": ["BTC-USD"], "interval": 1.0, "provider": "mine"}
        where = f"/prices/poll/{job['job_id']}"
        provider.wait(lambda: provider.good >= 2)
        rows = until(lambda: http.get("/v1/trades/BTC-USD").json(), lambda page: "trades" in page)
        assert [(row["price"], row["ts_event"]) for row in rows["trades"]] == [
            (100.5, "2023-11-14T22:13:20Z")
        ]
        provider.down = True
        provider.wait(lambda: provider.bad >= 1)
        failing = until(lambda: http.get(where).json(), lambda job: job["status"] == "failing")
        assert failing["error"] == "mine answered 503"
        gaps = until(lambda: http.get("/v1/gaps").json()["gaps"], bool)
        assert [(gap["feed"], gap["cause"], gap["end"]) for gap in gaps] == [
            (job["feed"], "disconnect", None)
        ]
        provider.price, provider.ts, provider.down = 101.5, 1_700_000_060, False
        until(lambda: http.get("/v1/trades/BTC-USD").json()["trades"], lambda rows: len(rows) == 2)
        until(lambda: http.get("/v1/gaps").json()["gaps"], lambda gaps: gaps[0]["end"] is not None)
        assert plant.stop() == 0
    with serve("serve", *args) as plant, httpx.Client(base_url=plant.url) as http:
        (kept,) = http.get("/prices/poll").json()["jobs"]
        assert (kept["job_id"], kept["created"]) == (job["job_id"], job["created"])
        before = provider.good
        provider.wait(lambda: provider.good > before)
        assert http.delete(where).json()["status"] == "cancelled"
        assert http.get("/prices/poll").json() == {"jobs": []}
        assert http.get(where).status_code == http.delete(where).status_code == 404
        for change, named in (
            ({"provider": "nobody"}, "provider"), ({"interval": 0.5}, "interval"),
            ({"symbols": []}, "symbols"), ({"extra": 1}, "body"),
        ):  # fmt: skip
            refused = http.post("/prices/poll", json={**asked, **change})
            assert refused.status_code in (400, 422), refused.text
            assert named in refused.json()["detail"]
        assert plant.stop() == 0
