"""The one call loop, on virtual time: a scripted transport below, a limiter that writes everything down beside it."""

import asyncio
import random
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import Any, Self

import anyio
import msgspec
import pytest
from multidict import CIMultiDict

from hubspot_meetings_async.auth.sources import Secret, StaticToken
from hubspot_meetings_async.calling.caller import Caller
from hubspot_meetings_async.calling.deadlines import Deadline
from hubspot_meetings_async.calling.retry import RetryPolicy
from hubspot_meetings_async.errors import (
    AmbiguousWriteError,
    ConfigurationError,
    DailyLimitExceeded,
    DeadlineExceeded,
    HubSpotError,
    HubSpotUnavailable,
    NotFound,
    RateLimited,
    RequestRejected,
    TransportFailed,
    Unauthorized,
    UnexpectedResponse,
)
from hubspot_meetings_async.limiter import Lane, Limiter, QuotaGate, QuotaStats, Slot
from hubspot_meetings_async.wire import Quota, Replay, Request, Response, Trail

from . import sampling
from .virtual_time import run_virtual

TOKEN = "pat-c4n4ry"
OK = sampling.answer(200, {"n": 1}, X_HubSpot_RateLimit_Max="100")
REFUSED = TransportFailed("refused", sent=False)

Step = Response | Exception | Callable[["Wire"], Awaitable[Response]]


class Wire:
    """A transport that follows a script; the last step repeats. Exceptions with `sent` strike after the write."""

    def __init__(self, *script: Step) -> None:
        self.script = list(script)
        self.tokens: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.at_s: list[float] = []
        self.written: Callable[[], None] = lambda: None
        self.answered: Callable[[Mapping[str, str]], None] = lambda headers: None

    async def send(
        self,
        request: Request[Any],
        headers: Mapping[str, str],
        *,
        on_written: Callable[[], None],
        on_answered: Callable[[Mapping[str, str]], None],
    ) -> Response:
        self.at_s.append(anyio.current_time())
        self.headers.append(dict(headers))
        self.tokens.append(headers["Authorization"].removeprefix("Bearer "))
        self.written, self.answered = on_written, on_answered
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, Response):
            on_written()
            on_answered(step.headers)
            return step
        if isinstance(step, Exception):
            if getattr(step, "sent", True):
                on_written()
            # A fresh one each time, as a transport makes it: the caller writes into it.
            raise type(step)(
                step.args[0],
                **{k: v for k, v in vars(step).items() if k not in ("message", "method", "path", "attempt")},
            )
        return await step(self)

    async def aclose(self) -> None:
        return None


async def never_sent(wire: Wire) -> Response:
    await anyio.sleep_forever()
    raise AssertionError


async def never_answered(wire: Wire) -> Response:
    wire.written()
    return await never_sent(wire)


async def never_complete(wire: Wire) -> Response:
    wire.written()
    wire.answered(CIMultiDict())
    return await never_sent(wire)


class Book:
    """A limiter that lets everybody through after `wait_s`, and writes down what it is told."""

    def __init__(self, wait_s: float = 0.0, leave_s: float = 0.0, name: str = "") -> None:
        self.wait_s = wait_s
        self.leave_s = leave_s
        self.events: list[str] = []
        self.name = name
        self.held = 0

    def slot(self, lane: Lane, *, at_head: bool = False) -> "Page":
        self.events.append(f"enter {lane.name.lower()}{' at head' if at_head else ''}")
        return Page(self)

    def stats(self) -> QuotaStats:
        return QuotaStats(name="book")

    def saturated(self, lane: Lane) -> bool:
        return False

    def wait_estimate_s(self, lane: Lane) -> float:
        return 0.0


class Page:
    def __init__(self, book: Book) -> None:
        self.book = book

    async def __aenter__(self) -> Self:
        await anyio.sleep(self.book.wait_s)
        self.book.held += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.book.held -= 1
        self.book.events.append("leave")
        if self.book.leave_s:
            await anyio.sleep(self.book.leave_s)

    def written(self) -> None:
        self.book.events.append("written")

    def answered(self, headers: Mapping[str, str], /) -> None:
        self.book.events.append(f"answered {headers.get('X-HubSpot-RateLimit-Max')}")

    def refused(self, *, policy: str | None, retry_after_s: float | None, resets_at: Any = None) -> None:
        self.book.events.append(f"refused {policy} {retry_after_s}")


