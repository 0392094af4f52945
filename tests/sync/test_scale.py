"""Large accounts, at HubSpot's limits, on virtual time: the copy is the account, and the quota is used."""

import asyncio
import os
import random
from typing import Any

import pytest

from hubspot_meetings_async import Changes, SyncCursor
from tests.sync.house import Copy
from tests.sync.simulated import TITLE, People, copied, filled, gates
from tests.virtual_time import run_virtual


async def kept_in_step(rng: random.Random, *, meetings: int, changes: int, export: bool) -> dict[str, Any]:
    """A first copy, while people work in the account, broken off twice; then what they did since."""
    account = filled(meetings, answer_s=0.2, rng=rng, per_batch=rng.choice((1, 20)))
    people, copy = People(account, rng), Copy()
    sync = account.sync(limiters=gates())

    def begin(cursor: SyncCursor | None) -> Changes[Any]:
        if export and (cursor is None or cursor.exporting):
            return sync.export(cursor, properties=[TITLE])
        return sync.changes(cursor, properties=[TITLE])

    async with asyncio.TaskGroup() as tasks:
        # Most of it while the first pass lasts: some 800 meetings a second.
        tasks.create_task(people.work(changes, meetings / 800))
        for _ in range(2):
            await copied(begin, copy, break_off_after=rng.randrange(meetings // 8, meetings // 2))
        await copied(begin, copy)
    await asyncio.sleep(10)
    await copied(begin, copy)
    assert copy.rows == account.truth()
    assert people.done >= changes
    assert account.refused == 0
    return {"seconds": asyncio.get_running_loop().time(), **account.sent}


@pytest.mark.parametrize("export", [False, True])
def test_twenty_thousand(export: bool) -> None:
    """With a thousand changes meanwhile and two crashes; never a 429."""
    run_virtual(lambda rng: kept_in_step(rng, meetings=20_000, changes=1_000, export=export), seed=1)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("export", [False, True])
def test_a_million(export: bool, record_property: Any) -> None:
    """With 50,000 changes meanwhile and two crashes."""
    seed = int(os.environ.get("SOAK_SEED", "1"))
    found = run_virtual(lambda rng: kept_in_step(rng, meetings=1_000_000, changes=50_000, export=export), seed=seed)
    record_property("sync of 1,000,000" + (" by export" if export else ""), found)


@pytest.mark.parametrize(
    ("method", "limit", "window_s"), [("changes", 5, 1.0), ("search", 5, 1.0), ("ranges", 190, 10.0)]
)
def test_the_quota_is_used(method: Any, limit: int, window_s: float) -> None:
    """In steady state nearly all of limit / (window + answer time), which no client that never risks a 429 exceeds."""
    answer_s = 0.4

    async def scenario(rng: random.Random) -> float:
        account = filled(60_000 if method == "ranges" else 16_000, answer_s=answer_s, rng=rng)
        sync = account.sync(limiters=gates())
        walk = sync.changes(archived=False) if method == "changes" else sync.export(method=method)
        stamps: list[float] = []
        accept = account.quota.accept  # type: ignore[union-attr]

        def noted(app: str, at: float, lane: Any) -> None:
            if (lane == "search") is (limit == 5):
                stamps.append(at)
            accept(app, at, lane)

        account.quota.accept = noted  # type: ignore[union-attr, method-assign]
        async with walk:
            async for _ in walk.lots():
                pass
        assert account.refused == 0
        # Whole turns of the slots, without the first one, which they begin as they please, and the end.
        turn_s = window_s + answer_s
        turns = int((stamps[-1] - 1) / turn_s)
        return sum(turn_s < at <= turns * turn_s for at in stamps) / ((turns - 1) * turn_s)

    assert run_virtual(scenario, seed=1) >= 0.99 * limit / (window_s + answer_s)
