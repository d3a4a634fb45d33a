"""Bodies that are parsed together give each producer what parsing them alone would."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.formats.parse import parse_body, parse_together
from tickplant.formats.parsed import Parsed
from tickplant.gateway.rest import parsing
from tickplant.gateway.rest.parsing import BodyParser
from tickplant.model.errors import UserError

JSON, NDJSON = "application/json", "application/x-ndjson"


def rows(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"symbol": "A", "price": n / 4 + 1, "note": "x" * 60, **more} for n in range(count)]


def body(media: str, made: list[dict[str, Any]], comma: str = ",") -> bytes:
    separators = (comma, ":")
    texts = [json.dumps(row, separators=separators) for row in made]
    return ("[" + comma.join(texts) + "]" if media == JSON else "\n".join(texts) + "\n").encode()


def alone(media: str, text: bytes) -> Parsed | str:
    try:
        return parse_body("trades", media, text)
    except UserError as fault:
        return fault.detail


SPLIT = [  # valid one after the other with a comma between, but not each by itself
    b'[{"symbol":"A","price":1,"note":"}]',
    b'[{","note":"' + b"x" * 60 + b'"}]',
]
ODD = [b"", b"[]", b"{", b"\xff", b'{"symbol":"A","price":2}', b'[{"symbol":1}]', *SPLIT]


@given(
    st.sampled_from([JSON, NDJSON]),
    st.lists(
        st.one_of(
            st.integers(1, 40),
            st.sampled_from(ODD),
            st.tuples(st.integers(1, 30), st.sampled_from([", ", ","])),
        ),
        min_size=1,
        max_size=6,
    ),
)
@settings(deadline=None)
def test_together_is_as_alone(media: str, wanted: list[Any]) -> None:
    bodies = [
        one if isinstance(one, bytes)
        else body(media, rows(one[0], size=1), one[1]) if isinstance(one, tuple)
        else body(media, rows(one))
        for one in wanted
    ]  # fmt: skip
    together = parse_together("trades", media, bodies)
    assert together in ([], [alone(media, text) for text in bodies])


def test_bodies_of_one_layout_are_parsed_together() -> None:
    for media in (JSON, NDJSON):
        bodies = [body(media, rows(count)) for count in (30, 1, 17)]
        found = parse_together("trades", media, bodies)
        assert [one.rows.num_rows for one in found] == [30, 1, 17]
        assert found == [alone(media, text) for text in bodies]
    assert parse_together("trades", JSON, [body(JSON, rows(40)), *SPLIT]) == []


def test_each_producer_gets_his_own_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []

    def parse_all(jobs: list[Any]) -> list[Any]:
        runs.append(len(jobs))
        return parse_all_before(jobs)

    parse_all_before = parsing._parse_all
    monkeypatch.setattr(parsing, "_parse_all", parse_all)
    sent = [
        *((JSON, body(JSON, rows(count))) for count in (30, 31, 32)),
        (JSON, b"[" * 50),
        *((NDJSON, body(NDJSON, rows(count))) for count in (20, 21)),
        ("text/none", b"x"),
        (JSON, body(JSON, rows(50_000))),
    ]

    async def send_all() -> list[Any]:
        parser = BodyParser()
        try:
            waits = (parser.parse("trades", *one) for one in sent)
            return await asyncio.gather(*waits, return_exceptions=True)
        finally:
            parser.close()

    found = asyncio.run(send_all())
    shown = [one.detail if isinstance(one, UserError) else one for one in found]
    assert shown == [alone(*one) for one in sent]
    assert runs == [1, 3, 2, 1]  # the first alone, then what came meanwhile, kind by kind


def test_who_went_away_keeps_nobody_waiting() -> None:
    async def leave_one() -> int:
        parser = BodyParser()
        texts = [body(JSON, rows(count)) for count in (30, 40, 50)]
        tasks = [asyncio.create_task(parser.parse("trades", JSON, text)) for text in texts]
        await asyncio.sleep(0)
        tasks[1].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        parser.close()
        assert isinstance(found[1], asyncio.CancelledError)
        return sum(one.rows.num_rows for one in found if isinstance(one, Parsed))

    assert asyncio.run(leave_one()) == 80


def test_much_json_has_what_reads_it_sooner_prepared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[str] = []
    monkeypatch.setattr(parsing, "PREPARE_AFTER_BYTES", 10_000)

    async def send(*sent: tuple[str, bytes]) -> list[str]:
        parser = BodyParser(lambda: prepared.append(threading.current_thread().name))
        for media, text in sent:
            await parser.parse("trades", media, text)
        parser._pool.shutdown()
        return prepared

    large = body(JSON, rows(200))
    csv = b"symbol,ts_event,price\n" + b"A,2024-05-07T14:30:00Z,1.5\n" * 1_000
    assert len(large) > 10_000 < len(csv)
    assert asyncio.run(send((JSON, body(JSON, rows(30))), ("text/csv", csv))) == []
    asyncio.run(send((JSON, large), (NDJSON, body(NDJSON, rows(200))), (JSON, large)))
    assert [name.startswith("parser") for name in prepared] == [True]
