"""How much of 190 calls in ten seconds a client uses, how often it is refused, and who waits how long meanwhile: in
real time, over sockets.

The server stamps each call after 5 to 150 ms and counts exactly. Beside this library's bulk run works what one would
write first: 32 tasks behind aiolimiter's `AsyncLimiter(190, 10)`, which send a refused call again after a second. Two
more clients share one bulk run with single calls: now and then one, and a flood. Each has a server to itself, and they
run at the same time, since all wait most of it. `limiter` has the grid of limits, on virtual time.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from .data import RECORDS
from .figures import Table
from .limiter_sim import Window, percentile
from .processes import asked_of, serving

if TYPE_CHECKING:
    from hubspot_meetings_async import MeetingsClient
    from hubspot_meetings_async.telemetry import Attempt

__all__ = ["measure"]

_Singles: TypeAlias = "Callable[[MeetingsClient], Coroutine[Any, Any, None]]"

LIMIT = 190
IN_FLIGHT = 32
VISITS_S = 0.3
FLOOD = 64
SETTLED_S = 30.0
"""Waits and shares are counted from the fourth window on: a flood takes the first one whole before it has to wait, and
then bulk is spread over the whole cycle of a slot. With --quick, from the second."""


def measure(*, quick: bool = False, full: bool = False) -> Iterator[Table]:
    """Two tables: the quota, and the lanes."""
    seconds = 122 if full else 14 if quick else 62
    with ExitStack() as stack:
        serve = ("--limit", str(LIMIT))
        urls = [stack.enter_context(serving(*serve, module="benchmarks.window_server")) for _ in CLIENTS]
        words = [sys.executable, "-m", "benchmarks.quota"]
        processes = [
            subprocess.Popen([*words, name, url, str(seconds)], stdout=subprocess.PIPE, text=True)
            for name, url in zip(CLIENTS, urls, strict=True)
        ]
        said = [process.communicate()[0] for process in processes]
        if any(process.returncode for process in processes):
            raise SystemExit("a client of the window failed")
        windows = dict(zip(CLIENTS, map(_window_of, urls), strict=True))
        told = dict(zip(CLIENTS, map(json.loads, said), strict=True))
    yield _of_use(windows, seconds)
    yield _of_lanes(windows, told, seconds)


def _window_of(url: str) -> Window:
    stamps = asked_of(url, "/stamps")
    window = Window(LIMIT)
    window.accepted, window.refused = stamps["accepted"], stamps["refused"]
    return window


def _counted_from(seconds: float) -> float:
    return SETTLED_S if seconds > SETTLED_S else 10.0


def _steady(window: Window, seconds: float) -> float | None:
    return window.use_steady(since=SETTLED_S) if seconds > SETTLED_S else None


def _of_use(windows: dict[str, Window], seconds: float) -> Table:
    columns = ("client", "use of the first 30 s %", "steady %", "accepted", "429s", "fullest window")
    table = Table(f"{LIMIT} calls in 10 s, jitter 5–150 ms, {seconds} s of real time", columns)
    first = min(30, seconds - 2)
    for name, window in windows.items():
        accepted, refused = len(window.accepted), len(window.refused)
        table.add(name, window.use_first(first), _steady(window, seconds), accepted, refused, window.fullest_window())
    if first < 30:
        table.note(f"Only the first {first} s, as this is --quick; steady use needs more.")
    return table


def _of_lanes(windows: dict[str, Window], told: dict[str, Any], seconds: float) -> Table:
    columns = ("single calls beside a bulk run", "calls", "wait p50 ms", "p99 ms", "max ms", "bulk's share %", "429s")
    table = Table("Two lanes of one quota", columns)
    for name in (_VISITED, _FLOODED):
        waits, bulk = told[name]["waits_s"], told[name]["bulk_share"]
        # A flood waits for itself.
        found = (percentile(waits, 50), percentile(waits, 99), max(waits)) if name == _VISITED else ()
        row = [1000 * value for value in found] or [None] * 3
        table.add(name, len(waits), *row, 100 * bulk, len(windows[name].refused))
    since = _counted_from(seconds)
    table.note(f"The wait is for quota: from the call to its first byte. Counted from the {since:g}th second on.")
    table.note("Bulk's share is set to 20 %: what it keeps when single calls would take everything.")
    return table


async def _bulk(hubspot: MeetingsClient, seconds: float) -> None:
    until = time.monotonic() + seconds

    def source() -> Iterator[dict[str, str]]:
        while time.monotonic() < until:
            yield from RECORDS

    run = hubspot.bulk.create(source(), workers=IN_FLIGHT, read_in_thread=False)
    asyncio.get_running_loop().call_later(seconds, run.stop)
    await run


async def _ours(url: str, seconds: float) -> dict[str, Any]:
    from hubspot_meetings_async import MeetingsClient

    async with MeetingsClient("token", base_url=url) as hubspot:
        await _bulk(hubspot, seconds)
    return {}


async def _beside(url: str, seconds: float, singles: _Singles) -> dict[str, Any]:
    from hubspot_meetings_async import MeetingsClient

    began_at, waits_s = time.monotonic(), list[float]()
    since, bulk_calls = _counted_from(seconds), 0

    def heard(attempt: Attempt) -> None:
        nonlocal bulk_calls
        at = time.monotonic() - began_at
        # Whole windows, or a share would be that of the moments at their edges.
        if attempt.cancelled or not since <= at <= seconds - 2:
            return
        if attempt.lane == "bulk":
            bulk_calls += 1
        else:
            waits_s.append(attempt.waited_s)

    async with MeetingsClient("token", base_url=url, on_attempt=heard) as hubspot:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                group.create_task(_bulk(hubspot, seconds))
                group.create_task(singles(hubspot))
    return {"waits_s": waits_s, "bulk_share": bulk_calls / (bulk_calls + len(waits_s))}


async def _visited(url: str, seconds: float) -> dict[str, Any]:
    rng = random.Random(1)

    async def now_and_then(hubspot: MeetingsClient) -> None:
        async with asyncio.TaskGroup() as calls:
            while True:
                await asyncio.sleep(rng.uniform(0.5, 1.5) * VISITS_S)
                calls.create_task(hubspot.meetings.create(RECORDS[0]))

    return await _beside(url, seconds, now_and_then)


async def _flooded(url: str, seconds: float) -> dict[str, Any]:
    async def on_and_on(hubspot: MeetingsClient) -> None:
        async def one() -> None:
            while True:
                await hubspot.meetings.create(RECORDS[0])

        async with asyncio.TaskGroup() as calls:
            for _ in range(FLOOD):
                calls.create_task(one())

    return await _beside(url, seconds, on_and_on)


async def _first_idea(url: str, seconds: float) -> dict[str, Any]:
    import aiohttp
    from aiolimiter import AsyncLimiter

    limiter, until = AsyncLimiter(LIMIT, 10), time.monotonic() + seconds
    body = json.dumps({"inputs": [{"properties": record} for record in RECORDS]}).encode()

    async def work(session: aiohttp.ClientSession) -> None:
        while time.monotonic() < until:
            async with limiter, session.post("/crm/v3/objects/meetings/batch/create", data=body) as answer:
                await answer.read()
            if answer.status == 429:
                await asyncio.sleep(1)

    # What waits for its turn when the time is up is not sent any more.
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), aiohttp.ClientSession(url) as session, asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(work(session))
    return {}


_VISITED = f"one every {VISITS_S:g} s"
_FLOODED = f"a flood: {FLOOD} callers that never rest"
CLIENTS = {"this library": _ours, "AsyncLimiter(190, 10)": _first_idea, _VISITED: _visited, _FLOODED: _flooded}


async def _for(name: str, url: str, seconds: float) -> None:
    print(json.dumps(await CLIENTS[name](url, seconds)))


if __name__ == "__main__":
    asyncio.run(_for(sys.argv[1], sys.argv[2], float(sys.argv[3])))
