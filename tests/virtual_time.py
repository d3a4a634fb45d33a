"""An event loop whose clock jumps to the next timer instead of waiting for it.

What other threads have been asked for is waited for before a jump (`before_jump`), so that a run is
the same however fast they are.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

NOW = 1_700_000_000_000_000_000


class _Jumping(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.before_jump: Callable[[], object] = lambda: None

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        found = super().select(0)
        if not found:
            self.before_jump()
            found = super().select(0)
        if not found:
            self.now += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.jumping = _Jumping()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.now

    def clock(self) -> int:
        return NOW + round(self.jumping.now * 1e9)


def run_virtual(
    main: Callable[[VirtualLoop], Coroutine[Any, Any, Any]],
    before_jump: Callable[[], object] = lambda: None,
) -> Any:
    """Run `main(loop)` to its end and return what it returns."""
    loops: list[VirtualLoop] = []

    def make() -> VirtualLoop:
        loops.append(VirtualLoop())
        loops[0].jumping.before_jump = before_jump
        return loops[0]

    with asyncio.Runner(loop_factory=make) as runner:
        return runner.run(_with_loop(main))


async def _with_loop(main: Callable[[VirtualLoop], Coroutine[Any, Any, Any]]) -> Any:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return await main(loop)
