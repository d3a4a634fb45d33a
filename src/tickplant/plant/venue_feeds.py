"""What the plant's doors ask of whoever runs its feeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class VenueFeeds(Protocol):
    """The feeds of a running plant. Used on the event loop of the gateway, which is theirs."""

    def show(self, name: str) -> dict[str, Any]:
        """Return a feed as `/v1/feeds` shows it, with each of its streams. Raises `NotFound`."""
        ...

    async def subscribe(
        self, name: str, symbols: Sequence[str], channels: Sequence[str] | None
    ) -> dict[str, Any]:
        """Subscribe a feed to more; return it. None is the channels that it was configured with.

        Raises `NotFound`, `Conflict` for a feed whose symbols are not chosen, `InvalidParameter`.
        """
        ...

    async def unsubscribe(
        self, name: str, symbols: Sequence[str], channels: Sequence[str] | None
    ) -> dict[str, Any]:
        """Unsubscribe a feed from some, None is all channels; return it. Raises as `subscribe`."""
        ...
