"""The gate that readers pass: shut while a replay of the log is still bringing rows.

    shut ──► one thread enters, brings rows ──► open
                         └── fails: whoever asks is told why

A plant may then accept before every row of its last run is back in memory, and yet nobody is ever
shown less than was acknowledged.
"""

from __future__ import annotations

import threading

from tickplant.model.at_once import about_to_wait
from tickplant.model.errors import Stopping


class Gate:
    """Open from the start. Any thread waits, one restores."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self._restorer: int | None = None
        self._fault: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether nothing is being restored, or the calling thread is the one that restores."""
        return self._open.is_set() or threading.get_ident() == self._restorer

    def shut(self) -> None:
        """Hold everybody until `open` or `fail`."""
        self._open.clear()

    def enter(self) -> None:
        """Let the calling thread pass, which restores."""
        self._restorer = threading.get_ident()

    def open(self) -> None:
        """Let everybody pass."""
        self._restorer = None
        self._open.set()

    def fail(self, fault: BaseException) -> None:
        """Tell everybody who waits, now or later, that the rows are not there."""
        self._fault = f"the journal's rows could not be restored: {fault!r}"
        self.open()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the gate is open; say whether it is. Raises `Stopping` after a failure."""
        if not self.is_open:
            about_to_wait()
            self._open.wait(timeout_s)
        if self._fault is not None:
            raise Stopping(self._fault)
        return self.is_open
