"""What the plant's doors ask of whoever runs its polling jobs."""

from __future__ import annotations

from typing import Any, Protocol


class Polling(Protocol):
    """Polling jobs. Used on the event loop of the gateway, which is that of the feeds."""

    async def create(self, symbols: Any, interval: Any, provider: Any) -> dict[str, Any]:
        """Create a job, or find the one that does the same; return it as it is shown."""
        ...

    async def cancel(self, job_id: str) -> dict[str, Any]:
        """End a job and return it as it was last. Raises `NotFound`."""
        ...

    def show(self, job_id: str) -> dict[str, Any]:
        """Return a job. Raises `NotFound`."""
        ...

    def list(self) -> list[dict[str, Any]]:
        """Return all jobs in the order of their creation."""
        ...
