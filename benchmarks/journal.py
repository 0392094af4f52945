"""What a journal costs a bulk run, and what it takes to go on with one.

    python -m benchmarks.journal [--seconds 10] [--rounds 3] [--records 2000000] [--folder DIR]

Throughput: the same paced stream of records, with and without a journal, round after round in processes of their
own against the neutral server (answers after 100 ms), at 2,000 and at 50,000 records a second. Resuming: opening and
reading a journal of two million records, by ordinal and by key. The journals are written to `--folder`, the current one
by default: a folder in memory would measure nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import platform
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from .data import KEY, RECORDS

RATES = (2_000, 50_000)
VARIANTS = ("none", "process", "power")
GOALS = {2_000: 0.01, 50_000: 0.05}
WORKERS = 100


async def _paced(rate: int, seconds: float) -> AsyncIterator[dict[str, str]]:
    """Records at a steady rate, a batch at a time."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    for batch in range(int(rate * seconds) // 100):
        wait_s = began_at + batch * 100 / rate - loop.time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        for number in range(100):
            yield RECORDS[(batch * 100 + number) % len(RECORDS)]


async def _run(base_url: str, rate: int, seconds: float, variant: str, path: str) -> dict[str, float]:
    """One run; records a second between the first outcomes and the last, and CPU a batch."""
    from hubspot_meetings_async import MeetingsClient, NoLimit, Report

    options: dict[str, Any] = {} if variant == "none" else {"journal": path, "durability": variant}
    settled: list[tuple[float, int]] = []

    def on_progress(report: Report) -> None:
        settled.append((time.perf_counter(), report.settled))

    async with MeetingsClient("token", base_url=base_url, limiter=NoLimit(), max_connections=WORKERS) as hubspot:
        await hubspot.account.details()  # imports, the first connection
        cpu_s = time.process_time()
        report = await hubspot.bulk.create(_paced(rate, seconds), workers=WORKERS, on_progress=on_progress, **options)
        cpu_s = time.process_time() - cpu_s
    assert report.created == report.pulled == int(rate * seconds) // 100 * 100, str(report)
    (first_s, first), (last_s, last) = settled[0], settled[-1]
    return {"rate": (last - first) / (last_s - first_s), "cpu_ms": cpu_s / (report.created / 100) * 1_000}


def _write_past(path: str, count: int) -> None:
    """A journal of `count` settled records and a hundred in doubt, as a run leaves it that was killed."""
    from hubspot_meetings_async.bulk.journal.journal import Job, Journal
    from hubspot_meetings_async.bulk.journal.rows import Past
    from hubspot_meetings_async.bulk.journal.store import open_store
    from hubspot_meetings_async.bulk.outcomes import Created, Outcome
    from hubspot_meetings_async.inputs import Inputs
    from hubspot_meetings_async.models import Meeting

    async def write() -> None:
        job = Job(operation="create", mode="reconcile", key_property=KEY, host="http://127.0.0.1")
        store = open_store(path, meta=job.meta(), durability="process")
        journal = Journal(store, Past(), resume="ordinal")
        await journal.begin()
        form = Inputs.create(key_property=KEY)
        for first in range(0, count + 100, 100):
            entries = [form.entry(n, {KEY: f"booking-{n:012}"}, f"t{n}") for n in range(first, first + 100)]
            await journal.intend(entries, alone=False)
            if first < count:
                outcomes: list[Outcome[Any, Any]] = [
                    Created(entry.record, entry.ordinal, Meeting(id=str(9_000_000 + entry.ordinal), properties={}))
                    for entry in entries
                ]
                written = journal.ack(outcomes)
                assert written is not None
                await written
        await journal.aclose()

    asyncio.run(write())


def _resume(path: str, by_key: bool) -> dict[str, float]:
    """Open and read it."""
    from hubspot_meetings_async.bulk.journal.rows import Past
    from hubspot_meetings_async.bulk.journal.store import open_store

    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began_s = time.perf_counter()
    store = open_store(path, meta={}, durability="process")
    past = Past.read(store.rows(), with_keys=by_key)
    took_s = time.perf_counter() - began_s
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    in_doubt = past.tally()["i"]
    assert in_doubt == 100
    return {"seconds": took_s, "mib": (peak_kib - before_kib) / 1024, "whole_mib": peak_kib / 1024}


def _child(*words: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-m", "benchmarks.journal", *words], stdout=subprocess.PIPE, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main(seconds: float, rounds: int, records: int, rates: Sequence[int], folder: Path) -> int:
    """Measure both, print the tables; 1 when a goal is missed."""
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, median of {rounds} rounds")
    missed = 0
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.neutral_server", "--latency-ms", "100"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        base_url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        for rate in rates:
            measured: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
            for _ in range(rounds):
                for variant in VARIANTS:
                    with tempfile.TemporaryDirectory(dir=folder) as place:
                        words = ("--run", base_url, str(rate), str(seconds), variant, f"{place}/journal")
                        measured[variant].append(_child(*words))
            missed += _table(rate, measured)
    finally:
        server.terminate()
        server.wait()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = f"{place}/journal"
        _write_past(path, records)
        print(f"going on with {records:,} records, journal of {Path(path).stat().st_size / 2**20:.0f} MiB")
        for way in ("ordinal", "key"):
            figures = _child("--resume", path, way)
            missed += figures["seconds"] > 5 or figures["mib"] > 300
            print(f"  by {way:8} {figures['seconds']:5.2f} s, {figures['mib']:5.0f} MiB (goal: 5 s, 300 MiB)")
    return 1 if missed else 0


def _table(rate: int, measured: dict[str, list[dict[str, float]]]) -> int:
    print(f"{rate:,} records a second asked for, {WORKERS} requests in flight at most")
    base = statistics.median(run["rate"] for run in measured["none"])
    missed = 0
    for variant, runs in measured.items():
        reached, cpu_ms = (statistics.median(run[name] for run in runs) for name in ("rate", "cpu_ms"))
        cost = 1 - reached / base
        missed += cost > GOALS[rate]
        print(
            f"  {variant:8} {reached:9,.0f} records/s  {-cost:+7.2%}  {cpu_ms:6.2f} ms CPU a batch"
            f"  (goal: -{GOALS[rate]:.0%})"
        )
    return missed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--rates", type=int, nargs="+", default=RATES, choices=RATES)
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--run", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--resume", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        if asked.run:
            url, rate_text, seconds_text, kind, file = asked.run
            print(json.dumps(asyncio.run(_run(url, int(rate_text), float(seconds_text), kind, file))))
        elif asked.resume:
            print(json.dumps(_resume(asked.resume[0], asked.resume[1] == "key")))
        else:
            raise SystemExit(main(asked.seconds, asked.rounds, asked.records, asked.rates, asked.folder))
