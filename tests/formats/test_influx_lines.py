"""The line protocol: by columns as one by one, and both as an independent reading says."""

from __future__ import annotations

import math
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tickplant.formats import influx_lines
from tickplant.formats.influx_lines import ReadLines, read_lines
from tickplant.formats.influx_scan import split_lines

Plain = tuple[str, dict[str, str], dict[str, Any], int | None]


def plain(found: ReadLines) -> dict[int, Plain]:
    """Return each line that was read, by its number."""
    lines: dict[int, Plain] = {}
    for group in found.groups:
        for n, place in enumerate(group.places.tolist()):
            tags = {name: column[n].as_py() for name, column in group.tags.items()}
            fields = {
                name: (one.kind, one.text[n].as_py(), one.number and one.number[n].as_py())
                for name, one in group.fields.items()
            }
            time = None if group.times is None else group.times[n].as_py()
            lines[place] = group.measurement, tags, fields, time
    return lines


def scanned(body: bytes) -> ReadLines:
    with mock.patch.object(influx_lines, "GROUPS_MAX", 0):
        return read_lines(body)


# -- an independent reading: one character after the other, no patterns ----------------------------


def spell(line: str) -> Plain | None:
    """Read a good line character by character; None where there is nothing in it."""
    line = line.lstrip(" \t\0")
    if not line or line[0] == "#":
        return None
    parts: list[str] = [""]
    marks: list[str] = []
    at, in_text, in_fields = 0, False, False
    while at < len(line):
        c = line[at]
        if in_text:
            if c == "\\" and line[at + 1 : at + 2] in ('"', "\\"):
                parts[-1] += line[at + 1]
                at += 1
            elif c == '"':
                in_text = False
            else:
                parts[-1] += c
        elif (
            c == "\\"
            and line[at + 1 : at + 2] in (",", " ", "=")
            and (marks or line[at + 1] != "=")
        ):
            parts[-1] += line[at + 1]
            at += 1
        elif c == '"' and in_fields and marks[-1] == "=" and parts[-1] == "":
            in_text, parts[-1] = True, "\0"
        elif c in ", =" and (c != "=" or marks):
            marks.append(c)
            parts.append("")
            in_fields = in_fields or c == " "
        else:
            parts[-1] += c
        at += 1
    first = marks.index(" ")
    tags = {parts[n]: parts[n + 1] for n in range(1, first, 2)}
    rest = marks[first + 1 :]
    stop = rest.index(" ") if " " in rest else len(rest)
    names = range(first + 1, first + 2 + stop, 2)
    fields = {parts[n]: value_of(parts[n + 1]) for n in names}
    time = int(parts[-1]) if " " in rest and parts[-1] else None
    return parts[0], tags, fields, time


def value_of(text: str) -> tuple[str, str, float | None]:
    if text.startswith("\0"):
        return "text", text[1:], None
    if text[-1] in "iu" and text[:-1].lstrip("-").isdigit():
        return "integer", text[:-1], float(int(text[:-1]))
    if text in ("t", "T", "true", "True", "TRUE"):
        return "boolean", "true", None
    if text in ("f", "F", "false", "False", "FALSE"):
        return "boolean", "false", None
    return "number", text, float(text)


# -- good lines ------------------------------------------------------------------------------------

WORD = st.text("abXZ09_-.ü", min_size=1, max_size=5)
ODD = st.text('ab,= "', min_size=1, max_size=4)
NAME = st.one_of(WORD, WORD, ODD)
NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**63), 2**63 - 1).map(lambda n: f"{n}i"),
    st.integers(0, 2**64 - 1).map(lambda n: f"{n}u"),
    st.sampled_from(["1.", ".5", "-0", "1e3", "1E-3", "007", "t", "F", "true", "FALSE"]),
)
TEXTS = st.text('ab"\\,= \n#', max_size=6).map(
    lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
)
PLAIN_TEXTS = st.text("abc:", max_size=4).map(lambda text: f'"{text}"')


def escape(name: str, special: str) -> str:
    return "".join("\\" + c if c in special else c for c in name)


@st.composite
def lines(draw: st.DrawFn) -> str:
    head = escape(draw(NAME.filter(lambda name: name[0] != "#")), ", ")
    tags = draw(st.dictionaries(NAME, NAME, max_size=2))
    fields = draw(
        st.dictionaries(NAME, st.one_of(NUMBERS, PLAIN_TEXTS, TEXTS), min_size=1, max_size=3)
    )
    time = draw(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)))
    said = head + "".join(f",{escape(k, ',= ')}={escape(v, ',= ')}" for k, v in tags.items())
    said += " " + ",".join(f"{escape(k, ',= ')}={v}" for k, v in fields.items())
    return said if time is None else f"{said} {time}"


