"""How much of a rolling window the limiter uses, and how often it is refused, on a virtual clock.

    python -m benchmarks.limiter_sim            the table: minutes of waiting in seconds, the same every time
    python -m benchmarks.limiter_sim --hour     the long runs
    python -m benchmarks.limiter_sim --cost     microseconds per call, in real time

The server is an exact log: a call is accepted when fewer than the limit were in the window before its stamp. Its stamp
is made after a random delay; the answer comes at once or after a service time. It is not HubSpot, whose window is only
known by name: the other models in here are what else it might be.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from hubspot_meetings_async.limiter import Lane, Limiter, QuotaGate, search_gate
from tests.virtual_time import run_virtual

WINDOW_S = 10.0
Delay = Callable[[random.Random], float]


def uniform(least_ms: float, most_ms: float) -> Delay:
    """A delay drawn evenly between two bounds in milliseconds; returned in seconds."""
    return lambda rng: rng.uniform(least_ms, most_ms) / 1000


def lognormal(median_ms: float, sigma: float = 0.35) -> Delay:
    """A delay with a long tail, by its median in milliseconds; returned in seconds."""
    return lambda rng: median_ms / 1000 * rng.lognormvariate(0, sigma)


def spiky(usual: Delay, spike_ms: float, share: float = 0.002) -> Delay:
    """A delay that now and then takes so much longer."""
    return lambda rng: usual(rng) + (spike_ms / 1000 if rng.random() < share else 0.0)


NETWORK = uniform(5, 150)
AT_ONCE = uniform(0, 0)


class Window:
    """A server that enforces a limit. `accepted` and `refused` keep the stamps of our own calls."""

    def __init__(
        self,
        limit: int,
        window_s: float = WINDOW_S,
        *,
        headers: bool = True,
        counts_refused: bool = False,
        bucket_s: float = 0.0,
    ) -> None:
        self.limit = limit
        self.window_s = window_s
        self.headers = headers
        self.counts_refused = counts_refused
        self.bucket_s = bucket_s
        self.accepted: list[float] = []
        self.refused: list[float] = []
        self.foreign_accepted = 0
        self._log: deque[float] = deque()

    def stamp(self, now: float, *, foreign: bool = False) -> tuple[bool, dict[str, str]]:
        """One call's stamp: accepted or not, and the headers of the answer."""
        # With buckets the window begins at a bucket's edge, and so is up to a bucket longer.
        since = now - self.window_s
        if self.bucket_s:
            since = since // self.bucket_s * self.bucket_s
        while self._log and self._log[0] <= since:
            self._log.popleft()
        ok = len(self._log) < self.limit
        if ok or self.counts_refused:
            self._log.append(now)
        if foreign:
            self.foreign_accepted += ok
        else:
            (self.accepted if ok else self.refused).append(now)
        return ok, self._headers()

    def fill(self, times: Iterator[float]) -> None:
        """Calls that somebody made before."""
        self._log.extend(times)

    def _headers(self) -> dict[str, str]:
        if not self.headers:
            return {}
        return {
            "X-HubSpot-RateLimit-Max": str(self.limit),
            "X-HubSpot-RateLimit-Remaining": str(max(0, self.limit - len(self._log))),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(self.window_s * 1000)),
        }

    def fullest_window(self) -> int:
        """The most stamps of ours, accepted or not, that any rolling window held."""
        stamps = sorted(self.accepted + self.refused)
        return max((bisect_left(stamps, at + self.window_s) - i for i, at in enumerate(stamps)), default=0)

    def use_steady(self, *, since: float = 30.0) -> float:
        """Percent of the limit used after the start, free of phase: the time that m whole quotas took, averaged over
        one quota of starting points. Counting per clock window would favour whoever bunches at its edges."""
        stamps, quota = self.accepted[bisect_right(self.accepted, since) :], self.limit
        quotas = (len(stamps) - quota) // quota
        if quotas < 1:
            return float("nan")
        shares = [quotas * self.window_s / (stamps[i + quotas * quota] - stamps[i]) for i in range(quota)]
        return 100 * sum(shares) / quota

    def use_first(self, seconds: float = 30.0) -> float:
        """Percent of the limit used in the first seconds."""
        return 100 * bisect_right(self.accepted, seconds) / (self.limit * seconds / self.window_s)


