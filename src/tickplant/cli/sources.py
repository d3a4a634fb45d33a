"""Where a reading command reads: a data folder, or a running plant by its URL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, Self

import pyarrow as pa

from tickplant.cli.common import Common
from tickplant.formats.result import Rows


class Source(Protocol):
    """What both can do; `tickplant.library.Folder` and `tickplant.client.Client` are such."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *fault: Any) -> None: ...

    def instruments(self, **query: Any) -> Rows:
        """Return instruments."""
        ...

    def candles(self, symbol: str, **query: Any) -> Rows:
        """Return candles."""
        ...

    def quarantine(self, **query: Any) -> Rows:
        """Return refused rows."""
        ...

    def row_chunks(self, table: str, symbol: str, **query: Any) -> Iterator[pa.Table]:
        """Yield trades or quotes in chunks."""
        ...


def open_source(common: Common) -> Any:
    """Return the folder or the running plant that the common options name."""
    common.check_one_source()
    if common.url is not None:
        from tickplant.client import Client  # noqa: PLC0415 - heavy

        return Client(common.url)
    from tickplant.library import open_data  # noqa: PLC0415 - heavy

    return open_data(common.folder())
