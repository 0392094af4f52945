"""One batch from its ticket to the outcome of each of its jobs.

This module knows that a batch is filled when its request has its slot of the quota, and not before; what follows each
answer, a `Carrier` of the bulk engine decides, so that both keep the same promises. It must not know timers, or who
submits jobs.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, cast

import anyio
import msgspec

from ..bulk.account import Account
from ..bulk.batches import Batch
from ..bulk.carrier import Carrier
from ..bulk.events import RunWatch
from ..bulk.outcomes import Ambiguous, Created, NotSent, Outcome, Rejected, Report
from ..bulk.pieces import Flight, Piece
from ..calling.retry import Effect, RetryBudget, RetryPolicy, effect_of
from ..entries import Entry
from ..errors import Conflict, HubSpotError, TransportFailed
from ..models import BatchResponse
from ..wire import Trail
from .queues import Job, Queue, Recent
from .waiting import Waiting

__all__ = ["Carrying"]


class _NobodyWaits(Exception):
    """All that this request would have carried has gone, or went with another one: its slot goes back unused."""


class Carrying:
    """A ticket at first: it waits for quota, and takes what its queue holds by then; from then on a batch."""

    def __init__(
        self,
        queue: Queue,
        *,
        run_id: str,
        watch: RunWatch | None,
        waiting: Waiting,
        on_bound: Callable[[Queue], None],
        on_released: Callable[[Job], None],
        created: Recent,
        policy: RetryPolicy,
        budget: RetryBudget,
        rng: random.Random,
    ) -> None:
        self._queue = queue
        self._operation = queue.kind.operation
        self._waiting = waiting
        self._on_bound = on_bound
        self._on_released = on_released
        self._created = created
        self._bound = False
        self._entries: list[Entry] = []
        self._jobs: dict[int, Job] = {}
        """What was ever in it, by ordinal."""
        self._flight = Flight(0, [Piece(Batch(0, self._entries))], deadline_at=math.inf)
        self._flight.trail.run_id = run_id
        self._account = Account(
            Report(operation=self._operation.name),
            quota=lambda: (0, 0.0),
            on_settled=self._release,
            on_progress=None,
            on_bug=_ignore,
            watch=watch,
        )
        self._account.flights[0] = self._flight
        self._policy = policy
        self._budget = budget
        self._rng = rng

    async def carry(self) -> None:
        """Carry the batch until each of its jobs is told its outcome."""
        flight, operation = self._flight, self._operation
        error: BaseException | None = None
        self._account.began_at = anyio.current_time()
        if self._account.watch is not None:
            self._account.watch.started()
        try:
            begin = self._queue.kind.begin
            if begin is not None and (error := await self._not_begun(begin)) is not None:
                return
            carrier = self._carrier()
            while flight.pieces:
                try:
                    told = await carrier.advance(flight)
                except _NobodyWaits:
                    told = None  # of the others somebody may
                if told is not None:
                    self._waiting.tell(
                        self._jobs, self._its_own(told.outcomes) if operation.key_is_unique else told.outcomes
                    )
                    self._account.told(told)
                self._drop_the_gone()
                flight.pieces = deque(piece for piece in flight.pieces if piece.entries)
        except _NobodyWaits:
            pass
        except Exception as bug:  # noqa: BLE001 - nobody may wait for ever because of a bug
            error = bug
            self._fail(bug)
        except BaseException as cancelled:
            error = cancelled
            self._cut_short()
            raise
        finally:
            if not self._bound:
                self._bound = True
                self._on_bound(self._queue)
            self._release(entry for piece in flight.pieces for entry in piece.entries)
            if self._account.watch is not None:
                self._account.watch.ended(self._report(), error)
            # These know who carries them, and rings would wait for the garbage collector with all records.
            self._jobs.clear()
            flight.trail.before_send = None
            del self._account

    def in_doubt(self, entry: Entry) -> bool:
        """Whether this entry may be done without an answer that says so."""
        return any(isinstance(outcome, Ambiguous) for outcome in self._known_of(entry))

    def _report(self) -> Report:
        """What was done; those that nobody waits for any more are not in it."""
        report = self._account.report
        self._account.absorb(self._flight.trail)
        report.pulled = report.settled
        report.seconds = anyio.current_time() - self._account.began_at
        return report

    def _carrier(self) -> Carrier:
        """What follows each answer and each failure of this batch, as in a bulk run."""
        return Carrier(
            msgspec.structs.replace(self._operation, send=self._send),
            self._account,
            policy=self._policy,
            budget=self._budget,
            rng=self._rng,
            wait_for_reset=False,
            on_doomed=_nothing,
            on_success=_nothing,
            on_stuck=_nothing,
        )

    # ---- the way out

    async def _not_begun(self, begin: Callable[[], Any]) -> HubSpotError | None:
        """What must come before the batch; why it can not be sent, where that failed."""
        try:
            await begin()
        except HubSpotError as seen:
            error = seen
            if effect_of(seen) is Effect.UNKNOWN:  # of that request; nothing of these jobs has left
                error = TransportFailed(f"nothing was sent: {seen.message}", sent=False)
                error.__cause__ = seen
            self._take()
            outcomes: list[Outcome[Any, Any]] = [
                NotSent(entry.record, entry.ordinal, "stopped", error) for entry in self._entries
            ]
            self._account.report.count(outcomes)
            self._waiting.tell(self._jobs, outcomes)
            return error
        return None

    async def _send(self, body: bytes, trail: Trail) -> BatchResponse[Any] | None:
        if self._bound:
            trail.before_send = self._fill_again
            return await self._operation.send(body, trail)
        trail.before_send = self._fill
        try:
            return await self._operation.send(b"", trail)
        except HubSpotError:
            if not self._bound:
                self._take()  # those that waited for this request get its error
            raise

    async def _fill(self) -> bytes:
        """The body, now that the request has its slot; for each attempt anew, as long as HubSpot surely did nothing."""
        self._drop_the_gone()
        self._take()
        return self._operation.inputs.body(self._entries)

    async def _fill_again(self) -> bytes:
        """The body of what is sent once more, without those that were told meanwhile that they come too late."""
        self._drop_the_gone()
        entries = self._flight.pieces[0].entries
        if not entries:
            raise _NobodyWaits
        return self._operation.inputs.body(entries)

    def _take(self) -> None:
        self._queue.take(self._entries, self._jobs, self)
        if not self._bound:
            self._bound = True
            self._on_bound(self._queue)
        if not self._entries:
            raise _NobodyWaits

    def _drop_the_gone(self) -> None:
        """Carry no further what nobody waits for any more. What has left is as unknown as after any cancel."""
        for piece in self._flight.pieces:
            gone = [entry for entry in piece.entries if not self._jobs[entry.ordinal].waiting]
            if not gone:
                continue
            entries = cast("list[Entry]", piece.batch.entries)  # that of `take`, or a part of it
            entries[:] = [entry for entry in piece.entries if self._jobs[entry.ordinal].waiting]
            self._release(gone)

    # ---- the way back

    def _its_own(self, outcomes: list[Outcome[Any, Any]]) -> list[Outcome[Any, Any]]:
        return [self._if_its_own(outcome) for outcome in outcomes]

    def _if_its_own(self, outcome: Outcome[Any, Any]) -> Outcome[Any, Any]:
        """A meeting that was found by its key is not this job's if it was told to another one before."""
        if not isinstance(outcome, Created):
            return outcome
        meeting_id = outcome.meeting.id
        if outcome.new is True or meeting_id not in self._created:
            self._created.add(meeting_id)
            return outcome
        error = Conflict(
            f"meeting {meeting_id} has this value of {self._operation.id_property!r} already; nothing was created",
            category="CONFLICT",
        )
        return Rejected(outcome.record, outcome.ordinal, error)

    def _release(self, entries: Iterable[Entry]) -> None:
        """These are settled, or dropped."""
        if self._queue.kind.key_property is None:
            return
        for entry in entries:
            job = self._jobs[entry.ordinal]
            if job.key is not None:
                self._on_released(job)

    # ---- when it can not go on

    def _known_of(self, entry: Entry) -> list[Outcome[Any, Any]]:
        for piece in self._flight.pieces:
            if any(one is entry for one in piece.entries):
                outcomes = self._account.cut_short(self._flight, piece, "cancelled")
                return [outcome for outcome in outcomes if outcome.ordinal == entry.ordinal]
        return []

    def _cut_short(self) -> None:
        for piece in self._flight.pieces:
            outcomes = self._account.cut_short(self._flight, piece, "cancelled")
            self._account.report.count(outcomes)
            self._waiting.tell(self._jobs, outcomes)

    def _fail(self, bug: Exception) -> None:
        if not self._bound:
            self._queue.take(self._entries, self._jobs, self)
        for piece in self._flight.pieces:
            for entry in piece.entries:
                self._waiting.broke(self._jobs[entry.ordinal], bug)


def _nothing() -> None:
    """Nobody else is to be told."""


def _ignore(_: Exception) -> None:
    """There is no journal and no progress hook that could fail."""
