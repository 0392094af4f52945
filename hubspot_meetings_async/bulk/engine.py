"""The bulk engine: a feeder, workers and the streams between them.

    source ─record→ Cutter ─Batch→ (stream of size 0) → workers ─outcomes→ (stream of size 0) → your `async for`

This module knows tasks, streams and the order of things. It must not know HTTP, the client, or file formats: it is
given an operation, an async function that carries one encoded batch out.

How many workers: the first goes alone until HubSpot has done something for it. From then on there is always one that
holds a batch and waits for its turn: the moment its request leaves, another is started if none is idle. So as many
requests are in flight as the quota admits at the present latency, and one waits.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, cast

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from msgspec import Struct

from ..errors import (
    AccountingError,
    ConfigurationError,
    DailyLimitExceeded,
    Forbidden,
    HubSpotError,
    InvalidRecord,
    NotFound,
    RequestRejected,
    TransportFailed,
    Unauthorized,
    UnexpectedResponse,
)
from ..inputs import MAX_INPUTS, Entry, Inputs
from ..models import BatchResponse
from ..retry import Effect, effect_of
from ..wire import Trail
from .batches import Batch, Cutter
from .outcomes import Ambiguous, M, NotSent, Outcome, R, Rejected, Report
from .settling import settle_answer, settle_archived, settle_failure

__all__ = ["Operation", "Run"]

_MOST_WORKERS = 128
_MOST_WITHOUT_LIMIT = 16
"""Without a quota nothing but the loop's own speed holds workers back, and more of them only hold more memory."""
_MOST_PARKED = 1_000
"""Records that wait for an earlier one of the same id; the source is not read further beyond that."""
_MOST_ROUNDS = 3
_CALM_AFTER = 3
"""Failed requests in a row after which requests go out one at a time, with pauses."""
_LONGEST_CALM_S = 20.0
_HOPELESS_AFTER = 10
"""Failed requests in a row after which the run ends."""
_LINGER_S = 0.5


class Operation(Struct, frozen=True, kw_only=True):
    """What a run does with its batches.

    `send` carries one encoded batch out and answers it (None: 204). `into`: the Struct for properties that are read.
    `may_repeat`: the same batch twice has the effect of once. `split_refused`: a batch refused as a whole is halved
    until the culprits stand alone. `quota` tells the limit in force and its window in seconds (0: none).
    """

    name: str
    inputs: Inputs
    send: Callable[[bytes, Trail], Awaitable[BatchResponse[Any] | None]]
    id_property: str | None = None
    into: type[Struct] | None = None
    may_repeat: bool = True
    split_refused: bool = True
    quota: Callable[[], tuple[int, float]] = lambda: (0, 0.0)


class _Piece(Struct):
    """A batch, or a part of one: how many rounds it has been through, and whether it may have been done in one."""

    batch: Batch
    rounds: int = 0
    doubtful: bool = False


class _Flight:
    """A batch between the cutter and its outcomes: the pieces not settled yet; the first is the one that is out."""

    __slots__ = ("number", "pieces", "queued", "trail")

    def __init__(self, batch: Batch) -> None:
        self.number = batch.number
        self.pieces = deque([_Piece(batch)])
        self.trail = Trail()
        self.queued = False
        """Whether a worker holds it and its request has not left yet."""


