"""Whatever is sent, the answer is one that the OpenAPI document has: never 500, errors as problems.

The requests are drawn from the document itself: of each parameter values that its schema allows,
values next to them, and nonsense.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from contract_kit import NOW, Json, Site, problem, site
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tickplant.gateway.app import DOORS
from tickplant.gateway.openapi import openapi_document

TIMES = [
    "2024-05-07T00:00:00Z", "2024-05-08T12:00:00.123456789+05:30", str(NOW), "0", "-1",
    "2024-05-07T00:00:00", "1678-01-01T00:00:00Z", "2262-01-01T00:00:00Z", str(2**63),
]  # fmt: skip
PLACES = ["A", "a", "BTC-USDT", "X:BTC-USDT", "EURUSD", "*", "1", "2", "-1", str(2**63), " "]
ACCEPTS = ["*/*", "text/csv", "application/vnd.apache.parquet", "text/html", "", ";q", "*/*;q=x"]
MEDIA = ["application/json", "application/x-ndjson", "text/csv", "text/html", "", "a;charset=x",
         "application/vnd.apache.arrow.stream"]  # fmt: skip
NAMES = [
    "symbol", "venue", "price", "size", "ts_event", "id", "side", "conditions", "key", "bid_price",
    "ask_price", "bid_size", "ask_size", "exchange", "flags", "other",
]  # fmt: skip
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))
DOCUMENT = openapi_document(DOORS)
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)

odd_text = st.text(st.characters(codec="utf-8"), max_size=12)
odd_places = odd_text.filter(lambda text: "/" not in text and text.strip(".") != "")
scalars = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | odd_text
    | st.sampled_from([*TIMES, "A", "EURUSD", "buy", "x" * 70, 1e308, -0.0, 5e-324, 1.5, NOW])
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_text, inner, max_size=3),
    max_leaves=6,
)
rows = st.dictionaries(
    st.sampled_from(NAMES), scalars | values, max_size=5
) | st.fixed_dictionaries({"symbol": st.sampled_from(PLACES), "price": st.floats(0.5, 2)})
bodies = (
    st.builds(lambda body: json.dumps(body).encode(), st.one_of(
        values, rows, st.lists(rows, max_size=4), st.fixed_dictionaries({"trades": st.lists(rows)})
    ))
    | st.builds(lambda lines: b"\n".join(json.dumps(one).encode() for one in lines), st.lists(rows))
    | st.builds(lambda lines: "\n".join(lines).encode(), st.lists(
        st.lists(st.one_of(st.sampled_from([*NAMES, *TIMES, "1.5"]), odd_text)).map(",".join)
    ))
    | st.binary(max_size=40)
)  # fmt: skip


def query_values(schema: Mapping[str, Any]) -> st.SearchStrategy[str]:
    """Return texts for a parameter: allowed ones, ones beside them, and any."""
    if "enum" in schema:
        near = st.sampled_from(schema["enum"])
    elif schema["type"] == "integer":
        low, high = schema.get("minimum", 0), schema.get("maximum", 10)
        near = st.integers(low - 1, high + 1).map(str)
    elif "pattern" in schema:
        near = st.from_regex(schema["pattern"], fullmatch=True)
    else:
        near = st.sampled_from([*TIMES, *PLACES, "UTC", "America/New_York", "A,EURUSD", "true"])
    return near | odd_text if schema["type"] != "boolean" else st.sampled_from(["true", "0", "x"])


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("fuzz"), server__body_mb_max=1) as made:
        times = [NOW - second * 10**9 for second in (0, 1, 100, 5000)]
        made.post("/v1/trades", [{"symbol": "A", "price": 1.5, "ts_event": ts} for ts in times])
        made.post("/v1/trades", [
            {"symbol": "BTC-USDT", "venue": venue, "price": 1} for venue in ("X", "Y")
        ])  # fmt: skip
        made.post(
            "/v1/quotes", [{"symbol": "EURUSD", "bid_price": 1, "ts_event": t} for t in times]
        )
        yield made


@st.composite
def requests(draw: st.DrawFn, method_is_get: bool) -> tuple[str, str, Json]:
    """Return path and method of an operation, and a request for it that may be allowed or not."""
    choices = [
        (path, method) for path, item in DOCUMENT["paths"].items() for method in item
        if (method == "get") is method_is_get
    ]  # fmt: skip
    path, method = draw(st.sampled_from(choices))
    operation = DOCUMENT["paths"][path][method]
    query, headers, filled = [], {}, path
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            text = quote(draw(st.sampled_from(PLACES) | odd_places), safe="")
            filled = filled.replace(f"{{{parameter['name']}}}", text)
        elif draw(st.integers(0, 3)) == 0:
            query.append((parameter["name"], draw(query_values(parameter["schema"]))))
    if draw(st.integers(0, 30)) == 0:
        query.append((draw(odd_text), draw(odd_text)))
    if draw(st.integers(0, 4)) == 0:
        headers["Accept"] = draw(st.sampled_from(ACCEPTS))
    request: Json = {"url": filled, "params": query or None, "headers": headers}
    if "requestBody" in operation:
        request["content"] = draw(bodies)
        headers["Content-Type"] = draw(st.sampled_from(MEDIA[:3]) | st.sampled_from(MEDIA))
        if draw(st.integers(0, 9)) == 0:
            headers["Content-Encoding"] = draw(st.sampled_from(["gzip", "br", "identity"]))
            if draw(st.booleans()):
                request["content"] = gzip.compress(request["content"])
    return path, method, request


def check_answer(answer: httpx.Response, path: str, method: str) -> None:
    documented = DOCUMENT["paths"][path][method]["responses"]
    assert answer.status_code != 500, answer.text
    assert str(answer.status_code) in documented, answer.text
    content = documented[str(answer.status_code)].get("content", {})
    if not content:
        assert (answer.content, "content-type" in answer.headers) == (b"", False)
        return
    media = answer.headers["content-type"].partition(";")[0]
    assert media in {name.partition(";")[0] for name in content}
    if answer.status_code >= 400 and media == "application/problem+json":
        errors = problem(answer, answer.status_code)["errors"]
        assert errors or answer.status_code > 500  # those are not the caller's
    if media.endswith("json"):
        check_schema(content[media]["schema"], answer.json(), "answer")


def check_schema(schema: Json, value: Any, where: str) -> None:
    """Check a value against the part of JSON Schema that the document uses."""
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        kinds = {"null": value is None, "other": value is not None}
        fitting = [
            s for s in schema["anyOf"] if kinds["null" if s.get("type") == "null" else "other"]
        ]
        assert fitting, f"{where}: {value!r} is none of {schema['anyOf']}"
        if len(fitting) == 1:
            check_schema(fitting[0], value, where)
        return
    types = {
        "object": dict, "array": list, "string": str, "integer": int, "boolean": bool,
        "number": (int, float), "null": type(None),
    }  # fmt: skip
    if isinstance(schema.get("type"), str):
        assert isinstance(value, types[schema["type"]]), f"{where}: {value!r} for {schema}"  # type: ignore[arg-type]
    if isinstance(value, dict) and "properties" in schema:
        missing = set(schema.get("required", ())) - set(value)
        assert not missing, f"{where}: without {missing}"
        unknown = set(value) - set(schema["properties"])
        assert not unknown or schema.get("additionalProperties"), f"{where}: {unknown} not in it"
        for name in set(value) & set(schema["properties"]):
            check_schema(schema["properties"][name], value[name], f"{where}.{name}")
    if isinstance(value, list) and "items" in schema:
        for one in value[:20]:
            check_schema(schema["items"], one, f"{where}[]")


@FUZZ
@given(drawn=requests(method_is_get=True))
def test_reading(plant: Site, drawn: tuple[str, str, Json]) -> None:
    path, method, request = drawn
    check_answer(plant.http.request(method, **request), path, method)


@FUZZ
@given(drawn=requests(method_is_get=False))
def test_writing(plant: Site, drawn: tuple[str, str, Json]) -> None:
    path, method, request = drawn
    check_answer(plant.http.request(method, **request), path, method)
    assert plant.get("/ready")["ready"] is True


def test_the_document_is_the_one_that_is_served(plant: Site) -> None:
    assert plant.get("/openapi.json") == json.loads(json.dumps(DOCUMENT))
