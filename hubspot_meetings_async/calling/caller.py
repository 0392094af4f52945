"""The one call loop: token, attempt, and what follows a failure meet here and nowhere else.

This module knows when a call is tried again, and when it has no time left. It must not know how an attempt is made, the
shapes of single endpoints, or bulk.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import anyio

from ..auth.sources import Auth
from ..errors import AmbiguousWriteError, CircuitOpen, DeadlineExceeded, HubSpotError, RateLimited, Unauthorized
from ..limiter import Lane, Limiter
from ..telemetry import OnAttempt, heard, listener
from ..transport import Transport
from ..wire import Call, Quota, Replay, Request, Trail
from . import retry
from .alarms import Alarm, Alarms
from .attempt_watch import AttemptWatch
from .attempts import Attempts
from .breaker import CircuitBreaker
from .deadlines import deadline_at
from .retry import Effect, RetryBudget, RetryPolicy

__all__ = ["Caller"]

T = TypeVar("T")

_INTERACTIVE: Final = Lane.INTERACTIVE
_BULK: Final = Lane.BULK

_SHORT_CALL_S = 5.0
"""A call with less time than this is better told of an outage than kept waiting for its end."""
_PATIENT_S = 60.0
"""A call with more time than this does not ask how long the queue for quota is: queues of minutes are rare, and every
call would pay for the question."""


class Caller:
    """Carries requests out: each waits for its share of the quota, goes out with a valid token, and is tried again
    when that is safe and useful.

    Args:
        limiters: the gates that a request of each quota passes, in order.
        call_s: seconds for a whole interactive call; bulk calls have no bound.
        budget: what repeats may cost, where others share it; one of its own by default.
        clock: seconds for the moments in a `Trail`; the running loop's by default.
        breaker: keeps requests back while HubSpot is down: interactive calls fail at once, bulk calls wait.
        validate: whether an answer that does not fit is an error also of interactive calls; see `wire.parse`. Bulk
            calls always validate, since they account for every record.
        heeds_deadlines: whether a `Deadline` bounds interactive calls too; not where others wait for them as well.
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
        clock: Callable[[], float] | None = None,
        breaker: CircuitBreaker | None = None,
        validate: bool = True,
        on_attempt: OnAttempt | None = None,
        base_url: str = "",
        heeds_deadlines: bool = True,
    ) -> None:
        self._clock = clock
        self._attempts = Attempts(
            transport=transport, limiters=limiters, clock=clock, breaker=breaker, validate=validate
        )
        self._auth = auth
        self._policy = policy
        self._call_s = math.inf if call_s is None else call_s
        self._alarms: Alarms | None = None
        self._rng = rng
        self._budget = budget or RetryBudget(policy.tokens)
        self._breaker = breaker
        self._on_attempt = None if on_attempt is None else listener(on_attempt)
        self._base_url = base_url
        self._heeds_deadlines = heeds_deadlines

    def lane(self, lane: Lane) -> Call:
        """The `Call` that sends in `lane`."""
        return self._interactive if lane is _INTERACTIVE else self._until_settled

    async def _interactive(self, request: Request[T], trail: Trail | None = None) -> T:
        trail = trail if trail is not None else Trail()
        # Token endpoints are asked for the sake of all calls: the time of the one that happens to ask bounds none.
        block_ends_at = deadline_at() if request.bearer and self._heeds_deadlines else math.inf
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        ends_at = began_at + self._call_s
        if ends_at == math.inf and block_ends_at == math.inf:
            return await self._until_settled(request, trail, _INTERACTIVE, loop)
        if block_ends_at > began_at:
            if block_ends_at < ends_at:
                ends_at = block_ends_at
                alarm = Alarm(loop, ends_at)
            else:
                if self._alarms is None or self._alarms.loop is not loop:
                    self._alarms = Alarms(loop, self._call_s)
                alarm = self._alarms.set(began_at)
            try:
                return await self._until_settled(request, trail, _INTERACTIVE, loop, began_at, ends_at)
            except asyncio.CancelledError as error:
                if not alarm.is_over(error):
                    raise
            finally:
                alarm.end()
        else:
            ends_at = block_ends_at
        if self._breaker is not None and trail.in_doubt and request.bearer:
            # It waited for an answer all that time; where calls are shorter than attempts, nobody else would count it.
            self._breaker.failed(self._now(loop))
        seconds = max(0.0, ends_at - began_at)
        words = (
            f"the deadline that this call was made under is over, {seconds:.3g} s after it began"
            if ends_at == block_ends_at
            else f"the call's {seconds:.3g} s are over"
        )
        late = DeadlineExceeded(f"{words}, quota waits and retries included", sent=trail.in_doubt, timeout=True)
        raise _final(late.at(method=request.method, path=request.path, attempt=trail.retries + 1), request.replay)

    async def _until_settled(
        self,
        request: Request[T],
        trail: Trail | None = None,
        lane: Lane = _BULK,
        loop: asyncio.AbstractEventLoop | None = None,
        began_at: float = 0.0,
        ends_at: float = math.inf,
    ) -> T:
        """A whole call: as it stands one in bulk, which nothing bounds."""
        trail = trail if trail is not None else Trail()
        loop = loop if loop is not None else asyncio.get_running_loop()
        failures = refusals = 0
        at_head = renewed = False
        while True:
            # Outside of what is tried again: a failure to get a token is not this request's, and was tried again there.
            token = await self._auth.token() if request.bearer else None
            doubted = trail.in_doubt
            if ends_at - began_at <= _PATIENT_S and not at_head:
                self._need_time(request, trail, lane, loop, ends_at)
            watch = None
            if self._on_attempt is not None or heard(failed=True):
                watch = AttemptWatch(self._on_attempt, self._clock or loop.time, self._base_url, request, trail, lane)
            try:
                value = await self._attempts.send(
                    request, trail, lane, token, loop, at_head=at_head, heard=watch is not None
                )
            except CircuitOpen as shut:
                if lane is _BULK:
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
            left_s = ends_at - self._now(loop)
            wait_s = retry.after(
                error,
                replay=request.replay,
                failures=failures,
                refusals=refusals,
                policy=self._policy,
                rng=self._rng,
            )
            if wait_s is not None and not at_head and not self._budget.take(error):
                wait_s = self._without_budget_s(wait_s, left_s)
            if wait_s is not None and wait_s >= left_s:
                error, wait_s = _no_time(error, trail, wait_s, left_s), None
            if watch is not None:
                watch.ended(error, retry_in_s=wait_s)
            if wait_s is None:
                raise _final(error, request.replay)
            trail.retries += 1
            await anyio.sleep(wait_s)

    def _now(self, loop: asyncio.AbstractEventLoop) -> float:
        return loop.time() if self._clock is None else self._clock()

    def _need_time(
        self, request: Request[Any], trail: Trail, lane: Lane, loop: asyncio.AbstractEventLoop, ends_at: float
    ) -> None:
        """Raise DeadlineExceeded at once where the queue for quota is longer than what the call has left."""
        wait_s = self._attempts.wait_estimate_s(request.quota, lane)
        if not wait_s:
            return
        left_s = ends_at - self._now(loop)
        if wait_s >= left_s:
            late = DeadlineExceeded(
                f"HubSpot's quota has no room for another {wait_s:.1f} s at least, and the call has {left_s:.1f} s "
                f"left; {'it was not repeated' if trail.requests else 'nothing was sent'}",
                sent=trail.in_doubt,
                timeout=True,
            )
            raise _final(late.at(method=request.method, path=request.path, attempt=trail.retries + 1), request.replay)

    def _without_budget_s(self, wait_s: float, left_s: float) -> float | None:
        """How long to wait when repeats have used up what they may; None for who has no time for that."""
        if left_s <= _SHORT_CALL_S:
            return None
        return max(wait_s, self._rng.uniform(0.5, 1.0) * self._policy.cap_s)


def _no_time(error: HubSpotError, trail: Trail, wait_s: float, left_s: float) -> DeadlineExceeded:
    late = DeadlineExceeded(
        f"the next try would be in {wait_s:.1f} s, and the call has {max(0.0, left_s):.1f} s left: {error.message}",
        sent=trail.in_doubt,
        timeout=True,
        method=error.method,
        path=error.path,
        status=error.status,
        attempt=error.attempt,
    )
    late.__cause__ = error
    return late


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
