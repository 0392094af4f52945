"""Peak memory of a bulk create, many records against few: a stream of any length must cost the same.

    python -m benchmarks.memory [--records 1000000] [--baseline 10000] [--workers 16]

Each run is a process of its own, against an emulator in another one with its limits off; the figure is the client
process's peak resident memory, imports included. Exit code 1 when the difference is above the goal.

With its limits off an emulator that pauses for a moment lets the requests in flight grow, each with its hundred
records; `--workers` bounds them, and so tells what the length of the stream costs from what concurrency costs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

GOAL_MIB = 20.0
MIB = 1024 * 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both sizes and print the difference."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=1_000_000, help="records of the large run (%(default)s)")
    parser.add_argument("--baseline", type=int, default=10_000, help="records of the small run (%(default)s)")
    parser.add_argument("--workers", type=int, default=0, help="requests in flight at most (0: the engine decides)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--child", nargs=2, metavar=("URL", "COUNT"), help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.child:
        print(json.dumps(asyncio.run(_push(asked.child[0], int(asked.child[1]), asked.workers or None))))
        return 0
    small, large = _measured(asked.baseline, asked.workers), _measured(asked.records, asked.workers)
    difference_mib = large["peak_mib"] - small["peak_mib"]
    if asked.json:
        print(json.dumps({"runs": [small, large], "difference_mib": difference_mib, "goal_mib": GOAL_MIB}))
    else:
        for run in (small, large):
            speed = run["records"] / run["seconds"]
            print(f"{run['records']:>12,} records: peak {run['peak_mib']:6.1f} MiB, {speed:,.0f} records/s")
        print(f"  difference: {difference_mib:+.1f} MiB (goal: within {GOAL_MIB:g} MiB)")
    return 0 if abs(difference_mib) <= GOAL_MIB else 1


def _measured(count: int, workers: int) -> dict[str, Any]:
    with _emulator() as url:
        command = [sys.executable, "-m", "benchmarks.memory", "--workers", str(workers)]
        command += ["--child", url, str(count)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@contextmanager
def _emulator() -> Iterator[str]:
    command = [sys.executable, "-m", "hubspot_meetings_async.emulator", "--port", "0", "--limit", "off"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if "http" not in line:
                raise SystemExit("the emulator did not start")
            yield line.split()[-1]
        finally:
            process.terminate()


async def _push(url: str, count: int, workers: int | None) -> dict[str, Any]:
    """One bulk create of `count` generated records, watched outcome by outcome, as a long backfill would be."""
    import resource

    from hubspot_meetings_async import Created, MeetingsClient, NoLimit

    began_s = time.perf_counter()
    created = 0
    async with MeetingsClient("token", base_url=url, limiter=NoLimit()) as hubspot:
        async with hubspot.bulk.create(_records(count), workers=workers) as run:
            async for outcome in run:
                created += isinstance(outcome, Created)
        report = run.report
    if created != count or report.created != count or not report.adds_up:
        raise SystemExit(f"the account is wrong: {created:,} outcomes of {count:,}; {report}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "records": count,
        "seconds": time.perf_counter() - began_s,
        "peak_mib": peak / MIB if sys.platform == "darwin" else peak / 1024,
    }


def _records(count: int) -> Iterator[dict[str, str]]:
    for number in range(count):
        day, minute = 1 + number % 28, number % 60
        yield {
            "hs_meeting_title": f"Quarterly review no. {number}",
            "hs_meeting_body": f"Agenda of meeting {number}: figures, plans, open questions.",
            "hs_timestamp": f"2026-11-{day:02}T09:{minute:02}:00.000Z",
            "hs_meeting_start_time": f"2026-11-{day:02}T09:{minute:02}:00.000Z",
            "hs_meeting_end_time": f"2026-11-{day:02}T10:{minute:02}:00.000Z",
        }


if __name__ == "__main__":
    raise SystemExit(main())
