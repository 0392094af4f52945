"""A disk and a journal's store on it, in virtual time: what a crash, a loss of power and a full disk leave behind.

This module knows when a row is taken, written and safe, and reads rows by itself for the checker. The journal's own
logic is the real one, on top of this store.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from hubspot_meetings_async.bulk.journal.journal import Job, Journal, Resume
from hubspot_meetings_async.bulk.journal.rows import Past
from hubspot_meetings_async.errors import JournalError

__all__ = ["Book", "Disk", "Place", "SimulatedStore"]

Row = tuple[int, bytes]


class Book:
    """What rows say of each record, by a small decoder of its own.

    `codes` by ordinal: i(ntended), c, u, a, x, ?, - ; `keys` maps keys to ordinals of intents.
    """

    def __init__(self) -> None:
        self.codes: dict[int, str] = {}
        self.details: dict[int, str | None] = {}
        self.keys: dict[str, int] = {}
        self.ended: int | None = None

    def add(self, row: Row) -> None:
        """Read one more row."""
        kind, data = row
        if kind == 0:
            packed, keys, *_ = msgspec.msgpack.decode(data)
            ordinals = _plain(packed)
            self.codes.update(dict.fromkeys(ordinals, "i"))
            self.keys.update(zip(keys or (), ordinals, strict=False))
        elif kind == 1:
            packed, codes, details = msgspec.msgpack.decode(data)
            for ordinal, code, detail in zip(_plain(packed), codes, details, strict=True):
                self.codes[ordinal] = code
                self.details[ordinal] = detail
        elif kind == 3:
            (self.ended,) = msgspec.msgpack.decode(data)
        elif kind == 4:
            self.ended = None


def _plain(packed: Sequence[int]) -> Sequence[int]:
    return range(packed[0], packed[0] - packed[1]) if len(packed) == 2 and packed[1] < 0 else packed


class Disk:
    """What outlives a process: written rows, of which the first `safe` outlive a loss of power too.

    `promised` is what the journal may rely on: rows whose writer has been told that they are safe.
    """

    def __init__(self, *, power: bool) -> None:
        self.rows: list[Row] = []
        self.safe = 0
        self.power = power
        self.meta: dict[str, str] | None = None
        self.promised = Book()
        self._read = 0

    def promise(self, rows: int) -> None:
        """The first `rows` rows are as safe as was asked for."""
        while self._read < rows:
            self.promised.add(self.rows[self._read])
            self._read += 1

    def lose_power(self, rng: random.Random) -> None:
        """What was not synced may be gone, from some row on."""
        if self.safe < len(self.rows):
            del self.rows[rng.randint(self.safe, len(self.rows)) :]
        self.reread()

    def reread(self) -> None:
        """After a crash: all that is there is safe now, and was read by who goes on."""
        self.safe = len(self.rows)
        self.promised, self._read = Book(), 0
        self.promise(len(self.rows))


class SimulatedStore:
    """A `Store` (see `bulk/journal/store.py`) on a `Disk`. `full_after`: so many rows fit."""

    path = "simulated"

    def __init__(
        self,
        disk: Disk,
        meta: Mapping[str, str],
        *,
        rng: random.Random,
        full_after: int | None = None,
        on_row: Callable[[], None] = lambda: None,
    ) -> None:
        self.resumed = disk.meta is not None
        if disk.meta is None:
            disk.meta = dict(meta)
        self.meta: Mapping[str, str] = disk.meta
        self.dead = False
        self._disk = disk
        self._rng = rng
        self._left = full_after
        self._on_row = on_row
        self._failure: str | None = None
        self._closed = False
        self._waiting: list[tuple[Row, asyncio.Future[None]]] = []
        self._writing = False
        self._idle = asyncio.Event()
        self._idle.set()

    def rows(self) -> Iterator[Row]:
        return iter(list(self._disk.rows))

    def append(self, kind: int, data: bytes, body: bytes | None = None) -> asyncio.Future[None]:
        self.check()
        self._on_row()
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()
        if self.dead:
            self._fail([waiting], "the process is dead")
        elif not self._disk.power:
            self._write([((kind, data), waiting)])
        else:
            self._waiting.append(((kind, data), waiting))
            self._begin(loop)
        return waiting

    def check(self) -> None:
        if self._failure is not None or self.dead or self._closed:
            raise JournalError(self._failure or "the journal is closed")

    async def aclose(self) -> None:
        if self._closed:
            return
        if not self.dead:
            await self._idle.wait()
        self._closed = True
        if self._failure is not None:
            raise JournalError(self._failure)
        if not self.dead:
            self._disk.safe = len(self._disk.rows)

    def abandon(self) -> None:
        self.die()

    def die(self) -> None:
        """The process is gone: what was not written is lost."""
        self.dead = True
        waiting, self._waiting = [future for _, future in self._waiting], []
        self._fail(waiting, "the process is dead")
        self._idle.set()

    # ---- the writer

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._writing:
            self._writing = True
            self._idle.clear()
            loop.call_later(self._rng.uniform(0.0001, 0.004), self._write_group, loop)

    def _write_group(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.dead:
            return
        group, self._waiting = self._waiting, []
        if not self._write(group, sync=False):
            return
        delay_s = self._rng.choice((0.001, 0.002, 0.01, 0.2))
        loop.call_later(delay_s, self._sync, loop, len(self._disk.rows), [future for _, future in group])

    def _write(self, group: list[tuple[Row, asyncio.Future[None]]], *, sync: bool = True) -> bool:
        disk = self._disk
        if self._left is not None and len(group) > self._left:
            self._failure = "no space left on the disk"
            self._fail([future for _, future in group], self._failure)
            self._writing = False
            self._idle.set()
            return False
        if self._left is not None:
            self._left -= len(group)
        disk.rows.extend(row for row, _ in group)
        if sync:
            disk.promise(len(disk.rows))
            for _, future in group:
                future.set_result(None)
        return True

    def _sync(self, loop: asyncio.AbstractEventLoop, rows: int, futures: list[asyncio.Future[None]]) -> None:
        if self.dead:
            self._fail(futures, "the process is dead")
            return
        self._disk.safe = rows
        self._disk.promise(rows)
        for future in futures:
            if not future.done():
                future.set_result(None)
        self._writing = False
        if self._waiting:
            self._begin(loop)
        else:
            self._idle.set()

    def _fail(self, futures: list[asyncio.Future[None]], words: str) -> None:
        for future in futures:
            if not future.done():
                future.set_exception(JournalError(words))
                future.exception()


class Place:
    """Where a simulated run finds its journal."""

    def __init__(self, make: Callable[[Mapping[str, str]], SimulatedStore], *, resume: Resume) -> None:
        self._make = make
        self._resume = resume
        self.store: SimulatedStore | None = None

    async def open(self, job: Job) -> Journal:
        """As `JournalFile.open`, on the simulated store."""
        store = self.store = self._make(job.meta())
        past = Past.read(store.rows(), with_keys=self._resume == "key")
        job.need(store.meta)
        kept: Any = store
        return Journal(kept, past, resume=self._resume)
