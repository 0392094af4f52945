"""What search sees of the records of one object type: the state of some seconds ago, in sorted order where asked.

Knows records, moments and sorted lists. Must not know filters or requests. Only what changed within the delay is kept
twice; a property's sorted index comes into being when a search first asks for it, and follows the writes from then on.
"""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections.abc import Iterator
from heapq import heappop, heappush

from .records import ObjectStore, Record
from .search_filters import Field, Key
from .search_words import WordIndex, Words

__all__ = ["SearchIndex", "SortedIndex", "Span"]

Span = tuple[int, int]
"""A range of places in a sorted index, the end excluded."""
Bound = tuple[Key, bool]
"""An end of a range of values, and whether it belongs to the range."""

_REBUILD_ABOVE = 64
"""More changes than this, and more than an eighth of all, are sorted in at once."""
_NOTHING_YET = (None,)
_NO_VALUES: dict[str, str] = {}


class SortedIndex:
    """The records with a value in one property, in order of value and id; and those without."""

    def __init__(self, field: Field) -> None:
        self.field = field
        self.keys: dict[int, Key] = {}
        self.without: set[int] = set()
        self.entries: list[tuple[Key, int]] = []

    def fill(self, records: Iterator[Record]) -> None:
        """Take in all records."""
        for record in records:
            self._note(record)
        self._rebuild()

    def follow(self, changed: dict[int, Record | None]) -> None:
        """Take in what became of some records; None is gone."""
        at_once = len(changed) > max(_REBUILD_ABOVE, len(self.entries) // 8)
        for id_, record in changed.items():
            key = self.keys.pop(id_, None)
            self.without.discard(id_)
            if key is not None and not at_once:
                del self.entries[bisect_left(self.entries, (key, id_))]
            if record is not None:
                new = self._note(record)
                if new is not None and not at_once:
                    insort(self.entries, (new, id_))
        if at_once:
            self._rebuild()

    def within(self, spans: list[Span], ids: set[int]) -> set[int]:
        """Those of some records whose values lie in some places."""
        long = sum(stop - start for start, stop in spans)
        if long <= len(ids):
            return {id_ for start, stop in spans for _, id_ in self.entries[start:stop] if id_ in ids}
        ends = [(self.entries[start], self.entries[stop - 1]) for start, stop in spans]
        keyed = ((self.keys[id_], id_) for id_ in ids if id_ in self.keys)
        return {entry[1] for entry in keyed if any(first <= entry <= last for first, last in ends)}

    def walk(self, spans: list[Span], ids: set[int], *, descending: bool) -> list[int]:
        """Those of some records whose values lie in some places, in order of value and id."""
        found = [id_ for start, stop in spans for _, id_ in self.entries[start:stop] if id_ in ids]
        if descending:
            found.reverse()
        return found

    def sort(self, ids: set[int], *, descending: bool) -> list[int]:
        """Some records in order of value and id, those without a value behind the others."""
        if len(ids) * 4 > len(self.entries):
            valued = [id_ for _, id_ in self.entries if id_ in ids]
        else:
            valued = [id_ for _, id_ in sorted((self.keys[id_], id_) for id_ in ids if id_ in self.keys)]
        if descending:
            valued.reverse()
        return valued if len(valued) == len(ids) else [*valued, *sorted(ids.intersection(self.without))]

    def span(self, low: Bound | None, high: Bound | None) -> Span:
        """The places of the values between two bounds."""
        start = 0 if low is None else self._place(low[0], behind=not low[1])
        stop = len(self.entries) if high is None else self._place(high[0], behind=high[1])
        return start, max(start, stop)

    def _place(self, key: Key, *, behind: bool) -> int:
        # Ids are above 0 and of 18 digits at most.
        return bisect_left(self.entries, (key, 10**18 if behind else 0))

    def _note(self, record: Record) -> Key | None:
        key = self.field.key(record, record.properties() if self.field.stored else _NO_VALUES)
        if key is None:
            self.without.add(record.id)
        else:
            self.keys[record.id] = key
        return key

    def _rebuild(self) -> None:
        self.entries = [(key, id_) for id_, key in self.keys.items()]
        # Nearly sorted as a rule, which sorting is quick at.
        self.entries.sort()


class SearchIndex:
    """The records of one object type as search sees them.

    Args:
        store: where they lie; its writes are reported here.
        delay_ms: how long a write stays unseen.
        jitter_ms: how much longer at most, drawn from `rng` for each write.
    """

    def __init__(
        self, store: ObjectStore, *, delay_ms: int, jitter_ms: int = 0, rng: random.Random | None = None
    ) -> None:
        self.version = 0
        """Grows whenever search comes to see something else."""
        self._store = store
        self._delay_ms = delay_ms
        self._jitter_ms = jitter_ms
        self._rng = rng or random.Random(0)
        self._due: list[tuple[int, int]] = []  # a heap
        # What search still sees of records that changed, one version per unseen write; None is nothing yet.
        self._unseen: dict[int, tuple[Record | None, ...]] = {}
        self._changed: set[int] = set()
        self._indexes: dict[str, SortedIndex] = {}
        self._word_indexes: dict[str, WordIndex] = {}
        store.watcher = self

    def added(self, record: Record, now_ms: int) -> None:
        """A record came; those that no request made are seen at once."""
        if self._lags and record.created_by:
            self._hold(record.id, None, now_ms)
        else:
            self._show(record.id)

    def changing(self, record: Record, now_ms: int) -> None:
        """A record is about to change."""
        if self._lags:
            self._hold(record.id, record.copy(), now_ms)
        else:
            self._show(record.id)

    def removed(self, id_: int) -> None:
        """A record was archived or deleted: search forgets it at once."""
        self._unseen.pop(id_, None)
        self._show(id_)

    def settle(self) -> None:
        """See everything that was written so far."""
        for id_ in self._unseen:
            self._show(id_)
        self._unseen.clear()
        self._due.clear()

    def see(self, now_ms: int) -> None:
        """Come to see what was written long enough ago."""
        due = self._due
        while due and due[0][0] <= now_ms:
            _, id_ = heappop(due)
            versions = self._unseen.get(id_)
            if versions is not None:
                if len(versions) > 1:
                    self._unseen[id_] = versions[1:]
                else:
                    del self._unseen[id_]
                self._show(id_)

    def record(self, id_: int) -> Record | None:
        """A record as search sees it, None if it does not."""
        versions = self._unseen.get(id_)
        return versions[0] if versions else self._store.get(id_)

    def sorted_by(self, field: Field) -> SortedIndex:
        """The index of a property, up to date."""
        self._catch_up()
        index = self._indexes.get(field.name)
        if index is None:
            index = self._indexes[field.name] = SortedIndex(field)
            index.fill(self._seen())
        return index

    def words(self, name: str, words: Words) -> WordIndex:
        """The index of some words of the records, up to date.

        Args:
            name: what it goes by; the same name must always come with the same words.
        """
        self._catch_up()
        index = self._word_indexes.get(name)
        if index is None:
            index = self._word_indexes[name] = WordIndex(words)
            index.fill(self._seen())
        return index

    @property
    def _lags(self) -> bool:
        return self._delay_ms + self._jitter_ms > 0

    def _seen(self) -> Iterator[Record]:
        return (seen for record in self._store if (seen := self.record(record.id)) is not None)

    def _catch_up(self) -> None:
        if self._changed:
            changed = {id_: self.record(id_) for id_ in self._changed}
            self._changed.clear()
            indexes: list[SortedIndex | WordIndex] = [*self._indexes.values(), *self._word_indexes.values()]
            for index in indexes:
                index.follow(changed)

    def _hold(self, id_: int, before: Record | None, now_ms: int) -> None:
        self.see(now_ms)
        late_ms = self._rng.randint(0, self._jitter_ms) if self._jitter_ms else 0
        heappush(self._due, (now_ms + self._delay_ms + late_ms, id_))
        versions = self._unseen.get(id_)
        # Most are new records: they share one tuple.
        self._unseen[id_] = (*versions, before) if versions else _NOTHING_YET if before is None else (before,)

    def _show(self, id_: int) -> None:
        self.version += 1
        if self._indexes or self._word_indexes:
            self._changed.add(id_)
