"""The lines that loggers write, as a process would write them."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from tickplant.observe.logs import LineHandler, make_formatter


@contextmanager
def lines_of(name: str, level: int = logging.DEBUG) -> Iterator[io.StringIO]:
    """Keep the JSON lines of one logger, and of those below it, for as long as it lasts."""
    logger, stream = logging.getLogger(name), io.StringIO()
    handler = LineHandler(make_formatter(human=False), stream)
    before, propagates = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    try:
        yield stream
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        logger.propagate = propagates