class Rotating:
    """Tokens that can be renewed so many times."""

    def __init__(self, renewals: int = 1) -> None:
        self.number = 0
        self.renewals = renewals
        self.rejected: list[str] = []

    async def token(self) -> Secret:
        return Secret(f"{TOKEN}-{self.number}")

    async def renew(self, rejected: Secret) -> bool:
        self.rejected.append(rejected.reveal())
        if not self.renewals:
            return False
        self.renewals -= 1
        self.number += 1
        return True


def request(replay: Replay = Replay.ALWAYS, quota: Quota = Quota.STANDARD) -> Request[Any]:
    return Request(
        method="POST", path="/m", body=b'{"x":1}', decoder=msgspec.json.Decoder(), replay=replay, quota=quota
    )


class Setting:
    """One caller with all its parts at hand."""

    def __init__(
        self,
        *script: Step,
        book: Book | None = None,
        gate: QuotaGate | None = None,
        search: Book | None = None,
        auth: Any = None,
        call_s: float | None = None,
        **policy: Any,
    ) -> None:
        self.wire = Wire(*script)
        self.book = book or Book()
        self.trail = Trail()
        gates: dict[Quota, tuple[Limiter, ...]] = {Quota.STANDARD: (gate or self.book,)}
        if search is not None:
            gates[Quota.SEARCH] = (search, self.book)
        self.caller = Caller(
            transport=self.wire,
            auth=auth or StaticToken(TOKEN),
            limiters=gates,
            policy=RetryPolicy(**policy),
            call_s=call_s,
            rng=random.Random(1),
        )

    async def call(
        self, replay: Replay = Replay.ALWAYS, lane: Lane = Lane.INTERACTIVE, quota: Quota = Quota.STANDARD
    ) -> Any:
        return await self.caller.lane(lane)(request(replay, quota), self.trail)


def run(setting: Setting, replay: Replay = Replay.ALWAYS, lane: Lane = Lane.INTERACTIVE) -> Any:
    """The value of one call, on virtual time."""
    return run_virtual(lambda rng: setting.call(replay, lane))


def failure(setting: Setting, replay: Replay = Replay.ALWAYS, lane: Lane = Lane.INTERACTIVE) -> HubSpotError:
    with pytest.raises(HubSpotError) as caught:
        run(setting, replay, lane)
    return caught.value


RESET = TransportFailed("reset", sent=True)
SILENCE = TransportFailed("silence", sent=True, timeout=True)
LIMIT = sampling.response("errors/ten_secondly")

# Failure moment; how each kind of call ends when it happens once and all is well afterwards.
# "again": sent again, succeeds. A class: that error, at once.
End = str | type[HubSpotError]


def ends(always: End, if_not_done: End, if_not_sent: End) -> dict[Replay, End]:
    # A run that decides itself is given what was seen, not what a caller would make of it.
    seen = HubSpotError if if_not_done is AmbiguousWriteError else if_not_done
    return {
        Replay.ALWAYS: always,
        Replay.IF_NOT_DONE: if_not_done,
        Replay.IF_NOT_SENT: if_not_sent,
        Replay.NOT_HERE: seen,
    }


def alike(statuses: tuple[int, ...], end: dict[Replay, End]) -> list[tuple[str, Step, dict[Replay, End]]]:
    return [(str(status), sampling.answer(status, Location="https://x.example"), end) for status in statuses]


LOST = ends("again", AmbiguousWriteError, AmbiguousWriteError)
MOMENTS: list[tuple[str, Step, dict[Replay, End]]] = [
    ("no connection", REFUSED, ends("again", "again", "again")),
    ("connect timeout", TransportFailed("x", sent=False, timeout=True), ends("again", "again", "again")),
    (
        "bad certificate",
        TransportFailed("x", sent=False, fatal=True),
        ends(TransportFailed, TransportFailed, TransportFailed),
    ),
    ("reset", RESET, LOST),
    ("silence", SILENCE, LOST),
    ("429", LIMIT, ends("again", "again", RateLimited)),
    (
        "daily",
        sampling.response("errors/daily"),
        ends(DailyLimitExceeded, DailyLimitExceeded, DailyLimitExceeded),
    ),
    *alike((425, 477), ends("again", "again", HubSpotUnavailable)),
    *alike((408, 423, 500, 502, 503, 504, 520, 521, 522, 523, 524, 599), LOST),
    *alike((525, 526, 530), ends(HubSpotUnavailable, AmbiguousWriteError, AmbiguousWriteError)),
    *alike((401,), ends(Unauthorized, Unauthorized, Unauthorized)),
    *alike((404,), ends(NotFound, NotFound, NotFound)),
    *alike((400, 403, 405, 409, 411, 413, 414, 415, 422, 431), ends(RequestRejected, RequestRejected, RequestRejected)),
    *alike((301, 302, 303, 307, 308), ends(UnexpectedResponse, UnexpectedResponse, UnexpectedResponse)),
    ("html 200", sampling.answer(200, b"<html>"), LOST),
    ("cut gzip", UnexpectedResponse("the gzip answer ends midway", status=201), LOST),
]
CASES = [
    pytest.param(step, replay, end[replay], id=f"{name}-{replay.value}")
    for name, step, end in MOMENTS
    for replay in Replay
]


