"""Peak memory and CPU of a bulk create, many records against few: a stream of any length must cost the same a record.

Each run is a process of its own against the neutral server; the peak is that of the client's process, imports included,
the highest of all rounds.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator

from .data import records
from .figures import Table, median, ratio
from .processes import serving

__all__ = ["measure"]

GOAL_MIB = 10.0
IN_FLIGHT = 16


def measure(*, quick: bool = False, full: bool = False) -> Iterator[Table]:
    """One table."""
    del full
    sizes = (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000)
    rounds = 3 if quick else 7
    columns = ("records", "peak MiB", "MiB above the first line", "µs CPU a record", "× the first line", "records/s")
    title = f"Memory of a bulk create, every outcome iterated over ({IN_FLIGHT} in flight, median of {rounds})"
    table = Table(title, columns)
    runs: dict[int, list[dict[str, float]]] = {count: [] for count in sizes}
    with serving() as url:
        for _ in range(rounds):
            for count, done in runs.items():
                words = [sys.executable, "-m", "benchmarks.memory", url, str(count)]
                done.append(json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout))
    base_mib = max(run["peak_mib"] for run in runs[sizes[0]])
    first_us = [run["cpu_us"] for run in runs[sizes[0]]]
    for count, done in runs.items():
        peak_mib, cpu_us = max(run["peak_mib"] for run in done), [run["cpu_us"] for run in done]
        pace = median([count / run["wall_s"] for run in done])
        table.add(count, peak_mib, peak_mib - base_mib, median(cpu_us), ratio(cpu_us, first_us), pace)
    table.note(f"Goal: within {GOAL_MIB:g} MiB, and the same CPU a record within 5 %.")
    yield table


async def _push(url: str, count: int) -> dict[str, float]:
    """One bulk create, watched outcome by outcome, as a long backfill would be."""
    import resource

    from hubspot_meetings_async import Created, MeetingsClient, NoLimit

    created = 0
    async with MeetingsClient("token", base_url=url, limiter=NoLimit()) as hubspot:
        await hubspot.bulk.create(records(10_000), workers=IN_FLIGHT)  # connections, first calls, memory in use
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
