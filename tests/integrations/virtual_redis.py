"""The script of `RedisSlots` on a real server, on a virtual clock: hours of a shared quota, the same every time.

The server is asked without the event loop, which would take the wait for its answer for virtual time; what an exchange
takes is given instead. Its own clock is left out: the script counts on the loop's.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import redis as redis_py

from hubspot_meetings_async.integrations import redis as bridge
from hubspot_meetings_async.integrations.redis import RedisSlots

__all__ = ["VirtualServer", "VirtualSlots"]

_OWN_CLOCK = "local clock = redis.call('TIME')\nlocal now = clock[1] * 1000000 + clock[2]\n"
SCRIPT = bridge._SCRIPT.replace(_OWN_CLOCK, "local now = tonumber(ARGV[3])\n")
assert SCRIPT != bridge._SCRIPT


class VirtualServer:
    """A Redis that can be away. `exchanges` counts what it was asked."""

    def __init__(self, port: int) -> None:
        self.client = redis_py.Redis(port=port)
        self.client.flushall()
        self.run = self.client.register_script(SCRIPT)
        self.away = False
        self.exchanges = 0

    def lose_memory(self) -> None:
        """Be as new."""
        self.client.flushall()


class VirtualSlots(RedisSlots):
    """One process' way to it."""

    def __init__(self, server: VirtualServer, name: str = "test", *, latency_s: float = 0.0005) -> None:
        super().__init__(cast("Any", server.client), name, timeout_s=1.0)
        self._server = server
        self._latency_s = latency_s

    async def _run(self, payload: bytes, epoch: str) -> list[Any]:
        await asyncio.sleep(self._latency_s)
        if self._server.away:
            raise ConnectionRefusedError("nobody there")
        self._server.exchanges += 1
        now_us = round(1e9 + 1e6 * asyncio.get_running_loop().time())
        reply = self._server.run(keys=self._keys, args=[payload, epoch, now_us])
        await asyncio.sleep(self._latency_s)
        return cast("list[Any]", reply)
