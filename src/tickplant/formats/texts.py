"""Rows as JSON, of which those that were written before are not written again.

Who polls for the last bars or trades of an instrument gets nearly the same ones each time. So the
texts of a page are kept with the numbers that they depend on, its keys, and of the next page only
the rows whose keys are others are written:

    keys before   1 2 3 4 5
    keys now          3 4 6 7     3 and 4 are there, 6 and 7 are written

Nothing has to be told when something changes, because nothing is taken without its keys being the
same. A page is in memory until others have taken its room.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from threading import Lock
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

BYTES_MAX = 64 << 20
"""What the texts of all pages may take in memory, their keys included."""

ROWS_MIN = 8
"""Pages of fewer rows are written sooner than they are found."""

_ROW_BYTES = 41  # what a text takes besides its characters: an object, and a place in a list

_ENCODER = msgspec.json.Encoder()


class _Page(NamedTuple):
    keys: Ints
    texts: list[bytes]
    size: int


class RowTexts:
    """Texts of pages, the latest asked for last. Any thread may call."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._pages: OrderedDict[Hashable, _Page] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    @property
    def bytes_used(self) -> int:
        """Bytes that the texts take now."""
        return self._bytes

    def array(
        self, name: Hashable, keys: Ints, rows: Callable[[slice | Ints], Sequence[Any]]
    ) -> bytes:
        """Return rows as a JSON array.

        `keys`, shape (k, n), are all that the text of each row depends on, besides the `name` of
        the page; no two rows have the same in the first line of them. `rows(places)` returns those
        at some places for `msgspec` to encode.
        """
        if keys.shape[1] < ROWS_MIN:
            return _ENCODER.encode(rows(slice(None)))
        with self._lock:
            page = self._pages.get(name)
        texts = _known(page, keys) if page is not None else None
        if texts is None:
            texts = _written(rows(slice(None)))
        else:
            missing = [place for place, text in enumerate(texts) if text is None]
            if missing:
                made = _written(rows(np.array(missing)))
                for place, text in zip(missing, made, strict=True):
                    texts[place] = text
        whole = b"[" + b",".join(texts) + b"]"  # type: ignore[arg-type]
        if page is None or 2 * keys.shape[1] > page.keys.shape[1]:
            size = keys.nbytes + len(whole) + _ROW_BYTES * len(texts)
            self._keep(name, _Page(keys, texts, size))  # type: ignore[arg-type]
        return whole

    def _keep(self, name: Hashable, page: _Page) -> None:
        with self._lock:
            before = self._pages.pop(name, None)
            self._bytes += page.size - (before.size if before is not None else 0)
            self._pages[name] = page
            while self._bytes > self._bytes_max:
                self._bytes -= self._pages.popitem(last=False)[1].size


def _written(rows: Sequence[Any]) -> list[bytes | None]:
    """Return each row as JSON; within a line of JSON there is no line end."""
    return list(_ENCODER.encode_lines(rows).split(b"\n")[:-1])


def _known(page: _Page, keys: Ints) -> list[bytes | None] | None:
    """Return the texts of rows that a page has, None for others; None where it has none of them."""
    old, shift = page.keys, _shift(page.keys[0], keys[0])
    if shift is None:
        return None
    first, begin = max(shift, 0), max(-shift, 0)
    count = min(old.shape[1] - first, keys.shape[1] - begin)
    before, now = old[:, first : first + count], keys[:, begin : begin + count]
    same = before[0] == now[0]
    for one, other in zip(before[1:], now[1:], strict=True):
        # Line by line: so few elements NumPy compares without giving Python's lock away.
        same &= one == other
    texts: list[bytes | None] = [None] * keys.shape[1]
    texts[begin : begin + count] = page.texts[first : first + count]
    for place in np.flatnonzero(~same).tolist():
        texts[begin + place] = None
    return texts


def _shift(old: Ints, new: Ints) -> int | None:
    """Return where in `old` the rows of `new` begin, below 0 where those of `old` come later."""
    found = np.flatnonzero(old == new[0])
    if found.size:
        return int(found[0])
    found = np.flatnonzero(new == old[0])
    return -int(found[0]) if found.size else None
