"""A server that costs next to nothing, so that a benchmark measures its client: constant bodies, adjustable latency.

    python -m benchmarks.neutral_server [--latency-ms 50]

It reads requests by Content-Length and answers each with bytes made beforehand: a batch with the hundred meetings that
begin with the first one the request names, a search with two hundred, a list with a hundred and the next cursor. It
parses no JSON, asks for no token and knows no limits. One line on standard output names the port; `GET /cpu` tells the
seconds of CPU it has used.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from .data import ALL, DISTINCT, NAMES, id_of

__all__ = ["Connection", "answer_to", "batch_answer", "http", "main", "serve"]

LISTED = 100_000
"""How many meetings a list has; the cursor of a page is its place."""

Respond = Callable[[bytes, bytes], bytes]

_FIRST = re.compile(rb'"(?:B-|9)(\d{6})"')
_OFFSET = re.compile(rb'"after": ?"?(\d+)')
_CURSOR = re.compile(rb"after=(\d+)")
_LIMITS = (
    "X-HubSpot-RateLimit-Max: 100000000\r\nX-HubSpot-RateLimit-Remaining: 99999999\r\n"
    "X-HubSpot-RateLimit-Interval-Milliseconds: 10000\r\n"
)


def _meeting(number: int) -> bytes:
    moment = "2026-11-21T08:00:00.123Z"
    system = {"hs_object_id": id_of(number), "hs_createdate": moment, "hs_lastmodifieddate": moment}
    body: dict[str, Any] = {
        "id": id_of(number),
        "properties": {**ALL[number], **system},
        "createdAt": moment,
        "updatedAt": moment,
        "archived": False,
        "new": True,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def http(body: bytes, *, status: str = "200 OK", headers: str = _LIMITS) -> bytes:
    """A whole HTTP answer."""
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json;charset=utf-8\r\n{headers}Content-Length: {len(body)}\r\n"
    )
    return head.encode() + b"\r\n" + body


def batch_answer(number: int) -> bytes:
    """The body that answers a batch: meetings `number` to `number + 99`."""
    return b'{"status":"COMPLETE","results":[%b],"startedAt":"%b","completedAt":"%b"}' % (
        _HUNDREDS[number // 100],
        b"2026-11-21T08:00:00.100Z",
        b"2026-11-21T08:00:00.500Z",
    )


_HUNDREDS = [b",".join(_meeting(n) for n in range(first, first + 100)) for first in range(0, DISTINCT, 100)]
_ONE = http(_meeting(0), status="201 Created")
_NOTHING = b"HTTP/1.1 204 No Content\r\n\r\n"
_CREATED = [http(batch_answer(first), status="201 Created") for first in range(0, DISTINCT, 100)]
_BATCHES = [http(batch_answer(first)) for first in range(0, DISTINCT, 100)]


def _search(first: int) -> bytes:
    after = first + 200
    going_on = b'"paging":{"next":{"after":"%d"}},' % after if after < DISTINCT else b""
    results = _HUNDREDS[first // 100] + b"," + _HUNDREDS[first // 100 + 1]
    # HubSpot tells no limits in answers to searches.
    return http(b'{"total":%d,%b"results":[%b]}' % (DISTINCT, going_on, results), headers="")


_SEARCHES = [_search(first) for first in range(0, DISTINCT, 200)]


def _page(first: int) -> bytes:
    after = first + 100
    going_on = b',"paging":{"next":{"after":"%d","link":"?after=%d"}}' % (after, after) if after < LISTED else b""
    return http(b'{"results":[%b]%b}' % (_HUNDREDS[first // 100 % len(_HUNDREDS)], going_on))


assert len(NAMES) == len(json.loads(_meeting(0))["properties"])


def answer_to(head: bytes, body: bytes) -> bytes:
    """The answer to a request: `head` in lower case, up to the empty line."""
    line = head[: head.index(b"\r\n")]
    if line.startswith(b"get "):
        if line.startswith(b"get /cpu"):
            return http(b"%f" % time.process_time())
        cursor = _CURSOR.search(line)
        return _page(int(cursor[1]) if cursor else 0)
    if b"/batch/" in line:
        if b"/batch/archive" in line:
            return _NOTHING
        found = _FIRST.search(body)
        place = int(found[1]) // 100 if found else 0
        return _CREATED[place] if b"/batch/create" in line else _BATCHES[place]
    if b"/search" in line:
        # By key: behind the last id seen. By offset: at the offset.
        if found := _FIRST.search(body):
            return _SEARCHES[(int(found[1]) + 1) // 200]
        found = _OFFSET.search(body)
        return _SEARCHES[int(found[1]) // 200 if found else 0]
    return _ONE


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, respond: Respond, latency: Callable[[], float]) -> None:
        self._respond = respond
        self._latency = latency
        self._buffer = bytearray()
        self._head = b""
        self._wanted = 0
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a transport of TCP writes, whatever its loop's base

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            if not self._wanted:
                end = self._buffer.find(b"\r\n\r\n")
                if end < 0:
                    return
                self._head = bytes(self._buffer[: end + 2]).lower()
                at = self._head.find(b"\r\ncontent-length:")
                length = int(self._head[at + 17 : self._head.index(b"\r\n", at + 2)]) if at >= 0 else 0
                del self._buffer[: end + 4]
                self._wanted = length + 1
            length = self._wanted - 1
            if len(self._buffer) < length:
                return
            body = bytes(self._buffer[:length])
            del self._buffer[:length]
            self._wanted = 0
            latency_s = self._latency()
            if latency_s:
                self._loop.call_later(latency_s, self._write, self._head, body)
            else:
                self._write(self._head, body)

    def _write(self, head: bytes, body: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(self._respond(head, body))


async def serve(respond: Respond, latency: Callable[[], float]) -> None:
    """Serve until cancelled; prints the port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(Connection, respond, latency), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


def main(latency_s: float) -> None:
    """Serve until interrupted, on uvloop where that is installed: it is cheaper."""
    factory = None
    with suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(answer_to, lambda: latency_s))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    main(parser.parse_args().latency_ms / 1000)
