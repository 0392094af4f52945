"""The circuit breaker: as bookkeeping without a loop, and in the call loop on virtual time."""

import random
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_meetings_async.auth.sources import StaticToken
from hubspot_meetings_async.calling.breaker import CircuitBreaker, Ticket, is_down
from hubspot_meetings_async.calling.caller import Caller
from hubspot_meetings_async.calling.retry import RetryPolicy
from hubspot_meetings_async.errors import (
    CircuitOpen,
    ConfigurationError,
    Conflict,
    DeadlineExceeded,
    HubSpotError,
    HubSpotUnavailable,
    RateLimited,
    TransportFailed,
    Unauthorized,
    UnexpectedResponse,
)
from hubspot_meetings_async.limiter import Lane
from hubspot_meetings_async.wire import Quota, Request, Response

from . import sampling
from .test_caller import Book, Wire
from .virtual_time import run_virtual

DOWN = HubSpotUnavailable("down", status=503)
OK_EMPTY = sampling.answer(204)


def opened(failures: int = 3, open_s: float = 30.0) -> CircuitBreaker:
    breaker = CircuitBreaker(failures=failures, open_s=open_s)
    for _ in range(failures):
        breaker.enter(0.0).settle(down=True, now_s=0.0)
    return breaker


def refused_for_s(breaker: CircuitBreaker, now_s: float) -> float | None:
    """Seconds until the next try when nothing may be sent now, else None; asking changes nothing."""
    try:
        breaker.check(now_s)
    except CircuitOpen as shut:
        return shut.retry_in_s
    return None


class TestWhatCounts:
    @pytest.mark.parametrize(
        ("error", "down"),
        [
            (TransportFailed("reset", sent=True), True),
            (TransportFailed("refused", sent=False), True),
            (HubSpotUnavailable("x", status=500), True),
            (HubSpotUnavailable("x", status=504), True),
            (HubSpotUnavailable("x", status=408), True),
            (HubSpotUnavailable("locked", status=423), False),
            (HubSpotUnavailable("moving", status=477), False),
            (RateLimited("slow", status=429), False),
            (Unauthorized("who", status=401), False),
            (Conflict("taken", status=409), False),
            (UnexpectedResponse("odd", status=200), False),
            (DeadlineExceeded("late", sent=True), False),
            (CircuitOpen("shut", retry_in_s=1.0), False),
        ],
    )
    def test_kinds(self, error: HubSpotError, down: bool) -> None:
        """No answer, and 5xx, speak for a HubSpot that is down; answers about the request do not."""
        assert is_down(error) is down


