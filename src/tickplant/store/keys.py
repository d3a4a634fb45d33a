"""Idempotency keys: which were stored. New ones in memory, archived ones in sorted files.

A key is 128 bits, the row (a, b) of an array of shape (n, 2); (0, 0) is no key. Answers are
exact. Archived keys lie in a few files of shape (2, n), sorted, mapped into memory and merged
geometrically; a filter of some bits a key keeps most look-ups of new keys away from them.
"""

from __future__ import annotations

import threading
import zlib
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tickplant.store.contract import Keys
from tickplant.store.keytable import KeyTable
from tickplant.store.manifest import BlobEntry

FILTER_BITS_MAX = 2**29
MERGE_RATIO = 4  # an older run is merged with newer ones unless it is this many times their size

HOT_KEY_BYTES = 96  # what a hot key takes at most: 16 slots of 4 bytes and two places of its own

HOT_ROOM = 1 << 19
"""Keys that the first table has room for; memory is taken as they come."""


Sorted = NDArray[np.uint64]
"""Keys in their order, of shape (2, n): first halves, second halves."""


class HotKeys:
    """Keys that are not archived yet."""

    def __init__(self, room: int = 0) -> None:
        self._table = KeyTable(room)
        self._seqs: list[tuple[int, int]] = []  # (last seq, count so far) of each batch

    @property
    def count(self) -> int:
        """Number of keys."""
        return self._table.count

    def add(self, keys: Keys, seq_last: int) -> None:
        """Add the keys of rows up to `seq_last`; (0, 0) is left out."""
        present = (keys[:, 0] | keys[:, 1]) != 0
        self._table.add(keys if present.all() else keys[present])
        self._seqs.append((seq_last, self._table.count))

    def reserve(self, more: int) -> None:
        """Make room for so many keys more."""
        self._table.reserve(more)

    def seen(self, keys: Keys) -> NDArray[np.bool_]:
        """Say for each key whether it is here."""
        return self._table.seen(keys)

    def all(self) -> Keys:
        """Return every key, shape (n, 2), in the order of adding."""
        return self._table.keys()

    def split(self, upto_seq: int) -> tuple[HotKeys, HotKeys]:
        """Return the keys of rows up to `upto_seq` and those of later rows."""
        if not self._seqs or self._seqs[-1][0] <= upto_seq:
            return self, HotKeys(self.count)  # which will have as many, and so need not grow
        early, late = HotKeys(), HotKeys()
        first = 0
        for seq_last, end in self._seqs:
            (late if seq_last > upto_seq else early).add(self.all()[first:end], seq_last)
            first = end
        return early, late


def search(run: NDArray[np.uint64], keys: Keys) -> NDArray[np.bool_]:
    """Say for each key of shape (n, 2) whether it is in a run, (2, m) by its first half."""
    order = np.argsort(keys[:, 0])  # neighbours in the run are found from a warm cache
    first, second = run[0], run[1]
    wanted = np.ascontiguousarray(keys[order, 0])
    low = np.searchsorted(first, wanted, "left")
    inside = np.minimum(low, run.shape[1] - 1)
    match: NDArray[Any] = (low < run.shape[1]) & (first[inside] == wanted)
    exact = match & (second[inside] == keys[order, 1])
    for place in np.flatnonzero(match & ~exact):
        high = int(np.searchsorted(first, wanted[place], "right"))
        exact[place] = bool((second[low[place] : high] == keys[order[place], 1]).any())
    found = np.empty(len(keys), dtype=bool)
    found[order] = exact
    return found


def sort_keys(parts: Sequence[Keys]) -> Sorted:
    """Return keys of shape (n, 2) sorted and transposed, without doubles, as a file holds them."""
    keys = np.concatenate(parts)
    order = np.argsort(keys[:, 0])
    return _settled(np.stack((keys[order, 0], keys[order, 1])))


