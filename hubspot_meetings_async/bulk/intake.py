"""From formed records to batches: what is sent, what is turned away, what an earlier run has settled.

This module knows the order of records and of their keys, and how a journal's word changes it. It must not know tasks,
HTTP, or how batches are carried. No step of it waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from ..entries import Entry, Lot
from ..errors import InvalidRecord, JournalError, JournalMismatchError
from ..inputs import MAX_INPUTS
from .account import Account
from .batches import Batch, Cutter
from .forming import Formed
from .operation import Doubt, Operation
from .outcomes import Ambiguous, Outcome, Rejected
from .pieces import Piece
from .resuming import Resumption, Standing

__all__ = ["MOST_PARKED", "Intake"]

MOST_PARKED: Final = 1_000
"""Records that wait for an earlier one of the same id; the source is not read further beyond that."""
_KEYS_REMEMBERED: Final = 20_000
"""Keys in each of two generations, in which a second record of one key is recognized; HubSpot refuses later ones."""

_ENTRIES_ONLY: Final = {Entry}


class Intake:
    """Takes records in the order of the source.

    `resumption` is set when the run goes on with a journal. `held` records wait until the source has proved to be the
    one that the journal knows. `on_mismatch` hears that it is not, or that the journal can not be written.
    """

    def __init__(
        self, operation: Operation, account: Account, *, max_bytes: int, on_mismatch: Callable[[Exception], None]
    ) -> None:
        self._operation = operation
        self._account = account
        self._on_mismatch = on_mismatch
        self.cutter = Cutter(max_inputs=operation.inputs.max_inputs, max_bytes=max_bytes)
        self.resumption: Resumption | None = None
        self.held: list[Entry] = []
        self._keys = _RecentKeys() if operation.unique_keys else None
        self._accepted = 0
        self._in_doubt: set[int] = set()
        self._repeated_keys: set[str] = set()
        self._reopened: list[Entry] = []
        self._turned_away: list[Outcome[Any, Any]] = []

    def accept(self, formed: Formed) -> bool:
        """Take records in; True when there is something to hand on."""
        self._accepted += len(formed)
        if not (self._accept_lot(formed) if isinstance(formed, Lot) else self._accept_at_once(formed)):
            for each in formed:
                if isinstance(each, Rejected):
                    self._turn_away(each)
                else:
                    self._take(each, each.ordinal)
        cutter = self.cutter
        return cutter.ready or len(self._turned_away) >= MAX_INPUTS or cutter.parked >= MOST_PARKED

    def _accept_lot(self, lot: Lot) -> bool:
        """As `_accept_at_once`, of entries that were formed together."""
        if self.resumption is not None or (self._keys is not None and not self._keys.all_new(lot.keys or [])):
            return False
        self._account.report.pulled += len(lot)
        if not self.cutter.feed_lot(lot):
            for entry in lot.entries:
                self._cut(entry)
        return True

    def _accept_at_once(self, formed: list[Entry | Rejected[Any]]) -> bool:
        """The most common case in few steps: all can be sent, none has the key of another, and nothing is resumed."""
        if self.resumption is not None or {*map(type, formed)} != _ENTRIES_ONLY:
            return False
        entries = cast("list[Entry]", formed)
        if self._keys is not None and not self._keys.all_new([entry.key or "" for entry in entries]):
            return False
        self._account.report.pulled += len(entries)
        if not self.cutter.feed_all(entries):
            for entry in entries:
                self._cut(entry)
        return True

    def _take(self, entry: Entry, ordinal: int) -> None:
        # In the source's order, and those passed over count too.
        again = self._keys is not None and self._keys.seen(entry.key or "")
        if self.resumption is not None and self._passed_over(ordinal, entry):
            return
        self._account.report.pulled += 1
        if again and entry.ordinal not in self._in_doubt:
            error = InvalidRecord(f"duplicate_key_in_input: an earlier record of this run has the key {entry.key!r}")
            self._turned_away.append(Rejected(entry.record, entry.ordinal, error))
        elif self.resumption is not None and ordinal < self.resumption.until:
            # Nothing goes out before the source has proved to be the one that the journal knows.
            self.held.append(entry)
        else:
            if self.held:
                # Their order is the source's: a later record of an id must not overtake them.
                self._release_held()
            self._cut(entry)

    def _cut(self, entry: Entry) -> None:
        try:
            self.cutter.feed(entry)
        except InvalidRecord as error:
            self._turned_away.append(Rejected(entry.record, entry.ordinal, error))

    def _turn_away(self, rejected: Rejected[Any]) -> None:
        if self.resumption is not None and self._passed_over(rejected.ordinal, None):
            return
        self._account.report.pulled += 1
        self._turned_away.append(rejected)

    def take_turned_away(self) -> list[Outcome[Any, Any]]:
        """Outcomes of records that can not be sent, since this was asked last."""
        turned_away, self._turned_away = self._turned_away, []
        return turned_away

    def release_if_known(self) -> None:
        """Let held records go once all that the journal knows have come."""
        if self.held and self._accepted >= cast("Resumption", self.resumption).until:
            self._release_held()

    def need_whole_source(self, records: int) -> None:
        """The source has ended after so many records: the journal must not know of more."""
        if self.resumption is not None:
            try:
                self.resumption.need_all(records)
            except JournalMismatchError as error:
                self._on_mismatch(error)

    def untaken(self, reason: str) -> list[Outcome[Any, Any]]:
        """Outcomes of what is in no batch handed out: not sent by this run, but an earlier one may have done so."""
        left = [*self.held, *self.cutter.leftover()]
        self.held = []
        doubted = [entry for entry in left if entry.ordinal in self._in_doubt]
        fresh = [entry for entry in left if entry.ordinal not in self._in_doubt]
        known: list[Outcome[Any, Any]] = [Ambiguous(entry.record, entry.ordinal, "crash") for entry in doubted]
        return self.take_turned_away() + known + self._account.not_sent(fresh, reason)

    def pieces(self, batch: Batch) -> list[Piece]:
        """A batch, as it is carried: records that are in doubt from an earlier run go by themselves."""
        if not self._in_doubt:
            return [Piece(batch)]
        doubted = [entry for entry in batch.entries if entry.ordinal in self._in_doubt]
        if not doubted:
            return [Piece(batch)]
        self._in_doubt.difference_update(entry.ordinal for entry in doubted)
        known = Piece(batch, ask=self._operation.doubt is Doubt.FIND, doubtful=True, crashed=True)
        pieces: list[Piece] = []
        together: list[Entry] = []
        for entry in doubted:
            alone, lethal = cast("Resumption", self.resumption).crashes(entry)
            if alone or lethal:
                piece = known.of([entry], ask=known.ask)
                piece.alone, piece.lethal = True, lethal
                pieces.append(piece)
            else:
                together.append(entry)
        if together:
            pieces.insert(0, known.of(together, ask=known.ask))
        settled = {entry.ordinal for entry in doubted}
        if fresh := [entry for entry in batch.entries if entry.ordinal not in settled]:
            pieces.append(Piece(batch.only(fresh)))
        return pieces

    # ---- going on with a job

    def _passed_over(self, ordinal: int, entry: Entry | None) -> bool:
        """Whether an earlier run has settled this record."""
        try:
            standing = cast("Resumption", self.resumption).standing(ordinal, entry)
        except JournalMismatchError as error:
            self._on_mismatch(error)
            standing = Standing.FRESH
        key = entry.key if entry is not None else None
        if standing is Standing.SETTLED and key not in self._repeated_keys:
            self._account.report.settled_before += 1
            return True
        if standing is not Standing.FRESH and entry is not None:
            self._in_doubt.add(entry.ordinal)
        if standing is Standing.SETTLED and entry is not None:
            self._reopened.append(entry)
        known = cast("Resumption", self.resumption).until
        if key is not None and ordinal < known and self._operation.doubt is Doubt.REPEAT:
            # What came after it for this key has to come after it again.
            self._repeated_keys.add(key)
        return False

    def _release_held(self) -> None:
        held, self.held = self.held, []
        if self._reopened and self._account.journal is not None:
            # Ahead of all intents of this run: were it to die now, the next one would not take them for settled.
            try:
                self._account.journal.reopen(self._reopened)
            except JournalError as error:
                self._on_mismatch(error)
            self._reopened = []
        for entry in held:
            self._cut(entry)


class _RecentKeys:
    """Keys that came lately, in two generations, so that memory stays flat."""

    def __init__(self) -> None:
        self._young: set[str] = set()
        self._old: set[str] = set()

    def all_new(self, keys: list[str]) -> bool:
        """Whether none of these came before, nor twice among them; then they have come now."""
        fresh = set(keys)
        if len(fresh) < len(keys) or not fresh.isdisjoint(self._young) or not fresh.isdisjoint(self._old):
            return False
        self._young |= fresh
        self._age()
        return True

    def seen(self, key: str) -> bool:
        """Whether this key came before; it has come now."""
        if key in self._young or key in self._old:
            return True
        self._young.add(key)
        self._age()
        return False

    def _age(self) -> None:
        if len(self._young) >= _KEYS_REMEMBERED:
            self._young, self._old = set(), self._young