@settings(max_examples=80, deadline=None)
@given(st.lists(st.one_of(lines(), st.just("# a = b"), st.just("")), max_size=3), st.booleans())
def test_good_lines_are_what_an_independent_reading_says(some: list[str], twice: bool) -> None:
    some = some * (1 + twice)  # several of one layout
    body = "\n".join(some).encode()
    expected, place = {}, 0
    for line in some:
        said = spell(line)
        if said is not None:
            expected[place] = said
        place += line.count("\n") + 1
    found = read_lines(body)
    assert found.refused == []
    assert plain(found) == expected
    assert plain(scanned(body)) == expected


# -- any lines -------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *("m", ",", "=", " ", "\n", '"', "\\", "1", "2i", "-", "x", "t", ".", "e5", "#", "\r"),
        *("\t", "é"),
        "m,a=b c=1 2",
        "m,a=b c=2 3",
        'm c="x"',
        "m c=0x1i",
        "m c=nan",
        "m c=1e999",
        "m c=1 99999999999999999999",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join))
@example('m a="b\nm a="c\nm a=1')
@example("m,a=b=c d=1\nm,a= d=1\nm ,a=1")
@example('m,a="x" b="y"\nm,a=x b="y"')
@example("m a=1 -\nm a=1 5\nm a=1 0x5")
@example("m a=- \nm a=-. \nm a=5i")
def test_any_lines_come_to_the_same_by_columns_and_one_by_one(text: str) -> None:
    body = text.encode()
    columns, single = read_lines(body), scanned(body)
    assert plain(columns) == plain(single)
    assert sorted(columns.refused) == sorted(single.refused)
    lines = dict(split_lines(body)) if body.count(b'"') else dict(enumerate(body.split(b"\n")))
    for group in columns.groups:
        for place, line in zip(group.places.tolist(), group.lines.to_pylist(), strict=True):
            assert line.strip(b"\r\n \t\0") in lines[place] + b"\n" + body


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("m", "missing fields"),
        ("m ", "missing fields"),
        (",a=b c=1", "missing measurement"),
        ("m,a c=1", "missing value of the tag key"),
        ("m,=b c=1", "missing tag key"),
        ("m,a= c=1", "missing value of the tag key"),
        ("m,a=b,a=c c=1", "duplicate tags"),
        ("m,a=b=c d=1", "equals sign"),
        ("m c", "missing value of the field key"),
        ("m c=", "missing value of the field"),
        ('m c="x', "unbalanced quotes"),
        ('m c="x"y', "follows the text"),
        ("m c=NaN", "is none"),
        ("m c=+1", "is none"),
        ("m c=1e999", "out of range"),
        ("m c=9223372036854775808i", "out of range"),
        ("m c=-1u", "out of range"),
        ("m c=1 x", "bad timestamp"),
        ("m c=1 9223372036854775808", "bad timestamp"),
    ],
)
def test_a_bad_line_is_refused_with_its_reason_and_costs_no_other(line: str, reason: str) -> None:
    body = f"m c=1 1\n{line}\nm c=2 2\n".encode()
    found = read_lines(body)
    assert [(one.place, one.line) for one in found.refused] == [(1, line.encode())]
    assert reason in found.refused[0].reason
    assert sorted(plain(found)) == [0, 2]


def test_what_looks_regular_is_read_by_columns() -> None:
    body = b"".join(
        b'trades,symbol=S%d price=%d.5,size=%di,id="x%d" %d\n' % (n % 7, n, n, n, n)
        for n in range(1_000)
    )
    with mock.patch.object(influx_lines, "scan_line", side_effect=AssertionError):
        (group,) = read_lines(body).groups
    assert group.fields["price"].number is not None
    assert group.fields["price"].number.to_pylist() == [n + 0.5 for n in range(1_000)]
    assert group.fields["id"].text.to_pylist() == [f"x{n}" for n in range(1_000)]
    assert group.lines[3].as_py() == b'trades,symbol=S3 price=3.5,size=3i,id="x3" 3'
    one_bad = body + b'trades,symbol=S price=0x5,size=1i,id="x" 5\n'
    with mock.patch.object(influx_lines, "scan_line", wraps=influx_lines.scan_line) as scan:
        assert len(read_lines(one_bad).refused) == 1
    assert scan.call_count <= 2


def test_lines_of_very_many_layouts_are_all_read() -> None:
    body = b"".join(b"m%d,t%d=a f%d=1 5\n" % (n, n, n) for n in range(300))
    assert len(plain(read_lines(body))) == 300


def test_quotes_that_never_end_do_not_make_reading_slow() -> None:
    body = b'm c=\\"x\n' * 5_000 + b'm c="'
    found = read_lines(body)
    assert len(found.refused) == 5_001
    assert math.isfinite(len(plain(found)))
