"""No secret in what is written down: neither by name, nor by look, nor one that we were given.

Three nets, one behind the other, because each has holes of its own:

- **by name**: the value behind `password`, `Authorization`, `api_key`, … in a mapping, a header
  list, a URL's query or any text that looks like `name=value`;
- **by look**: user info of a URL, `Bearer …`, our own keys, JSON Web Tokens, private keys;
- **by value**: what `keep_secret` was told, wherever and however it is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
SECRET_CHARS_MIN = 6
"""A shorter value is not looked for: it would mask ordinary words."""

SECRETS_MAX = 1_000
"""Most values that are looked for."""

DEPTH_MAX = 8

_NAMES = (
    r"passw(?:or)?d|passphrase|secret|token|api[_-]?key|private[_-]?key|access[_-]?key|credential"
    r"|signature|listen[_-]?key"
)
_HEADERS = r"(?:proxy-)?authorization|(?:set-)?cookie"
_NAME = re.compile(rf"{_NAMES}|{_HEADERS}", re.I)

# Between a name and its value: `=`, `:`, `": "`, `', b'`; quotes may be escaped once more.
_BETWEEN = r"(?:\\*[\"'])?\s{0,4}(?:[=:]|,(?=\s{0,4}b?[\"']))\s{0,4}(?:b(?=[\"']))?"
_QUOTED = r"\\*\"(?:[^\"\\]|\\[^\"])*\\*\"?|\\*'(?:[^'\\]|\\[^'])*\\*'?"
_PLAIN = r"(?:(?:Bearer|Basic|Digest)\s+)?[^\s\"'&,;}\])]+"
_PAIR = re.compile(rf"((?:{_NAMES})[\w-]{{0,16}}{_BETWEEN})(?:{_QUOTED}|{_PLAIN})", re.I)
# A header's value may hold blanks and commas: all up to the end of the line.
_HEADER = re.compile(rf"((?:{_HEADERS}){_BETWEEN})(?:{_QUOTED}|[^\s\"'][^\r\n]*)", re.I)
_QUERY = re.compile(r"([?&](?:key|sig|sign|auth|code|pass|pwd|hmac)=)[^&\s#\"']+", re.I)
_SCHEME = re.compile(r"\b(Bearer|Basic|Digest)\s+[\w.~+/=-]{6,}", re.I)
_USERINFO = re.compile(r"(\w://)[^/\s\"'<>]+@")
_OWN_KEY = re.compile(r"\b(tp_[a-z0-9]{10}_)[A-Za-z0-9_-]{8,}")
_WEB_TOKEN = re.compile(r"\beyJ[\w-]{6,}\.[\w-]{4,}(?:\.[\w-]+)?")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,30}KEY-----|\Z)", re.S
)


_HINT = re.compile(
    rf"{_NAMES}|{_HEADERS}|://|bearer|basic|digest|tp_|eyJ|PRIVATE KEY"
    r"|[?&](?:key|sig|sign|auth|code|pass|pwd|hmac)=",
    re.I,
)
"""What every text has that anything below could find; most texts have nothing of it."""


class Redactor:
    """Masks secrets. `keep` is called while the process starts; the rest on any thread."""

    def __init__(self) -> None:
        self._known: dict[str, None] = {}
        self._values: re.Pattern[str] | None = None

    def keep(self, secret: str) -> None:
        """Never show this value again, as it is or escaped for a URL, JSON or Python."""
        if len(secret) < SECRET_CHARS_MIN or len(self._known) >= SECRETS_MAX:
            return
        spelled = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}
        spelled |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
        spelled |= {repr(secret)[1:-1], ascii(secret)[1:-1], shown(secret)}
        self._known.update(dict.fromkeys(spelled))
        longest_first = sorted(self._known, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, longest_first)))

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        if self._values is not None:
            text = self._values.sub(MASK, text)
        if _HINT.search(text) is None:
            return text
        text = _PRIVATE_KEY.sub(MASK, text)
        text = _USERINFO.sub(rf"\1{MASK}@", text)
        text = _HEADER.sub(rf"\1{MASK}", text)
        text = _PAIR.sub(_masked_pair, text)
        text = _QUERY.sub(rf"\1{MASK}", text)
        text = _SCHEME.sub(rf"\1 {MASK}", text)
        text = _OWN_KEY.sub(rf"\1{MASK}", text)
        return _WEB_TOKEN.sub(MASK, text)

    def value(self, value: Any, depth: int = DEPTH_MAX) -> Any:
        """Return a value as JSON knows it, without secrets; what is nested too deep is cut off."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if depth == 0:
            return "…"
        if isinstance(value, Mapping):
            return {
                self.text(_text(name)): self.named(_text(name), inner, depth - 1)
                for name, inner in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            if len(value) == 2 and _is_name(first := next(iter(value))):
                return [_text(first), MASK]  # a header as servers hold it: (name, value)
            return [self.value(inner, depth - 1) for inner in value]
        return self.text(_text(value))

    def named(self, name: str, value: Any, depth: int = DEPTH_MAX) -> Any:
        """Return a value that has a name: masked where the name is one of secrets."""
        return MASK if _NAME.search(name) else self.value(value, depth)


def shown(text: str) -> str:
    """Return a text in which control characters can neither forge lines nor move a cursor."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _masked_pair(found: re.Match[str]) -> str:
    """Keep the quotes that a value stood in, so that what is around it still reads well."""
    whole, head = found[0], found[1]
    value = whole[len(head) :]
    opening = re.match(r"\\*[\"']", value)
    if opening is None:
        return head + MASK
    mark = opening[0]
    return f"{head}{mark}{MASK}{mark if value.endswith(mark) and len(value) > len(mark) else ''}"


def _is_name(value: object) -> bool:
    return isinstance(value, str | bytes) and _NAME.search(_text(value)) is not None


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value).encode("utf-8", "backslashreplace").decode()  # halves of a pair have no code


REDACTOR = Redactor()
"""The one of this process: logs, errors and traces all go through it."""


def keep_secret(secret: str | None) -> None:
    """Never show this value in a log line; see `Redactor.keep`."""
    if secret:
        REDACTOR.keep(secret)


def mask(text: str) -> str:
    """Return the text without secrets."""
    return REDACTOR.text(text)
