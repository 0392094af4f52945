"""So many seconds for one attempt, with little more than a timer.

This module knows the loop's clock and how a task is cancelled. It must not know what the seconds are for.
"""

from __future__ import annotations

import asyncio

__all__ = ["Within"]

_STOOD_STILL_S = 0.1
"""A timer that is late by more says that the loop stood still."""
_MOMENT_S = 1.0


class Within:
    """Cancels the running task after `seconds`, unless `end()` comes before; `is_over` tells that cancel from others.

    `asyncio.timeout` without its calls, and kinder: when the loop itself stood still meanwhile (code that blocks, a
    stopped process), the answer may lie in the socket, and gets a moment to be read before it is called lost.
    """

    __slots__ = ("_cancelled", "_cancelling", "_due_at", "_loop", "_task", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request is sent in a task")
        self._loop = loop
        self._task = task
        self._cancelling = task.cancelling()
        self._cancelled = False
        self._due_at = loop.time() + seconds
        self._timer = loop.call_at(self._due_at, self._due)

    def _due(self) -> None:
        now = self._loop.time()
        if now - self._due_at > _STOOD_STILL_S:
            self._timer = self._loop.call_at(now + _MOMENT_S, self._cancel)
        else:
            self._cancel()

    def _cancel(self) -> None:
        self._cancelled = True
        self._task.cancel()

    def is_over(self, error: BaseException) -> bool:
        """Whether `error` is this cancel and nobody else's."""
        return (
            self._cancelled
            and isinstance(error, asyncio.CancelledError)
            and self._task.cancelling() <= self._cancelling + 1
        )

    def end(self) -> None:
        """The seconds count no more."""
        self._timer.cancel()
        if self._cancelled:
            self._task.uncancel()
