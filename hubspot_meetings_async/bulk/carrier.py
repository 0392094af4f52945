"""What is done with a batch, step by step, until each of its records is settled.

This module knows what follows each answer and each failure: settle, look, send again, halve, give up. It must not know
streams, workers, HTTP, or where records come from.

    send ──answer──→ settled; what it does not name: looked for (Doubt.FIND) or sent again
      │ └─refused──→ halved until the culprits stand alone; a taken key is looked for
      └───lost─────→ held · sent again · looked for, and what is missing sent again; after five times halved, too
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import anyio

from ..calling.retry import Effect, RetryBudget, RetryPolicy, backoff_s, effect_of, why
from ..entries import Entry
from ..errors import (
    ConfigurationError,
    Conflict,
    DailyLimitExceeded,
    Forbidden,
    ForkedClientError,
    HubSpotError,
    HubSpotUnavailable,
    JournalError,
    NotFound,
    PoisonRecord,
    RequestRejected,
    TransportFailed,
    Unauthorized,
    UnexpectedResponse,
)
from ..meetings.lookup import Found
from ..models import BatchResponse, Meeting
from ..wire import Trail
from .account import Account, Told
from .glance import Matched, glance_at
from .operation import Doubt, Operation
from .outcomes import Ambiguous, Created, Outcome, Rejected
from .pieces import Flight, Piece
from .settling import comparable, settle_answer, settle_archived, settle_failure

__all__ = ["Carrier"]

_log = logging.getLogger("hubspot_meetings_async")

_CALM_AFTER = 3
"""Failed requests in a row after which requests go out one at a time, with pauses."""
_HOPELESS_AFTER = 10
"""Failed requests in a row after which the run ends."""
_MOST_TRIES = 5
"""Failures of one batch after which it is halved, in case that one record makes HubSpot fail."""
_MOST_TRIES_ALONE = 3
"""Failures of a record that was left alone by halving, after which it is what makes HubSpot fail."""
_MOST_SILENT = 3
_SKEW_S: Final = 60.0
"""How far the clocks of HubSpot's machines may be apart."""
_DAILY_POLL_S: Final = 600.0


