"""Records on their way: one by one, and by the batch in columns.

This module knows what is remembered of a record between its source and its outcome. It must not know how inputs are
formed, HTTP, or what becomes of a record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, overload

import msgspec
from msgspec import Struct

__all__ = ["Entry", "Lot", "keys_of", "origins_of", "sent_of", "trace_ids_of"]


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


class _Body(Struct):
    inputs: list[msgspec.Raw]


_split = msgspec.json.Decoder(_Body).decode


class Lot(Sequence[Entry]):
    """Entries that were formed together, in columns: most batches live and die without anybody who asks for one entry.

    `body` is the whole request that holds them; `first` the ordinal of the first one. `keys`, `trace_ids` and `sent`
    are as in `Entry`, None where no entry has any.
    """

    __slots__ = ("_entries", "body", "first", "keys", "records", "sent", "trace_ids")

    def __init__(
        self,
        first: int,
        records: list[Any],
        body: bytes,
        *,
        keys: list[str] | None,
        trace_ids: list[str] | None,
        sent: list[dict[str, Any]] | None,
    ) -> None:
        self.first = first
        self.records = records
        self.body = body
        self.keys = keys
        self.trace_ids = trace_ids
        self.sent = sent
        self._entries: list[Entry] | None = None

    @property
    def ordinals(self) -> range:
        """Of its entries."""
        return range(self.first, self.first + len(self.records))

    @property
    def entries(self) -> list[Entry]:
        """One by one: for who looks closer at some of them."""
        if self._entries is None:
            nothing = repeat(None)
            columns = (self.keys or nothing, self.trace_ids or nothing, self.sent or nothing)
            encoded = map(bytes, _split(self.body).inputs)
            self._entries = [*map(Entry, self.ordinals, self.records, encoded, *columns)]
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


def sent_of(entries: Sequence[Entry]) -> Sequence[Mapping[str, Any]]:
    """The property values that go out, of entries that have such."""
    if isinstance(entries, Lot):
        return entries.sent or ()
    return [entry.sent or {} for entry in entries]


def origins_of(entries: Sequence[Entry]) -> tuple[Sequence[Any], Sequence[int]]:
    """The records as the source gave them, and their ordinals."""
    if isinstance(entries, Lot):
        return entries.records, entries.ordinals
    return [entry.record for entry in entries], [entry.ordinal for entry in entries]
