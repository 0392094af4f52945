"""A timer that cancels the task it was set in: `asyncio.timeout` with fewer calls.

This module knows the loop's clock and how a task is cancelled. It must not know what the time is for.
"""

from __future__ import annotations

import asyncio

__all__ = ["Alarm"]

_STOOD_STILL_S = 0.1
"""A timer that is late by more says that the loop stood still."""


class Alarm:
    """Cancels the running task at `due_at` on the loop's clock, unless `end()` comes before.

        alarm = Alarm(loop, loop.time() + 5)
        try: ...
        except asyncio.CancelledError as error:
            if not alarm.is_over(error):
                raise
        finally:
            alarm.end()

    `moment_s` is granted when the loop itself stood still meanwhile (code that blocks, a stopped process): an answer
    may lie in the socket, and should be read before it is called lost.
    """

    __slots__ = ("_cancelled", "_cancelling", "_due_at", "_loop", "_moment_s", "_task", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, due_at: float, *, moment_s: float = 0.0) -> None:
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("calls are made in tasks")
        self._loop = loop
        self._task = task
        self._cancelling = task.cancelling()
        self._cancelled = False
        self._due_at = due_at
        self._moment_s = moment_s
        self._timer = loop.call_at(due_at, self._due)

    def _due(self) -> None:
        now = self._loop.time()
        if self._moment_s and now - self._due_at > _STOOD_STILL_S:
            self._timer = self._loop.call_at(now + self._moment_s, self._cancel)
        else:
            self._cancel()

    def _cancel(self) -> None:
        self._cancelled = True
        self._task.cancel()

    def is_over(self, error: BaseException) -> bool:
        """Whether `error` is this cancel, and nobody else's."""
        return (
            self._cancelled
            and isinstance(error, asyncio.CancelledError)
            and self._task.cancelling() <= self._cancelling + 1
        )

    def end(self) -> None:
        """The time counts no more."""
        self._timer.cancel()
        if self._cancelled:
            self._cancelled = False
            self._task.uncancel()