class TestBookkeeping:
    def test_opens_after_failures_in_a_row(self) -> None:
        """Two failures and a success count for nothing; three in a row open it."""
        breaker = CircuitBreaker(failures=3, open_s=30.0)
        for down in (True, True, False, True, True):
            breaker.enter(0.0).settle(down=down, now_s=0.0)
        assert (breaker.state, refused_for_s(breaker, 0.0)) == ("closed", None)
        breaker.enter(0.0).settle(down=True, now_s=5.0)
        assert (breaker.state, refused_for_s(breaker, 5.0)) == ("open", 30.0)

    def test_says_when_it_will_try_again(self) -> None:
        """The error tells the seconds left, in its words too."""
        with pytest.raises(CircuitOpen, match=r"another 12\.0 s") as caught:
            opened().enter(18.0)
        assert (caught.value.retry_in_s, caught.value.sent) == (12.0, False)

    def test_one_probe(self) -> None:
        """When its time is over one request passes, and the others wait for what becomes of it."""
        breaker = opened()
        assert refused_for_s(breaker, 29.9) is not None
        breaker.enter(30.0)
        assert breaker.state == "half-open"
        assert refused_for_s(breaker, 30.0) == 1.0

    def test_a_probe_that_succeeds_closes_it(self) -> None:
        """And the count begins anew."""
        breaker = opened()
        breaker.enter(30.0).settle(down=False, now_s=31.0)
        assert breaker.state == "closed"
        breaker.enter(31.0).settle(down=True, now_s=31.0)
        assert breaker.state == "closed"

    def test_a_probe_that_fails_opens_it_again(self) -> None:
        """For the whole time, from then on."""
        breaker = opened()
        breaker.enter(30.0).settle(down=True, now_s=40.0)
        assert (breaker.state, refused_for_s(breaker, 40.0)) == ("open", 30.0)

    def test_a_cancelled_probe_makes_room_for_another(self) -> None:
        """A cancelled probe proves nothing."""
        breaker = opened()
        breaker.enter(30.0).settle(down=None, now_s=31.0)
        assert refused_for_s(breaker, 31.0) is None
        breaker.enter(31.0).settle(down=False, now_s=31.0)
        assert breaker.state == "closed"

    def test_old_answers_change_nothing(self) -> None:
        """What was sent before it opened neither closes it nor stands for the probe."""
        breaker = CircuitBreaker(failures=2, open_s=30.0)
        old = [breaker.enter(0.0) for _ in range(5)]
        old[0].settle(down=True, now_s=1.0)
        old[1].settle(down=True, now_s=1.0)
        old[2].settle(down=False, now_s=2.0)
        assert breaker.state == "open"
        breaker.enter(31.0)
        old[3].settle(down=False, now_s=32.0)
        old[4].settle(down=True, now_s=32.0)
        assert breaker.state == "half-open"

    @pytest.mark.parametrize(
        "wrong", [{"failures": 0}, {"failures": True}, {"failures": 1.5}, {"open_s": 0}, {"open_s": float("inf")}]
    )
    def test_wrong_numbers(self, wrong: dict[str, Any]) -> None:
        """Are refused at once."""
        with pytest.raises(ConfigurationError, match="CircuitBreaker"):
            CircuitBreaker(**wrong)

    @given(
        st.integers(1, 4),
        st.lists(st.tuples(st.floats(0, 20), st.integers(0, 9), st.sampled_from([True, False, None]))),
    )
    def test_never_two_probes_and_never_shut_for_ever(
        self, failures: int, steps: list[tuple[float, int, bool | None]]
    ) -> None:
        """Whatever happens in whatever order: while not closed at most one request is out that was let through since,
        and when all are settled and its time is over, the next one passes."""
        breaker = CircuitBreaker(failures=failures, open_s=10.0)
        now, out, probes = 0.0, list[Ticket](), list[Ticket]()
        for passed_s, which, down in steps:
            now += passed_s
            if which < 5 or not out:
                if refused_for_s(breaker, now) is None:
                    probing = breaker.state != "closed"
                    out.append(breaker.enter(now))
                    probes += out[-1:] if probing else []
            else:
                ticket = out.pop(which % len(out))
                probes = [probe for probe in probes if probe is not ticket]
                ticket.settle(down=down, now_s=now)
            if breaker.state == "closed":
                probes = []
            assert len(probes) <= 1
        for ticket in out:
            ticket.settle(down=None, now_s=now)
        assert refused_for_s(breaker, now + 10.0) is None


def caller(wire: Wire, breaker: CircuitBreaker, **options: Any) -> Caller:
    settings: dict[str, Any] = {
        "limiters": {Quota.STANDARD: (Book(),)},
        "policy": RetryPolicy(attempts=1),
        "call_s": None,
        "rng": random.Random(1),
    }
    return Caller(transport=wire, auth=StaticToken("t"), breaker=breaker, **(settings | options))


def get() -> Request[Any]:
    return Request(method="GET", path="/m")


async def kinds(number: int, call: Callable[..., Any]) -> list[str]:
    got: list[str] = []
    for _ in range(number):
        try:
            await call(get())
            got.append("answer")
        except HubSpotError as error:
            got.append(type(error).__name__)
    return got


