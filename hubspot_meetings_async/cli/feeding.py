"""A source that may block (a pipe, a terminal) as an async one, so that waiting for it does not hold up the rest."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

from ..bulk.lines import Broken
from ..inputs import Record

__all__ = ["Piped"]

_AHEAD = 200


class _End:
    def __init__(self, failure: BaseException | None) -> None:
        self.failure = failure


class Piped:
    """Reads `items` in a thread of its own, at most 200 ahead.

    The thread is a daemon on purpose: nobody can end a read from a terminal that waits for its user, and Ctrl-C must.
    """

    def __init__(self, items: Iterator[Record | Broken]) -> None:
        self._items = items
        self._read: deque[Record | Broken | _End] = deque()
        self._free = threading.Semaphore(_AHEAD)
        self._something = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._pump, name="source", daemon=True).start()

    def _pump(self) -> None:
        failure: BaseException | None = None
        try:
            for item in self._items:
                self._hand_over(item)
                self._free.acquire()
        except Exception as error:  # noqa: BLE001 - it is raised where the records are wanted
            failure = error
        self._hand_over(_End(failure))

    def _hand_over(self, item: Record | Broken | _End) -> None:
        self._read.append(item)
        with suppress(RuntimeError):  # the loop is closed: nobody wants more
            self._loop.call_soon_threadsafe(self._something.set)

    def __aiter__(self) -> AsyncIterator[Record | Broken]:
        return self

    async def __anext__(self) -> Record | Broken:
        while not self._read:
            self._something.clear()
            await self._something.wait()
        item = self._read[0]
        if isinstance(item, _End):
            if item.failure is not None:
                raise item.failure
            raise StopAsyncIteration
        self._read.popleft()
        self._free.release()
        return item

    def left(self) -> list[Record | Broken]:
        """What was read and not taken, once nobody takes any more."""
        return [item for item in self._read if not isinstance(item, _End)]
