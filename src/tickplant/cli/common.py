"""What every command takes, and how a command is declared.

A command is a function whose first parameter is `common: Common`; `command` puts the common
options in its place.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from tickplant.model.errors import InvalidParameter

if TYPE_CHECKING:
    from tickplant.config import Settings

CONFIG_FILE = Path("tickplant.toml")
_PANEL = "Common options"

_OPTIONS: dict[str, tuple[Any, Any]] = {
    "data": (
        Annotated[
            str | None,
            typer.Option(
                "--data",
                metavar="DIR",
                rich_help_panel=_PANEL,
                show_default=False,
                help="The data folder; also TICKPLANT_DATA. Default: ./data",
            ),
        ],
        None,
    ),
    "url": (
        Annotated[
            str | None,
            typer.Option(
                "--url",
                metavar="URL",
                rich_help_panel=_PANEL,
                show_default=False,
                help="A running plant to ask instead of a folder.",
            ),
        ],
        None,
    ),
    "key": (
        Annotated[
            str | None,
            typer.Option(
                "--key",
                metavar="KEY",
                rich_help_panel=_PANEL,
                show_default=False,
                help="The key for a running plant. Better in TICKPLANT_KEY: other users of this "
                "machine see what a command was started with.",
            ),
        ],
        None,
    ),
    "config": (
        Annotated[
            str | None,
            typer.Option(
                "--config",
                metavar="FILE",
                rich_help_panel=_PANEL,
                show_default=False,
                help="Settings. Default: ./tickplant.toml where it exists.",
            ),
        ],
        None,
    ),
    "set": (
        Annotated[
            list[str] | None,
            typer.Option(
                "--set",
                metavar="KEY=VALUE",
                rich_help_panel=_PANEL,
                show_default=False,
                help="Any setting, such as log.segment_mb=16; may be repeated.",
            ),
        ],
        None,
    ),
    "json": (
        Annotated[
            bool,
            typer.Option(
                "--json",
                metavar=" ",
                rich_help_panel=_PANEL,
                help="Machine-readable output; errors as problem JSON on stderr.",
            ),
        ],
        False,
    ),
}

DATA_OR_URL = ("data", "url", "key", "config", "set", "json")
FOLDER = ("data", "config", "set", "json")


@dataclass(frozen=True, slots=True)
class Common:
    """The common options as they were given; None where they were not."""

    data: str | None = None
    url: str | None = None
    key: str | None = field(default=None, repr=False)
    config: str | None = None
    set: tuple[str, ...] = ()
    json: bool = False

    def settings(self, flags: Mapping[str, Any] | None = None) -> Settings:
        """Return the settings: file, environment, `--set`, then `flags`. Raises `ConfigError`."""
        from tickplant.config import load  # noqa: PLC0415 - heavy

        file = self.config_file()
        given = {"data": self.data, **dict(map(_split_setting, self.set)), **(flags or {})}
        return load(file=file, environ=os.environ, flags=given)

    def config_file(self) -> Path | None:
        """Return the file with the settings; None where there is none."""
        if self.config is not None:
            return Path(self.config)
        return CONFIG_FILE if CONFIG_FILE.is_file() else None

    def plant_key(self) -> str | None:
        """Return the key for a running plant: `--key`, else TICKPLANT_KEY; None where none is."""
        from tickplant.config import KEY_VARIABLE  # noqa: PLC0415 - heavy

        return self.key or os.environ.get(KEY_VARIABLE) or None

    def folder(self) -> Path:
        """Return the data folder."""
        return Path(self.settings().data)

    def check_one_source(self) -> None:
        """Raise `InvalidParameter` where both a folder and a running plant are named."""
        if self.url is not None and self.data is not None:
            raise InvalidParameter("--url", self.url, "--data or --url, not both", where="option")


def _split_setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InvalidParameter("--set", text, "section.key=value", where="option")
    return key.strip(), value.strip()


Command = Callable[..., int | None]


def command(
    app: typer.Typer,
    name: str,
    *,
    panel: str,
    summary: str,
    examples: tuple[str, ...],
    takes: tuple[str, ...] = DATA_OR_URL,
) -> Callable[[Command], Command]:
    """Register a command: its docstring is its help, which ends with its examples.

    The first example stands in the list of commands too.
    """

    def register(function: Command) -> Command:
        short = f"{_plain(summary)}\n[dim]{_plain(examples[0])}[/dim]"
        lines = ["[bold]Examples[/bold]" if len(examples) > 1 else "[bold]Example[/bold]"]
        epilog = "\n\n".join([*lines, *(f"  [cyan]{_plain(text)}[/cyan]" for text in examples)])
        app.command(
            name,
            help=_plain(_unwrapped(function.__doc__ or summary)),
            short_help=short,
            epilog=epilog,
            rich_help_panel=panel,
        )(_with_common(function, takes))
        return function

    return register


def _with_common(function: Command, takes: tuple[str, ...]) -> Command:
    """Return the function with the common options that it takes in the place of `common`."""
    hints = get_type_hints(function, include_extras=True)
    own = list(inspect.signature(function).parameters.values())[1:]
    keyword = inspect.Parameter.KEYWORD_ONLY
    params = [p.replace(annotation=hints[p.name], kind=keyword) for p in own]
    for name in takes:
        annotation, default = _OPTIONS[name]
        params.append(
            inspect.Parameter(f"common_{name}", keyword, annotation=annotation, default=default)
        )

    def run(**given: Any) -> int | None:
        common = {name: given.pop(f"common_{name}") for name in takes}
        if "set" in common:
            common["set"] = tuple(common["set"] or ())
        return function(Common(**common), **given)

    run.__name__ = function.__name__
    run.__annotations__ = {p.name: p.annotation for p in params}
    run.__signature__ = inspect.Signature(params)  # type: ignore[attr-defined]
    return run


def _unwrapped(doc: str) -> str:
    """Return a docstring with each paragraph on one line; the terminal's width wraps it again."""
    paragraphs = inspect.cleandoc(doc).split("\n\n")
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)


def _plain(text: str) -> str:
    """Return text in which square brackets are not markup."""
    return text.replace("[", r"\[")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Return the choice in lower case; raises `InvalidParameter` that names what is allowed."""
    word = value.strip().lower()
    if word not in choices:
        raise InvalidParameter(name, value, ", ".join(choices), where="option")
    return word


def parse_number(name: str, text: str, *, low: float, whole: bool) -> float:
    """Return a number from an option; raises `InvalidParameter` that says what is allowed."""
    try:
        number = float(int(text)) if whole else float(text)
    except ValueError:
        number = float("nan")
    if not low <= number < float("inf"):
        kind = "a whole number" if whole else "a number"
        raise InvalidParameter(name, text, f"{kind} from {low:g} on", where="option")
    return number


def parse_count(name: str, text: str | None) -> int | None:
    """Return a whole number from 1 on, None for None."""
    return None if text is None else int(parse_number(name, text, low=1, whole=True))
