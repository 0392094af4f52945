"""Four processes on one quota through Redis: how much of it they use together, and how often they are refused.

    python -m benchmarks shared

Each process is a bulk run of its own; the server counts an exact rolling window of all calls, after a jitter of 5 to
150 ms. In real time, over sockets, with a redis-server of its own, which one of the runs takes away for a while. It
needs `redis-server` on the path.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .data import RECORDS
from .figures import Table
from .limiter_sim import Window
from .processes import asked_of, serving
from .redis_server import RedisServer

if TYPE_CHECKING:
    from hubspot_meetings_async.telemetry import Attempt

__all__ = ["Outcome", "Scenario", "measure", "run"]

STEADY_FROM_S = 30.0
"""From the fourth window on bulk is spread over the whole cycle of a slot; the change to that costs part of one."""


@dataclass
class Scenario:
    """Processes on one quota, for some seconds.

    `skew_s` sets each process' wall clock apart from the last one's. `away` is when Redis goes, and for how long.
    """

    name: str
    seconds: float
    processes: int = 4
    limit: int = 190
    window_s: float = 10.0
    jitter_ms: tuple[float, float] = (5.0, 150.0)
    workers: int = 16
    skew_s: float = 0.0
    away: tuple[float, float] | None = None


@dataclass
class Outcome:
    """What the server saw, and what each process did. `away` is when Redis was away, in the server's seconds."""

    scenario: Scenario
    window: Window
    told: list[dict[str, Any]]
    away: list[float] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Runs that ended otherwise than they should, and records that were not written."""
        return sum(told["failed"] for told in self.told)

    @property
    def most_possible(self) -> float:
        """What is provably safe in percent of the limit, W / (W + RTT), by the answer times that the processes saw."""
        took_s: float = sum(told["took_s"] for told in self.told) / sum(told["calls"] for told in self.told)
        return 100 * self.scenario.window_s / (self.scenario.window_s + took_s)

    @property
    def refused_percent(self) -> float:
        """Of all calls, those answered 429."""
        calls = len(self.window.accepted) + len(self.window.refused)
        return 100 * len(self.window.refused) / calls

    def use_away_percent(self) -> float:
        """Use of the limit while Redis was away."""
        since, until = self.away
        stamps = self.window.accepted
        calls = bisect_left(stamps, until) - bisect_left(stamps, since)
        return 100 * calls / (self.scenario.limit * (until - since) / self.scenario.window_s)


def measure(*, quick: bool = False, full: bool = False) -> Iterator[Table]:
    """One table."""
    columns = (
        "four processes", "use of the first 30 s %", "steady %", "W/(W+RTT) %", "429s", "of all calls %",
        "fullest window", "calls of one, least–most", "use while away %", "errors",
    )  # fmt: skip
    seconds = 132.0 if full else 16.0 if quick else 64.0
    table = Table(f"190 calls in 10 s, shared through Redis, {seconds:g} s of real time", columns)
    if not RedisServer.installed():
        table.note("Not measured: this machine has no redis-server.")
        yield table
        return
    away = (seconds / 3, 5.0 if quick else 15.0)
    scenarios = [
        Scenario("as they are", seconds),
        Scenario("wall clocks 0.5 s apart", seconds, skew_s=0.5),
        Scenario(f"Redis away for {away[1]:g} s, and back empty", seconds, away=away),
    ]
    for outcome in _side_by_side(scenarios):
        window, first = outcome.window, min(30.0, seconds - 2)
        calls = [told["calls"] for told in outcome.told]
        table.add(
            outcome.scenario.name,
            window.use_first(first),
            window.use_steady(since=STEADY_FROM_S) if seconds > STEADY_FROM_S + 20 else None,
            outcome.most_possible,
            len(window.refused),
            outcome.refused_percent,
            window.fullest_window(),
            f"{min(calls)}–{max(calls)}",
            outcome.use_away_percent() if outcome.away else None,
            outcome.errors,
        )
    table.note("Each run has a server, a Redis and four processes to itself, and they run at the same time.")
    yield table


def _side_by_side(scenarios: list[Scenario]) -> list[Outcome]:
    found: dict[str, Outcome] = {}

    def one(scenario: Scenario) -> None:
        found[scenario.name] = run(scenario)

    threads = [threading.Thread(target=one, args=(scenario,)) for scenario in scenarios]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[scenario.name] for scenario in scenarios]


def run(scenario: Scenario) -> Outcome:
    """Do it."""
    least_ms, most_ms = scenario.jitter_ms
    options = (
        "--limit", str(scenario.limit), "--window-s", str(scenario.window_s), "--jitter-ms", str(least_ms), str(most_ms)
    )  # fmt: skip
    with (
        tempfile.TemporaryDirectory() as folder,
        RedisServer(Path(folder)) as redis,
        serving(*options, module="benchmarks.window_server") as url,
    ):
        words = [sys.executable, "-m", "benchmarks.shared_quota", url, redis.url]
        began_at = time.monotonic()
        processes = [
            subprocess.Popen(
                [*words, str(scenario.seconds), str(scenario.workers), str(number * scenario.skew_s)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(scenario.processes)
        ]
        away = [] if scenario.away is None else _take_away(redis, url, began_at, *scenario.away)
        said = [process.communicate()[0] for process in processes]
        if any(process.returncode for process in processes):
            raise SystemExit("a process of the shared quota failed")
        stamps = asked_of(url, "/stamps")
    window = Window(scenario.limit, scenario.window_s)
    window.accepted, window.refused = stamps["accepted"], stamps["refused"]
    return Outcome(scenario, window, [json.loads(text) for text in said], away)


def _take_away(redis: RedisServer, url: str, began_at: float, after_s: float, for_s: float) -> list[float]:
    time.sleep(max(0.0, began_at + after_s - time.monotonic()))
    redis.stop()
    since = max(asked_of(url, "/stamps")["accepted"])
    time.sleep(for_s)
    redis.start()
    return [since, since + for_s]


async def _process(url: str, redis: str, seconds: float, workers: int) -> dict[str, Any]:
    from hubspot_meetings_async import MeetingsClient
    from hubspot_meetings_async.integrations.redis import RedisQuota

    until = time.monotonic() + seconds

    def source() -> Iterator[dict[str, str]]:
        while time.monotonic() < until:
            yield from RECORDS

    took_s = 0.0

    def heard(attempt: Attempt) -> None:
        nonlocal took_s
        took_s += attempt.took_s

    async with (
        RedisQuota(redis, account="benchmark") as quota,
        MeetingsClient("t", base_url=url, limiter=quota, on_attempt=heard) as hub,
    ):
        run = hub.bulk.create(source(), workers=workers, read_in_thread=False)
        asyncio.get_running_loop().call_later(seconds, run.stop)
        report = await run
    return {"calls": quota.stats().granted_bulk, "took_s": took_s, "failed": report.rejected + report.ambiguous}


def _main(url: str, redis: str, seconds: str, workers: str, skew_s: str) -> None:
    wall_clock = time.time
    time.time = lambda: wall_clock() + float(skew_s)
    print(json.dumps(asyncio.run(_process(url, redis, float(seconds), int(workers)))))


if __name__ == "__main__":
    _main(*sys.argv[1:])