class TestAgain:
    @pytest.mark.parametrize(("step", "replay", "end"), CASES)
    @pytest.mark.parametrize("lane", list(Lane))
    def test_each_moment(self, step: Step, replay: Replay, end: str | type[HubSpotError], lane: Lane) -> None:
        """After each failure each kind of call is sent again, or ends in its error at once; never a send too many."""
        setting = Setting(step, OK)
        if end == "again":
            assert run(setting, replay, lane) == {"n": 1}
            assert len(setting.wire.tokens) == 2
            assert setting.trail.retries == 1
            assert not setting.trail.in_doubt
        else:
            assert isinstance(end, type)
            error = failure(setting, replay, lane)
            assert isinstance(error, end)
            assert replay is not Replay.NOT_HERE or not isinstance(error, AmbiguousWriteError)
            assert len(setting.wire.tokens) == 1
            assert setting.trail.retries == 0
        assert setting.book.held == 0

    @pytest.mark.parametrize(("step", "replay", "end"), CASES)
    def test_doubt_is_right(self, step: Step, replay: Replay, end: str | type[HubSpotError]) -> None:
        """After a call that failed for good, `in_doubt` is True exactly where HubSpot may have done it."""
        setting = Setting(step, attempts=1, refusals=0)
        error = failure(setting, replay)
        unknown = isinstance(error, AmbiguousWriteError) or (
            isinstance(error, (TransportFailed, HubSpotUnavailable, UnexpectedResponse))
            and getattr(error, "sent", True)
            and error.status not in (425, 477, 301, 302, 303, 307, 308)
        )
        assert setting.trail.in_doubt is unknown

    @pytest.mark.parametrize(
        ("step", "why"),
        [
            (RESET, "reset"),
            (SILENCE, "timeout"),
            (sampling.answer(503), "5xx"),
            (sampling.answer(423), "locked"),
            (sampling.answer(200, b"<"), "unreadable"),
        ],
    )
    def test_an_ambiguous_write_says_why(self, step: Step, why: str) -> None:
        """AmbiguousWriteError says what was seen, where, and chains the failure itself; reads have none of it."""
        error = failure(Setting(step), Replay.IF_NOT_DONE)
        assert isinstance(error, AmbiguousWriteError)
        assert (error.why, error.method, error.path, error.attempt) == (why, "POST", "/m", 1)
        assert isinstance(error.__cause__, HubSpotError)
        assert error.__context__ is None or error.__context__ is error.__cause__
        assert not isinstance(failure(Setting(step, attempts=2)), AmbiguousWriteError)

    def test_attempts_are_counted(self) -> None:
        """The last error comes out after `attempts` sends, and knows the number of its attempt."""
        setting = Setting(sampling.answer(503), attempts=4)
        error = failure(setting)
        assert (error.attempt, error.status, len(setting.wire.tokens)) == (4, 503, 4)
        assert (setting.trail.requests, setting.trail.retries) == (4, 3)

    def test_attempts_that_never_left_count_too(self) -> None:
        """Connections that never came about are attempts, but no requests."""
        setting = Setting(REFUSED, attempts=3)
        error = failure(setting)
        assert (error.attempt, setting.trail.requests, setting.trail.retries) == (3, 0, 2)
        assert setting.trail.first_sent_at is None

    def test_a_create_waits_out_what_is_harmless(self) -> None:
        """A create is tried again through refused connections and 429s, and gives up at the first lost answer."""
        setting = Setting(REFUSED, LIMIT, sampling.answer(477), RESET, OK)
        error = failure(setting, Replay.IF_NOT_DONE)
        assert isinstance(error, AmbiguousWriteError)
        assert error.attempt == 4
        assert len(setting.wire.tokens) == 4

    def test_waits_grow_and_a_lock_gets_its_time(self) -> None:
        """Between attempts virtual time passes: at least two seconds after a 423, `Retry-After` where HubSpot asks."""
        setting = Setting(sampling.answer(423), sampling.answer(503, Retry_After="7"), OK)
        run(setting)
        first, second, third = setting.wire.at_s
        assert second - first >= 2.0
        assert 7.0 <= third - second < 7.1

    @pytest.mark.parametrize("retry_after", ["1e9", "86400"])
    def test_no_endless_sleep(self, retry_after: str) -> None:
        """A Retry-After of ages ends the call at once."""
        setting = Setting(sampling.answer(477, Retry_After=retry_after))
        assert isinstance(failure(setting), HubSpotUnavailable)
        assert len(setting.wire.at_s) == 1

    @pytest.mark.parametrize("retry_after", ["-5", "abc", "nan", "Wed, 21 Oct 2026 07:28:00 GMT"])
    @pytest.mark.parametrize("status", [429, 503])
    def test_nonsense_in_retry_after(self, retry_after: str, status: int) -> None:
        """A Retry-After that is no number of seconds is ignored."""
        setting = Setting(sampling.answer(status, Retry_After=retry_after), OK)
        assert run(setting) == {"n": 1}
        assert setting.wire.at_s[1] < 1.0

    def test_foreign_exceptions_come_out_as_themselves(self) -> None:
        """A bug in a part is not retried and not wrapped; the slot is given back."""

        async def bug(wire: Wire) -> Response:
            raise ZeroDivisionError

        setting = Setting(bug)
        with pytest.raises(ZeroDivisionError):
            run(setting)
        assert setting.book.held == 0


