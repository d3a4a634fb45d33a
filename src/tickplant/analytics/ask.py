"""What a caller writes becomes indicators: `sma`, `sma:20,ema:50:hlc3,macd`, and parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from tickplant.analytics.catalogue import KINDS, PARAMETERS, Indicator, Kind, make_indicator
from tickplant.analytics.library import require
from tickplant.analytics.sources import SOURCES
from tickplant.model.errors import InvalidParameter

INDICATORS_MAX = 16


def parse_indicators(
    name: str | Iterable[str] | None, parameters: Mapping[str, Any] | None = None
) -> tuple[Indicator, ...]:
    """Return the indicators that `name` lists, each once, in its order.

    An element is a name and, behind colons, values for the indicator's parameters in their order;
    a word among them is the source. `parameters` (None is absent) go to every indicator that has
    them and does not name its own. Raises `InvalidParameter` for what no indicator takes, and
    `NotInstalled` at once where one needs the library, however few bars there are.
    """
    listed = name.split(",") if isinstance(name, str) else list(name or ())
    parts = [text.strip().lower().split(":") for text in listed]
    if not any(part[0] for part in parts):
        raise InvalidParameter("name", name or "", ", ".join(KINDS))
    if len(parts) > INDICATORS_MAX:
        raise InvalidParameter("name", name, f"at most {INDICATORS_MAX} indicators")
    wanted = {key: value for key, value in (parameters or {}).items() if value is not None}
    inline = [_inline(part) for part in parts]
    _check_taken(wanted, inline)
    found = [make_indicator(kind, {**_shared(wanted, kind, parts), **own}) for kind, own in inline]
    for indicator, times in Counter(found).items():
        if times > 1:
            raise InvalidParameter("name", indicator.label, "each indicator once")
    if any(indicator.kind.formula is not None for indicator in found):
        require()
    return tuple(found)


def _shared(wanted: Mapping[str, Any], kind: Kind, parts: list[list[str]]) -> dict[str, Any]:
    if len(parts) == 1:
        return dict(wanted)
    return {name: value for name, value in wanted.items() if name in kind.defaults}


def _inline(part: list[str]) -> tuple[Kind, dict[str, Any]]:
    kind = KINDS.get(part[0].strip())
    if kind is None:
        raise InvalidParameter("name", part[0].strip(), ", ".join(KINDS))
    values = [text.strip() for text in part[1:]]
    own: dict[str, Any] = {}
    if values and "source" in kind.defaults and values[-1] in SOURCES:
        own["source"] = values.pop()
    numbers = [name for name in kind.defaults if name != "source"]
    if not own and "source" in kind.defaults and len(values) == len(numbers) + 1 and values[-1]:
        raise InvalidParameter("source", values[-1], ", ".join(SOURCES))
    if len(values) > len(numbers) or not all(values):
        form = ":".join((kind.name, *kind.defaults))
        raise InvalidParameter("name", ":".join(part), form)
    return kind, {**dict(zip(numbers, values, strict=False)), **own}


def _check_taken(wanted: Mapping[str, Any], inline: list[tuple[Kind, dict[str, Any]]]) -> None:
    """Refuse a parameter that would change nothing."""
    for name, value in wanted.items():
        if name not in PARAMETERS:
            raise InvalidParameter(name, value, f"only {', '.join(PARAMETERS)}")
        if not any(name in kind.defaults and name not in own for kind, own in inline):
            free = [one for kind, own in inline for one in kind.defaults if one not in own]
            names = ", ".join(kind.name for kind, _ in inline)
            allowed = f"only {', '.join(dict.fromkeys(free))}" if free else "no parameter"
            raise InvalidParameter(name, value, f"{allowed} with {names}")


def columns_of(indicators: Iterable[Indicator]) -> list[tuple[str, ...]]:
    """Return the names of each indicator's columns.

    They are those of its kind; where a kind is there more than once, each has its parameters
    behind them: `sma_20`, `sma_50`.
    """
    listed = list(indicators)
    kinds = Counter(one.kind.name for one in listed)
    named = []
    for one in listed:
        rest = one.label.replace(":", "_").removeprefix(one.kind.name)
        suffix = rest if kinds[one.kind.name] > 1 else ""
        named.append(tuple(column + suffix for column in one.kind.columns))
    return named


def sources_of(indicators: Iterable[Indicator]) -> tuple[str, ...]:
    """Return the sources that are shown beside the values, each once."""
    return tuple(dict.fromkeys(one.shown for one in indicators))
