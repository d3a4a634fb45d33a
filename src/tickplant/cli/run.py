"""Run a command; turn what it raises into one sentence, or a problem document, and an exit code."""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer

from tickplant.model.collection import without_collection
from tickplant.model.errors import Complaint, PassingError, TickplantError, UserError, shorten

# The classes of the parser's own errors, by the way that works whichever parser typer brings.
_USAGE_ERROR: type[Any] = typer.BadParameter.__bases__[0]
_PARSER_ERROR: type[Any] = _USAGE_ERROR.__bases__[0]

OK, FAILED, USER = 0, 1, 2


class UsageFault(UserError):
    """The command line itself cannot be read."""

    title = "Bad command line"


def run_command(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; nothing is raised but bugs."""
    args = list(sys.argv[1:] if argv is None else argv)
    with without_collection():
        from tickplant.cli.app import app  # noqa: PLC0415 - to keep imports lazy

    try:
        code = app(args=args, prog_name="tickplant", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else OK
    except TickplantError as fault:
        return report(fault, as_json="--json" in args)
    except _PARSER_ERROR as fault:
        return report(_usage_fault(fault), as_json="--json" in args)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        # Who reads our output has gone (`| head`); that is not a failure, and no flush may raise.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as fault:
        return report(os_error(fault), as_json="--json" in args)


def report(fault: TickplantError, *, as_json: bool) -> int:
    """Say on stderr what went wrong and return the exit code for it."""
    if as_json:
        print(json.dumps(problem(fault), ensure_ascii=False, default=str), file=sys.stderr)
    else:
        mark = "\x1b[1;31merror:\x1b[0m" if sys.stderr.isatty() else "error:"
        print(mark, fault, file=sys.stderr)
        if isinstance(fault, PassingError):
            print(f"try again in {fault.retry_after_s:g} s", file=sys.stderr)
    return USER if isinstance(fault, UserError) else FAILED


def problem(fault: TickplantError) -> dict[str, Any]:
    """Return the error as the problem document (RFC 9457) that the API would answer with."""
    title = getattr(fault, "title", "Failed")
    complaints: tuple[Complaint, ...] = getattr(fault, "complaints", ())
    return {
        "type": "urn:tickplant:problem:" + title.lower().replace(" ", "-"),
        "title": title,
        "status": getattr(fault, "status", 500),
        "detail": str(fault),
        "errors": [{"loc": list(c.loc), "msg": c.msg, "value": c.value} for c in complaints],
    }


def os_error(fault: OSError) -> TickplantError:
    """Return a failed call of the operating system as one of our errors."""
    what = fault.strerror or str(fault)
    text = f"{fault.filename}: {what}" if fault.filename else what
    if isinstance(fault, FileNotFoundError | PermissionError | IsADirectoryError | FileExistsError):
        return UserError(text)
    return TickplantError(text)


def _usage_fault(fault: Any) -> UserError:
    """Return the parser's complaint as one sentence that names the nearest option there is."""
    text = str(fault.format_message()).strip()
    name = getattr(fault, "option_name", None)
    context = getattr(fault, "ctx", None)
    path = context.command_path if context is not None else "tickplant"
    if isinstance(name, str) and text.startswith("No such option") and context is not None:
        text = _no_such_option(name, context, path)
    text = text[:1].lower() + text[1:].rstrip(".")
    return UsageFault(
        f"{text}{' ' if text.endswith('?') else '; '}`{path} --help` says what there is",
        [Complaint(("argv", name or "argument"), text, name)],
    )


def _no_such_option(name: str, context: Any, path: str) -> str:
    known = [
        option
        for param in context.command.params
        for option in param.opts
        if option.startswith("-")
    ]
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    hint = f"; the nearest is {nearest[0]}" if nearest else ""
    return f"{shorten(name)}: {path} has no such option{hint}"
