"""Distinct names of a batch: the plant resolves each of them once, not each row."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.checks.findings import Findings, fixed
from tickplant.model.errors import shorten
from tickplant.model.instruments import SYMBOL_ALLOWED, VENUE_ALLOWED, is_symbol, is_venue

Name = tuple[str, str]
Codes = NDArray[np.int32]

_CACHED_MAX = 1 << 16
_GRID_PER_ROW_MAX = 8


class _Bad(tuple[str, str]):
    """Reason and detail of a name that is not allowed."""

    __slots__ = ()


def check_names(
    findings: Findings, symbols: pa.Array, venues: pa.Array, venue: str
) -> tuple[Codes, list[Name]]:
    """Return each row's place in the list of distinct names, and that list.

    A name is (symbol, venue), both upper case; `venue` is that of rows without one. The symbol
    `VENUE:SYMBOL` names its venue itself. Rows with a bad name are refused and have the code -1.
    """
    codes, pairs = _distinct(symbols, venues, venue)
    found = [_read_name(symbol, own) for symbol, own in pairs]
    if symbols.null_count:
        bad = np.asarray(symbols.is_null().to_numpy(zero_copy_only=False))
        findings.add(bad, "symbol_missing", fixed(f"symbol: missing; allowed are {SYMBOL_ALLOWED}"))
        codes = np.where(bad, np.int32(-1), codes)
    names = [name for name in found if not isinstance(name, _Bad)]
    if len(names) < len(found):
        codes = _refuse(findings, codes, found)
    return codes, names


def _refuse(findings: Findings, codes: Codes, found: list[Name | _Bad]) -> Codes:
    # One more place at the end keeps the code -1 what it is.
    kept = np.full(len(found) + 1, -1, np.int32)
    good = [place for place, name in enumerate(found) if not isinstance(name, _Bad)]
    kept[good] = np.arange(len(good), dtype=np.int32)
    for reason in ("symbol_missing", "symbol_invalid", "venue_invalid"):
        which = np.array([isinstance(name, _Bad) and name[0] == reason for name in (*found, None)])
        findings.add(which[codes], reason, lambda place: found[codes[place]][1])
    return kept[codes]


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
    prefix, _, rest = text.partition(":")
    if prefix and rest:
        text, venue = rest, prefix
    if not is_symbol(text):
        return _Bad(("symbol_invalid", _detail("symbol", symbol, SYMBOL_ALLOWED)))
    venue = venue.strip().upper()
    if not is_venue(venue):
        return _Bad(("venue_invalid", _detail("venue", venue, VENUE_ALLOWED)))
    return text, venue


def _detail(name: str, value: str, allowed: str) -> str:
    return f"{name}: {shorten(value)!r} is not allowed; allowed are {allowed}"
