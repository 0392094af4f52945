"""How much of 190 calls in ten seconds a bulk run uses, and how often it is refused: in real time, over sockets.

The server stamps each call after 5 to 150 ms and counts exactly. Beside this library runs what one would write first:
32 tasks behind aiolimiter's `AsyncLimiter(190, 10)`, which send a refused call again after a second. Each has a server
of its own; they run side by side, since both wait most of the time. `limiter` has the grid of limits, on virtual time.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

from .data import RECORDS
from .figures import Table
from .limiter_sim import Window
from .processes import asked_of, serving

__all__ = ["measure"]

LIMIT = 190
IN_FLIGHT = 32


def measure(*, quick: bool = False, full: bool = False) -> Iterator[Table]:
    """One table."""
    seconds = 120 if full else 12 if quick else 32
    columns = ("client", "use of the first 30 s %", "steady %", "accepted", "429s", "fullest window")
    table = Table(f"{LIMIT} calls in 10 s, jitter 5–150 ms, {seconds} s of real time", columns)
    with ExitStack() as stack:
        urls = [stack.enter_context(serving("--limit", str(LIMIT), module="benchmarks.window_server")) for _ in CLIENTS]
        words = [sys.executable, "-m", "benchmarks.quota"]
        processes = [
            subprocess.Popen([*words, name, url, str(seconds)]) for name, url in zip(CLIENTS, urls, strict=True)
        ]
        codes = [process.wait() for process in processes]
        if any(codes):
            raise SystemExit("a client of the window failed")
        for name, url in zip(CLIENTS, urls, strict=True):
            stamps = asked_of(url, "/stamps")
            window = Window(LIMIT)
            window.accepted, window.refused = stamps["accepted"], stamps["refused"]
            first = min(30, seconds - 2)
            table.add(
                name,
                window.use_first(first),
                window.use_steady(since=10) if seconds > 30 else None,
                len(window.accepted),
                len(window.refused),
                window.fullest_window(),
            )
            if first < 30:
                table.note(f"Only the first {first} s, as this is --quick; steady use needs more.")
    yield table


async def _ours(url: str, seconds: float) -> None:
    from hubspot_meetings_async import MeetingsClient

    until = time.monotonic() + seconds

    def source() -> Iterator[dict[str, str]]:
        while time.monotonic() < until:
            yield from RECORDS

    async with MeetingsClient("token", base_url=url) as hubspot:
        run = hubspot.bulk.create(source(), workers=IN_FLIGHT, read_in_thread=False)
        asyncio.get_running_loop().call_later(seconds, run.stop)
        await run


async def _first_idea(url: str, seconds: float) -> None:
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

    async with aiohttp.ClientSession(url) as session, asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(work(session))


CLIENTS = {"this library": _ours, "AsyncLimiter(190, 10)": _first_idea}


async def _for(name: str, url: str, seconds: float) -> None:
    with suppress(TimeoutError):
        # What waits for its turn when the time is up is not sent any more.
        await asyncio.wait_for(CLIENTS[name](url, seconds), seconds)


if __name__ == "__main__":
    asyncio.run(_for(sys.argv[1], sys.argv[2], float(sys.argv[3])))
