"""When a row is safe: rows are taken on the event loop in order, written in groups, and told when they are on disk.

This module knows the event loop and the one writer thread. It must not know SQL, what a row says, HTTP or HubSpot.

With `power` a thread takes all rows that wait and writes them as one transaction, so that one sync of the disk serves
many batches and the loop never waits for it. With `process` each row is written on the loop, without a sync.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from queue import SimpleQueue
from typing import Literal, Protocol

import anyio

from ...errors import ConfigurationError, JournalError
from .claim import FORMAT
from .database import MOST_ROWS, Database, Row

__all__ = ["Durability", "Store", "memory_store", "open_store"]

Durability = Literal["power", "process", "none"]
"""What a row survives once its `append` is done: the loss of power, the death of the process, or neither."""

CLOSE_S = 30.0
"""The longest `aclose` waits for the disk."""
LEAVE_S = 5.0
"""The longest `abandon` waits for the writer thread, which may be in the middle of a sync."""


class Store(Protocol):
    """The rows of one bulk run, and of the runs before it with the same journal.

    For one event loop. `path` is None when nothing is kept; `meta` is what the first opener gave, and `format`.
    """

    @property
    def path(self) -> str | None:
        """The file's absolute path."""
        ...

    @property
    def resumed(self) -> bool:
        """Whether an earlier run was here."""
        ...

    @property
    def meta(self) -> Mapping[str, str]:
        """What the first opener gave, and `format`."""
        ...

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """`(kind, data)` of all rows of earlier runs, in the order of writing; blocks, a page of rows in memory.

        Raises: JournalDamagedError when rows are missing; JournalError when they can not be read.
        """
        ...

    def append(self, kind: int, data: bytes, body: bytes | None = None) -> Awaitable[None]:
        """Take a row now, behind all rows taken before; the awaitable is done when it is as safe as was asked for.

        To cancel the wait does not take the row back. Raises: JournalError, at once or from the awaitable, when this or
        an earlier row could not be written.
        """
        ...

    def check(self) -> None:
        """Raises: JournalError when an earlier row could not be written."""
        ...

    async def aclose(self) -> None:
        """Write what waits, mark the file as cleanly closed and let go of it; a second call does nothing.

        Bounded by 30 s. The scope it runs in can not cancel it; a cancelled task returns at once, and the file is
        closed behind its back. Raises: JournalError when a row or the closing failed; the file is let go of even so.
        """
        ...

    def abandon(self) -> None:
        """Let go of the file as a crash would: drop what waits, leave it without the mark of a clean close; blocks."""
        ...


def open_store(path: str | os.PathLike[str], *, meta: Mapping[str, str], durability: Durability = "power") -> Store:
    """Open the journal at `path`, or make one with `meta` that only this user can read; blocks.

    `meta` takes no `format`: that is the store's own. With `none` nothing is kept, and `path` is not looked at. Do not
    open the file by other means in this process while the store is open, not even to read it: to close it again would
    drop the lock that keeps other processes out.

    Raises: JournalLockedError when another run has it; JournalDamagedError when it is no journal or a part is missing;
    JournalVersionError when it is newer than this library; JournalError when it can not be made or written. A file that
    is refused is not touched.
    """
    if durability == "none":
        return memory_store(meta)
    if durability not in ("power", "process"):
        raise ConfigurationError(f"durability is {durability!r}; it takes 'power', 'process' or 'none'")
    _refuse_format(meta)
    database = Database(os.path.abspath(os.fspath(path)), meta, power=durability == "power")
    try:
        return _ThreadStore(database) if durability == "power" else _InlineStore(database)
    except RuntimeError as error:
        database.leave()
        raise JournalError(f"the journal {database.path} needs a thread to write it, and got none: {error}") from error


def memory_store(meta: Mapping[str, str]) -> Store:
    """A journal that is forgotten: every row is taken and none is kept."""
    _refuse_format(meta)
    return _MemoryStore(meta)


def _refuse_format(meta: Mapping[str, str]) -> None:
    if "format" in meta:
        raise ConfigurationError("the journal's format is not for the caller to say; leave `format` out of its meta")


_Waiting = tuple[Row, "asyncio.Future[None]"]


class _Writer:
    """The thread's side. It knows nothing of the store, so that a store nobody holds is let go of."""

    def __init__(self, database: Database, failure: JournalError | None = None) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.failure = failure
        self.ending = False
        self.done = False
        self.ended = asyncio.Event()
        self.queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._database = database
        self._abandoned = False
        self._last = False
        self.thread = threading.Thread(target=self._run, name=f"journal {database.path}", daemon=True)
        self.thread.start()

    def end(self) -> None:
        """Have what waits written and the file closed; `ended` is set when that is done."""
        self.ending = True
        self.queue.put(None)

    def abandon(self) -> None:
        """Have what waits dropped, unless the end has begun, and wait for the thread."""
        if os.getpid() != self._database.pid:
            return
        if not self.ending:
            self._abandoned = True
            self.end()
        if threading.current_thread() is not self.thread:
            self.thread.join(LEAVE_S)

    def _run(self) -> None:
        group: list[_Waiting] = []
        try:
            while self._take(group):
                self._database.write([row for row, _ in group])
                self._call(_settle, [waiting for _, waiting in group], None)
            self._database.close()
        except BaseException as error:  # noqa: BLE001 - whatever it is, whoever waits must hear of it and not hang
            self.failure = _failure(self._database.path, error)
            self._database.leave()
        finally:
            # `append` puts its row first and looks at `done` then, so that no row falls between the two.
            self.done = True
            while not self.queue.empty():
                group += filter(None, [self.queue.get()])
            if group:
                self._call(_settle, [waiting for _, waiting in group], _refusal(self._database, self.failure))
            self._call(self.ended.set)

    def _take(self, group: list[_Waiting]) -> bool:
        """Replace `group` by all rows that wait, after waiting for the first; False at the end."""
        group.clear()
        if self._last:
            return False
        while (item := self.queue.get()) is not None:
            group.append(item)
            if len(group) == MOST_ROWS or self.queue.empty():
                break
        self._last = item is None
        if self._abandoned:
            raise JournalError(f"the journal {self._database.path} was let go of without a close")
        return bool(group)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        # The loop may be gone without a close: then nobody waits any more.
        if self.loop is not None:
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(function, *arguments)


