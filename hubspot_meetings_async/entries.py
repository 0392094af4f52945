"""Records on their way: one by one, and by the batch in columns.

This module knows what is remembered of a record between its source and its outcome. It must not know how inputs are
formed, HTTP, or what becomes of a record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, Final, Generic, TypeVar, overload

import msgspec
from msgspec import Struct

__all__ = ["Entry", "Lot", "Telling", "keys_of", "origins_of", "trace_ids", "trace_ids_of"]


T = TypeVar("T")


class Entry(Struct):
    """One record on its way: what the source gave, and what it became on the wire.

    `key` is what must not be in flight twice (the id or unique value; None for creates). `sent` are the property
    values as they go out.
    """

    ordinal: int
    record: Any
    encoded: bytes
    key: str | None
    trace_id: str | None
    sent: Mapping[str, Any] | None

    @property
    def content(self) -> bytes:
        """The input as JSON, without its trace id: alike for records that are alike."""
        return self.encoded.rpartition(b',"objectWriteTraceId":')[0] or self.encoded


class Telling(Struct, gc=False):
    """What tells the results of some records apart: a property, or None for the id; and its value for each record.

    No two of the values are the same.
    """

    name: str | None
    values: list[Any]


class _Input(Struct):
    properties: dict[str, Any] | None = None


class _Body(Struct, Generic[T]):
    inputs: list[T]


_split = msgspec.json.Decoder(_Body[msgspec.Raw]).decode
_read = msgspec.json.Decoder(_Body[_Input]).decode


class Lot(Sequence[Entry]):
    """Entries that were formed together, in columns: most batches live and die without anybody who asks for one entry.

    `body` is the whole request that holds them; `first` the ordinal of the first one; `keys` as in `Entry`, None where
    no entry has any. Their trace ids, where they have some, are `trace_prefix` and the place in the lot. `tells` is
    what their results are told apart by. All else is read out of the body, should somebody ask.
    """

    __slots__ = ("_entries", "body", "first", "keys", "records", "tells", "trace_prefix")

    def __init__(
        self,
        first: int,
        records: list[Any],
        body: bytes,
        *,
        keys: list[str] | None,
        trace_prefix: str | None,
        tells: Telling | None,
    ) -> None:
        self.first = first
        self.records = records
        self.body = body
        self.keys = keys
        self.trace_prefix = trace_prefix
        self.tells = tells
        self._entries: list[Entry] | None = None

    @property
    def ordinals(self) -> range:
        """Of its entries."""
        return range(self.first, self.first + len(self.records))

    @property
    def trace_ids(self) -> list[str] | None:
        """Of its entries."""
        return None if self.trace_prefix is None else trace_ids(self.trace_prefix, len(self.records))

    @property
    def entries(self) -> list[Entry]:
        """One by one: for who looks closer at some of them."""
        if self._entries is None:
            encoded = map(bytes, _split(self.body).inputs)
            sent = [each.properties for each in _read(self.body).inputs]
            keys, trace_ids = self.keys or repeat(None), self.trace_ids or repeat(None)
            self._entries = [*map(Entry, self.ordinals, self.records, encoded, keys, trace_ids, sent)]
        return self._entries

    def __len__(self) -> int:
        return len(self.records)

    @overload
    def __getitem__(self, place: int) -> Entry: ...
    @overload
    def __getitem__(self, place: slice) -> list[Entry]: ...
    def __getitem__(self, place: int | slice) -> Entry | list[Entry]:
        return self.entries[place]

    def __repr__(self) -> str:
        return f"<Lot of {len(self.records)} from {self.first}>"


_PLACES: Final = ",".join(f"@{place:02}" for place in range(100))


def trace_ids(prefix: str, count: int) -> list[str]:
    """Of as many entries, 100 at most: for a quarter of what it costs to format each."""
    return _PLACES.replace("@", prefix).split(",")[:count]


def keys_of(entries: Sequence[Entry]) -> list[str] | None:
    """Their keys; None where they have none."""
    if isinstance(entries, Lot):
        return entries.keys
    keys = [entry.key for entry in entries if entry.key is not None]
    return keys or None


def trace_ids_of(entries: Sequence[Entry]) -> list[str | None]:
    """Their trace ids."""
    if isinstance(entries, Lot):
        return [*(entries.trace_ids or repeat(None, len(entries)))]
    return [entry.trace_id for entry in entries]


def origins_of(entries: Sequence[Entry]) -> tuple[Sequence[Any], Sequence[int]]:
    """The records as the source gave them, and their ordinals."""
    if isinstance(entries, Lot):
        return entries.records, entries.ordinals
    return [entry.record for entry in entries], [entry.ordinal for entry in entries]
