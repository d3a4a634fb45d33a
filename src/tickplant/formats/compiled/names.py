"""The names of instruments as venues spell them, in a table that compiled code looks them up in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NAMES_MAX = 100_000
"""How many are held; frames of further ones are left to the venue's own reader."""

_PLAIN = re.compile(r"[ !#-\[\]-~]{1,64}\Z").match
_FIRST, _FACTOR, _MASK = 2_166_136_261, 16_777_619, 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Slots:
    """The names as arrays: `slots` (a power of two, by hash: a code or -1), where each name begins
    in `letters` (`starts`, one more than names)."""

    slots: NDArray[np.int32]
    starts: NDArray[np.int64]
    letters: NDArray[np.uint8]


class Names:
    """Names by code, in the order in which they were added, and what each is called here."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self.symbols: list[str] = []
        self._slots: Slots | None = None

    def __len__(self) -> int:
        return len(self.symbols)

    def add(self, names: Mapping[str, str]) -> None:
        """Add names and their symbols; those that are known, or not plain ASCII, are left out."""
        for native, symbol in names.items():
            if native not in self._codes and len(self) < NAMES_MAX and _PLAIN(native):
                self._codes[native] = len(self.symbols)
                self.symbols.append(symbol)
                self._slots = None

    def slots(self) -> Slots:
        """Return the table as it is now."""
        if self._slots is None:
            self._slots = _table(list(self._codes))
        return self._slots


def _table(natives: list[str]) -> Slots:
    encoded = [native.encode() for native in natives]
    slots = np.full(1 << (2 * len(encoded) + 1).bit_length(), -1, np.int32)
    for code, name in enumerate(encoded):
        place = _mixed(name) & (len(slots) - 1)
        while slots[place] >= 0:
            place = (place + 1) & (len(slots) - 1)
        slots[place] = code
    starts = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(name) for name in encoded], out=starts[1:])
    return Slots(slots, starts, np.frombuffer(b"".join(encoded) or b"\0", np.uint8))


def _mixed(name: bytes) -> int:
    """FNV-1a of 32 bits, as `kernel` computes it."""
    mixed = _FIRST
    for letter in name:
        mixed = ((mixed ^ letter) * _FACTOR) & _MASK
    return mixed