def merge_keys(runs: Sequence[Sorted], fresh: Sequence[Keys]) -> Sorted:
    """Return sorted runs, the oldest and mostly largest first, and new keys as one sorted run."""
    made = sort_keys(fresh)
    for run in reversed(runs):
        made = _settled(_merged(run, made))
    return made


def _merged(large: Sorted, small: Sorted) -> Sorted:
    """Return two runs as one in the order of their first halves."""
    count = small.shape[1]
    places = np.searchsorted(large[0], small[0]) + np.arange(count)
    of_large = np.ones(large.shape[1] + count, np.bool_)
    of_large[places] = False
    made = np.empty((2, len(of_large)), np.uint64)
    for lane in range(2):
        made[lane, places] = small[lane]
        made[lane, of_large] = large[lane]
    return made


def _settled(keys: Sorted) -> Sorted:
    """Put keys of the same first half in order, and leave out doubles."""
    alike = np.flatnonzero(keys[0, 1:] == keys[0, :-1])
    if (keys[1, alike + 1] < keys[1, alike]).any():
        # Rare: keys are scrambled, so that those alike in one half mostly are the same key.
        keys = keys[:, np.lexsort((keys[1], keys[0]))]
    doubles = alike[keys[1, alike + 1] == keys[1, alike]]
    # As a file holds them: first halves, then second halves, also where columns were picked.
    return np.ascontiguousarray(np.delete(keys, doubles + 1, axis=1) if len(doubles) else keys)


