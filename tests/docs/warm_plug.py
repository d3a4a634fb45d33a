"""How a warm process is asked. Loaded at every command, so it loads next to none."""

import json
import os
import socket

HEAD_BYTES = 4
LOST = 255


def ask(address: str, kind: str, args: list[str], *, env=None, cwd=None, streams=(0, 1, 2)) -> int:
    """Have `args` run with a folder, variables and standard streams; return the exit code."""
    given = [kind, args, dict(env or os.environ), str(cwd or os.getcwd())]
    text = json.dumps(given).encode()
    with socket.socket(socket.AF_UNIX) as plug:
        plug.connect(address)
        socket.send_fds(plug, [len(text).to_bytes(HEAD_BYTES, "big")], list(streams))
        plug.sendall(text)
        return (plug.recv(1) or bytes([LOST]))[0]


def take(plug: socket.socket) -> tuple[list, list[int]]:
    """Return what was asked, and the streams."""
    head, streams, _, _ = socket.recv_fds(plug, HEAD_BYTES, 3)
    left = int.from_bytes(head, "big")
    parts = []
    while left:
        parts.append(plug.recv(left))
        left -= len(parts[-1])
    return json.loads(b"".join(parts)), streams
