"""From what a source gives to what is sent: numbered, encoded, and known again whatever the source does to its objects.

This module knows when records are taken together and when one by one. It must not know sources, batches, or tasks.

A source may use one object for all of its records, so a record is kept as it is in the moment it is read. Of a plain
dict a copy is enough, and a hundred copies are encoded at once for half of what a hundred records cost. What a copy
would not keep, such as a list in a value, is formed at once; a source shows by its first records which kind it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from ..entries import Entry, Lot
from ..errors import InvalidRecord
from ..inputs import Inputs
from .outcomes import Rejected

__all__ = ["Formed", "Former"]

R = TypeVar("R")

Formed = Lot | list[Entry | Rejected[Any]]
"""Records in the order of the source: as many as a batch has, or one by one."""


class Former(Generic[R]):
    """Forms the records of one run. `room` tells how many the batch that is filled next has room for."""

    def __init__(self, inputs: Inputs, *, trace_prefix: str, room: Callable[[], int]) -> None:
        self._inputs = inputs
        self._trace_prefix = trace_prefix
        self._room = room
        self._closely = True
        self._all_usual = True
        self.next_ordinal = 0
        """Of the next record to be formed; records count from 0."""

    @property
    def room(self) -> int:
        """How many records fill a batch."""
        return self._room()

    @property
    def keep(self) -> Callable[[R], Any] | None:
        """Keeps a record of the next lot as it is now, and raises where it can not; None: form it now, see `now`."""
        lots = self._inputs.lots
        return None if lots is None or self._closely else lots.copied

    def now(self, item: R, place: int = 0) -> Entry | Rejected[R]:
        """Form one record, which is in this `place` of its lot, in the moment it is read."""
        lots = self._inputs.lots
        if lots is not None and self._all_usual:
            self._all_usual = lots.usual(item)
        return self._formed(self.next_ordinal + place, item, item)

    def together(self, records: list[R], kept: list[Any]) -> Iterator[Formed]:
        """Form what was read: `kept` is what `keep` or `now` made of each of the records."""
        if {*map(type, kept)} <= _FORMED:
            self._closely, self._all_usual = not self._all_usual, True
            self.next_ordinal += len(records)
            if kept:
                yield kept
            return
        end, room = 0, self.room
        while end < len(records):
            begin, end = end, end + room
            room = self._inputs.max_inputs
            yield self._lot(records[begin:end], kept[begin:end])

    def _lot(self, records: list[R], kept: list[Any]) -> Formed:
        first = self.next_ordinal
        self.next_ordinal = first + len(records)
        lots = self._inputs.lots
        if lots is not None and {*map(type, kept)}.isdisjoint(_FORMED):
            lot = lots.lot(first, records, kept, f"{self._trace_prefix}{first}.")
            if lot is not None:
                return lot
        self._closely = True
        return [
            each if type(each) in _FORMED else self._formed(ordinal, record, each)
            for ordinal, (record, each) in enumerate(zip(records, kept, strict=True), first)
        ]

    def _formed(self, ordinal: int, record: R, item: Any) -> Entry | Rejected[R]:
        """`item` is what the record was when it was read."""
        try:
            entry = self._inputs.entry(ordinal, item, f"{self._trace_prefix}{ordinal}")
        except InvalidRecord as error:
            return Rejected(record, ordinal, error)
        except Exception as error:  # noqa: BLE001 - a mapping of the user's own making may raise anything when read
            return Rejected(record, ordinal, InvalidRecord(f"the record can not be read: {_said(error)}"))
        entry.record = record
        return entry


_FORMED = frozenset((Entry, Rejected))


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
