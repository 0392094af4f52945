"""How far one account, one process and one Redis go: the figures of the page "Ten thousand accounts".

    python -m benchmarks scale

Rates are those of the real limiter on a virtual clock, against a server that counts exactly; so is what Redis is asked,
by the real script on a redis-server of its own. Memory, bytes and microseconds are measured here and now. The rest is
arithmetic on them: accounts of very different sizes, dealt out to worker processes, the largest first.
"""

from __future__ import annotations

import asyncio
import gc
import random
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from heapq import heapify, heapreplace
from pathlib import Path
from typing import Any, NamedTuple

from hubspot_meetings_async import MeetingsClient, NoLimit, QuotaGate
from hubspot_meetings_async.limiter import ENTERPRISE, FREE, OAUTH, PROFESSIONAL, Lane, Limits
from tests.virtual_time import run_virtual

from .figures import Table
from .limiter_sim import Window, World, saturate, together
from .redis_server import RedisServer

__all__ = ["Fleet", "accounts", "costs", "fleet", "plans", "shared"]

A_CALL = 100
"""Records in one request."""
DAY_S = 86_400
BULKS_DAY = 0.9
"""Of a day's calls, what bulk runs use; the rest is left to handlers."""
CPU_S = 10e-6
"""Of a bulk run, a record: `python -m benchmarks race`."""
AT_ONCE = 50
"""Accounts that one worker process runs at once: at 1,100 records a second each they take half a core."""

PLANS = {
    "Free, Starter": FREE,
    "Professional": PROFESSIONAL,
    "Enterprise": ENTERPRISE,
    "Enterprise, limit increased": ENTERPRISE.with_increase(),
    "OAuth app": OAUTH,
}


def calls_per_s(limits: Limits) -> float:
    """What a bulk run sends in the long run: measured on the virtual clock."""
    server = Window(limits.per_ten_seconds)
    saturate(lambda: QuotaGate(limit=limits.per_ten_seconds), server, workers=16, seconds=110.0)
    assert not server.refused
    return server.use_steady(since=40) / 100 * limits.per_ten_seconds / 10


def seconds_for(calls: int, limits: Limits, per_s: float) -> float:
    """How long so many calls take, with nights of waiting for the day's end where they are more than a day has."""
    if limits.per_day is None:
        return calls / per_s
    days, rest = divmod(calls, int(BULKS_DAY * limits.per_day))
    return days * DAY_S + rest / per_s