class TestRefusals:
    def test_the_gate_is_told_and_the_call_goes_to_the_head(self) -> None:
        """A 429 is told to its slot while that is held, and the next try enters at the head."""
        setting = Setting(LIMIT, OK)
        run(setting, lane=Lane.BULK)
        assert setting.book.events == [
            "enter bulk", "written", "answered 190", "refused TEN_SECONDLY_ROLLING None", "leave",
            "enter bulk at head", "written", "answered 100", "leave",
        ]  # fmt: skip
        assert (setting.trail.rate_limited, setting.trail.retries, setting.trail.requests) == (1, 1, 2)

    def test_the_head_is_for_the_refused(self) -> None:
        """After another failure the call queues like everybody."""
        setting = Setting(LIMIT, sampling.answer(503), OK)
        run(setting)
        entered = [event for event in setting.book.events if event.startswith("enter")]
        assert entered == ["enter interactive", "enter interactive at head", "enter interactive"]

    def test_retry_after_reaches_the_gate(self) -> None:
        """The gate learns what HubSpot asked for."""
        setting = Setting(sampling.answer(429, {"policyName": "SECONDLY"}, Retry_After="3"), OK)
        run(setting)
        assert "refused SECONDLY 3.0" in setting.book.events
        assert setting.wire.at_s[1] >= 3.0

    def test_refusals_have_their_own_bound(self) -> None:
        """429s are tried `refusals` times again beyond all attempts, then come out, spread over seconds."""
        setting = Setting(LIMIT, attempts=1, refusals=20)
        error = failure(setting)
        assert isinstance(error, RateLimited)
        assert error.attempt == 21
        assert setting.trail.rate_limited == len(setting.wire.at_s) == 21
        assert setting.wire.at_s[-1] > 4.0

    def test_refusals_use_up_no_attempts(self) -> None:
        """A failure after many 429s is the first failure."""
        setting = Setting(LIMIT, LIMIT, LIMIT, sampling.answer(503), OK, attempts=2)
        assert run(setting) == {"n": 1}

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            ("errors/secondly", "search"),
            ("errors/ten_secondly", "standard"),
            ("errors/daily", "standard"),
        ],
    )
    def test_search_passes_two_gates(self, body: str, told: str) -> None:
        """A search holds a slot of both gates; a refusal is told to the one whose limit it was."""
        search = Book()
        setting = Setting(sampling.response(body), search=search, refusals=0)

        async def scenario(rng: random.Random) -> None:
            with pytest.raises(RateLimited):
                await setting.call(quota=Quota.SEARCH)

        run_virtual(scenario)
        tellings = {"search": search.events, "standard": setting.book.events}
        assert {name for name, events in tellings.items() if any("refused" in event for event in events)} == {told}
        assert all("written" in events and "leave" in events for events in tellings.values())
        assert search.held == setting.book.held == 0

    def test_a_gate_that_is_shut_for_today(self) -> None:
        """A gate that refuses at the door ends the call without a request, and leaves no doubt."""

        class Shut(Book):
            def slot(self, lane: Lane, *, at_head: bool = False) -> Page:
                raise DailyLimitExceeded("spent", policy="DAILY")

        setting = Setting(OK, book=Shut())
        error = failure(setting, Replay.IF_NOT_DONE)
        assert isinstance(error, DailyLimitExceeded)
        assert (error.path, setting.trail.requests, setting.trail.in_doubt) == ("/m", 0, False)


