"""The reference of the stream names what the code says."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODES = re.compile(r'(?:ProtocolError\(\s*|_drop\(\w+, |, code = )"([a-z_]+)"')


def test_every_error_code_stands_in_the_reference() -> None:
    room = ROOT / "src/tickplant/gateway/stream"
    codes = {code for file in room.glob("*.py") for code in CODES.findall(file.read_text())}
    codes |= {"bad_json", "bad_msgpack"}  # chosen by the kind of frame
    text = (ROOT / "docs/reference/stream.md").read_text()
    listed = set(re.findall(r"`([a-z_]+)`", text.split("Errors:")[1].split("Closing:")[0]))
    assert listed - {"choices", "seq"} == codes