class _FileStore:
    """What both kinds of store on a file do alike: read, close, and be let go of."""

    def __init__(self, database: Database, let_go: Callable[[], None]) -> None:
        self.path = database.path
        self.resumed = database.resumed
        self.meta = database.meta
        self._database = database
        self._closed = False
        # Also when nobody holds the store any more, and at the interpreter's exit: SQLite's own closing would take the
        # -wal file away from a file that is not marked as clean.
        self._let_go = weakref.finalize(self, let_go)

    def rows(self) -> Iterator[tuple[int, bytes]]:
        yield from self._database.rows()

    def abandon(self) -> None:
        self._let_go()
        self._closed = True

    async def _close(self, writer: _Writer) -> None:
        if self._closed:
            return
        if os.getpid() != self._database.pid:
            raise _refusal(self._database, None)
        writer.loop = asyncio.get_running_loop()
        if not writer.ending:
            writer.end()
        if not writer.done:
            with anyio.move_on_after(CLOSE_S, shield=True) as scope:
                await writer.ended.wait()
            if scope.cancelled_caught:
                raise JournalError(
                    f"the journal {self.path} could not be closed within {CLOSE_S:g} s: look at its disk"
                )
        writer.thread.join(LEAVE_S)
        self._let_go.detach()
        self._closed = True
        if writer.failure is not None:
            raise _again(writer.failure)


class _ThreadStore(_FileStore):
    """`power`: rows go to the writer thread."""

    def __init__(self, database: Database) -> None:
        self._writer = _Writer(database)
        super().__init__(database, self._writer.abandon)

    def append(self, kind: int, data: bytes, body: bytes | None = None) -> asyncio.Future[None]:
        writer = self._writer
        if writer.failure is not None or writer.ending or os.getpid() != self._database.pid:
            raise _refusal(self._database, writer.failure)
        if writer.loop is None:
            writer.loop = asyncio.get_running_loop()
        waiting = writer.loop.create_future()
        writer.queue.put(((kind, data, body), waiting))
        if writer.done:
            _settle([waiting], _refusal(self._database, writer.failure))
        return waiting

    def check(self) -> None:
        if self._writer.failure is not None:
            raise _again(self._writer.failure)

    async def aclose(self) -> None:
        await self._close(self._writer)


class _InlineStore(_FileStore):
    """`process`: rows are written at once, in the loop's thread; only the closing, which syncs, has a thread."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, database.leave)
        self._closer: _Writer | None = None
        self._failure: JournalError | None = None

    def append(self, kind: int, data: bytes, body: bytes | None = None) -> asyncio.Future[None]:
        if self._failure is not None or self._closer is not None or self._closed or os.getpid() != self._database.pid:
            raise _refusal(self._database, self._failure)
        waiting = asyncio.get_running_loop().create_future()
        try:
            self._database.write([(kind, data, body)])
        except JournalError as error:
            self._failure = error
            self._database.leave()
        _settle([waiting], self._failure)
        return waiting

    def check(self) -> None:
        if self._failure is not None:
            raise _again(self._failure)

    async def aclose(self) -> None:
        if self._closer is None:
            self._closer = _Writer(self._database, self._failure)
        await self._close(self._closer)


class _MemoryStore:
    """`none`: nothing is kept, so that a run of any length costs no memory."""

    path = None
    resumed = False

    def __init__(self, meta: Mapping[str, str]) -> None:
        self.meta: Mapping[str, str] = {**meta, "format": str(FORMAT)}
        self._closed = False

    def rows(self) -> Iterator[tuple[int, bytes]]:
        return iter(())

    def append(self, kind: int, data: bytes, body: bytes | None = None) -> asyncio.Future[None]:
        if self._closed:
            raise JournalError("the journal is closed")
        waiting = asyncio.get_running_loop().create_future()
        waiting.set_result(None)
        return waiting

    def check(self) -> None:
        """Nothing is written, so nothing fails."""

    async def aclose(self) -> None:
        self._closed = True

    def abandon(self) -> None:
        self._closed = True


def _settle(waiting: Iterable[asyncio.Future[None]], failure: JournalError | None) -> None:
    for one in waiting:
        if one.done():
            continue
        if failure is None:
            one.set_result(None)
        else:
            one.set_exception(_again(failure))
            # Looked at, so that a row nobody waits for is no complaint in the log: the failure is told elsewhere too.
            one.exception()


def _refusal(database: Database, failure: JournalError | None) -> JournalError:
    if failure is not None:
        return _again(failure)
    if os.getpid() != database.pid:
        return JournalError(f"the journal {database.path} was opened before this process was forked; open another here")
    return JournalError(f"the journal {database.path} is closed")


def _failure(path: str, error: BaseException) -> JournalError:
    if isinstance(error, JournalError):
        return error
    told = JournalError(f"the journal {path} has no writer any more ({error!r}); run the same job again with it")
    told.__cause__ = error
    return told


def _again(failure: JournalError) -> JournalError:
    """The same failure for one more who waits: a raised error collects the places it was raised at."""
    copy = type(failure)(failure.message)
    copy.__cause__ = failure.__cause__
    return copy
