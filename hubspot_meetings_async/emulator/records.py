"""Where the records of one object type lie: compact, in the order of their ids, with an index per unique property.

Knows storing and finding. Must not know HTTP, HubSpot's error texts or what a value must look like. A meeting with
eight short properties takes about half a KiB: its values are packed into one `bytes`, and records with the same names
share them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from heapq import merge
from itertools import groupby
from typing import Protocol

import msgspec

__all__ = ["ObjectStore", "Record", "Watcher"]

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[str]).decode

History = dict[str, list[tuple[str, int]]]
"""Property name -> (value, since Unix ms), oldest first; only for properties that were changed."""


class Record:
    """One object and which requests made it what it is."""

    __slots__ = (
        "archived_ms",
        "created_by",
        "created_ms",
        "history",
        "id",
        "names",
        "packed",
        "updated_by",
        "updated_ms",
        "writes",
    )

    def __init__(self, id_: int, names: tuple[str, ...], packed: bytes, now_ms: int, request: int) -> None:
        self.id = id_
        self.names = names
        self.packed = packed
        self.created_ms = now_ms
        self.updated_ms = now_ms
        self.archived_ms: int | None = None
        self.created_by = request
        self.updated_by = request
        self.writes = 1
        self.history: History | None = None

    def properties(self) -> dict[str, str]:
        """The stored values; HubSpot's own ones (id, dates) are not among them."""
        return dict(zip(self.names, _unpack(self.packed), strict=True))

    def value(self, name: str) -> str | None:
        """One stored value."""
        try:
            place = self.names.index(name)
        except ValueError:
            return None
        return _unpack(self.packed)[place]

    def copy(self) -> Record:
        """The record as it is now, which later changes leave alone."""
        twin = Record(self.id, self.names, self.packed, self.created_ms, self.created_by)
        twin.updated_ms, twin.updated_by = self.updated_ms, self.updated_by
        return twin


class Watcher(Protocol):
    """Somebody who has to know of every write."""

    def added(self, record: Record, now_ms: int) -> None:
        """A record came."""
        ...

    def changing(self, record: Record, now_ms: int) -> None:
        """A live record is about to change."""
        ...

    def removed(self, id_: int) -> None:
        """A record was archived, or went altogether."""
        ...


