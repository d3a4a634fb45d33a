"""`tickplant keys`: who may ask a plant that asks for keys."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tickplant.cli.common import FOLDER, Common, check_choice, command
from tickplant.model.errors import InvalidParameter

if TYPE_CHECKING:
    from tickplant.gateway.keys.file import KeyFile, StoredKey

ACTIONS = ("create", "list", "revoke")
NAME_CHARS_MAX = 64
_SPAN = re.compile(r"([1-9]\d{0,4})([hd])\Z")
_HOURS = {"h": 1, "d": 24}
_HOUR_NS = 3_600_000_000_000


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "keys",
        panel="Run",
        takes=FOLDER,
        summary="Create, list and revoke the keys of a plant.",
        examples=(
            "tickplant keys create --scope read --name grafana",
            "tickplant keys create --scope read,write --expires 90d --data ./market",
            "tickplant keys list --json",
            "tickplant keys revoke 5f0c9e21a7",
        ),
    )(keys)


def keys(
    common: Common,
    action: Annotated[str, typer.Argument(metavar="ACTION", help="create, list or revoke.")],
    number: Annotated[
        str | None,
        typer.Argument(metavar="ID", show_default=False, help="Which key to revoke."),
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCOPES",
            show_default=False,
            help="What a new key may do: read, write or admin (everything); several with commas "
            "between. Default: read.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="TEXT", show_default=False, help="Whose it is, for the list."),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            show_default=False,
            help="When a new key ends: 90d, 12h, or a time. Default: never.",
        ),
    ] = None,
) -> int:
    """Create, list and revoke the keys that `auth.required` asks for.

    A new key is printed once and never again: the data folder keeps its hash. A plant that runs on
    the folder knows of a new key, and no longer of a revoked one, within a second.
    """
    wanted = check_choice("ACTION", action, ACTIONS)
    _check_given(wanted, number=number, scope=scope, name=name, expires=expires)

    from tickplant.gateway.keys.file import KeyFile  # noqa: PLC0415 - heavy

    file, now = KeyFile(Path(common.folder())), time.time_ns()
    if wanted == "create":
        _create(common, file, now, scope or ["read"], name or "", expires)
    elif wanted == "list":
        _list(common, file.read(), now)
    else:
        revoked = file.revoke(str(number), now=now)
        shown = json.dumps(_shown(revoked, now)) if common.json else f"{revoked.id} is revoked"
        print(shown)
    return 0


def _check_given(action: str, **given: Any) -> None:
    """Raise `InvalidParameter` for what an action needs, or has nothing to do with."""
    if action == "revoke" and given["number"] is None:
        raise InvalidParameter("ID", "", "the id of a key, as `keys list` shows it", where="option")
    allowed = {"create": {"scope", "name", "expires"}, "revoke": {"number"}}.get(action, set())
    for name, value in given.items():
        if value is not None and name not in allowed:
            shown = "ID" if name == "number" else f"--{name}"
            raise InvalidParameter(shown, "it", f"nothing with {action}", where="option")


def _create(
    common: Common, file: KeyFile, now: int, scope: Sequence[str], name: str, expires: str | None
) -> None:
    from tickplant.gateway.keys.grants import SCOPES, parse_scopes  # noqa: PLC0415 - heavy

    chosen = parse_scopes(scope)
    if len(name) > NAME_CHARS_MAX or not (name.isprintable()):
        allowed = f"a text of at most {NAME_CHARS_MAX} characters"
        raise InvalidParameter("--name", name, allowed, where="option")
    ends = None if expires is None else parse_end(expires, now)
    ordered = [one for one in SCOPES if one in chosen]
    key, made = file.create(ordered, now=now, name=name, expires=ends)
    if common.json:
        print(json.dumps({"key": key, **_shown(made, now)}))
        return
    print(key)
    said = f"This is key {made.id}, which may {', '.join(ordered)}. It is not shown again."
    print(said, file=sys.stderr)


def _list(common: Common, found: Sequence[StoredKey], now: int) -> None:
    rows = [_shown(key, now) for key in found]
    if common.json:
        print(json.dumps({"keys": rows}))
        return
    if not rows:
        print("there are no keys; `tickplant keys create` makes one")
    for row in rows:
        ends = row["expires"] or "never"
        scopes = ",".join(row["scopes"])
        print(
            f"{row['id']}  {row['state']:<8}  {scopes:<16}  expires {ends}  {row['name']}".rstrip()
        )


def _shown(key: StoredKey, now: int) -> dict[str, Any]:
    """Return a key as it is shown: everything but the hash."""
    from tickplant.model.times import format_time  # noqa: PLC0415 - heavy

    times = {"created": key.created, "expires": key.expires, "revoked": key.revoked}
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "state": key.state(now),
        **{name: None if ns is None else format_time(ns) for name, ns in times.items()},
    }


def parse_end(text: str, now: int) -> int:
    """Return when a key ends, nanoseconds; raises `InvalidParameter`."""
    from tickplant.model.times import parse_time  # noqa: PLC0415 - heavy

    span = _SPAN.match(text.strip())
    ends = (
        now + int(span[1]) * _HOURS[span[2]] * _HOUR_NS if span else parse_time(text, "--expires")
    )
    if ends <= now:
        raise InvalidParameter("--expires", text, "a time that is yet to come", where="option")
    return ends
