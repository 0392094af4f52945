"""What the tests of the store have done in a process of its own: `python -m tests.bulk.journal.store_child SCENE …`.

Each scene is a function; its last act is to print one JSON value for the test, unless the test kills it before.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.to_thread

from hubspot_meetings_async.bulk.journal import database
from hubspot_meetings_async.bulk.journal.store import Durability, Store, open_store
from hubspot_meetings_async.errors import JournalError

Scene = Callable[..., Any]


def row(number: int) -> bytes:
    """Row `number`, about as long as the intent of a batch."""
    return (b"row %d;" % number).ljust(2_000, b".")


def fill(path: str, durability: Durability) -> None:
    """Append rows for ever, and say the number of each when it is safe."""

    async def run() -> None:
        store = open_store(path, meta={"job": "fill"}, durability=durability)
        for number in range(1_000_000):
            await store.append(0, row(number))
            os.write(1, b"%d\n" % number)

    asyncio.run(run())


def hold(path: str) -> str:
    """Hold the journal open until a line comes in; then append to it and close it."""

    async def run() -> str:
        store = open_store(path, meta={"job": "hold"})
        os.write(1, b"open\n")
        await anyio.to_thread.run_sync(sys.stdin.readline)
        await store.append(0, row(1))
        await store.aclose()
        return "closed"

    return asyncio.run(run())


def knock(path: str) -> str:
    """Try to open it."""
    try:
        open_store(path, meta={}).abandon()
    except JournalError as error:
        return type(error).__name__
    return "opened"


def exit_open(path: str, durability: Durability) -> int:
    """End as a program does that forgot to close: the loop ends, the interpreter goes down in order."""
    kept: list[Store] = []

    async def run() -> None:
        kept.append(open_store(path, meta={}, durability=durability))
        for number in range(10):
            await kept[0].append(0, row(number))

    asyncio.run(run())
    # Still referred to when the interpreter takes the modules down.
    globals()["forgotten"] = kept
    return 10


def forked(path: str, durability: Durability) -> dict[str, Any]:
    """Fork with the journal open; the child tries to use it, and ends in order."""
    store = open_store(path, meta={}, durability=durability)
    # No loop yet: a child that closes a copy of one would take the parent's with it.
    inside, outside = os.pipe()
    child = os.fork()
    if child == 0:
        said = []
        try:
            store.append(0, b"from the child")
        except JournalError as error:
            said.append(str(error))
        store.abandon()
        os.write(outside, json.dumps(said).encode())
        globals()["forgotten"] = store
        sys.exit(0)
    os.waitpid(child, 0)
    wal = os.path.exists(f"{path}-wal")

    async def run() -> None:
        await store.append(0, row(0))
        await store.aclose()

    asyncio.run(run())
    return {"said": json.loads(os.read(inside, 10_000)), "wal": wal}


def too_large(path: str) -> dict[str, Any]:
    """Fill the file to the limit on the size of files, then go on in the same process without the limit."""

    async def run() -> dict[str, Any]:
        store = open_store(path, meta={})
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        safe, errors = 0, []
        try:
            while True:
                await store.append(0, row(safe))
                safe += 1
        except JournalError as error:
            errors.append([str(error), type(error.__cause__).__name__])
        for act in (store.check, lambda: store.append(0, b"more")):
            try:
                act()
            except JournalError as error:
                errors.append([str(error), type(error.__cause__).__name__])
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        again = open_store(path, meta={})
        found = [data for _, data in again.rows()]
        await again.append(0, b"last")
        await again.aclose()
        return {"safe": safe, "errors": errors, "found": found == [row(number) for number in range(safe)]}

    return asyncio.run(run())


def _shim() -> ctypes.CDLL:
    return ctypes.CDLL(os.environ["LD_PRELOAD"])


def synced_first(path: str) -> list[dict[str, Any]]:
    """For each row: whether it was told as safe before its bytes were among those synced."""
    shim = _shim()
    written = Path(f"{path}-wal").read_bytes

    async def run() -> list[dict[str, Any]]:
        store = open_store(path, meta={})
        seen = []
        for number in range(20):
            before = shim.shim_syncs()
            await store.append(0, row(number))
            synced_bytes, after = shim.shim_synced_wal_bytes(), shim.shim_syncs()
            at = written().rfind(row(number)[:20])
            seen.append({"syncs": after - before, "at": at, "synced_bytes": synced_bytes})
        await store.aclose()
        return seen

    return asyncio.run(run())


def sync_fails(path: str) -> dict[str, Any]:
    """Let one sync fail, and go on asking."""
    shim = _shim()

    async def run() -> dict[str, Any]:
        store = open_store(path, meta={})
        for number in range(3):
            await store.append(0, row(number))
        shim.shim_fail_next(1)
        errors: list[list[str]] = []
        syncs = shim.shim_syncs()
        waiting = [store.append(0, row(number)) for number in range(3, 6)]
        for one in waiting:
            try:
                await one
            except JournalError as error:
                errors.append([str(error), getattr(error.__cause__, "sqlite_errorname", "")])
        for act in (store.check, lambda: store.append(0, b"more")):
            try:
                act()
            except JournalError as error:
                errors.append([str(error), getattr(error.__cause__, "sqlite_errorname", "")])
        try:
            await store.aclose()
        except JournalError as error:
            errors.append([str(error), getattr(error.__cause__, "sqlite_errorname", "")])
        return {"errors": errors, "syncs": shim.shim_syncs() - syncs}

    return asyncio.run(run())


def slow_syncs(path: str) -> dict[str, Any]:
    """Twenty workers, ten rows each one after the other, on a disk whose sync takes 50 ms."""
    shim = _shim()

    async def run() -> dict[str, Any]:
        store = open_store(path, meta={})
        shim.shim_slow(50_000)
        syncs, turns, taken = shim.shim_syncs(), 0, []

        async def worker(which: int) -> None:
            for turn in range(10):
                taken.append(f"{which} {turn}")
                await store.append(0, taken[-1].encode())

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.001)

        counter = asyncio.ensure_future(count_turns())
        await asyncio.gather(*(worker(which) for which in range(20)))
        counter.cancel()
        syncs = shim.shim_syncs() - syncs
        shim.shim_slow(0)
        await store.aclose()
        again = open_store(path, meta={})
        in_order = [data.decode() for _, data in again.rows()] == taken
        await again.aclose()
        return {"rows": len(taken), "in_order": in_order, "syncs": syncs, "turns": turns}

    return asyncio.run(run())


def killed_everywhere(folder: str) -> list[dict[str, Any]]:
    """The life of a journal, cut off by `kill -9` before its first, second, third… change of a file, till it lives."""
    shim = _shim()

    async def live(path: str, safe: int) -> None:
        for _ in range(2):
            store = open_store(path, meta={"job": "killed"})
            there = sum(1 for _ in store.rows())
            for number in range(3):
                await store.append(0, row(there + number))
                os.write(safe, b".")
            await store.aclose()

    # What was written outlives a process without any sync.
    shim.shim_pretend(1)
    found: list[dict[str, Any]] = []
    for step in range(1, 1_000):
        path = f"{folder}/{step}.journal"
        inside, safe = os.pipe()
        child = os.fork()
        if child == 0:
            shim.shim_kill_at(step)
            asyncio.run(live(path, safe))
            os._exit(0)
        os.close(safe)
        _, status = os.waitpid(child, 0)
        told = len(os.read(inside, 100))
        os.close(inside)
        seen: dict[str, Any] = {"step": step, "safe": told, "error": None}
        try:
            store = open_store(path, meta={"job": "killed"})
            seen["rows"] = [data == row(number) for number, (_, data) in enumerate(store.rows())]
            asyncio.run(store.aclose())
            store = open_store(path, meta={"job": "another"})
            seen["job"] = store.meta["job"]
            seen["after"] = sum(1 for _ in store.rows())
            asyncio.run(store.aclose())
        except JournalError as error:
            seen["error"] = repr(error)
        found.append(seen)
        if not os.WIFSIGNALED(status):
            return found
        assert os.WTERMSIG(status) == signal.SIGKILL
    raise AssertionError("it never lived to its end")


def full(path: str) -> dict[str, Any]:
    """Fill the disk the journal is on, then free some of it and go on."""
    ballast = Path(path).with_name("ballast")
    ballast.write_bytes(bytes(300_000))

    async def run() -> dict[str, Any]:
        store = open_store(path, meta={})
        safe, errors = 0, []
        try:
            while True:
                await store.append(0, row(safe))
                safe += 1
        except JournalError as error:
            errors.append(str(error))
        try:
            await store.aclose()
        except JournalError as error:
            errors.append(str(error))
        ballast.unlink()
        again = open_store(path, meta={})
        found = [data for _, data in again.rows()]
        await again.append(0, b"last")
        await again.aclose()
        return {"safe": safe, "errors": errors, "found": found == [row(number) for number in range(safe)]}

    return asyncio.run(run())


if __name__ == "__main__":
    # Every write looks whether the file is still there, as it does every few seconds in a run.
    database.LOOK_S = 0.0
    scene: Scene = {
        act.__name__: act
        for act in (
            *(fill, hold, knock, exit_open, forked, too_large, full),
            *(synced_first, sync_fails, slow_syncs, killed_everywhere),
        )
    }[sys.argv[1]]
    sys.stdout.write(json.dumps(scene(*sys.argv[2:])) + "\n")
