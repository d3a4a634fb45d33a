"""The ops of a fake venue, by which a test tells it what happens and asks what has happened.

One line of JSON an op, `{"op": NAME, …}`; the answer is `{"ok": true, …}`, or `ok` false with
`error`. Symbols and channels (`trades`, `quotes`, `book`, `stats`) are canonical; `link` is the
number of a connection, counted from 1; left out means every one.

    reset       instruments?, options?           cut all, begin anew; instruments as fields of
                                                 venue_truth.Instrument or those of the dialect
    clock       ts?, step?                       venue time from here on; without ts the wall clock
    send        events, together?                make events true (Truth.apply), in order, and send
                                                 them; with together one message a stream
    market      seed?, steps, symbols?           random steps; seed begins the series anew
    heartbeat   link?                            · ping link? (waits for the pong, s_max)
    raw         frame | base64, link?            a frame as it is, past truth and dialect
    stall       link?, keep?                     send nothing; keep holds it back until resume
    resume      link?                            · cut link?, code? (without code: abort)
    forget      symbol, channel, link?           lose a subscription, without a word
    skip, duplicate, reorder, corrupt_checksum   n?, symbol?, channel?, link?: the next n messages
    calm                                         forget those faults that have not struck yet
    refuse      what: connect | subscribe        times?, status?, symbol?, channel?, reason?
    rate_limit  what: http | connect | message   times?, retry_after?, path?
    http        path, status?, body?, delay_s?, times?     · history_off, history_slow (hold until
                                                 history_on), history_on, http_clear path?
    expire      link?, cut?                      the notice of the venue, if any; then the cut
    truth       what is so, and by link and stream what was sent (`sent`)
    seen        connections, subscriptions, frames of clients, HTTP requests
    wait_for    connections | connects | subscriptions | frames | requests: at least so many,
                with `exactly` just so many; symbol?, channel?, text?, path?; s_max? (10)
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from itertools import groupby
from random import Random
from typing import TYPE_CHECKING, Any

from venues import venue_market
from venues.dialect import Link
from venues.venue_faults import KINDS
from venues.venue_gate import HttpFault

if TYPE_CHECKING:
    from venues.venue_server import Server

Spoken = Mapping[str, Any]


class Controls:
    """Answers tests. Each control connection is answered in order, beside the others."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._random = Random(0)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                answer = await self._answer(json.loads(line))
                writer.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _answer(self, spoken: Spoken) -> dict[str, Any]:
        act = getattr(self, f"_op_{spoken['op']}", None)
        try:
            if spoken["op"] in KINDS:
                self._server.delivery.add(spoken["op"], spoken)
                return {"ok": True}
            if act is None:
                return {"ok": False, "error": f"no such op: {spoken['op']}"}
            found = act(spoken)
            found = await found if asyncio.iscoroutine(found) else found
            await self._server.wake()
            return {"ok": True, **(found or {})}
        except Exception as fault:  # a test's mistake or a dialect's: the test is told
            return {"ok": False, "error": f"{type(fault).__name__}: {fault}"}

    def _links(self, spoken: Spoken) -> list[Link]:
        wanted = spoken.get("link")
        return [link for link in self._server.sockets if wanted in (None, link.number)]

    # -- what happens -------------------------------------------------------------------------

    def _op_reset(self, spoken: Spoken) -> None:
        self._random = Random(0)
        self._server.reset(spoken)

    def _op_clock(self, spoken: Spoken) -> None:
        self._server.truth.set_clock(spoken.get("ts"), int(spoken.get("step", 1_000_000)))

    def _op_send(self, spoken: Spoken) -> dict[str, Any]:
        truth = self._server.truth
        if not spoken.get("together"):
            for one in spoken["events"]:
                self._server.tell([truth.apply(one)])
            return {}
        events = [truth.apply(one) for one in spoken["events"]]
        for _, run in groupby(events, key=lambda event: event.stream):
            self._server.tell(list(run))
        return {}

    def _op_market(self, spoken: Spoken) -> dict[str, Any]:
        if "seed" in spoken:
            self._random = Random(spoken["seed"])
        truth, count = self._server.truth, 0
        symbols = spoken.get("symbols") or list(truth.instruments)
        for event in venue_market.steps(truth, symbols, self._random, int(spoken["steps"])):
            self._server.tell([event])
            count += 1
        return {"events": count}

    def _op_heartbeat(self, spoken: Spoken) -> None:
        delivery = self._server.delivery
        for link in self._links(spoken):
            self._server.write(link, delivery.hold(link, self._server.dialect.heartbeat(link)))

    async def _op_ping(self, spoken: Spoken) -> None:
        for link in self._links(spoken):
            pong = await self._server.sockets[link].ping()
            await asyncio.wait_for(pong, spoken.get("s_max", 10.0))

    def _op_raw(self, spoken: Spoken) -> None:
        frame = base64.b64decode(spoken["base64"]) if "base64" in spoken else spoken["frame"]
        for link in self._links(spoken):
            self._server.write(link, [frame])

    # -- what goes wrong ----------------------------------------------------------------------

    def _op_calm(self, spoken: Spoken) -> None:
        self._server.delivery.faults.clear()

    def _op_stall(self, spoken: Spoken) -> None:
        for link in self._links(spoken):
            self._server.delivery.stalled[link.number] = bool(spoken.get("keep"))

    def _op_forget(self, spoken: Spoken) -> None:
        for link in self._links(spoken):
            link.streams.remove((spoken["symbol"], spoken["channel"]))

    def _op_resume(self, spoken: Spoken) -> None:
        for link in self._links(spoken):
            self._server.write(link, self._server.delivery.resume(link))

    def _op_cut(self, spoken: Spoken) -> None:
        for link in self._links(spoken):
            self._server.cut(link, spoken.get("code"))

    def _op_expire(self, spoken: Spoken) -> None:
        for link in self._links(spoken):
            self._server.write(link, self._server.dialect.expiring(link))
            if spoken.get("cut"):
                self._server.cut(link, spoken.get("code"))

    def _op_refuse(self, spoken: Spoken) -> None:
        times, gate = int(spoken.get("times", 1)), self._server.gate
        if spoken["what"] == "connect":
            gate.connects += [int(spoken.get("status", 503))] * times
            return
        fields = {name: spoken.get(name) for name in ("symbol", "channel")}
        gate.streams.append({"left": times, "reason": spoken.get("reason", "refused"), **fields})

    def _op_rate_limit(self, spoken: Spoken) -> None:
        times, gate = int(spoken.get("times", 1)), self._server.gate
        if spoken["what"] == "connect":
            gate.connects += [429] * times
        elif spoken["what"] == "message":
            gate.messages += times
        else:
            after = int(spoken.get("retry_after", 1))
            gate.faults.append(HttpFault(spoken.get("path", ""), times, retry_after_s=after))

    def _op_http(self, spoken: Spoken) -> None:
        fields = {name: spoken[name] for name in ("status", "body", "delay_s") if name in spoken}
        fault = HttpFault(spoken.get("path", ""), spoken.get("times"), **fields)
        self._server.gate.faults.append(fault)

    def _op_http_clear(self, spoken: Spoken) -> None:
        self._server.gate.clear_http(spoken.get("path"))

    def _op_history_off(self, spoken: Spoken) -> None:
        for path in self._server.dialect.history:
            self._server.gate.faults.append(HttpFault(path, None, status=503))

    def _op_history_slow(self, spoken: Spoken) -> None:
        for path in self._server.dialect.history:
            self._server.gate.faults.append(HttpFault(path, None, hold=asyncio.Event()))

    def _op_history_on(self, spoken: Spoken) -> None:
        for path in self._server.dialect.history:
            self._server.gate.clear_http(path)

    # -- what has happened --------------------------------------------------------------------

    def _op_truth(self, spoken: Spoken) -> dict[str, Any]:
        sent = [
            {"link": link, "symbol": symbol, "channel": channel, "marks": marks}
            for (link, (symbol, channel)), marks in self._server.delivery.sent.items()
        ]
        return {**self._server.truth.shown(), "sent": sent}

    def _op_seen(self, spoken: Spoken) -> dict[str, Any]:
        server = self._server
        links = [
            {
                "link": link.number,
                "path": link.path,
                "query": link.query,
                "headers": link.headers,
                "open": link in server.sockets,
                "streams": sorted(link.streams),
            }
            for link in server.links
        ]
        return {"links": links, "frames": server.heard, "requests": server.requests}

    async def _op_wait_for(self, spoken: Spoken) -> dict[str, Any]:
        what = next(name for name in _COUNTS if name in spoken)
        count, wanted = _COUNTS[what], int(spoken[what])
        exactly = bool(spoken.get("exactly"))

        def so() -> bool:
            found = count(self._server, spoken)
            return found == wanted if exactly else found >= wanted

        async with self._server.changed:
            try:
                await asyncio.wait_for(self._server.changed.wait_for(so), spoken.get("s_max", 10.0))
            except TimeoutError:
                found = count(self._server, spoken)
                return {"ok": False, "error": f"{what}: {found}, waited for {wanted}"}
        return {}


def _fits(spoken: Spoken, stream: tuple[str, str]) -> bool:
    wanted = spoken.get("symbol"), spoken.get("channel")
    return all(w in (None, found) for w, found in zip(wanted, stream, strict=True))


def _subscriptions(server: Server, spoken: Spoken) -> int:
    return sum(_fits(spoken, stream) for link in server.sockets for stream in link.streams)


def _frames(server: Server, spoken: Spoken) -> int:
    return sum(spoken.get("text", "") in one["frame"] for one in server.heard)


def _requests(server: Server, spoken: Spoken) -> int:
    return sum(spoken.get("path", "") in one["path"] for one in server.requests)


_COUNTS = {
    "connections": lambda server, spoken: len(server.sockets),
    "connects": lambda server, spoken: len(server.links),
    "subscriptions": _subscriptions,
    "frames": _frames,
    "requests": _requests,
}
