"""Which part of an account goes into its data file when, and how it comes back.

Knows the rooms that hold an account's state, and a `DataFile`. Must not know SQL, requests or HTTP. Records and ties
say themselves what changed; whatever else there is, is small, and compared with what was written last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from .associations import OBJECT_TYPES, Kinds
from .clock import Clock, SystemClock
from .crm import Crm
from .keeping import Changes, DataFile, DataFileError
from .kept_rooms import DEFINITIONS, documents, encoded, restore
from .portal import Portal
from .quota import Quota
from .records import History, Record

__all__ = ["Keeper"]

_TRAVELLING = ("create", "update", "archive", "get", "list", "search", "batch_create", "batch_read", "batch_update")
_RECORDS_ONLY = {
    *(f"{type_.plural}.{name}" for type_ in OBJECT_TYPES for name in (*_TRAVELLING, "batch_upsert", "batch_archive")),
    *(f"associations.{name}" for name in ("list", "put", "put_default", "archive", "remove", "labels")),
    *(f"associations.batch_{name}" for name in ("create", "default", "read", "archive", "labels_archive")),
}
"""Operations after which only records, ties and the day's count can be new."""


ACCOUNT, NEXT_IDS = "account", "next_ids"
_Place = tuple[str, str]
"""The room and the key of a document."""
_Document = tuple[object, str | None]
"""What it says, and the JSON that was written for it: None for what a fresh account has anyway."""


class _KeptRecord(NamedTuple):
    names: tuple[str, ...]
    packed: bytes
    created_ms: int
    updated_ms: int
    archived_ms: int | None
    created_by: int
    updated_by: int
    writes: int
    history: History | None


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_KeptRecord).decode
_unday = msgspec.json.Decoder(tuple[int | None, int]).decode
_unkind = msgspec.json.Decoder(list[tuple[str, int]]).decode


