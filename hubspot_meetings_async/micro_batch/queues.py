"""What waits to be sent: jobs, the queue of each kind of call, and which keys are taken.

This module knows what may travel in one batch and in which order. It must not know await, HTTP, clocks, or how a batch
is carried.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, Final, Protocol

from ..bulk.operation import Operation
from ..bulk.outcomes import Outcome
from ..inputs import Entry

__all__ = ["Broken", "Carriage", "Job", "Keys", "Kind", "Place", "Queue", "Recent", "Told"]


_REMEMBERED: Final = 5_000


class Broken:
    """The word to a waiter that the batcher itself failed: `error` is the bug."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


class Place(Enum):
    """Where a job is."""

    PARKED = "parked"
    """Behind an earlier write of its key."""
    QUEUED = "queued"
    TAKEN = "taken"
    """In a batch."""
    GONE = "gone"
    """Nobody waits for it any more, and it was in no batch."""


class Carriage(Protocol):
    """Who carries a batch."""

    def in_doubt(self, entry: Entry) -> bool:
        """Whether this entry of it may be done without an answer that says so."""
        ...


class Kind:
    """One kind of call: what may travel together.

    `operation` is the batch call; `begin` is awaited before it, where it needs something; `key_property` names what the
    keys of its writes are values of (`""`: ids), None where nothing keeps two calls apart.
    """

    __slots__ = ("begin", "key_property", "operation")

    def __init__(
        self, operation: Operation, *, key_property: str | None, begin: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self.operation = operation
        self.key_property = key_property
        self.begin = begin


Told = asyncio.Future[Outcome[Any, Any] | Broken]
"""Where one task waits for the outcome."""


class Job:
    """One input on its way. `waiting` tasks want its outcome: one, or several that read the same."""

    __slots__ = ("_first", "_others", "arrived_at", "carriage", "entry", "key", "place", "queue", "size", "waiting")

    def __init__(self, entry: Entry, queue: Queue) -> None:
        self.entry = entry
        entry.record = self  # so that an outcome names its job
        self.queue = queue
        self.size = len(entry.encoded) + 1
        self.arrived_at = 0.0
        self.place = Place.PARKED
        self.carriage: Carriage | None = None
        self.waiting = 0
        name = queue.kind.key_property
        self.key = None if name is None or entry.key is None else (name, entry.key)
        """What no two writes in flight may share; None once it is given back."""
        self._first: Told | None = None
        self._others: list[Told] | None = None

    def awaited_by(self, told: Told) -> None:
        """One more task wants to know."""
        self.waiting += 1
        if self._first is None:
            self._first = told
        else:
            self._others = [*(self._others or ()), told]

    def tell(self, outcome: Outcome[Any, Any] | Broken) -> None:
        """Give the outcome to everybody who waits for it."""
        if self._first is not None and not self._first.done():
            self._first.set_result(outcome)
        for told in self._others or ():
            if not told.done():
                told.set_result(outcome)


class Queue:
    """Jobs of one kind, first come, first served; `tickets` are requests under way that will take from its front."""

    def __init__(self, kind: Kind, name: object, *, max_inputs: int, max_bytes: int) -> None:
        self.kind = kind
        self.name = name
        self.tickets = 0
        self.ripe = False
        """Whether it stands in line for a ticket."""
        self.timer: asyncio.TimerHandle | None = None
        self.shared: dict[str, Job] = {}
        """Reads that wait here, by key: who wants the same joins them."""
        self._max_inputs = min(max_inputs, kind.operation.inputs.max_inputs)
        self._max_bytes = max_bytes
        self._jobs: deque[Job] = deque()
        self._waiting = 0
        self._bytes = 0

    def __len__(self) -> int:
        return self._waiting

    def join(self, job: Job, arrived_at: float) -> bool:
        """Take the last place. True when it is the first to need another ticket, or completes a batch."""
        job.place, job.arrived_at = Place.QUEUED, arrived_at
        self._jobs.append(job)
        self._waiting += 1
        self._bytes += job.size
        return (self.timer is None and not self.ripe and self.uncovered) or self.full

    def leave(self, job: Job) -> None:
        """Nobody wants it any more."""
        self._out(job, Place.GONE)
        if not self._waiting:
            self._jobs.clear()

    def take(self, entries: list[Entry], carriage: Carriage) -> None:
        """Move jobs from the front to `entries`, as many as fit into a batch with those."""
        size = sum(len(entry.encoded) + 1 for entry in entries)
        jobs = self._jobs
        while jobs:
            job = jobs[0]
            if job.place is not Place.QUEUED:
                jobs.popleft()
                continue
            if len(entries) >= self._max_inputs or (entries and size + job.size > self._max_bytes):
                return
            jobs.popleft()
            self._out(job, Place.TAKEN)
            job.carriage = carriage
            entries.append(job.entry)
            size += job.size

    @property
    def first(self) -> Job | None:
        """Whose turn it is."""
        while self._jobs and self._jobs[0].place is not Place.QUEUED:
            self._jobs.popleft()
        return self._jobs[0] if self._jobs else None

    @property
    def full(self) -> bool:
        """Whether there is a whole batch beyond what tickets will take."""
        beyond = self.tickets + 1
        return self._waiting >= beyond * self._max_inputs or self._bytes >= beyond * self._max_bytes

    @property
    def has_room(self) -> bool:
        """Whether tickets will take one more."""
        return self._waiting < self.tickets * self._max_inputs and self._bytes < self.tickets * self._max_bytes

    @property
    def uncovered(self) -> bool:
        """Whether there is more than tickets will take."""
        return self._waiting > self.tickets * self._max_inputs or self._bytes > self.tickets * self._max_bytes

    def _out(self, job: Job, place: Place) -> None:
        job.place = place
        self._waiting -= 1
        self._bytes -= job.size
        if self.shared.get(job.entry.key or "") is job:
            del self.shared[job.entry.key or ""]


class Recent:
    """The last some thousand ids, in two generations, so that memory stays flat."""

    def __init__(self) -> None:
        self._young: set[str] = set()
        self._old: set[str] = set()

    def add(self, meeting_id: str) -> None:
        """Remember one."""
        self._young.add(meeting_id)
        if len(self._young) >= _REMEMBERED:
            self._young, self._old = set(), self._young

    def __contains__(self, meeting_id: str) -> bool:
        return meeting_id in self._young or meeting_id in self._old


class Keys:
    """Keys of writes that wait in a queue or are in flight: one write of a key at a time, in the order they came."""

    def __init__(self) -> None:
        self._busy: dict[tuple[str, str], deque[Job] | None] = {}

    def has_free(self, job: Job) -> bool:
        """Whether nobody has the job's key."""
        return job.key is None or job.key not in self._busy

    def claim(self, job: Job) -> bool:
        """Take the job's key; False when another has it, behind which it waits now."""
        if job.key is None:
            return True
        if job.key not in self._busy:
            self._busy[job.key] = None
            return True
        waiting = self._busy[job.key]
        if waiting is None:
            waiting = self._busy[job.key] = deque()
        waiting.append(job)
        return False

    def release(self, job: Job) -> Job | None:
        """Give the key back, once; the job that has it now."""
        key, job.key = job.key, None
        if key is None:
            return None
        waiting = self._busy[key]
        while waiting:
            heir = waiting.popleft()
            if heir.place is Place.PARKED:
                return heir
        del self._busy[key]
        return None
