"""Container, Compose file and unit: they refer to what exists, and their steps work.

No daemon is needed. The steps of the Dockerfile are read and those that install are carried out, on
exactly the files that the build would see.
"""

from __future__ import annotations

import configparser
import fnmatch
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from cli_kit import run, serve
from prom_kit import promtool
from tickplant.cli.app import app
from tickplant.config import KNOWN

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
UNIT = ROOT / "ops" / "systemd" / "tickplant.service"
VARIABLES = {setting.env for setting in KNOWN.values()}


class Step(NamedTuple):
    """One instruction of the Dockerfile and the stage that it is in."""

    stage: int
    word: str
    rest: str


def steps(text: str) -> Iterator[Step]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    stage = -1
    for line in filter(str.strip, "\n".join(lines).replace("\\\n", " ").splitlines()):
        word, _, rest = line.strip().partition(" ")
        stage += word == "FROM"
        yield Step(stage, word, " ".join(rest.split()))


STEPS = list(steps((ROOT / "Dockerfile").read_text("utf-8")))
LAST = STEPS[-1].stage


def of_image(word: str) -> list[str]:
    """Return what an instruction says in the last stage, which is the image."""
    return [step.rest for step in STEPS if step.stage == LAST and step.word == word]


def copies(stage: int) -> Iterator[tuple[list[str], str]]:
    """Yield sources and target of what a stage copies from the checkout."""
    for step in STEPS:
        words = shlex.split(step.rest)
        if step.stage == stage and step.word == "COPY" and not words[0].startswith("--from"):
            yield words[:-1], words[-1]


def is_sent(path: str) -> bool:
    """Say whether `.dockerignore` lets a file into the build; the last rule that fits wins."""
    sent = True
    for rule in (ROOT / ".dockerignore").read_text("utf-8").split("\n"):
        pattern = rule.strip().removeprefix("!").rstrip("/")
        if not pattern or pattern.startswith("#"):
            continue
        parents = [path, *map(str, Path(path).parents)]
        anywhere = pattern.removeprefix("**/")
        if any(fnmatch.fnmatch(p, pattern) for p in parents) or (
            anywhere != pattern and any(fnmatch.fnmatch(p, anywhere) for p in Path(path).parts)
        ):
            sent = rule.strip().startswith("!")
    return sent


def tracked(path: str) -> list[str]:
    found = subprocess.run(
        ["git", "ls-files", "--", path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return found.stdout.split()


# -- the image -------------------------------------------------------------------------------------


def test_the_image_is_small_and_runs_without_rights() -> None:
    stages = [step.rest for step in STEPS if step.word == "FROM"]
    assert len(stages) >= 2
    assert all(re.match(r"[a-z]+:\d[\w.]*-slim( AS \w+)?\Z", stage) for stage in stages), stages
    assert {step.word for step in STEPS} <= {
        "FROM", "WORKDIR", "RUN", "COPY", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL",
        "HEALTHCHECK", "ENTRYPOINT", "CMD",
    }  # fmt: skip
    (user,) = of_image("USER")
    assert int(user) > 999
    assert f"--uid {user} " in of_image("RUN")[0]
    assert of_image("VOLUME") == ["/data"]
    assert not any("pip" in step for step in of_image("RUN")), "pip belongs to the stage before"
    names = {stage.partition(" AS ")[2] for stage in stages}
    used = re.findall(r"--from=(\w+)", " ".join(step.rest for step in STEPS))
    assert set(used) <= names


def test_the_image_sets_variables_that_there_are() -> None:
    names = [pair.partition("=")[0] for text in of_image("ENV") for pair in shlex.split(text)]
    assert {n for n in names if n.startswith("TICKPLANT_")} <= VARIABLES


def test_the_image_runs_commands_that_there_are() -> None:
    commands = {info.name for info in app.registered_commands}
    (check,) = of_image("HEALTHCHECK")
    words = json.loads(check.partition("CMD ")[2])
    assert words == ["tickplant", "health"]
    assert json.loads(of_image("ENTRYPOINT")[0]) == ["tickplant"]
    assert {json.loads(of_image("CMD")[0])[0], words[1]} <= commands


@pytest.mark.parametrize("stage", range(LAST))
def test_what_is_copied_exists_and_is_sent(stage: int) -> None:
    for sources, _ in copies(stage):
        for source in sources:
            files = tracked(source)
            assert files, source
            assert [file for file in files if not is_sent(file)] == []


def test_what_does_not_belong_into_the_image_is_not_sent() -> None:
    kept = ["data/LOCK", ".git/config", "tests/conftest.py", "tickplant.toml", ".env"]
    kept += ["src/tickplant/gateway/web/built/x.mjs", "src/tickplant/__pycache__/a.pyc"]
    assert [path for path in kept if is_sent(path)] == []


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_steps_that_install_work_on_what_is_copied(tmp_path: Path) -> None:
    """Carry out the build stage: the same files, the same pip command, its own environment."""
    build, home = tmp_path / "build", tmp_path / "opt"
    for sources, target in copies(LAST - 1):
        for source in sources:
            for file in tracked(source):
                place = build / (file if target.rstrip("/") in {".", source} else target)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / file, place)
    (install,) = re.findall(
        r"/opt/tickplant/bin/pip (install [^&]*? \.)(?: |$)",
        " && ".join(step.rest for step in STEPS if step.stage == LAST - 1 and step.word == "RUN"),
    )
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    # The locked packages are those of this environment; only the program is installed anew.
    (site,) = home.glob("lib/python*/site-packages")
    (site / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", home / "bin" / "python", *shlex.split(install),
         "--quiet", "--disable-pip-version-check", "--ignore-installed"],
        cwd=build, check=True, timeout=100, env=environment | {"PIP_NO_COMPILE": "1"},
    )  # fmt: skip
    said = subprocess.run(
        [home / "bin" / "tickplant", "version"], capture_output=True, text=True, check=True,
        env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert said.stdout.startswith("Tickplant") or said.stdout.startswith("tickplant")
    installed = {str(p.relative_to(site)) for p in (site / "tickplant").rglob("*") if p.is_file()}
    wanted = {f.removeprefix("src/") for f in tracked("src/tickplant")}
    assert wanted <= installed, sorted(wanted - installed)[:5]


def test_the_lock_of_the_image_is_what_is_tested_here() -> None:
    from importlib import metadata

    pins = re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "requirements" / "run.lock").read_text(), re.M)
    assert len(pins) > 20
    assert {name: metadata.version(name) for name, _ in pins} == dict(pins)


