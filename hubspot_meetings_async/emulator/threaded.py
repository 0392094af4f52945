"""`ThreadedEmulator`: an emulator in a thread and loop of its own, for code and tests that have no loop or another one.

Knows threads, and hands every question over to the emulator's loop. Must not know test runners.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from threading import Thread, current_thread
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import msgspec

from .counts import RequestEntry, Stats
from .faults import Faults
from .portal import Portal
from .sent import SentRequest, Wanted, told
from .server import Emulator

__all__ = ["TOKEN", "ThreadedEmulator"]

TOKEN = "emulator-token"  # noqa: S105  # the stand-in's own, which opens nothing
_WITHIN_S = 30.0
"""Nothing the loop is asked takes longer, unless something is badly wrong."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _arming(method: Callable[Concatenate[Faults, _P], None]) -> Callable[Concatenate[ThreadedEmulator, _P], None]:
    @functools.wraps(method)
    def arm(self: ThreadedEmulator, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        self.call(lambda emulator: method(emulator.faults, *args, **kwargs))

    return arm


def _giving(method: Callable[Concatenate[Portal, _P], _T]) -> Callable[Concatenate[ThreadedEmulator, _P], _T]:
    @functools.wraps(method)
    def give(self: ThreadedEmulator, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return self.call(lambda emulator: method(emulator.portal, *args, **kwargs))

    return give


class ThreadedEmulator:
    """A HubSpot account that any code can talk to: sync, async on whatever loop, other processes.

        with ThreadedEmulator() as hubspot:
            hubspot.fail_next(502, applied=True)
            backfill(hubspot.url, hubspot.token)
            hubspot.assert_no_duplicates("booking_ref")

    Every method may be called from any thread. What has no method here is done by `call()`.

    Args:
        emulator: the one to run; by default one with HubSpot's limits that takes `token` and no other, and remembers
            what was sent.
        token: what `.token` and `.environment` name; an emulator of your own must accept it.
    """

    def __init__(self, emulator: Emulator | None = None, *, token: str = TOKEN) -> None:
        self.token = token
        self._emulator = emulator or Emulator(tokens=[token], keep_bodies=True)
        self._thread: Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def __repr__(self) -> str:
        return f"<ThreadedEmulator {self.url if self._thread is not None else 'not running'}>"

    # running

    def start(self) -> None:
        """Listen. Raises: OSError when the port is taken, RuntimeError when it runs already."""
        if self._thread is not None:
            raise RuntimeError("the emulator is running already")
        started: Future[None] = Future()
        thread = Thread(target=self._run, args=(started,), name="hubspot-emulator", daemon=True)
        thread.start()
        try:
            started.result()
        except BaseException:
            thread.join()
            raise
        self._thread = thread

    def close(self) -> None:
        """Stop at once, also in the middle of requests, and end the thread; what was sent stays readable."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._stop is None:
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        thread.join(_WITHIN_S)
        if thread.is_alive():
            raise RuntimeError(f"the emulator did not stop within {_WITHIN_S:g} s")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, started: Future[None]) -> None:
        async def serve() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            async with self._emulator:
                started.set_result(None)
                await self._stop.wait()

        try:
            asyncio.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    def call(self, work: Callable[[Emulator], _T]) -> _T:
        """Do something with the emulator on its own loop, and wait for it: `call(lambda e: e.portal.add_user(…))`.

        Return values, not iterators: those would go on outside the loop. After `close()` it is done right here.
        """
        if self._thread is None or self._loop is None or self._thread is current_thread():
            return work(self._emulator)

        async def done() -> _T:
            return work(self._emulator)

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(_WITHIN_S)

    # where it is

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end. Raises: RuntimeError when it does not run."""
        return self._emulator.url

    @property
    def port(self) -> int:
        """The port it listens on. Raises: RuntimeError when it does not run."""
        return self._emulator.port

    @property
    def environment(self) -> dict[str, str]:
        """What `MeetingsClient.from_env()` reads; `{**os.environ, **hubspot.environment}` for another process."""
        return {"HUBSPOT_BASE_URL": self.url, "HUBSPOT_ACCESS_TOKEN": self.token}

    # what the account has, and what goes wrong with it

    add_object = _giving(Portal.add_object)
    add_property = _giving(Portal.add_property)
    fail_next = _arming(Faults.fail_next)
    reset_next = _arming(Faults.reset_next)
    hang_next = _arming(Faults.hang_next)
    delay_next = _arming(Faults.delay_next)
    strike_next = _arming(Faults.strike_next)
    strike_at_rate = _arming(Faults.at_rate)
    clear_faults = _arming(Faults.clear)

    def set_limits(
        self,
        *,
        limit: int | msgspec.UnsetType | None = msgspec.UNSET,
        daily_limit: int | msgspec.UnsetType | None = msgspec.UNSET,
        search_limit: int | msgspec.UnsetType | None = msgspec.UNSET,
    ) -> None:
        """Change the account's limits from now on; None is no limit, what is left out stays."""

        def change(emulator: Emulator) -> None:
            if not isinstance(limit, msgspec.UnsetType):
                emulator.quota.limit = limit
            if not isinstance(daily_limit, msgspec.UnsetType):
                emulator.quota.daily_limit = daily_limit
            if not isinstance(search_limit, msgspec.UnsetType):
                emulator.quota.search_limit = search_limit

        self.call(change)

    def advance(self, seconds: float) -> None:
        """Move the account's clock forward: windows, the day, tokens and search follow, and nobody waits."""
        self.call(lambda emulator: emulator.advance(seconds))

    # what came of it

    @property
    def requests(self) -> list[SentRequest]:
        """What was sent and answered (or torn down) so far, in the order it came.

        The emulator remembers the last `keep_requests` of them, 1,000 by default.
        """
        return self._log()[0]

    def _log(self) -> tuple[list[SentRequest], int]:
        """The requests remembered, and how many are not."""

        def look(emulator: Emulator) -> tuple[list[RequestEntry], int]:
            return emulator.recent_requests, sum(emulator.stats().by_status.values())

        entries, answered = self.call(look)
        return sorted(map(SentRequest.of, entries), key=lambda request: request.number), answered - len(entries)

    def stats(self) -> Stats:
        """Everything counted so far."""
        return self.call(lambda emulator: emulator.stats())

    def objects(self, object_type: str, *, archived: bool = False) -> list[dict[str, str]]:
        """The properties of every live record of a type (with `archived`, of the archived ones), with `hs_object_id`.

        Raises: ValueError for an unknown type.
        """
        return self.call(lambda emulator: list(emulator.portal.objects(object_type, archived=archived)))

    def meetings(self, *, archived: bool = False) -> list[dict[str, str]]:
        """The properties of every live meeting (with `archived`, of the archived ones), with `hs_object_id`."""
        return self.objects("meetings", archived=archived)

    def created_meetings(self) -> list[dict[str, str]]:
        """The meetings that requests created, not `add_object()`; those archived since too."""

        def created(emulator: Emulator) -> list[dict[str, str]]:
            ids = {entry.id for entry in emulator.portal.ledger() if entry.created_by}
            both = emulator.portal.objects("meetings", archived="both")
            return [properties for properties in both if properties["hs_object_id"] in ids]

        return self.call(created)

    def associated_ids(self, from_type: str, from_id: str | int, to_type: str) -> list[str]:
        """The ids of the records of one type that a record is associated with, in order.

        Raises: ValueError for an unknown type.
        """

        def ids(emulator: Emulator) -> list[str]:
            portal = emulator.portal
            there = portal.crm(to_type).type.plural
            ends = portal.associations.ends(portal.crm(from_type).type.plural, int(from_id), there)
            return [str(end) for end in sorted(ends)]

        return self.call(ids)

    def wait_for_requests(self, number: int, *, timeout_s: float = 10.0) -> None:
        """Wait until so many requests were refused or carried out, answered or not.

        It blocks: in async tests `await asyncio.to_thread(hubspot.wait_for_requests, 1)`.

        Raises: TimeoutError; RuntimeError when it does not run, or closes meanwhile.
        """
        if self._loop is None or self._thread is None:
            raise RuntimeError("the emulator is not running; no request will come")
        waiting = asyncio.run_coroutine_threadsafe(self._emulator.until_requests(number), self._loop)
        try:
            waiting.result(timeout_s)
        except TimeoutError:
            waiting.cancel()
            told_now = told(self.requests)
            raise TimeoutError(f"fewer than {number} requests came within {timeout_s:g} s; {told_now}") from None

    def report(self) -> str:
        """The requests so far, a line each, as failed assertions show them."""
        return told(self.requests)

    # assertions

    def assert_sent(
        self,
        method: str = "*",
        path: str = "*",
        *,
        times: int | None = None,
        operation: str = "*",
        query: Mapping[str, str] | None = None,
        json: Any = msgspec.UNSET,
    ) -> list[SentRequest]:
        """Fail unless such a request was sent; returns those that were.

        Args:
            method, path, operation: shell patterns (`/crm/v3/objects/meetings/*`, `meetings.batch_*`). An operation
                is the same in every version of the API.
            times: exactly so often; None is at least once.
            query: parameters that must be there; others may be.
            json: the whole body.

        Raises: AssertionError that lists the requests; RuntimeError when so many came that some are forgotten.
        """
        __tracebackhide__ = True
        wanted = Wanted(method=method, path=path, operation=operation, query=query, json=json)
        requests, forgotten = self._log()
        if forgotten:
            raise RuntimeError(
                f"of {len(requests) + forgotten:,} requests only the last {len(requests):,} are remembered; "
                "Emulator(keep_requests=…), or @pytest.mark.hubspot(keep_requests=…), keeps more"
            )
        found = [request for request in requests if wanted.matches(request)]
        if len(found) != times if times is not None else not found:
            not_times = "" if times is None else f", not {_often(times)}"
            question = None if json is msgspec.UNSET else wanted
            raise AssertionError(
                f"{wanted} was sent {_often(len(found))}{not_times};\n{told(requests, bodies_of=question)}"
            )
        return found

    def assert_not_sent(self, method: str = "*", path: str = "*", *, operation: str = "*") -> None:
        """Fail if such a request was sent; without arguments, if any was. Raises: AssertionError."""
        __tracebackhide__ = True
        self.assert_sent(method, path, operation=operation, times=0)

    def assert_no_duplicates(self, property: str, *, object_type: str = "meetings") -> None:
        """Fail if live records share a value of a property. Raises: AssertionError that says who created them."""
        __tracebackhide__ = True
        duplicates, makers = self.call(lambda emulator: _duplicates(emulator, property, object_type))
        if not duplicates:
            return
        lines = [
            f"{len(duplicates)} value{'s' * (len(duplicates) != 1)} of {property} more than once in {object_type}:"
        ]
        for value, ids in list(duplicates.items())[:10]:
            made = ", ".join(f"{id_} ({makers[id_]})" for id_ in ids)
            lines.append(f"  {value}: {made}")
        if len(duplicates) > 10:
            lines.append(f"  … and {len(duplicates) - 10} more")
        raise AssertionError("\n".join([*lines, self.report()]))

    def assert_within_limits(self) -> None:
        """Fail if the account's limits refused a request; 429s of faults do not count. Raises: AssertionError."""
        __tracebackhide__ = True
        refused = self.stats().rate_limited
        if refused.genuine:
            raise AssertionError(
                f"{refused.genuine} requests were refused with 429: {refused.ten_secondly} by the ten-second window, "
                f"{refused.secondly} by the search limit, {refused.daily} by the daily limit;\n{self.report()}"
            )

    def assert_faults_struck(self) -> None:
        """Fail if a fault that was to strike some number of times has not; those at a rate may. Raises: AssertionError.

        A test whose fault never struck has proven nothing.
        """
        __tracebackhide__ = True
        rules = self.call(lambda emulator: emulator.faults.rules())
        waiting = [
            f"{rule.fault.name}, {left} more of {rule.operation}"
            for rule, left, _ in rules
            if left is not None and rule.rate is None
        ]
        if waiting:
            raise AssertionError(f"faults still wait for their requests: {'; '.join(waiting)};\n{self.report()}")


def _often(times: int) -> str:
    return "once" if times == 1 else f"{times} times"


def _duplicates(emulator: Emulator, property: str, object_type: str) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Values with the ids that share them, and for each id what created it."""
    portal = emulator.portal
    duplicates = portal.duplicates_by(property, object_type=object_type)
    if not duplicates:
        return {}, {}
    makers = {
        entry.id: f"by request {entry.created_by}" if entry.created_by else "given"
        for entry in portal.ledger(object_type=object_type)
    }
    return duplicates, makers
