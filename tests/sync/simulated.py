"""A sync against HubSpot's limits on virtual time: answers take their time, searches are five a second, and people work
in the account meanwhile.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from hubspot_meetings_async import PROFESSIONAL, Changes, Limiter, QuotaGate, SyncCursor
from hubspot_meetings_async.emulator import Behaviour, Quota
from hubspot_meetings_async.limiter import search_gate
from hubspot_meetings_async.wire import Quota as Lanes
from tests.sync.house import Account, Copy

TITLE = "hs_meeting_title"
BEGAN_MS = 1_795_249_800_123
YEAR_MS = 365 * 86_400_000

__all__ = ["LoopClock", "People", "copied", "filled", "gates"]


class LoopClock:
    """The emulator's clock, on the time of the loop that runs."""

    def wall_ms(self) -> int:
        return BEGAN_MS + round(self.steady_s() * 1000)

    def steady_s(self) -> float:
        return asyncio.get_running_loop().time()


def gates() -> Mapping[Lanes, tuple[Limiter, ...]]:
    """The limiters of a client on the Professional plan."""
    gate = QuotaGate(limit=PROFESSIONAL.per_ten_seconds)
    return {Lanes.STANDARD: (gate,), Lanes.SEARCH: (search_gate(PROFESSIONAL), gate), Lanes.NONE: ()}


def filled(meetings: int, *, answer_s: float, rng: random.Random, per_batch: int = 1) -> Account:
    """An account with limits, whose meetings came over a year, so many at a time; each answer takes so long."""

    async def travel() -> None:
        await asyncio.sleep(answer_s / 2)

    quota = Quota(
        limit=PROFESSIONAL.per_ten_seconds,
        daily_limit=None,
        window_s=10.0,
        search_limit=PROFESSIONAL.search_per_second,
        fixed=False,
        count_refused=False,
    )
    account = Account(
        clock=LoopClock(),
        behaviour=Behaviour(search_delay_s=3.0, search_jitter_s=7.0),
        quota=quota,
        travel=travel,
        seed=rng.randrange(2**31),
    )
    store = account.portal.meetings.store
    at_ms = sorted(BEGAN_MS - rng.randrange(1, YEAR_MS) for _ in range(-(-meetings // per_batch)))
    for number in range(meetings):
        store.add({TITLE: f"{number}"}, now_ms=at_ms[number // per_batch], request=0)
    return account


class People:
    """Somebody creates, changes, archives, restores and merges meetings, so many in so many seconds."""

    def __init__(self, account: Account, rng: random.Random) -> None:
        self._account = account
        self._rng = rng
        self._live = account.live()
        self._archived: list[str] = []
        self.done = 0

    async def work(self, changes: int, seconds: float) -> None:
        """Evenly, a second's worth at a time, in milliseconds of their own."""
        for second in range(1, max(1, round(seconds)) + 1):
            await asyncio.sleep(1.0)
            while self.done < changes * second / seconds:
                self._change()
                self.done += 1
                await asyncio.sleep(0.0005)

    def _change(self) -> None:
        account, rng, what = self._account, self._rng, self._rng.random()
        title = f"{rng.random()}"
        if what < 0.6:
            account.update(rng.choice(self._live), hs_meeting_title=title)
        elif what < 0.8:
            self._live += account.create(1, hs_meeting_title=title)
        elif what < 0.95:
            account.archive(gone := self._taken(self._live))
            self._archived.append(gone)
        elif what < 0.98 and self._archived:
            account.restore(back := self._taken(self._archived))
            self._live.append(back)
        else:
            account.merge(rng.choice(self._live[:1000]), self._taken(self._live, first=1000))

    def _taken(self, ids: list[str], *, first: int = 0) -> str:
        place = self._rng.randrange(min(first, len(ids) - 1), len(ids))
        ids[place], ids[-1] = ids[-1], ids[place]
        return ids.pop()


async def copied(
    begin: Callable[[SyncCursor | None], Changes[Any]], copy: Copy, *, break_off_after: int | None = None
) -> None:
    """A pass into a copy, lot by lot, which may break off in the middle of a lot: that one is lost."""
    async with begin(copy.cursor) as changes:
        taken = 0
        async for lot in changes.lots():
            taken += len(lot.changes)
            if break_off_after is not None and taken > break_off_after:
                return
            for change in lot.changes:
                copy.take(change)
            copy.cursor = SyncCursor.from_json(lot.cursor.to_json())


Scenario = Callable[[random.Random], Awaitable[Any]]
