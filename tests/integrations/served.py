"""FastAPI apps that run: in this process without a socket, or under uvicorn on a port; and who connects to HubSpot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from socket import socket

import httpx
import uvicorn
from fastapi import FastAPI

__all__ = ["Counted", "counted", "started", "under_uvicorn"]


@asynccontextmanager
async def started(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient, None]:
    """The app with its lifespan, on this loop; a client of it."""
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://app") as client,
    ):
        yield client


class _Server(uvicorn.Server):
    """Tells when it listens, and where."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.address: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if self.should_exit:
            self.address.set_exception(RuntimeError("the app did not start"))
        else:
            self.address.set_result(f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}")


@asynccontextmanager
async def under_uvicorn(app: FastAPI) -> AsyncGenerator[str, None]:
    """The app on a free port, on this loop; its address."""
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="on", ws="none", timeout_graceful_shutdown=5)
    server = _Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        yield await server.address
    finally:
        server.should_exit = True
        await serving


class Counted:
    """A way to the emulator that counts who comes by."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connections = 0


@asynccontextmanager
async def counted(port: int) -> AsyncGenerator[Counted, None]:
    """A port that leads to `port`, byte by byte."""
    tasks: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        way.connections += 1
        there, back = await asyncio.open_connection("127.0.0.1", port)
        tasks.update((asyncio.create_task(carry(reader, back)), asyncio.create_task(carry(there, writer))))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    way = Counted(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield way
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
