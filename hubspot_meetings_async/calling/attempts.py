"""One attempt of a request: its share of the quota, the breaker, the headers, and an answer without secrets.

This module knows the order in which those take part in an attempt. It must not know what follows a failure, deadlines,
or the shapes of single endpoints.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final, TypeVar

import msgspec

from ..errors import HubSpotError, RateLimited
from ..limiter import Lane, Limiter, Slot, slot_at_once
from ..secret import Hiding, Secret, hidden
from ..transport import Transport
from ..wire import Quota, Request, Response, Trail, known_id, parse
from .breaker import CircuitBreaker, is_down

__all__ = ["Attempts"]

T = TypeVar("T")

# Looked up by their classes' names, and by their hashes, these take longer than what they are for.
_STANDARD: Final = Quota.STANDARD
_BULK: Final = Lane.BULK

_PLAIN: Final = 204
"""Answers up to this status, in JSON, are read and not quoted."""


class Attempts:
    """Sends requests once each; see `Caller` for the arguments."""

    def __init__(
        self,
        *,
        transport: Transport,
        limiters: Mapping[Quota, tuple[Limiter, ...]],
        clock: Callable[[], float] | None,
        breaker: CircuitBreaker | None,
        validate: bool,
    ) -> None:
        self._transport = transport
        self._limiters = limiters
        self._standard = limiters.get(_STANDARD, ())
        self._headers = _Headers(None, None)
        self._clock = clock
        self._breaker = breaker
        self._validate = validate

    def wait_estimate_s(self, quota: Quota, lane: Lane) -> float:
        """The least time that a request would wait for its share now."""
        gates = self._limiters[quota]
        if len(gates) == 1:
            return gates[0].wait_estimate_s(lane)
        return max((gate.wait_estimate_s(lane) for gate in gates), default=0.0)

    async def send(
        self,
        request: Request[T],
        trail: Trail,
        lane: Lane,
        token: Secret | None,
        loop: asyncio.AbstractEventLoop,
        *,
        at_head: bool = False,
        heard: bool = False,
    ) -> T:
        """Send once, in the running `loop`; `heard`: the trail is to name the answer's correlation id.

        Raises: CircuitOpen; what `Transport.send` and `wire.parse` raise.
        """
        clock = self._clock or loop.time
        breaker = self._breaker if request.bearer else None
        if breaker is not None:
            breaker.check(clock())  # before it waits for quota, and once more behind that
        exchange = _Exchange(trail, self._headers_of(request, token), token, request, clock, heard)
        gates = self._standard if request.quota is _STANDARD else self._limiters[request.quota]
        if len(gates) != 1:
            async with AsyncExitStack() as held:
                for gate in gates:
                    exchange.slots += (await held.enter_async_context(gate.slot(lane, at_head=at_head)),)
                return await self._guarded(breaker, exchange, request, lane)
        slot = slot_at_once(gates[0], lane, loop)
        if slot is None:
            async with gates[0].slot(lane, at_head=at_head) as waited_for:
                exchange.slots = (waited_for,)
                return await self._guarded(breaker, exchange, request, lane)
        try:
            exchange.slots = (slot,)
            if breaker is None:
                return await self._exchange(exchange, request, lane)
            return await self._guarded(breaker, exchange, request, lane)
        finally:
            slot.leave()

    def _headers_of(self, request: Request[Any], token: Secret | None) -> _Headers:
        """Those of the last request, if they are the same: nearly all are."""
        headers, content_type = self._headers, None if request.body is None else request.content_type
        if headers.token is not token or headers.content_type != content_type:
            headers = self._headers = _Headers(token, content_type)
        return headers

    async def _guarded(self, breaker: CircuitBreaker | None, exchange: _Exchange, request: Request[T], lane: Lane) -> T:
        if breaker is None:
            return await self._exchange(exchange, request, lane)
        ticket = breaker.enter(exchange.clock())
        down: bool | None = None
        try:
            value = await self._exchange(exchange, request, lane)
            down = False
        except HubSpotError as error:
            down = is_down(error)
            raise
        finally:
            ticket.settle(down=down, now_s=exchange.clock())
        return value

    async def _exchange(self, exchange: _Exchange, request: Request[T], lane: Lane) -> T:
        trail = exchange.trail
        if trail.before_send is not None and (body := await trail.before_send()) is not None:
            request = msgspec.structs.replace(request, body=body)
            exchange.bytes = len(body)
        try:
            response: Response = await self._transport.send(
                request, exchange.headers, on_written=exchange.written, on_answered=exchange.answered
            )
            trail.bytes_received += len(response.body)
            trail.status = response.status
            if response.status > _PLAIN or "json" not in response.headers.get("Content-Type", ""):
                # Some gateways repeat the request in their answer, and errors quote answers.
                secrets = exchange.secrets
                response = Response(response.status, Hiding(response.headers, secrets), hidden(response.body, secrets))
            return parse(request, response, validate=self._validate or lane is _BULK)
        except HubSpotError as error:
            error.args = hidden(error.args, exchange.secrets)
            vars(error).update(hidden(vars(error), exchange.secrets))
            if isinstance(error, RateLimited):
                exchange.refused(error)
            # Without the frames below this one: their variables hold the answer as it came.
            raise error.with_traceback(None) from error.__cause__


class _Exchange:
    """A request with its slots: writes down what happens to it, at the moment it happens."""

    __slots__ = ("_heard", "bytes", "clock", "headers", "secrets", "slots", "trail")

    def __init__(
        self,
        trail: Trail,
        headers: _Headers,
        token: Secret | None,
        request: Request[Any],
        clock: Callable[[], float],
        heard: bool,
    ) -> None:
        self.trail = trail
        self.headers = headers
        self.slots: tuple[Slot, ...] = ()
        self.clock = clock
        self._heard = heard
        body = request.body
        self.bytes = 0 if body is None else len(body)
        self.secrets = request.secrets if token is None else (token,)

    def written(self) -> None:
        """Its headers leave now."""
        trail = self.trail
        now = self.clock()
        trail.in_doubt = True
        trail.requests += 1
        trail.bytes_sent += self.bytes
        trail.last_sent_at = now
        if trail.first_sent_at is None:
            trail.first_sent_at = now
        for slot in self.slots:
            slot.written()
        if trail.on_sent is not None:
            trail.on_sent()

    def answered(self, headers: Mapping[str, str]) -> None:
        """The answer's headers are here."""
        self.trail.date = headers.get("Date")
        if self._heard:
            self.trail.correlation_id = known_id(hidden(headers.get("X-HubSpot-Correlation-Id"), self.secrets))
        for slot in self.slots:
            slot.answered(headers)

    def refused(self, error: RateLimited) -> None:
        """The answer was a 429."""
        self.trail.rate_limited += 1
        if not self.slots:
            return
        # The refusal belongs to one policy. The search gate is listed first; its refusals carry SECONDLY or no policy.
        slot = self.slots[-1] if error.policy in ("TEN_SECONDLY_ROLLING", "DAILY") else self.slots[0]
        slot.refused(
            policy=error.policy,
            retry_after_s=error.retry_after_s,
            resets_at=getattr(error, "resets_at", None),
        )


class _Headers(Mapping[str, str]):
    """Request headers whose repr holds no token: tracebacks that show local variables pass through here."""

    __slots__ = ("_names", "content_type", "token")

    def __init__(self, token: Secret | None, content_type: str | None) -> None:
        self.token = token
        self.content_type = content_type
        named = () if token is None else ("Authorization",)
        self._names = named if content_type is None else (*named, "Content-Type")

    def __getitem__(self, name: str) -> str:
        if name == "Authorization" and self.token is not None:
            return f"Bearer {self.token.reveal()}"
        if name == "Content-Type" and self.content_type is not None:
            return self.content_type
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<headers {', '.join(self._names)}>"