class TestTokens:
    def test_renewed_once(self) -> None:
        """After a 401 the token is renewed, and the call repeated once with the new one, at once."""
        auth = Rotating()
        setting = Setting(sampling.response("errors/token_expired"), OK, auth=auth)
        assert run(setting, Replay.IF_NOT_SENT) == {"n": 1}
        assert setting.wire.tokens == [f"{TOKEN}-0", f"{TOKEN}-1"]
        assert auth.rejected == [f"{TOKEN}-0"]
        assert (setting.trail.requests, setting.trail.retries) == (2, 1)

    def test_not_twice(self) -> None:
        """A second 401 comes out, however many tokens there are."""
        setting = Setting(sampling.response("errors/token_expired"), auth=Rotating(renewals=5))
        error = failure(setting)
        assert isinstance(error, Unauthorized)
        assert error.attempt == 2
        assert len(setting.wire.tokens) == 2

    def test_no_successor(self) -> None:
        """Without a new token the 401 stands."""
        setting = Setting(sampling.response("errors/token_expired"), auth=Rotating(renewals=0))
        assert isinstance(failure(setting), Unauthorized)
        assert len(setting.wire.tokens) == 1

    def test_headers(self) -> None:
        """A request carries its token, and the type of its body where it has one; nothing else is this room's."""
        setting = Setting(OK)
        run(setting)
        assert setting.wire.headers == [{"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}]

    @pytest.mark.parametrize(
        "step",
        [
            RESET,
            REFUSED,
            sampling.answer(500),
            sampling.answer(400),
            sampling.answer(200, b"<"),
            ZeroDivisionError("x"),
        ],
        ids=range(6),
    )
    def test_no_traceback_shows_it(self, step: Step) -> None:
        """A traceback that prints every local variable of every frame of the package holds no token."""
        with pytest.raises((HubSpotError, ZeroDivisionError)) as caught:
            run(Setting(step, attempts=1), Replay.IF_NOT_DONE)
        whole: traceback.TracebackException | None = traceback.TracebackException.from_exception(
            caught.value, capture_locals=True
        )
        shown = ""
        while whole is not None:
            shown += "".join(repr(frame.locals) for frame in whole.stack if "hubspot_meetings_async" in frame.filename)
            whole = whole.__cause__
        assert "trail" in shown
        assert TOKEN not in shown


class TestDeadline:
    def test_it_covers_the_wait_for_quota(self) -> None:
        """Waiting for quota counts; what never left was not sent, and a create of it is not ambiguous."""
        setting = Setting(OK, book=Book(wait_s=100.0), call_s=5.0)
        error = failure(setting, Replay.IF_NOT_DONE)
        assert isinstance(error, DeadlineExceeded)
        assert (error.sent, error.timeout, error.method, error.path, error.attempt) == (False, True, "POST", "/m", 1)
        assert setting.wire.at_s == []

    def test_it_covers_attempts_and_pauses(self) -> None:
        """All attempts and the pauses between them share one budget; a pause that ends too late is not waited for."""
        setting = Setting(sampling.answer(503, Retry_After="2"), call_s=5.0)

        async def scenario(rng: random.Random) -> float:
            with pytest.raises(
                DeadlineExceeded, match=r"next try would be in 2\.0 s, and the call has 1\.0 s"
            ) as caught:
                await setting.call()
            assert (caught.value.status, caught.value.attempt, caught.value.sent) == (503, 3, True)
            assert isinstance(caught.value.__cause__, HubSpotUnavailable)
            return anyio.current_time()

        assert 4.0 <= run_virtual(scenario) < 4.1
        assert len(setting.wire.at_s) == 3

    @pytest.mark.parametrize(
        ("step", "sent"), [(never_sent, False), (never_answered, True), (never_complete, True)], ids=range(3)
    )
    def test_sent(self, step: Step, sent: bool) -> None:
        """`sent` is False only while nothing has left; afterwards a create is ambiguous, a read is not."""
        error = failure(Setting(step, call_s=5.0))
        assert isinstance(error, DeadlineExceeded)
        assert error.sent is sent
        write = failure(Setting(step, call_s=5.0), Replay.IF_NOT_DONE)
        assert isinstance(write, AmbiguousWriteError) is sent
        if isinstance(write, AmbiguousWriteError):
            assert write.why == "timeout"
            assert isinstance(write.__cause__, DeadlineExceeded)

    def test_an_earlier_doubt_stays(self) -> None:
        """A 429 settles its own attempt only: an update whose first answer was lost may have been done."""
        setting = Setting(RESET, LIMIT, book=Book(wait_s=1.0), call_s=30.0)
        error = failure(setting)
        assert isinstance(error, (DeadlineExceeded, RateLimited))
        assert setting.trail.in_doubt
        late = failure(Setting(RESET, sampling.answer(429, Retry_After="50"), call_s=30.0))
        assert isinstance(late, DeadlineExceeded)
        assert late.sent

    def test_a_refusal_leaves_no_doubt(self) -> None:
        """While a create waits after a 429, nothing is in doubt."""
        setting = Setting(sampling.answer(429, Retry_After="50"), call_s=30.0)
        error = failure(setting, Replay.IF_NOT_DONE)
        assert isinstance(error, DeadlineExceeded)
        assert not error.sent

    def test_bulk_has_none(self) -> None:
        """Calls of a bulk run wait as long as it takes."""
        setting = Setting(OK, book=Book(wait_s=100_000.0), call_s=5.0)
        assert run(setting, lane=Lane.BULK) == {"n": 1}

    def test_nobody_elses_deadline_is_swallowed(self) -> None:
        """A timeout around the call stays that timeout's own error."""
        setting = Setting(never_answered, call_s=50.0)

        async def scenario(rng: random.Random) -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.0):
                    await setting.call()

        run_virtual(scenario)
        assert setting.trail.in_doubt


class TestBlocks:
    """`Deadline`: one budget for the calls of a block."""

    def test_it_ends_a_call(self) -> None:
        """The call raises, and its block goes on; a call after it has all its time."""
        setting = Setting(never_answered, OK)

        async def scenario(rng: random.Random) -> None:
            with pytest.raises(DeadlineExceeded, match=r"deadline .* is over, 2 s after"), Deadline(2.0):
                await setting.call()
            assert 2.0 <= anyio.current_time() < 2.1
            assert await setting.call() == {"n": 1}

        run_virtual(scenario)

    def test_calls_share_it(self) -> None:
        """What one used up the next one lacks; who comes too late sends nothing."""
        setting = Setting(OK, book=Book(wait_s=0.4))

        async def scenario(rng: random.Random) -> int:
            with Deadline(1.0):
                await setting.call()
                await setting.call()
                for _ in range(2):
                    with pytest.raises(DeadlineExceeded) as caught:
                        await setting.call()
                    assert not caught.value.sent
                    assert 1.0 <= anyio.current_time() < 1.1
            return len(setting.wire.at_s)

        assert run_virtual(scenario) == 2

    def test_tasks_inherit_it(self) -> None:
        """Tasks that the block starts are bounded; those that were there before are not."""
        setting = Setting(OK, book=Book(wait_s=3.0))
        ended: list[str] = []

        async def call(name: str) -> None:
            try:
                await setting.call()
            except DeadlineExceeded:
                name += " late"
            ended.append(name)

        async def scenario(rng: random.Random) -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(call("before"))
                with Deadline(1.0):
                    tasks.create_task(call("inside"))
                tasks.create_task(call("after"))

        run_virtual(scenario)
        assert sorted(ended) == ["after", "before", "inside late"]

    def test_the_earlier_end_counts(self) -> None:
        """An inner block can not have more than the outer one, nor a call more than the client allows."""
        setting = Setting(never_sent, call_s=1.0)

        async def scenario(rng: random.Random) -> list[float]:
            waits: list[float] = []
            for outer, inner in ((0.5, 5.0), (5.0, 0.5), (5.0, 5.0)):
                began_at = anyio.current_time()
                with Deadline(outer), Deadline(inner), pytest.raises(DeadlineExceeded):
                    await setting.call()
                waits.append(anyio.current_time() - began_at)
            return waits

        assert run_virtual(scenario) == pytest.approx([0.5, 0.5, 1.0], abs=0.01)

    def test_a_queue_that_is_too_long(self) -> None:
        """Where the limiter knows that the wait is longer, nothing is waited for, and the error says how long it is."""
        book = Book()
        book.wait_estimate_s = lambda lane: 7.5  # type: ignore[method-assign]
        setting = Setting(OK, book=book)

        async def scenario(rng: random.Random) -> None:
            with (
                Deadline(2.0),
                pytest.raises(DeadlineExceeded, match=r"no room for another 7\.5 s.*2\.0 s left") as caught,
            ):
                await setting.call(Replay.IF_NOT_DONE)
            assert (caught.value.sent, caught.value.path, anyio.current_time() < 0.01) == (False, "/m", True)
            with Deadline(8.0):
                await setting.call()

        run_virtual(scenario)
        assert book.events[0] == "enter interactive"
        assert len(setting.wire.at_s) == 1

    def test_a_pause_that_is_too_long(self) -> None:
        """After a 429 that asks for more than is left, the call ends at once: surely not done; the 429 is its cause."""
        setting = Setting(sampling.answer(429, Retry_After="5"))

        async def scenario(rng: random.Random) -> None:
            with Deadline(2.0), pytest.raises(DeadlineExceeded, match=r"next try would be in 5\.0 s") as caught:
                await setting.call(Replay.IF_NOT_DONE)
            assert not caught.value.sent
            assert isinstance(caught.value.__cause__, RateLimited)
            assert anyio.current_time() < 0.01

        run_virtual(scenario)

    def test_bulk_is_not_bounded(self) -> None:
        """The requests of a bulk run have its own options."""
        setting = Setting(OK, book=Book(wait_s=10.0))

        async def scenario(rng: random.Random) -> Any:
            with Deadline(1.0):
                return await setting.call(lane=Lane.BULK)

        assert run_virtual(scenario) == {"n": 1}

    def test_wrong(self) -> None:
        """No length of time, a second use, and a place without a loop are said in words."""
        for wrong in (0, -1, True, "2", float("nan"), float("inf")):
            with pytest.raises(ConfigurationError, match="a deadline must be a number of seconds above 0"):
                Deadline(wrong)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="enter it in a coroutine"), Deadline(1.0):
            pass

        async def twice(rng: random.Random) -> None:
            deadline = Deadline(1.0)
            with deadline:
                pass
            with pytest.raises(ConfigurationError, match="for one block"), deadline:
                pass

        run_virtual(twice)


