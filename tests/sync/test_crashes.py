"""Whatever happens to an account while it is copied, and wherever the copying breaks off: the copy becomes the account.

The account changes between requests and between items, in every way there is; its search shows writes late and out of
order. The sync breaks off at any item or lot, and goes on from the cursor that was stored last.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from hubspot_meetings_async import Change, Changes, SyncCursor
from hubspot_meetings_async.emulator import Behaviour, ManualClock
from hubspot_meetings_async.sync.windows import Sizes
from tests.sync.house import Account, Copy, version_of

DELAY_S, JITTER_S, OVERLAP_S = 3.0, 6.0, 12.0
SMALL = Sizes(found=7, listed=5, window=3)
TITLE = "hs_meeting_title"


class Unrest:
    """Somebody changes the account, a few steps at a time."""

    def __init__(self, account: Account, clock: ManualClock, rng: random.Random) -> None:
        self._account = account
        self._clock = clock
        self._rng = rng
        self.on = True

    def step(self) -> None:
        if self.on and self._rng.random() < 0.3:
            self._change()
            self._clock.advance(self._rng.choice((0.0, 0.0, 0.001, 0.3, 2.0)))

    def _change(self) -> None:
        account, rng = self._account, self._rng
        live, binned = account.live(), account.archived()
        title = f"{rng.random():.6f}"
        what = rng.random()
        # No two versions of a meeting in one millisecond: they could not be told apart.
        self._clock.advance(0.001)
        if what < 0.3 or len(live) < 10:
            account.create(rng.choice((1, 1, 1, 12)), hs_meeting_title=title)
        elif what < 0.7:
            account.update(rng.choice(live), hs_meeting_title=title)
        elif what < 0.82:
            account.archive(rng.choice(live))
        elif what < 0.9 and binned:
            account.restore(rng.choice(binned))
        else:
            account.merge(*rng.sample(live, 2))


class Schedule:
    """One copy of one account, and when it breaks off."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.clock = ManualClock()
        self.account = Account(
            clock=self.clock,
            behaviour=Behaviour(search_delay_s=DELAY_S, search_jitter_s=JITTER_S),
            travel=self._travel,
            seed=seed,
        )
        for _ in range(self.rng.choice((0, 30, 90))):
            self.account.create(self.rng.choice((1, 1, 1, 9, 40)), hs_meeting_title="first")
            self.clock.advance(self.rng.choice((0.0, 0.001, 5.0)))
        for id_ in self.rng.sample(self.account.live(), len(self.account.live()) // 10):
            self.account.archive(id_)
        self.unrest = Unrest(self.account, self.clock, self.rng)
        self.account.before = self.unrest.step
        self.copy = Copy()
        self.told: list[tuple[str, str, object]] = []
        self._unsure: list[Change[Any]] = []

    async def _travel(self) -> None:
        for _ in range(self.rng.choice((0, 1, 2, 9))):
            await asyncio.sleep(0)

    def changes(self, *, at_once: bool) -> Changes[Any]:
        cursor = self.copy.cursor
        if cursor is not None and self.rng.random() < 0.9:
            cursor = SyncCursor.from_json(cursor.to_json())
        return self.account.sync(sizes=SMALL).changes(
            cursor, properties=[TITLE], overlap_s=OVERLAP_S, concurrency=3 if at_once else 1
        )

    def store(self, changes: list[Change[Any]], cursor: SyncCursor) -> None:
        """A transaction: changes and cursor, both or none."""
        for change in changes:
            self.copy.take(change)
            version = change.meeting.archived_at if change.kind == "archived" else version_of(change.meeting)
            self.told.append((change.kind, change.meeting.id, version))
        self.copy.cursor = cursor

    async def walk(self, *, breaking: float) -> None:
        """One pass, which may break off."""
        at_once = self.rng.random() < 0.7
        changes = self.changes(at_once=at_once)
        way = self._by_lots if self.rng.random() < 0.5 else self._by_items
        if at_once:
            async with changes:
                await way(changes, breaking)
        else:
            await way(changes, breaking)

    async def _by_lots(self, changes: Changes[Any], breaking: float) -> None:
        async with aclosing(_generator(changes.lots)) as lots:
            async for lot in lots:
                await self._travel()
                self.unrest.step()
                if self.rng.random() < breaking:
                    return
                self.store(list(lot.changes), lot.cursor)

    async def _by_items(self, changes: Changes[Any], breaking: float) -> None:
        waiting: list[Change[Any]] = []
        async for change in changes:
            waiting.append(change)
            await self._travel()
            self.unrest.step()
            if self.rng.random() < breaking / 4:
                return
            if self.rng.random() < 0.5:
                self.store(waiting, changes.cursor)
                waiting = []
        self.store(waiting, changes.cursor)


def _generator(lots: Callable[[], AsyncIterator[Any]]) -> Any:
    return lots()


@pytest.mark.parametrize("seed", range(12))
async def test_the_copy_becomes_the_account(seed: int) -> None:
    """After any unrest and any number of crashes, one pass behind the index's delay makes them equal; and no version
    was told twice."""
    await becomes_the_account(seed)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(8))
async def test_the_copy_becomes_the_account_a_thousand_times(first: int) -> None:
    seed = int(os.environ.get("SOAK_SEED", "1")) * 10_000 + first * 125
    for following in range(125):
        await becomes_the_account(seed + following)


async def becomes_the_account(seed: int) -> None:
    schedule = Schedule(seed)
    for _ in range(12):
        await schedule.walk(breaking=schedule.rng.choice((0.0, 0.05, 0.3)))
        schedule.clock.advance(schedule.rng.choice((0.0, 1.0, 8.0, 40.0)))
    schedule.unrest.on = False
    schedule.clock.advance(DELAY_S + JITTER_S)
    await schedule.walk(breaking=0.0)
    assert schedule.copy.rows == schedule.account.truth(), f"seed {seed}"
    assert len(schedule.told) == len(set(schedule.told))
