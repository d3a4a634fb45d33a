"""Logging of the whole process: JSON lines for machines, short lines for a terminal.

Standard library logging with one handler at the root; uvicorn's loggers go the same way (start it
with `log_config=None`). What looks like a secret is masked before anything is written.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import msgspec

from tickplant.model.times import NS_PER_MS, format_time

Style = Literal["auto", "json", "human"]

MASK = "***"
_SECRET_NAME = re.compile(
    r"authorization|cookie|passw(?:or)?d|secret|token|api[_-]?key|private[_-]?key|credential", re.I
)
# name=value, name: value, "name": "value", and the word after Bearer or Basic.
_SECRET_PAIR = re.compile(
    rf"""((?:[\w-]*(?:{_SECRET_NAME.pattern}))["']?\s*[=:]\s*["']?)"""
    r"""((?:Bearer|Basic)\s+)?[^\s"'&,;}\])]+""",
    re.I,
)
_SCHEME = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{6,}", re.I)
_USERINFO = re.compile(r"(\w://)[^/\s@]+@")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# What every LogRecord has; anything else was passed as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_NOT_OURS = frozenset({"color_message"})  # uvicorn's copy of the message with escape codes

_TALKATIVE = ("httpx", "httpcore", "websockets", "yfinance", "ccxt", "peewee")
"""Libraries that tell of every request, with its URL: of those only warnings are heard."""

_UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


def set_up_logs(
    level: str = "INFO", *, style: Style = "auto", stream: TextIO | None = None
) -> logging.Handler:
    """Send all logging to `stream` (default: standard error); calling it again replaces that.

    `auto` writes short lines to a terminal and JSON lines to anything else. Returns the handler.
    """
    target = stream or sys.stderr
    human = target.isatty() if style == "auto" else style == "human"
    handler = logging.StreamHandler(target)
    handler.setFormatter(HumanFormatter() if human else JsonFormatter())
    root = logging.getLogger()
    for old in [h for h in root.handlers if getattr(h, "of_tickplant", False)]:
        root.removeHandler(old)
    handler.of_tickplant = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    root.setLevel(level)
    for name in _UVICORN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    return handler


def mask(text: str) -> str:
    """Return the text without what looks like a secret: passwords, tokens, keys, user info."""
    text = _SECRET_PAIR.sub(rf"\1{MASK}", text)
    return _USERINFO.sub(rf"\1{MASK}@", _SCHEME.sub(rf"\1 {MASK}", text))


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {
        name: _masked(name, value)
        for name, value in vars(record).items()
        if name not in _STANDARD and name not in _NOT_OURS
    }


def _masked(name: str, value: Any) -> Any:
    if _SECRET_NAME.search(name):
        return MASK
    if isinstance(value, Mapping):
        return {str(key): _masked(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked("", inner) for inner in value]
    return value if isinstance(value, bool | int | float | None) else mask(str(value))


def _time(record: logging.LogRecord) -> str:
    return format_time(int(record.created * 1e3) * NS_PER_MS)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts, level, logger, message, then the extras and `error`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end."""
        line = {
            "ts": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": mask(record.getMessage()),
        }
        line |= {name: value for name, value in _extras(record).items() if name not in line}
        if record.exc_info:
            line["error"] = mask(self.formatException(record.exc_info))
        return msgspec.json.encode(line).decode()


class HumanFormatter(logging.Formatter):
    """`12:00:00.000 INFO    logger: message  name=value`, a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or lines where there is a traceback."""
        clock = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        extras = "".join(f"  {name}={value}" for name, value in _extras(record).items())
        # Control characters of a message could forge lines or move the cursor.
        message = _CONTROL.sub(lambda m: f"\\x{ord(m[0]):02x}", mask(record.getMessage()) + extras)
        line = f"{clock} {record.levelname:<7} {record.name}: {message}"
        if record.exc_info:
            line += "\n" + mask(self.formatException(record.exc_info))
        return line
