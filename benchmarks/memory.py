"""Peak memory and CPU of a bulk create, many records against few: a stream of any length must cost the same a record.

Each run is a process of its own against the neutral server; the peak is that of the client's process, imports included.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator

from .data import records
from .figures import Table
from .processes import serving

__all__ = ["measure"]

GOAL_MIB = 10.0
IN_FLIGHT = 16


def measure(*, quick: bool = False, full: bool = False) -> Iterator[Table]:
    """One table."""
    del full
    sizes = (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000)
    columns = ("records", "peak MiB", "MiB above the first line", "µs CPU a record", "records/s")
    table = Table(f"Memory of a bulk create, every outcome iterated over ({IN_FLIGHT} in flight)", columns)
    with serving() as url:
        base_mib = None
        for count in sizes:
            words = [sys.executable, "-m", "benchmarks.memory", url, str(count)]
            done = json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
            base_mib = done["peak_mib"] if base_mib is None else base_mib
            table.add(count, done["peak_mib"], done["peak_mib"] - base_mib, done["cpu_us"], count / done["wall_s"])
    table.note(f"Goal: within {GOAL_MIB:g} MiB, and the same CPU a record within 5 %.")
    yield table


async def _push(url: str, count: int) -> dict[str, float]:
    """One bulk create, watched outcome by outcome, as a long backfill would be."""
    import resource

    from hubspot_meetings_async import Created, MeetingsClient, NoLimit

    created = 0
    async with MeetingsClient("token", base_url=url, limiter=NoLimit()) as hubspot:
        await hubspot.bulk.create(records(2_000), workers=IN_FLIGHT)  # connections, first calls
        began_at, cpu_s = time.perf_counter(), time.process_time()
        async with hubspot.bulk.create(records(count), workers=IN_FLIGHT) as run:
            async for outcome in run:
                created += isinstance(outcome, Created)
        wall_s, cpu_s = time.perf_counter() - began_at, time.process_time() - cpu_s
    if created != count or not run.report.adds_up:
        raise SystemExit(f"the account is wrong: {created:,} outcomes of {count:,}; {run.report}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak_mib = peak / 2**20 if sys.platform == "darwin" else peak / 2**10
    return {"peak_mib": peak_mib, "cpu_us": cpu_s / count * 1e6, "wall_s": wall_s}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_push(sys.argv[1], int(sys.argv[2])))))
