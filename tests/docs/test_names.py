"""What the documentation names exists: commands, options, settings, routes, metrics, targets."""

import ast
import re
import shlex
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer
from docs_files import NAMES, ROOT, blocks, read, spans

from tickplant.cli.app import app
from tickplant.config import KEY_VARIABLE, KNOWN, load
from tickplant.gateway.app import DOORS

SHELL = {"sh", "console"}
COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)
SECTIONS = {key.partition(".")[0] for key in KNOWN if "." in key}
SITE = {"/", "/dashboard", "/docs", "/openapi.json", "/v1/stream", "/v1/ingest"}
HOSTS = {"127.0.0.1", "example.com", "www.example.com"}
VENUES = {
    "binance.com", "binance.vision", "coinbase.com", "deribit.com", "kite.trade", "kraken.com",
}  # fmt: skip


def command_lines(name: str) -> Iterator[list[str]]:
    """Yield the words of every line of a page that runs our command."""
    text = read(name)
    found = [block.text for block in blocks(text) if block.language in SHELL]
    found += [span for span in spans(text) if span.startswith("tickplant ")]
    for part in found:
        for words in statements(part):
            while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                words.pop(0)
            if words and words[0].rpartition("/")[2] == "tickplant":
                yield words[1:]


def statements(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of a script; the bodies of here-documents are left out."""
    text = re.sub(r"<<'(\w+)'\n.*?^\1$", "", text, flags=re.M | re.S).replace("\\\n", " ")
    quoted_or_end = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|[\n|;&]", re.S)
    began = 0
    for found in quoted_or_end.finditer(text):
        if found[0] in "\n|;&":
            yield shlex.split(text[began : found.start()])
            began = found.end()
    yield shlex.split(text[began:])


def options_of(command: Any) -> set[str]:
    return {text for param in command.params for text in (*param.opts, "--help", "-h")}


@pytest.mark.parametrize("name", NAMES)
def test_commands_and_options_exist(name: str) -> None:
    for words in command_lines(name):
        command = words[0] if words else "--help"
        if command in {"--help", "[OPTIONS]", "COMMAND", "..."}:
            continue
        assert command in COMMANDS, words
        given = [word.partition("=")[0] for word in words[1:] if word.startswith("-")]
        own = given[: given.index("--")] if "--" in given else given
        assert set(own) <= options_of(COMMANDS[command]), words


def test_the_check_of_commands_sees_them() -> None:
    text = 'a=1\ncat x | tickplant sql "SELECT\n 1" --out f\nA=1 tickplant tail --count 3\n'
    found = [words for words in statements(text) if "tickplant" in words]
    assert found == [
        ["tickplant", "sql", "SELECT\n 1", "--out", "f"],
        ["A=1", "tickplant", "tail", "--count", "3"],
    ]
    assert sum(len(list(command_lines(name))) for name in NAMES) > 60


@pytest.mark.parametrize("name", NAMES)
def test_lone_options_in_the_prose_exist(name: str) -> None:
    known = set().union(*(options_of(command) for command in COMMANDS.values()))
    for span in spans(read(name)):
        if re.match(r"--[a-z]", span):
            assert re.split(r"[ =]", span)[0] in known, span


@pytest.mark.parametrize("name", NAMES)
def test_settings_exist(name: str) -> None:
    text = read(name)
    for span in spans(text):
        key = re.split(r"[ =]", span)[0]
        if re.fullmatch(rf"({'|'.join(SECTIONS)})\.[a-z_]+", key) and not key.endswith("_"):
            assert key in KNOWN or not is_setting(key), span
    known = {KEY_VARIABLE, *(setting.env for setting in KNOWN.values())}
    assert set(re.findall(r"\bTICKPLANT_[A-Z_]*[A-Z]\b", text)) <= known


def is_setting(key: str) -> bool:
    """Say whether a dotted name can only be a setting: `stream.batches` is a method."""
    return key not in {"stream.batches"}


@pytest.mark.parametrize("name", NAMES)
def test_configurations_load(name: str, tmp_path: Any) -> None:
    for block in blocks(read(name)):
        if block.language == "toml":
            file = tmp_path / "tickplant.toml"
            file.write_text(block.text, "utf-8")
            load(file=file)


@pytest.mark.parametrize("name", NAMES)
def test_routes_exist(name: str) -> None:
    templates = [re.sub(r"\{\w+\}", "[^/]+", door.path) for door in DOORS]
    text = re.sub(r"\S+\.(?:md|py|png)\b", "", read(name))
    for path in re.findall(r"(?:(?<=:8000)|(?<![\w.]))/v1/[\w/{}:.*-]*[\w}]", text):
        found = path in SITE or any(re.fullmatch(one, path) for one in templates)
        assert found, path
    for path in re.findall(r"`(?:[A-Z]+ )?(/[a-z]+)`", text):
        assert path in SITE or path in {door.path for door in DOORS}, path


@pytest.mark.parametrize("name", NAMES)
def test_metrics_exist(name: str) -> None:
    known = set(re.findall(r"\| `(tickplant_\w+)` \|", read("docs/reference/metrics.md")))
    for metric in re.findall(r"\btickplant_[a-z_]+[a-z]\b", read(name)):
        assert re.sub(r"_(bucket|sum|count)\Z", "", metric) in known, metric


@pytest.mark.parametrize("name", NAMES)
def test_targets_of_make_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    text = read(name)
    for block in blocks(text):
        if block.language in SHELL:
            assert set(re.findall(r"^make ([a-z-]+)", block.text, re.M)) <= targets
    for span in spans(text):
        if span.startswith("make "):
            assert span.split()[1] in targets, span


@pytest.mark.parametrize("name", NAMES)
def test_python_can_be_parsed(name: str) -> None:
    for block in blocks(read(name)):
        if block.language == "python" and not is_signature(block.text):
            ast.parse(block.text)


def is_signature(text: str) -> bool:
    """Say whether a block shows how something is called, as those of the reference do."""
    return bool(re.match(r"[\w.]+\(.*\)( -> .+)?\n\Z", text, re.S)) and "import" not in text


@pytest.mark.parametrize("name", NAMES)
def test_no_machine_path_and_no_other_host_is_named(name: str) -> None:
    text = read(name)
    for url in re.findall(r"(?:https?|wss?)://[^\s)>\"'`]+", text):
        host = urlsplit(url).hostname or ""
        assert host in HOSTS or ".".join(host.split(".")[-2:]) in VENUES, url
    machine = re.findall(r"(?<![\w.~-])/(?:work|tmp|root|home|Users|mnt)/[\w./-]*", text)
    assert not machine, machine
