"""A server that costs next to nothing, so that a benchmark measures its client: constant bodies, adjustable latency.

    python -m benchmarks.neutral_server [--latency-ms 50]

It reads requests by Content-Length and answers `POST …/batch/…` with a fixed answer of a hundred meetings, everything
else with one. It parses no JSON and knows no limits. One line on standard output names the port.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from contextlib import suppress
from typing import Any

from .data import RECORDS

__all__ = ["main"]


def _meeting(number: int) -> dict[str, Any]:
    system = {
        "hs_object_id": str(9_000_000 + number),
        "hs_createdate": "2026-11-21T08:00:00.123Z",
        "hs_lastmodifieddate": "2026-11-21T08:00:00.123Z",
    }
    return {
        "id": str(9_000_000 + number),
        "properties": {**RECORDS[number], **system},
        "createdAt": "2026-11-21T08:00:00.123Z",
        "updatedAt": "2026-11-21T08:00:00.123Z",
        "archived": False,
        "new": True,
    }


def _answer(status: str, body: object) -> bytes:
    data = json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json;charset=utf-8\r\n"
        f"X-HubSpot-RateLimit-Max: 100000000\r\nX-HubSpot-RateLimit-Remaining: 99999999\r\n"
        f"X-HubSpot-RateLimit-Interval-Milliseconds: 10000\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


BATCH = _answer(
    "201 Created",
    {
        "status": "COMPLETE",
        "results": [_meeting(number) for number in range(100)],
        "startedAt": "2026-11-21T08:00:00.100Z",
        "completedAt": "2026-11-21T08:00:00.500Z",
    },
)
ONE = _answer("201 Created", _meeting(0))


class _Connection(asyncio.Protocol):
    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._buffer = bytearray()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end]).lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            answer = BATCH if b"/batch/" in head.split(b"\r\n", 1)[0] else ONE
            del self._buffer[: end + 4 + length]
            if self._latency_s:
                self._loop.call_later(self._latency_s, self._write, answer)
            else:
                self._write(answer)

    def _write(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)


async def main(latency_s: float) -> None:
    """Serve until cancelled."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(latency_s), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    with suppress(KeyboardInterrupt):
        asyncio.run(main(parser.parse_args().latency_ms / 1000))