class Run(Generic[R, M]):
    """One bulk run, in two forms:

        report = await hubspot.bulk.create(records)            # run to the end

        async with hubspot.bulk.create(records) as run:        # or watch every record
            async for outcome in run: ...
        run.report

    `report` is the account, live while the run goes on and final afterwards. Leaving the block early cancels: writes
    that are out become `Ambiguous`, what was not sent becomes `NotSent`; outcomes that nobody iterated over are in
    `unread`. `stop()` instead pulls nothing more and lets everything that was pulled finish.

    Raises, once all outcomes have been handed out: the source's own exception, if it raised one; otherwise what made
    going on useless (Unauthorized, Forbidden, DailyLimitExceeded, NotFound for the path, ConfigurationError,
    TransportFailed, HubSpotUnavailable, AmbiguousWriteError).
    """

    def __init__(
        self,
        operation: Operation,
        records: Iterable[R] | AsyncIterable[R],
        *,
        max_batch_bytes: int,
        workers: int | None,
        on_progress: Callable[[Report], None] | None,
        rng: random.Random,
    ) -> None:
        _check(records, max_batch_bytes, workers)
        self._operation = operation
        self._records = records
        self._most_workers = workers or (_MOST_WORKERS if operation.quota()[0] else _MOST_WITHOUT_LIMIT)
        self._on_progress = on_progress
        self._rng = rng
        self._report = Report(operation=operation.name)
        self._cutter = Cutter(max_inputs=operation.inputs.max_inputs, max_bytes=max_batch_bytes)
        self._trace_prefix = f"{rng.getrandbits(40):010x}-"
        self._flights: dict[int, _Flight] = {}
        self._turned_away: list[Outcome[Any, Any]] = []
        self._settled: deque[list[Outcome[Any, Any]]] = deque()
        self._unread: deque[Outcome[R, M]] = deque()
        self._failure: Exception | None = None
        self._doomed = False
        self._stopping = False
        self._ended = False
        self._began_at = 0.0
        self._sent_between: tuple[float, float] | None = None
        self._failures_in_row = 0
        self._succeeded = False
        self._feeding = True
        self._workers = self._idle = self._queued = 0
        self._tasks: TaskGroup | None = None
        self._pulling: anyio.CancelScope | None = None

    def __repr__(self) -> str:
        state = "ended" if self._ended else "not begun" if self._tasks is None else f"{self._workers} workers"
        return f"<Run {self._report.operation}, {state}, {self._report.settled} of {self._report.pulled} settled>"

    # ---- for the user

    @property
    def report(self) -> Report:
        """The account so far, as a copy."""
        if self._tasks is not None and not self._ended:
            self._report.seconds = anyio.current_time() - self._began_at
        return self._report.snapshot()

    @property
    def unread(self) -> list[Outcome[R, M]]:
        """Outcomes that were not iterated over, once the block was left early."""
        return list(self._unread)

    def stop(self) -> None:
        """Pull nothing more from the source; what was pulled is sent, and its outcomes are delivered."""
        self._stopping = True
        if self._pulling is not None:
            self._pulling.cancel()

    def __await__(self) -> Generator[Any, None, Report]:
        return self._to_the_end().__await__()

    async def _to_the_end(self) -> Report:
        async with self:
            while await self._next_outcomes():
                self._unread.clear()
        return self.report

    async def __aenter__(self) -> Self:
        if self._tasks is not None:
            raise ConfigurationError("a bulk run runs once; call hubspot.bulk again for another")
        self._began_at = anyio.current_time()
        self._released = anyio.Event()
        self._one_at_a_time = anyio.Lock()
        self._to_workers, self._batches = anyio.create_memory_object_stream[_Flight](0)
        self._to_user, self._outcomes = anyio.create_memory_object_stream[None](0)
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
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
            for stream in (self._to_workers, self._batches, self._to_user, self._outcomes):
                stream.close()
            self._account_for_the_rest()

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
        try:
            await self._outcomes.receive()
        except anyio.EndOfStream:
            failure, self._failure = self._failure, None
            if failure is not None:
                failure.add_note(f"account of the run: {self.report}")
                raise failure from failure.__cause__
            return False
        self._unread.extend(self._settled.popleft())
        return True

    # ---- the feeder: source → batches

    async def _feed(self) -> None:
        with self._to_workers, self._to_user:
            if isinstance(self._records, AsyncIterable):
                async with anyio.create_task_group() as beside:
                    beside.start_soon(self._linger, name="bulk linger")
                    await self._pull_and_hand_on(aiter(self._records))
                    beside.cancel_scope.cancel()
            else:
                await self._pull_and_hand_on(iter(self._records))
            await self._hand_on_the_rest()
            self._feeding = False

    async def _pull_and_hand_on(self, source: Iterator[R] | AsyncIterator[R]) -> None:
        more = True
        while more and not self._stopping:
            try:
                if isinstance(source, AsyncIterator):
                    more = await self._pull_async(source)
                else:
                    more = self._pull(source)
            except Exception as error:  # noqa: BLE001 - whatever a source raises is the user's to see, after the account
                error.add_note(f"raised by the source of records after {self._report.pulled:,} records")
                self._failure = self._failure or error
                more = False
            await self._hand_on()
            while self._cutter.parked >= _MOST_PARKED and not self._doomed:
                await self._some_release()
                await self._hand_on()

    def _pull(self, source: Iterator[R]) -> bool:
        return any(map(self._accept, source))

    async def _pull_async(self, source: AsyncIterator[R]) -> bool:
        # One scope a batch, so that stop() can end a wait for the source and nothing else.
        with anyio.CancelScope() as self._pulling:
            async for item in source:
                if self._accept(item):
                    return True
        return False

    def _accept(self, item: R) -> bool:
        """Take one record in; True when there is something to hand on."""
        ordinal = self._report.pulled
        self._report.pulled = ordinal + 1
        try:
            self._cutter.feed(self._operation.inputs.entry(ordinal, item, f"{self._trace_prefix}{ordinal}"))
        except InvalidRecord as error:
            self._turned_away.append(Rejected(item, ordinal, error))
        except Exception as error:  # noqa: BLE001 - a mapping of the user's own making may raise anything when read
            refusal = InvalidRecord(f"the record can not be read: {type(error).__name__}: {error}")
            self._turned_away.append(Rejected(item, ordinal, refusal))
        return self._cutter.ready or len(self._turned_away) >= MAX_INPUTS or self._cutter.parked >= _MOST_PARKED

    async def _hand_on(self, *, all_of_it: bool = False) -> None:
        if self._turned_away:
            turned_away, self._turned_away = self._turned_away, []
            self._settle(turned_away)
            await self._to_user.send(None)
        while (batch := self._cutter.flush() if all_of_it else self._cutter.take()) is not None:
            flight = self._flights[batch.number] = _Flight(batch)
            await self._to_workers.send(flight)

    async def _hand_on_the_rest(self) -> None:
        while not self._doomed:
            await self._hand_on(all_of_it=True)
            if not self._cutter.parked:
                return
            await self._some_release()
        # The run is doomed: what no worker has is settled here.
        self._settle(self._turned_away + self._not_sent(self._cutter.leftover(), "stopped"))
        self._turned_away = []
        await self._to_user.send(None)

    async def _some_release(self) -> None:
        self._released = anyio.Event()
        await self._released.wait()

    async def _linger(self) -> None:
        """Hand an unfilled batch on when a slow source has not filled it for a while."""
        seen = -1
        while True:
            await anyio.sleep(_LINGER_S)
            if self._cutter.opened == seen:
                await self._hand_on(all_of_it=True)
            seen = self._cutter.opened

    # ---- the workers: batches → outcomes

    def _start_worker(self) -> None:
        self._workers += 1
        cast("TaskGroup", self._tasks).start_soon(self._work, self._batches.clone(), self._to_user.clone())

    def _request_left(self, flight: _Flight) -> None:
        """A worker's request is out."""
        if flight.queued:
            flight.queued = False
            self._queued -= 1
        if self._succeeded:
            self._keep_one_ready()

    def _keep_one_ready(self) -> None:
        """See to it that somebody holds the next batch ready."""
        if self._feeding and not self._idle and not self._queued and self._workers < self._most_workers:
            self._start_worker()

    async def _work(self, batches: MemoryObjectReceiveStream[_Flight], to_user: MemoryObjectSendStream[None]) -> None:
        with batches, to_user:
            while True:
                self._idle += 1
                try:
                    flight = await batches.receive()
                except anyio.EndOfStream:
                    return
                finally:
                    self._idle -= 1
                flight.queued = True
                self._queued += 1
                flight.trail.on_sent = partial(self._request_left, flight)
                try:
                    await self._carry(flight, to_user)
                finally:
                    if flight.queued:
                        self._queued -= 1

    async def _carry(self, flight: _Flight, to_user: MemoryObjectSendStream[None]) -> None:
        while flight.pieces:
            piece = flight.pieces[0]
            try:
                settled = await self._advance(flight, piece)
            except Exception as bug:  # noqa: BLE001 - a bug must not lose the account; it is raised once that is complete
                self._doom(bug)
                settled = self._replace(flight, piece, (), self._cut_short(flight, piece, "stopped"))
            self._absorb(flight.trail)
            if settled:
                await to_user.send(None)

    async def _advance(self, flight: _Flight, piece: _Piece) -> bool:
        """Carry one piece a step further; True when records were settled by it."""
        operation, entries = self._operation, piece.batch.entries
        flight.trail.in_doubt = False
        if self._doomed:
            return self._replace(flight, piece, (), self._cut_short(flight, piece, "stopped"))
        try:
            answer = await self._send(piece, flight.trail)
        except HubSpotError as error:
            return self._failed(flight, piece, error)
        self._failures_in_row = 0
        if not self._succeeded:
            self._succeeded = True
            self._keep_one_ready()
        if answer is None:
            return self._replace(flight, piece, (), settle_archived(entries))
        may_repeat = operation.may_repeat and piece.rounds + 1 < _MOST_ROUNDS
        outcomes, again = settle_answer(
            operation.name,
            entries,
            answer,
            id_property=operation.id_property,
            may_repeat=may_repeat,
            into=operation.into,
        )
        pieces: tuple[_Piece, ...] = ()
        if again:
            left = _Piece(Batch(piece.batch.number, again), piece.rounds + 1, doubtful=True)
            # Where errors name nobody, halving leads to the one each belongs to.
            pieces = _halves(left) if answer.errors and len(again) > 1 else (left,)
        return self._replace(flight, piece, pieces, outcomes)

    async def _send(self, piece: _Piece, trail: Trail) -> BatchResponse[Any] | None:
        body = self._operation.inputs.body(piece.batch.entries)
        if self._failures_in_row < _CALM_AFTER:
            return await self._operation.send(body, trail)
        # HubSpot is in trouble: one request at a time finds out whether it is over, instead of all risking their batch.
        async with self._one_at_a_time:
            if self._failures_in_row >= _CALM_AFTER:
                await anyio.sleep(self._rng.uniform(0.0, min(_LONGEST_CALM_S, 0.2 * 2.0**self._failures_in_row)))
            return await self._operation.send(body, trail)

    def _failed(self, flight: _Flight, piece: _Piece, error: HubSpotError) -> bool:
        operation, entries = self._operation, piece.batch.entries
        effect = effect_of(error)
        # The call may have lost an answer before it met this error, and the next round begins without that memory.
        piece.doubtful = piece.doubtful or flight.trail.in_doubt
        if _ends_the_run(error, operation):
            self._doom(error)
        elif effect is Effect.REFUSED:
            self._failures_in_row = 0
            if len(entries) > 1 and operation.split_refused:
                self._report.splits += 1
                return self._replace(flight, piece, _halves(piece), [])
        else:
            self._failures_in_row += 1
            never_reached = effect is Effect.NOT_SENT and not self._succeeded
            if never_reached or self._failures_in_row >= _HOPELESS_AFTER:
                self._doom(error)
            elif effect is not Effect.UNKNOWN:
                return False
            elif operation.may_repeat and piece.rounds + 1 < _MOST_ROUNDS:
                piece.rounds += 1
                return False
        outcomes = settle_failure(operation.name, entries, error, stopped=self._doomed, doubtful=piece.doubtful)
        return self._replace(flight, piece, (), outcomes)

    # ---- the account: every change of it is one step without an await, so that no cancellation can split it

    def _replace(
        self, flight: _Flight, piece: _Piece, pieces: Iterable[_Piece], outcomes: list[Outcome[Any, Any]]
    ) -> bool:
        """`piece` is settled by `outcomes`, but for what goes on in `pieces`."""
        flight.pieces.popleft()
        flight.pieces.extendleft(reversed(tuple(pieces)))
        if not flight.pieces:
            del self._flights[flight.number]
        if not outcomes:
            return False
        entries = piece.batch.entries
        if len(outcomes) < len(entries):
            settled = {outcome.ordinal for outcome in outcomes}
            entries = [entry for entry in entries if entry.ordinal in settled]
        self._cutter.release(entries)
        self._released.set()
        self._settle(outcomes)
        return True

    def _settle(self, outcomes: list[Outcome[Any, Any]]) -> None:
        self._report.count(outcomes)
        self._settled.append(outcomes)
        if self._on_progress is not None:
            try:
                self._on_progress(self.report)
            except Exception as error:  # noqa: BLE001 - the user's own; raised when the account is complete
                self._on_progress = None
                self._doom(error)

    def _absorb(self, trail: Trail) -> None:
        """Add what a flight has done to the report, and start its counting anew."""
        report = self._report
        report.requests += trail.requests
        report.retries += trail.retries
        report.rate_limited += trail.rate_limited
        report.bytes_sent += trail.bytes_sent
        report.bytes_received += trail.bytes_received
        if trail.first_sent_at is not None and trail.last_sent_at is not None:
            first_at, last_at = self._sent_between or (trail.first_sent_at, trail.last_sent_at)
            self._sent_between = (min(first_at, trail.first_sent_at), max(last_at, trail.last_sent_at))
            report.quota_use = self._quota_use()
        trail.requests = trail.retries = trail.rate_limited = trail.bytes_sent = trail.bytes_received = 0

    def _quota_use(self) -> float | None:
        limit, window_s = self._operation.quota()
        first_at, last_at = cast("tuple[float, float]", self._sent_between)
        # Refused requests took nothing; between n requests lie n - 1 intervals. Less than a window says nothing: it
        # began empty.
        counted = self._report.requests - self._report.rate_limited
        if not limit or last_at - first_at < window_s:
            return None
        return min(1.0, (counted - 1) / (last_at - first_at) * window_s / limit)

    def _doom(self, error: Exception) -> None:
        """The run can not go on; what is out finishes, all else is settled as not sent."""
        self._doomed = True
        self._failure = self._failure or error
        self.stop()
        self._released.set()

    def _not_sent(self, entries: Iterable[Entry], reason: str) -> list[Outcome[Any, Any]]:
        error = self._failure if isinstance(self._failure, HubSpotError) else None
        return [NotSent(entry.record, entry.ordinal, reason, error) for entry in entries]

    def _cut_short(self, flight: _Flight, piece: _Piece, reason: str) -> list[Outcome[Any, Any]]:
        """What is known of a piece that is given up."""
        out = piece is flight.pieces[0] and flight.trail.in_doubt
        if (out or piece.doubtful) and self._operation.name != "read":
            error = self._failure if isinstance(self._failure, HubSpotError) else None
            return [Ambiguous(entry.record, entry.ordinal, reason, error) for entry in piece.batch.entries]
        return self._not_sent(piece.batch.entries, reason)

    def _account_for_the_rest(self) -> None:
        if self._ended:
            return
        left: list[Outcome[Any, Any]] = self._turned_away
        for flight in self._flights.values():
            self._absorb(flight.trail)
            for piece in flight.pieces:
                left += self._cut_short(flight, piece, "cancelled")
        left += self._not_sent(self._cutter.leftover(), "cancelled")
        self._flights.clear()
        self._report.count(left)
        for outcomes in (*self._settled, left):
            self._unread.extend(outcomes)
        self._settled.clear()
        self._report.seconds = anyio.current_time() - self._began_at
        self._ended = True
        if not self._report.adds_up:
            raise AccountingError(f"a bug of this library, please report it: {self._report} does not add up")


