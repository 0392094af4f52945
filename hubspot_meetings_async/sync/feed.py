"""The two streams that a sync gives, `Changes` and `Export`: what a walk finds, handed out piece by piece.

This module knows tasks, lots and items. It must not know requests, or what a walk looks for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, Self, TypeVar, cast

import anyio

from ..errors import ConfigurationError
from .change import Change, Lot
from .cursor import SyncCursor

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

__all__ = ["Batch", "Changes", "Export", "Told", "Walk"]

P = TypeVar("P")

Errand = Callable[[], Awaitable[None]]
"""A request to send, and what its answer does."""


class Told(NamedTuple):
    """Something to tell, and how the book notes that it was told."""

    change: Change[Any]
    note: Callable[[], None]


class Batch(NamedTuple):
    """What came together, in order; `close` notes that all of it was told."""

    items: deque[Told]
    close: Callable[[], None]


class Walk(Protocol):
    """Finds what there is to tell."""

    workers: int

    @property
    def total(self) -> int | None:
        """About how many live meetings there are to tell of."""
        ...

    async def begin(self) -> None:
        """What comes before the first request of the walk."""
        ...

    def errand(self) -> Errand | None:
        """The next request that can be sent now, if any."""
        ...

    def take(self) -> Batch | None:
        """What is to be told next, if it is there."""
        ...

    @property
    def ended(self) -> bool:
        """Everything was taken."""
        ...

    def cursor(self) -> SyncCursor:
        """Where to go on: behind all that was noted as told."""
        ...


class Changes(Generic[P]):
    """What changed, in order: `async for` gives change after change, `lots()` a request's worth at a time.

        async with hubspot.sync.changes(cursor) as changes:
            async for change in changes:
                ...
                keep(changes.cursor.to_json())

    Within `async with`, requests are under way at once, as many as the quota takes, and read some thousand meetings
    ahead; leaving it ends them. Without it, one request follows the other. A wait may be cancelled (`asyncio.timeout`)
    and iterated on afterwards; an error ends the iteration, and the cursor stands behind what came before it.
    """

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._batch: Batch | None = None
        self._tasks: TaskGroup | None = None
        self._news = anyio.Event()
        self._failure: Exception | None = None
        self._broken: Exception | None = None
        self._begun = False
        self._closed = False

    @property
    def cursor(self) -> SyncCursor:
        """Where to go on: behind the last item that was given, and behind all before it."""
        return self._walk.cursor()

    @property
    def total(self) -> int | None:
        """About how many live meetings there are to tell of, for a progress bar; None before HubSpot said."""
        return self._walk.total

    # ---- handing out

    def __aiter__(self) -> AsyncIterator[Change[P]]:
        return self

    async def __anext__(self) -> Change[P]:
        while self._batch is None or not self._batch.items:
            if not await self._next_batch():
                raise StopAsyncIteration
        told = self._batch.items.popleft()
        told.note()
        if not self._batch.items:
            self._close_batch()
        return cast("Change[P]", told.change)

    async def lots(self) -> AsyncIterator[Lot[P]]:
        """Lot after lot, each a page of HubSpot's answers (or what is left of one, or none of it) with its cursor."""
        while self._batch is not None or await self._next_batch():
            items = self._batch.items if self._batch is not None else ()
            for told in items:
                told.note()
            self._close_batch()
            yield Lot(tuple(told.change for told in items), self._walk.cursor())

    async def _next_batch(self) -> bool:
        """Wait for the next batch; False at the end."""
        self._close_batch()
        if not self._begun:
            await self._walk.begin()
            self._begun = True
        while (batch := self._take()) is None:
            if self._walk.ended:
                return False
            if self._failure is not None:
                raise self._failure
            if self._closed:
                raise ConfigurationError("this sync was left; go on with another from its cursor")
            if self._tasks is not None:
                self._tell_workers()
                await self._news.wait()
            elif (errand := self._walk.errand()) is not None:
                await errand()
            else:
                raise RuntimeError("the sync stands still: this is a bug; go on with another from its cursor")
        self._batch = batch
        return True

    def _take(self) -> Batch | None:
        if self._broken is not None:
            raise self._broken
        try:
            return self._walk.take()
        except Exception as error:
            # What it took can not be told; nothing behind it may be, or the cursor would pass it over.
            self._broken = error
            raise

    def _close_batch(self) -> None:
        if self._batch is not None:
            self._batch.close()
            self._batch = None

    # ---- requests under way at once

    async def __aenter__(self) -> Self:
        if self._tasks is not None or self._closed:
            raise ConfigurationError("a sync is walked once; call hubspot.sync again for another")
        if not self._begun:
            await self._walk.begin()
            self._begun = True
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        for _ in range(self._walk.workers):
            self._tasks.start_soon(self._work)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks, self._tasks = cast("TaskGroup", self._tasks), None
        self._closed = True
        tasks.cancel_scope.cancel()
        # An error of the block is not the group's: given to it, it would come back wrapped in an ExceptionGroup.
        cancelled = isinstance(error, anyio.get_cancelled_exc_class())
        await tasks.__aexit__(*((kind, error, trace) if cancelled else (None, None, None)))

    async def _work(self) -> None:
        try:
            while not self._walk.ended and self._failure is None:
                if (errand := self._walk.errand()) is not None:
                    await errand()
                    self._tell_workers()
                else:
                    await self._news.wait()
        except Exception as error:  # noqa: BLE001 - raised where the caller waits
            self._failure = error
            self._tell_workers()

    def _tell_workers(self) -> None:
        self._news.set()
        self._news = anyio.Event()


class Export(Changes[P]):
    """All meetings there are, in no promised order; `async for` and `lots()` as with `Changes`.

    When it has ended, its `cursor` goes into `hubspot.sync.changes(…)`, which begins where the export began.
    """