class TestInTheCallLoop:
    def test_fails_fast_and_comes_back(self) -> None:
        """Three failures, then no request at all for 30 s, then one, and all is well again."""

        async def scenario(_: random.Random) -> tuple[Any, ...]:
            wire = Wire(DOWN, DOWN, DOWN, OK_EMPTY)
            call = caller(wire, CircuitBreaker(failures=3, open_s=30.0)).lane(Lane.INTERACTIVE)
            first = await kinds(1000, call)
            sent = len(wire.at_s)
            await anyio.sleep(30.1)
            return first[:3], set(first[3:]), sent, await kinds(5, call)

        unavailable = ["HubSpotUnavailable"] * 3
        assert run_virtual(scenario) == (unavailable, {"CircuitOpen"}, 3, ["answer"] * 5)

    def test_a_thousand_waiting_tasks_send_one_probe(self) -> None:
        """All that come while the probe is out fail at once."""

        async def scenario(_: random.Random) -> tuple[int, int]:
            async def slow(wire: Wire) -> Response:
                wire.written()
                await anyio.sleep(1.0)
                return OK_EMPTY

            wire = Wire(DOWN, slow)
            call = caller(wire, CircuitBreaker(failures=1, open_s=30.0)).lane(Lane.INTERACTIVE)
            await kinds(1, call)
            await anyio.sleep(31)
            got: list[str] = []

            async def one() -> None:
                got.extend(await kinds(1, call))

            async with anyio.create_task_group() as tasks:
                for _n in range(1000):
                    tasks.start_soon(one)
            return got.count("answer"), got.count("CircuitOpen")

        assert run_virtual(scenario) == (1, 999)

    def test_who_waits_for_quota_is_stopped_too(self) -> None:
        """A call that stood in the queue when it opened is not sent."""

        async def scenario(_: random.Random) -> tuple[list[str], int]:
            wire = Wire(DOWN)
            breaker = CircuitBreaker(failures=1, open_s=30.0)
            call = caller(wire, breaker, limiters={Quota.STANDARD: (Book(wait_s=1.0),)}).lane(Lane.INTERACTIVE)
            got: list[str] = []

            async def one() -> None:
                got.extend(await kinds(1, call))

            async with anyio.create_task_group() as tasks:
                for _n in range(3):
                    tasks.start_soon(one)
            return sorted(got), len(wire.at_s)

        assert run_virtual(scenario) == (["CircuitOpen", "CircuitOpen", "HubSpotUnavailable"], 1)

    def test_bulk_waits(self) -> None:
        """In the bulk lane a call waits for the probe's time, and spends none of its attempts meanwhile."""

        async def scenario(_: random.Random) -> tuple[list[str], list[float]]:
            wire = Wire(DOWN, DOWN, OK_EMPTY)
            breaker = CircuitBreaker(failures=1, open_s=30.0)
            policy = RetryPolicy(attempts=3, base_s=0.001, cap_s=0.001)
            call = caller(wire, breaker, policy=policy).lane(Lane.BULK)
            return await kinds(1, call), [round(at_s / 30, 1) for at_s in wire.at_s]

        assert run_virtual(scenario) == (["answer"], [0.0, 1.0, 2.0])

    def test_calls_shorter_than_attempts(self) -> None:
        """A HubSpot that never answers opens it too where the call's own deadline comes before the attempt's."""

        async def scenario(_: random.Random) -> list[str]:
            async def never(wire: Wire) -> Response:
                wire.written()
                await anyio.sleep_forever()
                raise AssertionError

            call = caller(Wire(never), CircuitBreaker(failures=2, open_s=30.0), call_s=5.0).lane(Lane.INTERACTIVE)
            return await kinds(3, call)

        assert run_virtual(scenario) == ["DeadlineExceeded", "DeadlineExceeded", "CircuitOpen"]

    def test_an_earlier_try_is_not_forgotten(self) -> None:
        """When it opens between two tries of a call, the error says that the first one had left."""

        async def scenario(_: random.Random) -> bool:
            policy = RetryPolicy(attempts=3, base_s=0.001, cap_s=0.001)
            call = caller(Wire(DOWN), CircuitBreaker(failures=1), policy=policy).lane(Lane.INTERACTIVE)
            with pytest.raises(CircuitOpen) as caught:
                await call(get())
            assert (caught.value.method, caught.value.attempt) == ("GET", 2)
            return caught.value.sent

        assert run_virtual(scenario) is True

    def test_token_endpoints_do_not_ask_it(self) -> None:
        """Requests without a bearer token pass while it is open, and their failures open nothing."""

        class Seen(Wire):
            async def send(self, request: Request[Any], headers: Mapping[str, str], **hooks: Any) -> Response:
                self.headers.append(dict(headers))
                raise HubSpotUnavailable("down", status=503)

        async def scenario(_: random.Random) -> list[dict[str, str]]:
            wire = Seen(DOWN)
            breaker = CircuitBreaker(failures=1)
            call = caller(wire, breaker, limiters={Quota.NONE: ()}).lane(Lane.INTERACTIVE)
            request: Request[Any] = Request(
                method="POST", path="/t", body=b"a=1", content_type="x/form", quota=Quota.NONE, bearer=False
            )
            for _n in range(2):
                with pytest.raises(HubSpotUnavailable):
                    await call(request)
            assert breaker.state == "closed"
            breaker.enter(0.0).settle(down=True, now_s=anyio.current_time())
            with pytest.raises(HubSpotUnavailable):
                await call(request)
            return wire.headers

        assert run_virtual(scenario) == [{"Content-Type": "x/form"}] * 3
