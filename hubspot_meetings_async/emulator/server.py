"""`Emulator`: a HubSpot account on a local port, for as long as an `async with` lasts.

Knows listening and closing. Must not know what is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from os import PathLike
from types import TracebackType
from typing import Self

from aiohttp import web

from .app import FrontDoor
from .behaviour import Behaviour
from .clock import Clock
from .connections import Connections, queue_length
from .counts import RequestEntry, Stats
from .faults import Faults
from .fixtures import AROUND_MS
from .house import House
from .latency import Latency, read_latency
from .portal import Portal
from .quota import Quota

__all__ = ["Emulator"]

MIB = 1024 * 1024
_CLOSE_WITHIN_S = 0.2


class Emulator:
    """A HubSpot account on a local port.

        async with Emulator(limit=190) as hubspot:
            client = MeetingsClient("any-token", base_url=hubspot.url)
            ...
            print(hubspot.stats())

    Args:
        host, port: where to listen; port 0 takes a free one.
        limit: requests per window and app; None switches the window off. HubSpot gives 100, 190 or 250 by
            subscription.
        daily_limit: requests per day of all apps together; None (default) switches it off.
        window_s: length of the window; HubSpot's is 10 s, tests may want a shorter one.
        search_limit: searches per second of all apps together, which are outside the window; None switches it off.
        tokens: accepted bearer tokens, or a mapping of tokens to app names (tokens with one name share a window).
            None accepts any token, and takes each for an app of its own.
        behaviour: readings of the questions that HubSpot's documents leave open.
        seed: of everything random: shuffled orders, fault rates, latencies, correlation ids.
        forward_latency_s: seconds, a range, or a `LogNormal`, that a request travels before HubSpot stamps it.
        service_latency_s: the same between the stamp (when writes take effect) and the answer.
        clock: where the time comes from; latencies always pass in real time.
        portal_id: the account's number.
        timezone: the account's zone; daily quotas start anew at its midnight.
        max_body_bytes: larger request bodies are answered with 413.
        idle_s: connections that wait longer for a request, or take longer to send one, are closed.
        keep_requests: how many of the last requests the log remembers.
        keep_bodies: whether it remembers their bodies too, for tests that look into what was sent; never those of
            calls for tokens.
        data: a file that keeps the account between two runs, made if there is none. What was answered is in it before
            the answer leaves, also if the process is then killed; what Python code put into the account is in it with
            the next request, or on closing. Kept are records, ties, definitions, users, links, bookings, apps, tokens,
            the day's count, and how far the clock was moved. Not kept are rate windows, faults, late writes, counts and
            the request log (so requests are numbered anew), and what search does not see yet: it is seen at once.
        meetings, contacts, around_ms: start with an account made up from `seed`, see `populate()`; one that a data file
            brought back stays as it is.

    Raises: ValueError for values that make no sense; OSError when the port is taken; DataFileError for a `data` file
        that is something else, newer than this emulator, or open in another one.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        limit: int | None = 190,
        daily_limit: int | None = None,
        window_s: float = 10.0,
        search_limit: int | None = 5,
        tokens: Iterable[str] | Mapping[str, str] | None = None,
        behaviour: Behaviour | None = None,
        seed: int = 0,
        forward_latency_s: float | Latency = 0.0,
        service_latency_s: float | Latency = 0.0,
        clock: Clock | None = None,
        portal_id: int = 1_234_567,
        timezone: str = "UTC",
        max_body_bytes: int = 5 * MIB,
        idle_s: float = 75.0,
        keep_requests: int = 1000,
        keep_bodies: bool = False,
        data: str | PathLike[str] | None = None,
        meetings: int = 0,
        contacts: int | None = None,
        around_ms: int = AROUND_MS,
    ) -> None:
        if not 0 <= port <= 65_535:
            raise ValueError(f"port must be from 0 to 65535, not {port!r}")
        _need_positive("limit", limit)
        _need_positive("daily_limit", daily_limit)
        _need_positive("search_limit", search_limit)
        _need_positive("max_body_bytes", max_body_bytes)
        if not window_s > 0:
            raise ValueError(f"window_s must be above 0 seconds, not {window_s!r}")
        if not idle_s > 0:
            raise ValueError(f"idle_s must be above 0 seconds, not {idle_s!r}")
        if keep_requests < 0:
            raise ValueError(f"keep_requests must not be negative, not {keep_requests!r}")
        if isinstance(tokens, str):
            raise ValueError("tokens takes a list of tokens, or a mapping of tokens to app names, not one string")
        self._forward_latency_s = read_latency("forward_latency_s", forward_latency_s)
        self._service_latency_s = read_latency("service_latency_s", service_latency_s)
        self._house = House(
            limit=limit,
            daily_limit=daily_limit,
            window_s=window_s,
            search_limit=search_limit,
            tokens=tokens,
            behaviour=behaviour,
            seed=seed,
            clock=clock,
            portal_id=portal_id,
            timezone=timezone,
            keep_requests=keep_requests,
            keep_bodies=keep_bodies,
            data=data,
            meetings=meetings,
            contacts=contacts,
            around_ms=around_ms,
        )
        self._seed = seed
        self._data = data
        self._ended = False
        self._host = host
        self._port = port
        self._max_body_bytes = max_body_bytes
        self._idle_s = idle_s
        self._door: FrontDoor | None = None
        self._runner: web.ServerRunner | None = None

    def __repr__(self) -> str:
        where = self.url if self._runner is not None else "not running"
        return f"<Emulator {where}, {len(self.portal.meetings.store)} meetings>"

    @property
    def portal(self) -> Portal:
        """The account: what is in it, and what was done to it."""
        return self._house.portal

    @property
    def faults(self) -> Faults:
        """What goes wrong, and how often it did."""
        return self._house.faults

    @property
    def quota(self) -> Quota:
        """The limits; `limit`, `daily_limit` and `search_limit` may be changed while it runs."""
        return self._house.quota

    @property
    def behaviour(self) -> Behaviour:
        """The readings in force."""
        return self._house.behaviour

    @property
    def recent_requests(self) -> list[RequestEntry]:
        """The last requests, oldest first."""
        return list(self._house.counts.recent)

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    @property
    def port(self) -> int:
        """The port it listens on. Raises: RuntimeError before the start."""
        if self._runner is None:
            raise RuntimeError("the emulator is not running; use it as `async with Emulator() as hubspot:`")
        return self._port

    def stats(self) -> Stats:
        """Everything counted since the start or the last reset."""
        return self._house.stats()

    def accepted_stamps_s(self, app: str = "app-1") -> list[float]:
        """When each accepted request of an app was stamped, in seconds since the start."""
        started_s = self._house.counts.started_s
        window = self.quota.apps.get(app)
        return [] if window is None else [stamp - started_s for stamp in window.accepted]

    async def until_requests(self, number: int) -> None:
        """Wait until so many requests since the start (or the last reset) were refused or carried out.

        Their answers may still be on the way: with a fault, with `service_latency_s`, or for ever. A test that cancels
        or closes in the middle of a request needs no sleeping with this.

        Raises: RuntimeError when it is not running, or closes meanwhile.
        """
        if self._door is None:
            raise RuntimeError("the emulator is not running; no request will come")
        await self._door.until_judged(number)

    def apply_late_writes(self) -> int:
        """Carry out at once what faults with `applied_after_s` put off; returns how many requests that were.

        Without it they are carried out when the emulator's clock says so; with a clock that a test moves, that is by
        the next request after it moved. What still waits when the emulator closes never happens.
        """
        return self._house.late.catch_up(float("inf"))

    def advance(self, seconds: float) -> None:
        """Move the account's clock forward: everything follows, which is rate windows, the day, what search sees, the
        lives of tokens, and free slots. The clock runs on from there; a `ManualClock` stands still there.

        Raises: ValueError for a way back, and for a clock of one's own that has no `advance()`.
        """
        self._house.advance(seconds)

    def reset(self, *, records: bool = True, properties: bool = True, faults: bool = True, counts: bool = True) -> None:
        """Start anew, whole or in parts; `counts` includes the windows of the quota."""
        self._house.reset(records=records, properties=properties, faults=faults, counts=counts)

    async def start(self) -> None:
        """Listen. Raises: OSError when the port is taken, RuntimeError when it runs already or asyncio does not."""
        if self._runner is not None:
            raise RuntimeError("the emulator is running already")
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                "the emulator runs on asyncio; under trio, or without a loop, use ThreadedEmulator"
            ) from None
        if self._ended and self._data is not None:
            raise RuntimeError("an emulator with a data file starts once; make a new one with the same file")
        door = FrontDoor(
            self._house,
            forward_latency_s=self._forward_latency_s,
            service_latency_s=self._service_latency_s,
            idle_s=self._idle_s,
            seed=self._seed,
        )
        connections = Connections(door.handle, idle_s=self._idle_s, max_body_bytes=self._max_body_bytes)
        runner = web.ServerRunner(connections, shutdown_timeout=_CLOSE_WITHIN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port, backlog=queue_length()).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._port = int(runner.addresses[0][1])
        self._door, self._runner = door, runner

    async def close(self) -> None:
        """Stop at once, also in the middle of requests; the account and its counts stay readable.

        Raises: DataFileError when the data file does not take what is left to write.
        """
        runner, door = self._runner, self._door
        self._runner = self._door = None
        self._ended = True
        try:
            if runner is not None and door is not None:
                door.close()
                await runner.cleanup()
        finally:
            self._house.close_data()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _need_positive(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"{name} must be at least 1, or None for no limit, not {value!r}")
