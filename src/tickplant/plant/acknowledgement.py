"""The answer to a producer: given when its rows are durable and can be read, whichever is later."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Acknowledgement:
    """Calls `answer` once: with None when both have happened, or with the log's fault.

    `durable` is called on the log's thread, `readable` on the plant's.
    """

    def __init__(self, answer: Callable[[BaseException | None], None]) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self._waiting_for = 2
        self._fault: BaseException | None = None

    def durable(self, fault: BaseException | None) -> None:
        """Note that the log has the rows on disk, or why it may not."""
        self._fault = fault
        self._arrive()

    def readable(self) -> None:
        """Note that reads see the rows."""
        self._arrive()

    def _arrive(self) -> None:
        with self._lock:
            self._waiting_for -= 1
            if self._waiting_for:
                return
        self._answer(self._fault)