# -- health ----------------------------------------------------------------------------------------


@pytest.mark.timeout(90)
def test_health_tells_by_its_exit_code(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with serve("serve", "--feed", "none", "--data", tmp_path) as plant:
        well = run(capfdbinary, "health", "--url", plant.url)
        ready = run(capfdbinary, "health", "--ready", "--url", plant.url, "--json")
        other = run(capfdbinary, "health", "--url", f"{plant.url}/v1")
    assert (well.code, well.out) == (0, "ok\n")
    assert (ready.code, ready.json()["ready"]) == (0, True)
    assert (other.code, "does not answer as a plant" in other.err) == (1, True)
    gone = run(capfdbinary, "health", "--url", "http://127.0.0.1:1")
    assert (gone.code, "does not answer" in gone.err) == (1, True)
    bad = run(capfdbinary, "health", "--url", "ftp://x")
    assert (bad.code, "allowed is http://HOST:PORT" in bad.err) == (2, True)


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"]
)
def test_health_at_a_port_of_something_else(
    capfdbinary: pytest.CaptureFixture[bytes], answer: bytes
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve_once() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(answer)

        thread = threading.Thread(target=serve_once)
        thread.start()
        ran = run(capfdbinary, "health", "--url", f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert (ran.code, "does not answer" in ran.err) == (1, True)


def test_health_says_what_is_wrong(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {
        "health": {"status": "failing", "checks": {
            "log": {"ok": False, "detail": "No space left on device"},
            "disk": {"ok": True, "detail": "1 MiB free"}}},
        "ready": {"ready": False, "reason": "recovering"},
    }  # fmt: skip
    monkeypatch.setattr(
        "tickplant.cli.health._ask", lambda url, _: (503, answers[url.rpartition("/")[2]])
    )
    failing = run(capfdbinary, "health")
    assert (failing.code, failing.out) == (1, "failing; log: No space left on device\n")
    waiting = run(capfdbinary, "health", "--ready")
    assert (waiting.code, waiting.out) == (1, "not ready: recovering\n")


# -- Compose ---------------------------------------------------------------------------------------


def mounts(service: str) -> dict[str, str]:
    """Return the files and volumes of a service by where they are in the container."""
    pairs = (text.split(":") for text in SERVICES[service].get("volumes", ()))
    return {pair[1]: pair[0] for pair in pairs}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_bound_to_this_machine_and_has_what_it_mounts(name: str) -> None:
    service = SERVICES[name]
    assert service["ports"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service.get("build") or re.search(r":v?\d", service["image"]), (
        "a version, not the latest"
    )
    for place, source in mounts(name).items():
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert f"{source}:{place}:ro" in service["volumes"]
        else:
            assert source in COMPOSE["volumes"]


def test_the_plant_of_compose_has_its_settings_and_time_to_end() -> None:
    plant = SERVICES["tickplant"]
    assert set(plant["environment"]) <= VARIABLES
    assert plant["environment"] == {"TICKPLANT_AUTH_OPEN": "true"}
    assert mounts("tickplant") == {"/data": "data"}
    assert plant["stop_grace_period"] == "60s"


def configuration(service: str) -> tuple[str, Any]:
    """Return where the configuration of a service is in the container, and the file."""
    (option,) = [o for o in SERVICES[service]["command"] if o.startswith("--config.file=")]
    place = option.partition("=")[2]
    return place, yaml.safe_load((ROOT / mounts(service)[place]).read_text("utf-8"))


def addresses(service: str) -> set[str]:
    return {f"{service}:{port.rpartition(':')[2]}" for port in SERVICES[service]["ports"]}


def test_prometheus_asks_the_plant_and_tells_alertmanager() -> None:
    _, config = configuration("prometheus")
    (job,) = config["scrape_configs"]
    assert job["job_name"] == "tickplant"
    assert set(job["static_configs"][0]["targets"]) == addresses("tickplant")
    (manager,) = config["alerting"]["alertmanagers"]
    assert set(manager["static_configs"][0]["targets"]) == addresses("alertmanager")


def test_promtool_takes_the_configuration_with_its_rules(tmp_path: Path) -> None:
    """The files lie as the container has them, so that a path that leads nowhere is found."""
    for place, source in mounts("prometheus").items():
        if source.startswith("."):
            target = tmp_path / place.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, target)
    place, _ = configuration("prometheus")
    ran = subprocess.run(
        [promtool(), "check", "config", tmp_path / place.lstrip("/")],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"SUCCESS: \d\d rules found", ran.stdout), ran.stdout


def test_alertmanager_has_a_receiver_for_each_severity() -> None:
    _, config = configuration("alertmanager")
    names = {receiver["name"] for receiver in config["receivers"]}
    route = config["route"]
    assert {route["receiver"], *(sub["receiver"] for sub in route["routes"])} == names
    amtool = shutil.which("amtool")
    if amtool is not None:
        place = ROOT / mounts("alertmanager")[configuration("alertmanager")[0]]
        subprocess.run([amtool, "check-config", place], check=True, timeout=20)


def test_grafana_is_provisioned_with_the_source_and_the_dashboards() -> None:
    found = {place: ROOT / source for place, source in mounts("grafana").items()}
    provisioned = "/etc/grafana/provisioning"
    sources = yaml.safe_load(found[f"{provisioned}/datasources/tickplant.yml"].read_text())
    (source,) = sources["datasources"]
    assert source["url"].removeprefix("http://") in addresses("prometheus")
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    providers = yaml.safe_load(found[f"{provisioned}/dashboards/tickplant.yml"].read_text())
    (provider,) = providers["providers"]
    folder = found[provider["options"]["path"]]
    boards = {json.loads(file.read_text())["uid"]: file.name for file in folder.glob("*.json")}
    assert len(boards) >= 5
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.rpartition("/")[0] == provider["options"]["path"]
    assert home.rpartition("/")[2] in boards.values()


# -- systemd ---------------------------------------------------------------------------------------


def test_the_unit_is_what_the_guide_shows_and_systemd_takes_it(tmp_path: Path) -> None:
    unit = UNIT.read_text("utf-8")
    assert unit in (ROOT / "docs" / "how-to" / "run-as-a-service.md").read_text("utf-8")
    parsed = configparser.ConfigParser(interpolation=None, strict=False)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(unit)
    words = shlex.split(parsed["Service"]["ExecStart"])
    assert words[1] in {info.name for info in app.registered_commands}
    systemd = shutil.which("systemd-analyze")
    if systemd is None:
        pytest.skip("systemd-analyze is not there")
    # It wants the program and the user to be there.
    here = unit.replace(words[0], sys.executable).replace("User=tickplant", "User=root")
    (tmp_path / UNIT.name).write_text(here)
    ran = subprocess.run(
        [systemd, "verify", tmp_path / UNIT.name], capture_output=True, text=True, timeout=20,
        check=False,
    )  # fmt: skip
    ours = [line for line in ran.stderr.splitlines() if UNIT.name in line]
    assert ours == []
