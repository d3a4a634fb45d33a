"""The page of the Python API, made from signatures and docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import tickplant
from pages.text import code, flow, head
from tickplant.client import AsyncClient, AsyncStream, Client, Receipt, Rejected, Stream
from tickplant.formats.result import Rows
from tickplant.library import Folder, open_data

_INTRO = """
`import tickplant` gives three ways in: `tickplant.open(path)` reads a data folder without a server,
`tickplant.Client(url)` talks to a running plant, `tickplant.AsyncClient(url)` does the same for
asyncio. `Folder` and `Client` have the same reading methods and return the same `Rows`, so a script
moves from one to the other by changing one line; `sql`, `sql_batches` and `row_chunks` are for
folders alone, writes, `status`, `feeds` and `stream` for plants. Errors are those of
[the error tree](errors.md); each of them is also a name of the package, such as
`tickplant.UnknownSymbol`.

Times go in as RFC 3339 text with a zone, integer nanoseconds, or aware `datetime` objects.
"""
_CLASSES = (Folder, Rows, Client, Stream, Receipt, Rejected)
_ASYNC = ((AsyncClient, Client), (AsyncStream, Stream))


def page() -> str:
    """Return the page."""
    parts = [head("Python", "the docstrings of src/tickplant", _INTRO)]
    parts.append(f"## tickplant.open\n\n{_callable('tickplant.open', open_data)}")
    parts += [_class(one) for one in _CLASSES]
    parts += [_async_class(one, like) for one, like in _ASYNC]
    names = ", ".join(map(code, tickplant.__all__))
    parts.append(f"## Names of the package\n\n{names}\n")
    return "\n".join(parts)


def _class(one: type) -> str:
    made = [_made(one)] if one in (Client, AsyncClient) else []
    about = f"## {one.__name__}\n\n{flow(one.__doc__ or '')}\n"
    return "\n".join([about, *made, *(_member(one, *member) for member in members(one))])


def _made(one: type) -> str:
    return f"```python\n{one.__name__}{_signature(one.__init__, bound=True)}\n```\n"


def _async_class(one: type, like: type) -> str:
    shared = [name for name, _ in members(one) if name in dict(members(like))]
    about = (
        f"It has the members of [{like.__name__}](#{like.__name__.lower()}) with the same "
        f"parameters, to be awaited: {', '.join(map(code, shared))}."
    )
    made = [_made(one)] if one is AsyncClient else []
    return "\n".join([f"## {one.__name__}\n\n{flow(one.__doc__ or '')}\n", *made, about, ""])


def members(one: type) -> Iterator[tuple[str, Any]]:
    """Yield name and object of the public methods and properties of a class, as written."""
    for name, member in vars(one).items():
        known = inspect.isfunction(member) or isinstance(member, property)
        if known and not name.startswith("_"):
            yield name, member


def _member(one: type, name: str, member: Any) -> str:
    title = f"### {one.__name__}.{name}\n\n"
    if isinstance(member, property):
        return f"{title}Property. {flow(member.__doc__ or '')}\n"
    return title + _callable(name, member, bound=True)


def _callable(name: str, function: Any, *, bound: bool = False) -> str:
    shown = f"{name}{_signature(function, bound=bound)}"
    return f"```python\n{shown}\n```\n\n{flow(function.__doc__ or '')}\n"


def _signature(function: Any, *, bound: bool) -> str:
    """Return a signature, alike in every version of Python; annotations are text already."""
    signature = inspect.signature(function)
    shown: list[str] = []
    for parameter in list(signature.parameters.values())[int(bound) :]:
        if parameter.kind is parameter.KEYWORD_ONLY and not any(s[0] == "*" for s in shown):
            shown.append("*")
        shown.append(_parameter(parameter))
    result = signature.return_annotation
    arrow = "" if result in (signature.empty, "None") else f" -> {result}"
    line = f"({', '.join(shown)}){arrow}"
    return line if len(line) <= 80 else "(\n    " + ",\n    ".join(shown) + f",\n){arrow}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_KEYWORD: "**", parameter.VAR_POSITIONAL: "*"}.get(parameter.kind, "")
    text = f"{stars}{parameter.name}: {parameter.annotation}"
    return text if parameter.default is parameter.empty else f"{text} = {parameter.default!r}"
