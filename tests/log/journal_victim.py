"""A process that appends until it is killed, and says on its output what was acknowledged."""

import hashlib
import os
import sys
from typing import NoReturn

from tickplant.config import LogSettings
from tickplant.log.contract import LogRecord
from tickplant.log.journal import Journal


def payload(seq: int) -> bytes:
    """Return the payload that belongs to a number: 1 to 3 KB that nobody else has."""
    return hashlib.sha256(str(seq).encode()).digest() * (32 + seq % 64)


def main(folder: str) -> NoReturn:
    journal = Journal(folder, LogSettings(segment_mb=1, pending_mb_max=1))
    seq = journal.seq_next
    while True:
        record = LogRecord(1, seq, 1, payload(seq))
        journal.append([record], lambda fault, s=seq: fault or os.write(1, b"%d\n" % s))
        seq += 1


if __name__ == "__main__":
    main(sys.argv[1])
