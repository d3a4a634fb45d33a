"""Write the client for plain code from the one for event loops: `make docs`.

`client/aio.py` is what people edit. A method is the same in both, but for the words that wait.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).resolve().parent.parent / "src" / "tickplant" / "client"
SOURCE, WRITTEN = CLIENT / "aio.py", CLIENT / "sync.py"

HEAD = '"""The client for event loops. `sync.py` is written from it by `make docs`."""'
WORDS = {
    HEAD: '"""The client for plain code, written from `aio.py` by `make docs`: edit that one."""',
    "an async context manager": "a context manager",
    "Used on one event loop.": "Safe from several threads.",
    "async def ": "def ",
    "await ": "",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    ".aclose()": ".close()",
    "AsyncClient": "Client",
    "AsyncIngest": "Ingest",
    "AsyncStream": "Stream",
    "push_aio": "push",
    "stream_aio": "stream",
}


def made() -> str:
    """Return the text of `sync.py`."""
    text = SOURCE.read_text("utf-8")
    for word, other in WORDS.items():
        if word not in text:
            raise ValueError(f"{SOURCE.name} has no {word!r}")
        text = text.replace(word, other)
    return _formatted(text)


def _formatted(text: str) -> str:
    for options in (("check", "--select", "I", "--fix", "--quiet"), ("format", "--quiet")):
        command = (sys.executable, "-m", "ruff", *options, "--stdin-filename", str(WRITTEN), "-")
        text = subprocess.run(
            command, input=text, capture_output=True, text=True, check=True, timeout=60
        ).stdout
    return text


def main() -> None:
    """Write it."""
    WRITTEN.write_text(made(), "utf-8")
    print(WRITTEN.relative_to(CLIENT.parent.parent.parent))


if __name__ == "__main__":
    main()
