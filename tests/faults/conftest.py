"""What every row of the fault matrix promises besides: nothing is left behind, and no log line holds the token."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from hubspot_meetings_async import MeetingsClient, NoLimit, RetryPolicy, Timeouts
from hubspot_meetings_async.emulator import Emulator

from ..security.canaries import TOKEN, watching

SWIFT = RetryPolicy(attempts=4, base_s=0.001, cap_s=0.002, locked_s=0.0)
FAST = Timeouts(call_s=20.0, attempt_s=0.4, connect_s=0.3, read_s=0.3)
_FDS = Path("/proc/self/fd")


def sockets() -> set[str]:
    """The sockets that this process has open; nothing where the system does not tell."""
    found = set()
    for link in _FDS.iterdir() if _FDS.is_dir() else ():
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """No task and no socket is left when the test and all its servers are over, and the token was never logged."""
    tasks, before = asyncio.all_tasks(), sockets()
    with watching() as watch:
        yield
    for _ in range(200):
        left = {task for task in asyncio.all_tasks() - tasks if not task.done()} - {asyncio.current_task()}
        if not left and not sockets() - before:
            break
        await asyncio.sleep(0.01)
    assert (left, sockets() - before) == (set(), set())
    assert TOKEN not in watch.text()
    assert [str(seen.message) for seen in watch.warnings] == []


MakeClient = Callable[..., MeetingsClient]


@pytest.fixture
async def connect() -> AsyncIterator[MakeClient]:
    """Makes clients of an address, and closes them when the test is over."""
    made: list[MeetingsClient] = []

    def make(url: str, **options: Any) -> MeetingsClient:
        settings: dict[str, Any] = {"limiter": NoLimit(), "retry": SWIFT, "timeout": FAST} | options
        made.append(MeetingsClient(None if "auth" in settings else TOKEN, base_url=url, **settings))
        return made[-1]

    yield make
    for client in made:
        await client.aclose()


@pytest.fixture
def hubspot(emulator: Emulator, connect: MakeClient) -> MeetingsClient:
    """A client of the emulator."""
    return connect(emulator.url)