class KeyRun:
    """A sorted run of archived keys with its filter.

    `damage` says what was found when the filter was made: a run whose checksum does not hold is
    sorted anew in memory, so that a damaged key is the only one that is not found.
    """

    def __init__(self, keys: NDArray[np.uint64], path: str = "") -> None:
        self.keys = keys
        self.path = path  # relative to the archive folder
        self.damage: str | None = None
        self._file: tuple[Path, int] | None = None
        self._making = threading.Lock()
        self._filter: NDArray[np.uint8] | None = None
        bits = min(max(keys.shape[1] * 16, 64), FILTER_BITS_MAX)
        self._shift = np.uint64(64 - (bits - 1).bit_length())

    @classmethod
    def open(cls, folder: Path, blob: BlobEntry) -> KeyRun:
        """Map a file that `sort_keys` filled. Raises `OSError`, and `ValueError` for its length."""
        file = folder / blob.path
        if file.stat().st_size != blob.bytes:
            raise ValueError(f"not {blob.bytes} bytes long")
        head = blob.bytes - 16 * blob.count
        made = cls(np.memmap(file, "<u8", "r", offset=head, shape=(2, blob.count)), blob.path)
        made._file = file, blob.crc32
        return made

    def __len__(self) -> int:
        return int(self.keys.shape[1])

    def _bits(self, first: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        place = first >> self._shift
        bit = np.left_shift(np.uint8(1), (place & np.uint64(7)).astype(np.uint8))
        return (place >> np.uint64(3)).astype(np.int64), bit

    def make_filter(self) -> bool:
        """Build the filter, on first use or earlier by the maintenance; False where it is there."""
        if self._filter is not None:
            return False
        with self._making:
            if self._filter is None:
                self._verify()
                self._filter = self._made_filter()
        return True

    def _made_filter(self) -> NDArray[np.uint8]:
        made = np.zeros(1 << max(61 - int(self._shift), 0), dtype=np.uint8)
        for at in range(0, len(self), 1 << 20):
            # Keys are sorted, so those of one byte of the filter are neighbours.
            byte, bit = self._bits(np.asarray(self.keys[0, at : at + (1 << 20)]))
            starts = np.concatenate([[0], np.flatnonzero(np.diff(byte)) + 1])
            made[byte[starts]] |= np.bitwise_or.reduceat(bit, starts)
        return made

    def _verify(self) -> None:
        if self._file is None:
            return
        file, expected = self._file
        crc32 = 0
        try:
            with file.open("rb") as opened:
                while data := opened.read(1 << 22):
                    crc32 = zlib.crc32(data, crc32)
        except OSError as fault:
            self.damage = f"{self.path}: cannot be read ({fault.strerror or fault})"
            return
        if crc32 != expected:
            self.damage = f"{self.path}: the checksum does not hold; some keys may be lost"
            self.keys = sort_keys([self.keys.T])

    def seen(self, keys: Keys) -> NDArray[np.bool_]:
        """Say for each key whether it is here."""
        self.make_filter()
        assert self._filter is not None
        byte, bit = self._bits(keys[:, 0])
        found: NDArray[np.bool_] = (self._filter[byte] & bit) != 0
        maybe = np.flatnonzero(found)
        if len(maybe):
            found[maybe] = search(self.keys, keys[maybe])
        return found


class TableKeys:
    """The keys of one table: archived runs, those on their way there, and the hot ones.

    One thread adds and asks, another archives; the lock is held for no more than memory work. What
    a replay adds is put into the table later, by `index` or by the first who asks.
    """

    def __init__(self, runs: Sequence[KeyRun] = ()) -> None:
        self._lock = threading.Lock()
        self._hot = HotKeys(HOT_ROOM)
        self._later: deque[tuple[Keys, int]] = deque()
        self.frozen: tuple[HotKeys, ...] = ()
        self.runs: tuple[KeyRun, ...] = tuple(runs)

    def add(self, keys: Keys, seq_last: int) -> None:
        """Add the keys of rows that were appended, the last of which is `seq_last`."""
        with self._lock:
            self._index_all()
            self._hot.add(keys, seq_last)

    def add_later(self, keys: Keys, seq_last: int) -> None:
        """Add keys as `add` does, at no cost now."""
        with self._lock:
            self._later.append((keys, seq_last))

    def index(self) -> bool:
        """Put some of what came by `add_later` into the table; False where nothing is left."""
        with self._lock:
            if self._later:
                self._hot.reserve(sum(len(keys) for keys, _ in self._later))
                self._hot.add(*self._later.popleft())
            return bool(self._later)

    def _index_all(self) -> None:
        while self._later:
            self._hot.add(*self._later.popleft())

    def seen(self, keys: Keys) -> NDArray[np.bool_]:
        """Say for each key, shape (n,), whether it was stored."""
        with self._lock:
            self._index_all()
            found = self._hot.seen(keys)
            parts: list[HotKeys | KeyRun] = [*self.frozen, *reversed(self.runs)]
        for part in parts:
            left = np.flatnonzero(~found)
            if not len(left):
                break
            found[left] = part.seen(keys if len(left) == len(keys) else keys[left])
        return found

    @property
    def bytes(self) -> int:
        """Memory that the keys take which are not archived."""
        with self._lock:
            hot = self._hot.count + sum(len(keys) for keys, _ in self._later)
            return HOT_KEY_BYTES * (hot + sum(part.count for part in self.frozen))

    def freeze(self, upto_seq: int) -> None:
        """Set apart the keys of rows that are about to be archived."""
        with self._lock:
            self._index_all()
            early, self._hot = self._hot.split(upto_seq)
            if early.count:
                self.frozen = (*self.frozen, early)

    def install(self, runs: Sequence[KeyRun], archived: Sequence[HotKeys]) -> None:
        """Put other runs in the place of the present ones and of what they were made from."""
        gone = {id(part) for part in archived}
        with self._lock:
            self.runs = tuple(runs)
            self.frozen = tuple(part for part in self.frozen if id(part) not in gone)


def plan_merge(sizes: Sequence[int], added: int) -> int:
    """Return from which run on (oldest first) runs are merged with `added` new keys."""
    first = len(sizes)
    total = added
    while first and sizes[first - 1] < MERGE_RATIO * total:
        first -= 1
        total += sizes[first]
    return first
