"""One attempt of a request: its share of the quota, the breaker, the headers, and an answer without secrets.

This module knows the order in which those take part in an attempt. It must not know what follows a failure, deadlines,
or the shapes of single endpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final, TypeVar

import msgspec

from ..errors import HubSpotError, RateLimited
from ..limiter import Lane, Limiter, Slot
from ..secret import Hiding, Secret, hidden
from ..transport import Transport
from ..wire import Quota, Request, Response, Trail, known_id, parse
from .breaker import CircuitBreaker, is_down

__all__ = ["Attempts"]

T = TypeVar("T")

_PLAIN: Final = 204
"""Answers up to this status, in JSON, are read and not quoted."""


class Attempts:
    """Sends requests once each; see `Caller` for the arguments."""

    def __init__(
        self,
        *,
        transport: Transport,
        limiters: Mapping[Quota, tuple[Limiter, ...]],
        clock: Callable[[], float],
        breaker: CircuitBreaker | None,
        validate: bool,
    ) -> None:
        self._transport = transport
        self._limiters = limiters
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
        *,
        at_head: bool = False,
        heard: bool = False,
    ) -> T:
        """Send once; `heard`: the trail is to name the answer's correlation id.

        Raises: CircuitOpen; what `Transport.send` and `wire.parse` raise.
        """
        breaker = self._breaker if request.bearer else None
        if breaker is not None:
            breaker.check(self._clock())  # before it waits for quota, and once more behind that
        gates = self._limiters[request.quota]
        if len(gates) == 1:
            async with gates[0].slot(lane, at_head=at_head) as slot:
                exchange = _Exchange(trail, (slot,), token, request, self._clock, heard)
                if breaker is None:
                    return await self._exchange(exchange, request, lane)
                return await self._guarded(breaker, exchange, request, lane)
        async with AsyncExitStack() as held:
            slots = [await held.enter_async_context(gate.slot(lane, at_head=at_head)) for gate in gates]
            exchange = _Exchange(trail, tuple(slots), token, request, self._clock, heard)
            if breaker is None:
                return await self._exchange(exchange, request, lane)
            return await self._guarded(breaker, exchange, request, lane)

    async def _guarded(self, breaker: CircuitBreaker, exchange: _Exchange, request: Request[T], lane: Lane) -> T:
        ticket = breaker.enter(self._clock())
        down: bool | None = None
        try:
            value = await self._exchange(exchange, request, lane)
            down = False
        except HubSpotError as error:
            down = is_down(error)
            raise
        finally:
            ticket.settle(down=down, now_s=self._clock())
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
            return parse(request, response, validate=self._validate or lane is Lane.BULK)
        except HubSpotError as error:
            error.args = hidden(error.args, exchange.secrets)
            vars(error).update(hidden(vars(error), exchange.secrets))
            if isinstance(error, RateLimited):
                exchange.refused(error)
            # Without the frames below this one: their variables hold the answer as it came.
            raise error.with_traceback(None) from error.__cause__


class _Exchange:
    """A request with its slots: writes down what happens to it, at the moment it happens."""

    __slots__ = ("_clock", "_heard", "_slots", "bytes", "headers", "secrets", "trail")

    def __init__(
        self,
        trail: Trail,
        slots: tuple[Slot, ...],
        token: Secret | None,
        request: Request[Any],
        clock: Callable[[], float],
        heard: bool,
    ) -> None:
        self.trail = trail
        self._slots = slots
        self._clock = clock
        self._heard = heard
        body = request.body
        self.bytes = 0 if body is None else len(body)
        self.headers = _Headers(token, None if body is None else request.content_type)
        self.secrets = request.secrets if token is None else (token,)

    def written(self) -> None:
        """Its headers leave now."""
        trail = self.trail
        now = self._clock()
        trail.in_doubt = True
        trail.requests += 1
        trail.bytes_sent += self.bytes
        trail.last_sent_at = now
        if trail.first_sent_at is None:
            trail.first_sent_at = now
        for slot in self._slots:
            slot.written()
        if trail.on_sent is not None:
            trail.on_sent()

    def answered(self, headers: Mapping[str, str]) -> None:
        """The answer's headers are here."""
        self.trail.date = headers.get("Date")
        if self._heard:
            self.trail.correlation_id = known_id(hidden(headers.get("X-HubSpot-Correlation-Id"), self.secrets))
        for slot in self._slots:
            slot.answered(headers)

    def refused(self, error: RateLimited) -> None:
        """The answer was a 429."""
        self.trail.rate_limited += 1
        if not self._slots:
            return
        # The refusal belongs to one policy. The search gate is listed first; its refusals carry SECONDLY or no policy.
        slot = self._slots[-1] if error.policy in ("TEN_SECONDLY_ROLLING", "DAILY") else self._slots[0]
        slot.refused(
            policy=error.policy,
            retry_after_s=error.retry_after_s,
            resets_at=getattr(error, "resets_at", None),
        )


class _Headers(Mapping[str, str]):
    """Request headers whose repr holds no token: tracebacks that show local variables pass through here."""

    __slots__ = ("_content_type", "_names", "_token")

    def __init__(self, token: Secret | None, content_type: str | None) -> None:
        self._token = token
        self._content_type = content_type
        named = () if token is None else ("Authorization",)
        self._names = named if content_type is None else (*named, "Content-Type")

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
