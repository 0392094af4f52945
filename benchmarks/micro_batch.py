"""What a single call in a micro-batch costs: in CPU, beside the same records in a bulk run, and in time and requests.

    python -m benchmarks.micro_batch [--records 2000] [--rounds 8]

The emulator serves from a process of its own; the CPU time is this process's, the best of some rounds. "gathered"
gives the calls to `asyncio.gather` as they are, "in tasks" makes a task of each. "handlers" is what as many tasks cost
that do nothing: a service has them anyway, a bulk run does not. "futures" and "coroutines" are what asyncio takes to
gather as many that are done a hundred at a time, with nothing else to it.

Then handlers come at random moments of ten seconds, each creates one meeting, and HubSpot takes 50 ms to answer. Ideal
is a batch that closes a linger after its first call. A call waits a linger and a round trip at most; the round trip is
that of calls without a batcher, one after the other, on the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

from hubspot_meetings_async import Attempt, MeetingsClient, NoLimit

__all__ = ["main"]

Way = Callable[[list[dict[str, str]]], Awaitable[None]]


def main() -> None:
    """Print milliseconds for each way, and how they compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=8)
    asked = parser.parse_args()
    words = [sys.executable, "-m", "hubspot_meetings_async.emulator", "--limit", "off"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as emulator:
        assert emulator.stdout is not None
        try:
            url = emulator.stdout.readline().split()[-1]
            took = asyncio.run(_measured(url, asked.records, asked.rounds))
        finally:
            emulator.terminate()
    for name, seconds in took.items():
        each_us = seconds / asked.records * 1e6
        print(f"{name:12} {seconds * 1000:7.1f} ms for {asked.records:,} records, {each_us:.1f} µs each")
    bulk, gathered, in_tasks, handlers = (took[name] for name in ("bulk", "gathered", "in tasks", "handlers"))
    print(
        f"gathered: {gathered / bulk:.2f} × bulk; in tasks: {in_tasks / bulk:.2f} ×, without the tasks themselves "
        f"{(in_tasks - handlers) / bulk:.2f} ×"
    )
    with subprocess.Popen([*words, "--service-latency", "0.05"], stdout=subprocess.PIPE, text=True) as emulator:
        assert emulator.stdout is not None
        try:
            url = emulator.stdout.readline().split()[-1]
            for linger_s in (0.005, 0.025):
                print(asyncio.run(_waited(url, asked.records, linger_s)))
        finally:
            emulator.terminate()


async def _measured(url: str, records: int, rounds: int) -> dict[str, float]:
    async with MeetingsClient("token", base_url=url, limiter=NoLimit()) as hubspot:

        async def bulk(given: list[dict[str, str]]) -> None:
            await hubspot.bulk.create(given)

        async def gathered(given: list[dict[str, str]]) -> None:
            async with hubspot.micro_batch() as batch:
                await asyncio.gather(*[batch.create(properties) for properties in given])

        async def in_tasks(given: list[dict[str, str]]) -> None:
            async with hubspot.micro_batch() as batch, asyncio.TaskGroup() as tasks:
                for properties in given:
                    tasks.create_task(batch.create(properties))

        async def handlers(given: list[dict[str, str]]) -> None:
            async with asyncio.TaskGroup() as tasks:
                for _ in given:
                    tasks.create_task(asyncio.sleep(0))

        ways: dict[str, Way] = {
            "bulk": bulk,
            "gathered": gathered,
            "in tasks": in_tasks,
            "handlers": handlers,
            "futures": _futures,
            "coroutines": _coroutines,
        }
        took = dict.fromkeys(ways, float("inf"))
        for number in range(rounds):
            for name, way in ways.items():
                given = [_record(number, n) for n in range(records)]
                gc.collect()
                began_s = time.process_time()
                await way(given)
                took[name] = min(took[name], time.process_time() - began_s)
        return took


async def _futures(given: list[dict[str, str]]) -> None:
    waiting = [asyncio.get_running_loop().create_future() for _ in given]
    gathered = asyncio.gather(*waiting)
    await _done(waiting)
    await gathered


async def _coroutines(given: list[dict[str, str]]) -> None:
    waiting: list[asyncio.Future[None]] = []

    async def call() -> None:
        waiting.append(asyncio.get_running_loop().create_future())
        await waiting[-1]

    gathered = asyncio.gather(*[call() for _ in given])
    await asyncio.sleep(0)
    await _done(waiting)
    await gathered


async def _done(waiting: list[asyncio.Future[None]]) -> None:
    for first in range(0, len(waiting), 100):
        for future in waiting[first : first + 100]:
            future.set_result(None)
        await asyncio.sleep(0)


async def _waited(url: str, number: int, linger_s: float) -> str:
    """So many handlers over ten seconds: requests against the ideal, and how long they wait."""
    requests: list[Attempt] = []
    began: list[float] = []
    waits: list[float] = []
    loop = asyncio.get_running_loop()
    rng = random.Random(7)
    async with MeetingsClient("token", base_url=url, limiter=NoLimit(), on_attempt=requests.append) as hubspot:
        alone = [await _timed(hubspot.meetings.create(_record(0, n))) for n in range(100)]
        requests.clear()
        async with hubspot.micro_batch(linger_s=linger_s) as batch, asyncio.TaskGroup() as handlers:

            async def handle(n: int, at: float) -> None:
                await asyncio.sleep(at)
                began.append(loop.time())
                waits.append(await _timed(batch.create(_record(1, n))))

            for n in range(number):
                handlers.create_task(handle(n, rng.uniform(0.0, 10.0)))
    ideal = _windows(sorted(began), linger_s)
    bound_ms = linger_s * 1000 + _percentile(alone, 0.99)
    return (
        f"{number:,} handlers over 10 s, linger {linger_s * 1000:g} ms: {len(requests):,} requests, ideal {ideal:,} "
        f"({len(requests) / ideal - 1:+.1%}); waits p50 {_percentile(waits, 0.5):.1f} ms, "
        f"p99 {_percentile(waits, 0.99):.1f} ms, linger and p99 of a round trip {bound_ms:.1f} ms"
    )


async def _timed(call: Awaitable[object]) -> float:
    began_at = time.perf_counter()
    await call
    return time.perf_counter() - began_at


def _windows(moments: list[float], linger_s: float, most: int = 100) -> int:
    """How many batches there are if each closes a linger after its first record, or with `most` of them."""
    batches = count = 0
    closes_at = -math.inf
    for at in moments:
        if at > closes_at or count == most:
            batches, count, closes_at = batches + 1, 0, at + linger_s
        count += 1
    return batches


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[math.ceil(share * len(values)) - 1] * 1000


def _record(number: int, n: int) -> dict[str, str]:
    return {
        "hs_meeting_title": f"meeting {number}-{n}",
        "hs_meeting_body": "notes " * 30,
        "hs_meeting_outcome": "SCHEDULED",
        "hs_timestamp": "2026-01-01T09:00:00Z",
        "hs_meeting_location": "Room 1",
    }


if __name__ == "__main__":
    main()
