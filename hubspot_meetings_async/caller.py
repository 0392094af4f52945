"""The one call loop: limiter, token, transport, parsing and retry meet here and nowhere else.

This module knows the order in which those take part in a call. It must not know the shapes of single endpoints, or
bulk.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import anyio
import msgspec

from . import retry
from .auth import Auth, Secret
from .breaker import CircuitBreaker, is_down
from .errors import AmbiguousWriteError, CircuitOpen, DeadlineExceeded, HubSpotError, RateLimited, Unauthorized
from .limiter import Lane, Limiter, Slot
from .retry import Effect, RetryBudget, RetryPolicy
from .secret import Hiding, hidden
from .telemetry import Attempt, OnAttempt, heard, listener, log, route_of
from .transport import Transport
from .wire import Call, Quota, Replay, Request, Response, Trail, known_id, parse

__all__ = ["Caller"]

T = TypeVar("T")

_SHORT_CALL_S = 5.0
"""A call with less time than this is better told of an outage than kept waiting for its end."""


class Caller:
    """Carries requests out: each waits for its share of the quota, goes out with a valid token, and is tried again
    when that is safe and useful.

    Args:
        limiters: the gates that a request of each quota passes, in order.
        call_s: seconds for a whole interactive call; bulk calls have no bound.
        budget: what repeats may cost, where others share it; one of its own by default.
        clock: the running loop's clock in seconds, for the moments in a `Trail`.
        breaker: keeps requests back while HubSpot is down: interactive calls fail at once, bulk calls wait.
        validate: whether an answer that does not fit is an error also of interactive calls; see `wire.parse`. Bulk
            calls always validate, since they account for every record.
        on_attempt: hears of every attempt, which goes to `base_url`; what it raises is logged.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        auth: Auth,
        limiters: Mapping[Quota, tuple[Limiter, ...]],
        policy: RetryPolicy,
        call_s: float | None,
        rng: random.Random,
        budget: RetryBudget | None = None,
        clock: Callable[[], float] = anyio.current_time,
        breaker: CircuitBreaker | None = None,
        validate: bool = True,
        on_attempt: OnAttempt | None = None,
        base_url: str = "",
    ) -> None:
        self._transport = transport
        self._auth = auth
        self._limiters = limiters
        self._policy = policy
        self._call_s = call_s
        self._rng = rng
        self._budget = budget or RetryBudget(policy.tokens)
        self._clock = clock
        self._breaker = breaker
        self._validate = validate
        self._on_attempt = None if on_attempt is None else listener(on_attempt)
        self._base_url = base_url

    def lane(self, lane: Lane) -> Call:
        """The `Call` that sends in `lane`."""
        call_s = self._call_s if lane is Lane.INTERACTIVE else None

        async def call(request: Request[T], trail: Trail | None = None) -> T:
            return await self._call(request, trail if trail is not None else Trail(), lane, call_s)

        return call

    async def _call(self, request: Request[T], trail: Trail, lane: Lane, call_s: float | None) -> T:
        if call_s is None:
            return await self._until_settled(request, trail, lane)
        with anyio.move_on_after(call_s):
            return await self._until_settled(request, trail, lane)
        if self._breaker is not None and trail.in_doubt and request.bearer:
            # It waited for an answer all that time; where calls are shorter than attempts, nobody else would count it.
            self._breaker.failed(self._clock())
        late = DeadlineExceeded(
            f"the call's {call_s:g} s are over, quota waits and retries included", sent=trail.in_doubt, timeout=True
        )
        raise _final(late.at(method=request.method, path=request.path, attempt=trail.retries + 1), request.replay)

    async def _until_settled(self, request: Request[T], trail: Trail, lane: Lane) -> T:
        failures = refusals = 0
        at_head = renewed = False
        while True:
            # Outside of what is tried again: a failure to get a token is not this request's, and was tried again there.
            token = await self._auth.token() if request.bearer else None
            doubted = trail.in_doubt
            watch = self._watch(request, trail, lane) if self._on_attempt is not None or heard(failed=True) else None
            try:
                value = await self._attempt(request, trail, lane, token, at_head=at_head)
            except CircuitOpen as shut:
                if lane is Lane.BULK:
                    await anyio.sleep(shut.retry_in_s)
                    continue
                shut.sent = trail.in_doubt
                raise shut.at(method=request.method, path=request.path, attempt=trail.retries + 1) from None
            except HubSpotError as seen:
                error = seen.at(method=request.method, path=request.path, attempt=trail.retries + 1)
            except BaseException:
                if watch is not None:
                    watch.ended(cancelled=True)
                raise
            else:
                trail.in_doubt = False
                if watch is not None:
                    watch.ended()
                if not failures + refusals:
                    self._budget.give()
                return value
            if retry.effect_of(error) is not Effect.UNKNOWN:
                # This attempt did nothing; what an earlier one did is as unknown as before.
                trail.in_doubt = doubted
            if isinstance(error, Unauthorized) and token is not None and not renewed and await self._auth.renew(token):
                renewed = True
                if watch is not None:
                    watch.ended(error, retry_in_s=0.0)
                trail.retries += 1
                continue
            at_head = isinstance(error, RateLimited)
            refusals += at_head
            failures += not at_head
            wait_s = retry.after(
                error,
                replay=request.replay,
                failures=failures,
                refusals=refusals,
                policy=self._policy,
                rng=self._rng,
            )
            if wait_s is not None and not at_head and not self._budget.take(error):
                wait_s = self._without_budget_s(wait_s, lane)
            if watch is not None:
                watch.ended(error, retry_in_s=wait_s)
            if wait_s is None:
                raise _final(error, request.replay)
            trail.retries += 1
            await anyio.sleep(wait_s)

    def _watch(self, request: Request[Any], trail: Trail, lane: Lane) -> _Watch:
        return _Watch(self._on_attempt, self._clock, self._base_url, request, trail, lane)

    def _without_budget_s(self, wait_s: float, lane: Lane) -> float | None:
        """How long to wait when repeats have used up what they may; None for who has no time for that."""
        if lane is Lane.INTERACTIVE and self._call_s is not None and self._call_s <= _SHORT_CALL_S:
            return None
        return max(wait_s, self._rng.uniform(0.5, 1.0) * self._policy.cap_s)

    async def _attempt(
        self, request: Request[T], trail: Trail, lane: Lane, token: Secret | None, *, at_head: bool
    ) -> T:
        if self._breaker is not None and request.bearer:
            self._breaker.check(self._clock())  # before it waits for quota, and once more behind that
        gates = self._limiters[request.quota]
        if len(gates) == 1:
            async with gates[0].slot(lane, at_head=at_head) as slot:
                return await self._guarded(request, trail, lane, token, (slot,))
        async with AsyncExitStack() as held:
            slots = [await held.enter_async_context(gate.slot(lane, at_head=at_head)) for gate in gates]
            return await self._guarded(request, trail, lane, token, tuple(slots))

    async def _guarded(
        self, request: Request[T], trail: Trail, lane: Lane, token: Secret | None, slots: tuple[Slot, ...]
    ) -> T:
        if self._breaker is None or not request.bearer:
            return await self._exchange(request, trail, lane, token, slots)
        ticket = self._breaker.enter(self._clock())
        down: bool | None = None
        try:
            value = await self._exchange(request, trail, lane, token, slots)
            down = False
        except HubSpotError as error:
            down = is_down(error)
            raise
        finally:
            ticket.settle(down=down, now_s=self._clock())
        return value

    async def _exchange(
        self, request: Request[T], trail: Trail, lane: Lane, token: Secret | None, slots: tuple[Slot, ...]
    ) -> T:
        def written() -> None:
            trail.in_doubt = True
            trail.requests += 1
            trail.bytes_sent += len(request.body) if request.body is not None else 0
            trail.last_sent_at = self._clock()
            if trail.first_sent_at is None:
                trail.first_sent_at = trail.last_sent_at
            for slot in slots:
                slot.written()
            if trail.on_sent is not None:
                trail.on_sent()

        secrets = request.secrets if token is None else (token,)

        def answered(headers: Mapping[str, str]) -> None:
            trail.date = headers.get("Date")
            trail.correlation_id = known_id(hidden(headers.get("X-HubSpot-Correlation-Id"), secrets))
            for slot in slots:
                slot.answered(headers)

        headers = _Headers(token, request.content_type if request.body is not None else None)
        if trail.before_send is not None and (body := await trail.before_send()) is not None:
            request = msgspec.structs.replace(request, body=body)
        try:
            response: Response = await self._transport.send(request, headers, on_written=written, on_answered=answered)
            trail.bytes_received += len(response.body)
            trail.status = response.status
            # Some gateways repeat the request in their answer, and errors quote answers.
            echoes = response.status > 204 or "json" not in response.headers.get("Content-Type", "")
            response = Response(
                response.status,
                Hiding(response.headers, secrets),
                hidden(response.body, secrets) if echoes else response.body,
            )
            return parse(request, response, validate=self._validate or lane is Lane.BULK)
        except HubSpotError as error:
            error.args = hidden(error.args, secrets)
            vars(error).update(hidden(vars(error), secrets))
            if isinstance(error, RateLimited):
                trail.rate_limited += 1
                _refused(slots, error)
            # Without the frames below this one: their variables hold the answer as it came.
            raise error.with_traceback(None)


