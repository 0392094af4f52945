"""A call that is cancelled, or whose deadline comes, wherever it stands: nothing stays behind, and the next one works.

The places by name, on real sockets; then every await of a call that meets all of them, one after the other.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Generator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from hubspot_meetings_async import (
    AmbiguousWriteError,
    DeadlineExceeded,
    MeetingsClient,
    OAuth,
    QuotaGate,
    RetryPolicy,
)
from hubspot_meetings_async.emulator import Emulator

from .raw_server import Connection, listening

SWIFT = RetryPolicy(base_s=0.001, cap_s=0.002)
MEETING = b'{"id":"1","properties":{}}'
BEFORE = ("token", "refresh", "quota", "connect")
"""Places where nothing has left."""
AFTER = ("body", "headers", "answer")
PLACES = (*BEFORE, *AFTER, "pause")


def answer(body: bytes, head: str = "201 Created", *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {head}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


class Bench:
    """A server and a client of it that hangs at `place` until `free`; `there` is set when a call has come there."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.free = False
        self.there = asyncio.Event()
        self.freed = asyncio.Event()
        self.hubspot: MeetingsClient
        self.url = ""

    async def hang(self) -> None:
        self.there.set()
        await self.freed.wait()

    def release(self) -> None:
        self.free = True
        self.freed.set()

    async def serve(self, connection: Connection) -> None:
        if self.place == "body" and not self.free:
            await self.hang()
        while True:
            request = await connection.request()
            if b"/oauth/" in request[:40]:
                if self.place == "refresh" and not self.free:
                    await self.hang()
                tokens = {"access_token": "fresh", "refresh_token": "r", "expires_in": 1800, "token_type": "bearer"}
                await connection.send(answer(json.dumps(tokens).encode(), "200 OK"))
            elif self.place == "headers" and not self.free:
                await self.hang()
            elif self.place == "answer" and not self.free:
                await connection.send(answer(MEETING)[:-5])
                await self.hang()
            elif self.place == "pause" and not self.free:
                await connection.send(answer(b"{}", "477 Moving", "Retry-After: 30"))
                self.there.set()
            else:
                await connection.send(answer(MEETING))

    async def token(self) -> str:
        if self.place == "token" and not self.free:
            await self.hang()
        return "token"

    def options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"base_url": self.url, "retry": SWIFT}
        if self.place == "refresh":
            return options | {"auth": OAuth("app", "secret", "refresh")}
        options["auth"] = self.token
        if self.place == "quota":
            options["limiter"] = QuotaGate(limit=1, window_s=0.6, assumed=False, probe_first=False)
        if self.place == "connect":
            options["session"] = aiohttp.TCPConnector(resolver=Resolver(self))
            options["base_url"] = self.url.replace("127.0.0.1", "hubspot.test")
            options["allow_insecure"] = True
        return options

    async def call(self) -> Any:
        """Create a meeting; where the body is to be on its way, one that no buffer takes."""
        return await self.hubspot.meetings.create({"hs_meeting_title": "x" * (2**24 if self.place == "body" else 1)})

    async def parked(self) -> None:
        """Wait until a call has come to its place."""
        if self.place == "quota":
            self.there.set()  # nobody else tells: it is there when it waits for nothing else
        await self.there.wait()
        for _ in range(20):  # from where it was seen to where it waits
            await asyncio.sleep(0)
        assert self.hubspot.quota.waiting_interactive == (self.place == "quota")

    def nothing_is_held(self) -> None:
        """No slot and no connection is taken, and nobody waits."""
        quota = self.hubspot.quota
        assert (quota.in_flight, quota.waiting_interactive) == (0, 0)
        if self.hubspot._transport._exchange is not None:
            assert not _connector_of(self.hubspot)._acquired


def _connector_of(hubspot: MeetingsClient) -> Any:
    exchange = hubspot._transport._exchange
    assert exchange is not None
    return exchange.session.connector


