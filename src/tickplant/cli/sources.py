"""Where a reading command reads: a data folder, or a running plant by its URL."""

from __future__ import annotations

from typing import Any

from tickplant.cli.common import Common
from tickplant.cli.process import keep_pandas_out
from tickplant.model.errors import NotFound


def open_source(common: Common) -> Any:
    """Return the folder or the running plant that the common options name."""
    common.check_one_source()
    if common.url is not None:
        keep_pandas_out()
        from tickplant.cli.chunks import Remote  # noqa: PLC0415 - heavy

        return Remote(common.url, key=common.plant_key())
    return open_folder(common)


def open_folder(common: Common) -> Any:
    """Return the folder that the common options name; says where else one could look."""
    keep_pandas_out()
    from tickplant.library import open_data  # noqa: PLC0415 - heavy

    try:
        return open_data(common.folder(), config=common.config_file())
    except NotFound as fault:
        raise NotFound(f"{fault}; --data names another, `tickplant serve` makes one") from None