class Keeper:
    """Keeps an account in a file, and brings it back from there.

    Args:
        clock: its lead is kept when it is a `SystemClock`.
    """

    def __init__(self, file: DataFile, portal: Portal, quota: Quota, clock: Clock) -> None:
        self._file = file
        self._portal = portal
        self._quota = quota
        self._clock = clock if isinstance(clock, SystemClock) else None
        self._starts = 1
        self._fresh: dict[_Place, str] = {}
        self._written: dict[_Place, _Document] = {}
        self._known: dict[str, Crm] = {}
        self._all = True

    def load(self) -> None:
        """Bring back what the file has, and take note of every change from now on.

        Raises: DataFileError for a file with something in it that no emulator of this version wrote.
        """
        try:
            self._bring_back()
        except (msgspec.MsgspecError, KeyError, ValueError) as error:
            self._file.close()
            raise DataFileError(
                f"the data file {self._file.path} is damaged, or from a version that kept things differently"
                f" ({type(error).__name__}: {error}); name another file"
            ) from None
        except DataFileError:
            self._file.close()
            raise
        self._portal.associations.changed = {}
        self.keep()

    def _bring_back(self) -> None:
        # A fresh account's own definitions are not written: a newer emulator may know more of them.
        self._fresh = {
            (room, key): encoded(value) for room, key, value in documents(self._portal) if room.startswith(DEFINITIONS)
        }
        found = {(room, key): body for room, key, body in self._file.documents()}
        if found:
            self._load(found)
            self._written = {place: (None, body) for place, body in found.items()}
            self._known = {crm.type.plural: crm for crm in self._portal.crms}

    def keep(self, operation: str = "") -> None:
        """Write what changed. Raises: DataFileError, and the same changes are written by the next call.

        Args:
            operation: what was done, if it was one operation; many can have changed nothing but records.
        """
        everything = self._all or operation not in _RECORDS_ONLY
        # Until it is written it has to be looked for again.
        self._all = everything
        changes = Changes()
        changed = self._changed_documents(everything)
        self._note_records(changes)
        self._note_ties(changes)
        changes.documents = [(*place, body) for place, (_, body) in changed.items() if body is not None]
        changes.gone_documents = [place for place, (_, body) in changed.items() if body is None]
        if changes != Changes():
            self._file.write(changes)
        self._settle(changed)

    def expect_more(self) -> None:
        """The next `keep()` looks at everything, whatever the operation."""
        self._all = True

    def close(self) -> None:
        """Write what is left, and let go of the file. Raises: DataFileError."""
        try:
            self.keep()
        finally:
            self._file.close()

    # what changed

    def _changed_documents(self, everything: bool) -> dict[_Place, _Document]:
        """Documents that are new, other or gone (None) since they were written."""
        changed: dict[_Place, _Document] = {}
        seen: set[_Place] = set()
        for room, key, value in self._documents(everything):
            place = (room, key)
            seen.add(place)
            before, written = self._written.get(place, (None, None))
            if _never_changes(value) and (before is value or before == value):
                continue
            body: str | None = encoded(value)
            if body == self._fresh.get(place):
                body = None
            if body == written:
                self._written[place] = value, body
            else:
                changed[place] = value, body
        if everything:
            changed.update(dict.fromkeys(self._written.keys() - seen, (None, None)))
        return changed

    def _documents(self, everything: bool) -> Iterator[tuple[str, str, object]]:
        yield ACCOUNT, "day", self._quota.day_count
        for crm in self._portal.crms:
            yield NEXT_IDS, crm.type.plural, crm.store.next_id
        if everything:
            yield ACCOUNT, "starts", self._starts
            if self._clock is not None:
                yield ACCOUNT, "clock_ahead_ms", self._clock.ahead_ms
            yield from documents(self._portal)

    def _note_records(self, changes: Changes) -> None:
        records: list[tuple[str, int, bytes]] = []
        gone: list[tuple[str, int]] = []
        emptied: list[str] = []
        for crm in self._portal.crms:
            plural, store = crm.type.plural, crm.store
            if self._known.get(plural) is not crm:
                emptied.append(plural)
                records += [(plural, record.id, _packed(record)) for record in store]
                store.changed = set()
            elif store.changed:
                for id_ in store.changed:
                    record = store.any(id_)
                    if record is None:
                        gone.append((plural, id_))
                    else:
                        records.append((plural, id_, _packed(record)))
        changes.records, changes.gone_records, changes.emptied = records, gone, emptied

    def _note_ties(self, changes: Changes) -> None:
        book = self._portal.associations
        if not book.changed:
            return
        ties: list[tuple[str, int, str, int, str]] = []
        gone: list[tuple[str, int, str, int]] = []
        for place in book.changed:
            kinds = book.between(*place)
            if kinds:
                ties.append((*place, encoded([(kind.category, kind.type_id) for kind in kinds])))
            else:
                gone.append(place)
        changes.ties, changes.gone_ties = ties, gone

    def _settle(self, changed: dict[_Place, _Document]) -> None:
        """Take note that all of it is written."""
        self._all = False
        for place, (value, body) in changed.items():
            if value is None:
                del self._written[place]
            else:
                self._written[place] = value, body
        for crm in self._portal.crms:
            self._known[crm.type.plural] = crm
            if crm.store.changed:
                crm.store.changed.clear()
        if self._portal.associations.changed:
            self._portal.associations.changed.clear()

    # what comes back

    def _load(self, found: dict[_Place, str]) -> None:
        self._starts = int(found[ACCOUNT, "starts"]) + 1
        restore(found, self._portal, seed=f"{self._starts}")
        day, used = _unday(found[ACCOUNT, "day"])
        self._quota.put_back_day(day, used)
        if self._clock is not None:
            self._clock.ahead_ms = int(found.get((ACCOUNT, "clock_ahead_ms"), "0"))
        for crm in self._portal.crms:
            crm.store.next_id = int(found[NEXT_IDS, crm.type.plural])
            self._load_records(crm)
        self._load_ties()

    def _load_records(self, crm: Crm) -> None:
        for id_, body in self._file.records(crm.type.plural):
            kept = _unpack(body)
            record = Record(id_, kept.names, kept.packed, kept.created_ms, kept.created_by)
            record.updated_ms, record.updated_by = kept.updated_ms, kept.updated_by
            record.archived_ms, record.writes, record.history = kept.archived_ms, kept.writes, kept.history
            crm.store.put_back(record)
        crm.store.changed = set()

    def _load_ties(self) -> None:
        book = self._portal.associations
        read: dict[str, Kinds] = {}  # most ties are of the same few kinds
        for from_type, from_id, to_type, to_id, text in self._file.ties():
            kinds = read.get(text)
            if kinds is None:
                known = (book.type(*named) for named in _unkind(text))
                kinds = read[text] = tuple(kind for kind in known if kind is not None)
            book.put_back(from_type, from_id, to_type, to_id, kinds)


def _packed(record: Record) -> bytes:
    return _pack(
        _KeptRecord(
            record.names,
            record.packed,
            record.created_ms,
            record.updated_ms,
            record.archived_ms,
            record.created_by,
            record.updated_by,
            record.writes,
            record.history,
        )
    )


def _never_changes(value: object) -> bool:
    return isinstance(value, int | tuple) or (isinstance(value, msgspec.Struct) and value.__struct_config__.frozen)
