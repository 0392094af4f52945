"""The process of one contestant: `python -m benchmarks.contestants NAME`.

Reads tasks from standard input, a JSON object a line (`work`, `url`, `count`, `in_flight`), does each on an event loop
of its own after a warm-up, and prints what it took: `{"cpu_s": …, "wall_s": …}`, or `{"left_out": why}`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

from . import CONTESTANTS

WARM_UP = 400
"""Records before the clock runs: connections are open, caches of first calls are filled."""


async def _do(make: Callable[[str], Any], work: str, url: str, count: int, in_flight: int, warm_up: int) -> object:
    async with make(url) as contestant:
        step = getattr(contestant, work, None)
        if step is None:
            return {"left_out": "has no such call"}
        more = (in_flight,) if work in ("create", "upsert", "read", "update", "archive") else ()
        if warm_up:
            await step(min(count, warm_up * in_flight if more else warm_up), *more)
        began_at, cpu_s = time.perf_counter(), time.process_time()
        done = await step(count, *more)
        figures = {"cpu_s": time.process_time() - cpu_s, "wall_s": time.perf_counter() - began_at}
        if done != count:
            raise SystemExit(f"{work}: {done:,} of {count:,} records were done")
        return figures


def main(name: str) -> None:
    """Work until standard input ends."""
    contestant = CONTESTANTS[name]
    factory = None
    if contestant.uvloop:
        import uvloop

        factory = uvloop.new_event_loop
    # The contestants' own, such as those of a client that is left to the garbage collector.
    warnings.simplefilter("ignore")
    make = contestant.make()
    for line in sys.stdin:
        task = json.loads(line)
        with asyncio.Runner(loop_factory=factory) as runner:
            result = runner.run(
                _do(
                    make,
                    task["work"],
                    task["url"],
                    task["count"],
                    task.get("in_flight", 1),
                    task.get("warm_up", WARM_UP),
                )
            )
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