def plans() -> Table:
    """What one account can take, by plan."""
    columns = ("plan", "calls in 10 s", "used %", "records/s", "a million records, min", "records a day, millions")
    table = Table("One account", columns)
    for name, limits in PLANS.items():
        per_s = calls_per_s(limits)
        day = DAY_S * per_s if limits.per_day is None else min(DAY_S * per_s, BULKS_DAY * limits.per_day)
        used = 1000 * per_s / limits.per_ten_seconds
        minutes = seconds_for(1_000_000 // A_CALL, limits, per_s) / 60
        table.add(name, limits.per_ten_seconds, used, A_CALL * per_s, minutes, A_CALL * day / 1e6)
    return table


class Fleet(NamedTuple):
    """Accounts, the largest first: how many records each has, and how many seconds its quota alone takes."""

    records: list[int]
    seconds: list[float]


def accounts(count: int, records: int, *, seed: int = 1) -> Fleet:
    """So many accounts of very different sizes (a fifth of them hold four fifths) that installed an OAuth app."""
    rng = random.Random(seed)
    shares = sorted((rng.paretovariate(1.16) for _ in range(count)), reverse=True)
    sizes = [max(1, round(records * share / sum(shares))) for share in shares]
    per_s = calls_per_s(OAUTH)
    return Fleet(sizes, [seconds_for(-(-size // A_CALL), OAUTH, per_s) for size in sizes])


def fleet(count: int = 10_000, records: int = 1_000_000_000) -> Iterator[Table]:
    """How long all of them take, by the number of worker processes."""
    found = accounts(count, records)
    table = Table(f"{count:,} accounts, {records:,} records", ("account", "records", "its quota alone takes, min"))
    for name, place in (("the largest", 0), ("the hundredth", count // 100), ("the median one", count // 2)):
        table.add(name, found.records[place], found.seconds[place] / 60)
    yield table
    columns = ("worker processes", "accounts at once", "hours", "cores busy %")
    table = Table("All of them, the largest first", columns)
    cpu_s = CPU_S * sum(found.records)
    for workers in (1, 2, 4, 16):
        # One core does no more than it can, however many accounts it has at once.
        seconds = max(_dealt_out(found.seconds, workers * AT_ONCE), cpu_s / workers)
        table.add(workers, workers * AT_ONCE, seconds / 3600, 100 * cpu_s / workers / seconds)
    table.note(f"{cpu_s / 3600:.1f} hours of CPU in all, at {CPU_S * 1e6:g} µs a record.")
    yield table


def _dealt_out(times: list[float], places: int) -> float:
    ends = [0.0] * places
    heapify(ends)
    for seconds in times:
        heapreplace(ends, ends[0] + seconds)
    return max(ends)


def costs(*, clients: int = 500, records: int = 20_000) -> Table:
    """What an account costs in memory and on disk."""
    table = Table("Memory and disk", ("what", "of one", "of ten thousand accounts, or a billion records"))
    kib = _memory_bytes(clients) / 1024
    table.add("a client with its limiter, a full window in use, without connections", f"{kib:.0f} KiB",
              f"{kib * 10_000 / 1024**2:.1f} GiB")  # fmt: skip
    on_disk = asyncio.run(_journal_bytes(records))
    table.add("a journal, a record", f"{on_disk:.0f} bytes", f"{on_disk * 1e9 / 1024**3:.0f} GiB")
    return table


def _memory_bytes(count: int) -> float:
    async def scenario(rng: random.Random) -> float:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        gates = [QuotaGate(limit=190) for _ in range(count)]
        clients = [MeetingsClient("token", limiter=gate) for gate in gates]
        for gate in gates:
            await together(20.0, *(World(gate, Window(190), rng).worker(Lane.INTERACTIVE, 1e9) for _ in range(8)))
        gc.collect()
        taken = (tracemalloc.get_traced_memory()[0] - before) / len(clients)
        for client in clients:
            await client.aclose()
        return taken

    MeetingsClient("token")
    tracemalloc.start()
    try:
        return run_virtual(scenario)
    finally:
        tracemalloc.stop()


async def _journal_bytes(records: int) -> float:
    from hubspot_meetings_async.emulator import Emulator

    def source() -> Iterator[dict[str, str]]:
        for number in range(records):
            yield {"booking_ref": f"B-{number:09}", "hs_meeting_title": f"Review no. {number}"}

    async with Emulator(limit=None) as hubspot:
        hubspot.portal.add_property("booking_ref", unique=True)
        with tempfile.TemporaryDirectory() as folder:
            async with MeetingsClient("token", base_url=hubspot.url, limiter=NoLimit()) as client:
                await client.bulk.upsert(source(), id_property="booking_ref", journal=str(Path(folder) / "run"))
            return _folder_bytes(Path(folder)) / records


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def shared(*, seconds: float = 70.0, processes: tuple[int, ...] = (1, 4, 16)) -> Table:
    """What Redis is asked for accounts that several processes share."""
    from tests.integrations.virtual_redis import VirtualServer, VirtualSlots

    columns = ("processes on one account", "used %", "429s", "exchanges a call", "exchanges/s",
               "µs of Redis' CPU an exchange", "busy accounts one Redis carries", "bytes in Redis")  # fmt: skip
    table = Table("One quota of 190 calls in 10 s, shared through Redis", columns)
    if not RedisServer.installed():
        table.note("Not measured: this machine has no redis-server.")
        return table
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as redis:
        for count in processes:
            store, server = VirtualServer(redis.port), Window(190)

            async def scenario(rng: random.Random, store: Any = store, server: Window = server, n: int = count) -> None:
                gates = [QuotaGate(limit=190, store=VirtualSlots(store)) for _ in range(n)]
                worlds = [World(gate, server, rng) for gate in gates]
                await together(seconds, *(world.worker(Lane.BULK, seconds) for world in worlds for _ in range(8)))

            before_s = _cpu_of_redis(store)
            run_virtual(scenario)
            each_us = 1e6 * (_cpu_of_redis(store) - before_s) / store.exchanges
            used = server.use_steady(since=40) if seconds >= 70 else server.use_first(seconds - 2)
            taken = sum(store.client.memory_usage(key) or 0 for key in store.client.scan_iter())
            per_s = store.exchanges / seconds
            carries = int(1e6 / each_us / per_s)
            asked = store.exchanges / len(server.accepted)
            table.add(count, used, len(server.refused), asked, per_s, each_us, carries, taken)
    return table


def _cpu_of_redis(store: Any) -> float:
    info = store.client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def main() -> None:
    """Print all tables."""
    began_at = time.perf_counter()
    plans().show()
    for table in fleet():
        table.show()
    costs().show()
    shared().show()
    print(f"({time.perf_counter() - began_at:.0f} s)")


if __name__ == "__main__":
    main()
