"""Records cut into batches: at most 100 inputs, at most so many bytes, and no id twice at the same time.

This module knows where to cut. It must not know await, HTTP, files, or what an input looks like.

HubSpot: https://developers.hubspot.com/docs/api-reference/crm-meetings-v3/guide (batch limits)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import cast

from ..entries import Entry, Lot, keys_of
from ..errors import InvalidRecord

__all__ = ["Batch", "Cutter"]


class Batch:
    """Up to 100 entries that travel in one request. `number` counts batches of the run from 0."""

    __slots__ = ("entries", "number")

    def __init__(self, number: int, entries: Sequence[Entry]) -> None:
        self.number = number
        self.entries = entries

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"<Batch {self.number} of {len(self.entries)}>"

    def halves(self) -> tuple[Batch, Batch]:
        """The batch as two, for finding the input that spoils it."""
        middle = len(self.entries) // 2
        return Batch(self.number, self.entries[:middle]), Batch(self.number, self.entries[middle:])

    def only(self, entries: Sequence[Entry]) -> Batch:
        """A batch of some of these entries."""
        return Batch(self.number, entries)


class Cutter:
    """Takes entries one by one, gives batches; keeps entries with the same key apart.

    An entry whose key is in the open batch or in flight is parked until that batch is `release`d: HubSpot refuses an id
    twice in one batch, and two batches in flight at once could land in the wrong order. Entries of one key keep
    their order.
    """

    def __init__(self, *, max_inputs: int, max_bytes: int) -> None:
        self._max_inputs = max_inputs
        self._max_bytes = max_bytes
        self._open: list[Entry] = []
        self._open_bytes = 0
        self._full: deque[Batch] = deque()
        self._busy: set[str] = set()
        self._parked: dict[str, deque[Entry]] = {}
        self._batches = 0
        self.parked = 0
        """Entries waiting for their key."""

    def feed(self, entry: Entry) -> None:
        """Take one entry. Raises: InvalidRecord when it alone is larger than a batch may be."""
        size = len(entry.encoded) + 1
        if size > self._max_bytes:
            raise InvalidRecord(
                f"the record is {size:,} bytes of JSON, more than max_batch_bytes ({self._max_bytes:,}); "
                "shorten it or raise that"
            )
        key = entry.key
        if key is not None:
            if key in self._busy:
                self._parked.setdefault(key, deque()).append(entry)
                self.parked += 1
                return
            self._busy.add(key)
        self._add(entry, size)

    @property
    def room(self) -> int:
        """How many more entries the open batch takes."""
        return self._max_inputs - len(self._open)

    def feed_lot(self, lot: Lot) -> bool:
        """Take entries that are a batch as they are; False where it is not as easy."""
        if self._open or len(lot) != self._max_inputs or len(lot.body) > self._max_bytes:
            return False
        if (keys := lot.keys) is not None:
            if not self._busy.isdisjoint(keys) or len({*keys}) < len(keys):
                return False
            self._busy.update(keys)
        self._full.append(Batch(self._batches, lot))
        self._batches += 1
        return True

    def feed_all(self, entries: list[Entry]) -> bool:
        """Take entries together, where none is too large and none waits for its key; False when it is not as easy."""
        sizes = [*map(len, [entry.encoded for entry in entries])]
        total = sum(sizes) + len(sizes)
        # All on top of what is open, or a batch full of the largest: if one of these fits, no cut by size is due.
        if min(total, self._max_inputs * (max(sizes) + 1)) > self._max_bytes - self._open_bytes:
            return False
        if entries[0].key is not None:
            keys = [entry.key for entry in entries]
            if not self._busy.isdisjoint(keys) or len({*keys}) < len(keys):
                return False
            self._busy.update(cast("list[str]", keys))
        if not self._open and len(entries) == self._max_inputs:
            self._open, self._open_bytes = entries, total
            self._close()
            return True
        taken = 0
        while taken < len(entries):
            room = self._max_inputs - len(self._open)
            self._open += entries[taken : taken + room]
            self._open_bytes += sum(sizes[taken : taken + room]) + len(sizes[taken : taken + room])
            taken += room
            if len(self._open) == self._max_inputs:
                self._close()
        return True

    def _add(self, entry: Entry, size: int) -> None:
        if self._open_bytes + size > self._max_bytes:
            self._close()
        self._open.append(entry)
        self._open_bytes += size
        if len(self._open) == self._max_inputs:
            self._close()

    def _close(self) -> None:
        self._full.append(Batch(self._batches, self._open))
        self._batches += 1
        self._open = []
        self._open_bytes = 0

    @property
    def opened(self) -> int:
        """Which batch is open and has entries, as a number that changes from batch to batch; -2 when none is."""
        return self._batches if self._open else -2

    @property
    def ready(self) -> bool:
        """Whether `take` has a full batch to give."""
        return bool(self._full)

    def take(self) -> Batch | None:
        """A full batch, if there is one."""
        return self._full.popleft() if self._full else None

    def flush(self) -> Batch | None:
        """A batch even if it is not full; None when nothing is open."""
        if not self._full and self._open:
            self._close()
        return self.take()

    def release(self, entries: Sequence[Entry]) -> None:
        """These entries are settled: the next one of each key may go."""
        if not self._busy:
            return
        if not self._parked:
            self._busy.difference_update(keys_of(entries) or ())
            return
        for entry in entries:
            key = entry.key
            if key is None:
                continue
            waiting = self._parked.get(key)
            if waiting is None:
                self._busy.discard(key)
                continue
            successor = waiting.popleft()
            self.parked -= 1
            if not waiting:
                del self._parked[key]
            self._add(successor, len(successor.encoded) + 1)

    def leftover(self) -> list[Entry]:
        """All entries that are in no batch handed out; the cutter is empty afterwards."""
        left = [entry for batch in self._full for entry in batch.entries]
        left += self._open
        left += [entry for queue in self._parked.values() for entry in queue]
        self._full.clear()
        self._open, self._open_bytes = [], 0
        self._parked.clear()
        self.parked = 0
        return sorted(left, key=lambda entry: entry.ordinal)