def test_cancelled_while_it_is_written_down() -> None:
    """Between the slot and the first byte (a journal): the slot goes back as one of a request that never left."""
    setting = Setting(OK)
    setting.trail.before_send = anyio.sleep_forever

    async def scenario(rng: random.Random) -> None:
        with anyio.move_on_after(1.0):
            await setting.call()
        assert (setting.book.held, setting.trail.in_doubt) == (0, False)
        setting.trail.before_send = None
        assert await setting.call() == {"n": 1}

    run_virtual(scenario)
    assert setting.book.events == [
        "enter interactive",
        "leave",
        "enter interactive",
        "written",
        "answered 100",
        "leave",
    ]


async def never_a_token() -> Secret:
    await anyio.sleep_forever()
    raise AssertionError


class NoToken(StaticToken):
    async def token(self) -> Secret:
        return await never_a_token()


class NoRenewal(StaticToken):
    async def renew(self, rejected: Secret) -> bool:
        await anyio.sleep_forever()
        return False


PARKED: list[tuple[str, Callable[[], Setting], bool]] = [
    ("token", lambda: Setting(OK, auth=NoToken(TOKEN)), False),
    ("quota", lambda: Setting(OK, book=Book(wait_s=1e9)), False),
    ("connecting", lambda: Setting(never_sent), False),
    ("no answer", lambda: Setting(never_answered), True),
    ("half an answer", lambda: Setting(never_complete), True),
    ("renewal", lambda: Setting(sampling.response("errors/token_expired"), auth=NoRenewal(TOKEN)), False),
    ("pause after 429", lambda: Setting(sampling.answer(429, Retry_After="50"), longest_wait_s=60.0), False),
    ("pause after 503", lambda: Setting(sampling.answer(503, Retry_After="50"), longest_wait_s=60.0), True),
    ("pause after no connection", lambda: Setting(REFUSED, base_s=20.0), False),
    ("giving back the slot", lambda: Setting(OK, book=Book(leave_s=1e9)), True),
    (
        "quota again after a lost answer",
        lambda: Setting(RESET, OK, book=Book(wait_s=1.0), base_s=1e-6, cap_s=1e-6),
        True,
    ),
]


