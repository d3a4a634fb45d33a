import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickplant.feeds.pollers.http_json import HttpJson, HttpJsonSettings, Reply
from tickplant.feeds.pollers.provider import Answer, Price, ProviderFault
from tickplant.feeds.pollers.transport import HttpGet
from tickplant.model.errors import ConfigError

EACH = {"url": "https://api.test/price?symbol={symbol}", "price": "data.last", "time": "data.ts"}
ALL = {
    "url": "https://api.test/prices?ids={symbols}&key={env:KEY}",
    "rows": "items", "symbol": "id", "bid_price": "b", "ask_price": "a", "bid_size": "bs",
}  # fmt: skip


class Api:
    """Answers by URL; an exception is raised."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def __call__(self, url: str, headers: Mapping[str, str], timeout_s: float) -> Reply:
        self.asked.append((url, dict(headers)))
        answer = self.answers[url]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Reply):
            return answer
        return Reply(200, {}, json.dumps(answer).encode())


def provider(api: Any, environ: Mapping[str, str] | None = None, **settings: Any) -> HttpJson:
    made = HttpJsonSettings(**{"name": "mine", "venue": "mine", **settings})
    return HttpJson(made, api, environ)


def fetch(asked: HttpJson, *symbols: str) -> Answer:
    return asyncio.run(asked.fetch(symbols))


def test_one_request_each() -> None:
    api = Api(
        {
            "https://api.test/price?symbol=bitcoin": {
                "data": {"last": "64250.5", "ts": 1700000000}
            },
            "https://api.test/price?symbol=ETH-USD": {"data": {"last": 3150, "ts": None}},
        }
    )
    answer = fetch(provider(api, names={"BTC-USD": "bitcoin"}, **EACH), "BTC-USD", "ETH-USD")
    assert list(answer.prices) == [
        Price("BTC-USD", price=64250.5, ts_event=1_700_000_000 * 10**9),
        Price("ETH-USD", price=3150.0),
    ]
    assert not answer.faults


def test_one_request_for_all_with_a_secret_that_no_error_shows() -> None:
    url = "https://api.test/prices?ids=BTC-USD,A%26B&key=s3cret"
    api = Api({url: {"items": [{"id": "btc-usd", "b": 1, "a": 2, "bs": 3}, {"id": "x"}]}})
    asked = provider(api, {"KEY": "s3cret"}, headers={"Authorization": "Bearer {env:KEY}"}, **ALL)
    answer = fetch(asked, "BTC-USD", "A&B")
    assert list(answer.prices) == [Price("BTC-USD", bid_price=1, ask_price=2, bid_size=3)]
    assert answer.faults == {"A&B": "A&B is not among the rows of the answer"}
    assert api.asked == [(url, {"Authorization": "Bearer s3cret"})]
    api.answers = {url: OSError("s3cret is in here")}
    with pytest.raises(ProviderFault) as caught:
        fetch(asked, "BTC-USD", "A&B")
    assert "s3cret" not in str(caught.value)


def test_a_symbol_may_fail_alone_and_all_of_them_together() -> None:
    good, bad = "https://api.test/price?symbol=A", "https://api.test/price?symbol=B"
    api = Api({good: {"data": {"last": 1}}, bad: Reply(404, {}, b"{}")})
    answer = fetch(provider(api, **EACH), "A", "B")
    assert [price.symbol for price in answer.prices] == ["A"]
    assert answer.faults == {"B": "mine answered 404"}
    api.answers = {bad: Reply(429, {"retry-after": "17"}, b"")}
    with pytest.raises(ProviderFault) as caught:
        fetch(provider(api, **EACH), "B")
    assert caught.value.retry_after_s == 17


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"data": {}}, "has no price"),
        ({"data": {"last": None}}, "has no price"),
        ({"data": {"last": "n/a"}}, "not a number"),
        ({"data": {"last": 1, "ts": "yesterday"}}, "not a time"),
        ([], "has no price"),
    ],
)
def test_an_answer_without_what_was_asked_for_says_so(document: Any, said: str) -> None:
    api = Api({"https://api.test/price?symbol=A": document})
    assert said in fetch(provider(api, **EACH), "A").faults["A"]


@given(st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["data", "last", "ts", "items", "id"]), inner, max_size=3),
    max_leaves=8).map(lambda told: json.dumps(told).encode()))  # fmt: skip
def test_whatever_is_answered_ends_in_prices_or_faults(body: bytes) -> None:
    one = "https://api.test/price?symbol=A"
    for settings in (EACH, {**ALL, "url": "https://api.test/price?symbol={symbols}"}):
        try:
            answer = fetch(provider(Api({one: Reply(200, {}, body)}), **settings), "A")
        except ProviderFault:
            continue
        assert {price.symbol for price in answer.prices} | set(answer.faults) == {"A"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"url": "ftp://x/{symbol}"}, "url"),
        ({"url": "https://x/"}, "url"),
        ({"url": "https://x/{symbol}/{symbols}"}, "url"),
        ({"url": "https://x/{symbols}"}, "rows"),
        ({"price": ""}, "price"),
        ({"price": "a..b"}, "price"),
        ({"rows": "items"}, "symbol"),
        ({"time_unit": "h"}, "time_unit"),
        ({"headers": {"X": "{env:NO_SUCH}"}}, "headers.X"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_their_key(
    change: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError, match=rf"providers\.mine\.{named}"):
        provider(Api({}), **{**EACH, **change})


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"data": {"last": 42.5, "path": self.path}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


async def test_over_a_real_socket(server: str) -> None:
    get = HttpGet()
    asked = provider(get, url=server + "/p/{symbol}", price="data.last")
    answer = await asked.fetch(["BTC-USD"])
    assert list(answer.prices) == [Price("BTC-USD", price=42.5)]
    nobody = provider(get, url="http://127.0.0.1:1/{symbol}", price="x")
    with pytest.raises(ProviderFault, match="did not answer"):
        await nobody.fetch(["BTC-USD"])
    await get.aclose()
