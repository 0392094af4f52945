"""A SQLite file that holds a copy, whatever its tables: opened, checked, and written in one step or not at all.

This module knows SQLite, the table that says what the copy is of, and whose file it is. It must not know meetings,
event loops or threads; every call blocks.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ..errors import ConfigurationError, StoreError
from .columns import Kept, kept_of
from .files import OURS_ALONE, place_of
from .tables import COPY
from .values import iso

__all__ = ["CopyFile"]

_MAGIC: Final = b"SQLite format 3\0"
_WAL_PAGES: Final = 8_000
"""32 MB. Changes come in the order of time, all over the table: the more of them are brought home together, the fewer
pages are written twice."""

_WAIT_S: Final = 30.0
"""How long another program may keep the file locked."""


class CopyFile:
    """An open file of the kind that `application_id` tells. A new one that nothing was kept in goes when it is closed.

    Raises: ConfigurationError when the file is something else, or can not be there; StoreError when it can not be read.
    """

    def __init__(self, path: str | os.PathLike[str], *, application_id: int) -> None:
        self.path: Path = place_of(path)
        self._application_id = application_id
        self._made = _touched(self.path)
        self._identity = _identity(self.path)
        self._wal = False
        self.kept: Kept | None = None
        self.cursor: str | None = None
        self.revision = 0
        try:
            self._connection = sqlite3.connect(
                f"file:{quote(os.fsencode(self.path))}?mode=rw",
                uri=True,
                timeout=_WAIT_S,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                self._read()
            except BaseException:
                self._connection.close()
                raise
        except sqlite3.Error as error:
            raise self._told("opened", error) from error

    def _read(self) -> None:
        run = self._connection.execute
        tables = {name for (name,) in run("SELECT name FROM sqlite_master WHERE type = 'table'")}
        (number,) = run("PRAGMA application_id").fetchone()
        if tables and (number != self._application_id or COPY not in tables):
            raise _not_ours(self.path)
        if not tables:
            # Told to SQLite before the first page is written.
            run(f"PRAGMA application_id = {self._application_id}")
        # A crash of the machine can take the last writes, never a part of one: the cursor goes with its meetings.
        run(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
        self._wal = run("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
        self.sync_writes(False)
        if tables:
            kept, self.cursor, self.revision = run(f"SELECT kept, cursor, revision FROM {COPY}").fetchone()  # noqa: S608
            self.kept = kept_of(kept, str(self.path))

    @contextlib.contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """The connection within a transaction that is undone by any error. Raises: StoreError."""
        try:
            self._need_place()
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._need_own_revision()
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._told("written", error) from error

    @contextlib.contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """The connection, to read from. Raises: StoreError."""
        try:
            yield self._connection
        except sqlite3.Error as error:
            raise self._told("read", error) from error

    def begin(self) -> None:
        """Make the table that says what the copy is of; within `writing`."""
        self._connection.execute(
            f"CREATE TABLE {COPY} (one INTEGER PRIMARY KEY CHECK (one = 1), kept TEXT NOT NULL, cursor TEXT, "
            "revision INTEGER NOT NULL, written_at TEXT NOT NULL)"
        )
        self._connection.execute(f"INSERT INTO {COPY} VALUES (1, '', NULL, 0, '')")  # noqa: S608

    def note(self, kept: Kept, cursor: str | None) -> None:
        """Write down what the copy is of and where the sync is; within `writing`, as its last step."""
        self._connection.execute(
            f"UPDATE {COPY} SET cursor = ?, revision = ?, written_at = ?",  # noqa: S608
            (cursor, self.revision + 1, iso(datetime.now(UTC))),
        )
        if kept is not self.kept:
            self._connection.execute(f"UPDATE {COPY} SET kept = ?", (kept.to_json(),))  # noqa: S608

    def noted(self, kept: Kept, cursor: str | None) -> None:
        """Take what was written down for what is; after `writing`."""
        self.kept, self.cursor, self.revision = kept, cursor, self.revision + 1

    def close(self) -> None:
        """Let go of the file."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        if self._made and self.kept is None:
            self.path.unlink(missing_ok=True)

    def sync_writes(self, now: bool) -> None:
        """Whether a write is on the disk when it returns, and all before it, or soon after."""
        self._connection.execute(f"PRAGMA synchronous = {'FULL' if now or not self._wal else 'NORMAL'}")

    def _need_place(self) -> None:
        if _identity(self.path) != self._identity:
            raise StoreError(f"{self.path} was removed or replaced while it was open; pull again")

    def _need_own_revision(self) -> None:
        if self.kept is None:
            return
        (revision,) = self._connection.execute(f"SELECT revision FROM {COPY}").fetchone()  # noqa: S608
        if revision != self.revision:
            raise StoreError(f"another pull writes to {self.path}; let only one of them run")

    def _told(self, done: str, error: sqlite3.Error) -> StoreError:
        words = str(error)
        hint = {
            "database is locked": "another program has it open for writing; end that one and pull again",
            "database or disk is full": "make room and pull again",
        }.get(words, "mend the cause and pull again" if done == "written" else "restore it, or pull into a new copy")
        return StoreError(f"{self.path} can not be {done} ({words}); {hint}")


def _touched(path: Path) -> bool:
    """Make the file if there is none; True if so. Raises: ConfigurationError."""
    try:
        if path.exists():
            with path.open("rb") as file:
                if file.read(len(_MAGIC)) not in (b"", _MAGIC):
                    raise _not_ours(path)
            return False
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, OURS_ALONE))
    except OSError as error:
        raise ConfigurationError(f"{path} can not be a copy: {error.strerror}") from None
    return True


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _not_ours(path: Path) -> ConfigurationError:
    return ConfigurationError(f"{path} is no copy that a pull made; name another file, or move this one away")
