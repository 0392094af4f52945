"""The file that an account is kept in between two runs: SQLite, open for one emulator at a time.

Knows tables, transactions and what can be wrong with a file. Must not know what the rows mean (`keeper`).
What was written is there after the emulator was killed; after a power cut the last moments may be missing.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

__all__ = ["Changes", "DataFile", "DataFileError"]

FORMAT = 1
"""Grows when older emulators could not read the file any more."""
_APPLICATION_ID = 0x48534D45  # "HSME"
_TABLES = (
    "records (type TEXT, id INTEGER, body BLOB, PRIMARY KEY (type, id)) WITHOUT ROWID",
    "ties (from_type TEXT, from_id INT, to_type TEXT, to_id INT, kinds, UNIQUE (from_type, from_id, to_type, to_id))",
    "documents (room TEXT, key TEXT, body TEXT, PRIMARY KEY (room, key))",
)
# A changed row keeps its place: rows are read back in the order they came.
_PUT_RECORD = "INSERT INTO records VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body"
_PUT_TIE = "INSERT INTO ties VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET kinds = excluded.kinds"
_PUT_DOCUMENT = "INSERT INTO documents VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body"
_DROP_RECORD = "DELETE FROM records WHERE type = ? AND id = ?"
_DROP_TIE = "DELETE FROM ties WHERE from_type = ? AND from_id = ? AND to_type = ? AND to_id = ?"
_DROP_DOCUMENT = "DELETE FROM documents WHERE room = ? AND key = ?"

TieKey = tuple[str, int, str, int]
"""From which record to which: type and id, twice."""


class DataFileError(Exception):
    """A data file that can not be used, or not be written to; the text says what to do."""


class Changes(msgspec.Struct):
    """What one transaction writes."""

    records: Sequence[tuple[str, int, bytes]] = ()
    gone_records: Sequence[tuple[str, int]] = ()
    ties: Sequence[tuple[str, int, str, int, str]] = ()
    gone_ties: Sequence[TieKey] = ()
    documents: Sequence[tuple[str, str, str]] = ()
    gone_documents: Sequence[tuple[str, str]] = ()
    emptied: Sequence[str] = ()
    """Object types whose records all went; those in `records` came after."""


class DataFile:
    """An open data file; a new one if there is none.

    Raises: DataFileError when it can not be opened, is something else, newer, or open in another emulator.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(path)
        try:
            # One request after the other uses it, from whatever thread the emulator's loop runs in.
            self._connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise DataFileError(f"cannot open the data file {self.path}: {error}") from None
        try:
            self._open()
        except sqlite3.Error as error:
            self._connection.close()
            raise DataFileError(self._why(error)) from None
        except DataFileError:
            self._connection.close()
            raise

    def _open(self) -> None:
        run = self._connection.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        application_id, version = self._number("application_id"), self._number("user_version")
        if run("SELECT count(*) FROM sqlite_master").fetchone()[0] and application_id != _APPLICATION_ID:
            raise DataFileError(f"{self.path} is no emulator data but an SQLite file of something else; name another")
        if version > FORMAT:
            raise DataFileError(
                f"{self.path} was written by a newer emulator (format {version}, this one reads up to {FORMAT});"
                " update hubspot-meetings-async, or name another file"
            )
        # The log is not flushed at each commit: a killed emulator loses nothing, only a power cut may.
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = NORMAL")
        run("BEGIN EXCLUSIVE")
        for table in _TABLES:
            run(f"CREATE TABLE IF NOT EXISTS {table}")
        run(f"PRAGMA application_id = {_APPLICATION_ID}")
        run(f"PRAGMA user_version = {FORMAT}")
        run("COMMIT")

    def records(self, type_: str) -> Iterator[tuple[int, bytes]]:
        """The records of a type in order of their ids."""
        return self._rows("SELECT id, body FROM records WHERE type = ? ORDER BY id", type_)

    def ties(self) -> Iterator[tuple[str, int, str, int, str]]:
        """All ties in the order they came."""
        return self._rows("SELECT from_type, from_id, to_type, to_id, kinds FROM ties ORDER BY rowid")

    def documents(self) -> Iterator[tuple[str, str, str]]:
        """Everything else in the order it came: room, key, JSON."""
        return self._rows("SELECT room, key, body FROM documents ORDER BY rowid")

    def write(self, changes: Changes) -> None:
        """Write everything or nothing. Raises: DataFileError."""
        connection = self._connection
        many = connection.executemany
        try:
            connection.execute("BEGIN")
            many("DELETE FROM records WHERE type = ?", [(type_,) for type_ in changes.emptied])
            many(_PUT_RECORD, changes.records)
            many(_DROP_RECORD, changes.gone_records)
            many(_PUT_TIE, changes.ties)
            many(_DROP_TIE, changes.gone_ties)
            many(_PUT_DOCUMENT, changes.documents)
            many(_DROP_DOCUMENT, changes.gone_documents)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise DataFileError(
                f"cannot write to the data file {self.path}: {error}. The emulator goes on, and writes what is missing"
                " with the next request that succeeds; what it can not write is lost when it ends"
            ) from None

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _rows(self, query: str, *parameters: str) -> Iterator[Any]:
        try:
            yield from self._connection.execute(query, parameters)
        except sqlite3.Error as error:
            raise DataFileError(self._why(error)) from None

    def _number(self, pragma: str) -> int:
        return int(self._connection.execute(f"PRAGMA {pragma}").fetchone()[0])

    def _why(self, error: sqlite3.Error) -> str:
        text = str(error)
        if "locked" in text:
            return f"another emulator has the data file {self.path} open; stop it, or name another file"
        if "not a database" in text:
            return f"{self.path} is no emulator data; name another file"
        return f"cannot use the data file {self.path}: {text}"
