"""A copy in a SQLite file: a table of meetings with typed columns, and one of their associations.

This module knows SQLite's types and the tables. It must not know requests or other stores.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Final, Self

import msgspec
from anyio import CancelScope, to_thread

from ..errors import StoreError
from ..models import Meeting, PlainProperties
from ..sync import Change
from .columns import Kept, Kind
from .copy_file import CopyFile
from .store import Newest, Written, linked
from .tables import ASSOCIATIONS, MEETINGS, added, create_meetings, links, upsert
from .values import Reader, Shape, boolean, integer_or_float, iso, iso_day, iso_moment

__all__ = ["SQLiteStore"]

_APPLICATION_ID: Final = 0x486D4370

_RECORD: Final = ("INTEGER PRIMARY KEY", "DATETIME", "DATETIME", "BOOLEAN NOT NULL", "DATETIME", "TEXT")

_TYPES: Final[Mapping[Kind, str]] = {
    "text": "TEXT",
    "datetime": "DATETIME",
    "date": "DATE",
    "number": "NUMERIC",
    "bool": "BOOLEAN",
}
_READERS: Final[Mapping[Kind, Reader]] = {
    "datetime": iso_moment,
    "date": iso_day,
    "number": integer_or_float,
    "bool": boolean,
}

_ASKED_AT_ONCE: Final = 500
"""Numbers in one question: the smallest builds of SQLite take 999."""


class SQLiteStore:
    """A copy in a SQLite file, made if it is not there.

        async with SQLiteStore("meetings.db") as store:
            await pull(hubspot, store)

    Tables: `meetings` (a row for each, `id` the key), `meeting_associations` (`meeting_id`, `object_type`, `object_id`,
    `type`) and `meeting_copy` (what the copy is of, and its cursor). Moments are texts such as
    `2026-05-14T12:30:00.000Z`, which sort and which SQLite's date functions take. Changes and cursor are written in one
    transaction; programs may read at any time.

    Raises: as `Store` does.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._file: CopyFile | None = None
        self._shape = Shape((), _READERS)
        self._upsert = ""

    def __str__(self) -> str:
        return os.fspath(self._path)

    @property
    def kept(self) -> Kept | None:
        """What the copy is of; None for one that has yet to be begun."""
        return self._open.kept

    @property
    def cursor(self) -> str | None:
        """Where the sync that fills it got to."""
        return self._open.cursor

    async def __aenter__(self) -> Self:
        self._file = await to_thread.run_sync(partial(CopyFile, self._path, application_id=_APPLICATION_ID))
        self._prepare()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        file, self._file = self._file, None
        if file is not None:
            with CancelScope(shield=True):
                await to_thread.run_sync(file.close)

    async def keep(self, kept: Kept, *, cursor: str | None) -> None:
        """Begin the copy, or add the columns that `kept` has more than before."""
        await to_thread.run_sync(self._keep, kept, cursor)
        self._prepare()

    async def write(self, changes: Sequence[Change[PlainProperties]], cursor: str) -> Written:
        """Write changes and the cursor behind them in one transaction."""
        return await to_thread.run_sync(self._write, changes, cursor)

    async def publish(self) -> Counter[str]:
        """Nothing to do: what is written is there."""
        return Counter()

    @property
    def _open(self) -> CopyFile:
        if self._file is None:
            raise StoreError(f"{self} is not open: use it within `async with`")
        return self._file

    def _prepare(self) -> None:
        kept = self._open.kept
        if kept is not None:
            self._shape = Shape(kept.columns, _READERS)
            self._upsert = upsert(kept.columns, "?" * (len(_RECORD) + len(kept.columns)))

    def _keep(self, kept: Kept, cursor: str | None) -> None:
        file = self._open
        with file.writing() as connection:
            if file.kept is None:
                file.begin()
                connection.execute(create_meetings(_RECORD, kept, _TYPES))
                connection.execute(
                    f"CREATE TABLE {ASSOCIATIONS} (meeting_id INTEGER NOT NULL, object_type TEXT NOT NULL, "
                    "object_id INTEGER NOT NULL, type TEXT NOT NULL, "
                    "PRIMARY KEY (meeting_id, object_type, object_id, type)) WITHOUT ROWID"
                )
                connection.execute(
                    f"CREATE INDEX {ASSOCIATIONS}_by_object ON {ASSOCIATIONS} (object_type, object_id, meeting_id)"
                )
            else:
                for statement in added(kept, file.kept, _TYPES):
                    connection.execute(statement)
            file.note(kept, cursor)
        file.noted(kept, cursor)

    def _write(self, changes: Sequence[Change[PlainProperties]], cursor: str) -> Written:
        file = self._open
        if file.kept is None:
            raise StoreError(f"{self} has not been begun: `keep` comes before `write`")
        newest = Newest(changes)
        unfit: Counter[str] = Counter()
        with file.writing() as connection:
            for number, version in self._versions(newest.numbers):
                updated_at = newest.meetings[number].updated_at
                if version is not None and (updated_at is None or version > iso(updated_at)):
                    newest.pass_over(number)
            numbers = newest.numbers
            connection.executemany(
                self._upsert, [self._row(number, newest.meetings[number], unfit) for number in numbers]
            )
            if file.kept.associations:
                told = [number for number in numbers if linked(newest.meetings[number])]
                connection.executemany(f"DELETE FROM {ASSOCIATIONS} WHERE meeting_id = ?", [(n,) for n in told])  # noqa: S608
                connection.executemany(
                    f"INSERT OR IGNORE INTO {ASSOCIATIONS} VALUES (?, ?, ?, ?)",  # noqa: S608
                    [link for number in told for link in links(number, newest.meetings[number])],
                )
            gone = [(number,) for number in newest.merged]
            dropped = connection.executemany(f"DELETE FROM {MEETINGS} WHERE id = ?", gone).rowcount if gone else 0  # noqa: S608
            connection.executemany(f"DELETE FROM {ASSOCIATIONS} WHERE meeting_id = ?", gone)  # noqa: S608
            file.note(file.kept, cursor)
        file.noted(file.kept, cursor)
        return newest.written(unfit, dropped)

    def _versions(self, numbers: Sequence[int]) -> list[tuple[int, str | None]]:
        found: list[tuple[int, str | None]] = []
        for start in range(0, len(numbers), _ASKED_AT_ONCE):
            some = numbers[start : start + _ASKED_AT_ONCE]
            with self._open.reading() as connection:
                found += connection.execute(
                    f"SELECT id, updated_at FROM {MEETINGS} WHERE id IN ({','.join('?' * len(some))})",  # noqa: S608
                    some,
                )
        return found

    def _row(self, number: int, meeting: Meeting, unfit: Counter[str]) -> list[object]:
        values, odd = self._shape.row(meeting.properties)
        if odd:
            unfit.update(odd.keys())
        created, updated, archived = meeting.created_at, meeting.updated_at, meeting.archived_at
        return [
            number,
            iso(created) if created is not None else None,
            iso(updated) if updated is not None else None,
            meeting.archived,
            iso(archived) if archived is not None else None,
            msgspec.json.encode(odd).decode() if odd else None,
            *values,
        ]
