"""Logging of the whole process: JSON lines for machines, short lines for a terminal.

    getLogger(name).warning(…), of ours or of a library
        └─► LineHandler at the root ─► repeated? counted, summed up later
                └─► structlog: fields, what the work belongs to, no secret ─► one line

Every room logs with the standard library, which costs an import nobody notices; structlog makes the
lines, and is imported where a process sets its logs up. uvicorn's loggers go the same way (start it
with `log_config=None`).
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Literal, TextIO, cast

import msgspec

from tickplant.model.times import NS_PER_MS, format_time
from tickplant.observe.context import bound
from tickplant.observe.redact import REDACTOR, shown
from tickplant.observe.repetition import HeldBack, Repetition

Style = Literal["auto", "json", "human"]
Event = MutableMapping[str, Any]

ACCESS = "tickplant.access"
"""Logger of the requests that were answered. It is not thinned out: who wants it wants all."""

_ENCODER = msgspec.json.Encoder(enc_hook=str)
_NOT_OURS = frozenset({"color_message", "taskName"})  # what uvicorn and Python add to a record
_FIRST = ("ts", "level", "logger", "message")
_OURS = frozenset(_FIRST[:3])  # what no caller has a say in

_TALKATIVE = ("httpx", "httpcore", "websockets", "yfinance", "ccxt", "peewee")
"""Libraries that tell of every request, with its URL: of those only warnings are heard."""

_UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")
"""Loggers that bring handlers of their own; what `uvicorn.error` says of a start we say better."""


class LineCounts:
    """What became of log lines in this process; any thread adds, a scrape reads."""

    def __init__(self) -> None:
        self.written: Counter[str] = Counter(
            dict.fromkeys(("debug", "info", "warning", "error", "critical"), 0)
        )
        self.held_back = 0
        self.lost = 0


COUNTS = LineCounts()


class LineHandler(logging.Handler):
    """Writes lines to `stream`, or to whatever is standard error at the time.

    A stream that is closed or broken loses the line, which is counted: a process must not fail, nor
    shout, because nobody reads its log any more. What is held back is summed up after its window by
    a timer of its own, one at a time; `schedule(seconds, act)` starts it.
    """

    def __init__(
        self,
        formatter: logging.Formatter,
        stream: TextIO | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        schedule: Callable[[float, Callable[[], None]], object] | None = None,
        repetition: Repetition | None = None,
    ) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._stream = stream
        self._repetition = Repetition(monotonic) if repetition is None else repetition
        self._schedule = schedule or _start_timer
        self._timed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it."""
        if record.name != ACCESS and not self._admit(record):
            return
        self._write(record)

    def _admit(self, record: logging.LogRecord) -> bool:
        message = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        if self._repetition.admit((record.name, record.levelno, message)):
            self._sum_up(self._repetition.take_over())
            return True
        COUNTS.held_back += 1
        if not self._timed:
            self._timed = True
            self._schedule(self._repetition.window_s, self._on_timer)
        return False

    def _on_timer(self) -> None:
        with self.lock or threading.Lock():
            self._timed = False
            self._sum_up(self._repetition.take_over())
            if self._repetition.holds_back:
                self._timed = True
                self._schedule(self._repetition.window_s, self._on_timer)

    def close(self) -> None:
        """Sum up what was held back."""
        self._sum_up(self._repetition.take_over(all_of_them=True))
        super().close()

    def _sum_up(self, over: list[HeldBack]) -> None:
        for one in over:
            kind = (
                one.kind if isinstance(one.kind, tuple) else (__name__, logging.WARNING, one.kind)
            )
            name, level, message = kind
            said = f"{one.count} more within {one.window_s:g} s of: {message}"
            # The message is shown with its places, not filled in: there were many fillings.
            self._write(logging.LogRecord(name, level, "", 0, said, (), None))

    def _write(self, record: logging.LogRecord) -> None:
        stream = self._stream or sys.stderr
        try:
            stream.write(self.format(record) + "\n")
            stream.flush()
        except (ValueError, OSError, AttributeError):  # closed, a broken pipe, or there is none
            COUNTS.lost += 1
        except Exception:
            COUNTS.lost += 1
            self.handleError(record)
        else:
            COUNTS.written[record.levelname.lower()] += 1


def _start_timer(seconds: float, act: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()


def set_up_logs(
    level: str = "INFO", *, style: Style = "auto", stream: TextIO | None = None
) -> LineHandler:
    """Send all logging to `stream` (default: standard error); calling it again replaces that.

    `auto` writes short lines to a terminal and JSON lines to anything else. Returns the handler.
    """
    target = stream or sys.stderr
    human = target.isatty() if style == "auto" else style == "human"
    handler = LineHandler(make_formatter(human=human), stream)
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, LineHandler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _UVICORN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    return handler


@contextmanager
def logs(level: str, style: str) -> Iterator[None]:
    """Send all logging to standard error for as long as the context lasts; as `log.*` says."""
    root = logging.getLogger()
    before = root.level
    handler = set_up_logs(level, style=cast(Style, style))
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
        root.setLevel(before)
        logging.captureWarnings(False)


def make_formatter(*, human: bool) -> logging.Formatter:
    """Return what makes a line of a record."""
    from structlog import processors, stdlib  # noqa: PLC0415 - where nothing is logged, nothing is

    return stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            stdlib.ExtraAdder(),
            stdlib.add_log_level,
            stdlib.add_logger_name,
        ],
        processors=[
            _name_fields,
            stdlib.ProcessorFormatter.remove_processors_meta,
            processors.ExceptionRenderer(),
            _redact,
            _for_people if human else _for_machines,
        ],
    )


def _name_fields(logger: Any, method: str, event: Event) -> Event:
    """Put the fields of a line in order: ours, what the work belongs to, then what was passed."""
    record = event["_record"]
    line: Event = {
        "ts": format_time(int(record.created * 1e3) * NS_PER_MS),
        "level": event.pop("level"),
        "logger": event.pop("logger"),
        "message": event.pop("event"),
    }
    for name, value in (*bound().items(), *event.items()):
        if name not in _NOT_OURS:
            line.setdefault(name, value)
    return line


def _redact(logger: Any, method: str, event: Event) -> Event:
    """Return the line without secrets; what is left is known to JSON."""
    if "exception" in event:
        event["error"] = event.pop("exception")
    return {
        name if name in _FIRST else REDACTOR.text(name): (
            value if name in _OURS else REDACTOR.named(name, value)
        )
        for name, value in event.items()
    }


def _for_machines(logger: Any, method: str, event: Event) -> str:
    """Return one JSON object."""
    return _ENCODER.encode(event).decode("utf-8", "replace")


def _for_people(logger: Any, method: str, event: Event) -> str:
    """Return `12:00:00.000 WARNING logger: message  name=value`, a traceback below it."""
    error = event.pop("error", None)
    rest = "".join(f"  {name}={value}" for name, value in event.items() if name not in _FIRST)
    said = shown(f"{event['message']}{rest}")
    second, _, fraction = event["ts"][11:].removesuffix("Z").partition(".")
    clock = f"{second}.{fraction:0<3}"
    line = f"{clock} {event['level'].upper():<7} {shown(event['logger'])}: {said}"
    return line if error is None else f"{line}\n{error}"
