"""A plant served by a process of its own, on a free port, with an empty temporary folder."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

TIMEOUT_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def request(path: str, body: bytes, media_type: str) -> bytes:
    """One complete HTTP/1.1 request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {media_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def load(
    port: int, requests: Sequence[bytes], connections: int, rate: float = 0.0
) -> dict[str, Any]:
    """Send the requests from a process of its own; return what it counted.

    `rate` is the number of requests that are due each second; 0 sends the next after an answer.
    """
    arguments = ["127.0.0.1", str(port), str(connections), str(rate)]
    done = subprocess.run(
        [sys.executable, "-m", "bench.http_load", *arguments],
        input=pickle.dumps(list(requests)),
        capture_output=True,
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode()[-2000:])
    return msgspec.json.decode(done.stdout, type=dict)


@contextmanager
def serving(*options: str) -> Iterator[tuple[str, int, Path]]:
    """Yield (url, port, folder) of a served plant without feeds."""
    folder = Path(tempfile.mkdtemp(prefix="tickplant-bench-"))
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "tickplant",
        "serve",
        "--feed",
        "none",
        "--data",
        str(folder),
        "--port",
        str(port),
        *options,
    ]
    with _process(command) as process:
        wait_ready(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}", port, folder
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def reading(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Yield (url, port, process id) of a reader that follows the plant on a folder."""
    port = free_port()
    command = [sys.executable, "-m", "tickplant", "follow", "--data", str(folder)]
    with _process([*command, "--port", str(port)]) as process:
        wait_ready(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}", port, process.pid


@contextmanager
def _process(
    command: Sequence[str], environ: Mapping[str, str] = {}
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environ},
        cwd=Path(__file__).parent.parent,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the plant answers that it is ready."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the plant ended with exit code {process.returncode}")
        try:
            if httpx.get(f"{url}/ready", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"{url} was not ready within {TIMEOUT_S} s")


@contextmanager
def null_sink() -> Iterator[int]:
    """Yield the port of a server that reads each body and answers: the generator's limit."""
    with application("bench.null_sink:app") as (_, port, _):
        yield port


@contextmanager
def application(name: str, environ: Mapping[str, str] = {}) -> Iterator[tuple[str, int, int]]:
    """Yield (url, port, process id) of an ASGI application that uvicorn serves."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", name, "--port", str(port)]
    command += ["--log-level", "error", "--no-access-log", "--no-proxy-headers"]
    with _process(command, environ) as process:
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}", port, process.pid


def pid_of(folder: Path) -> int:
    """Return the process of the plant on a folder."""
    return int(msgspec.json.decode((folder / "LOCK").read_bytes())["pid"])


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used, s, to the nanosecond.

    The clock of another process, as Linux numbers it: clock_getcpuclockid(3), which Python lacks.
    """
    return time.clock_gettime(~pid << 3 | 2)


def settle(pid: int) -> None:
    """Wait until a process does hardly anything. Raises `TimeoutError` after a minute."""
    until = time.monotonic() + TIMEOUT_S
    used, quiet = cpu_s(pid), 0
    while quiet < 3:
        if time.monotonic() > until:
            raise TimeoutError(f"process {pid} is still busy")
        time.sleep(0.1)
        used, before = cpu_s(pid), used
        quiet = quiet + 1 if used - before < 0.02 else 0
