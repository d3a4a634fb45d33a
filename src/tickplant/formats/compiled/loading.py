"""The compiled walk, once it is loaded; until then, and without the extra, there is none.

    feed starts ─► prepare, in a thread ─► walk() is there      until then: the venue's own reader

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
from importlib.util import find_spec
from typing import Any

_LOG = logging.getLogger(__name__)

_loaded: list[Callable[..., int]] = []
_lock = threading.Lock()


def walk() -> Callable[..., int] | None:
    """Return the walk where it has been loaded. Takes no time."""
    return _loaded[0] if _loaded else None


def is_installed() -> bool:
    """Return whether the extra is there."""
    return find_spec("numba") is not None


def prepare() -> None:
    """Load the walk where the extra is there; takes seconds at first, so not on an event loop.

    What fails is logged: it is read without.
    """
    if not is_installed():
        return
    try:
        load()
    except Exception:
        _LOG.warning("frames are read without the compiled walk", exc_info=True)


def load() -> None:
    """Import numba, and read the machine code of the walk or make it. Any thread."""
    with _lock:
        if not _loaded:
            kernel: Any = importlib.import_module("tickplant.formats.compiled.kernel")
            kernel.compile_walk()
            _loaded.append(kernel.walk)


def unload() -> None:
    """Read without the walk from now on."""
    _loaded.clear()
