"""The OpenAPI document: an example of everything, which its schema allows and a plant answers."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
import pytest
from contract_kit import NOW, WAIT_S, Json, Site, site

from tickplant.gateway.app import DOORS
from tickplant.gateway.openapi import openapi_document

BINARY = {"application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"}
DOCUMENT = openapi_document(DOORS)
OPERATIONS = {
    operation["operationId"]: (method, path, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}


def fits(schema: Json, value: Any) -> bool:
    whole = {**schema, "components": DOCUMENT["components"]}
    return bool(jsonschema_rs.validator_for(whole).is_valid(value))


def examples(media: Json) -> list[Any]:
    several = [one["value"] for one in media.get("examples", {}).values()]
    return [media["example"]] if "example" in media else several


def contents() -> Iterator[tuple[str, str, Json]]:
    """Yield whose body or answer it is, its media type, and what is said of it."""
    for name, (_, _, operation) in OPERATIONS.items():
        for media, said in operation.get("requestBody", {}).get("content", {}).items():
            yield f"{name} body", media, said
        for status, answer in operation["responses"].items():
            for media, said in answer.get("content", {}).items():
                yield f"{name} {status}", media, said


def test_every_body_and_every_answer_has_an_example_that_fits() -> None:
    validators: dict[str, Any] = {}
    for where, media, said in contents():
        if media in BINARY:
            assert said["schema"]["format"] == "binary", where
            continue
        found = examples(said)
        assert found, (where, media)
        key = repr(said["schema"])
        if key not in validators:
            whole = {**said["schema"], "components": DOCUMENT["components"]}
            validators[key] = jsonschema_rs.validator_for(whole)
        for example in found:
            assert validators[key].is_valid(example), (where, media, example)


def test_every_parameter_and_every_header_has_an_example_that_fits() -> None:
    for name, (_, path, operation) in OPERATIONS.items():
        inside = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
        assert all(f"{{{one}}}" in path for one in inside)
        for parameter in operation["parameters"]:
            schema = parameter["schema"]
            shown = parameter.get("example", schema.get("default", schema.get("enum", [None])[0]))
            assert shown is not None, (name, parameter["name"])
            assert fits(schema, shown), (name, parameter["name"], shown)
            assert parameter["description"].endswith("."), (name, parameter["name"])
    for name, header in DOCUMENT["components"]["headers"].items():
        assert fits(header["schema"], header["example"]), name
        assert header["description"], name


def test_every_link_leads_to_what_it_names() -> None:
    count = 0
    for name, (_, _, operation) in OPERATIONS.items():
        for answer in operation["responses"].values():
            for link in answer.get("links", {}).values():
                _, _, target = OPERATIONS[link["operationId"]]
                known = {one["name"] for one in target["parameters"]}
                assert set(link["parameters"]) <= known, name
                count += 1
    assert count > 20


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("openapi")) as made:
        for back in (0, 1):
            at = {"ts_event": NOW - back * 60 * 10**9}
            made.post("/v1/trades", {"symbol": "EURUSD", "price": 1.3928, "size": 100, **at})
            made.post("/v1/quotes", {"symbol": "EURUSD", "bid_price": 1, "ask_price": 2, **at})
            stat = {"symbol": "BTC-USDT", "name": "open_interest", "value": 5}
            made.post("/v1/stats", {**stat, **at})
        yield made


def test_the_columns_of_the_examples_are_those_that_are_answered(plant: Site) -> None:
    asked = {
        "/v1/indicators/{symbol}": {"name": "sma:2"}, "/v1/stats": {"symbols": "BTC-USDT"},
        "/v1/latest": {"symbols": "EURUSD"}, "/candles": {"symbol": "EURUSD"},
    }  # fmt: skip
    count = 0
    for _, path, operation in OPERATIONS.values():
        example = operation["responses"].get("200", {}).get("content", {}).get("text/csv")
        if example is None:
            continue
        symbol = "BTC-USDT" if "stats" in path else "EURUSD"
        answer = plant.http.get(
            path.replace("{symbol}", symbol),
            params=asked.get(path),
            headers={"Accept": "text/csv"},
        )
        assert answer.status_code == 200, answer.text
        (head, *rows), (shown, *lines) = answer.text.splitlines(), example["example"].splitlines()
        assert shown == head, path
        assert all(line.count(",") >= head.count(",") for line in [*rows, *lines])
        count += 1
    assert count == 12


def test_bodies_of_the_examples_are_taken(plant: Site) -> None:
    for table in ("trades", "quotes", "stats"):
        _, path, operation = OPERATIONS[f"post_{table}"]
        for media, said in operation["requestBody"]["content"].items():
            for example in examples(said):
                text = {"json": example} if media == "application/json" else {"content": example}
                answer = plant.http.post(path, headers={"Content-Type": media}, **text)
                assert answer.status_code == 201, answer.text
                assert answer.json()["rejected"] == []


def test_what_is_no_http_is_refused_as_a_problem(plant: Site) -> None:
    address = urlsplit(plant.url)
    for line in (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n", b"no http at all\r\n"):
        with socket.create_connection((address.hostname, address.port), WAIT_S) as raw:
            raw.sendall(line + b"host: a\r\n\r\n")
            head, _, body = b"".join(iter(lambda: raw.recv(4096), b"")).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert b"content-type: application/problem+json" in head.lower()
        assert "64 KiB" in json.loads(body)["detail"]


def test_a_plain_path_goes_before_a_template(plant: Site) -> None:
    assert plant.http.options("/ticks/bulk").headers["allow"] == "OPTIONS, POST"
    refused = plant.http.delete("/ticks/bulk", params={"start": 0, "end": NOW})
    assert (refused.status_code, refused.headers["allow"]) == (405, "OPTIONS, POST")
    assert plant.http.get("/ws/ticks").status_code == 426
