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


class Browser:
    """A Chromium with a profile of its own."""

    def __init__(self, program: str, folder: Path) -> None:
        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        port, path = _read_port(folder / "DevToolsActivePort", self._process)
        self._base = f"127.0.0.1:{port}"
        self._control = connect(f"ws://{self._base}{path}", max_size=None)
        self._wire = _Wire(self._control)

    @contextmanager
    def tab(self, width: int = 1440, height: int = 900, **media: str) -> Iterator[Tab]:
        """Open a tab in a context of its own: nothing that another one has stored is in it."""
        context = self._wire.call("Target.createBrowserContext")["browserContextId"]
        target = self._wire.call(
            "Target.createTarget", url="about:blank", browserContextId=context,
            width=width, height=height,
        )["targetId"]  # fmt: skip
        with connect(f"ws://{self._base}/devtools/page/{target}", max_size=None) as socket:
            yield Tab(_Wire(socket), width, height, media)
        self._wire.call("Target.closeTarget", targetId=target)
        self._wire.call("Target.disposeBrowserContext", browserContextId=context)

    def close(self) -> None:
        self._control.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


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
        while True:
            message = json.loads(self._socket.recv(timeout=WAIT_S))
            if message.get("id") == self._number:
                assert "error" not in message, (method, message["error"])
                return dict(message["result"])
            if "method" in message:
                self.on_event(message["method"], message["params"])


class Tab:
    """A page. `faults` are errors of its console, `asked` the addresses that it asked for."""

    def __init__(self, wire: _Wire, width: int, height: int, media: dict[str, str]) -> None:
        self._wire = wire
        self.faults: list[str] = []
        self.asked: list[str] = []
        wire.on_event = self._hear
        for domain in ("Page", "Runtime", "Log", "Network"):
            wire.call(f"{domain}.enable")
        self.resize(width, height)
        features = [{"name": name.replace("_", "-"), "value": to} for name, to in media.items()]
        wire.call("Emulation.setEmulatedMedia", features=features)

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        self._wire.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height,
            deviceScaleFactor=1, mobile=phone,
        )  # fmt: skip

    def go(self, url: str) -> None:
        self._wire.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

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
        while time.monotonic() < ends:
            value = self.run(f"new Promise((ok) => setTimeout(() => ok({script}), 15))")
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

    def shoot(self, file: Path, *, whole: bool = False) -> None:
        """Keep a picture of what is seen, or of the whole page."""
        picture = self._wire.call("Page.captureScreenshot", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(picture["data"]))

    def _hear(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
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
