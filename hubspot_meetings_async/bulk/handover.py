"""From hand to hand, without a store: who gives waits until somebody takes, unless somebody waits for it already.

This module knows asyncio's futures. It must not know what is handed over. A memory stream of anyio does the same for
nine microseconds an item; this takes two, and a run hands each batch over twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

__all__ = ["Handover"]

T = TypeVar("T")


class Handover(Generic[T]):
    """Any number of givers and takers, in the order in which they come.

    What was given by somebody who is cancelled while he waits stays there to be taken.
    """

    __slots__ = ("_givers", "_offered", "_takers")

    def __init__(self) -> None:
        self._offered: deque[tuple[T, asyncio.Future[None] | None]] = deque()
        self._takers: deque[asyncio.Future[None]] = deque()
        self._givers = 0

    def join(self) -> None:
        """One more may give from now on."""
        self._givers += 1

    def leave(self) -> None:
        """One gives no more. When the last one has gone, and nothing is left, takers get None."""
        self._givers -= 1
        while not self._givers and self._takers:
            _wake(self._takers.popleft())

    async def give(self, item: T) -> None:
        """Hand `item` over; returns when it is taken, and at once where a taker waits for it.

        So a worker's next request leaves before its last outcomes are looked at: what their reader does goes on while
        HubSpot works, and only if it blocks the loop for longer than that does the answer seem late.
        """
        if self._wake_a_taker():
            self._offered.append((item, None))
            return
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._offered.append((item, taken))
        await taken

    @property
    def offers(self) -> bool:
        """Whether `take` would not have to wait."""
        return bool(self._offered)

    async def take(self) -> T | None:
        """The next item; None when there will be no more. One that is cancelled has taken nothing."""
        while not self._offered:
            if not self._givers:
                return None
            given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._takers.append(given)
            try:
                await given
            except BaseException:
                if not given.cancelled():
                    self._wake_a_taker()  # it was to take, and will not
                raise
        return self.take_offered()

    def take_offered(self) -> T:
        """The next item, where there is one."""
        item, taken = self._offered.popleft()
        if taken is not None:
            _wake(taken)
        return item

    def _wake_a_taker(self) -> bool:
        while self._takers:
            if _wake(self._takers.popleft()):
                return True
        return False

    def left(self) -> list[T]:
        """What was given and not taken; it is taken now."""
        items = [item for item, _ in self._offered]
        self._offered.clear()
        return items


def _wake(waiting: asyncio.Future[None]) -> bool:
    """False where nobody waits any more."""
    if waiting.done():
        return False
    waiting.set_result(None)
    return True
