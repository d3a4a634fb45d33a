"""The commands, in the groups in which the help shows them."""

from __future__ import annotations

import typer

from tickplant.cli import (
    about,
    bench,
    books,
    capture,
    doctor,
    follow,
    gaps,
    health,
    indicators,
    keys,
    load,
    read,
    replay,
    serve,
    stats,
    tail,
)

_HELP = """[bold]Tickplant[/bold], a market data plant: ticks in, durable, exact candles out.

Commands work on a data folder ([cyan]--data[/cyan], by default ./data) or ask a running plant \
([cyan]--url[/cyan]). Each has [cyan]--help[/cyan] with examples, and [cyan]--json[/cyan] for \
machines."""

_EPILOG = """[bold]The first minutes[/bold]

  [cyan]tickplant serve[/cyan]                   a plant with made-up ticks on http://127.0.0.1:8000

  [cyan]tickplant tail[/cyan]                    watch them

  [cyan]tickplant candles SYNTH:EURUSD[/cyan]    their candles"""

app = typer.Typer(
    name="tickplant",
    help=_HELP,
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root() -> None:
    """Hold the commands together; it has no options of its own."""


for group in (
    serve,
    follow,
    health,
    load,
    replay,
    capture,
    read,
    indicators,
    stats,
    books,
    gaps,
    tail,
    keys,
    doctor,
    bench,
    about,
):
    group.register(app)
