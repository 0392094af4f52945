"""Whether the file at a path may be a run's journal: made, or judged by its first bytes, before SQLite touches it.

This module knows files, permissions, locks and what each kind of damage looks like from outside. It must not know the
tables, rows, threads or event loops.

SQLite would change what it opens: play back a `-wal` file, or make one that is missing. So the format, and the mark of
a run that did not end, lie in the header of the main file (`application_id`, `user_version`), where 100 bytes tell.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import stat
import sys
import threading

from ...errors import JournalDamagedError, JournalError, JournalLockedError, JournalVersionError

if sys.platform != "win32":
    import fcntl

__all__ = ["APPLICATION_ID", "FORMAT", "LOCKED", "Identity", "claim", "create", "identity_of", "release", "told"]

FORMAT = 1
"""The tables and rows this library writes. A file with a higher number is refused."""

APPLICATION_ID = 0x484D524A
"""`HMRJ`; what tells one program's SQLite databases from another's."""

LOCKED = "the journal {path} is open in another run; wait until that ends, or give this job a journal of its own"

Identity = tuple[int, int]
"""Device and inode: the file itself, by whatever name."""

_MAGIC = b"SQLite format 3\0"
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
# SQLite's lock bytes, part of its file format: pending, reserved, and 510 shared ones.
_LOCKS_AT = 0x40000000
_LOCKS = 512

_log = logging.getLogger("hubspot_meetings_async")

_claiming = threading.Lock()
_claimed: set[Identity] = set()
"""Files this process has open. To open and close one a second time, even to read it, would drop SQLite's lock on it."""


def claim(path: str) -> Identity:
    """The identity of the file at `path`, made empty if there was none, judged fit to be opened, and ours alone.

    Ours until `release`. Raises: JournalError and its kinds; a file that is refused is not touched.
    """
    with _claiming:
        try:
            return _made(path) or _found(path)
        except OSError as error:
            raise told(path, "opened", error) from error


def release(identity: Identity) -> None:
    """Give back what `claim` gave."""
    # Without `_claiming`: a finalizer may come here in a thread that holds it.
    _claimed.discard(identity)


def _made(path: str) -> Identity | None:
    left = [name for name in (f"{path}-wal", f"{path}-journal") if os.path.lexists(name)]
    if left and not os.path.lexists(path):
        raise JournalDamagedError(
            f"the journal {path} is gone, but {' and '.join(left)} of it is still there; put the journal back, or "
            "remove that too to start anew"
        )
    try:
        identity = create(path)
    except FileExistsError:
        return None
    _claimed.add(identity)
    return identity


def create(path: str) -> Identity:
    """An empty file that only its owner can read, and its name safe on disk; never one that is there, never a link."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW, 0o600)
    try:
        identity = identity_of(os.fstat(file))
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


def _found(path: str) -> Identity:
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        raise JournalError(f"the journal {path} is a symbolic link, which is never followed; name the file itself")
    if not stat.S_ISREG(status.st_mode):
        raise JournalError(f"the journal {path} is not a file; name a file, it is made if it is not there")
    identity = identity_of(status)
    if identity in _claimed:
        raise JournalLockedError(LOCKED.format(path=path))
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
                raise JournalLockedError(LOCKED.format(path=path)) from None
            raise


def _judge(path: str, head: bytes) -> None:
    has_wal = os.path.lexists(f"{path}-wal")
    never_filled = not head or (not head.strip(b"\0") and os.path.lexists(f"{path}-journal"))
    if never_filled and not has_wal:
        # A process that died while it made the file; SQLite takes back what is half done.
        return
    if never_filled:
        raise JournalDamagedError(f"the journal {path} is empty, but {path}-wal is not of an empty one; restore it")
    if head[:16] != _MAGIC or int.from_bytes(head[68:72], "big") != APPLICATION_ID:
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


def identity_of(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def told(path: str, verb: str, error: sqlite3.Error | OSError) -> JournalError:
    """What SQLite or the system said when `path` was to be opened, read, written or closed, and what to do about it."""
    folder = os.path.dirname(path)
    failed = f"the journal {path} could not be {verb}"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    number = error.errno if isinstance(error, OSError) else None
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return JournalLockedError(LOCKED.format(path=path))
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return JournalDamagedError(f"{failed}: {error}; restore it from a copy")
    if code == sqlite3.SQLITE_FULL or number == errno.ENOSPC:
        return JournalError(f"{failed}: the disk is full; free space in {folder} and run the same job again with it")
    if number in (errno.ENOENT, errno.ENOTDIR):
        return JournalError(f"{failed}: there is no folder {folder}; make it first")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS) or code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return JournalError(f"{failed}: {error}; this user must be allowed to make and write files in {folder}")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return JournalError(
        f"{failed}: {error} ({name}); look at the disk, quota and limits on file size of {folder}, then run the "
        "same job again with it"
    )
