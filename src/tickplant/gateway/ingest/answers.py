"""What becomes of rows that were handed in: an acknowledgement, or an error under their number."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from tickplant.gateway.ingest.protocol import BadMessage, Codec, Frame
from tickplant.gateway.waiting import outcome
from tickplant.model.errors import InvalidBody, PassingError, TickplantError
from tickplant.observe.tracing import Trace
from tickplant.plant.submission import Receipt


@dataclass(frozen=True, slots=True)
class Pending:
    """Rows that were handed in under a number of the producer's; `trace` ends once answered."""

    seq: int
    receipt: Future[Receipt]
    trace: Trace | None = None


async def acknowledge(pending: Pending, codec: Codec) -> Frame:
    """Return the answer to rows once they are durable, or what became of them instead."""
    future = pending.receipt
    try:
        receipt = future.result() if future.done() else await outcome(future)
    except TickplantError as fault:
        return codec.error(_refusal(pending.seq, fault))
    return codec.message("ack", seq=pending.seq, **_public(receipt))


def _refusal(seq: int, fault: TickplantError) -> BadMessage:
    if isinstance(fault, InvalidBody):
        errors = [{"loc": list(one.loc), "msg": one.msg} for one in fault.complaints]
        return BadMessage("bad_rows", fault.detail, seq, errors=errors)
    if isinstance(fault, PassingError):
        return BadMessage("try_again", fault.detail, seq, retry_after_s=fault.retry_after_s)
    return BadMessage("failed", str(fault), seq)


def _public(receipt: Receipt) -> dict[str, Any]:
    return {
        "accepted": receipt.accepted,
        "duplicates": receipt.duplicates,
        "rejected": [
            {"index": one.index, "reason": one.reason, "detail": one.detail}
            for one in receipt.rejected
        ],
        "seq_first": receipt.seq_first,
        "seq_last": receipt.seq_last,
    }