@dataclass
class World:
    """A limiter, the server it calls, and what its callers saw."""

    limiter: Limiter
    server: Window
    rng: random.Random
    forward: Delay = NETWORK
    backward: Delay = AT_ONCE
    waits: dict[Lane, list[float]] = field(default_factory=lambda: {Lane.INTERACTIVE: [], Lane.BULK: []})
    policy: str | None = "TEN_SECONDLY_ROLLING"

    async def call(self, lane: Lane) -> None:
        """One call, sent until it is accepted; notes how long it waited for its first slot."""
        loop, at_head = asyncio.get_running_loop(), False
        began_at = loop.time()
        while True:
            async with self.limiter.slot(lane, at_head=at_head) as slot:
                if not at_head:
                    self.waits[lane].append(loop.time() - began_at)
                slot.written()
                await asyncio.sleep(self.forward(self.rng))
                ok, headers = self.server.stamp(loop.time())
                if (rest_s := self.backward(self.rng)) > 0:
                    await asyncio.sleep(rest_s)
                slot.answered(headers)
                if ok:
                    return
                slot.refused(policy=self.policy, retry_after_s=None)
            at_head = True

    async def worker(self, lane: Lane, until: float) -> None:
        """Call after call until then."""
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            await self.call(lane)

    async def others(self, per_s: float, until: float) -> None:
        """Somebody else calls the same server, at random moments."""
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            await asyncio.sleep(self.rng.expovariate(per_s))
            self.server.stamp(loop.time(), foreign=True)

    async def visitor(self, every_s: float, until: float) -> None:
        """One interactive call at a time, now and then: a phase of its own each time."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as calls:
            while loop.time() < until:
                await asyncio.sleep(self.rng.uniform(0.5, 1.5) * every_s)
                calls.create_task(self.call(Lane.INTERACTIVE))


async def together(seconds: float, *jobs: Awaitable[None]) -> None:
    """Run jobs side by side, and stop those that still run then."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result


def saturate(
    make: Callable[[], Limiter],
    server: Window,
    *,
    workers: int,
    seconds: float,
    seed: int = 0,
    lane: Lane = Lane.BULK,
    forward: Delay = NETWORK,
    backward: Delay = AT_ONCE,
    foreign_per_s: float = 0.0,
    visitor_every_s: float = 0.0,
    policy: str | None = "TEN_SECONDLY_ROLLING",
) -> World:
    """Workers that always want to call, for some virtual seconds."""

    async def scenario(rng: random.Random) -> World:
        world = World(make(), server, rng, forward, backward, policy=policy)
        jobs = [world.worker(lane, seconds) for _ in range(workers)]
        if foreign_per_s:
            jobs.append(world.others(foreign_per_s, seconds))
        if visitor_every_s:
            jobs.append(world.visitor(visitor_every_s, seconds))
        await together(seconds, *jobs)
        return world

    return run_virtual(scenario, seed)


def oracle(limit: int, *, seconds: float, seed: int = 0, least_s: float = 0.005, forward: Delay = NETWORK) -> Window:
    """What no client with one call in flight can beat that is never refused: it knows the moment at which the server
    stamped each call, and the least delay of the next. It sends as soon as its last answer and the window allow."""
    rng, server, now = random.Random(seed), Window(limit), 0.0
    stamps = server.accepted
    while now < seconds:
        if len(stamps) >= limit:
            now = max(now, stamps[-limit] + WINDOW_S - least_s)
        now += forward(rng)
        ok, _ = server.stamp(now)
        assert ok
    return server


