"""The application that B10 is held against: plain FastAPI routes over rows in memory.

Written as the framework's own tutorial has it: parameters and answers are declared, the answer is
checked and written by Pydantic. The environment names a file with the rows, the answers of a plant.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query

from tickplant.gateway.rest.models import CandlesPage, LatestModel, TradesPage

ROWS = "TICKPLANT_BENCH_ROWS"

Limit = Annotated[int, Query(ge=1, le=10_000)]

app = FastAPI()
held: dict[str, dict[str, Any]] = {}
if ROWS in os.environ:
    held = json.loads(Path(os.environ[ROWS]).read_bytes())


def _held(kind: str, symbol: str) -> dict[str, Any]:
    try:
        return held[kind][symbol.upper()]
    except KeyError:
        raise HTTPException(404, f"{symbol} is not known") from None


@app.get("/ready")
async def ready() -> dict[str, bool]:
    return {"ready": True}


@app.get("/v1/latest/{symbol}", response_model=LatestModel, response_model_exclude_unset=True)
async def latest(symbol: str) -> dict[str, Any]:
    return _held("latest", symbol)


@app.get("/v1/candles/{symbol}", response_model=CandlesPage, response_model_exclude_unset=True)
async def candles(symbol: str, interval: str = "1m", limit: Limit = 1_000) -> dict[str, Any]:
    page = _held("candles", symbol)
    return {**page, "interval": interval, "candles": page["candles"][-limit:]}


@app.get("/v1/trades/{symbol}", response_model=TradesPage, response_model_exclude_unset=True)
async def trades(symbol: str, order: str = "asc", limit: Limit = 1_000) -> dict[str, Any]:
    page = _held("trades", symbol)
    rows = page["trades"] if order == "desc" else page["trades"][::-1]
    return {**page, "trades": rows[:limit]}
