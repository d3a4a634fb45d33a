"""The Pydantic models that describe answers, by the names under which doors refer to them.

Nothing that serves imports this: the models are made when a document is asked for, since making
them takes a good part of the time in which a plant starts.
"""

from __future__ import annotations

from functools import cache

from pydantic import BaseModel

from tickplant.gateway.influx import models as influx
from tickplant.gateway.rest import feed_models, models
from tickplant.gateway.seeds import models as seeds

_HOMES = (models, feed_models, seeds, influx)


@cache
def model_of(name: str) -> type[BaseModel]:
    """Return the model of this name. Raises `LookupError` where there is none."""
    for home in _HOMES:
        found = vars(home).get(name)
        if isinstance(found, type) and issubclass(found, BaseModel):
            return found
    raise LookupError(f"no model is called {name}")
