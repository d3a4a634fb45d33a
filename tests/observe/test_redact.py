"""No secret reaches a line, however it is written: by name, by look, by value."""

from __future__ import annotations

import base64
import io
import json
import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.observe.logs import LineHandler, make_formatter
from tickplant.observe.redact import MASK, REDACTOR, Redactor

WORDS = st.sampled_from("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz23456789-_.~")
TOKENS = st.text(WORDS, min_size=12, max_size=40).map(lambda text: "Zq7" + text)
NAMES = st.sampled_from(
    ["password", "api_key", "apiKey", "API-KEY", "X-API-Key", "access_token", "secret",
     "client_secret", "private_key", "Authorization", "authorization", "Cookie", "Set-Cookie",
     "signature", "listenKey", "KITE_ACCESS_TOKEN", "passphrase", "jwt_token", "credentials"]
)  # fmt: skip

WAYS: dict[str, Callable[[str, str], str]] = {
    "pair": lambda name, value: f"{name}={value}",
    "header": lambda name, value: f"{name}: {value}",
    "bearer": lambda name, value: f"Authorization: Bearer {value}",
    "basic": lambda name, value: (
        f"authorization: Basic {base64.b64encode(value.encode()).decode()}"
    ),
    "json": lambda name, value: json.dumps({"a": 1, name: value, "b": [2]}),
    "json in json": lambda name, value: json.dumps(json.dumps({name: value, "z": "w"})),
    "repr": lambda name, value: repr({name: value}),
    "ASGI headers": lambda name, value: repr([(name.lower().encode(), value.encode())]),
    "tuple": lambda name, value: repr((name, value)),
    "query": lambda name, value: f"GET /v1/latest?symbols=A&{urlencode({name: value})}&limit=5",
    "signed": lambda name, value: f"https://host/path?x=1&sig={value}#end",
    "user info": lambda name, value: f"wss://user:{value}@feed.example:9443/ws",
    "upper": lambda name, value: f"{name.upper()} = '{value}'",
}


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=8, deadline=None)
@given(name=NAMES, value=TOKENS)
def test_what_has_the_name_or_the_look_of_a_secret_is_masked(
    way: str, name: str, value: str
) -> None:
    text = WAYS[way](name, value)
    masked = Redactor().text(f"before {text} after")
    shown = base64.b64encode(value.encode()).decode() if way == "basic" else value
    assert shown in text or quote(value) in text
    assert value not in masked
    assert shown not in masked
    assert MASK in masked
    assert masked.startswith("before ")


@settings(max_examples=20, deadline=None)
@given(secret=st.text(min_size=6, max_size=30).filter(lambda text: len(set(text)) > 3))
def test_a_value_that_was_given_is_masked_however_it_is_spelled(secret: str) -> None:
    redactor = Redactor()
    try:
        redactor.keep(secret)
    except UnicodeEncodeError:  # half of a pair, which no environment variable can hold
        return
    spelled = [secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]]
    for text in spelled:
        masked = redactor.text(f"<{text}>")
        assert masked == f"<{MASK}>", (secret, text, masked)


@settings(max_examples=20, deadline=None)
@given(
    value=TOKENS,
    name=NAMES,
    tree=st.recursive(
        st.integers() | st.booleans() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner),
    ),
    place=st.integers(0, 3),
)
def test_a_secret_deep_in_a_value_is_masked(value: str, name: str, tree: Any, place: int) -> None:
    hidden = [
        {"x": [tree, {name: value}]},
        [tree, [(name.encode(), value.encode()), (b"host", b"h")]],
        {"request": {"headers": {name: [value, value]}}},
        {f"{name}={value}": tree},
    ][place]
    line = json.dumps(Redactor().value(hidden))
    assert value not in line
    assert MASK in line


class Writer:
    """A log of its own, so that nothing else is heard."""

    def __init__(self, *, human: bool) -> None:
        self.stream = io.StringIO()
        self.log = logging.Logger("test", logging.DEBUG)
        self.log.addHandler(LineHandler(make_formatter(human=human), self.stream))

    @property
    def text(self) -> str:
        return self.stream.getvalue()


def said(log: logging.Logger, way: int, name: str, value: str) -> None:
    if way == 0:
        log.warning("asked with %s=%s", name, value)
    elif way == 1:
        log.warning("asked", extra={"headers": {name: value}})
    elif way == 2:
        try:
            raise ValueError(f"{name}={value}")
        except ValueError:
            log.exception("failed")
    elif way == 3:
        log.warning("%s", {name: value})
    else:
        log.warning("asked %s", f"https://u:{value}@host/?{name}={value}")


@pytest.mark.parametrize("human", [False, True])
@settings(max_examples=12, deadline=None)
@given(way=st.integers(0, 4), name=NAMES, value=TOKENS)
def test_no_line_holds_a_secret(human: bool, way: int, name: str, value: str) -> None:
    writer = Writer(human=human)
    said(writer.log, way, name, value)
    assert value not in writer.text
    assert MASK in writer.text


def test_a_given_secret_is_masked_in_tracebacks_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(REDACTOR, "_known", {})
    monkeypatch.setattr(REDACTOR, "_values", None)
    REDACTOR.keep("correct horse battery")
    writer = Writer(human=False)
    try:
        raise OSError("cannot open correct%20horse%20battery")
    except OSError:
        writer.log.exception("failed")
    assert "horse" not in writer.text


def test_lines_of_a_private_key_are_masked_as_one() -> None:
    pem = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\nabc==\n-----END EC PRIVATE KEY-----"
    assert Redactor().text(f"key {pem} end") == f"key {MASK} end"


def test_of_a_key_of_ours_the_id_stays() -> None:
    key = f"tp_abcdef1234_{'s' * 43}"
    assert Redactor().text(f"key {key}!") == f"key tp_abcdef1234_{MASK}!"


@pytest.mark.parametrize(
    "text",
    [
        "1,000 tokens in 5 s",
        "symbol: BTC-USDT is not known; at 12:00:05 key 17 a=b",
        "wss://stream.example:9443/ws?streams=btcusdt@trade",
        "gap 17 of binance is repaired: 12 events",
        "author: somebody, key=price",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert Redactor().text(text) == text


@pytest.mark.parametrize(
    "piece", ["a", "token=", "://", "Bearer ", '\\"', "eyJ", "cookie ", "?key=", "-----BEGIN "]
)  # fmt: skip
def test_masking_takes_time_in_proportion_to_the_text(piece: str) -> None:
    redactor = Redactor()

    def cost_s(length: int) -> float:
        text = piece * (length // len(piece))
        best = float("inf")
        for _ in range(2):
            began = time.process_time()
            redactor.text(text)
            best = min(best, time.process_time() - began)
        return best

    # Ten times the text may take ten times as long, and as much again by chance; not a hundred.
    assert cost_s(10_000) < 30 * cost_s(1_000) + 0.02
