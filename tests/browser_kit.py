"""A real Chromium, spoken to by its DevTools protocol over one WebSocket, on a thread's own time.

One browser, any number of tabs; every wait has a limit. What a page writes to its console as an
error, what it throws, and what it asks of other hosts, is collected.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

WAIT_S = 15.0
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--no-first-run", "--disable-extensions", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--mute-audio", "--hide-scrollbars",
    "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows", "--remote-debugging-port=0",
)  # fmt: skip


def find_chromium() -> str | None:
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def open_browser(program: str, folder: Path) -> Iterator[Browser]:
    """Run a Chromium with a profile in a folder."""
    process = subprocess.Popen(
        [program, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port, path = _read_port(folder / "DevToolsActivePort", process)
        with _open_socket(f"ws://127.0.0.1:{port}{path}") as control:
            yield Browser(f"127.0.0.1:{port}", _Wire(control))
    finally:
        process.kill()  # its profile goes with it, so there is nothing to put in order
        process.wait(10)


class Browser:
    """What opens tabs."""

    def __init__(self, base: str, wire: _Wire) -> None:
        self._base, self._wire = base, wire

    @contextmanager
    def tab(self, width: int = 1440, height: int = 900, **media: str) -> Iterator[Tab]:
        """Open a tab in a context of its own: nothing that another one has stored is in it."""
        context = self._wire.call("Target.createBrowserContext")["browserContextId"]
        target = self._wire.call(
            "Target.createTarget", url="about:blank", browserContextId=context,
            width=width, height=height,
        )["targetId"]  # fmt: skip
        with _open_socket(f"ws://{self._base}/devtools/page/{target}") as socket:
            yield Tab(_Wire(socket), width, height, media)
        self._wire.call("Target.closeTarget", targetId=target)
        self._wire.call("Target.disposeBrowserContext", browserContextId=context)


def _open_socket(url: str) -> ClientConnection:
    # Nobody reads the events that wait at the end, so a polite farewell behind them never comes.
    return connect(url, max_size=None, ping_interval=None, close_timeout=0.1)


def _read_port(file: Path, process: subprocess.Popen[bytes]) -> tuple[str, str]:
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        assert process.poll() is None, f"Chromium ended with {process.returncode}"
        if file.exists() and len(lines := file.read_text().splitlines()) == 2:
            return lines[0], lines[1]
        time.sleep(0.02)
    raise TimeoutError("Chromium does not say where it listens")


class _Wire:
    """Commands and their answers; events go to `on_event` as they pass by."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self.on_event: Callable[[str, dict[str, Any]], None] = lambda method, params: None

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while (message := self.hear()).get("id") != self._number:
            pass
        assert "error" not in message, (method, message["error"])
        return dict(message["result"])

    def hear(self) -> dict[str, Any]:
        """Wait for the next message; return it."""
        message: dict[str, Any] = json.loads(self._socket.recv(timeout=WAIT_S))
        if "method" in message:
            self.on_event(message["method"], message["params"])
        return message


class Tab:
    """A page. `faults` are errors of its console, `asked` the addresses that it asked for."""

    def __init__(self, wire: _Wire, width: int, height: int, media: dict[str, str]) -> None:
        self._wire = wire
        self.faults: list[str] = []
        self.asked: list[str] = []
        self._loads = 0
        wire.on_event = self._hear
        for domain in ("Page", "Runtime", "Log", "Network"):
            wire.call(f"{domain}.enable")
        wire.call("Performance.enable", timeDomain="threadTicks")
        self.resize(width, height)
        features = [{"name": name.replace("_", "-"), "value": to} for name, to in media.items()]
        wire.call("Emulation.setEmulatedMedia", features=features)

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        self._wire.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height,
            deviceScaleFactor=1, mobile=phone,
        )  # fmt: skip

    def cpu_ms(self) -> float:
        """Return the processor time that the page's own thread has taken so far."""
        found = self._wire.call("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in found if one["name"] == "TaskDuration")) * 1_000

    def prepare(self, script: str) -> None:
        """Run a script at the beginning of every document from now on."""
        self._wire.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    def go(self, url: str) -> None:
        """Open another document, and wait until all that it names is there."""
        self._load("Page.navigate", url=url)

    def reload(self) -> None:
        self._load("Page.reload")

    def _load(self, method: str, **params: Any) -> None:
        before = self._loads
        self._wire.call(method, **params)
        while self._loads == before:
            self._wire.hear()

    def run(self, script: str) -> Any:
        """Evaluate an expression, awaited where it is a promise; return its value."""
        answer = self._wire.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, (script, answer["exceptionDetails"])
        return answer["result"].get("value")

    def until(self, script: str, limit_s: float = WAIT_S) -> Any:
        """Wait until an expression is true, looked at with every turn of the page; return it."""
        ends = time.monotonic() + limit_s
        value = None
        plain = f"((found) => found instanceof Node || found)({script})"  # nodes have no value here
        while time.monotonic() < ends:
            value = self.run(f"new Promise((ok) => setTimeout(() => ok({plain}), 15))")
            if value:
                return value
        raise AssertionError(f"never true: {script}; at last {value!r}; {self.faults}")

    def text(self, id: str) -> str:
        return str(self.run(f"document.getElementById({id!r}).textContent"))

    def press(self, key: str) -> None:
        """Press a key: a character, or a name such as ArrowDown."""
        codes = {"Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38, "ArrowLeft": 37}
        said: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": codes.get(key, 0)}
        if len(key) == 1 or key == "Enter":
            said |= {"text": "\r" if key == "Enter" else key}
        self._wire.call("Input.dispatchKeyEvent", type="keyDown", **said)
        self._wire.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def type(self, text: str) -> None:
        self._wire.call("Input.insertText", text=text)

    def drag(self, x: int, y: int, by: int) -> None:
        """Drag with the mouse from a place to the right by so many pixels."""
        mouse = {"button": "left", "clickCount": 1}
        self._wire.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, **mouse)
        for step in range(1, 6):
            self._wire.call(
                "Input.dispatchMouseEvent", type="mouseMoved", x=x + by * step // 5, y=y, buttons=1
            )
        self._wire.call("Input.dispatchMouseEvent", type="mouseReleased", x=x + by, y=y, **mouse)
        self._wire.call("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)

    def shoot(self, file: Path, *, whole: bool = False) -> None:
        """Keep a picture of what is seen, or of the whole page."""
        picture = self._wire.call("Page.captureScreenshot", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(picture["data"]))

    def _hear(self, method: str, params: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loads += 1
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            said = details.get("exception", {}).get("description") or details["text"]
            self.faults.append(said)
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.faults.append(str([one.get("value") for one in params["args"]]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.faults.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.asked.append(params["url"])
