"""The page of the command line, made from the commands themselves."""

from __future__ import annotations

import re
from typing import Any

import typer

from pages.text import anchor, code, flow, head, table
from tickplant.cli.app import app

_INTRO = """
In a checkout the command is `.venv/bin/tickplant`. Every command has `--help` with examples.

- `--data` names the data folder, which is `./data` unless it is given or `TICKPLANT_DATA` is set.
  `--url` asks a running plant instead. A command that needs a folder for itself and finds it in
  use says so and names the URL.
- `--json` prints what machines read; errors are then problem documents on stderr, the same that the
  API answers.
- Exit codes: 0 it worked; 1 something failed that the caller did not cause, or a check found
  something; 2 the caller can mend it; 130 interrupted by Ctrl-C.
"""
_MARKUP = re.compile(r"\[/?(?:bold|cyan|dim)\]")


def page() -> str:
    """Return the page."""
    commands: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    parts = [head("Command line", "the commands in src/tickplant/cli", _INTRO)]
    overview = [
        (f"[`tickplant {name}`](#{anchor(f'tickplant {name}')})", _summary(command))
        for name, command in commands.items()
    ]
    parts.append(table(("command", "what it does"), overview))
    parts += [_command(name, command) for name, command in commands.items()]
    return "\n".join(parts)


def _plain(text: str) -> str:
    return _MARKUP.sub("", text).replace(r"\[", "[")


def _summary(command: Any) -> str:
    return _plain(command.short_help).splitlines()[0]


def _command(name: str, command: Any) -> str:
    arguments = [one for one in command.params if not _is_option(one)]
    options = [one for one in command.params if _is_option(one) and not one.hidden]
    usage = " ".join([f"tickplant {name} [OPTIONS]", *map(_usage, arguments)])
    parts = [f"## tickplant {name}\n\n{flow(_plain(command.help))}\n\n```console\n{usage}\n```\n"]
    if arguments:
        rows = [(code(_name(one)), one.help or "") for one in arguments]
        parts.append(table(("argument", "meaning"), rows))
    parts.append(table(("option", "value", "meaning"), [_option(one) for one in options]))
    parts.append(_examples(command))
    return "\n".join(parts)


def _is_option(param: Any) -> bool:
    return any(text.startswith("-") for text in param.opts)


def _name(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper()).strip("[]{}.")


def _usage(argument: Any) -> str:
    name = _name(argument) + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _option(option: Any) -> tuple[str, str, str]:
    names = ", ".join(map(code, option.opts))
    value = code(option.metavar) if (option.metavar or "").strip() else ""
    text = _plain(option.help or "")
    default = option.default
    if option.show_default and default not in (None, False, ()) and "efault" not in text:
        text = f"{text} Default: {default}."
    return names, value, text


def _examples(command: Any) -> str:
    lines = [line.strip() for line in _plain(command.epilog or "").splitlines()]
    shown = "\n".join(line for line in lines if line.startswith("tickplant "))
    return f"```console\n{shown}\n```\n"
