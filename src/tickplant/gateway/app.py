"""The application: doors, pages and the stream behind one envelope."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from tickplant.formats.compiled.loading import ROWS
from tickplant.gateway import seeds
from tickplant.gateway.doors import Door, Gate, responders_of, route_of, shadow_routes
from tickplant.gateway.envelope import Envelope, RequestIds, on_http_error
from tickplant.gateway.guides import guide_routes
from tickplant.gateway.hot import HotReads
from tickplant.gateway.influx import doors as influx
from tickplant.gateway.ingest.routes import Ingest, ingest_route
from tickplant.gateway.keys.install import guard, make_access
from tickplant.gateway.layers import OwnLayers
from tickplant.gateway.origins import OriginGuard, read_origins
from tickplant.gateway.prefix import Prefix
from tickplant.gateway.readers import Readers
from tickplant.gateway.rest import (
    amend,
    books,
    candles,
    declare,
    feeds,
    gaps,
    health,
    indicators,
    instruments,
    latest,
    polling,
    quarantine,
    stats,
    status,
    ticks,
    write,
)
from tickplant.gateway.rest.bodies import BodyRoom
from tickplant.gateway.rest.parsing import BodyParser
from tickplant.gateway.rest.problems import on_error
from tickplant.gateway.seeds.sockets import STATS_PATH, SeedSockets
from tickplant.gateway.short_way import ShortWay
from tickplant.gateway.site import Document, page_routes
from tickplant.gateway.stream.routes import stream_route, streams_of
from tickplant.gateway.traced import Traced
from tickplant.model.errors import TickplantError
from tickplant.plant.plant import Plant

DOORS: tuple[Door, ...] = (
    *instruments.DOORS,
    *ticks.DOORS,
    *stats.DOORS,
    *books.DOORS,
    *candles.DOORS,
    *indicators.DOORS,
    *latest.DOORS,
    *write.DOORS,
    *influx.DOORS,
    *amend.DOORS,
    *declare.DOORS,
    *gaps.DOORS,
    *polling.DOORS,
    *quarantine.DOORS,
    *status.DOORS,
    *feeds.DOORS,
    *health.DOORS,
    *seeds.DOORS,
)


BODIES_AT_ONCE = 8
"""Largest bodies that fit into memory together; beyond, producers are told to retry."""


def create_app(plant: Plant) -> OwnLayers:
    """Return the application that serves a plant, which the caller starts and stops.

    One application belongs to one event loop.
    """
    readers = Readers()
    parser = BodyParser(ROWS.prepare if plant.settings.plant.compiled else None)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with access.watching():
            yield
        await ingest.close()
        await streams_of(app).close()
        readers.close()
        parser.close()

    app = OwnLayers(lifespan=lifespan)
    app.router.redirect_slashes = False
    settings = plant.settings
    prefix = settings.server.path_prefix
    largest_mb = max(settings.server.body_mb_max, settings.ingest.frame_mb_max)
    bodies = BodyRoom(BODIES_AT_ONCE * largest_mb << 20)
    ingest = Ingest(plant, bodies)
    plant.list_pushed = ingest.feeds.shown
    app.state.ingest = ingest
    gate = Gate(plant, readers, bodies, parser)
    app.state.plant = plant
    # Routes are tried in turn, so the ones that producers hammer come first.
    ordered = sorted(DOORS, key=lambda door: door.method != "POST")
    app.router.routes.extend(shadow_routes(DOORS))
    app.router.routes.extend(route_of(door, gate) for door in ordered)
    documents: dict[str, Document] = {
        "/openapi.json": lambda: _openapi(prefix),
        "/asyncapi.json": lambda: _asyncapi(prefix),
    }
    pages = [*page_routes(documents, asks_keys=settings.auth.required), *guide_routes()]
    app.router.routes.extend(pages)
    app.router.routes.append(stream_route())
    app.router.routes.extend(SeedSockets().routes())
    app.router.routes.append(ingest_route(ingest))
    app.add_exception_handler(TickplantError, on_error)
    app.add_exception_handler(HTTPException, on_http_error)
    access = make_access(
        settings,
        DOORS,
        clock=plant.clock,
        refused=plant.metrics.refused,
        pages=[page.path for page in pages],
        reads=[STATS_PATH],
    )
    short = responders_of((*write.DOORS, *candles.DOORS, *latest.DOORS, *ticks.DOORS), gate)
    app.add_middleware(ShortWay, responders=short)
    guarded = guard(app, access)
    origins, ids = read_origins(plant.settings.server.origins), RequestIds()
    app.add_middleware(OriginGuard, allowed=origins)
    if plant.tracer is not None:
        app.add_middleware(Traced, tracer=plant.tracer)
    app.add_middleware(Envelope, metrics=plant.metrics, access=settings.log.access, ids=ids)
    app.hot = HotReads(
        short,
        metrics=plant.metrics,
        ids=ids,
        access=access if guarded else None,
        origins=origins,
        tracer=plant.tracer,
        prefix=prefix,
        log=settings.log.access,
    )
    if prefix:
        app.add_middleware(Prefix, prefix=prefix)
    return app


def _openapi(prefix: str) -> dict[str, Any]:
    from tickplant.gateway.openapi import openapi_document  # noqa: PLC0415 - Pydantic

    return openapi_document(DOORS, prefix)


def _asyncapi(prefix: str) -> dict[str, Any]:
    from tickplant.gateway.asyncapi.document import asyncapi_document  # noqa: PLC0415 - Pydantic

    return asyncapi_document(prefix)
