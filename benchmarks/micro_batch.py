"""What a single call in a micro-batch costs in CPU, beside the same records in a bulk run.

    python -m benchmarks.micro_batch [--records 2000] [--rounds 8]

The emulator serves from a process of its own; the CPU time is this process's, the best of some rounds. "handlers" is
what as many tasks cost that do nothing: a service has them anyway, a bulk run does not.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

from hubspot_meetings_async import MeetingsClient, NoLimit

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
    bulk, micro, handlers = took["bulk"], took["micro-batch"], took["handlers"]
    print(f"micro-batch: {micro / bulk:.2f} × bulk; without the handlers' own tasks {(micro - handlers) / bulk:.2f} ×")


async def _measured(url: str, records: int, rounds: int) -> dict[str, float]:
    async with MeetingsClient("token", base_url=url, limiter=NoLimit()) as hubspot:

        async def bulk(given: list[dict[str, str]]) -> None:
            await hubspot.bulk.create(given)

        async def micro(given: list[dict[str, str]]) -> None:
            async with hubspot.micro_batch() as batch, asyncio.TaskGroup() as tasks:
                for properties in given:
                    tasks.create_task(batch.create(properties))

        async def handlers(given: list[dict[str, str]]) -> None:
            async with asyncio.TaskGroup() as tasks:
                for _ in given:
                    tasks.create_task(asyncio.sleep(0))

        ways: dict[str, Way] = {"bulk": bulk, "micro-batch": micro, "handlers": handlers}
        took = dict.fromkeys(ways, float("inf"))
        for number in range(rounds):
            for name, way in ways.items():
                given = [_record(number, n) for n in range(records)]
                gc.collect()
                began_s = time.process_time()
                await way(given)
                took[name] = min(took[name], time.process_time() - began_s)
        return took


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
