"""The bulk engine: a feeder, workers and what is handed over between them.

    source ─record→ Cutter ─Batch→ (Handover) → workers ─outcomes→ (Handover) → your `async for`

This module knows tasks and the order of things. It must not know HTTP, the client, file formats, or what
follows an answer: a `Carrier` takes each batch through, an `Account` counts.

How many workers: the first goes alone until HubSpot has done something for it. From then on there is always one that
holds a batch and waits for its turn: the moment its request leaves, another is started if none is idle. So as many
requests are in flight as the quota admits at the present latency, and one waits.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Self, cast

import anyio
from msgspec import Struct

from ..calling.retry import RetryBudget, RetryPolicy
from ..entries import Entry
from ..errors import ConfigurationError, DeadlineExceeded, JournalError
from .account import Account, Told
from .batches import Batch
from .carrier import Carrier
from .events import OnRunEvent, watch
from .forming import Former
from .handover import Handover
from .intake import MOST_PARKED, Intake
from .journal.journal import Job, JournalPlace
from .operation import Doubt, Operation
from .outcomes import M, Outcome, R, Report
from .pieces import Flight
from .pulling import ReadySource, Source, source_of
from .resuming import Resumption
from .verifying import Verifier

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

__all__ = ["Options", "Run"]

_MOST_WORKERS = 128
_MOST_WITHOUT_LIMIT = 16
"""Without a quota nothing but the loop's own speed holds workers back, and more of them only hold more memory."""
_LINGER_S = 0.5
_LONGEST_CLOSE_S: Final = 40.0


class Options(Struct, frozen=True, kw_only=True):
    """How a run goes, whatever it does; see `Bulk`."""

    max_batch_bytes: int = 1_000_000
    workers: int | None = None
    on_progress: Callable[[Report], None] | None = None
    delivery_timeout_s: float | None = None
    wait_for_reset: bool = False
    read_in_thread: bool | None = None
    journal: JournalPlace | None = None

    def __post_init__(self) -> None:
        workers, timeout_s = self.workers, self.delivery_timeout_s
        if workers is not None and not (type(workers) is int and 1 <= workers <= _MOST_WORKERS):
            raise ConfigurationError(f"workers must be 1-{_MOST_WORKERS}, or None to follow quota and latency")
        if type(self.max_batch_bytes) is not int or self.max_batch_bytes < 1_000:
            raise ConfigurationError(f"max_batch_bytes must be at least 1,000, not {self.max_batch_bytes!r}")
        if timeout_s is not None and not (type(timeout_s) in (int, float) and 0 < timeout_s < math.inf):
            raise ConfigurationError(f"delivery_timeout_s must be a number of seconds above 0, not {timeout_s!r}")