class TestCancellation:
    @pytest.mark.parametrize(("make", "in_doubt"), [case[1:] for case in PARKED], ids=[case[0] for case in PARKED])
    @pytest.mark.parametrize("how", ["task", "anyio", "timeout"])
    def test_parked_at_each_await(self, make: Callable[[], Setting], in_doubt: bool, how: str) -> None:
        """Cancelled at any await, the call ends in the cancellation itself, gives its slot back, and its trail knows
        whether the write may have been done."""
        setting = make()

        async def scenario(rng: random.Random) -> None:
            if how == "task":
                task = asyncio.ensure_future(setting.call(lane=Lane.BULK))
                await anyio.sleep(1.5)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            elif how == "anyio":
                with anyio.move_on_after(1.5) as scope:
                    await setting.call(lane=Lane.BULK)
                assert scope.cancelled_caught
            else:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1.5):
                        await setting.call(lane=Lane.BULK)

        run_virtual(scenario)
        assert setting.trail.in_doubt is in_doubt
        assert setting.book.held == 0


class TestTrail:
    def test_it_counts(self) -> None:
        """The trail holds what went out and came back, and when."""
        calls: list[int] = []
        setting = Setting(REFUSED, sampling.answer(503, b"<html>"), OK)
        setting.trail.on_sent = lambda: calls.append(setting.trail.requests)
        run(setting)
        trail = setting.trail
        assert (trail.requests, trail.retries, trail.rate_limited) == (2, 2, 0)
        assert (trail.bytes_sent, trail.bytes_received) == (2 * len(b'{"x":1}'), len(b"<html>") + len(OK.body))
        assert [trail.first_sent_at, trail.last_sent_at] == setting.wire.at_s[1:]
        assert calls == [1, 2]

    def test_doubt_begins_with_the_first_byte(self) -> None:
        """`in_doubt` is set when the headers leave, before anybody is told."""
        setting = Setting(OK)
        seen: list[bool] = []
        setting.trail.on_sent = lambda: seen.append(setting.trail.in_doubt)
        run(setting)
        assert seen == [True]
        assert not setting.trail.in_doubt

    def test_a_closed_transport(self) -> None:
        """A setting that is wrong is no failure of HubSpot's: it comes out at once."""

        async def closed(wire: Wire) -> Response:
            raise ConfigurationError("this client is closed")

        setting = Setting(closed)
        assert isinstance(failure(setting, Replay.IF_NOT_DONE), ConfigurationError)
        assert not setting.trail.in_doubt