class ObjectStore:
    """The records of one object type."""

    def __init__(self, *, first_id: int) -> None:
        self.watcher: Watcher | None = None
        self.next_id = first_id
        """The id the next record gets."""
        self.changed: set[int] | None = None
        """Ids of records that came, changed or went, for whoever wants to know and empties it; None if nobody does."""
        self._records: dict[int, Record] = {}
        self._shapes: dict[tuple[str, ...], tuple[str, ...]] = {}
        # Ids of live records in order; archived ones stay as gaps until half of the list are gaps.
        self._ids = array("q")
        self._gaps = 0
        self._archived_ids = array("q")
        self._holders: dict[str, dict[str, int]] = {}
        self._archived_holders: dict[str, dict[str, int]] = {}
        self.created = 0
        self.updated = 0
        self.archived = 0

    def __len__(self) -> int:
        """Live and archived records."""
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    @property
    def in_bin(self) -> int:
        """Archived records."""
        return len(self._archived_ids)

    def make_unique(self, name: str) -> None:
        """Keep an index of this property from now on."""
        self._holders.setdefault(name, {})
        self._archived_holders.setdefault(name, {})

    def unique_names(self) -> list[str]:
        """Properties with an index."""
        return list(self._holders)

    def holder(self, name: str, value: str, *, archived: bool = False) -> int | None:
        """The id of the record that has this value in a unique property."""
        return (self._archived_holders if archived else self._holders).get(name, {}).get(value)

    def get(self, id_: int, *, archived: bool = False) -> Record | None:
        """A live record, or with `archived` an archived one."""
        record = self._records.get(id_)
        if record is None or (record.archived_ms is not None) is not archived:
            return None
        return record

    def any(self, id_: int) -> Record | None:
        """A record, live or archived."""
        return self._records.get(id_)

    def is_archived(self, id_: int) -> bool:
        """Whether a record of this id is in the bin."""
        record = self._records.get(id_)
        return record is not None and record.archived_ms is not None

    def add(self, properties: dict[str, str], *, now_ms: int, request: int, id_: int | None = None) -> Record:
        """Store a new record; the caller has seen to it that unique values are free."""
        if id_ is None:
            id_ = self.next_id
        self.next_id = max(self.next_id, id_ + 1)
        record = Record(id_, self._shape(properties), _pack(list(properties.values())), now_ms, request)
        self._records[id_] = record
        if not self._ids or id_ > self._ids[-1]:
            self._ids.append(id_)
        else:
            insort(self._ids, id_)
        for name, holders in self._holders.items():
            value = properties.get(name)
            if value:
                holders[value] = id_
        self.created += 1
        if self.changed is not None:
            self.changed.add(id_)
        if self.watcher is not None:
            self.watcher.added(record, now_ms)
        return record

    def put_back(self, record: Record) -> None:
        """Take in a record as it was before the emulator stopped; they come in the order of their ids."""
        record.names = self._shapes.setdefault(record.names, record.names)
        self._records[record.id] = record
        live = record.archived_ms is None
        (self._ids if live else self._archived_ids).append(record.id)
        for name, held in (self._holders if live else self._archived_holders).items():
            value = record.value(name)
            if value:
                held[value] = record.id

    def change(self, record: Record, changes: dict[str, str], *, keep_empty: bool, now_ms: int, request: int) -> None:
        """Overlay a record's properties; `""` clears, and stays as `""` when `keep_empty`."""
        if self.watcher is not None:
            self.watcher.changing(record, now_ms)
        properties = record.properties()
        for name, value in changes.items():
            before = properties.get(name)
            if before == value:
                continue
            self._remember(record, name, before, value, now_ms)
            self._move_holder(record, name, before, value)
            if value or keep_empty:
                properties[name] = value
            else:
                properties.pop(name, None)
        record.names = self._shape(properties)
        record.packed = _pack(list(properties.values()))
        record.updated_ms = now_ms
        record.updated_by = request
        record.writes += 1
        self.updated += 1
        if self.changed is not None:
            self.changed.add(record.id)

    def archive(self, record: Record, *, now_ms: int, request: int) -> None:
        """Put a live record into the bin; its unique values become free again."""
        record.archived_ms = now_ms
        record.updated_by = request
        insort(self._archived_ids, record.id)
        self._gaps += 1
        if self._gaps * 2 > len(self._ids):
            self._ids = array("q", (id_ for id_ in self._ids if self._records[id_].archived_ms is None))
            self._gaps = 0
        for name, holders in self._holders.items():
            value = record.value(name)
            if value and holders.get(value) == record.id:
                del holders[value]
                self._archived_holders[name][value] = record.id
        self.archived += 1
        if self.changed is not None:
            self.changed.add(record.id)
        if self.watcher is not None:
            self.watcher.removed(record.id)

    def restore(self, record: Record, *, now_ms: int, modify: bool) -> None:
        """Take an archived record out of the bin; the caller has seen to it that its unique values are free."""
        record.archived_ms = None
        if modify:
            record.updated_ms = now_ms
        del self._archived_ids[bisect_left(self._archived_ids, record.id)]
        place = bisect_left(self._ids, record.id)
        if place < len(self._ids) and self._ids[place] == record.id:
            self._gaps -= 1
        else:
            self._ids.insert(place, record.id)
        for name, holders in self._archived_holders.items():
            value = record.value(name)
            if value and holders.get(value) == record.id:
                del holders[value]
                self._holders[name][value] = record.id
        if self.changed is not None:
            self.changed.add(record.id)
        if self.watcher is not None:
            self.watcher.added(record, now_ms)

    def remove(self, record: Record) -> None:
        """Forget a record altogether, live or archived; its id is never given again."""
        ids = self._ids if record.archived_ms is None else self._archived_ids
        if record.archived_ms is not None:
            # It may still be a gap among the live ones.
            place = bisect_left(self._ids, record.id)
            if place < len(self._ids) and self._ids[place] == record.id:
                del self._ids[place]
                self._gaps -= 1
        del ids[bisect_left(ids, record.id)]
        for holders in (self._holders, self._archived_holders):
            for name, held in holders.items():
                value = record.value(name)
                if value and held.get(value) == record.id:
                    del held[value]
        del self._records[record.id]
        if self.changed is not None:
            self.changed.add(record.id)
        if self.watcher is not None:
            self.watcher.removed(record.id)

    def page(self, *, start: int, limit: int, archived: bool = False) -> tuple[list[Record], int | None]:
        """Up to `limit` records from id `start` on, in order of ids, and the id that opens the next page."""
        ids = self._archived_ids if archived else self._ids
        found: list[Record] = []
        for place in range(bisect_left(ids, start), len(ids)):
            record = self._records[ids[place]]
            if (record.archived_ms is not None) is not archived:
                continue
            if len(found) == limit:
                return found, record.id
            found.append(record)
        return found, None

    def above(self, id_: int) -> Iterator[Record]:
        """Live and archived records above an id, in order of ids."""
        # Archived ones may stand in both lists.
        ids = merge(*(ids[bisect_right(ids, id_) :] for ids in (self._ids, self._archived_ids)))
        return (self._records[unique] for unique, _ in groupby(ids) if unique in self._records)

    def _shape(self, properties: dict[str, str]) -> tuple[str, ...]:
        names = tuple(properties)
        return self._shapes.setdefault(names, names)

    def _remember(self, record: Record, name: str, before: str | None, value: str, now_ms: int) -> None:
        if record.history is None:
            record.history = {}
        versions = record.history.setdefault(name, [(before, record.created_ms)] if before is not None else [])
        versions.append((value, now_ms))

    def _move_holder(self, record: Record, name: str, before: str | None, value: str) -> None:
        holders = self._holders.get(name)
        if holders is None:
            return
        if before and holders.get(before) == record.id:
            del holders[before]
        if value:
            holders[value] = record.id
