"""CPU per record of a bulk create, against the floor: aiohttp posting constant bytes and reading the answer undecoded.

    python -m benchmarks.bulk_create [--records 100000] [--rounds 5]

Contestants run one after the other in processes of their own, round after round, against one neutral server. The figure
is CPU time of the whole client process divided by the records, median over the rounds; the ratio is to the floor.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from itertools import islice

from .data import RECORDS, records

__all__ = ["CONTESTANTS", "main"]

WORKERS = 8
PATH = "/crm/v3/objects/meetings/batch/create"
HEADERS = {"Authorization": "Bearer token", "Content-Type": "application/json"}


async def floor(base_url: str, count: int) -> None:
    """aiohttp posts the same bytes over and over."""
    import aiohttp

    body = json.dumps({"inputs": [{"properties": record} for record in RECORDS]}, separators=(",", ":")).encode()
    turns = iter(range(count // 100))
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:

        async def work() -> None:
            for _ in turns:
                async with session.post(base_url + PATH, data=body, headers=HEADERS) as answer:
                    await answer.read()

        for _ in range(WORKERS):
            group.create_task(work())


async def naive(base_url: str, count: int) -> None:
    """aiohttp and the json module, as one would write it in an afternoon: no outcomes, no retries."""
    import aiohttp

    source = records(count)
    done = 0
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:

        async def work() -> None:
            nonlocal done
            while inputs := [{"properties": record} for record in islice(source, 100)]:
                async with session.post(base_url + PATH, json={"inputs": inputs}, headers=HEADERS) as answer:
                    done += len((await answer.json())["results"])

        for _ in range(WORKERS):
            group.create_task(work())
    assert done == count


async def report(base_url: str, count: int) -> None:
    """This library: `await hubspot.bulk.create(...)`."""
    from hubspot_meetings_async import MeetingsClient, NoLimit

    async with MeetingsClient("token", base_url=base_url, limiter=NoLimit()) as hubspot:
        done = await hubspot.bulk.create(records(count), workers=WORKERS)
    assert done.created == count


async def outcomes(base_url: str, count: int) -> None:
    """This library: every outcome iterated over, with its meeting."""
    from hubspot_meetings_async import Created, MeetingsClient, NoLimit

    created = 0
    async with (
        MeetingsClient("token", base_url=base_url, limiter=NoLimit()) as hubspot,
        hubspot.bulk.create(records(count), workers=WORKERS) as run,
    ):
        async for outcome in run:
            created += isinstance(outcome, Created) and bool(outcome.meeting.id)
    assert created == count


CONTESTANTS: dict[str, Callable[[str, int], Awaitable[None]]] = {
    "floor": floor,
    "naive": naive,
    "report": report,
    "outcomes": outcomes,
}


def _measure(name: str, base_url: str, count: int) -> float:
    words = [sys.executable, "-m", "benchmarks.bulk_create", "--one", name, base_url, "--records", str(count)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


async def _one(name: str, base_url: str, count: int) -> None:
    contestant = CONTESTANTS[name]
    await contestant(base_url, 1_000)  # imports, connections, first-call caches
    began_s = time.process_time()
    await contestant(base_url, count)
    print(time.process_time() - began_s)


def main(count: int, rounds: int) -> None:
    """Measure all, print the table."""
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.neutral_server"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert server.stdout is not None
        base_url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
        for _ in range(rounds):
            for name in CONTESTANTS:
                seconds[name].append(_measure(name, base_url, count))
    finally:
        server.terminate()
        server.wait()
    print(f"bulk create of {count:,} records, {WORKERS} in flight, median of {rounds} rounds")
    print(f"Python {platform.python_version()}, aiohttp {version('aiohttp')}, msgspec {version('msgspec')}")
    base = statistics.median(seconds["floor"])
    for name, taken in seconds.items():
        median_s = statistics.median(taken)
        print(f"  {name:9} {median_s / count * 1e6:7.2f} µs CPU a record   {median_s / base:5.2f} × the floor")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=2, metavar=("NAME", "URL"), help="used by the benchmark itself")
    arguments = parser.parse_args()
    if arguments.one:
        name, url = arguments.one
        asyncio.run(_one(name, url, arguments.records))
    else:
        main(arguments.records, arguments.rounds)
