"""Links of the OpenAPI document: which answer holds what another route asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BODY, _ASKED = "$response.body#", "$request.body#"
_ONE = {"symbol": f"{_ASKED}/symbol"}
_NAMED = {"symbol": f"{{{_BODY}/instruments/0/venue}}:{{{_BODY}/instruments/0/symbol}}"}
_SAME = {"symbol": "$request.path.symbol"}
_TICK = {"symbol": f"{_BODY}/symbol", "time": f"{_BODY}/time"}

Link = tuple[str, Mapping[str, str]]

LINKS: Mapping[str, Mapping[str, Link]] = {
    "post_trades": {
        "read": ("get_trades_symbol", _ONE),
        "latest": ("get_latest_symbol", _ONE),
        "candles": ("get_candles_symbol", _ONE),
        "correct": ("put_trades_symbol_seq", {**_ONE, "seq": f"{_BODY}/seq_first"}),
        "cancel": ("delete_trades_symbol_seq", {**_ONE, "seq": f"{_BODY}/seq_last"}),
    },
    "put_trades_symbol_seq": {
        "cancel": ("delete_trades_symbol_seq", {**_SAME, "seq": f"{_BODY}/seq"}),
    },
    "post_quotes": {
        "read": ("get_quotes_symbol", _ONE),
        "spread": ("get_spread_symbol", _ONE),
    },
    "post_stats": {"read": ("get_stats_symbol", _ONE)},
    "get_instruments": {
        "one": ("get_instruments_symbol", _NAMED),
        "trades": ("get_trades_symbol", _NAMED),
        "quotes": ("get_quotes_symbol", _NAMED),
        "book": ("get_books_symbol", _NAMED),
        "candles": ("get_candles_symbol", _NAMED),
        "indicators": ("get_indicators_symbol", _NAMED),
    },
    "get_trades_symbol": {
        "next": ("get_trades_symbol", {**_SAME, "page_token": f"{_BODY}/next_page_token"}),
    },
    "get_feeds": {"one": ("get_feeds_id", {"id": f"{_BODY}/feeds/0/id"})},
    "post_prices_poll": {
        "job": ("get_prices_poll_job_id", {"job_id": f"{_BODY}/job_id"}),
        "cancel": ("delete_prices_poll_job_id", {"job_id": f"{_BODY}/job_id"}),
        "feed": ("get_feeds_id", {"id": f"{_BODY}/feed"}),
    },
    "post_ticks": {
        "read": ("get_ticks", {"symbol": f"{_BODY}/symbol"}),
        "correct": ("put_ticks", _TICK),
        "delete": ("delete_ticks_symbol_time", _TICK),
    },
}
"""Links by the operation that answers and by their names: the operation, and what it is given."""


def links_of(operation: str) -> dict[str, Any]:
    """Return the links of an operation's answer, as OpenAPI has them."""
    return {
        name: {"operationId": target, "parameters": dict(parameters)}
        for name, (target, parameters) in LINKS.get(operation, {}).items()
    }
