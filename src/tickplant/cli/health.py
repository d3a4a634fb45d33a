"""`tickplant health`: does a plant answer, and well? For supervisors and containers."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from tickplant.cli.common import Common, command, parse_number
from tickplant.model.errors import InvalidParameter, TickplantError

URL = "http://127.0.0.1:8000"
TIMEOUT_S = 5.0
_BODY_BYTES_MAX = 1 << 20


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "health",
        panel="Run",
        takes=("url", "json"),
        summary="Say whether a running plant is well, by the exit code.",
        examples=(
            "tickplant health",
            "tickplant health --ready --url http://127.0.0.1:9000 --json",
        ),
    )(health)


def health(
    common: Common,
    ready: Annotated[
        bool, typer.Option("--ready", metavar=" ", help="Ask whether it accepts rows, instead.")
    ] = False,
    timeout: Annotated[
        str | None,
        typer.Option(metavar="S", show_default=False, help="Longest wait, s. Default: 5."),
    ] = None,
) -> int:
    """Ask `GET /health`, or with --ready `GET /ready`; exit with 0 for 200 and with 1 for 503.

    Needs no key and imports next to nothing, so that a supervisor may run it every few seconds.
    Without --url the plant is the one on http://127.0.0.1:8000.
    """
    wait_s = TIMEOUT_S
    if timeout is not None:
        wait_s = parse_number("--timeout", timeout, low=0.1, whole=False)
    path = "ready" if ready else "health"
    status, found = _ask(f"{(common.url or URL).rstrip('/')}/{path}", wait_s)
    if common.json:
        print(json.dumps(found))
    else:
        print(_sentence(found, ready=ready))
    return 0 if status == 200 else 1


def _ask(url: str, wait_s: float) -> tuple[int, dict[str, Any]]:
    if not url.startswith(("http://", "https://")):
        raise InvalidParameter("--url", url, "http://HOST:PORT", where="option")
    import urllib.error  # noqa: PLC0415 - heavier than all other commands' options
    import urllib.request  # noqa: PLC0415
    from http.client import HTTPException  # noqa: PLC0415

    try:
        with urllib.request.urlopen(url, timeout=wait_s) as answer:
            return answer.status, _read(url, answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, _read(url, refusal)
    except (OSError, ValueError, HTTPException) as fault:
        reason = getattr(fault, "reason", fault)
        raise TickplantError(f"{url} does not answer: {reason}") from None


def _read(url: str, answer: Any) -> dict[str, Any]:
    try:
        found = json.loads(answer.read(_BODY_BYTES_MAX))
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.keys() not in (
        {"status", "checks"},
        {"ready", "reason"},
    ):
        raise TickplantError(f"{url} does not answer as a plant does")
    return found


def _sentence(found: dict[str, Any], *, ready: bool) -> str:
    """Return the answer in words: the state, and why, where it is not a good one."""
    if ready:
        return f"{'ready' if found['ready'] else 'not ready'}: {found['reason']}"
    bad = [f"{name}: {one['detail']}" for name, one in found["checks"].items() if not one["ok"]]
    return "; ".join([found["status"], *bad])