class Carrier:
    """Carries batches through; the weather (failures in a row, pauses) is shared by all of them."""

    def __init__(
        self,
        operation: Operation,
        account: Account,
        *,
        policy: RetryPolicy,
        budget: RetryBudget,
        rng: random.Random,
        wait_for_reset: bool,
        on_doomed: Callable[[], None],
        on_success: Callable[[], None],
        on_stuck: Callable[[], None],
    ) -> None:
        self._operation = operation
        self._account = account
        self._policy = policy
        self._budget = budget
        self._rng = rng
        self._wait_for_reset = wait_for_reset
        self._on_doomed = on_doomed
        self._on_success = on_success
        self._on_stuck = on_stuck
        self._one_at_a_time = anyio.Lock()
        self._failures_in_row = 0
        self._paused_until = 0.0
        self._warned = False
        self.successes = 0
        self.doomed = False
        self.hubspot_began_at: float | None = None

    def doom(self, error: Exception) -> None:
        """The run can not go on; what is out finishes, all else is settled as not sent."""
        self.doomed = True
        self._account.failure = self._account.failure or error
        self._on_doomed()

    # ---- one step

    async def advance(self, flight: Flight) -> Told | None:
        """Carry the first piece of a flight a step further; what was settled by it."""
        piece, trail = flight.pieces[0], flight.trail
        trail.in_doubt, trail.before_send = False, None
        if piece.crashed and (self._operation.doubt is Doubt.HOLD or (piece.lethal and not piece.ask)):
            return self._settled(flight, piece, self._ambiguous(piece, "crash"))
        if (piece.tries or self._paused_until) and not self.doomed:
            await self._turn(piece)
        if self.doomed:
            return self.give_up(flight, "stopped")
        if self._failures_in_row < _CALM_AFTER:
            return await self._step(flight, piece)
        # HubSpot is in trouble: one request at a time finds out whether it is over, instead of all risking their batch.
        async with self._one_at_a_time:
            if self._failures_in_row >= _CALM_AFTER:
                policy = self._policy
                await anyio.sleep(self._rng.uniform(0.0, min(policy.cap_s, policy.base_s * 2.0**self._failures_in_row)))
            return await self._step(flight, piece)

    def give_up(self, flight: Flight, reason: str, *, in_doubt: str | None = None) -> Told | None:
        """Settle the first piece of a flight for what is known of it; `in_doubt` is the reason where it may be done."""
        piece = flight.pieces[0]
        return self._settled(flight, piece, self._account.cut_short(flight, piece, reason, in_doubt=in_doubt))

    async def _turn(self, piece: Piece) -> None:
        """Wait until it is of use to try (again)."""
        if self._paused_until and self._paused_until > anyio.current_time():
            await anyio.sleep_until(self._paused_until)
            if self._account.watch is not None:
                self._account.watch.resumed()
        if piece.tries and not piece.ask and self._failures_in_row < _CALM_AFTER:
            wait_s = backoff_s(piece.error, failures=piece.tries, policy=self._policy, rng=self._rng)
            if piece.error is not None and not self._budget.take(piece.error):
                wait_s = max(wait_s, self._rng.uniform(0.5, 1.0) * self._policy.cap_s)
            await anyio.sleep(wait_s)

    async def _step(self, flight: Flight, piece: Piece) -> Told | None:
        try:
            if piece.ask:
                found = await self._look(piece, flight.trail)
                return self._looked(flight, piece, found)
            answer = await self._send(piece, flight.trail)
        except HubSpotError as error:
            self._note_clock(flight.trail)
            return self._failed(flight, piece, error)
        if self.hubspot_began_at is None:
            self._note_clock(flight.trail)
        return self._answered(flight, piece, answer)

    def _send(self, piece: Piece, trail: Trail) -> Awaitable[BatchResponse[Any] | Matched | None]:
        if self._account.journal is not None:
            trail.before_send = partial(self._intend, piece)
        operation = self._operation
        body = operation.inputs.body(piece.entries)
        if operation.whole is None:
            return operation.send(body, trail)
        decoder = glance_at(piece.entries, operation.id_property, operation.whole)
        return operation.send(body, trail, decoder=decoder)

    async def _intend(self, piece: Piece) -> None:
        """No byte of a batch leaves before the journal has its intent."""
        journal = self._account.journal
        if journal is not None:
            journal.check()
            if not piece.intended:
                await journal.intend(piece.entries, alone=piece.alone)
                piece.intended = True

    async def _look(self, piece: Piece, trail: Trail) -> Found:
        operation = self._operation
        if operation.find is None:
            raise ConfigurationError(f"a bulk {operation.name} has nothing to look records up with")
        if piece.patient or (operation.settle_s and not piece.crashed):
            await anyio.sleep(operation.settle_s or operation.patience_s)
        names = dict.fromkeys(name for entry in piece.entries for name in entry.sent or ())
        return await operation.find([entry.key or "" for entry in piece.entries], properties=tuple(names), trail=trail)

    def _note_clock(self, trail: Trail) -> None:
        """Learn when the run began by HubSpot's clock: ours may be days off."""
        if self.hubspot_began_at is not None or trail.date is None:
            return
        from email.utils import parsedate_to_datetime  # two milliseconds, which aiohttp has spent by now

        try:
            now = parsedate_to_datetime(trail.date).timestamp()
        except (ValueError, OverflowError):
            return
        self.hubspot_began_at = now - (anyio.current_time() - self._account.began_at)
        if self._account.journal is not None:
            try:
                self._account.journal.note(self.hubspot_began_at)
            except JournalError as error:
                self.doom(error)  # of what follows: the answer that told the time is there, and counts

    # ---- answers

    def _answered(self, flight: Flight, piece: Piece, answer: BatchResponse[Any] | Matched | None) -> Told | None:
        operation = self._operation
        self._failures_in_row = 0
        self.successes += 1
        self._on_success()
        if answer is None:
            outcomes, again, alike = settle_archived(piece.entries)
        else:
            outcomes, again, alike = settle_answer(
                operation.name,
                piece.entries,
                answer,
                id_property=operation.id_property,
                may_repeat=operation.doubt is Doubt.REPEAT and piece.silent + 1 < _MOST_SILENT,
                into=operation.into,
                learn=operation.doubt is not Doubt.HOLD,
            )
        if alike is not None or answer is None:
            return self._account.replace(flight, piece, (), outcomes, alike=alike)
        if operation.doubt is Doubt.FIND:
            return self._answered_with_doubts(flight, piece, answer, outcomes)
        pieces: tuple[Piece, ...] = ()
        if again:
            left = piece.of(again)
            left.silent += not answer.errors
            left.doubtful = True
            # Where errors name nobody, halving leads to the one each belongs to.
            pieces = _halves(left) if answer.errors and len(again) > 1 else (left,)
        return self._settled(flight, piece, outcomes, *pieces)

    def _answered_with_doubts(
        self, flight: Flight, piece: Piece, answer: BatchResponse[Any] | Matched, outcomes: list[Outcome[Any, Any]]
    ) -> Told | None:
        """Records that the answer leaves open are looked for; so are those whose key it says is taken."""
        by_ordinal = {entry.ordinal: entry for entry in piece.entries}
        unnamed = [by_ordinal[o.ordinal] for o in outcomes if isinstance(o, Ambiguous)]
        taken = {o.ordinal: o.error for o in outcomes if isinstance(o, Rejected) and self._is_taken(piece, o.error)}
        pieces: list[Piece] = []
        if unnamed:
            left = piece.of(unnamed, ask=True)
            left.doubtful = True
            # Where errors name nobody, halving leads to the one each belongs to.
            left.split = bool(answer.errors)
            left.silent += not answer.errors
            pieces.append(left)
        if taken:
            left = piece.of([by_ordinal[ordinal] for ordinal in taken], ask=True)
            left.refusals = taken
            pieces.append(left)
        final: list[Outcome[Any, Any]] = [
            o for o in outcomes if not isinstance(o, Ambiguous) and o.ordinal not in taken
        ]
        return self._settled(flight, piece, final, *pieces)

    def _is_taken(self, piece: Piece, error: HubSpotError) -> bool:
        """Whether a refusal means that there is a meeting with this key, which may be this record."""
        operation = self._operation
        return operation.key_is_unique and _names_conflict(error)

    def _looked(self, flight: Flight, piece: Piece, found: Found) -> Told | None:
        outcomes: list[Outcome[Any, Any]] = []
        missing: list[Entry] = []
        unknown: list[Entry] = []
        for entry in piece.entries:
            meetings = found.meetings.get(entry.key or "", ())
            if len(meetings) == 1:
                outcomes.append(self._found(piece, entry, meetings[0]))
            elif meetings:
                ids = tuple(meeting.id for meeting in meetings)
                outcomes.append(Ambiguous(entry.record, entry.ordinal, "not_told_apart", piece.error, ids))
            elif entry.key in found.missing:
                missing.append(entry)
            else:
                unknown.append(entry)
        pieces: list[Piece] = []
        if unknown:
            left = piece.of(unknown, ask=True)
            left.tries += 1
            left.apart = piece.apart or len(unknown) < len(piece.entries)
            if left.tries > 2 * _MOST_TRIES:
                outcomes += self._ambiguous(left)
            else:
                pieces.append(left)
        if missing:
            refused, again = self._missing(piece, missing, any_found=bool(outcomes or unknown))
            outcomes += refused
            pieces += again
        return self._settled(flight, piece, outcomes, *pieces)

    def _missing(
        self, piece: Piece, entries: list[Entry], *, any_found: bool
    ) -> tuple[list[Outcome[Any, Any]], list[Piece]]:
        """HubSpot says that there is no meeting with these keys: surely nothing was made of these records."""
        left = piece.of(entries)
        if piece.refusals and piece.doubtful and not piece.patient:
            # What was lost before may have landed since, and not be seen yet.
            left.ask = left.patient = True
            return [], [left]
        if piece.refusals:
            # Another value than the key was taken.
            return [Rejected(e.record, e.ordinal, piece.refusals[e.ordinal]) for e in entries], []
        if piece.silent >= _MOST_SILENT:
            return self._ambiguous(left, "missing_in_answer"), []
        if piece.lethal:
            return self._ambiguous(left, "crash"), []
        if len(entries) == 1 and piece.tries >= _MOST_TRIES and piece.error is not None and self._others_go(piece):
            if not piece.patient:
                # A request that failed may land yet: look once more when that is over, before it is called undone.
                left.ask = left.patient = True
                return [], [left]
            return [Rejected(entries[0].record, entries[0].ordinal, _poison(piece.error))], []
        refused = piece.error is not None and effect_of(piece.error) is Effect.REFUSED and not piece.apart
        if refused and not any_found:
            if len(entries) == 1 or not self._operation.split_refused:
                reason = piece.error or RequestRejected("refused")
                return [Rejected(e.record, e.ordinal, reason) for e in entries], []
            self._account.report.splits += 1
            return [], list(_halves(left))
        if len(entries) > 1 and (piece.split or piece.tries >= _MOST_TRIES):
            left.split = False
            self._account.report.splits += 1
            return [], list(_halves(left))
        return [], [left]

    def _found(self, piece: Piece, entry: Entry, meeting: Meeting) -> Outcome[Any, Any]:
        """There is one meeting with this record's key: is it this record?"""
        if self._operation.name == "upsert":
            # It was there before, or this made it; whether its values were written, nobody can tell.
            error = piece.error if piece.error is None else _poison(piece.error)
            return Ambiguous(
                entry.record, entry.ordinal, why(piece.error) if piece.error else "5xx", error, (meeting.id,)
            )
        new = self._new(meeting)
        refusal = piece.refusals.get(entry.ordinal) or piece.error
        if new is False and not self._operation.accept_existing and refusal is not None:
            return Rejected(entry.record, entry.ordinal, refusal)
        if new is None and not piece.doubtful and refusal is not None and not _holds(meeting, entry):
            # It appeared while the run lasts, holds something else, and is not ours: this record never left unanswered.
            return Rejected(entry.record, entry.ordinal, refusal)
        return Created(entry.record, entry.ordinal, meeting, new)

    def _new(self, meeting: Meeting) -> bool | None:
        """False when a meeting is older than the run; else nobody can tell who made it."""
        journal = self._account.journal
        began_at = self.hubspot_began_at
        if journal is not None and journal.past.sessions:
            began_at = journal.past.hubspot_began_at
        if began_at is None or meeting.created_at is None:
            return None
        return None if meeting.created_at.timestamp() >= began_at - _SKEW_S else False

    def _others_go(self, piece: Piece) -> bool:
        return self.successes > piece.success

    # ---- failures

    def _failed(self, flight: Flight, piece: Piece, error: HubSpotError) -> Told | None:
        operation = self._operation
        effect = effect_of(error)
        # The call may have lost an answer before it met this error, and the next round begins without that memory.
        if not piece.ask:
            piece.doubtful = piece.doubtful or flight.trail.in_doubt
        if self._waits(error):
            return None
        if _ends_the_run(error, operation):
            self.doom(error)
            return self._given_up(flight, piece, error)
        if effect is Effect.REFUSED:
            self._failures_in_row = 0
            return self._refused(flight, piece, error)
        self._failures_in_row += 1
        never_reached = effect is Effect.NOT_SENT and not self.successes
        if never_reached or self._failures_in_row >= _HOPELESS_AFTER:
            self.doom(error)
            return self._given_up(flight, piece, error)
        if effect is not Effect.UNKNOWN:
            return None
        if piece.ask:
            piece.tries += 1
            return None
        if operation.doubt is Doubt.HOLD:
            return self._given_up(flight, piece, error)
        return self._lost(flight, piece, error)

    def _lost(self, flight: Flight, piece: Piece, error: HubSpotError) -> Told | None:
        """The answer is lost, and the records may be looked for or sent again."""
        if not piece.tries:
            piece.success = self.successes
        piece.tries += 1
        piece.error = error
        if piece.tries >= _MOST_TRIES and not self.successes:
            self._on_stuck()
        if self._operation.doubt is Doubt.FIND:
            piece.ask = True
            return None
        if piece.tries < _MOST_TRIES:
            return None
        if len(piece.entries) > 1:
            self._account.report.splits += 1
            return self._settled(flight, piece, [], *_halves(piece))
        if not self._others_go(piece):
            flight.pieces.rotate(-1)  # what else is in the flight shows whether HubSpot fails on everything
            return None
        if self._operation.find is not None:
            piece.ask = True
            return None
        poison = _poison(error)
        if self._operation.name == "read":
            return self._settled(flight, piece, [Rejected(e.record, e.ordinal, poison) for e in piece.entries])
        return self._settled(flight, piece, [Ambiguous(e.record, e.ordinal, why(error), poison) for e in piece.entries])

    def _refused(self, flight: Flight, piece: Piece, error: HubSpotError) -> Told | None:
        if piece.ask:
            # The account does not let us look: what was lost stays open.
            piece.error = error
            return self._settled(flight, piece, self._ambiguous(piece, "unreadable"))
        if self._operation.doubt is Doubt.FIND and self._is_taken(piece, error):
            piece.ask, piece.error, piece.apart = True, error, False
            return None
        if len(piece.entries) > 1 and self._operation.split_refused:
            self._account.report.splits += 1
            return self._settled(flight, piece, [], *_halves(piece))
        return self._given_up(flight, piece, error)

    def _given_up(self, flight: Flight, piece: Piece, error: HubSpotError) -> Told | None:
        if piece.ask:
            return self._settled(flight, piece, self._account.cut_short(flight, piece, "stopped"))
        outcomes = settle_failure(
            self._operation.name, piece.entries, error, stopped=self.doomed, doubtful=piece.doubtful
        )
        if self._operation.doubt is Doubt.HOLD and not self._warned and isinstance(outcomes[0], Ambiguous):
            self._warned = True
            _log.warning(
                "an answer of HubSpot was lost (%s), and its %d records may exist: they are ambiguous and not sent "
                "again. Pass key_property= to have such records looked up, or on_ambiguous= to choose.",
                outcomes[0].why,
                len(outcomes),
            )
        return self._settled(flight, piece, outcomes)

    def _waits(self, error: HubSpotError) -> bool:
        """Whether the run sleeps until HubSpot may be asked again, as its caller wished."""
        if not self._wait_for_reset:
            return False
        if isinstance(error, DailyLimitExceeded):
            wait_s = _DAILY_POLL_S
            if error.resets_at is not None:
                wait_s = min(wait_s, max(1.0, (error.resets_at - datetime.now(UTC)).total_seconds()))
        elif _is_moving(error, self._policy):
            wait_s = error.retry_after_s or 0.0 if isinstance(error, HubSpotUnavailable) else 0.0
        else:
            return False
        self._paused_until = max(self._paused_until, anyio.current_time() + wait_s)
        if self._account.watch is not None:
            self._account.watch.paused(error, wait_s)
        return True

    # ---- small steps

    def _settled(self, flight: Flight, piece: Piece, outcomes: list[Outcome[Any, Any]], *pieces: Piece) -> Told | None:
        return self._account.replace(flight, piece, pieces, outcomes)

    def _ambiguous(self, piece: Piece, reason: str | None = None) -> list[Outcome[Any, Any]]:
        reason = reason or (why(piece.error) if piece.error is not None else "missing_in_answer")
        return [Ambiguous(e.record, e.ordinal, reason, piece.error) for e in piece.entries]


