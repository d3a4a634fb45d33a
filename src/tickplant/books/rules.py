"""How the messages of a venue follow one another: what is applied, dropped, or shows a hole.

    message ──► judge(last, anchored, first, last, previous)
                    ├─ APPLY   it is the next one
                    ├─ DROP    the book has it already
                    └─ GAP     something before it is missing: the book needs a new snapshot

The rules are facts of the venues' public protocols:

binance-spot      U, u: first and last number of a message. Drop u <= last; U > last + 1 is a gap.
                  So the first one after a snapshot has U <= lastUpdateId + 1 <= u.
binance-futures   pu: the u before. Drop u <= last; pu must equal it. The first one after a snapshot
                  has U <= lastUpdateId <= u, or follows it by pu.
coinbase          Advanced Trade. A snapshot first. `sequence_num` counts the messages of the
                  connection, so holes in it are the session's to find; here it only orders.
coinbase-exchange The older feed: a snapshot, then changes without numbers.
kraken            Protocol 2: the book is cut to the subscribed depth after every message, and the
                  CRC32 of its best ten levels must be the message's (see `checksum`).
kraken-v1         The same with the older messages.
deribit           change_id, prev_change_id: the latter must equal the former of the message before.
replace           Every message is the book (Zerodha Kite, ccxt).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from tickplant.books.updates import NONE


class Verdict(IntEnum):
    """What is to be done with a message."""

    APPLY = 0
    DROP = 1
    GAP = 2


APPLY, DROP, GAP = Verdict.APPLY, Verdict.DROP, Verdict.GAP

Judge = Callable[[int, bool, int, int, int], Verdict]
"""(last of the book, whether a message followed its snapshot, first, last, previous) -> Verdict."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule of a venue.

    With `buffers`, messages before the snapshot are kept and judged once it is there, and a
    snapshot that is older than the book is dropped. With `checked`, a message may bring a checksum
    of the book behind it and the book is cut to its depth. With `replaces`, each message is one.
    """

    name: str
    judge: Judge
    buffers: bool = False
    checked: bool = False
    replaces: bool = False


def _spot(book: int, anchored: bool, first: int, last: int, previous: int) -> Verdict:
    if last <= book:
        return DROP
    return GAP if first > book + 1 else APPLY


def _futures(book: int, anchored: bool, first: int, last: int, previous: int) -> Verdict:
    if last <= book:
        return DROP
    if previous == book or (not anchored and first <= book):
        return APPLY
    return GAP


def _chained(book: int, anchored: bool, first: int, last: int, previous: int) -> Verdict:
    if book in (previous, NONE):
        return APPLY
    return DROP if last <= book else GAP


def _ordered(book: int, anchored: bool, first: int, last: int, previous: int) -> Verdict:
    return DROP if last != NONE and last <= book else APPLY


def _any(book: int, anchored: bool, first: int, last: int, previous: int) -> Verdict:
    return APPLY


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("binance-spot", _spot, buffers=True),
        Rule("binance-futures", _futures, buffers=True),
        Rule("coinbase", _ordered),
        Rule("coinbase-exchange", _any),
        Rule("kraken", _any, checked=True),
        Rule("kraken-v1", _any, checked=True),
        Rule("deribit", _chained),
        Rule("replace", _any, replaces=True),
    )
}
"""Every rule by its name."""
