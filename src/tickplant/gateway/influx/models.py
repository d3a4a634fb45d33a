"""What the doors of InfluxDB answer, for the OpenAPI document only."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class InfluxFault(_Model):
    """Why something was refused, as InfluxDB 1 says it."""

    error: str = Field(examples=["partial write: line 3: price: must be above 0 dropped=1"])


class InfluxFault2(_Model):
    """Why something was refused, as InfluxDB 2 says it."""

    code: str = Field(examples=["invalid"])
    message: str = Field(examples=["precision: h2 is not allowed; allowed is ns, us, ms, s, m, h"])


class InfluxResults(_Model):
    """What came of a statement."""

    results: list[dict[str, Any]] = Field(
        description="One object, with `statement_id`, and with `series` where there are rows.",
        examples=[[{"statement_id": 0}]],
    )


class InfluxVersion(_Model):
    """Who answers."""

    version: str = Field(examples=["1.8-tickplant-0.1.0"])
