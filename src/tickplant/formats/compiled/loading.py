"""The compiled walks, once they are loaded; until then, and without the extra, there are none.

    a feed starts ─► FRAMES.prepare, in a thread ─┐
    much JSON is posted ─► ROWS.prepare ──────────┤
    much is streamed ─► EVENTS.prepare ───────────┴─► get() gives it    until then: the ways that
                                                                        need no extra

To import numba takes a third of a second, and to read the machine code from where it was kept
another; to make it takes seconds, once for each version of the code. It is kept beside the module
or, where that cannot be written, in numba's folder of the user (`NUMBA_CACHE_DIR` names another);
where neither can, it is made anew by each process.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

_LOG = logging.getLogger(__name__)

Walk = Callable[..., int]


@cache
def is_installed() -> bool:
    """Return whether the extra is there."""
    return find_spec("numba") is not None


class Loadable:
    """A walk that a module makes by its `load()`. Any thread may use it."""

    def __init__(self, module: str) -> None:
        self._module = f"{__package__}.{module}"
        self._walk: Walk | None = None
        self._lock = threading.Lock()

    def get(self) -> Walk | None:
        """Return the walk where it has been loaded. Takes no time."""
        return self._walk

    def load(self) -> None:
        """Import numba, and read the machine code or make it, which takes seconds at first."""
        with self._lock:
            if self._walk is None:
                module: Any = importlib.import_module(self._module)
                self._walk = module.load()

    def prepare(self) -> None:
        """Load the walk where the extra is there, not on an event loop.

        What fails is logged: it is read without.
        """
        if not is_installed():
            return
        try:
            self.load()
        except Exception:
            _LOG.warning("%s: it is read without the compiled walk", self._module, exc_info=True)

    def unload(self) -> None:
        """Read without the walk from now on."""
        self._walk = None


FRAMES = Loadable("kernel")
"""Walks over frames of venues."""

EVENTS = Loadable("writer_kernel")
"""Writes rows as encoded events."""

ROWS = Loadable("rows_kernel")
"""Walks over bodies of rows that are laid out alike."""
