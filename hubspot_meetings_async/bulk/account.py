"""The account of a run: which batches are on their way, what was settled, what was told.

This module knows how records become outcomes in the account, each exactly once. It must not know HTTP, or how batches
are carried. Every change is one step without an await, so that no cancellation can split it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import anyio
import msgspec

from ..entries import Entry
from ..errors import AccountingError, HubSpotError, JournalError
from ..wire import Trail
from .events import RunWatch
from .journal.journal import Journal
from .outcomes import Ambiguous, NotSent, Outcome, Report
from .pieces import Flight, Piece

__all__ = ["Account", "Told"]

_LONGEST_ACK_S: Final = 10.0

Outcomes = list[Outcome[Any, Any]]


class Told(NamedTuple):
    """Outcomes that were settled together, and the journal's word for them (None: it has nothing to say).

    `doubtful`: these records left more than once, maybe.
    """

    outcomes: Outcomes
    entries: Sequence[Entry]
    ack: Awaitable[None] | None
    doubtful: bool


class Account:
    """What became of every record. `failure` is what ended the run, where something did."""

    def __init__(
        self,
        report: Report,
        *,
        quota: Callable[[], tuple[int, float]],
        on_settled: Callable[[Sequence[Entry]], None],
        on_progress: Callable[[Report], None] | None,
        on_bug: Callable[[Exception], None],
        watch: RunWatch | None = None,
    ) -> None:
        self.report = report
        self.flights: dict[int, Flight] = {}
        self.failure: Exception | None = None
        self.journal: Journal | None = None
        self.began_at = 0.0
        self.watch = watch
        self._quota = quota
        self._on_settled = on_settled
        self._on_progress = on_progress
        self._on_bug = on_bug
        self._untold: dict[int, Told] = {}
        self._sent_between: tuple[float, float] | None = None

    def snapshot(self, *, ended: bool) -> Report:
        """The report as it is now."""
        if not ended:
            self.bring_up_to_date()
        return self.report.snapshot()

    def bring_up_to_date(self) -> None:
        """What the report says of time: not with every batch, since it costs as much as ten records."""
        # The loop's clock, also from a callback of the loop: anyio knows its own only in a task.
        self.report.seconds = asyncio.get_running_loop().time() - self.began_at
        if self._sent_between is not None:
            self.report.quota_use = self._quota_use(*self._sent_between)

    # ---- settling

    def replace(
        self, flight: Flight, piece: Piece, pieces: Iterable[Piece], outcomes: Outcomes, *, alike: type | None = None
    ) -> Told | None:
        """`piece`, the first of `flight`, is settled by `outcomes`, but for what goes on in `pieces`."""
        flight.pieces.popleft()
        # Behind the others of the flight: where HubSpot fails on these, those show whether it fails on everything.
        flight.pieces.extend(pieces)
        if not flight.pieces:
            del self.flights[flight.number]
        if not outcomes:
            return None
        entries = piece.entries
        if len(outcomes) < len(entries):
            settled = {outcome.ordinal for outcome in outcomes}
            entries = [entry for entry in entries if entry.ordinal in settled]
        self._on_settled(entries)
        return self.settle(outcomes, entries, doubtful=piece.doubtful, alike=alike)

    def settle(
        self, outcomes: Outcomes, entries: Sequence[Entry], *, doubtful: bool = False, alike: type | None = None
    ) -> Told:
        """Count outcomes; they wait to be told. `alike`: see `Report.count`."""
        self.report.count(outcomes, alike=alike)
        ack: Awaitable[None] | None = None
        if self.journal is not None:
            try:
                ack = self.journal.ack(outcomes)
            except JournalError as error:
                outcomes = self._unjournaled(outcomes, error)
        told = Told(outcomes, entries, ack, doubtful)
        self._untold[id(told)] = told
        if self.watch is not None:
            self.watch.settled(outcomes)
        if self._on_progress is not None:
            try:
                self._on_progress(self.snapshot(ended=False))
            except Exception as error:  # noqa: BLE001 - the user's own; raised when the account is complete
                self._on_progress = None
                self._on_bug(error)
        return told

    async def written(self, told: Told) -> Outcomes:
        """The outcomes, once the journal has them; marked as not journaled if it could not take them."""
        if told.ack is None:
            return told.outcomes
        try:
            # A disk may take its time, and somebody who cancels should not wait for it for ever.
            with anyio.move_on_after(_LONGEST_ACK_S, shield=True):
                await told.ack
        except JournalError as error:
            return self._unjournaled(told.outcomes, error)
        return told.outcomes

    def told(self, told: Told) -> None:
        """These outcomes have been handed out."""
        self._untold.pop(id(told), None)

    def _unjournaled(self, outcomes: Outcomes, error: JournalError) -> Outcomes:
        self.report.unjournaled += len(outcomes)
        self._on_bug(error)
        return [msgspec.structs.replace(outcome, journaled=False) for outcome in outcomes]

    # ---- what was not carried out

    def not_sent(self, entries: Iterable[Entry], reason: str) -> Outcomes:
        """Outcomes of records that surely did not leave."""
        error = self.failure if isinstance(self.failure, HubSpotError) else None
        return [NotSent(entry.record, entry.ordinal, reason, error) for entry in entries]

    def cut_short(self, flight: Flight, piece: Piece, reason: str, *, in_doubt: str | None = None) -> Outcomes:
        """What is known of a piece that is given up; `in_doubt` is the reason where it may have been done."""
        out = piece is flight.pieces[0] and flight.trail.in_doubt and not piece.ask
        # Who is looked for has left, too: a refusal for a taken key may be the second answer to a batch sent twice.
        if (out or piece.doubtful or piece.ask) and self.report.operation != "read":
            error = piece.error if piece.error is not None else self.failure
            known = error if isinstance(error, HubSpotError) else None
            return [Ambiguous(entry.record, entry.ordinal, in_doubt or reason, known) for entry in piece.entries]
        return self.not_sent(piece.entries, reason)

    # ---- requests

    def absorb(self, trail: Trail) -> None:
        """Add what a flight has done to the report, and start its counting anew."""
        report = self.report
        report.requests += trail.requests
        report.retries += trail.retries
        report.rate_limited += trail.rate_limited
        report.bytes_sent += trail.bytes_sent
        report.bytes_received += trail.bytes_received
        if trail.first_sent_at is not None and trail.last_sent_at is not None:
            first_at, last_at = self._sent_between or (trail.first_sent_at, trail.last_sent_at)
            self._sent_between = (min(first_at, trail.first_sent_at), max(last_at, trail.last_sent_at))
        trail.requests = trail.retries = trail.rate_limited = trail.bytes_sent = trail.bytes_received = 0

    def _quota_use(self, first_at: float, last_at: float) -> float | None:
        limit, window_s = self._quota()
        # Refused requests took nothing; between n requests lie n - 1 intervals. Less than a window says nothing: it
        # began empty.
        counted = self.report.requests - self.report.rate_limited
        if not limit or last_at - first_at < window_s:
            return None
        return min(1.0, (counted - 1) / (last_at - first_at) * window_s / limit)

    # ---- the end

    def cut_short_all(self, untold: Outcomes, reason: str) -> None:
        """The run is over: all that is open is settled for what is known of it."""
        left = untold
        for flight in self.flights.values():
            self.absorb(flight.trail)
            for piece in flight.pieces:
                left += self.cut_short(flight, piece, reason)
        self.flights.clear()
        if left:
            self._on_progress = None
            self.settle(left, [])

    async def rest(self) -> Outcomes:
        """Outcomes that were settled and not handed out."""
        return [outcome for told in list(self._untold.values()) for outcome in await self.written(told)]

    def need_sum(self) -> None:
        """Raises: AccountingError when a record is missing, or there twice."""
        if not self.report.adds_up:
            raise AccountingError(f"a bug of this library, please report it: {self.report} does not add up")
