"""Jobs in processes of their own that are short of something: `python -m tests.process.scenes SCENE JOB`.

The exit code is 0 when the job was done; else the traceback is on the standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import resource
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from hubspot_meetings_async import MeetingsClient, NoLimit, Timeouts

from .child import Job, records_of, run_of, work

Scene = Callable[[Job], None]


def plain(job: Job) -> None:
    """The job, to its end."""
    asyncio.run(work(job))


def hurried(job: Job) -> None:
    """The job, with little patience for whole answers."""
    asyncio.run(work(job, timeout=Timeouts(attempt_s=0.5, connect_s=0.5)))


def impatient(job: Job) -> None:
    """The job, which also gives a connection up that is silent for half a second."""
    asyncio.run(work(job, timeout=Timeouts(read_s=0.5, connect_s=0.5)))


def left(job: Job) -> None:
    """The job, left in the middle."""
    asyncio.run(work(job, leave_at=250))


def hungry(job: Job) -> None:
    """All memory is gone in the middle of the job, and stays gone."""
    hoard: list[bytearray] = []

    def eat(number: int) -> None:
        if number != 200:
            return
        with open("/proc/self/statm", "rb") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used, resource.RLIM_INFINITY))
        for size in (1 << 20, 1 << 12, 1 << 8):
            with contextlib.suppress(MemoryError):
                while True:
                    hoard.append(bytearray(size))

    asyncio.run(work(job, after=eat))


def unclosed(job: Job) -> None:
    """A program that forgets to close its run: the loop ends, the interpreter goes down in order."""
    kept: list[Any] = []

    async def forget() -> None:
        client = MeetingsClient("token", base_url=job.url, limiter=NoLimit())
        run = run_of(client, job, records_of(job))
        await run.__aenter__()
        async for outcome in run:
            if outcome.ordinal >= 150:
                break
        kept.extend((client, run))

    asyncio.run(forget())
    globals()["forgotten"] = kept


def few_files(job: Job) -> None:
    """After the first answer no more than one further file or connection can be opened."""

    def limit(number: int) -> None:
        if number == 1:
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            most = max(int(name) for name in os.listdir("/proc/self/fd")) + 2
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))

    asyncio.run(work(job, after=limit))


def small_files(job: Job) -> None:
    """No file may grow beyond so many bytes as the environment says."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(os.environ["SMALL_FILES"]), hard))
    asyncio.run(work(job))


def sync_fails(job: Job) -> None:
    """One sync of the disk fails in the middle of the job; how many were tried since is said."""
    shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
    before = 0

    def fail(number: int) -> None:
        nonlocal before
        if number == 200:
            shim.shim_fail_next(1)
            before = shim.shim_syncs()

    try:
        asyncio.run(work(job, after=fail))
    finally:
        os.write(1, b"%d\n" % (shim.shim_syncs() - before))


def slow_syncs(job: Job) -> None:
    """Every sync takes 50 ms; how often the loop turned for each of them is said."""
    shim = ctypes.CDLL(os.environ["LD_PRELOAD"])

    async def counted() -> None:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.001)

        counting = asyncio.ensure_future(turn())
        shim.shim_slow(50_000)
        syncs = shim.shim_syncs()
        await work(job)
        counting.cancel()
        os.write(1, b"%d\n" % (turns // (shim.shim_syncs() - syncs)))

    asyncio.run(counted())


if __name__ == "__main__":
    scenes: dict[str, Scene] = {
        scene.__name__: scene
        for scene in (plain, hurried, impatient, left, hungry, unclosed, few_files, small_files, sync_fails, slow_syncs)
    }
    scenes[sys.argv[1]](msgspec.json.decode(sys.argv[2], type=Job))
