"""A host in front of the emulator that spoils the first answers and passes the rest on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from hubspot_meetings_async.emulator import Emulator

from ..raw_server import Connection, RawServer, listening

__all__ = ["Spoil", "before_the_emulator", "carried_out"]

Spoil = Callable[[Connection, int], Awaitable[None]]
"""Does something to a connection; the number is the emulator's port, to carry a request out all the same."""


async def carried_out(connection: Connection, port: int) -> bytes:
    """Have the next request carried out; its whole answer."""
    request = await connection.request()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        return await reader.read()
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def before_the_emulator(emulator: Emulator, spoil: Spoil, *, times: int = 1) -> AbstractAsyncContextManager[RawServer]:
    """`spoil` gets the first connections; later ones are served request by request."""
    left = times

    async def script(connection: Connection) -> None:
        nonlocal left
        if left:
            left -= 1
            await spoil(connection, emulator.port)
            return
        while True:
            await connection.send(await carried_out(connection, emulator.port))
            if connection.writer.is_closing():
                return

    @asynccontextmanager
    async def running() -> AsyncIterator[RawServer]:
        async with listening(script) as server:
            yield server

    return running()
