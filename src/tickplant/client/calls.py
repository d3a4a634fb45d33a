"""What the clients can ask, without any input or output.

Each call is a generator that yields a `Request`, is sent the `Answer`, and returns the result. The
two clients differ only in how they carry requests and answers.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
import pyarrow as pa

from tickplant.client.problems import error_of
from tickplant.client.rows import (
    ARROW_TYPE,
    JSON_TYPE,
    Receipt,
    encode_bodies,
    merge_receipts,
)
from tickplant.formats.result import Rows, split_about, with_about
from tickplant.model.errors import InvalidParameter

PAGE_ROWS = 10_000
BEGINNING = "1700-01-01T00:00:00Z"
"""Before anything; candles need a start to be read from their first."""

FILLED_MAX = 1_000_000
"""Most bars of a reading that fills gaps and has neither start nor limit, as of a folder."""

_OF_ONE = ("/v1/trades/", "/v1/quotes/", "/v1/stats/", "/v1/candles/", "/v1/indicators/")
_SAME = ("symbol", "venue", "interval", "basis")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; `params` hold no None."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Its answer; the names of `headers` are lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


Call = Generator[Request, Answer, T]


def read_rows(path: str, limit: int | None, **params: Any) -> Call[Rows]:
    """Read at most `limit` rows of a route, all of them where it is None, page by page."""
    _check_limit(limit)
    pages: list[pa.Table] = []
    left = limit
    token: str | None = None
    while True:
        size = PAGE_ROWS if left is None else min(left, PAGE_ROWS)
        answer = yield _get(path, {**params, "limit": size, "page_token": token}, ARROW_TYPE)
        pages.append(_read_arrow(_checked(answer)))
        token = answer.headers.get("x-next-page-token")
        if left is not None:
            left -= pages[-1].num_rows
        if token is None or left == 0:
            whole = pa.concat_tables(pages)
            return _rows(path, whole)


def read_candles(
    symbol: str, limit: int | None, *, route: str = "candles", start: Any, end: Any, **params: Any
) -> Call[Rows]:
    """Read candles; without `start` the newest `limit`, or all where that is None too.

    `route` is another one whose rows are those of candles.
    """
    path = f"/v1/{route}/{_name(symbol)}"
    if start is None and limit is None and params["fill"] != "none":
        # Not from BEGINNING on: that would fill centuries.
        rows = yield from _read_newest(path, FILLED_MAX + 1, end, params)
        if len(rows) > FILLED_MAX:
            allowed = f"a limit; at most {FILLED_MAX} bars are filled at once"
            raise InvalidParameter("limit", "none", allowed)
    elif start is None and limit is not None:
        rows = yield from _read_newest(path, limit, end, params)
    else:
        first = BEGINNING if start is None else start
        rows = yield from read_rows(path, limit, start=first, end=end, **params)
    return rows


def read_indicators(
    symbol: str, limit: int | None, *, name: str | Iterable[str], over: str, **params: Any
) -> Call[Rows]:
    """Read indicators of candles or of events, as `read_candles` does candles."""
    params |= {"name": name if isinstance(name, str) else ",".join(name), "over": over}
    if over != "events":
        return (yield from read_candles(symbol, limit, route="indicators", **params))
    path = f"/v1/indicators/{_name(symbol)}"
    if limit is None and params["start"] is None:
        params["start"] = BEGINNING
    if limit is not None and limit > PAGE_ROWS and params["start"] is None:
        raise InvalidParameter("limit", limit, f"at most {PAGE_ROWS} without a start")
    return (yield from read_rows(path, limit, **params))


def _read_newest(path: str, limit: int, end: Any, params: Mapping[str, Any]) -> Call[Rows]:
    """Read the newest bars before `end`, which come without a next page: from the last back."""
    _check_limit(limit)
    pages: list[pa.Table] = []
    while True:
        size = min(limit, PAGE_ROWS)
        rows = yield from read_rows(path, size, end=end, **params)
        pages.insert(0, with_about(rows.arrow(), rows.about))
        limit -= size
        if len(rows) < size or not limit:
            break
        end = pages[0]["start"][0].value
        if "index" in pages[0].column_names:
            earlier = yield from _read_earlier(path, pages[0], params)
            pages.insert(0, earlier.slice(max(earlier.num_rows - limit, 0)))
            limit -= pages[0].num_rows
            end = pages[1]["day"][0].value
            if not limit:
                break
    return _rows(path, pa.concat_tables(pages))


def _read_earlier(path: str, bars: pa.Table, params: Mapping[str, Any]) -> Call[pa.Table]:
    """Read those bars by activity of the first one's day that come before it.

    Others may begin at the same time, so a time alone does not tell where to go on.
    """
    day, start = bars["day"][0].value, bars["start"][0].value
    rows = yield from read_rows(path, None, start=day, end=start + 1, **params)
    found = with_about(rows.arrow(), rows.about)
    days = found["day"].cast(pa.int64()).to_pylist()
    indexes = found["index"].to_pylist()
    first = bars["index"][0].as_py()
    before = [place for place, at in enumerate(days) if at == day and indexes[place] < first]
    return found.take(pa.array(before, pa.int64()))


def _check_limit(limit: int | None) -> None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InvalidParameter("limit", limit, "a whole number from 1 on, or None for all")


def read_table(table: str, symbol: str, limit: int | None, **params: Any) -> Call[Rows]:
    """Read trades or quotes."""
    return read_rows(f"/v1/{table}/{_name(symbol)}", limit, **params)


def read_stats(
    symbol: str, limit: int | None, *, name: str | Iterable[str] | None, **params: Any
) -> Call[Rows]:
    """Read statistics of an instrument, of some names or all."""
    return read_rows(f"/v1/stats/{_name(symbol)}", limit, name=_listed(name), **params)


def read_last_stats(
    symbols: str | Iterable[str], *, name: str | Iterable[str] | None, **params: Any
) -> Call[Rows]:
    """Read the last statistic of each name of some instruments."""
    asked = {"symbols": _listed(symbols), "name": _listed(name), **params}
    answer = yield _get("/v1/stats", asked, ARROW_TYPE)
    return Rows(_read_arrow(_checked(answer)))


def _listed(names: str | Iterable[str] | None) -> str | None:
    return names if names is None or isinstance(names, str) else ",".join(names)


def read_latest(symbols: str | Iterable[str]) -> Call[Any]:
    """Read the last of one symbol (a dictionary) or of several (a list of them)."""
    if isinstance(symbols, str):
        return (yield from read_json(f"/v1/latest/{_name(symbols)}"))
    found = yield from read_json("/v1/latest", symbols=",".join(symbols))
    return found["latest"]


def read_book(symbol: str, **params: Any) -> Call[dict[str, Any]]:
    """Read an order book and what is measured of it."""
    found: dict[str, Any] = yield from read_json(f"/v1/books/{_name(symbol)}", **params)
    return found


def read_json(path: str, **params: Any) -> Call[Any]:
    """Read a route that answers JSON only."""
    answer = yield _get(path, params, JSON_TYPE)
    return msgspec.json.decode(_checked(answer))


def post_rows(table: str, rows: Any, strict: bool | None) -> Call[Receipt]:
    """Send rows and return what became of them, once they are durable."""
    params = {} if strict is None else {"strict": str(strict).lower()}
    receipts: list[Receipt] = []
    sizes: list[int] = []
    for content, media, size in encode_bodies(rows):
        answer = yield Request("POST", f"/v1/{table}", params, {"content-type": media}, content)
        receipts.append(msgspec.json.decode(_checked(answer), type=Receipt))
        sizes.append(size)
    return merge_receipts(receipts, sizes)


def declare_complete(symbols: str | Iterable[str], start: Any, end: Any) -> Call[dict[str, Any]]:
    """Say that everything of some instruments in a span has been sent."""
    names = [symbols] if isinstance(symbols, str) else list(symbols)
    said = {"symbols": names, "start": _text(start), "end": _text(end)}
    content = msgspec.json.encode(said)
    answer = yield Request("POST", "/v1/coverage", {}, {"content-type": JSON_TYPE}, content)
    found: dict[str, Any] = msgspec.json.decode(_checked(answer))
    return found


def read_feed(name: str) -> Call[dict[str, Any]]:
    """Return one feed with each of its streams."""
    answer = yield Request("GET", f"/v1/feeds/{quote(name, safe='')}")
    found: dict[str, Any] = msgspec.json.decode(_checked(answer))
    return found


def subscribe_feed(
    name: str, symbols: str | Iterable[str], channels: Iterable[str] | None
) -> Call[dict[str, Any]]:
    """Subscribe a feed to more symbols."""
    said: dict[str, Any] = {"symbols": _names(symbols)}
    if channels is not None:
        said["channels"] = _names(channels)
    path, body = f"/v1/feeds/{quote(name, safe='')}/symbols", msgspec.json.encode(said)
    answer = yield Request("POST", path, {}, {"content-type": JSON_TYPE}, body)
    found: dict[str, Any] = msgspec.json.decode(_checked(answer))
    return found


def unsubscribe_feed(
    name: str, symbols: str | Iterable[str], channels: Iterable[str] | None
) -> Call[dict[str, Any]]:
    """Unsubscribe a feed from symbols."""
    params = {"symbols": ",".join(_names(symbols))}
    if channels is not None:
        params["channels"] = ",".join(_names(channels))
    answer = yield Request("DELETE", f"/v1/feeds/{quote(name, safe='')}/symbols", params)
    found: dict[str, Any] = msgspec.json.decode(_checked(answer))
    return found


def _names(given: str | Iterable[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def correct_trade(symbol: str, seq: int, changes: Mapping[str, Any]) -> Call[dict[str, Any]]:
    """Correct a trade and return it as it now stands."""
    body = msgspec.json.encode(dict(changes))
    answer = yield Request("PUT", _trade(symbol, seq), {}, {"content-type": JSON_TYPE}, body)
    found: dict[str, Any] = msgspec.json.decode(_checked(answer))
    return found


def cancel_trade(symbol: str, seq: int) -> Call[dict[str, Any]]:
    """Cancel a trade."""
    answer = yield Request("DELETE", _trade(symbol, seq))
    found: dict[str, Any] = msgspec.json.decode(_checked(answer))
    return found


def _rows(path: str, table: pa.Table) -> Rows:
    """Return rows with what is the same for all of them, where they are of one instrument."""
    table, about = split_about(table)
    if about or not table.num_rows or not path.startswith(_OF_ONE):
        return Rows(table, about)
    names = [name for name in _SAME if name in table.column_names]
    return Rows(table, {name: table[name][0].as_py() for name in names})


def _get(path: str, params: Mapping[str, Any], accept: str) -> Request:
    given = {name: _text(value) for name, value in params.items() if value is not None}
    return Request("GET", path, given, {"accept": accept})


def _text(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _name(symbol: str) -> str:
    if not symbol.strip():
        raise InvalidParameter("symbol", symbol, "SYMBOL or VENUE:SYMBOL")
    return quote(symbol, safe=":")


def _trade(symbol: str, seq: int) -> str:
    return f"/v1/trades/{_name(symbol)}/{int(seq)}"


def _checked(answer: Answer) -> bytes:
    if answer.status >= 400:
        raise error_of(answer.status, answer.content, answer.headers)
    return answer.content


def _read_arrow(content: bytes) -> pa.Table:
    with pa.ipc.open_stream(content) as reader:
        return reader.read_all()
