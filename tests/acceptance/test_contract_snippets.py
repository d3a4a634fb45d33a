"""The snippets of `/docs/snippets`: run as they are shown, against a plant of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract_kit import Site, site

from tickplant.gateway.guides import LANGUAGES, SNIPPETS
from tickplant.gateway.keys.file import KeyFile

RUN_S_MAX = 25
USUAL = "127.0.0.1:8000"
COMMANDS = {
    "sh": ["bash", "-euo", "pipefail", "-c"],
    "py": [sys.executable, "-W", "error", "-c"],
    "mjs": ["node", "--experimental-websocket", "--no-warnings", "--input-type=module", "-e"],
}
NEEDED = {"sh": "curl", "py": "python3", "mjs": "node"}
SAID = {
    "push": {"sh": '"accepted":1', "py": "1 0", "mjs": "1 0"},
    "candles": {
        "sh": "2014-05-07T00:00:00Z,2014-05-07T00:01:00Z,1.3928,1.3928,1.3928,1.3928,100,",
        "py": "2014-05-07T00:00:00Z 1.3928 1.3928 1.3928 1.3928",
        "mjs": "2014-05-07T00:00:00Z 1.3928 1.3928 1.3928 1.3928",
    },
    "stream": {"sh": "1.3928", "py": "1.3928 100.0", "mjs": "1.3928 100"},
    "key": {"sh": '"state":"running"', "py": "running", "mjs": "running\npong"},
}


def start(plant: Site, name: str, language: str, key: str) -> subprocess.Popen[str]:
    text = plant.http.get(f"/docs/snippets/{name}.{language}").text
    text = text.replace(USUAL, plant.url.removeprefix("http://"))
    if name == "push":  # which must not be taken for the same trade in another language
        text = text.replace("T-17", f"T-{language}")
    bare = {k: v for k, v in os.environ.items() if not k.startswith("TICKPLANT_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{bare['PATH']}"
    return subprocess.Popen(
        [*COMMANDS[language], text],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**bare, "PATH": path, "TICKPLANT_KEY": key},
    )  # fmt: skip


@pytest.fixture(scope="module")
def open_plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("snippets")) as made:
        yield made


def check(plant: Site, language: str, names: tuple[str, ...], key: str = "") -> None:
    if shutil.which(NEEDED[language]) is None:
        pytest.skip(f"{NEEDED[language]} is not installed")
    running = [(name, start(plant, name, language, key)) for name in names]
    for name, process in running:
        said, fault = process.communicate(timeout=RUN_S_MAX)
        assert process.returncode == 0, f"{name}.{language}: {fault}"
        assert SAID[name][language] in said, f"{name}.{language}: {said} {fault}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_snippets_of_a_language_do_what_they_say(open_plant: Site, language: str) -> None:
    check(open_plant, language, ("push",))
    check(open_plant, language, ("candles", "stream"))


def test_a_key_is_shown_as_the_snippets_show_it(tmp_path: Path) -> None:
    key, _ = KeyFile(tmp_path).create(["read"], now=1)
    with site(tmp_path, auth__required=True) as plant:
        for language in LANGUAGES:
            if shutil.which(NEEDED[language]) is not None:
                check(plant, language, ("key",), key)
    assert set(SAID) == set(SNIPPETS)
