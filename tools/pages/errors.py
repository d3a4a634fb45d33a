"""The page of errors: the tree, what each is over HTTP, and why rows are refused."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from pages.text import code, flow, head, table
from tickplant.cli import run as cli_run
from tickplant.client import problems as client_problems
from tickplant.formats.values import FIELDS
from tickplant.gateway.rest import problems as http_problems
from tickplant.log import folder as log_folder
from tickplant.model import errors
from tickplant.model.errors import FatalError, PassingError, TickplantError, UserError
from tickplant.sql import guard as sql_guard

_INTRO = """
Every error that the program raises on purpose is in one tree. A message names the parameter, the
value that was seen and what is allowed. Bad market data is not an error but a refused row with a
reason; the [reasons](#reasons) are at the end of this page.
"""
_PROBLEM = """
Over HTTP an error is a problem document after RFC 9457, `application/problem+json`, with the fields
of [Problem](http.md#problem). `type` is `urn:tickplant:problem:` and the title in lower case with
dashes. A passing error carries `Retry-After` in seconds. A fault of ours is 500, with the request
id under which it was logged. Routes that do not exist are 404, methods that a route does not take
405 with `Allow`.

```json
{"type":"urn:tickplant:problem:invalid-parameter","title":"Invalid parameter","status":400,
 "detail":"limit: 0 is not allowed; allowed is a whole number from 1 to 10000",
 "instance":"/v1/trades/EURUSD",
 "errors":[{"loc":["query","limit"],"msg":"allowed is a whole number from 1 to 10000","value":"0"}]}
```

On the command line a user error exits with 2 and any other with 1. In Python the clients raise the
same class that the plant raised.
"""
_REASONS_INTRO = """
A row that is refused is counted under its reason, in the metric `tickplant_events_rejected_total`,
and kept in the [quarantine](../how-to/quarantine.md). Of several faults of a row the first is told.
"""
REASONS: dict[str, str] = {
    "row_unreadable": "The row is not a row of the format: no JSON object, too few or too many "
    "cells of CSV.",
    "symbol_missing": "There is no symbol.",
    "symbol_invalid": "The symbol has characters that are not allowed, or is no text.",
    "symbol_unknown": "The symbol is not registered: `checks.unknown_symbols` is `refuse`, or "
    "`checks.instruments_max` is reached.",
    "ts_too_old": "The time is before `checks.ts_event_min`; often seconds or milliseconds that "
    "were sent as nanoseconds.",
    "ts_in_future": "The time is more than `checks.future_s_max` ahead of the plant's clock.",
    "ts_event_missing": "A row of an imported file has no time.",
    "price_missing": "A trade has no price.",
    "name_missing": "A statistic has no name.",
    "value_missing": "A statistic has no value.",
    "value_not_finite": "The value of a statistic is not a finite number.",
    "value_negative": "A statistic that cannot be below 0 (open interest, volume) is.",
    "value_too_large": "Open interest is above `checks.open_interest_max`, or a volume above "
    "`checks.size_max`.",
    "quote_empty": "A quote has neither a bid nor an ask price, or both are 0.",
}
"""What the reasons mean that are not made from the name of a field."""

_PRICES = ("price", "bid_price", "ask_price")
_SIZES = ("size", "bid_size", "ask_size")
_TEXTS = ("id", "key", "conditions", "exchange")


def page() -> str:
    """Return the page."""
    tree = inspect.cleandoc(errors.__doc__ or "").split("\n\n")[1]
    drawn = inspect.cleandoc("\n" + tree)
    rows = [_row(one) for one in listed()]
    columns = ("error", "HTTP status", "title", "meaning")
    return "\n".join(
        [
            head("Errors and reasons", "src/tickplant/model/errors.py and others", _INTRO),
            f"## The tree\n\n```text\n{drawn}\n```\n",
            f"## Each of them\n\n{table(columns, rows)}",
            f"## As an answer\n\n{_PROBLEM.strip()}\n",
            f"## Reasons\n\n{_REASONS_INTRO.strip()}\n",
            table(("reason", "meaning"), [(code(name), text) for name, text in reasons()]),
        ]
    )


def listed() -> Iterator[type[TickplantError]]:
    """Yield every class of the tree, wherever it is declared."""
    modules = (errors, http_problems, sql_guard, log_folder, client_problems, cli_run)
    for module in modules:
        for one in vars(module).values():
            ours = inspect.isclass(one) and issubclass(one, TickplantError)
            if ours and one.__module__ == module.__name__:
                yield one


def _row(one: type[TickplantError]) -> tuple[str, str, str, str]:
    answers = issubclass(one, UserError | PassingError)
    status = str(one.status) if answers else "503" if issubclass(one, FatalError) else ""  # type: ignore[attr-defined]
    title = str(one.title) if answers else ""  # type: ignore[attr-defined]
    return code(one.__name__), status, title, flow(one.__doc__ or "")


def reasons() -> Iterator[tuple[str, str]]:
    """Yield every reason code with its meaning."""
    yield from REASONS.items()
    for name in dict.fromkeys([*FIELDS["trades"], *FIELDS["quotes"], *FIELDS["stats"]]):
        if f"{name}_invalid" not in REASONS:
            yield f"{name}_invalid", f"`{name}` holds a value of another kind than it should."
    for name in _PRICES:
        yield f"{name}_not_positive", f"`{name}` is 0 or below."
        yield f"{name}_too_small", f"`{name}` is not above `checks.price_min`, which is not 0."
        yield f"{name}_too_large", f"`{name}` is above `checks.price_max`."
    for name in _SIZES:
        yield f"{name}_negative", f"`{name}` is below 0."
        yield f"{name}_too_large", f"`{name}` is above `checks.size_max`."
    for name in (*_PRICES, *_SIZES):
        yield f"{name}_not_finite", f"`{name}` is NaN or infinite."
    for name in _TEXTS:
        yield f"{name}_too_long", f"`{name}` has too many bytes."
