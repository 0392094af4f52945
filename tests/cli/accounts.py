"""Meetings to push, and accounts to push them to."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from hubspot_meetings_async.emulator import Emulator


def meeting(number: int) -> dict[str, str]:
    return {
        "booking_ref": f"b-{number}",
        "hs_meeting_title": f"Meeting {number}",
        "hs_timestamp": "2026-05-14T12:30:00Z",
    }


def jsonl(*numbers: int) -> str:
    return "".join(json.dumps(meeting(number)) + "\n" for number in numbers)


@asynccontextmanager
async def account(**options: Any) -> AsyncIterator[Emulator]:
    async with Emulator(limit=None, **options) as hubspot:
        hubspot.portal.add_property("booking_ref", unique=True)
        yield hubspot


class Silent:
    """A server that takes requests and never answers."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._over = asyncio.Event()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET /account-info"):
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        self.asked.set()
        await self._over.wait()
        writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            self._over.set()
            server.close()
            await server.wait_closed()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process brings about."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - nobody here could set an event
            await asyncio.sleep(0.01)


def copies(hubspot: Emulator, name: str = "booking_ref") -> Counter[str | None]:
    """How many meetings there are of each value."""
    return Counter(entry.value for entry in hubspot.portal.ledger(name))
