"""Traffic recorded from exchanges, as it stands in shared/data/frames: plain text, nothing parsed.

A line is `<unix seconds>: <frame>`; lines with a URL are connections (`<->`), what was sent (`<-`)
and HTTP answers (`->`).
"""

from __future__ import annotations

import gzip
from decimal import Decimal
from typing import NamedTuple

from realdata import real


class Heard(NamedTuple):
    ts: int
    text: str


def lines(name: str) -> list[str]:
    """The lines of a file, such as `BINANCE.ws.1.0`; skips the test where it is missing."""
    with gzip.open(real(f"frames/{name}.gz"), "rt", encoding="utf-8") as file:
        return [line for line in file.read().splitlines() if line]


def frames(name: str) -> list[Heard]:
    """The frames that came over WebSockets, with the time of receipt in ns."""
    found = []
    for line in lines(name):
        stamp, colon, text = line.partition(": ")
        if colon and stamp.replace(".", "", 1).isdigit():
            found.append(Heard(int(Decimal(stamp) * 10**9), text))
    return found


def answers(name: str) -> list[tuple[str, Heard]]:
    """HTTP answers with their URLs."""
    found = []
    for line in lines(name):
        url, arrow, rest = line.partition(" -> ")
        if arrow:
            stamp, _, body = rest.partition(": ")
            found.append((url, Heard(int(Decimal(stamp) * 10**9), body)))
    return found
