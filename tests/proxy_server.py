"""A tiny HTTP proxy: tunnels by CONNECT, and answers absolute-form requests by passing them on."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

__all__ = ["ProxyServer", "proxying"]


class ProxyServer:
    """Where it listens, and the heads of the requests it has seen."""

    def __init__(self, port: int, scheme: str) -> None:
        self.port = port
        self.url = f"{scheme}://127.0.0.1:{port}"
        self.heads: list[str] = []

    @property
    def lines(self) -> list[str]:
        """Request lines."""
        return [head.split("\r\n")[0] for head in self.heads]

    def header(self, name: str) -> list[str | None]:
        """The value of a header in each request."""
        found: list[str | None] = []
        for head in self.heads:
            pairs = [line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line]
            found.append({key.lower(): value for key, value in pairs}.get(name.lower()))
        return found


_PIECE_S = 0.02


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bytes_per_s: int | None) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536 if bytes_per_s is None else max(1, int(bytes_per_s * _PIECE_S))):
            writer.write(data)
            await writer.drain()
            if bytes_per_s is not None:
                await asyncio.sleep(len(data) / bytes_per_s)
        writer.write_eof()


@asynccontextmanager
async def proxying(
    *,
    tls: ssl.SSLContext | None = None,
    refuse: int | None = None,
    to_port: int | None = None,
    bytes_per_s: int | None = None,
) -> AsyncIterator[ProxyServer]:
    """A proxy that refuses every request with a status, or passes all on; `to_port` in place of the asked one.

    `bytes_per_s` makes a thin line of it, in each direction.
    """
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        outer: asyncio.StreamWriter | None = None
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            proxy.heads.append(head)
            method, target, _ = head.split("\r\n")[0].split(" ")
            if refuse is not None:
                writer.write(f"HTTP/1.1 {refuse} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                return
            parts = urlsplit(target if method != "CONNECT" else f"//{target}")
            inner, outer = await asyncio.open_connection("127.0.0.1", to_port or parts.port or 80)
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            else:
                outer.write(head.replace(target, parts.path, 1).encode())
            await asyncio.gather(_pump(reader, outer, bytes_per_s), _pump(inner, writer, bytes_per_s))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            running.discard(task)
            for end in (writer, outer):
                if end is not None:
                    end.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    proxy = ProxyServer(listener.sockets[0].getsockname()[1], "https" if tls else "http")
    try:
        yield proxy
    finally:
        listener.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
