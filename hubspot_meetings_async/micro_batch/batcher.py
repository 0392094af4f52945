"""`MicroBatch`: many tasks each await one call, and the calls travel together.

This module knows when a batch closes (count, bytes, linger, quota), and the lifetime of the whole. It must
not know HTTP, or what follows an answer.

    submit → Keys → Queue ──full, or linger over──→ ticket: a task that waits for quota
                      └──────── taken when the slot is there ────────┘→ batch → outcome → each task's own
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast, overload

import anyio
from msgspec import Struct

from ..bulk.events import OnRunEvent, watch
from ..bulk.outcomes import NotSent
from ..calling.deadlines import deadline_at, forget_deadline
from ..calling.retry import RetryBudget, RetryPolicy
from ..errors import ConfigurationError, DeadlineExceeded, InvalidRecord
from ..inputs import MAX_INPUTS, Record
from ..limiter import QuotaStats
from ..models import Association, Meeting, UpsertedMeeting, property_names, read_as
from .answers import meeting_of
from .carrying import Carrying
from .kinds import Kinds
from .queues import Broken, Job, Keys, Kind, Place, Queue, Recent, Told
from .spacing import Spacing
from .waiting import Waiting

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

__all__ = ["MAX_BYTES", "MicroBatch"]

S = TypeVar("S", bound=Struct)

MAX_BYTES: Final = 1_000_000
"""JSON of one request, as in bulk runs."""


class MicroBatch:
    """Collects single calls of many tasks into HubSpot's batch calls; each task gets its own meeting or its own error.

        async with hubspot.micro_batch(key_property="booking_ref") as batch:
            meeting = await batch.create({"hs_meeting_title": "Kick-off", "booking_ref": "b-17"})

    Open one for a whole service (in its lifespan) and share it: a hundred tasks that create at the same time cost one
    request. A call waits `linger_s` at most for others; a batch leaves earlier when it has `max_inputs` or `max_bytes`.
    While quota is scarce, batches grow instead of waiting one behind the other: what a request carries is decided
    when it has its slot.

    The promises are those of `hubspot.bulk`: one bad record fails alone; answers are tied to calls by id, key, trace id
    or values, never by place; a create whose answer was lost is looked up by `key_property` and sent again only if it
    is missing, or raises AmbiguousWriteError without one; updates, upserts, archives and reads are sent again. Two
    writes of one id or key go one after the other, in the order they were submitted (a meeting's id and its key are two
    names, of which nobody here knows that they mean the same meeting).

    A cancelled call leaves its batch if that has not been sent, and takes no other with it. The client's
    `Timeouts.call_s` covers all of a call (linger, quota, repeats), and so does a `hubspot.deadline(…)` around it; each
    ends its own call only. Leaving the block sends what was submitted and waits
    for its answers; then calls raise ConfigurationError.

    It belongs to the event loop it was opened on. Errors: as for single calls; AmbiguousWriteError for every write that
    may or may not have been done.
    """

    def __init__(
        self,
        kinds: Kinds,
        *,
        linger_s: float,
        max_inputs: int,
        max_bytes: int,
        call_s: float | None,
        quota: Callable[[], QuotaStats],
        wait_estimate_s: Callable[[], float] = lambda: 0.0,
        policy: RetryPolicy,
        budget: RetryBudget,
        rng: random.Random,
        on_event: OnRunEvent | None = None,
    ) -> None:
        if type(linger_s) not in (int, float) or not 0 <= linger_s < math.inf:
            raise ConfigurationError(f"linger_s must be a number of seconds, 0 or more, not {linger_s!r}")
        if type(max_inputs) is not int or not 1 <= max_inputs <= MAX_INPUTS:
            raise ConfigurationError(
                f"max_inputs must be 1-{MAX_INPUTS}, which is HubSpot's ceiling, not {max_inputs!r}"
            )
        if type(max_bytes) is not int or max_bytes < 1_000:
            raise ConfigurationError(f"max_bytes must be at least 1,000, not {max_bytes!r}")
        self._kinds = kinds
        self._linger_s = linger_s
        self._max_inputs = max_inputs
        self._max_bytes = max_bytes
        self._spacing = Spacing(quota)
        self._wait_estimate_s = wait_estimate_s
        self._policy = policy
        self._budget = budget
        self._rng = rng
        self._on_event = on_event
        self._batches = 0
        self._trace_prefix = f"{rng.getrandbits(40):010x}-"
        self._ordinal = 0
        self._queues: dict[object, Queue] = {}
        self._keys = Keys()
        self._created = Recent()
        self._waiting = Waiting(call_s=call_s, on_left=self._left, guarded=self._guarded)
        self._ripe: deque[Queue] = deque()
        self._tickets: deque[Carrying] = deque()
        self._paced: asyncio.TimerHandle | None = None
        self._tasks: TaskGroup | None = None
        self._loop = cast("asyncio.AbstractEventLoop", None)  # until it is opened
        self._closing = False
        self._ended = False

    def __repr__(self) -> str:
        state = "closed" if self._ended else "closing" if self._closing else "open" if self._tasks else "not open"
        return f"<MicroBatch {state}, {len(self._waiting)} waiting>"

    # ---- the calls

    async def create(
        self, properties: Mapping[str, Any] | Struct, *, associations: Sequence[Association] = ()
    ) -> Meeting:
        """Create one meeting, linked to the `associations`.

        Raises: Conflict when its key was taken before; AmbiguousWriteError when nothing tells what became of it;
        InvalidRecord when it can not be sent or has no value of the batcher's key property.
        """
        item = Record(properties=properties, associations=associations) if associations else properties
        told = self._submit(("create",), self._kinds.create, item)
        try:
            return cast("Meeting", meeting_of(await told, "create"))
        finally:
            self._done(told)

    async def update(
        self, meeting_id: str | int, properties: Mapping[str, Any] | Struct, *, id_property: str | None = None
    ) -> Meeting:
        """Write properties to a meeting; with `id_property`, `meeting_id` is the value of that unique property.

        Raises: NotFound; AmbiguousWriteError when it may have been written.
        """
        item = Record(id=meeting_id, properties=properties)
        name = ("update", id_property)
        told = self._submit(name, lambda: self._kinds.update(id_property), item)
        try:
            return cast("Meeting", meeting_of(await told, "update"))
        finally:
            self._done(told)

    async def upsert(
        self, value: str | int, properties: Mapping[str, Any] | Struct, *, id_property: str
    ) -> UpsertedMeeting:
        """Create or update the meeting whose unique property `id_property` has this value; `.new` tells which."""
        item = Record(id=value, properties=properties)
        name = ("upsert", id_property)
        told = self._submit(name, lambda: self._kinds.upsert(id_property), item)
        try:
            return cast("UpsertedMeeting", meeting_of(await told, "upsert"))
        finally:
            self._done(told)

    async def archive(self, meeting_id: str | int) -> None:
        """Move a meeting to the recycling bin; HubSpot answers the same whether it existed or not."""
        told = self._submit(("archive",), self._kinds.archive, meeting_id)
        try:
            meeting_of(await told, "archive")
        finally:
            self._done(told)

    @overload
    async def read(
        self,
        meeting_id: str | int,
        *,
        properties: Sequence[str] = (),
        properties_with_history: Sequence[str] = (),
        id_property: str | None = None,
        archived: bool = False,
    ) -> Meeting: ...

    @overload
    async def read(
        self,
        meeting_id: str | int,
        *,
        into: type[S],
        properties_with_history: Sequence[str] = (),
        id_property: str | None = None,
        archived: bool = False,
    ) -> Meeting[S]: ...

    async def read(
        self,
        meeting_id: str | int,
        *,
        properties: Sequence[str] = (),
        properties_with_history: Sequence[str] = (),
        id_property: str | None = None,
        archived: bool = False,
        into: type[Struct] | None = None,
    ) -> Meeting[Any]:
        """Read one meeting, together with those that others read with the same properties. Raises: NotFound.

        Who asks for the same meeting at the same time shares one input. With `into=MyMeeting`, the meeting's
        `properties` are a `MyMeeting`. Associations can not be read in batches.
        """
        if into is not None:
            if properties:
                raise ConfigurationError(
                    "give properties= or into=, not both: the properties follow from into's fields"
                )
            properties = property_names(into)
        for names in (properties, properties_with_history):
            if isinstance(names, str):
                raise ConfigurationError(f"properties are a list of names, not the string {names!r}")
        wanted = (tuple(properties), tuple(properties_with_history), id_property, archived)
        told = self._submit(("read", *wanted), lambda: self._kinds.read(*wanted), meeting_id)
        try:
            meeting = cast("Meeting", meeting_of(await told, "read"))
        finally:
            self._done(told)
        return meeting if into is None else read_as(meeting, into)

    # ---- submitting

    def _submit(self, name: object, make: Callable[[], Kind], item: object) -> Told:
        """Where to wait for what becomes of `item`. Each call awaits it itself: of thousands of calls that wait, a
        coroutine around another one costs the garbage collector."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop or self._closing:
            self._need_open(loop)
        queue = self._queues.get(name)
        if queue is None:
            queue = Queue(make(), name, max_inputs=self._max_inputs, max_bytes=self._max_bytes)
        job = self._job(queue, item)
        now = loop.time()
        ends_at = deadline_at()
        if ends_at < math.inf:
            self._need_time(job, now, ends_at)
        told: Told = loop.create_future()
        self._waiting.join(loop, told, job, now, ends_at)
        try:
            if job.place is Place.PARKED and self._keys.claim(job):
                self._enqueue(job, now)
        except BaseException:
            self._done(told)
            raise
        return told

    def _done(self, told: Told) -> None:
        """A task waits no longer, for whatever reason."""
        self._waiting.leave(told)
        if self._closing and not self._waiting:
            self._drained.set()

    def _need_time(self, job: Job, now: float, ends_at: float) -> None:
        """Raise DeadlineExceeded at once for a call that can not be in time."""
        wait_s = 0.0
        if job.place is Place.PARKED and self._keys.has_free(job) and not job.queue.has_room:
            wait_s = self._wait_estimate_s()  # a request of its own would stand behind all others
        if ends_at - now <= wait_s:
            if not job.waiting:
                job.queue.shared.pop(job.entry.key or "", None)
            raise DeadlineExceeded(
                f"HubSpot's quota has no room for another {wait_s:.1f} s at least, and the call has "
                f"{max(0.0, ends_at - now):.1f} s left; nothing was sent",
                sent=False,
                timeout=True,
            )

    def _need_open(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._tasks is None:
            raise ConfigurationError("open the micro-batcher first: async with hubspot.micro_batch(…) as batch")
        if self._closing:
            raise ConfigurationError("this micro-batcher is closed; keep its `async with` block open, or open another")
        if loop is not self._loop:
            raise ConfigurationError("this micro-batcher belongs to another event loop; open one for each loop")

    def _job(self, queue: Queue, item: object) -> Job:
        """A new job, or the one that reads the same and has not left yet."""
        ordinal = self._ordinal
        self._ordinal = ordinal + 1
        entry = queue.kind.operation.inputs.entry(ordinal, item, f"{self._trace_prefix}{ordinal}")
        shares = queue.kind.operation.name == "read"
        if shares and (known := queue.shared.get(entry.key or "")) is not None:
            return known
        job = Job(entry, queue)
        if job.size > self._max_bytes:
            raise InvalidRecord(
                f"the record is {job.size:,} bytes of JSON, more than max_bytes ({self._max_bytes:,}); shorten it or "
                "raise that"
            )
        if shares:
            queue.shared[entry.key or ""] = job
        return job

    def _enqueue(self, job: Job, now: float) -> None:
        if self._ended:
            return
        queue = job.queue = self._queues.setdefault(job.queue.name, job.queue)
        if not queue.join(job, now) and not self._closing:
            return
        if queue.full or (self._closing and queue.uncovered):
            self._open_ticket(queue)
        elif queue.timer is None and not queue.ripe and queue.uncovered:
            queue.timer = self._loop.call_at(now + self._linger_s, self._linger_over, queue)

    def _left(self, job: Job) -> None:
        """A task waits no longer."""
        job.waiting -= 1
        if job.waiting:
            return
        if job.place is Place.PARKED:
            job.place = Place.GONE
        elif job.place is Place.QUEUED:
            job.queue.leave(job)
            self._release(job)
            self._look_at(job.queue)

    def _release(self, job: Job) -> None:
        """The job's key is free: the next write of it may go."""
        heir = self._keys.release(job)
        if heir is not None:
            self._enqueue(heir, self._loop.time())

    # ---- when a batch closes

    def _linger_over(self, queue: Queue) -> None:
        queue.timer = None
        if queue.uncovered and not queue.ripe:
            queue.ripe = True
            self._ripe.append(queue)
            self._guarded(self._send_ripe)

    def _send_ripe(self) -> None:
        """Send batches that are not full; spaced out where quota is scarce, in turn."""
        while self._ripe:
            may_at = self._spacing.may_at()
            if self._loop.time() < may_at:
                if self._paced is None:
                    self._paced = self._loop.call_at(may_at, self._pace_over)
                return
            queue = self._ripe.popleft()
            queue.ripe = False
            if queue.uncovered:
                self._open_ticket(queue)

    def _pace_over(self) -> None:
        self._paced = None
        self._guarded(self._send_ripe)

    def _open_ticket(self, queue: Queue) -> None:
        run_id = f"{self._trace_prefix}b{self._batches}"
        self._batches += 1
        carrying = Carrying(
            queue,
            run_id=run_id,
            watch=watch(self._on_event, run_id=run_id, kind="micro_batch", operation=queue.kind.operation.name),
            on_bound=self._bound,
            on_released=self._release,
            created=self._created,
            policy=self._policy,
            budget=self._budget,
            rng=self._rng,
        )
        self._tickets.append(carrying)
        self._called.set()
        queue.tickets += 1
        self._spacing.pay(self._loop.time())

    def _bound(self, queue: Queue) -> None:
        """A ticket has become a batch, or was not needed."""
        queue.tickets -= 1
        self._look_at(queue)

    def _look_at(self, queue: Queue) -> None:
        """After jobs were taken out: the linger of those that are left is that of the first of them."""
        if not queue.uncovered:
            if queue.timer is not None:
                queue.timer.cancel()
                queue.timer = None
            if not queue and not queue.tickets and self._queues.get(queue.name) is queue:
                del self._queues[queue.name]
            return
        first = queue.first
        if first is None or queue.tickets or queue.ripe:
            return
        if queue.timer is not None:
            queue.timer.cancel()
        queue.timer = self._loop.call_at(first.arrived_at + self._linger_s, self._linger_over, queue)

    async def _dispatch(self, tasks: TaskGroup) -> None:
        """Start a task for each ticket, here and not where a call was submitted: a batch is nobody's in particular."""
        forget_deadline()
        while True:
            await self._called.wait()
            self._called: anyio.Event = anyio.Event()
            while self._tickets:
                tasks.start_soon(self._tickets.popleft().carry, name="micro-batch")

    def _guarded(self, step: Callable[..., None], *args: object) -> None:
        """A step in a callback of the loop, where nobody would see an error: all who wait get it."""
        if self._ended:
            return
        try:
            step(*args)
        except Exception as bug:  # noqa: BLE001 - nobody may wait for ever because of a bug
            broken = Broken(bug)
            self._waiting.tell_all(lambda _: broken)

    # ---- from the beginning to the end

    async def __aenter__(self) -> Self:
        if self._tasks is not None:
            raise ConfigurationError("a micro-batcher is opened once; call hubspot.micro_batch() again for another")
        self._loop = asyncio.get_running_loop()
        self._drained = anyio.Event()
        self._called = anyio.Event()
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._dispatch, self._tasks, name="micro-batch dispatcher")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = cast("TaskGroup", self._tasks)
        cancelled = isinstance(error, anyio.get_cancelled_exc_class())
        self._closing = self._spacing.ends = True
        try:
            if not cancelled:
                await self._drain()
        finally:
            # Left are tickets without anybody who waits, or, after a cancel, everything.
            self._ended = True
            tasks.cancel_scope.cancel()
            try:
                # An error of the block is not the group's: given to it, it would come back in an ExceptionGroup.
                await tasks.__aexit__(*((kind, error, trace) if cancelled else (None, None, None)))
            finally:
                self._forget()

    async def _drain(self) -> None:
        """Send what waits at once, and wait until everybody has been told."""
        for queue in tuple(self._queues.values()):
            if queue.uncovered and not queue.ripe:
                queue.ripe = True
                self._ripe.append(queue)
        self._send_ripe()
        if self._waiting:
            await self._drained.wait()

    def _forget(self) -> None:
        self._waiting.stop()
        for timer in (self._paced, *(queue.timer for queue in self._queues.values())):
            if timer is not None:
                timer.cancel()
        self._waiting.tell_all(lambda job: NotSent(job, job.entry.ordinal, "cancelled"))
