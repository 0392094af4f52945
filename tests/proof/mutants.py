"""Broken variants of the engine, its journal and HubSpot, for the checker to see through.

This module knows how each variant is broken, and in which mode it shows. A variant that no schedule can tell from the
real thing is no mutant: an intent written late, for example, does no harm to a keyed create, which HubSpot protects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Final, NamedTuple
from unittest import mock

import msgspec

from hubspot_meetings_async.bulk import carrier as carrier_room
from hubspot_meetings_async.bulk import glance as glance_room
from hubspot_meetings_async.bulk.account import Account, Told
from hubspot_meetings_async.bulk.batches import Batch, Cutter
from hubspot_meetings_async.bulk.carrier import Carrier
from hubspot_meetings_async.bulk.forming import Former
from hubspot_meetings_async.bulk.intake import Intake
from hubspot_meetings_async.bulk.journal import journal as journal_room
from hubspot_meetings_async.bulk.journal.journal import Journal
from hubspot_meetings_async.bulk.operation import Doubt, Operation
from hubspot_meetings_async.bulk.outcomes import Created, Outcome, Rejected
from hubspot_meetings_async.bulk.pieces import Piece
from hubspot_meetings_async.bulk.resuming import Resumption, Standing
from hubspot_meetings_async.bulk.settling import Settlement, settle_answer
from hubspot_meetings_async.bulk.verifying import Verifier
from hubspot_meetings_async.entries import Entry, Lot
from hubspot_meetings_async.meetings.lookup import Found
from hubspot_meetings_async.models import BatchResponse, Meeting
from hubspot_meetings_async.wire import Trail

from . import stacks
from .checker import problems
from .plan import Mode, Plan
from .schedule import replay
from .simulated_journal import SimulatedStore
from .world import World

__all__ = ["MUTANTS", "Mutant", "as_drawn", "by_ordinal", "killed_after", "not_unique", "silent", "verified"]


def as_drawn(plan: Plan) -> None:
    """Bends nothing."""


class Mutant(NamedTuple):
    """`breaks` is entered while schedules of `mode` are played; `plans` are changed by `bend`."""

    mode: Mode
    breaks: Callable[[], AbstractContextManager[Any]]
    bend: Callable[[Plan], None] = as_drawn


def killed_after(mutant: Mutant, most: int) -> tuple[int, str] | None:
    """How many schedules it takes until the checker sees it, and what it sees; None when `most` do not do."""
    for seed in range(most):
        plan = Plan.draw(mutant.mode, seed)
        plan.full_stack = False  # the variants below replace what the engine alone is given
        mutant.bend(plan)
        with mutant.breaks():
            history = replay(plan)
        if found := problems(history):
            return seed + 1, found[0]
    return None


def _replaced(owner: Any, name: str, new: Any) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: mock.patch.object(owner, name, new)


def _all(*parts: Callable[[], AbstractContextManager[Any]]) -> Callable[[], AbstractContextManager[Any]]:
    def enter() -> AbstractContextManager[Any]:
        stack = ExitStack()
        for part in parts:
            stack.enter_context(part())
        return stack

    return enter


# ---- intents


async def _intent_after_send(self: Carrier, piece: Piece, trail: Trail) -> Any:
    try:
        return await self._operation.send(self._operation.inputs.body(piece.entries), trail)
    finally:
        await self._intend(piece)


_background: set[asyncio.Future[None]] = set()


async def _intent_not_awaited(self: Carrier, piece: Piece) -> None:
    journal = self._account.journal
    if journal is not None and not piece.intended:
        task = asyncio.ensure_future(journal.intend(piece.entries, alone=piece.alone))
        _background.add(task)
        task.add_done_callback(_background.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        piece.intended = True


async def _no_intent(self: Carrier, piece: Piece) -> None:
    piece.intended = True


_real_append = SimulatedStore.append


def _unsynced(self: SimulatedStore, kind: int, data: bytes, body: bytes | None = None) -> asyncio.Future[None]:
    """A row is called safe once it is written, not when it is synced."""
    waiting = _real_append(self, kind, data, body)
    told: asyncio.Future[None] = waiting.get_loop().create_future()

    def written() -> None:
        if not told.done():
            told.set_result(None)

    waiting.get_loop().call_later(0.001, written)
    return told


# ---- acks


async def _told_before_ack(self: Account, told: Told) -> list[Outcome[Any, Any]]:
    return told.outcomes


_real_ack = Journal.ack


def _no_ack_of_rejected(self: Journal, outcomes: Iterable[Outcome[Any, Any]]) -> Awaitable[None] | None:
    return _real_ack(self, [outcome for outcome in outcomes if not isinstance(outcome, Rejected)])


_real_row = journal_room._row


def _unsent_as_settled(outcome: Outcome[Any, Any]) -> tuple[str, str | None]:
    code, detail = _real_row(outcome)
    return ("x", "not sent") if code == "-" else (code, detail)


def _ends_as_range(ordinals: Sequence[int]) -> list[int]:
    first, count = ordinals[0], len(ordinals)
    return [first, -count] if count > 1 and ordinals[-1] - first == count - 1 else list(ordinals)


# ---- what follows an answer


def _settled_by(rule: Callable[..., Settlement]) -> Callable[[], AbstractContextManager[Any]]:
    return _replaced(carrier_room, "settle_answer", rule)


def _repeat_what_is_missing(*given: Any, **named: Any) -> Settlement:
    return settle_answer(*given, **{**named, "may_repeat": True})


def _by_position(operation: str, entries: Sequence[Entry], answer: BatchResponse[Meeting], **named: Any) -> Settlement:
    named_ones = [Created(e.record, e.ordinal, m) for e, m in zip(entries, answer.results, strict=False)]
    return Settlement([*named_ones], list(entries[len(named_ones) :]))


def _glance_by_position(
    entries: Sequence[Entry], results: Sequence[Any], *given: Any
) -> tuple[Sequence[Any], list[str]] | None:
    return (results, [result.id for result in results]) if len(results) == len(entries) else None


def _all_is_well(operation: str, entries: Sequence[Entry], answer: BatchResponse[Meeting], **named: Any) -> Settlement:
    outcomes, *_ = settle_answer(operation, entries, answer, **{**named, "may_repeat": True})
    done = [outcome for outcome in outcomes if isinstance(outcome, Created)]
    known = {outcome.ordinal for outcome in done}
    rest = [Created(e.record, e.ordinal, Meeting(id="0")) for e in entries if e.ordinal not in known]
    return Settlement([*done, *rest], [])


def _unnamed_is_well(
    operation: str, entries: Sequence[Entry], answer: BatchResponse[Meeting], **named: Any
) -> Settlement:
    outcomes, again, *_ = settle_answer(operation, entries, answer, **{**named, "may_repeat": True})
    return Settlement([*outcomes, *(Created(e.record, e.ordinal, Meeting(id="0")) for e in again)], [])


def _operated(**changes: Any) -> Callable[[], AbstractContextManager[Any]]:
    """The operation with other settings; strings name what the engine calls."""
    real = stacks._operation

    def changed(plan: Plan, ends: Any) -> Operation:
        given = {name: getattr(ends, new) if isinstance(new, str) else new for name, new in changes.items()}
        return msgspec.structs.replace(real(plan, ends), **given)

    return _replaced(stacks, "_operation", changed)


async def _silence_is_absence(self: Any, keys: Sequence[str], *, properties: Sequence[str], trail: Trail) -> Found:
    found = await _real_find(self, keys, properties=properties, trail=trail)
    return Found(found.meetings, frozenset(key for key in keys if key not in found.meetings))


_real_find = stacks._Ends.find
_real_by_keys = World.by_keys


def _live_only(self: World, keys: list[str], archived: bool | None) -> Any:
    return _real_by_keys(self, keys, False)


# ---- giving up


def _never_in_doubt(self: Account, flight: Any, piece: Piece, reason: str, **named: Any) -> list[Outcome[Any, Any]]:
    return self.not_sent(piece.entries, reason)


_real_cut_short = Account.cut_short


def _deadline_is_not_sent(
    self: Account, flight: Any, piece: Piece, reason: str, *, in_doubt: str | None = None
) -> list[Outcome[Any, Any]]:
    if reason == "deadline":
        return self.not_sent(piece.entries, reason)
    return _real_cut_short(self, flight, piece, reason, in_doubt=in_doubt)


def _halves_that_drop_one(self: Batch) -> tuple[Batch, Batch]:
    middle = len(self.entries) // 2
    first = self.only(self.entries[:middle])
    return first, self.only(self.entries[middle + 1 :] or self.entries[middle:])


_real_settle = Account.settle


def _one_told_twice(self: Account, outcomes: list[Outcome[Any, Any]], entries: Sequence[Entry], **named: Any) -> Told:
    told = _real_settle(self, outcomes, entries, **named)
    return told._replace(outcomes=[*told.outcomes, *told.outcomes[:1]])


def _one_not_told(self: Account, outcomes: list[Outcome[Any, Any]], entries: Sequence[Entry], **named: Any) -> Told:
    told = _real_settle(self, outcomes, entries, **named)
    return told._replace(outcomes=told.outcomes[:-1] if len(told.outcomes) > 3 else told.outcomes)


def _not_one_at_a_time(self: Cutter, entry: Entry) -> None:
    self._add(entry, len(entry.encoded) + 1)


def _lots_at_once(self: Cutter, lot: Lot) -> bool:
    """Whatever ids are on the way, or come twice."""
    if self._open or len(lot) != self._max_inputs or len(lot.body) > self._max_bytes:
        return False
    self._full.append(Batch(self._batches, lot))
    self._batches += 1
    return True


def _one_off(self: Former[Any], records: list[Any], kept: list[Any]) -> Any:
    """Its records are the ones before them."""
    lot = _real_lot(self, records, kept)
    if isinstance(lot, Lot):
        lot.first = max(0, lot.first - 1)
    return lot


_real_lot = Former._lot


# ---- going on


_real_standing = Resumption.standing


def _standing(change: Callable[[Standing], Standing]) -> Callable[[], AbstractContextManager[Any]]:
    def standing(self: Resumption, ordinal: int, entry: Entry | None) -> Standing:
        return change(_real_standing(self, ordinal, entry))

    return _replaced(Resumption, "standing", standing)


def _off_by_one(self: Resumption, ordinal: int, entry: Entry | None) -> Standing:
    if self._by_key or ordinal >= self.until:
        return _real_standing(self, ordinal, entry)
    return _real_standing(self, max(0, ordinal - 1), entry)


def _untaken_is_unsent(self: Intake, reason: str) -> list[Outcome[Any, Any]]:
    left = [*self.held, *self.cutter.leftover()]
    self.held = []
    return self.take_turned_away() + self._account.not_sent(left, reason)


async def _no_look_at_the_end(self: Verifier) -> None:
    return


def by_ordinal(plan: Plan) -> None:
    """Records are known again by their place."""
    plan.resume = "ordinal"


def not_unique(plan: Plan) -> None:
    """HubSpot keeps no second copy out."""
    plan.rules.unique = False


def silent(plan: Plan) -> None:
    """Every other read leaves keys out: HubSpot's uniqueness makes good for fewer of them."""
    plan.weather.rate, plan.weather.reads = 0.5, ("silent",)