class _Watch:
    """One attempt, for the log and whoever else wants to hear of it."""

    __slots__ = (
        "_base_url",
        "_began_at",
        "_began_at_ns",
        "_bytes_before",
        "_clock",
        "_lane",
        "_on",
        "_request",
        "_seen",
        "_sent_before",
        "_trail",
    )

    def __init__(
        self,
        on: OnAttempt | None,
        clock: Callable[[], float],
        base_url: str,
        request: Request[Any],
        trail: Trail,
        lane: Lane,
    ) -> None:
        self._on = on
        self._clock = clock
        self._base_url = base_url
        self._request = request
        self._trail = trail
        self._lane = lane
        self._sent_before = trail.requests
        self._bytes_before = trail.bytes_sent
        self._seen = trail.bytes_received
        self._began_at = clock()
        self._began_at_ns = time.time_ns()
        trail.status = trail.correlation_id = None

    def ended(
        self, error: HubSpotError | None = None, *, retry_in_s: float | None = None, cancelled: bool = False
    ) -> None:
        if self._on is None and not heard(failed=error is not None):
            return
        trail, request = self._trail, self._request
        left = trail.requests > self._sent_before and trail.last_sent_at is not None
        now = self._clock()
        sent_at = trail.last_sent_at if left and trail.last_sent_at is not None else now
        attempt = Attempt(
            method=request.method,
            base_url=self._base_url,
            route=route_of(request.path),
            path=request.path,
            lane="bulk" if self._lane is Lane.BULK else "interactive",
            number=trail.retries + 1,
            began_at_ns=self._began_at_ns,
            waited_s=sent_at - self._began_at,
            took_s=now - sent_at,
            status=trail.status,
            error=error,
            cancelled=cancelled,
            retry_in_s=retry_in_s,
            correlation_id=trail.correlation_id,
            run_id=trail.run_id,
            bytes_sent=trail.bytes_sent - self._bytes_before,
            bytes_received=trail.bytes_received - self._seen,
        )
        log(attempt)
        if self._on is not None:
            self._on(attempt)


