"""The journal's file: a SQLite database that is claimed, judged, made, written and closed; every call blocks.

This module knows SQLite, the two tables, the mark of a clean close and what each kind of damage looks like. It must not
know event loops, threads, what a row says, HTTP or HubSpot.

The mark is `user_version` in the header of the main file: the format's number, negative while a run has the file
open. Like `application_id` it lies in the first 100 bytes, so that a file is judged without SQLite, which would already
change what it opens (play back a `-wal` file, or make one that is missing).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import sqlite3
import stat
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from ...errors import JournalDamagedError, JournalError, JournalLockedError, JournalVersionError

if sys.platform != "win32":
    import fcntl

__all__ = ["FORMAT", "MOST_ROWS", "Database", "Row"]

FORMAT = 1
"""The tables and rows this library writes. A file with a higher number is refused."""

MOST_ROWS = 300
"""Rows of one `write`: three values each, below the 999 that the smallest builds of SQLite bind."""

LOOK_S = 5.0
"""Seconds after which a write looks again whether the file is still at its path."""

Row = tuple[int, bytes, bytes | None]
"""`(kind, data, body)`."""

_MAGIC = b"SQLite format 3\0"
_APPLICATION_ID = 0x484D524A
"""`HMRJ`; where `file` and SQLite tell one program's databases from another's."""
_PAGE_ROWS = 512
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
# SQLite's lock bytes, part of its file format: pending, reserved, and 510 shared ones.
_LOCKS_AT = 0x40000000
_LOCKS = 512

_log = logging.getLogger("hubspot_meetings_async")

_Identity = tuple[int, int]
_claiming = threading.Lock()
_claimed: set[_Identity] = set()
"""Files this process has open. To open and close one a second time, even to read it, would drop SQLite's lock on it."""


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
        self._claim = _claim(path)
        try:
            self._connection = _connected(path)
        except BaseException:
            _claimed.discard(self._claim)
            raise
        _open.add(self)
        try:
            self._begin(meta)
        except sqlite3.Error as error:
            self.leave()
            raise _told(path, "opened", error) from error
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
        run(f"PRAGMA user_version={-FORMAT}")
        self._checkpoint()
        if not self._power:
            run("PRAGMA synchronous=NORMAL")
        self._seen = self._look()
        self._looked_at = time.monotonic()

    def _has_tables(self) -> bool:
        names = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if names and not names >= {"meta", "log"}:
            raise JournalDamagedError(f"the journal {self.path} has lost its tables; restore it from a copy")
        return bool(names)

    def _fill(self, meta: Mapping[str, str]) -> None:
        run = self._connection.execute
        run(f"PRAGMA application_id={_APPLICATION_ID}")
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
                raise _told(self.path, "read", error) from error
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
            self._still_there()
        values = [value for row in rows for value in row]
        try:
            with self._using:
                self._connection.execute(_insert(len(rows)), values)
        except sqlite3.Error as error:
            raise _told(self.path, "written", error) from error

    def close(self) -> None:
        """Bring every row into the main file, mark it as cleanly closed and let go of it.

        Does nothing when it was let go of before. Raises: JournalError; the file is let go of as `leave` does.
        """
        if not self._held:
            return
        try:
            self._still_there()
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
            raise _told(self.path, "closed", error) from error
        except BaseException:
            self.leave()
            raise
        _claimed.discard(self._claim)

    def leave(self) -> None:
        """Let go of the file as a crash would: write nothing, sync nothing, keep the `-wal` file.

        Does nothing when it was let go of before, and in a process forked from the one that opened it.
        """
        if os.getpid() != self.pid:
            return
        wal = f"{self.path}-wal"
        with self._using:
            if not self._held:
                return
            self._held = False
            had_wal = os.path.lexists(wal)
            if had_wal:
                # SQLite's own closing copies the -wal file into the main file, syncs both and removes it. Without
                # syncs, and interrupted before the first page, it leaves everything where it is.
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("PRAGMA synchronous=OFF")
                    self._connection.interrupt()
            self._connection.close()
            if had_wal and not os.path.lexists(wal):
                # There was nothing left to copy. The main file is not marked as clean, so it needs its empty -wal file.
                with contextlib.suppress(OSError):
                    _create(wal)
        # Without `_claiming`: a finalizer may come here in a thread that holds it.
        _claimed.discard(self._claim)

    def keep_after_fork(self) -> None:
        """Never let the connection go in this process, which has a copy of it: the parent's files would suffer."""
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))

    def _checkpoint(self) -> None:
        busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise JournalLockedError(_LOCKED.format(path=self.path))

    def _look(self) -> list[_Identity]:
        return [_identity(os.lstat(name)) for name in (self.path, f"{self.path}-wal")]

    def _still_there(self) -> None:
        self._looked_at = time.monotonic()
        try:
            there = self._look() == self._seen
        except OSError:
            there = False
        if not there:
            raise JournalError(
                f"the journal {self.path} or its -wal file was removed or replaced while the run had it open; what was "
                "written since may be lost: start again with a copy of it, or treat what is not known as ambiguous"
            )


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
        raise _told(path, "opened", error) from error


