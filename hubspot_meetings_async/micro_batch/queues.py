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

from msgspec import Struct

from ..bulk.operation import Operation
from ..entries import Entry
from .calls import Call

__all__ = ["Broken", "Carriage", "Job", "Keys", "Kind", "Place", "Queue", "Recent"]


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


_QUEUED: Final = Place.QUEUED
_TAKEN: Final = Place.TAKEN
# By themselves: to ask an Enum for its member takes as long as a place in a queue.


class Job(Struct, eq=False, gc=False):
    """One input on its way. `call` waits for its outcome, and `others` that read the same; `waiting` counts those that
    still do. No two writes with the same `key` may be in flight; None once it is given back."""

    entry: Entry
    queue: Queue
    size: int
    call: Call[Any]
    key: tuple[str, str] | None = None
    others: list[Call[Any]] | None = None
    waiting: int = 1
    place: Place = Place.PARKED
    arrived_at: float = 0.0
    carriage: Carriage | None = None

    def awaited_by(self, call: Call[Any]) -> None:
        """One more task wants to know."""
        self.waiting += 1
        self.others = [*(self.others or ()), call]


class Queue:
    """Jobs of one kind, first come, first served; `tickets` are requests under way that will take from its front."""

    def __init__(self, kind: Kind, name: object, *, max_inputs: int, max_bytes: int) -> None:
        self.kind = kind
        self.name = name
        self.entry = kind.operation.inputs.entry
        """Forms an input."""
        self.ripe = False
        """Whether it stands in line for a ticket."""
        self.timer: asyncio.TimerHandle | None = None
        self.shared: dict[str, Job] | None = {} if kind.operation.name == "read" else None
        """Reads that wait here, by key: who wants the same joins them."""
        self._max_inputs = min(max_inputs, kind.operation.inputs.max_inputs)
        self._max_bytes = max_bytes
        self._jobs: deque[Job] = deque()
        self._waiting = 0
        self._bytes = 0
        self.tickets = 0

    def __len__(self) -> int:
        return self._waiting

    @property
    def tickets(self) -> int:
        """Requests under way that will take from its front."""
        return self._tickets

    @tickets.setter
    def tickets(self, number: int) -> None:
        self._tickets = number
        # What they cover, and what would be one batch more: every job that comes asks for it.
        self._covered_inputs, self._covered_bytes = number * self._max_inputs, number * self._max_bytes
        self._full_inputs = self._covered_inputs + self._max_inputs
        self._full_bytes = self._covered_bytes + self._max_bytes

    def key_of(self, key: str) -> tuple[str, str] | None:
        """What no two writes in flight may share, for the key of an input."""
        name = self.kind.key_property
        return None if name is None else (name, key)

    def join(self, job: Job, arrived_at: float) -> bool:
        """Take the last place. True when it is the first to need another ticket, or completes a batch."""
        job.place, job.arrived_at = _QUEUED, arrived_at
        self._jobs.append(job)
        self._waiting += 1
        self._bytes += job.size
        if self.shared is not None:
            self.shared[job.entry.key or ""] = job
        if self._waiting >= self._full_inputs or self._bytes >= self._full_bytes:
            return True
        return self.timer is None and not self.ripe and self.uncovered

    def leave(self, job: Job) -> None:
        """Nobody wants it any more."""
        job.place = Place.GONE
        self._waiting -= 1
        self._bytes -= job.size
        if not self._waiting:
            self._jobs.clear()
        if self.shared is not None:
            self.forget(job)

    def take(self, entries: list[Entry], jobs: dict[int, Job], carriage: Carriage) -> None:
        """Move jobs from the front to `entries`, as many as fit into a batch with those, and to `jobs` by ordinal."""
        began, before = len(entries), sum(len(entry.encoded) + 1 for entry in entries)
        size, waiting = before, self._jobs
        while waiting:
            job = waiting[0]
            if job.place is _QUEUED:
                if len(entries) >= self._max_inputs or (entries and size + job.size > self._max_bytes):
                    break
                job.place, job.carriage = _TAKEN, carriage
                entry = job.entry
                entries.append(entry)
                jobs[entry.ordinal] = job
                size += job.size
                if self.shared is not None:
                    self.forget(job)
            waiting.popleft()
        self._waiting -= len(entries) - began
        self._bytes -= size - before

    @property
    def first(self) -> Job | None:
        """Whose turn it is."""
        while self._jobs and self._jobs[0].place is not _QUEUED:
            self._jobs.popleft()
        return self._jobs[0] if self._jobs else None

    @property
    def full(self) -> bool:
        """Whether there is a whole batch beyond what tickets will take."""
        return self._waiting >= self._full_inputs or self._bytes >= self._full_bytes

    @property
    def has_room(self) -> bool:
        """Whether tickets will take one more."""
        return self._waiting < self._covered_inputs and self._bytes < self._covered_bytes

    @property
    def uncovered(self) -> bool:
        """Whether there is more than tickets will take."""
        return self._waiting > self._covered_inputs or self._bytes > self._covered_bytes

    def forget(self, job: Job) -> None:
        """Nobody joins this read any more."""
        key, shared = job.entry.key or "", self.shared or {}
        if shared.get(key) is job:
            del shared[key]


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

    def __len__(self) -> int:
        return len(self._busy)

    def has_free(self, key: tuple[str, str] | None) -> bool:
        """Whether nobody has this key."""
        return key is None or key not in self._busy

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
