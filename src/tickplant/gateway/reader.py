"""The application of a reader: the routes that read, answered by a follower of a plant.

What they answer is what the plant would; what was acknowledged before a request came is in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tickplant.gateway.doors import MARK, Door, reading_responders, reading_route
from tickplant.gateway.envelope import Envelope, RequestIds, on_http_error
from tickplant.gateway.hot import HotReads
from tickplant.gateway.keys.install import guard, make_access
from tickplant.gateway.layers import OwnLayers
from tickplant.gateway.prefix import Prefix
from tickplant.gateway.readers import Readers
from tickplant.gateway.rest import (
    candles,
    gaps,
    indicators,
    instruments,
    latest,
    quarantine,
    status,
    ticks,
)
from tickplant.gateway.rest.answers import answer_json
from tickplant.gateway.rest.problems import on_error
from tickplant.gateway.short_way import ShortWay
from tickplant.model.errors import TickplantError
from tickplant.plant.follower import Follower
from tickplant.plant.plant import Plant

DOORS: tuple[Door, ...] = tuple(
    door
    for room in (candles, latest, instruments, ticks, indicators, gaps, quarantine, status)
    for door in room.DOORS
    if door.read is not None
)


def create_reader_app(follower: Follower) -> OwnLayers:
    """Return the application that answers from a follower, which the caller starts and stops."""
    readers = Readers(threads=1)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with access.watching():
            yield
        readers.close()

    # Of a plant these doors use what a follower has too, which the tests see to.
    plant = cast(Plant, follower)
    routes = [reading_route(door, plant, readers, follower.catch_up) for door in DOORS]
    routes += [_ready_route(follower), _metrics_route(follower, readers)]
    access = make_access(
        follower.settings,
        DOORS,
        clock=follower.clock,
        refused=follower.metrics.refused,
        pages=["/ready"],
        reads=["/metrics"],
    )
    app = OwnLayers(routes=routes, lifespan=lifespan)
    app.router.redirect_slashes = False
    app.add_exception_handler(TickplantError, on_error)
    app.add_exception_handler(HTTPException, on_http_error)
    hot = (*candles.DOORS, *latest.DOORS, *ticks.DOORS)
    short = reading_responders(hot, plant, readers, follower.catch_up)
    app.add_middleware(ShortWay, responders=short)
    guarded, ids, log = guard(app, access), RequestIds(), follower.settings.log.access
    app.add_middleware(Envelope, metrics=follower.metrics, access=log, ids=ids)
    prefix = follower.settings.server.path_prefix
    app.hot = HotReads(
        short,
        metrics=follower.metrics,
        ids=ids,
        access=access if guarded else None,
        prefix=prefix,
        log=log,
    )
    if prefix:
        app.add_middleware(Prefix, prefix=prefix)
    return app


def _ready_route(follower: Follower) -> Route:
    async def ready(request: Request) -> Response:
        request.scope[MARK].route = "/ready"
        good, reason = follower.readiness()
        headers = {} if good else {"Retry-After": "1"}
        return answer_json({"ready": good, "reason": reason}, 200 if good else 503, headers)

    return Route("/ready", ready, methods=["GET"])


def _metrics_route(follower: Follower, readers: Readers) -> Route:
    async def metrics(request: Request) -> Response:
        request.scope[MARK].route = "/metrics"
        text, content_type = await readers.run(follower.metrics.render)
        return Response(text, 200, {"Content-Type": content_type, "Cache-Control": "no-store"})

    return Route("/metrics", metrics, methods=["GET"])
