"""What may be asked: one statement that reads.

The connection can reach no file but the archive's (see `session`), but it could be told to write
over one of those; so statements that are not plain reads are refused before they run.
"""

from __future__ import annotations

import re

import duckdb

from tickplant.model.errors import Complaint, UserError, shorten

ALLOWED = "one SELECT, FROM, WITH, VALUES, DESCRIBE, SUMMARIZE, SHOW TABLES or EXPLAIN of these"
_SHOW = re.compile(r"\s*SHOW\s+(?:ALL\s+)?TABLES\s*;?\s*\Z", re.I)
_SUMMARIZE = re.compile(r"\s*SUMMARIZE\s+(.*?);?\s*\Z", re.I | re.S)
_QUERY = re.compile(r"(?:SELECT|FROM|WITH|VALUES|\(|DESCRIBE)\b|\(", re.I)
_EXPLAIN = re.compile(r"\s*EXPLAIN\s+(?:ANALYZE\s+)?(?:\([^()]*\)\s*)?(.*)\Z", re.I | re.S)


class BadQuery(UserError):
    """The query cannot be run; says why, in the database's own words where it has them."""

    title = "Bad query"

    def __init__(self, why: str, text: str) -> None:
        super().__init__(f"sql: {why}", [Complaint(("sql",), why, shorten(text, 200))])


def check_statement(text: str) -> str:
    """Return the statement where it may run; raises `BadQuery`."""
    if not text.strip().strip(";").strip():
        raise BadQuery(f"it is empty; allowed is {ALLOWED}", text)
    kinds = _kinds(text, text)
    if len(kinds) != 1:
        raise BadQuery(f"it has {len(kinds)} statements; allowed is {ALLOWED}", text)
    if kinds[0] == "EXPLAIN":
        inner = _EXPLAIN.match(text)
        # EXPLAIN ANALYZE runs what it explains, so that must be a read too.
        if inner is None or _kinds(inner[1], text) != ["SELECT"]:
            raise BadQuery(
                f"EXPLAIN of anything but a read is not allowed; allowed is {ALLOWED}", text
            )
    elif kinds[0] != "SELECT":
        raise BadQuery(
            f"{kinds[0]} is not allowed, the data is read-only; allowed is {ALLOWED}", text
        )
    return text


def _kinds(text: str, whole: str) -> list[str]:
    try:
        return [statement.type.name for statement in duckdb.extract_statements(text)]
    except duckdb.Error as fault:
        raise BadQuery(str(fault).strip(), whole) from fault


def is_show_tables(text: str) -> bool:
    """Say whether the statement asks which tables there are."""
    return _SHOW.match(text) is not None


def summarized(text: str) -> str | None:
    """Return the query that a SUMMARIZE statement sums up, None for any other statement."""
    match = _SUMMARIZE.match(text)
    if match is None:
        return None
    return match[1] if _QUERY.match(match[1]) else f"FROM {match[1]}"