class Run(Generic[R, M]):
    """One bulk run, in two forms:

        report = await hubspot.bulk.create(records)            # run to the end

        async with hubspot.bulk.create(records) as run:        # or watch every record
            async for outcome in run: ...
        run.report

    `report` is the account, live while the run goes on and final afterwards. Leaving the block early cancels: writes
    that are out become `Ambiguous`, what was not sent becomes `NotSent`; outcomes that nobody iterated over are in
    `unread`. `stop()` instead pulls nothing more and lets everything that was pulled finish.

    Raises, on entering: ConfigurationError when the key property is not fit; JournalError and its kinds. Once all
    outcomes have been handed out: the source's own exception, if it raised one; otherwise what made going on useless
    (Unauthorized, Forbidden, DailyLimitExceeded, NotFound for the path, ConfigurationError, TransportFailed,
    HubSpotUnavailable, AmbiguousWriteError, JournalError).
    """

    def __init__(
        self,
        operation: Operation,
        records: Iterable[R] | AsyncIterable[R],
        *,
        options: Options,
        job: Callable[[], Any] | None = None,
        rng: random.Random,
        policy: RetryPolicy | None = None,
        budget: RetryBudget | None = None,
        on_event: OnRunEvent | None = None,
    ) -> None:
        _check(records)
        self._operation = operation
        self._options = options
        self._job = job
        self._source: Source[R] = source_of(records, in_thread=options.read_in_thread)
        self._most_workers = options.workers or (_MOST_WORKERS if operation.quota()[0] else _MOST_WITHOUT_LIMIT)
        self._report = Report(operation=operation.name)
        self.id = f"{rng.getrandbits(40):010x}"
        """Names the run in events, attempts and log lines; the trace ids of its records begin with it."""
        self._account = Account(
            self._report,
            quota=operation.quota,
            on_settled=self._release,
            on_progress=options.on_progress,
            on_bug=self._doom,
            watch=watch(on_event, run_id=self.id, kind="bulk", operation=operation.name),
        )
        self._intake = Intake(operation, self._account, max_bytes=options.max_batch_bytes, on_mismatch=self._doom)
        self._cutter = self._intake.cutter
        policy = policy or RetryPolicy()
        self._carrier = Carrier(
            operation,
            self._account,
            policy=policy,
            budget=budget or RetryBudget(policy.tokens),
            rng=rng,
            wait_for_reset=options.wait_for_reset,
            on_doomed=self._end,
            on_success=self._keep_one_ready_after_success,
            on_stuck=self._keep_one_ready,
        )
        self._verifier = (
            Verifier(operation, operation.read_back, self._report)
            if operation.verify is not None and operation.read_back is not None
            else None
        )
        self._former: Former[R] = Former(operation.inputs, trace_prefix=f"{self.id}-", room=self._room)
        self._batches: Handover[Flight] = Handover()
        self._outcomes: Handover[list[Outcome[Any, Any]]] = Handover()
        self._unread: deque[Outcome[R, M]] = deque()
        self._only_counts = False
        self._exhausted = False
        self._stopping = False
        self._ended = False
        self._feeding = True
        self._workers = self._idle = self._queued = 0
        self._tasks: TaskGroup | None = None
        self._released = asyncio.Event()
        self._lingering = anyio.Lock()

    def __repr__(self) -> str:
        state = "ended" if self._ended else "not begun" if self._tasks is None else f"{self._workers} workers"
        return f"<Run {self._report.operation}, {state}, {self._report.settled} of {self._report.pulled} settled>"

    # ---- for the user

    @property
    def report(self) -> Report:
        """The account so far, as a copy."""
        return self._account.snapshot(ended=self._ended or self._tasks is None)

    @property
    def unread(self) -> list[Outcome[R, M]]:
        """Outcomes that were not iterated over, once the block was left early."""
        return list(self._unread)

    def stop(self) -> None:
        """Pull nothing more from the source; what was pulled is sent, and its outcomes are delivered."""
        self._stopping = True
        self._source.stop()

    def __await__(self) -> Generator[Any, None, Report]:
        return self._to_the_end().__await__()

    async def _to_the_end(self) -> Report:
        self._only_counts = True
        async with self:
            while await self._next_outcomes():
                self._unread.clear()
        return self.report

    async def __aenter__(self) -> Self:
        if self._tasks is not None:
            raise ConfigurationError("a bulk run runs once; call hubspot.bulk again for another")
        self._account.began_at = anyio.current_time()
        self._tasks = anyio.create_task_group()
        try:
            if self._operation.begin is not None:
                await self._operation.begin()
            await self._open_journal()
        except BaseException:
            self._ended = True
            raise
        if self._account.watch is not None:
            self._account.watch.started(resumed=self._intake.resumption is not None)
        await self._tasks.__aenter__()
        self._batches.join()
        self._outcomes.join()
        self._start_worker()
        self._tasks.start_soon(self._feed, name="bulk feeder")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = cast("TaskGroup", self._tasks)
        tasks.cancel_scope.cancel()
        try:
            # An error of the block is not the group's: given to it, it would come back wrapped in an ExceptionGroup.
            cancelled = isinstance(error, anyio.get_cancelled_exc_class())
            await tasks.__aexit__(*((kind, error, trace) if cancelled else (None, None, None)))
        finally:
            await self._close_account(error)

    def __aiter__(self) -> AsyncIterator[Outcome[R, M]]:
        return self

    async def __anext__(self) -> Outcome[R, M]:
        while not self._unread:
            if not await self._next_outcomes():
                raise StopAsyncIteration
        return self._unread.popleft()

    async def _next_outcomes(self) -> bool:
        """Wait for a batch of outcomes; False at the end of the run."""
        if self._tasks is None:
            raise ConfigurationError("iterate over a bulk run inside `async with`: async with hubspot.bulk… as run")
        if self._ended:
            return False
        outcomes = await self._outcomes.take()
        if outcomes is None:
            failure, self._account.failure = self._account.failure, None
            if failure is not None:
                failure.add_note(f"account of the run: {self.report}")
                raise failure from failure.__cause__
            return False
        self._unread.extend(outcomes)
        return True

    # ---- the feeder: source → batches

    async def _feed(self) -> None:
        try:
            try:
                if isinstance(self._source, ReadySource):
                    await self._pull_and_hand_on()
                else:
                    await self._pull_with_patience()
                await self._hand_on_the_rest()
            finally:
                self._feeding = False
                self._batches.leave()
            await self._finish()
        finally:
            self._outcomes.leave()

    async def _pull_with_patience(self) -> None:
        async with anyio.create_task_group() as beside:
            beside.start_soon(self._linger, name="bulk linger")
            await self._pull_and_hand_on()
            # Not while it hands a batch on: nobody would carry that any more.
            async with self._lingering:
                beside.cancel_scope.cancel()

    async def _pull_and_hand_on(self) -> None:
        more = True
        while more and not self._stopping:
            try:
                more = await self._source.pull(self._former, self._intake.accept)
                self._exhausted = not more and not self._stopping
            except Exception as error:  # noqa: BLE001 - whatever a source raises is the user's to see, after the account
                error.add_note(f"raised by the source of records after {self._former.next_ordinal:,} records")
                self._account.failure = self._account.failure or error
                more = False
            if self._exhausted and not self._carrier.doomed:
                self._intake.need_whole_source(self._former.next_ordinal)
            await self._hand_on()
            while self._cutter.parked >= MOST_PARKED and not self._carrier.doomed:
                await self._some_release()
                await self._hand_on()

    def _room(self) -> int:
        return self._cutter.room

    async def _hand_on(self, *, all_of_it: bool = False) -> None:
        self._intake.release_if_known()
        if turned_away := self._intake.take_turned_away():
            await self._deliver(self._account.settle(turned_away, []))
        while (batch := self._cutter.flush() if all_of_it else self._cutter.take()) is not None:
            flight = self._account.flights[batch.number] = self._flight(batch)
            await self._batches.give(flight)

    async def _hand_on_the_rest(self) -> None:
        while not self._carrier.doomed:
            await self._hand_on(all_of_it=True)
            if self._intake.held:
                break
            if not self._cutter.parked:
                return
            await self._some_release()
        # The run is doomed, or stopped before the source had proved right: what no worker has is settled here.
        await self._deliver(self._account.settle(self._intake.untaken("stopped"), []))

    def _flight(self, batch: Batch) -> Flight:
        timeout_s = self._options.delivery_timeout_s
        deadline_at = math.inf if timeout_s is None else anyio.current_time() + timeout_s
        flight = Flight(batch.number, self._intake.pieces(batch), deadline_at=deadline_at)
        flight.trail.run_id = self.id
        return flight

    async def _some_release(self) -> None:
        self._released.clear()
        await self._released.wait()

    async def _linger(self) -> None:
        """Hand an unfilled batch on when a slow source has not filled it for a while."""
        seen = (False, -1)
        while True:
            await anyio.sleep(_LINGER_S)
            if self._opened() == seen:
                async with self._lingering:
                    self._source.let_go(self._former, self._intake.accept)
                    await self._hand_on(all_of_it=True)
            seen = self._opened()

    def _opened(self) -> tuple[bool, int]:
        """What is being filled, as something that changes from batch to batch."""
        holds = self._source.holds
        return holds, self._former.next_ordinal if holds else self._cutter.opened

    async def _finish(self) -> None:
        """Everything was handed on: look once more at what was sent twice, and tell the journal that this was all."""
        while self._account.flights:
            await self._some_release()
        if self._carrier.doomed:
            return
        if self._verifier is not None and self._operation.verify == "final":
            await self._verifier.settle()
        if self._account.journal is not None and self._exhausted and not self._report.not_sent:
            try:
                await self._account.journal.end(self._former.next_ordinal)
            except JournalError as error:
                self._doom(error)

    # ---- going on with a job

    async def _open_journal(self) -> None:
        if self._options.journal is None or self._job is None:
            return
        journal = await self._options.journal.open(cast("Job", await self._job()))
        self._account.journal = journal
        try:
            await journal.begin()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await journal.aclose()
            raise
        self._former.next_ordinal = journal.first_ordinal
        if journal.past.sessions:
            hold = self._operation.doubt is Doubt.HOLD
            self._intake.resumption = Resumption(journal.past, resume=journal.resume, hold=hold)

    # ---- the workers: batches → outcomes

    def _start_worker(self) -> None:
        self._workers += 1
        self._outcomes.join()
        cast("TaskGroup", self._tasks).start_soon(self._work)

    def _request_left(self, flight: Flight) -> None:
        """A worker's request is out."""
        if flight.queued:
            flight.queued = False
            self._queued -= 1
        if self._carrier.successes:
            self._keep_one_ready()

    def _keep_one_ready_after_success(self) -> None:
        if self._carrier.successes == 1:
            self._keep_one_ready()

    def _keep_one_ready(self) -> None:
        """See to it that somebody holds the next batch ready."""
        if self._feeding and not self._idle and not self._queued and self._workers < self._most_workers:
            self._start_worker()

    async def _work(self) -> None:
        batches = self._batches
        try:
            # The same steps of Python stand between two requests of a run: whatever can be had without a wait is.
            while (flight := batches.take_offered() if batches.offers else await self._next_flight()) is not None:
                flight.queued = True
                self._queued += 1
                flight.trail.on_sent = partial(self._request_left, flight)
                try:
                    await self._carry(flight)
                finally:
                    if flight.queued:
                        self._queued -= 1
        finally:
            self._outcomes.leave()

    async def _next_flight(self) -> Flight | None:
        self._idle += 1
        try:
            return await self._batches.take()
        finally:
            self._idle -= 1

    async def _carry(self, flight: Flight) -> None:
        while flight.pieces:
            try:
                if flight.deadline_at == math.inf:
                    told = await self._carrier.advance(flight)
                else:
                    told = await self._advance_in_time(flight)
            except Exception as bug:  # noqa: BLE001 - a bug must not lose the account; it is raised once that is complete
                self._doom(bug)
                told = self._carrier.give_up(flight, "stopped")
            self._account.absorb(flight.trail)
            if told is not None:
                await self._deliver(told)

    async def _advance_in_time(self, flight: Flight) -> Told | None:
        told: Told | None = None
        with anyio.CancelScope(deadline=flight.deadline_at):
            told = await self._carrier.advance(flight)
        if flight.pieces and anyio.current_time() >= flight.deadline_at:
            told = self._too_late(flight) if told is None else told
        return told

    def _too_late(self, flight: Flight) -> Told | None:
        piece = flight.pieces[0]
        late = DeadlineExceeded(
            f"the record's delivery_timeout_s ({self._options.delivery_timeout_s:g} s) is over, waits and repeats "
            "included",
            sent=flight.trail.in_doubt or piece.doubtful,
            timeout=True,
        )
        late.__cause__, piece.error = piece.error, late
        return self._carrier.give_up(flight, "deadline", in_doubt="timeout")

    async def _deliver(self, told: Told) -> None:
        """Hand outcomes out, once the journal has them."""
        if not told.outcomes:
            return
        if self._verifier is not None and self._operation.verify == "final":
            # Before any wait: the feeder may be about to look at what was noted.
            self._verifier.note(told.outcomes, told.entries, doubtful=told.doubtful)
        outcomes = told.outcomes if told.ack is None else await self._account.written(told)
        if self._verifier is not None and self._operation.verify == "values":
            outcomes = await self._verifier.compared(outcomes, told.entries)
        self._account.told(told)
        if not self._only_counts:
            await self._outcomes.give(outcomes)

    # ---- the end

    def _release(self, entries: Sequence[Entry]) -> None:
        self._cutter.release(entries)
        self._wake()

    def _wake(self) -> None:
        if self._tasks is not None and not self._ended:
            self._released.set()

    def _doom(self, error: Exception) -> None:
        self._carrier.doom(error)

    def _end(self) -> None:
        self.stop()
        self._wake()

    async def _close_account(self, error: BaseException | None) -> None:
        """Settle what is open, let the journal have it, and hand over what nobody iterated over."""
        if self._ended:
            return
        self._ended = True
        self._account.cut_short_all(self._intake.untaken("cancelled"), "cancelled")
        self._account.bring_up_to_date()
        failure: JournalError | None = None
        rest: list[Outcome[Any, Any]] = []
        with anyio.move_on_after(_LONGEST_CLOSE_S, shield=True):
            rest = await self._account.rest()
            if self._account.journal is not None:
                try:
                    await self._account.journal.aclose()
                except JournalError as unwritten:
                    failure = unwritten
        for outcomes in (*self._outcomes.left(), rest):
            self._unread.extend(outcomes)
        if self._account.watch is not None:
            self._account.watch.ended(self._report, failure or self._account.failure or error)
        self._account.need_sum()
        if failure is not None and self._account.failure is None:
            raise failure


def _check(records: object) -> None:
    kind = type(records).__name__
    if isinstance(records, (str, bytes, Mapping, Struct)):
        raise ConfigurationError(f"give a list or stream of records, not one {kind}")
    if not isinstance(records, (Iterable, AsyncIterable)):
        raise ConfigurationError(f"records must be an Iterable or AsyncIterable, not {kind}")
