"""Names of a batch: spellings seen before by whole columns, each new one once, not each row."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.checks.findings import Findings
from tickplant.checks.spellings import Codes, Name, Spellings
from tickplant.model.errors import shorten
from tickplant.model.instruments import (
    SYMBOL_ALLOWED,
    VENUE_ALLOWED,
    is_symbol,
    is_venue,
    split_name,
)

_CACHED_MAX = 1 << 16
_GRID_PER_ROW_MAX = 8


class _Bad(tuple[str, str]):
    """Reason and detail of a name that is not allowed."""

    __slots__ = ()


def check_names(
    findings: Findings, symbols: pa.Array, venues: pa.Array, venue: str, spellings: Spellings
) -> Codes:
    """Return each row's code in `spellings`, which learns those that it has not seen.

    A name is (symbol, venue), both upper case; `venue` is that of rows without one. The symbol
    `VENUE:SYMBOL` names its venue itself. Rows with a bad name are refused and have the code -1.
    """
    codes = spellings.look_up(symbols, venues, venue)
    unseen = np.flatnonzero(codes < 0)
    if len(unseen):
        rows = pa.array(unseen)
        codes[unseen] = _read_unseen(
            findings, unseen, symbols.take(rows), venues.take(rows), venue, spellings
        )
    return codes


def _read_unseen(
    findings: Findings,
    rows: NDArray[np.intp],
    symbols: pa.Array,
    venues: pa.Array,
    venue: str,
    spellings: Spellings,
) -> Codes:
    """Return the codes of these rows, whose symbols and venues are given, one Python look each."""
    places, pairs = _distinct(symbols, venues, venue)
    codes = np.full(len(pairs) + 1, -1, np.int32)  # the last one is that of the place -1
    new: list[tuple[int, Name]] = []
    bad: list[tuple[int, _Bad]] = []
    for place, pair in enumerate(pairs):
        known = spellings.code_of(*pair)
        name = _read_name(*pair) if known is None else known
        if isinstance(name, int):
            codes[place] = name
        elif isinstance(name, _Bad):
            bad.append((place, name))
        else:
            new.append((place, name))
    if new:
        learned = spellings.learn([pairs[place] for place, _ in new], [name for _, name in new])
        codes[[place for place, _ in new]] = learned
    if symbols.null_count:
        missing = f"symbol: missing; allowed are {SYMBOL_ALLOWED}"
        bad.append((-1, _Bad(("symbol_missing", missing))))
    _refuse(findings, rows, places, bad)
    return codes[places]


def _refuse(
    findings: Findings, rows: NDArray[np.intp], places: Codes, bad: list[tuple[int, _Bad]]
) -> None:
    """Refuse the rows whose place has a bad name."""
    for reason in dict.fromkeys(name[0] for _, name in bad):
        details = {place: name[1] for place, name in bad if name[0] == reason}
        which = np.isin(places, list(details))
        told = dict(zip(rows[which].tolist(), places[which].tolist(), strict=True))
        marked = np.zeros(len(findings.accepted), np.bool_)
        marked[rows[which]] = True
        findings.add(marked, reason, lambda row, d=details, t=told: d[t[row]])  # type: ignore[misc]


def _distinct(
    symbols: pa.Array, venues: pa.Array, venue: str
) -> tuple[Codes, list[tuple[str, str]]]:
    symbol_codes, symbol_texts = _encode(symbols)
    if venues.null_count == len(venues):
        return symbol_codes, [(symbol, venue) for symbol in symbol_texts]
    venue_codes, venue_texts = _encode(pc.fill_null(venues, venue))
    if len(venue_texts) == 1:
        return symbol_codes, [(symbol, venue_texts[0]) for symbol in symbol_texts]
    pairs = symbol_codes.astype(np.int64) * len(venue_texts) + venue_codes
    pairs[symbol_codes < 0] = -1
    used, codes = _compact(pairs, len(symbol_texts) * len(venue_texts))
    split = [divmod(int(pair), len(venue_texts)) for pair in used]
    return codes, [(symbol_texts[s], venue_texts[v]) for s, v in split]


def _encode(column: pa.Array) -> tuple[Codes, list[str]]:
    encoded = column.dictionary_encode()
    indices = encoded.indices
    if indices.null_count:
        indices = pc.fill_null(indices, pa.scalar(-1, pa.int32()))
    return indices.to_numpy(), encoded.dictionary.to_pylist()


def _compact(pairs: NDArray[np.int64], grid: int) -> tuple[NDArray[np.int64], Codes]:
    """Return the distinct pairs that are not negative, ascending, and each row's place there."""
    if grid > _GRID_PER_ROW_MAX * len(pairs) + 1024:
        used, codes = np.unique(pairs, return_inverse=True)
        negative = int(np.searchsorted(used, 0))
        return used[negative:], np.maximum(codes - negative, -1).astype(np.int32)
    present = np.zeros(grid + 1, np.bool_)
    present[pairs] = True
    present[grid] = False
    places = np.cumsum(present, dtype=np.int32) - np.int32(1)
    places[grid] = -1
    return np.flatnonzero(present), places[pairs]


@lru_cache(_CACHED_MAX)
def _read_name(symbol: str, venue: str) -> Name | _Bad:
    text = symbol.strip().upper()
    if not text:
        return _Bad(("symbol_missing", f"symbol: empty; allowed are {SYMBOL_ALLOWED}"))
    text, venue = split_name(text, venue)
    if not is_symbol(text):
        return _Bad(("symbol_invalid", _detail("symbol", symbol, SYMBOL_ALLOWED)))
    venue = venue.strip().upper()
    if not is_venue(venue):
        return _Bad(("venue_invalid", _detail("venue", venue, VENUE_ALLOWED)))
    return text, venue


def _detail(name: str, value: str, allowed: str) -> str:
    return f"{name}: {shorten(value)!r} is not allowed; allowed are {allowed}"