def _halves(piece: _Piece) -> tuple[_Piece, _Piece]:
    first, second = piece.batch.halves()
    return _Piece(first, piece.rounds, piece.doubtful), _Piece(second, piece.rounds, piece.doubtful)


def _check(records: object, max_batch_bytes: int, workers: int | None) -> None:
    kind = type(records).__name__
    if isinstance(records, (str, bytes, Mapping, Struct)):
        raise ConfigurationError(f"give a list or stream of records, not one {kind}")
    if not isinstance(records, (Iterable, AsyncIterable)):
        raise ConfigurationError(f"records must be an Iterable or AsyncIterable, not {kind}")
    if workers is not None and not 1 <= workers <= _MOST_WORKERS:
        raise ConfigurationError(f"workers must be 1-{_MOST_WORKERS}, or None to follow quota and latency")
    if max_batch_bytes < 1_000:
        raise ConfigurationError(f"max_batch_bytes must be at least 1,000, not {max_batch_bytes}")


def _ends_the_run(error: HubSpotError, operation: Operation) -> bool:
    """Whether every other batch would meet the same failure."""
    match error:
        case Unauthorized() | Forbidden() | DailyLimitExceeded() | ConfigurationError() | TransportFailed(fatal=True):
            return True
        case UnexpectedResponse(status=status):
            return status is not None and 300 <= status < 400
        case NotFound():
            # A batch read may answer 404 when all its ids are missing; elsewhere it is the path that is unknown.
            return operation.name != "read"
        case RequestRejected(status=405):
            return True
        case RequestRejected():
            return operation.id_property is not None and "non-unique" in error.message
        case _:
            return False
