"""`tickplant book`: the order book of an instrument."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tickplant.cli.common import Common, command, parse_count
from tickplant.cli.read import AsOf, Format, Out, write_found
from tickplant.model.errors import InvalidParameter

DEPTH = 10


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "book",
        panel="Read",
        summary="Show the order book of an instrument.",
        examples=(
            "tickplant book BINANCE:BTC-USDT --url http://127.0.0.1:8000",
            "tickplant book BTC-USDT --depth 5 --bps 10 --as-of 2026-05-07T00:00:00Z",
            "tickplant book BTC-USDT --depth 1000 --out levels.parquet",
        ),
    )(book)


def book(
    common: Common,
    symbol: Annotated[
        str, typer.Argument(metavar="SYMBOL", help="SYMBOL or VENUE:SYMBOL, in any case.")
    ],
    depth: Annotated[
        str | None,
        typer.Option(
            metavar="N", show_default=False, help=f"Most levels of a side. Default: {DEPTH}."
        ),
    ] = None,
    bps: Annotated[
        str | None,
        typer.Option(
            metavar="BPS",
            show_default=False,
            help="Also the sizes within so many basis points of the mid.",
        ),
    ] = None,
    as_of: AsOf = None,
    form: Format = None,
    out: Out = None,
) -> int:
    """Show the best levels of an order book, its state, and what is measured of it.

    A data folder shows its newest book as stale: only a running plant, by --url, hears of feeds.
    Files and formats of rows hold one row a level.
    """
    from tickplant.cli.output import choose_format, print_json  # noqa: PLC0415 - heavy
    from tickplant.cli.sources import open_source  # noqa: PLC0415 - heavy
    from tickplant.formats.books import levels_of_shown  # noqa: PLC0415 - heavy
    from tickplant.formats.result import Rows  # noqa: PLC0415 - heavy

    chosen = choose_format(form, out, as_json=common.json, default="table")
    levels = parse_count("--depth", depth) or DEPTH
    with open_source(common) as source:
        found = source.book(symbol, depth=levels, bps=_number(bps), as_of=as_of)
    if form is None and out is None:
        print_json(found) if common.json else _print_book(found)
    else:
        write_found(Rows(levels_of_shown(found)), "levels", chosen, out)
    return 0


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        raise InvalidParameter("--bps", text, "a number above 0", where="option") from None


def _print_book(found: dict[str, Any]) -> None:
    """Print a book for people: the asks above, the bids below, the best ones in the middle."""
    print(
        f"{found['venue']}:{found['symbol']}  {found['state']}  {found['ts_event'] or ''}".rstrip()
    )
    for level in reversed(found["asks"]):
        print(f"{'':<30}{_shown(level[0]):>14}  {_shown(level[1])}")
    print(f"{'':<14}{_middle(found)}")
    for level in found["bids"]:
        print(f"{_shown(level[1]):>14}  {_shown(level[0]):>14}")
    for name in ("imbalance", "signal"):
        if found[name] is not None:
            print(f"{name} {_shown(found[name])}")
    near = found.get("depth_bps")
    if near is not None and near["bid"] is not None:
        bid, ask = _shown(near["bid"]), _shown(near["ask"])
        print(f"within {_shown(near['bps'])} bps of the mid: bids {bid}, asks {ask}")


def _middle(found: dict[str, Any]) -> str:
    if found["mid"] is None:
        return "no mid"
    mid, spread, bps = (_shown(found[name]) for name in ("mid", "spread", "spread_bps"))
    return f"mid {mid}  spread {spread}  {bps} bps"


def _shown(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)