def percentile(values: list[float], percent: float) -> float:
    """The value that so many percent of the values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))] if values else float("nan")


# W / (W + mean delay - least delay): with any number in flight, the next call's delay is not known beforehand.
_SAFE = f"{100 * WINDOW_S / (WINDOW_S + 0.0725):.2f}"


def _report_grid(seconds: float) -> None:
    print(
        "| limit/10 s | in flight | jitter ms | first 30 s % | steady % | 429s | fullest window | the most possible |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for limit in (100, 110, 190, 250):
        for workers in (1, 8, 32, 64):
            server = Window(limit)
            saturate(QuotaGate, server, workers=workers, seconds=seconds)
            most = f"{oracle(limit, seconds=seconds).use_steady():.2f} (oracle)" if workers == 1 else _SAFE
            print(
                f"| {limit} | {workers} | 5-150 | {server.use_first():.2f} | {server.use_steady():.2f}"
                f" | {len(server.refused)} | {server.fullest_window()} | {most} |"
            )
    print(
        "\nThe oracle knows when the server stamped each of its calls; with one call in flight it is late all the same."
    )


def _report_jitter(seconds: float) -> None:
    print("\n| jitter ms (limit 190, 32 in flight) | steady % | theory % | 429s |\n|---|---|---|---|")
    for most_ms in (0, 10, 50, 145, 300, 500):
        server = Window(190)
        saturate(QuotaGate, server, workers=32, seconds=seconds, forward=uniform(0, most_ms))
        theory = 100 * WINDOW_S / (WINDOW_S + most_ms / 2000)
        print(f"| 0-{most_ms} | {server.use_steady():.2f} | {theory:.2f} | {len(server.refused)} |")


def _report_slow(seconds: float) -> None:
    print("\n| slow service (limit 190, 64 in flight) | learn_stamp | steady % | 429s | per 10,000 |")
    print("|---|---|---|---|---|")
    even = uniform(0, 10)
    for name, forward, median_ms in (
        ("300 ms, jitter 10 ms", even, 300),
        ("1 s, jitter 10 ms", even, 1000),
        ("300 ms, jitter 5-150 ms", NETWORK, 300),
        ("300 ms, jitter 10 ms, spikes of 500 ms", spiky(even, 500), 300),
    ):
        for learn in (False, True):
            server = Window(190)
            saturate(
                partial(QuotaGate, learn_stamp=learn),
                server,
                workers=64,
                seconds=seconds,
                forward=forward,
                backward=lognormal(median_ms),
            )
            refused = len(server.refused)
            per = 10_000 * refused / max(1, len(server.accepted))
            print(f"| {name} | {learn} | {server.use_steady(since=60):.2f} | {refused} | {per:.1f} |")


def _report_waits(seconds: float) -> None:
    print("\n| interactive behind 1,000 bulk | p50 ms | p99 ms | max ms | steady % | 429s |\n|---|---|---|---|---|---|")
    for limit in (190, 100):
        for reserve in (0, 1, 2):
            server = Window(limit)
            world = saturate(
                partial(QuotaGate, reserve=reserve),
                server,
                workers=1000,
                seconds=seconds,
                visitor_every_s=1.0,
            )
            waits = world.waits[Lane.INTERACTIVE]
            print(
                f"| {limit}/10 s, reserve {reserve} | {percentile(waits, 50) * 1000:.0f}"
                f" | {percentile(waits, 99) * 1000:.0f} | {max(waits) * 1000:.0f} | {server.use_steady():.2f}"
                f" | {len(server.refused)} |"
            )


def _report_others(seconds: float) -> None:
    print("\n| wrong models, limit 190, 64 in flight | own refused % | window used in all % |\n|---|---|---|")
    models = {
        "others 4/s": (Window(190), 4.0),
        "1 s buckets (90.9 is the most possible)": (Window(190, bucket_s=1.0), 0.0),
        "refused calls count": (Window(190, counts_refused=True), 0.0),
        "refused calls count, others 4/s": (Window(190, counts_refused=True), 4.0),
    }
    for name, (server, foreign_per_s) in models.items():
        saturate(QuotaGate, server, workers=64, seconds=seconds, foreign_per_s=foreign_per_s)
        own = len(server.accepted)
        share = 100 * len(server.refused) / (own + len(server.refused))
        use = 100 * (own + server.foreign_accepted) / (190 * seconds / WINDOW_S)
        print(f"| {name} | {share:.2f} | {use:.1f} |")


def _report_search(seconds: float) -> None:
    print("\n| search, 5 in 1 s, no headers | steady % | of W/(W+RTT) % | 429s |\n|---|---|---|---|")
    for rtt_ms in (5, 50, 200):
        for lane in Lane:
            server = Window(5, 1.0, headers=False)
            saturate(
                search_gate, server, workers=16, seconds=seconds, lane=lane, forward=uniform(0, 2 * rtt_ms), policy=None
            )
            use, ceiling = server.use_steady(), 1 / (1 + rtt_ms / 1000)
            name = lane.name.lower()
            print(f"| {rtt_ms} ms, {name} | {use:.2f} | {use / ceiling:.2f} | {len(server.refused)} |")


async def _cost_us(lane: Lane, waiting: int, calls: int) -> float:
    # Alone: no call ever waits. Waiting: a limit low enough that the thousand always do.
    limit, window_s = (500, 0.1) if waiting else (calls, 3600.0)
    gate = QuotaGate(
        limit=limit, window_s=window_s, assumed=False, probe_first=False, bulk_rate=1.02 if waiting else 1e6
    )
    headers = Window(10**6, 3600.0).stamp(0.0)[1]

    async def one() -> None:
        async with gate.slot(lane) as slot:
            slot.written()
            slot.answered(headers)

    began_s = time.process_time()
    if waiting:
        await asyncio.gather(*(_repeat(one, calls // waiting) for _ in range(waiting)))
    else:
        await _repeat(one, calls)
    return (time.process_time() - began_s) / calls * 1e6


async def _repeat(one: Callable[[], Awaitable[None]], times: int) -> None:
    for _ in range(times):
        await one()


def _report_cost() -> None:
    print("\n| cost, CPU us per call | alone | 1,000 waiting |\n|---|---|---|")
    for lane in Lane:
        alone = min(asyncio.run(_cost_us(lane, 0, 20_000)) for _ in range(5))
        queued = min(asyncio.run(_cost_us(lane, 1000, 20_000)) for _ in range(3))
        print(f"| {lane.name.lower()} | {alone:.1f} | {queued:.1f} |")
    print(f"\nPython {sys.version.split()[0]}; the time includes the calls' own loop and the headers' reading")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hour", action="store_true", help="an hour of virtual time for each line")
    parser.add_argument("--cost", action="store_true", help="only the cost per call, in real time")
    arguments = parser.parse_args()
    if not arguments.cost:
        seconds = 3600.0 if arguments.hour else 330.0
        for report in (_report_grid, _report_jitter, _report_slow, _report_waits, _report_others, _report_search):
            report(seconds)
    _report_cost()


if __name__ == "__main__":
    main()
