"""Subscriptions that were changed while the plant ran, kept over a restart.

Kept is what differs from the configuration, by feed, so that a changed configuration counts too:

    feeds.json   {"binance": {"added": [["ETH-USDT", "trades"]], "removed": []}}
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tickplant.feeds.supervisor.names import is_name
from tickplant.feeds.venues.contract import CHANNELS, Stream

_LOG = logging.getLogger(__name__)

FILE = "feeds.json"


class KeptStreams:
    """The changes of all feeds of a data folder. Any thread; blocks for the disk."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._lock = threading.Lock()
        self._known = self._read()

    def apply(self, feed: str, configured: Iterable[Stream]) -> list[Stream]:
        """Return what a feed is subscribed to: what is configured, and what was changed since."""
        change = self._known.get(feed, {})
        removed = _streams(change.get("removed"))
        kept = [stream for stream in configured if stream not in removed]
        return list(dict.fromkeys([*kept, *_streams(change.get("added"))]))

    def keep(self, feed: str, configured: Sequence[Stream], streams: Sequence[Stream]) -> None:
        """Keep what a feed is subscribed to now. Raises `OSError`."""
        added = [stream for stream in streams if stream not in set(configured)]
        removed = [stream for stream in configured if stream not in set(streams)]
        with self._lock:
            known = {name: change for name, change in self._known.items() if name != feed}
            if added or removed:
                known[feed] = {"added": added, "removed": removed}
            self._write(known)
            self._known = known

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as fault:
            _LOG.error("%s cannot be read, changed subscriptions are lost: %s", self._path, fault)
            return {}
        return known if isinstance(known, dict) else {}

    def _write(self, known: dict[str, Any]) -> None:
        beside = self._path.with_suffix(".new")
        with beside.open("w", encoding="utf-8") as file:
            json.dump(known, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)


def _streams(given: Any) -> list[Stream]:
    """Return what of a list names streams."""
    found = []
    for one in given if isinstance(given, list) else ():
        if isinstance(one, list) and len(one) == 2 and one[1] in CHANNELS:
            symbol, channel = one
            if isinstance(symbol, str) and is_name(symbol):
                found.append(Stream(symbol, channel))
    return found