class _Headers(Mapping[str, str]):
    """Request headers whose repr holds no token: tracebacks that show local variables pass through here."""

    __slots__ = ("_content_type", "_names", "_token")

    def __init__(self, token: Secret | None, content_type: str | None) -> None:
        self._token = token
        self._content_type = content_type
        self._names = tuple(
            name for name, value in (("Authorization", token), ("Content-Type", content_type)) if value is not None
        )

    def __getitem__(self, name: str) -> str:
        if name == "Authorization" and self._token is not None:
            return f"Bearer {self._token.reveal()}"
        if name == "Content-Type" and self._content_type is not None:
            return self._content_type
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<headers {', '.join(self._names)}>"


def _refused(slots: tuple[Slot, ...], error: RateLimited) -> None:
    if not slots:
        return
    # The refusal belongs to one policy. The search gate is listed first; its refusals carry SECONDLY or no policy.
    slot = slots[-1] if error.policy in ("TEN_SECONDLY_ROLLING", "DAILY") else slots[0]
    slot.refused(
        policy=error.policy,
        retry_after_s=error.retry_after_s,
        resets_at=getattr(error, "resets_at", None),
    )


def _final(error: HubSpotError, replay: Replay) -> HubSpotError:
    """What the caller is told: a write that may have happened and is not repeatable has an error of its own."""
    if replay in (Replay.ALWAYS, Replay.NOT_HERE) or retry.effect_of(error) is not Effect.UNKNOWN:
        return error
    ambiguous = AmbiguousWriteError(
        f"this write left, and no trustworthy answer came: {error.message}. It may have been done, and was not "
        "repeated; look the record up before sending it again.",
        why=retry.why(error),
        method=error.method,
        path=error.path,
        status=error.status,
        attempt=error.attempt,
    )
    ambiguous.__cause__ = error
    return ambiguous
