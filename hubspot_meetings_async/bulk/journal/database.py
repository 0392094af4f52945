"""The journal's file: a SQLite database that is filled, written, read, marked and closed; every call blocks.

This module knows SQLite, the two tables and the mark of a clean close. It must not know event loops, threads, what a
row says, HTTP or HubSpot.

The mark is `user_version` in the header of the main file: the format's number, negative while a run has the file open.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from ...errors import JournalDamagedError, JournalError, JournalLockedError
from .claim import APPLICATION_ID, FORMAT, LOCKED, Identity, claim, create, identity_of, release, told

__all__ = ["MOST_ROWS", "Database", "Row"]

MOST_ROWS = 300
"""Rows of one `write`: three values each, below the 999 that the smallest builds of SQLite bind."""

LOOK_S = 5.0
"""Seconds after which a write looks again whether the file is still at its path."""

Row = tuple[int, bytes, bytes | None]
"""`(kind, data, body)`."""

_PAGE_ROWS = 512


class Database:
    """One open journal: made if there was none, locked against every other opener, marked as not cleanly closed.

    `meta` is what the first opener wrote, `resumed` is True unless this one is the first. `power` asks for rows that
    survive the loss of power, not only of the process.

    Raises: JournalLockedError, JournalDamagedError, JournalVersionError, each with the file as it was; JournalError
    when the file can not be made or written.
    """

    def __init__(self, path: str, meta: Mapping[str, str], *, power: bool) -> None:
        self.path = path
        self.pid = os.getpid()
        self._power = power
        self._held = True
        self._using = threading.Lock()
        self._claim = claim(path)
        self._wal_path = f"{path}-wal"
        self._needs_wal = os.path.lexists(self._wal_path)
        try:
            self._connection = _connected(path)
        except BaseException:
            release(self._claim)
            raise
        _open.add(self)
        try:
            self._begin(meta)
        except sqlite3.Error as error:
            self.leave()
            raise told(path, "opened", error) from error
        except BaseException:
            self.leave()
            raise

    def _begin(self, meta: Mapping[str, str]) -> None:
        run = self._connection.execute
        run("PRAGMA locking_mode=EXCLUSIVE")
        run("PRAGMA synchronous=FULL")
        if self._power:
            # Where the system's fsync stops at the disk's cache (macOS); nothing elsewhere.
            run("PRAGMA fullfsync=1")
            run("PRAGMA checkpoint_fullfsync=1")
        run("BEGIN EXCLUSIVE")
        self.resumed = self._has_tables()
        if not self.resumed:
            self._fill(meta)
        run("COMMIT")
        if run("PRAGMA journal_mode=WAL").fetchone() != ("wal",):
            raise JournalError(f"the journal {self.path} can not be kept safe on this file system; use a local disk")
        self.meta: Mapping[str, str] = dict(run("SELECT k, v FROM meta"))
        self._last: int = run("SELECT coalesce(max(seq), 0) FROM log").fetchone()[0]
        # In the main file before the first row: from here on a missing -wal file means missing rows.
        self._needs_wal = True
        run(f"PRAGMA user_version={-FORMAT}")
        self._checkpoint()
        if not self._power:
            run("PRAGMA synchronous=NORMAL")
        self._wal = identity_of(os.lstat(self._wal_path))
        self._looked_at = time.monotonic()

    def _has_tables(self) -> bool:
        names = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if names and not names >= {"meta", "log"}:
            raise JournalDamagedError(f"the journal {self.path} has lost its tables; restore it from a copy")
        return bool(names)

    def _fill(self, meta: Mapping[str, str]) -> None:
        run = self._connection.execute
        run(f"PRAGMA application_id={APPLICATION_ID}")
        run(f"PRAGMA user_version={FORMAT}")
        run("CREATE TABLE meta (k TEXT PRIMARY KEY, v TEXT NOT NULL)")
        # No index but the order of writing: it would halve the rate of writing for the sake of a resume.
        run("CREATE TABLE log (seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, data BLOB NOT NULL, body BLOB)")
        rows = {**meta, "format": str(FORMAT)}
        self._connection.executemany("INSERT INTO meta (k, v) VALUES (?, ?)", rows.items())

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """`(kind, data)` of every row that was there when the file was opened, in the order of writing.

        Raises: JournalDamagedError when one is missing; JournalError when the file can not be read.
        """
        seq = 0
        while seq < self._last:
            # Page by page: an open cursor would keep the -wal file from being emptied.
            try:
                with self._using:
                    page = self._connection.execute(
                        "SELECT seq, kind, data FROM log WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
                        (seq, self._last, _PAGE_ROWS),
                    ).fetchall()
            except sqlite3.Error as error:
                raise told(self.path, "read", error) from error
            if not page or page[-1][0] != seq + len(page):
                raise JournalDamagedError(f"the journal {self.path} lacks rows after row {seq}; restore it from a copy")
            seq = page[-1][0]
            for _, kind, data in page:
                yield kind, data

    def write(self, rows: Sequence[Row]) -> None:
        """Add up to `MOST_ROWS` rows in one transaction: all of them or none.

        After an error nothing more may be written: `leave` the file. Raises: JournalError.
        """
        if time.monotonic() - self._looked_at >= LOOK_S:
            self._looked_at = time.monotonic()
            self._need_place()
            self._need_wal()
        values = [value for row in rows for value in row]
        try:
            with self._using:
                self._connection.execute(_insert(len(rows)), values)
        except sqlite3.Error as error:
            raise told(self.path, "written", error) from error

    def close(self) -> None:
        """Bring every row into the main file, mark it as cleanly closed and let go of it.

        Does nothing when it was let go of before. Raises: JournalError; the file is let go of as `leave` does.
        """
        if not self._held:
            return
        try:
            self._need_place()
            with self._using:
                self._connection.execute("PRAGMA synchronous=FULL")
                self._checkpoint()
                # Only now: a file marked as clean must not need its -wal file.
                self._connection.execute(f"PRAGMA user_version={FORMAT}")
                self._checkpoint()
                self._connection.close()
                self._held = False
        except sqlite3.Error as error:
            self.leave()
            raise told(self.path, "closed", error) from error
        except BaseException:
            self.leave()
            raise
        release(self._claim)

    def leave(self) -> None:
        """Let go of the file as a crash would: write nothing, sync nothing, keep the `-wal` file.

        Does nothing when it was let go of before, and in a process forked from the one that opened it.
        """
        if os.getpid() != self.pid:
            return
        with self._using:
            if not self._held:
                return
            self._held = False
            # SQLite's own closing copies the -wal file into the main file, syncs both and removes it. Without syncs,
            # and interrupted before the first page, it leaves everything where it is.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA synchronous=OFF")
            self._connection.interrupt()
            self._connection.close()
            if self._needs_wal and not os.path.lexists(self._wal_path) and _is_at(self.path, self._claim):
                # There was nothing left to copy. The main file is not marked as clean, so it needs its empty -wal file.
                with contextlib.suppress(OSError):
                    create(self._wal_path)
        release(self._claim)

    def keep_after_fork(self) -> None:
        """Never let the connection go in this process, which has a copy of it: the parent's files would suffer."""
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))

    def _checkpoint(self) -> None:
        busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise JournalLockedError(LOCKED.format(path=self.path))

    def _need_place(self) -> None:
        if not _is_at(self.path, self._claim):
            raise JournalError(
                f"the journal {self.path} was removed or replaced while the run had it open; what was written since "
                "may be lost: put it back, or treat the batches that were under way as ambiguous"
            )

    def _need_wal(self) -> None:
        if not _is_at(self._wal_path, self._wal):
            # What it held is still at hand, and goes where the next run finds it.
            self.close()
            raise JournalError(
                f"{self._wal_path} was removed or replaced while the run had the journal open; no row is lost: leave "
                "that file alone and run the same job again with this journal"
            )


def _is_at(path: str, wanted: Identity) -> bool:
    try:
        return identity_of(os.lstat(path)) == wanted
    except OSError:
        return False


_open: weakref.WeakSet[Database] = weakref.WeakSet()


def _after_fork() -> None:
    # A child that ends in order frees what it has. SQLite would then take the copy for the last connection, and remove
    # the -wal file the parent is writing to.
    for database in _open:
        database.keep_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def _insert(rows: int) -> str:
    return f"INSERT INTO log (kind, data, body) VALUES {','.join(['(?,?,?)'] * rows)}"  # noqa: S608 - no value in it


def _connected(path: str) -> sqlite3.Connection:
    # `mode=rw`: never made here, where the permissions would be SQLite's choice. `timeout=0`: locked is told at once.
    uri = f"file:{quote(os.fsencode(path))}?mode=rw"
    try:
        return sqlite3.connect(
            uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=MOST_ROWS + 20
        )
    except sqlite3.Error as error:
        raise told(path, "opened", error) from error
