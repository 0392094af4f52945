"""Timers that cancel the task they were set in: `asyncio.timeout` with fewer calls.

This module knows the loop's clock and how a task is cancelled. It must not know what the time is for.

    alarm = alarms.set()
    try: ...
    except asyncio.CancelledError as error:
        if not alarm.is_over(error):
            raise
    finally:
        alarm.end()
"""

from __future__ import annotations

import asyncio
from contextvars import Context

__all__ = ["Alarm", "Alarms"]

_STOOD_STILL_S = 0.1
"""A timer that is late by more says that the loop stood still."""


class Alarm:
    """Cancels the running task when it rings, unless `end()` comes before."""

    __slots__ = ("_cancelled", "_cancelling", "_line", "_task", "_timer", "due_at")

    def __init__(self, loop: asyncio.AbstractEventLoop, due_at: float, line: dict[Alarm, None] | None = None) -> None:
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("calls are made in tasks")
        self._task = task
        self._cancelling = task.cancelling()
        self._cancelled = False
        self._timer: asyncio.TimerHandle | None = None
        self._line = line
        self.due_at = due_at
        """On the loop's clock."""
        if line is None:
            self.ring_at(loop, due_at)
        else:
            line[self] = None

    def ring_at(self, loop: asyncio.AbstractEventLoop, moment: float) -> None:
        """Have a timer of its own."""
        self._timer = loop.call_at(moment, self.ring)

    def ring(self) -> None:
        """The time is over."""
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
        if self._line is not None:
            self._line.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
        if self._cancelled:
            self._cancelled = False
            self._task.uncancel()


class Alarms:
    """Alarms that all ring `seconds` after they were set. Who is set first is due first, so one timer does for all:
    nearly every alarm ends before it rings, and to set and cancel timers for nothing costs more than the rest.

    `moment_s` is granted when the loop itself stood still meanwhile (code that blocks, a stopped process): an answer
    may lie in the socket, and should be read before it is called lost.
    """

    __slots__ = ("_line", "_moment_s", "_seconds", "_timed", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, *, moment_s: float = 0.0) -> None:
        self.loop = loop
        self._seconds = seconds
        self._moment_s = moment_s
        self._line: dict[Alarm, None] = {}
        self._timed = False

    def set(self, now: float) -> Alarm:
        """A new alarm for the running task."""
        alarm = Alarm(self.loop, now + self._seconds, self._line)
        if not self._timed:
            self._look_at(alarm.due_at)
        return alarm

    def _look_at(self, moment: float) -> None:
        # In a context of its own: the timer outlives the call that happened to set it.
        self._timed = True
        self.loop.call_at(moment, self._due, context=Context())

    def _due(self) -> None:
        now = self.loop.time()
        self._timed = False
        while self._line:
            alarm = next(iter(self._line))
            if alarm.due_at > now:
                self._look_at(alarm.due_at)
                return
            del self._line[alarm]
            if self._moment_s and now - alarm.due_at > _STOOD_STILL_S:
                alarm.ring_at(self.loop, now + self._moment_s)
            else:
                alarm.ring()