def verified(plan: Plan) -> None:
    """Every value is looked at in the end, in a run that is let finish."""
    plan.verify = "final"
    plan.ends.clear()


_as_settled = {Standing.DOUBT: Standing.SETTLED}
_as_fresh = {Standing.DOUBT: Standing.FRESH}

MUTANTS: Final[dict[str, Mutant]] = {
    "intent after the send": Mutant("hold", _replaced(Carrier, "_send", _intent_after_send)),
    "intent not waited for": Mutant("hold", _replaced(Carrier, "_intend", _intent_not_awaited)),
    "no intent": Mutant("hold", _replaced(Carrier, "_intend", _no_intent)),
    "rows called safe before the sync": Mutant("hold", _replaced(SimulatedStore, "append", _unsynced)),
    "outcomes told before their ack": Mutant("keyed", _replaced(Account, "written", _told_before_ack)),
    "no ack for rejected records": Mutant("keyed", _replaced(Journal, "ack", _no_ack_of_rejected)),
    "unsent records journaled as settled": Mutant("keyed", _replaced(journal_room, "_row", _unsent_as_settled)),
    "ordinals out of order journaled as a range": Mutant("update", _replaced(journal_room, "pack", _ends_as_range)),
    "hold resends what a 5xx left open": Mutant("hold", _operated(doubt=Doubt.REPEAT, send="create")),
    "hold resends what an answer does not name": Mutant("hold", _settled_by(_repeat_what_is_missing)),
    "a 2xx is a success for all": Mutant("hold", _settled_by(_all_is_well)),
    "what a 2xx does not name is a success": Mutant("keyed", _settled_by(_unnamed_is_well)),
    "results by their position": Mutant("hold", _settled_by(_by_position)),
    "results at a glance by their position": Mutant("hold", _replaced(glance_room, "one_each", _glance_by_position)),
    "HubSpot does not keep keys unique": Mutant("keyed", _operated(), not_unique),
    "HubSpot does not keep keys of upserts unique": Mutant("upsert", _operated(), not_unique),
    "search after 8 s instead of a read": Mutant("keyed", _operated(find="search", settle_s=8.0)),
    "a taken key is a rejection": Mutant("keyed", _replaced(Carrier, "_is_taken", lambda *given: False)),
    "silence of a read is absence": Mutant("keyed", _replaced(stacks._Ends, "find", _silence_is_absence), silent),
    "nobody looks into the recycling bin": Mutant("keyed", _replaced(World, "by_keys", _live_only)),
    "two batches of one id at once": Mutant("update", _replaced(Cutter, "feed", _not_one_at_a_time)),
    "two lots of one id at once": Mutant("update", _replaced(Cutter, "feed_lot", _lots_at_once)),
    "a lot takes its records for others": Mutant("upsert", _replaced(Former, "_lot", _one_off)),
    "cancelled is not sent": Mutant("hold", _replaced(Account, "cut_short", _never_in_doubt)),
    "late is not sent": Mutant("hold", _replaced(Account, "cut_short", _deadline_is_not_sent)),
    "halves without the one in the middle": Mutant("keyed", _replaced(Batch, "halves", _halves_that_drop_one)),
    "an outcome told twice": Mutant("keyed", _replaced(Account, "settle", _one_told_twice)),
    "an outcome not told": Mutant("keyed", _replaced(Account, "settle", _one_not_told)),
    "resume skips records in doubt": Mutant("keyed", _standing(lambda s: _as_settled.get(s, s))),
    "resume resends records in doubt": Mutant("hold", _standing(lambda s: _as_fresh.get(s, s))),
    "resume is off by one": Mutant("keyed", _replaced(Resumption, "standing", _off_by_one), by_ordinal),
    "records in doubt that are not reached are unsent": Mutant(
        "keyed", _replaced(Intake, "untaken", _untaken_is_unsent)
    ),
    "verify='final' looks at nothing": Mutant("update", _replaced(Verifier, "settle", _no_look_at_the_end), verified),
}
