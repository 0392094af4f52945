"""Who waits for an outcome, and until when.

This module knows deadlines, on the loop's clock, and who is told what. It must not know quota, the order of queues, or
how a batch goes.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

import anyio

from ..bulk.outcomes import Ambiguous, Created, NotSent, Outcome, Read, Updated
from ..errors import DeadlineExceeded
from .answers import error_of
from .calls import Call, run_callbacks
from .queues import Broken, Job, Place

__all__ = ["Waiting"]

_WithMeeting = Created[Any, Any] | Updated[Any, Any] | Read[Any, Any]
_WITH_MEETING: Final = frozenset((Created, Updated, Read))
_TAKEN: Final = Place.TAKEN


class Waiting:
    """The calls that wait. `call_s` is the time of each, unless its own deadline comes before; `on_left` hears of jobs
    that are in no batch and that nobody waits for any more; `guarded` runs a step that nobody would see
    fail."""

    def __init__(self, *, call_s: float | None, on_left: Callable[[Job], None], guarded: Callable[..., None]) -> None:
        self._call_s = call_s
        self._on_left = on_left
        self._guarded = guarded
        self._jobs: dict[Call[Any], Job] = {}
        """In the order of the deadlines, which are all as far away."""
        self._timer: asyncio.TimerHandle | None = None
        self._own: dict[Call[Any], asyncio.TimerHandle] = {}
        self._empty: anyio.Event | None = None
        self._on_cancel = self._cancelled  # bound once

    def __len__(self) -> int:
        return len(self._jobs)

    def join(self, loop: asyncio.AbstractEventLoop, call: Call[Any], job: Job, now: float, ends_at: float) -> None:
        """A task waits for `job`, no longer than to `ends_at`."""
        call.since, call.on_cancel, call.callback, call.alone = now, self._on_cancel, None, False
        self._jobs[call] = job
        if self._timer is None and self._call_s is not None:
            self._timer = loop.call_at(now + self._call_s, self._expire, loop)
        if ends_at < math.inf:
            self._own[call] = loop.call_at(ends_at, self._guarded, self._give_up, call, ends_at - now)

    def tell(self, jobs: Mapping[int, Job], outcomes: Iterable[Outcome[Any, Any]]) -> None:
        """Tell what became of jobs, which are given by ordinal, to everybody who waits for them."""
        waiting, plain = self._jobs, not self._own
        done: deque[Call[Any]] = deque()
        asyncio.get_running_loop().call_soon(run_callbacks, done)
        for outcome in outcomes:
            job = jobs[outcome.ordinal]
            if plain and job.others is None and type(outcome) in _WITH_MEETING:
                # As below, in fewer steps: so it goes for nearly all.
                call = job.call
                if waiting.pop(call, None) is not None:
                    job.waiting = 0
                    call.set_result(cast("_WithMeeting", outcome).meeting)
                    done.append(call)
                continue
            for call in (job.call, *(job.others or ())):
                self._tell(call, outcome)
        self._look()

    def tell_all(self, word: Callable[[Job], Outcome[Any, Any] | Broken]) -> None:
        """The same word to everybody."""
        for call, job in tuple(self._jobs.items()):
            self._tell(call, word(job))
        self._look()

    def broke(self, job: Job, bug: Exception) -> None:
        """The batcher itself failed."""
        broken = Broken(bug)
        for call in (job.call, *(job.others or ())):
            self._tell(call, broken)
        self._look()

    async def nobody(self) -> None:
        """Until all have been told."""
        if self._jobs:
            self._empty = anyio.Event()
            await self._empty.wait()

    def stop(self) -> None:
        """No more deadlines."""
        if self._timer is not None:
            self._timer.cancel()

    def _tell(self, call: Call[Any], outcome: Outcome[Any, Any] | Broken) -> None:
        job = self._out(call)
        if job is None:
            return
        call.stand_alone()
        if isinstance(outcome, (Created, Updated, Read)):
            call.set_result(outcome.meeting)
        elif (error := error_of(outcome, job.queue.kind.operation.name)) is not None:
            call.set_exception(error)
        else:
            call.set_result(None)

    def _cancelled(self, call: Call[Any]) -> None:
        self._out(call)
        self._look()

    def _out(self, call: Call[Any]) -> Job | None:
        """It waits no longer."""
        job = self._jobs.pop(call, None)
        if job is None:
            return None
        if self._own and (own := self._own.pop(call, None)) is not None:
            own.cancel()
        job.waiting -= 1
        if not job.waiting and job.place is not _TAKEN:
            self._guarded(self._on_left, job)
        return job

    def _look(self) -> None:
        if self._empty is not None and not self._jobs:
            self._empty.set()

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now, call_s = loop.time(), self._call_s or 0.0
        late: list[Call[Any]] = []
        for call in self._jobs:
            if call.since + call_s > now:
                break
            late.append(call)
        for call in late:
            self._guarded(self._give_up, call, call_s)
        for call in self._jobs:
            self._timer = loop.call_at(call.since + call_s, self._expire, loop)
            break

    def _give_up(self, call: Call[Any], seconds: float) -> None:
        job = self._jobs.get(call)
        if job is not None:
            self._tell(call, _too_late(job, seconds))
            self._look()


def _too_late(job: Job, seconds: float) -> Ambiguous[Any] | NotSent[Any]:
    in_doubt = job.carriage is not None and job.carriage.in_doubt(job.entry)
    error = DeadlineExceeded(
        f"the call's {seconds:.3g} s are over, waits for its batch and for quota and repeats included",
        sent=in_doubt,
        timeout=True,
    )
    if in_doubt and job.queue.kind.operation.name == "create":
        return Ambiguous(None, job.entry.ordinal, "timeout", error)
    return NotSent(None, job.entry.ordinal, "deadline", error)
