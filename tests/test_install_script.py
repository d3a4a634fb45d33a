"""`requirements/install.py` fetches from where pip is told to, and falls back to pip."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).parents[1] / "requirements" / "install.py"


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("install_script", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Runs:
    """Takes the place of `subprocess.run`: notes commands, and answers by what they begin with."""

    def __init__(self, settings: str = "", uv_ends_with: int = 0) -> None:
        self.commands: list[list[str]] = []
        self.environments: list[dict[str, str]] = []
        self._settings = settings
        self._uv_ends_with = uv_ends_with

    def __call__(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        self.environments.append(options.get("env") or {})
        is_uv = Path(command[0]).name == "uv"
        said = self._settings if "config" in command else ""
        return subprocess.CompletedProcess(command, self._uv_ends_with if is_uv else 0, said)

    @property
    def uv(self) -> list[str]:
        (found,) = [command for command in self.commands if Path(command[0]).name == "uv"]
        return found


def test_uv_fetches_from_where_pip_would(
    install: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = (
        ":env:.index-url='https://www.example.com/env'\n"
        "global.index-url='https://www.example.com/file'\n"
        "global.extra-index-url='https://example.com/a\\nhttps://example.com/b'\n"
        f"global.find-links='{tmp_path} {tmp_path / 'gone'}'\n"
        "global.cert='/etc/ssl/own.pem'\n"
    )
    runs = Runs(settings)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setattr(install.subprocess, "run", runs)
    assert install.main(["some.lock"]) == 0
    options = runs.uv[runs.uv.index(":all:") + 1 :]
    assert options == [
        "--default-index", "https://www.example.com/env",
        "--index", "https://example.com/a", "--index", "https://example.com/b",
        "--find-links", str(tmp_path), "-r", "some.lock",
    ]  # fmt: skip
    place = runs.commands.index(runs.uv)
    assert runs.environments[place]["SSL_CERT_FILE"] == "/etc/ssl/own.pem"
    assert place == len(runs.commands) - 1, "pip is not asked as well"


@pytest.mark.parametrize("fault", ["uv fails", "uv is not there"])
def test_pip_installs_where_uv_does_not(
    install: Any, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    runs = Runs(uv_ends_with=2)
    monkeypatch.setattr(install.subprocess, "run", runs)
    if fault == "uv is not there":
        monkeypatch.setattr(install, "get_uv", lambda: False)
    assert install.main(["some.lock", "other.lock"]) == 0
    assert runs.commands[-1][1:3] == ["-m", "pip"]
    assert runs.commands[-1][-4:] == ["-r", "some.lock", "-r", "other.lock"]
