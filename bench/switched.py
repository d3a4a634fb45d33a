"""A served plant whose observation is switched on and off while it runs, for `bench.observation`.

    python -m bench.switched ACK serve …

Two processes differ in where things lie in their memory, and no number of turns takes away what
comes of that. So there is one, and SIGUSR1 switches observation on, SIGUSR2 off; a byte on the file
descriptor `ACK` says that it is done. On is the plant as it is served. Off is without

- metrics: every method of `Metrics` that counts returns at once, the log's fsync included;
- the envelope: no id of the request, no context variable, no times, no headers of these, nor the
  answers to faults, of which there are none; what browsers are told stays;
- log lines.

Left in are the plant's own readings of the clock, of 60 ns each, numbers that a status route shows,
too, and the look at the load, which decides about the plant's work.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from tickplant import compose
from tickplant.gateway import app, envelope
from tickplant.gateway.doors import MARK, Mark
from tickplant.gateway.envelope import security_beside
from tickplant.observe.logs import LineHandler
from tickplant.observe.metrics import Metrics

_KEPT = {"watch", "render", "fsync_observer"}
_COUNTING = [n for n, v in vars(Metrics).items() if isinstance(v, FunctionType) and n[0] != "_"]
_MADE: list[SwitchedMetrics | SwitchedEnvelope] = []


def nothing(*_: Any, **__: Any) -> None:
    return None


class SwitchedMetrics(Metrics):
    """Metrics whose own methods hide those of the class while they are off."""

    def __init__(self) -> None:
        super().__init__()
        self.synced: Callable[[float], None] = nothing
        _MADE.append(self)

    def fsync_observer(self) -> Callable[[float], None]:
        self.synced = self.observe_sync = super().fsync_observer()
        return self.sync

    def sync(self, seconds: float) -> None:
        self.synced(seconds)

    def switch(self, *, on: bool) -> None:
        self.synced = self.observe_sync if on else nothing
        for name in set(_COUNTING) - _KEPT:
            if on:
                self.__dict__.pop(name, None)
            else:
                self.__dict__[name] = nothing


class SwitchedEnvelope(envelope.Envelope):
    """An envelope that only answers while it is off."""

    on = True

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        _MADE.append(self)

    def switch(self, *, on: bool) -> None:
        self.on = on

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.on or scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        scope[MARK] = Mark()

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                message["headers"] = [*headers, *security_beside(headers)]
            await send(message)

        await self._app(scope, receive, send_marked)


def switch(*, on: bool) -> None:
    """Switch all that was made in this process."""
    for part in _MADE:
        part.switch(on=on)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LineHandler):
            handler.__dict__.pop("emit", None)
            if not on:
                handler.__dict__["emit"] = nothing


def serve(ack: int, arguments: Sequence[str]) -> int:
    """Serve a plant until it is told to stop; observation is on at first."""
    from tickplant.cli import main

    def on_signal(number: int, _: object) -> None:
        switch(on=number == signal.SIGUSR1)
        os.write(ack, b"1")

    vars(compose)["Metrics"] = SwitchedMetrics
    vars(app)["Envelope"] = SwitchedEnvelope
    signal.signal(signal.SIGUSR1, on_signal)
    signal.signal(signal.SIGUSR2, on_signal)
    return main(arguments)


if __name__ == "__main__":
    sys.exit(serve(int(sys.argv[1]), sys.argv[2:]))
