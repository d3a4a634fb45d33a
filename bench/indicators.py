"""What indicators cost: `python -m bench.indicators`.

CPU time of 500 values of each indicator with its default parameters, over bars in memory: the best
of several passes. The rest of a request is the reading of bars, which B7 measures.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from tickplant.analytics.ask import parse_indicators
from tickplant.analytics.catalogue import KINDS
from tickplant.analytics.evaluate import evaluate

VALUES = 500
PASSES = 7


def main() -> None:
    """Print one line an indicator: its window, and milliseconds for 500 values."""
    rng = np.random.default_rng(1)
    asked = [*KINDS, "ema:200", "rsi:200"]
    windows = [parse_indicators(name)[0].window or 1_440 for name in asked]
    count = VALUES + max(windows)
    close = 100 + np.cumsum(rng.standard_normal(count)) / 10
    bars = dict.fromkeys(("open", "close", "vwap"), close)
    bars |= {"high": close + 0.1, "low": close - 0.1, "volume": rng.random(count)}
    days = np.arange(count) // 1_440
    places = np.arange(count - VALUES, count)
    for name in asked:
        (indicator,) = parse_indicators(name)
        act = partial(evaluate, indicator, bars, places, days)
        best = min(_cost_ms(act) for _ in range(PASSES))
        print(f"{indicator.label:<14} window {indicator.window or 'day':>6}  {best:6.2f} ms CPU")


def _cost_ms(act: Callable[[], object]) -> float:
    began = time.process_time()
    act()
    return (time.process_time() - began) * 1e3


if __name__ == "__main__":
    main()
