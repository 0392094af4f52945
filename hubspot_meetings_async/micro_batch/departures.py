"""When a batch closes: by count, by bytes, when its linger is over, and as quota allows.

This module knows queues, keys and the moments at which batches go, on the loop's clock. It must not know await, HTTP,
who waits for a call, or how a batch is carried.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from .kinds import Kinds
from .queues import Job, Keys, Place, Queue
from .spacing import Spacing

__all__ = ["Departures"]


class Departures:
    """The queues of a batcher. `on_ticket` opens a request that will take from the front of a queue; `guarded` runs a
    step in a callback of the loop."""

    def __init__(
        self,
        kinds: Kinds,
        spacing: Spacing,
        *,
        linger_s: float,
        max_inputs: int,
        max_bytes: int,
        on_ticket: Callable[[Queue], None],
        guarded: Callable[..., None],
    ) -> None:
        self._kinds = kinds
        self._spacing = spacing
        self._linger_s = linger_s
        self._max_inputs = max_inputs
        self._max_bytes = max_bytes
        self._on_ticket = on_ticket
        self._guarded = guarded
        self.queues: dict[object, Queue] = {}
        self._keys = Keys()
        self._ripe: deque[Queue] = deque()
        self._paced: asyncio.TimerHandle | None = None
        self._closing = False
        self._ended = False
        self.loop = cast("asyncio.AbstractEventLoop", None)  # until the batcher is opened

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept of any call."""
        return not (self.queues or self._ripe or self._keys)

    def new_queue(self, name: tuple[Any, ...]) -> Queue:
        """A queue for one kind of call; it is kept from its first job on. Raises: ConfigurationError."""
        return Queue(self._kinds.of(*name), name, max_inputs=self._max_inputs, max_bytes=self._max_bytes)

    def needs_a_request(self, queue: Queue, key: tuple[str, str] | None) -> bool:
        """Whether a job that comes now would need a request that is not under way yet."""
        return self._keys.has_free(key) and not queue.has_room

    def claim(self, job: Job) -> bool:
        """Whether a new job may take its place in its queue at once; else it waits for earlier writes of its key."""
        return self._keys.claim(job)

    def joined(self, queue: Queue, now: float) -> None:
        """A job came that is the first to need another ticket, or completes a batch."""
        self.queues.setdefault(queue.name, queue)
        if queue.full or (self._closing and queue.uncovered):
            self._open_ticket(queue)
        elif queue.timer is None and not queue.ripe and queue.uncovered:
            queue.timer = self.loop.call_at(now + self._linger_s, self._linger_over, queue)

    def left(self, job: Job) -> None:
        """Nobody waits any more for a job that is in no batch."""
        if job.place is Place.PARKED:
            job.place = Place.GONE
        elif job.place is Place.QUEUED:
            job.queue.leave(job)
            self.release(job)
            self._look_at(job.queue)

    def release(self, job: Job) -> None:
        """The job's key is free: the next write of it may go."""
        heir = self._keys.release(job)
        if heir is None or self._ended:
            return
        queue = heir.queue = self.queues.get(heir.queue.name, heir.queue)
        now = self.loop.time()
        if queue.join(heir, now) or self._closing:
            self.joined(queue, now)

    def bound(self, queue: Queue) -> None:
        """A ticket has become a batch, or was not needed."""
        queue.tickets -= 1
        self._look_at(queue)

    def send_all(self) -> None:
        """From here on nothing lingers."""
        self._closing = self._spacing.ends = True
        for queue in tuple(self.queues.values()):
            self._ripen(queue)
        self._send_ripe()

    def stop(self) -> None:
        """Nothing departs any more."""
        self._ended = True
        for timer in (self._paced, *(queue.timer for queue in self.queues.values())):
            if timer is not None:
                timer.cancel()

    def _linger_over(self, queue: Queue) -> None:
        queue.timer = None
        self._ripen(queue)
        self._guarded(self._send_ripe)

    def _ripen(self, queue: Queue) -> None:
        if queue.uncovered and not queue.ripe:
            queue.ripe = True
            self._ripe.append(queue)

    def _send_ripe(self) -> None:
        """Send batches that are not full; spaced out where quota is scarce, in turn."""
        while self._ripe:
            may_at = self._spacing.may_at()
            if self.loop.time() < may_at:
                if self._paced is None:
                    self._paced = self.loop.call_at(may_at, self._pace_over)
                return
            queue = self._ripe.popleft()
            queue.ripe = False
            if queue.uncovered:
                self._open_ticket(queue)

    def _pace_over(self) -> None:
        self._paced = None
        self._guarded(self._send_ripe)

    def _open_ticket(self, queue: Queue) -> None:
        self._spacing.pay(self.loop.time())
        queue.tickets += 1
        self._on_ticket(queue)

    def _look_at(self, queue: Queue) -> None:
        """After jobs were taken out: the linger of those that are left is that of the first of them."""
        if self._ended:
            return
        if not queue.uncovered:
            if queue.timer is not None:
                queue.timer.cancel()
                queue.timer = None
            if not queue and not queue.tickets and self.queues.get(queue.name) is queue:
                del self.queues[queue.name]
            return
        first = queue.first
        if first is None or queue.tickets or queue.ripe:
            return
        if queue.timer is not None:
            queue.timer.cancel()
        queue.timer = self.loop.call_at(first.arrived_at + self._linger_s, self._linger_over, queue)
