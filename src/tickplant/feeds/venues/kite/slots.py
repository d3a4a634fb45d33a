"""The instruments of one connection: a slot for each, found by token, and what is wanted of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.feeds.venues.contract import CHANNELS, Channel
from tickplant.feeds.venues.kite.wire import MODES, Mode

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NO_SLOT = NO_MODE = -1


class Slots:
    """Slots are numbered from 0 and stay with their instruments. One thread or task."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.tokens: list[int] = []
        self._modes = np.zeros(0, np.int8)
        self._slot_of: dict[int, int] = {}
        self._wanted = {channel: np.zeros(0, np.bool_) for channel in CHANNELS}
        self._sorted: tuple[Ints, Ints] | None = None
        self._texts: pa.Array | None = None

    def __len__(self) -> int:
        return len(self.names)

    def take(self, name: str, token: int) -> int:
        """Return the slot of an instrument, a new one where it has none."""
        slot = self._slot_of.get(token)
        if slot is None:
            slot = self._slot_of[token] = len(self.names)
            self.names.append(name)
            self.tokens.append(token)
            self._sorted = self._texts = None
            self._modes = np.append(self._modes, np.int8(NO_MODE))
            for channel, wanted in self._wanted.items():
                self._wanted[channel] = np.append(wanted, False)
        return slot

    def symbols(self, slots: Ints) -> pa.Array:
        """Return the symbols of slots as texts."""
        if self._texts is None:
            self._texts = pa.array(self.names, pa.string())
        return self._texts.take(pa.array(slots))

    def slot(self, token: int) -> int | None:
        """Return the slot of an instrument."""
        return self._slot_of.get(token)

    def want(self, slot: int, channel: Channel, wanted: bool = True) -> None:
        """Note that a channel of an instrument is wanted, or is not any more."""
        self._wanted[channel][slot] = wanted

    def channels(self, slot: int) -> tuple[Channel, ...]:
        """Return the channels that are wanted of an instrument."""
        return tuple(channel for channel in CHANNELS if self._wanted[channel][slot])

    def mode(self, slot: int) -> Mode | None:
        """Return the mode that was asked for."""
        place = int(self._modes[slot])
        return None if place == NO_MODE else MODES[place]

    def set_mode(self, slot: int, mode: Mode | None) -> None:
        """Note the mode that is asked for, None for an instrument that is ended."""
        self._modes[slot] = NO_MODE if mode is None else MODES.index(mode)

    def in_mode(self, slots: Ints, mode: Mode) -> Bools:
        """Say which slots are in a mode; `NO_SLOT` is in none."""
        known: Bools = slots != NO_SLOT
        known[known] = self._modes[slots[known]] == MODES.index(mode)
        return known

    @property
    def wanted(self) -> Mapping[Channel, Bools]:
        """By channel, which slots want it."""
        return self._wanted

    def find(self, tokens: Ints) -> Ints:
        """Return the slots of instruments, `NO_SLOT` for those that have none."""
        if not self.tokens:
            return np.full(len(tokens), NO_SLOT, np.int64)
        if self._sorted is None:
            known = np.array(self.tokens, np.int64)
            order = np.argsort(known)
            self._sorted = known[order], order
        known, order = self._sorted
        places = np.minimum(np.searchsorted(known, tokens), len(known) - 1)
        return np.where(known[places] == tokens, order[places], NO_SLOT)
