"""Which candles the plant keeps in memory, as the settings say."""

from __future__ import annotations

from dataclasses import dataclass

from tickplant.candles.activity import activity_of
from tickplant.candles.basis import BASES
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.config import CandleSettings
from tickplant.model.errors import ConfigError, UserError

NONE = "none"

Kind = tuple[Grid, str]
"""A grid and a basis."""


@dataclass(frozen=True, slots=True)
class Served:
    """What is served: kinds of bars, how many of each instrument, and in how much memory.

    A kind is kept until nobody has asked for it for `kept_s` seconds; 0 keeps all always.
    """

    kinds: tuple[Kind, ...] = ()
    bars_max: int = 1_000
    bytes_max: int = 64 << 20
    kept_s: float = 0.0


def read_served(settings: CandleSettings) -> Served:
    """Return what is to be served. Raises `ConfigError`, which names the setting."""
    origin = (settings.timezone, settings.day_start, settings.calendar, settings.session)
    try:
        grids = [
            Grid.of(parse_interval(text, "served"), *(value or None for value in origin))
            for text in _listed(settings.served)
            if settings.served != NONE
        ]
    except UserError as fault:
        raise ConfigError(f"candles.{fault.detail}") from fault
    for grid in grids:
        if activity_of(grid) is not None:
            raise ConfigError(
                f"candles.served: {grid.interval} is not allowed; allowed are intervals of time"
            )
    bases = _listed(settings.bases)
    for basis in bases:
        if basis not in BASES:
            raise ConfigError(
                f"candles.bases: {basis} is not allowed; allowed is {', '.join(BASES)}"
            )
    kinds = tuple((grid, basis) for basis in bases for grid in grids)
    return Served(kinds, settings.bars, settings.memory_mb << 20, settings.kept_s)


def _listed(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
