"""`MicroBatch`: many tasks each await one call, and the calls travel together.

This module knows the calls, and the lifetime of the whole. It must not know HTTP, when a batch closes, or what follows
an answer.

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
from ..models import Association, Meeting, UpsertedMeeting, property_names
from .calls import Call, CallInto, awaited, failed
from .carrying import Carrying
from .departures import Departures
from .kinds import Kinds
from .queues import Broken, Job, Queue, Recent
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

    A call is on its way when it is made: await it at once or later, give many to `asyncio.gather` (the cheapest way to
    wait for many), or make tasks of them. What is wrong with it is raised where it is awaited.

    A cancelled call leaves its batch if that has not been sent, and takes no other with it. The client's
    `Timeouts.call_s` covers all of a call (linger, quota, repeats), and so does a `hubspot.deadline(…)` that it is made
    in; each ends its own call only. Leaving the block sends what was submitted and waits for its answers; then calls
    raise ConfigurationError.

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
        self._max_bytes = max_bytes
        self._wait_estimate_s = wait_estimate_s
        self._policy = policy
        self._budget = budget
        self._rng = rng
        self._on_event = on_event
        self._batches = 0
        self._trace_prefix = f"{rng.getrandbits(40):010x}-"
        self._ordinal = 0
        self._created = Recent()
        self._departures = Departures(
            kinds,
            Spacing(quota),
            linger_s=linger_s,
            max_inputs=max_inputs,
            max_bytes=max_bytes,
            on_ticket=self._open_ticket,
            guarded=self._guarded,
        )
        self._queues = self._departures.queues
        self._waiting = Waiting(call_s=call_s, on_left=self._departures.left, guarded=self._guarded)
        self._tickets: deque[Carrying] = deque()
        self._carried = 0
        """Tickets and batches under way."""
        self._tasks: TaskGroup | None = None
        self._loop = cast("asyncio.AbstractEventLoop", None)  # until it is opened
        self._closing = False
        self._ended = False

    def __repr__(self) -> str:
        state = "closed" if self._ended else "closing" if self._closing else "open" if self._tasks else "not open"
        return f"<MicroBatch {state}, {len(self._waiting)} waiting>"

    # ---- the calls

    @awaited
    def create(
        self, properties: Mapping[str, Any] | Struct, *, associations: Sequence[Association] = ()
    ) -> Call[Meeting]:
        """Create one meeting, linked to the `associations`.

        Raises: Conflict when its key was taken before; AmbiguousWriteError when nothing tells what became of it;
        InvalidRecord when it can not be sent or has no value of the batcher's key property.
        """
        return self._submit(
            _CREATE, Record(properties=properties, associations=associations) if associations else properties
        )

    @awaited
    def update(
        self, meeting_id: str | int, properties: Mapping[str, Any] | Struct, *, id_property: str | None = None
    ) -> Call[Meeting]:
        """Write properties to a meeting; with `id_property`, `meeting_id` is the value of that unique property.

        Raises: NotFound; AmbiguousWriteError when it may have been written.
        """
        return self._submit(("update", id_property), Record(id=meeting_id, properties=properties))

    @awaited
    def upsert(
        self, value: str | int, properties: Mapping[str, Any] | Struct, *, id_property: str
    ) -> Call[UpsertedMeeting]:
        """Create or update the meeting whose unique property `id_property` has this value; `.new` tells which."""
        return self._submit(("upsert", id_property), Record(id=value, properties=properties))

    @awaited
    def archive(self, meeting_id: str | int) -> Call[None]:
        """Move a meeting to the recycling bin; HubSpot answers the same whether it existed or not."""
        return self._submit(_ARCHIVE, meeting_id)

    @overload
    def read(
        self,
        meeting_id: str | int,
        *,
        properties: Sequence[str] = (),
        properties_with_history: Sequence[str] = (),
        id_property: str | None = None,
        archived: bool = False,
    ) -> Call[Meeting]: ...

    @overload
    def read(
        self,
        meeting_id: str | int,
        *,
        into: type[S],
        properties_with_history: Sequence[str] = (),
        id_property: str | None = None,
        archived: bool = False,
    ) -> Call[Meeting[S]]: ...

    @awaited
    def read(
        self,
        meeting_id: str | int,
        *,
        properties: Sequence[str] = (),
        properties_with_history: Sequence[str] = (),
        id_property: str | None = None,
        archived: bool = False,
        into: type[Struct] | None = None,
    ) -> Call[Meeting[Any]]:
        """Read one meeting, together with those that others read with the same properties. Raises: NotFound.

        Who asks for the same meeting at the same time shares one input. With `into=MyMeeting`, the meeting's
        `properties` are a `MyMeeting`. Associations can not be read in batches.
        """
        if into is not None:
            if properties:
                wrong = "give properties= or into=, not both: the properties follow from into's fields"
                return failed(ConfigurationError(wrong))
            properties = property_names(into)
        for names in (properties, properties_with_history):
            if isinstance(names, str):
                return failed(ConfigurationError(f"properties are a list of names, not the string {names!r}"))
        name = ("read", tuple(properties), tuple(properties_with_history), id_property, archived)
        return self._submit(name, meeting_id, into)

    # ---- submitting

    def _submit(self, name: tuple[Any, ...], item: object, into: type[Struct] | None = None) -> Call[Any]:
        """Take a call in, at once: who makes many waits for them together. What is wrong is said when it is awaited."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # For `run_coroutine_threadsafe`: it begins in the loop that will await it.
            return cast("Call[Any]", self._later(name, item, into))
        try:
            if loop is not self._loop or self._closing:
                self._need_open(loop)
            queue = self._queues.get(name)
            if queue is None:
                queue = self._departures.new_queue(name)
            ordinal = self._ordinal
            self._ordinal = ordinal + 1
            entry = queue.entry(ordinal, item, f"{self._trace_prefix}{ordinal}")
            size = len(entry.encoded) + 1
            if size > self._max_bytes:
                raise InvalidRecord(
                    f"the record is {size:,} bytes of JSON, more than max_bytes ({self._max_bytes:,}); shorten it or "
                    "raise that"
                )
            key = None if entry.key is None else queue.key_of(entry.key)
            known = None if queue.shared is None else queue.shared.get(entry.key or "")
            now, ends_at = loop.time(), deadline_at()
            if ends_at < math.inf:
                self._need_time(ends_at - now, alone=known is None and self._departures.needs_a_request(queue, key))
            call: Call[Any] = Call(loop=loop) if into is None else CallInto(into, loop=loop)
            job = known or Job(entry, queue, size, call, key)
            self._waiting.join(loop, call, job, now, ends_at)
            if known is not None:
                known.awaited_by(call)
            elif (key is None or self._departures.claim(job)) and queue.join(job, now):
                self._guarded(self._departures.joined, queue, now)
        except Exception as error:  # noqa: BLE001 - the caller's, who gets it when he awaits
            return failed(error)
        return call

    def _need_time(self, left_s: float, *, alone: bool) -> None:
        """Raise DeadlineExceeded at once for a call that can not be in time; `alone`: it needs a request of its own."""
        wait_s = self._wait_estimate_s() if alone else 0.0
        if left_s <= wait_s:
            raise DeadlineExceeded(
                f"HubSpot's quota has no room for another {wait_s:.1f} s at least, and the call has "
                f"{max(0.0, left_s):.1f} s left; nothing was sent",
                sent=False,
                timeout=True,
            )

    async def _later(self, name: tuple[Any, ...], item: object, into: type[Struct] | None) -> Any:
        return await self._submit(name, item, into)

    def _need_open(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._tasks is None:
            raise ConfigurationError("open the micro-batcher first: async with hubspot.micro_batch(…) as batch")
        if self._closing:
            raise ConfigurationError("this micro-batcher is closed; keep its `async with` block open, or open another")
        if loop is not self._loop:
            raise ConfigurationError("this micro-batcher belongs to another event loop; open one for each loop")

    # ---- batches

    def _open_ticket(self, queue: Queue) -> None:
        run_id = f"{self._trace_prefix}b{self._batches}"
        self._batches += 1
        carrying = Carrying(
            queue,
            run_id=run_id,
            watch=watch(self._on_event, run_id=run_id, kind="micro_batch", operation=queue.kind.operation.name),
            waiting=self._waiting,
            on_bound=self._departures.bound,
            on_released=self._departures.release,
            created=self._created,
            policy=self._policy,
            budget=self._budget,
            rng=self._rng,
        )
        self._tickets.append(carrying)
        self._called.set()

    async def _dispatch(self, tasks: TaskGroup) -> None:
        """Start a task for each ticket, here and not where a call was submitted: a batch is nobody's in particular."""
        forget_deadline()
        while not self._ended:
            await self._called.wait()
            self._called: anyio.Event = anyio.Event()
            while self._tickets:
                self._carried += 1
                tasks.start_soon(self._carry, self._tickets.popleft(), name="micro-batch")

    async def _carry(self, carrying: Carrying) -> None:
        try:
            await carrying.carry()
        finally:
            self._carried -= 1

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
        self._loop = self._departures.loop = asyncio.get_running_loop()
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
        self._closing = True
        try:
            if not cancelled:
                self._departures.send_all()
                await self._waiting.nobody()
        finally:
            self._ended = True
            self._departures.stop()
            self._tickets.clear()
            self._called.set()
            if self._carried:  # tickets without anybody who waits, or, after a cancel, everything
                tasks.cancel_scope.cancel()
            try:
                # An error of the block is not the group's: given to it, it would come back in an ExceptionGroup.
                await tasks.__aexit__(*((kind, error, trace) if cancelled else (None, None, None)))
            finally:
                self._waiting.stop()
                self._waiting.tell_all(lambda job: NotSent(None, job.entry.ordinal, "cancelled"))


_CREATE: Final = ("create",)
_ARCHIVE: Final = ("archive",)