class Resolver(AbstractResolver):
    """Knows one name, after a while."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        if not self._bench.free:
            await self._bench.hang()
        found = ResolveResult(hostname=host, host="127.0.0.1", port=port, family=2, proto=0, flags=0)
        return [found]

    async def close(self) -> None:
        return None


@asynccontextmanager
async def bench_at(place: str) -> AsyncIterator[Bench]:
    bench = Bench(place)
    async with listening(bench.serve) as server:
        bench.url = server.url
        options = bench.options()
        async with MeetingsClient(**options) as bench.hubspot:
            if place == "quota":
                await bench.hubspot.meetings.get(1)
            yield bench
        if place == "connect":
            await options["session"].close()


@pytest.mark.parametrize("place", PLACES)
async def test_cancelled_in_any_place(place: str) -> None:
    """Whoever is cancelled is cancelled; no slot, connection or half-done state stays, and the next call works."""
    async with bench_at(place) as bench:
        call = asyncio.ensure_future(bench.call())
        await bench.parked()
        call.cancel()
        if place == "refresh":
            bench.release()  # a renewal that has left is seen through: it may have used the refresh token up
        with pytest.raises(asyncio.CancelledError):
            await call
        bench.nothing_is_held()
        bench.release()
        assert (await bench.hubspot.meetings.get(1)).id == "1"
        bench.nothing_is_held()


@pytest.mark.parametrize("place", PLACES)
async def test_a_deadline_in_any_place(place: str) -> None:
    """It ends the call, which says truly whether anything may have been done; the task itself is not cancelled."""
    async with bench_at(place) as bench:
        if place == "refresh":
            asyncio.get_running_loop().call_later(0.4, bench.release)
        with (
            bench.hubspot.deadline(1.0 if place == "body" else 0.3),
            pytest.raises((DeadlineExceeded, AmbiguousWriteError)) as caught,
        ):
            await bench.call()
        assert isinstance(caught.value, AmbiguousWriteError) is (place in AFTER)
        cause = caught.value.__cause__ if place in AFTER else caught.value
        assert isinstance(cause, DeadlineExceeded)
        assert cause.sent is (place in AFTER)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        bench.nothing_is_held()
        bench.release()
        assert (await bench.hubspot.meetings.get(1)).id == "1"


class Stepped:
    """Awaits `call`, and cancels its task when that waits for the nth time; `awaits` counts."""

    def __init__(self, call: Awaitable[Any], cancel_at: int) -> None:
        self._call = call
        self._cancel_at = cancel_at
        self.awaits = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        steps: Any = self._call.__await__()
        error: BaseException | None = None
        while True:
            try:
                waits_for = steps.send(None) if error is None else steps.throw(error)
            except StopIteration as ended:
                return ended.value
            self.awaits += 1
            task = asyncio.current_task()
            if self.awaits == self._cancel_at and task is not None:
                asyncio.get_running_loop().call_soon(task.cancel)
            error = None
            try:
                yield waits_for
            except BaseException as thrown:  # noqa: BLE001 - handed on
                error = thrown


async def test_cancelled_at_every_await(emulator: Emulator) -> None:
    """A create by key that gets a token, connects, is turned away twice and pauses, and looks the definitions up."""
    emulator.portal.add_app("app", "secret", rotates=False)
    tokens = emulator.portal.issue_tokens("app")
    assert tokens.refresh is not None
    cancelled = 0
    while True:
        auth = OAuth("app", "secret", tokens.refresh.value)
        async with MeetingsClient(auth=auth, base_url=emulator.url, retry=SWIFT) as hubspot:
            emulator.faults.fail_next(477, times=2, retry_after=0, operation="meetings.create")
            create = hubspot.meetings.create({"booking_ref": f"b-{cancelled}"}, key_property="booking_ref")
            stepped = Stepped(create, cancelled + 1)
            call = asyncio.ensure_future(_awaited(stepped))
            done: object = (await asyncio.gather(call, return_exceptions=True))[0]
            emulator.faults.clear()
            assert (hubspot.quota.in_flight, hubspot.quota.waiting_interactive) == (0, 0)
            again = await hubspot.meetings.create({"booking_ref": f"c-{cancelled}"}, key_property="booking_ref")
            assert again.properties["booking_ref"] == f"c-{cancelled}"
            assert not _connector_of(hubspot)._acquired
        if stepped.awaits <= cancelled:
            break
        assert isinstance(done, asyncio.CancelledError)
        cancelled += 1
    assert cancelled >= 8  # on another Python, or another aiohttp, it may wait more or less often
    assert emulator.portal.duplicates_by("booking_ref") == {}


async def _awaited(call: Awaitable[Any]) -> Any:
    return await call
