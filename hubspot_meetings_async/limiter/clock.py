"""The event loop a gate belongs to: its clock, and one timer.

This module knows asyncio's loops. It must not know what is waited for.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable

from ..errors import ConfigurationError, ForkedClientError

__all__ = ["LoopClock"]


class LoopClock:
    """Seconds on the first loop it is used on, and on no other.

    Attributes:
        now: Seconds on the loop's clock; 0 before there is one.
        began_at: When it was first used; infinity before.
    """

    __slots__ = ("_loop", "_pid", "_timer", "_timer_at", "_wake", "began_at", "now")

    def __init__(self, wake: Callable[[], None]) -> None:
        self.now: Callable[[], float] = _not_yet
        self.began_at = math.inf
        self._wake = wake
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    def now_on(self, loop: asyncio.AbstractEventLoop) -> float:
        """Seconds on `loop`, the running one.

        Raises: ConfigurationError on another loop than the first; ForkedClientError in a forked child.
        """
        if loop is not self._loop:
            self._bind(loop)
        return loop.time()

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None:
            if self._pid != os.getpid():
                raise ForkedClientError(
                    "this client was used before this process was forked off; nothing was sent. Make a client in "
                    "the child, or start children by multiprocessing's 'spawn'"
                )
            raise ConfigurationError(
                "this QuotaGate belongs to another event loop; make one gate (one client) for each loop"
            )
        self._loop, self._pid = loop, os.getpid()
        self.now = loop.time
        self.began_at = loop.time()

    def wake_at(self, at: float) -> None:
        """Wake then, or earlier: a timer that fires too early does no harm, so one is only replaced by an earlier."""
        if at < self._timer_at and self._loop is not None:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(at, self._fired)
            self._timer_at = at

    def _fired(self) -> None:
        self._timer, self._timer_at = None, math.inf
        self._wake()


def _not_yet() -> float:
    return 0.0
