"""Who waits for an outcome, and until when.

This module knows deadlines, on the loop's clock. It must not know quota, the order of queues, or how a batch goes.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from ..bulk.outcomes import Ambiguous, NotSent, Outcome
from ..errors import DeadlineExceeded
from .queues import Broken, Job, Told

__all__ = ["Waiting"]


class Waiting:
    """The tasks that wait. `call_s` is the time of each, unless its own deadline comes before; `on_left` hears of jobs
    that one task less waits for; `guarded` runs a step in a callback of the loop."""

    def __init__(self, *, call_s: float | None, on_left: Callable[[Job], None], guarded: Callable[..., None]) -> None:
        self._call_s = call_s
        self._on_left = on_left
        self._guarded = guarded
        self._jobs: dict[Told, Job] = {}
        # Beside each other and not in one tuple: what the garbage collector has to look at counts here.
        self._since: dict[Told, float] = {}
        """In the order of their deadlines, which are all as far away. Kept where there is a `call_s`."""
        self._timer: asyncio.TimerHandle | None = None
        self._own: dict[Told, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def join(self, loop: asyncio.AbstractEventLoop, told: Told, job: Job, now: float, ends_at: float) -> None:
        """A task waits for `job`, no longer than to `ends_at`."""
        job.awaited_by(told)
        self._jobs[told] = job
        if self._call_s is not None:
            self._since[told] = now
            if self._timer is None:
                self._timer = loop.call_at(now + self._call_s, self._expire, loop)
        if ends_at < math.inf:
            self._own[told] = loop.call_at(ends_at, self._guarded, self._give_up, told, ends_at - now)

    def leave(self, told: Told) -> None:
        """It waits no longer."""
        if self._own and (own := self._own.pop(told, None)) is not None:
            own.cancel()
        self._since.pop(told, None)
        job = self._jobs.pop(told, None)
        if job is not None:
            self._on_left(job)

    def tell_all(self, word: Callable[[Job], Outcome[Any, Any] | Broken]) -> None:
        """The same word to everybody."""
        for job in tuple(self._jobs.values()):
            job.tell(word(job))

    def stop(self) -> None:
        """No more deadlines."""
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now, call_s = loop.time(), self._call_s or 0.0
        while self._since:
            told, since = next(iter(self._since.items()))
            if since + call_s > now:
                self._timer = loop.call_at(since + call_s, self._expire, loop)
                return
            self._guarded(self._give_up, told, call_s)
            self._since.pop(told, None)

    def _give_up(self, told: Told, seconds: float) -> None:
        job = self._jobs.get(told)
        if job is not None and not told.done():
            told.set_result(_too_late(job, seconds))
        self.leave(told)


def _too_late(job: Job, seconds: float) -> Ambiguous[Any] | NotSent[Any]:
    in_doubt = job.carriage is not None and job.carriage.in_doubt(job.entry)
    error = DeadlineExceeded(
        f"the call's {seconds:.3g} s are over, waits for its batch and for quota and repeats included",
        sent=in_doubt,
        timeout=True,
    )
    if in_doubt and job.queue.kind.operation.name == "create":
        return Ambiguous(job, job.entry.ordinal, "timeout", error)
    return NotSent(job, job.entry.ordinal, "deadline", error)
