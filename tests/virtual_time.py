"""An event loop on which time passes only when everybody waits: hours of waiting in a second, the same every time.

    def test_it() -> None:
        async def scenario(rng: random.Random) -> float: ...
        assert run_virtual(scenario, seed=1) == 99.2

`loop.time()`, and with it `asyncio.sleep`, `asyncio.timeout`, and anyio's clocks and deadlines, run on virtual seconds.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["VirtualTimeLoop", "run_virtual"]

T = TypeVar("T")

# A real machine wakes up late. Drawn from [0, this] for each jump of the clock.
LATENESS_S = 0.0011
# A turn of the loop takes time too; without it, code that waits for less than a clock tick would turn for ever.
_TURN_S = 1e-9
# Longest real wait for a thread or socket when no timer is set. Beyond it everybody waits for nobody.
_DEADLOCK_S = 20.0


class _JumpingSelector(selectors.DefaultSelector):
    """Where a real selector would sleep until the next timer, this one moves the loop's clock there."""

    def __init__(self, patience_s: float) -> None:
        super().__init__()
        self.turn: Callable[[], None] = lambda: None
        self.jump: Callable[[float], None] = lambda timeout: None
        self._patience_s = patience_s

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Ready files, without waiting for them unless no timer is set."""
        self.turn()
        if timeout is None:
            ready = super().select(_DEADLOCK_S)
            if not ready:
                raise RuntimeError("deadlock in virtual time: everybody waits, and no timer is set")
            return ready
        ready = super().select(self._patience_s if timeout > 0 else 0)
        if not ready and timeout > 0:
            self.jump(timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` starts at 0 and jumps from timer to timer.

    `patience_s` is how long, in real seconds, files and other threads get before a jump: 0 unless the code under test
    uses threads.
    """

    def __init__(self, seed: int = 0, *, lateness_s: float = LATENESS_S, patience_s: float = 0.0) -> None:
        selector = _JumpingSelector(patience_s)
        super().__init__(selector)
        selector.turn, selector.jump = self._turn, self._jump
        self._virtual_now = 0.0
        self._lateness_s = lateness_s
        self._rng = random.Random(seed)

    def time(self) -> float:
        """Virtual seconds."""
        return self._virtual_now

    def _turn(self) -> None:
        self._virtual_now += _TURN_S

    def _jump(self, timeout: float) -> None:
        # To the very moment of the timer: now + timeout may round to just before it, and the loop would spin there.
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        at = scheduled[0].when() if scheduled else self._virtual_now + timeout
        self._virtual_now = max(self._virtual_now, at) + self._rng.uniform(0, self._lateness_s)


def run_virtual(
    scenario: Callable[[random.Random], Awaitable[T]],
    seed: int = 0,
    *,
    lateness_s: float = LATENESS_S,
    patience_s: float = 0.0,
) -> T:
    """Run `scenario` on a `VirtualTimeLoop`, with a random generator of its own, and return what it returns."""

    async def main() -> T:
        return await scenario(random.Random(seed))

    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(seed, lateness_s=lateness_s, patience_s=patience_s)) as r:
        return r.run(main())