def _halves(piece: Piece) -> tuple[Piece, Piece]:
    """A piece as two. What failed together proves nothing of a record that stands alone from here on."""
    halves = piece.halves()
    for half in halves:
        if len(half.entries) == 1:
            half.tries = min(half.tries, _MOST_TRIES - _MOST_TRIES_ALONE)
    return halves


def _poison(error: HubSpotError) -> PoisonRecord:
    poison = PoisonRecord(
        f"HubSpot failed each time it was given this record, alone, while others went through: {error.message}",
        method=error.method,
        path=error.path,
        status=error.status,
    )
    poison.__cause__ = error
    return poison


def _names_conflict(error: HubSpotError) -> bool:
    if isinstance(error, Conflict) or error.status == 409:
        return True
    if not isinstance(error, RequestRejected):
        return False
    words = [error.category, error.sub_category, *(detail.code for detail in error.details)]
    return any("CONFLICT" in word or "UNIQUE" in word for word in words if word is not None)


def _holds(meeting: Meeting, entry: Entry) -> bool:
    """Whether a meeting has the values that a record sent."""
    sent = entry.sent or {}
    return all(comparable(meeting.properties.get(name)) == comparable(value) for name, value in sent.items())


def _is_moving(error: HubSpotError, policy: RetryPolicy) -> bool:
    """477: the account is being moved to another data centre, and HubSpot names a time too far for a retry."""
    return (
        isinstance(error, HubSpotUnavailable)
        and error.status == 477
        and (error.retry_after_s or 0.0) > policy.longest_wait_s
    )


def _ends_the_run(error: HubSpotError, operation: Operation) -> bool:
    """Whether every other batch would meet the same failure."""
    match error:
        case Unauthorized() | Forbidden() | DailyLimitExceeded() | ConfigurationError() | TransportFailed(fatal=True):
            return True
        case JournalError() | ForkedClientError():
            return True
        case HubSpotUnavailable(status=477):
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
