"""From settings to a guarded application."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from starlette.applications import Starlette

from tickplant.config import Settings
from tickplant.gateway.doors import Door
from tickplant.gateway.keys.access import Access
from tickplant.gateway.keys.file import KeyFile
from tickplant.gateway.keys.guard import KeyGuard
from tickplant.gateway.keys.rates import make_rates
from tickplant.gateway.keys.ring import KeyRing
from tickplant.gateway.keys.rules import Rules
from tickplant.gateway.keys.tokens import make_tokens


def make_access(
    settings: Settings,
    doors: Iterable[Door],
    *,
    clock: Callable[[], int],
    refused: Callable[[str], object],
    pages: Iterable[str] = (),
    reads: Iterable[str] = (),
    monotonic: Callable[[], float] = time.monotonic,
    environ: Mapping[str, str] = os.environ,
) -> Access:
    """Return the rules of an application, and the keys and limits that its settings ask for.

    `clock` gives nanoseconds, `monotonic` seconds. Raises `ConfigError` and `NotInstalled`.
    """
    rules = Rules(doors, pages, reads)
    ring = None
    if settings.auth.required:
        tokens = make_tokens(settings.auth, environ)
        ring = KeyRing(KeyFile(Path(settings.data)), tokens, clock)
    rates = make_rates(settings.limits, monotonic, rules.paths)
    return Access(rules, ring, rates, refused)


def guard(app: Starlette, access: Access) -> bool:
    """Put the guard before everything that was added so far; say if there is anything to guard."""
    guarded = access.ring is not None or access.rates is not None
    if guarded:
        app.add_middleware(KeyGuard, access=access)
    return guarded