@pytest.mark.parametrize("lane", list(Lane))
@pytest.mark.parametrize(
    ("step", "in_use"), [(never_sent, 0), (never_answered, 1), (never_complete, 1), (OK, 1), (REFUSED, 0)]
)
def test_slots_taken_at_once_are_left(step: Step, in_use: int, lane: Lane) -> None:
    """However an attempt ends that had not to wait for its slot, no slot stays in flight: one that was used rests, any
    other is free."""
    gate = QuotaGate(limit=10, assumed=False, probe_first=False)
    setting = Setting(OK, step, gate=gate, attempts=1)

    async def scenario(rng: random.Random) -> None:
        await setting.call(lane=lane)  # from whose call on bulk's pace is known
        with anyio.move_on_after(0.5), suppress(TransportFailed):
            await setting.call(lane=lane)
        stats = gate.stats()
        assert (stats.in_flight, stats.in_use) == (0, 1 + in_use)

    run_virtual(scenario)


def test_slots_taken_at_once_are_left_while_it_is_written_down() -> None:
    """The same between the slot and the first byte."""
    gate = QuotaGate(limit=10, assumed=False, probe_first=False)
    setting = Setting(OK, gate=gate)
    setting.trail.before_send = anyio.sleep_forever

    async def scenario(rng: random.Random) -> None:
        with anyio.move_on_after(0.5):
            await setting.call()
        assert (gate.stats().granted_interactive, gate.stats().in_flight, gate.stats().in_use) == (1, 0, 0)

    run_virtual(scenario)


class Counting(QuotaGate):
    """A gate that somebody made his own."""

    asked = 0

    def slot(self, lane: Lane, *, at_head: bool = False) -> AbstractAsyncContextManager[Slot]:
        self.asked += 1
        return super().slot(lane, at_head=at_head)


def test_what_others_make_of_a_gate_is_asked() -> None:
    """A subclass of `QuotaGate` sees every call in its `slot()`."""
    gate = Counting(probe_first=False)
    setting = Setting(OK, gate=gate)

    async def scenario(rng: random.Random) -> None:
        for _ in range(3):
            await setting.call()

    run_virtual(scenario)
    assert gate.asked == 3
