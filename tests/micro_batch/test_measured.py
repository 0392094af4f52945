"""What micro-batching costs and saves, in virtual time: requests against the ideal, added waits, the quota's use."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable

import anyio
import pytest

from hubspot_meetings_async import QuotaGate
from tests.virtual_time import LATENESS_S, run_virtual

from .simulated import QuickHubSpot, micro_batch

ROUND_TRIP_S = 0.05
Record = Callable[[str, object], None]


def windows(moments: list[float], linger_s: float, most: int = 100) -> int:
    """How many batches there are if each closes `linger_s` after its first record, or with `most` of them."""
    batches = count = 0
    closes_at = -math.inf
    for at in moments:
        if at > closes_at or count == most:
            batches, count, closes_at = batches + 1, 0, at + linger_s
        count += 1
    return batches


async def handlers(
    hubspot: QuickHubSpot, rng: random.Random, *, number: int, linger_s: float, limiter: QuotaGate | None, over_s: float
) -> tuple[list[float], list[float]]:
    """So many handlers, spread at random over `over_s`: when each began, and how long each waited."""
    moments = sorted(rng.uniform(0, over_s) for _ in range(number))
    began: list[float] = []
    waits: list[float] = []
    async with micro_batch(hubspot, limiter=limiter, linger_s=linger_s) as batch:

        async def handle(name: int, at: float) -> None:
            await anyio.sleep_until(at)
            now = anyio.current_time()
            began.append(now)
            meeting = await batch.create({"mark": f"m{name}"})
            waits.append(anyio.current_time() - now)
            assert hubspot.world.meetings[meeting.id].mark == f"m{name}"

        async with asyncio.TaskGroup() as tasks:
            for name, at in enumerate(moments):
                tasks.create_task(handle(name, at))
    return began, sorted(waits)


def percentile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, math.ceil(share * len(values)) - 1)]


@pytest.mark.parametrize("linger_s", [0.005, 0.025, 0.05])
def test_2000_handlers_cost_the_requests_that_linger_demands(
    linger_s: float, record_property: Callable[[str, object], None]
) -> None:
    """Over 10 s: at most 2 % more requests than lingers that hold a record; p99 waits a linger and a round trip."""
    hubspot = QuickHubSpot(round_trip_s=ROUND_TRIP_S)

    async def scenario(rng: random.Random) -> tuple[list[float], list[float]]:
        return await handlers(hubspot, rng, number=2_000, linger_s=linger_s, limiter=None, over_s=10)

    began, waits = run_virtual(scenario, seed=7)
    ideal = windows(began, linger_s)
    record_property(
        f"micro-batch, linger {linger_s * 1000:g} ms",
        f"{len(hubspot.arrivals)} requests, ideal {ideal}; p50 {percentile(waits, 0.5) * 1000:.1f} ms, "
        f"p99 {percentile(waits, 0.99) * 1000:.1f} ms",
    )
    assert len(hubspot.arrivals) <= 1.02 * ideal
    # The virtual clock wakes each of the three sleepers in a call's way up to a millisecond late.
    assert percentile(waits, 0.99) <= linger_s + ROUND_TRIP_S + 3 * LATENESS_S
    assert len(hubspot.world.made) == 2_000


@pytest.mark.parametrize("limit", [100, 190])
def test_a_quota_smaller_than_linger_demands_makes_batches_grow(
    limit: int, record_property: Callable[[str, object], None]
) -> None:
    """200 creates a second with a quota for 10 or 19 requests: no 429, and nobody waits for the end of the window."""
    hubspot = QuickHubSpot(round_trip_s=ROUND_TRIP_S, limit=limit)
    gate = QuotaGate(limit=limit, assumed=False)

    async def scenario(rng: random.Random) -> tuple[list[float], list[float]]:
        return await handlers(hubspot, rng, number=6_000, linger_s=0.005, limiter=gate, over_s=30)

    _, waits = run_virtual(scenario, seed=7)
    share = len(hubspot.arrivals) / (limit * 3)
    record_property(
        f"micro-batch at {limit}/10 s",
        f"{len(hubspot.arrivals)} requests ({share:.0%} of the quota), p50 {percentile(waits, 0.5) * 1000:.0f} ms, "
        f"p99 {percentile(waits, 0.99) * 1000:.0f} ms, longest {waits[-1] * 1000:.0f} ms",
    )
    assert [arrival.status for arrival in hubspot.arrivals if arrival.status == 429] == []
    assert len(hubspot.world.made) == 6_000
    # One every 10 s / limit / 0.8, and at the beginning a round trip more, since the gate tries the window with one.
    assert waits[-1] <= 12.5 / limit + 2 * ROUND_TRIP_S + 0.01


def test_a_spent_quota_fills_batches() -> None:
    """While no slot is free, the batch stays open: 5,000 calls that came meanwhile take 50 requests."""
    hubspot = QuickHubSpot(round_trip_s=ROUND_TRIP_S, limit=60)
    gate = QuotaGate(limit=60, assumed=False, probe_first=False)

    async def scenario(rng: random.Random) -> int:
        async with micro_batch(hubspot, limiter=gate) as batch:
            async with anyio.create_task_group() as tasks:  # somebody else takes the whole window
                for number in range(60):
                    tasks.start_soon(batch.create, {"mark": f"before {number}"})
                    await anyio.sleep(0.03)
            before = len(hubspot.arrivals)
            async with asyncio.TaskGroup() as handling:
                for number in range(5_000):
                    handling.create_task(batch.create({"mark": f"m{number}"}))
                    if number % 10 == 9:
                        await anyio.sleep(0.01)
            return len(hubspot.arrivals) - before

    assert run_virtual(scenario, seed=3) <= 52
    assert len(hubspot.world.made) == 5_060