def _claim(path: str) -> _Identity:
    """The identity of the file at `path`, made empty if there was none, judged fit to be opened, and ours alone."""
    with _claiming:
        try:
            return _made(path) or _found(path)
        except OSError as error:
            raise _told(path, "opened", error) from error


def _made(path: str) -> _Identity | None:
    left = [name for name in (f"{path}-wal", f"{path}-journal") if os.path.lexists(name)]
    if left and not os.path.lexists(path):
        raise JournalDamagedError(
            f"the journal {path} is gone, but {' and '.join(left)} of it is still there; put the journal back, or "
            "remove that too to start anew"
        )
    try:
        identity = _create(path)
    except FileExistsError:
        return None
    _claimed.add(identity)
    return identity


def _create(path: str) -> _Identity:
    """An empty file that only its owner can read, and its name safe on disk; never one that is there, never a link."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW, 0o600)
    try:
        identity = _identity(os.fstat(file))
    finally:
        os.close(file)
    if sys.platform != "win32":
        folder = os.open(os.path.dirname(path), os.O_RDONLY)
        try:
            os.fsync(folder)
        except OSError as error:
            # Some network file systems sync names on their own and refuse to be told.
            if error.errno != errno.EINVAL:
                raise
        finally:
            os.close(folder)
    return identity


def _found(path: str) -> _Identity:
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        raise JournalError(f"the journal {path} is a symbolic link, which is never followed; name the file itself")
    if not stat.S_ISREG(status.st_mode):
        raise JournalError(f"the journal {path} is not a file; name a file, it is made if it is not there")
    identity = _identity(status)
    if identity in _claimed:
        raise JournalLockedError(_LOCKED.format(path=path))
    with open(path, "r+b", buffering=0, opener=lambda name, flags: os.open(name, flags | _NOFOLLOW)) as file:
        _lock(path, file.fileno())
        _judge(path, file.read(100))
    if status.st_mode & 0o077 and sys.platform != "win32":
        _log.warning(
            "the journal %s can be opened by other users of this machine (mode %04o); `chmod 600` it",
            path,
            stat.S_IMODE(status.st_mode),
        )
    _claimed.add(identity)
    return identity


def _lock(path: str, file: int) -> None:
    """Make sure that nobody else has it open, who could be changing what is judged; until `file` is closed."""
    if sys.platform != "win32":
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCKS, _LOCKS_AT)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise JournalLockedError(_LOCKED.format(path=path)) from None
            raise


def _judge(path: str, head: bytes) -> None:
    has_wal = os.path.lexists(f"{path}-wal")
    never_filled = not head or (not head.strip(b"\0") and os.path.lexists(f"{path}-journal"))
    if never_filled and not has_wal:
        # A process that died while it made the file; SQLite takes back what is half done.
        return
    if never_filled:
        raise JournalDamagedError(f"the journal {path} is empty, but {path}-wal is not of an empty one; restore it")
    if head[:16] != _MAGIC or int.from_bytes(head[68:72], "big") != _APPLICATION_ID:
        raise JournalDamagedError(f"{path} is no journal of this library; it was not touched. Give another path")
    version = int.from_bytes(head[60:64], "big", signed=True)
    if version == 0:
        raise JournalDamagedError(f"the journal {path} has lost its format; restore it from a copy")
    if abs(version) > FORMAT:
        raise JournalVersionError(
            f"the journal {path} has format {abs(version)}, this library knows up to {FORMAT}; update the library"
        )
    if version < 0 and not has_wal:
        raise JournalDamagedError(
            f"the journal {path} was not closed, and its last rows, in {path}-wal, are missing; put that file back. "
            "To go on without it could send records twice"
        )


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


_LOCKED = "the journal {path} is open in another run; wait until that ends, or give this job a journal of its own"


def _told(path: str, verb: str, error: sqlite3.Error | OSError) -> JournalError:
    """What SQLite or the system said, and what to do about it."""
    folder = os.path.dirname(path)
    failed = f"the journal {path} could not be {verb}"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return JournalLockedError(_LOCKED.format(path=path))
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return JournalDamagedError(f"{failed}: {error}; restore it from a copy")
    if code == sqlite3.SQLITE_FULL or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
        return JournalError(f"{failed}: the disk is full; free space in {folder} and run the same job again with it")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return JournalError(f"{failed}: there is no folder {folder}; make it first")
    if isinstance(error, PermissionError) or code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return JournalError(f"{failed}: {error}; this user must be allowed to make and write files in {folder}")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return JournalError(
        f"{failed}: {error} ({name}); look at the disk, quota and limits on file size of {folder}, then run the "
        "same job again with it"
    )
