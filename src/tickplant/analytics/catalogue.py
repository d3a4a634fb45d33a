"""The indicators: what each is called, takes, gives, and how many bars a value is computed from.

A value depends on a fixed number of bars, its window: those that end with its own bar. Averages
that in theory remember everything are computed over so many bars that what came before weighs less
than 1e-12 (`formulas.settle`). So a value is the same, to the last digit, whatever range was asked
for and whether it is live or historic. Where there are fewer bars than the window, the value is
computed from those that there are, and is null while these are fewer than `needed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tickplant.analytics import formulas
from tickplant.analytics.formulas import Formula, ema_weight, settle, wilder_weight
from tickplant.analytics.sources import SOURCES
from tickplant.model.errors import InvalidParameter

PERIOD_MIN, PERIOD_MAX = 2, 1_000
DEVIATIONS_MAX = 100.0
PARAMETERS = ("period", "fast", "slow", "signal", "deviations", "source")
"""All parameters that an indicator may have, in the order in which they stand in a label."""

Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """An indicator without its parameters.

    `defaults` are its parameters; None is one that may be left away. `span(parameters)` returns
    (needed, window) in bars; a window of None is the trading day. `inputs` are the sources of the
    formula where they are not the one that `source` names.
    """

    name: str
    title: str
    defaults: Parameters
    columns: tuple[str, ...]
    span: Callable[[Parameters], tuple[int, int | None]]
    formula: Formula | None
    inputs: tuple[str, ...] = ()

    @property
    def on_events(self) -> bool:
        """Whether it can be computed over single prices: it takes one series of them."""
        return "source" in self.defaults


@dataclass(frozen=True, slots=True)
class Indicator:
    """An indicator with its parameters. Hashable; equal ones have equal values.

    `given` are its parameters in order; `inputs` the sources it is computed of, `shown` the one
    that stands beside its values.
    """

    kind: Kind
    given: tuple[tuple[str, Any], ...]

    def __hash__(self) -> int:
        return hash((self.kind.name, self.given))

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters by name, without those that were left away."""
        return {name: value for name, value in self.given if value is not None}

    @property
    def label(self) -> str:
        """The indicator as it is asked for, `sma:20`; a source only where it is not the default."""
        given = self.parameters
        if given.get("source") == self.kind.defaults.get("source"):
            given.pop("source", None)
        shown = (f"{v:g}" if isinstance(v, float) else str(v) for v in given.values())
        return ":".join((self.kind.name, *shown))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The sources of its formula, in order."""
        return self.kind.inputs or (self.parameters["source"],)

    @property
    def shown(self) -> str:
        """The source whose values are shown beside its own."""
        return "volume" if self.kind.name == "vwap" else self.inputs[-1]

    @property
    def needed(self) -> int:
        """From how many bars on there is a value."""
        return self.kind.span(dict(self.given))[0]

    @property
    def window(self) -> int | None:
        """How many bars a value is computed from at most; None for those of the trading day."""
        return self.kind.span(dict(self.given))[1]

    @property
    def sized(self) -> bool:
        """Whether it needs volumes, which bars of quotes do not have."""
        return "volume" in self.inputs


def make_indicator(kind: Kind, given: Mapping[str, Any]) -> Indicator:
    """Return an indicator with these parameters and defaults for the others.

    Values may be text. Raises `InvalidParameter` for one that is not had, or not allowed.
    """
    for name in given:
        if name not in kind.defaults:
            raise InvalidParameter(
                name, given[name], f"only {', '.join(kind.defaults)} with {kind.name}"
            )
    chosen = {
        name: default if given.get(name) is None else _read(name, given[name])
        for name, default in kind.defaults.items()
    }
    if kind.name == "macd" and not chosen["fast"] < chosen["slow"]:
        raise InvalidParameter("fast", chosen["fast"], f"less than slow, which is {chosen['slow']}")
    return Indicator(kind, tuple(chosen.items()))


def _read(name: str, value: object) -> Any:
    text = str(value).strip().lower()
    if name == "source":
        if text not in SOURCES:
            raise InvalidParameter(name, value, ", ".join(SOURCES))
        return text
    if name == "deviations":
        return _number(name, value, text)
    whole = text.isascii() and text.isdigit() and len(text) < 6
    if isinstance(value, bool) or not whole or not PERIOD_MIN <= int(text) <= PERIOD_MAX:
        raise InvalidParameter(name, value, f"a whole number from {PERIOD_MIN} to {PERIOD_MAX}")
    return int(text)


def _number(name: str, value: object, text: str) -> float:
    try:
        number = float(text) if text.isascii() and "_" not in text else 0.0
    except ValueError:
        number = 0.0
    if not 0 < number <= DEVIATIONS_MAX:
        raise InvalidParameter(name, value, f"a number above 0, at most {DEVIATIONS_MAX:g}")
    return number


def _plain(given: Parameters) -> tuple[int, int]:
    return given["period"], given["period"]


def _ema_span(given: Parameters) -> tuple[int, int]:
    period = given["period"]
    return period, period + settle(ema_weight(period))


def _wilder_span(given: Parameters) -> tuple[int, int]:
    # One more than the period, because the first bar has no change and no true range.
    period = given["period"]
    return period + 1, period + 1 + settle(wilder_weight(period))


def _macd_span(given: Parameters) -> tuple[int, int]:
    needed = given["slow"] + given["signal"] - 1
    settling = settle(ema_weight(given["slow"])) + settle(ema_weight(given["signal"]))
    return needed, needed + settling


def _vwap_span(given: Parameters) -> tuple[int, int | None]:
    return given["period"] or 1, given["period"]


_SMOOTH = MappingProxyType({"period": 20, "source": "close"})

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("sma", "Simple moving average", _SMOOTH, ("sma",), _plain, formulas.sma),
        Kind("ema", "Exponential moving average", _SMOOTH, ("ema",), _ema_span, formulas.ema),
        Kind("wma", "Weighted moving average", _SMOOTH, ("wma",), _plain, formulas.wma),
        Kind(
            "vwap",
            "Volume-weighted average price",
            {"period": None},
            ("vwap",),
            _vwap_span,
            None,
            ("volume", "vwap"),
        ),
        Kind(
            "rsi",
            "Relative strength index",
            {"period": 14, "source": "close"},
            ("rsi",),
            _wilder_span,
            formulas.rsi,
        ),
        Kind(
            "macd",
            "Moving average convergence and divergence",
            {"fast": 12, "slow": 26, "signal": 9, "source": "close"},
            ("macd", "signal", "histogram"),
            _macd_span,
            formulas.macd,
        ),
        Kind(
            "bbands",
            "Bollinger bands",
            {"period": 20, "deviations": 2.0, "source": "close"},
            ("lower", "middle", "upper"),
            _plain,
            formulas.bbands,
        ),
        Kind(
            "atr",
            "Average true range",
            {"period": 14},
            ("atr",),
            _wilder_span,
            formulas.atr,
            ("high", "low", "close"),
        ),
    )
}
"""The indicators by name."""
