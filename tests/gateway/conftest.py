"""A fake plant, the application over it, and a client that needs no network."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from plant_fakes import FakePlant

from tickplant.gateway.app import create_app


@pytest.fixture
def plant() -> FakePlant:
    return FakePlant()


@pytest.fixture
async def client(plant: FakePlant) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(plant)  # type: ignore[arg-type]
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://plant") as made:
        yield made
