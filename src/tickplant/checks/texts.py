"""The bytes of a column of texts as words of 8 bytes, cut out by whole columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Lengths = NDArray[np.int64]

WORD = 8
_MASKS = np.array([(1 << (8 * count)) - 1 for count in range(WORD + 1)], np.uint64)


@dataclass(frozen=True, slots=True)
class Texts:
    """Where the texts of a column lie: `starts` and `lengths` in bytes, shape (n,).

    `data` is a view with a word at every byte. A null has the length 0.
    """

    starts: Lengths
    lengths: Lengths
    data: Words

    @classmethod
    def of(cls, column: pa.Array) -> Texts:
        """Lay out a string or binary array; copies its bytes once, and nothing else."""
        _, offset_buffer, data_buffer = column.buffers()
        narrow = np.frombuffer(offset_buffer, np.int32, len(column) + 1, 4 * column.offset)
        offsets = narrow.astype(np.int64)
        lengths: Lengths = offsets[1:] - offsets[:-1]
        if column.null_count:
            lengths[column.is_null().to_numpy(zero_copy_only=False)] = 0
        first, size = int(offsets[0]), int(offsets[-1] - offsets[0])
        padded = np.zeros(size + WORD, np.uint8)
        if size:
            padded[:size] = np.frombuffer(data_buffer, np.uint8, size, first)
        data: Words = np.ndarray((size + 1,), np.dtype("<u8"), padded.data, strides=(1,))
        return cls(offsets[:-1] - np.int64(first), lengths, data)

    def words(self, place: int) -> Words:
        """Return the word that begins at byte `place` of each text, zero behind a text's end.

        Every text must be longer than `place` bytes; see `longer`.
        """
        # Not `take`, which would make a word of every byte first: the view is not contiguous.
        words: Words = self.data[self.starts + place if place else self.starts]
        words &= _MASKS.take(self.lengths - place, mode="clip")
        return words

    def longer(self, place: int) -> tuple[NDArray[np.intp], Texts]:
        """Return the rows whose texts are longer than `place` bytes, and their layout."""
        rows = np.flatnonzero(self.lengths > place)
        return rows, Texts(self.starts[rows], self.lengths[rows], self.data)
