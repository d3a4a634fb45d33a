"""What venues say about books, as columns: one entry a message, with its levels.

frames ─► session of a venue ─► Updates ─► rule of the venue ─► rows of `book`
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NONE = -1
"""Stands in `first`, `last`, `previous`, `checksum` and `decimals` where a venue says nothing."""


@dataclass(frozen=True, slots=True)
class Updates:
    """Messages about books in order of arrival: `n` messages with `m` levels in all.

    `symbols` are canonical; `code` (n, int32) is each message's place there. `ts_event` (n, int64)
    is ns UTC, 0 where the venue does not say it (a snapshot by request). `first`, `last` and
    `previous` (n, int64) are the venue's numbers of the first and last change in the message and of
    the message before it. `snapshot` (n, bool) marks those that replace the book. `checksum`
    (n, int64) is that of the book after the message. The levels of message `i` are
    `offsets[i]:offsets[i + 1]` (n + 1, int64) of `side` (m, int8: 1 bid, 2 ask), `price`, `size`
    (m, float64; a size of 0 removes the level) and `orders` (m, int32, or None where the venue does
    not count them), in the order of the message.

    What a checked book needs besides comes with its messages, so that a capture is enough to check
    it again: `decimals` (len(symbols), 2, int8) are the digits behind the point of the prices and
    sizes of each symbol, `NONE` where they are not known yet; `depth` is how many levels a side the
    venue keeps: what falls out of that is not said to be removed.
    """

    symbols: tuple[str, ...]
    code: NDArray[np.int32]
    ts_event: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    previous: NDArray[np.int64]
    snapshot: NDArray[np.bool_]
    checksum: NDArray[np.int64]
    offsets: NDArray[np.int64]
    side: NDArray[np.int8]
    price: NDArray[np.float64]
    size: NDArray[np.float64]
    orders: NDArray[np.int32] | None = None
    decimals: NDArray[np.int8] | None = None
    depth: int | None = None

    def __len__(self) -> int:
        return len(self.code)
