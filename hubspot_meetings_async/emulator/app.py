"""The front door: aiohttp.web around a `House`. Reads a request, asks the rooms, answers, or lets a fault strike.

Knows HTTP and sockets. Must not know HubSpot's rules: those are in the rooms behind it, which never see a socket.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import random
import socket
import struct
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from .admin import Admin
from .behaviour import Behaviour
from .breakage import PAGE, send_spoiled
from .calls import Answer, Call
from .connections import refused, whole_body
from .counts import RequestEntry
from .faults import BROKEN_KINDS, MOVING_RETRY_AFTER_S, Fault
from .house import Bearer, House
from .keeping import DataFileError
from .latency import Latency, drawn_s
from .oauth_scopes import missing_scopes
from .page import front_page
from .quota import Lane, Policy, rate_limited
from .refusals import Refusal
from .routes import Match, hubspot_routes
from .times import http_date

__all__ = ["FrontDoor"]

_logger = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
_JSON = "application/json;charset=utf-8"
_RESET = struct.pack("ii", 1, 0)
_FORM = "application/x-www-form-urlencoded"
_OPEN = "oauth."
"""Operations that need no bearer token and count against no limit, since they are how one comes by a token."""
_CLIENT_GONE_POLL_S = 0.2
_TIMER_EARLY_S = 0.002
"""Loops count time in ticks of their own; a timer may come this much before its time."""


class _Reply(msgspec.Struct):
    """What will go out, unless the fault says otherwise."""

    status: int
    body: bytes | None
    headers: dict[str, str]
    fault: Fault | None = None
    app: str | None = None


class FrontDoor:
    """Every request passes here.

    Args:
        house: the rooms behind.
        forward_latency_s: the way of a request to HubSpot; its stamp for the quota is taken afterwards.
        service_latency_s: between the stamp and the answer; writes take effect at the stamp.
        idle_s: how long a body may take.
    """

    def __init__(
        self,
        house: House,
        *,
        forward_latency_s: Latency = (0.0, 0.0),
        service_latency_s: Latency = (0.0, 0.0),
        idle_s: float = 75.0,
        seed: int = 0,
    ) -> None:
        self.house = house
        self.closing = asyncio.Event()
        self._router = hubspot_routes()
        self._admin = Admin(house, idle_s=idle_s)
        self._idle_s = idle_s
        self._forward_latency_s = forward_latency_s
        self._service_latency_s = service_latency_s
        self._rng = random.Random(seed)
        self._watchers: list[tuple[int, asyncio.Event]] = []
        self._timers: set[asyncio.TimerHandle] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        path = request.rel_url.raw_path
        if path.startswith("/__emulator/"):
            return await self._admin.handle(request)
        if path == "/" and request.method in ("GET", "HEAD") and "Authorization" not in request.headers:
            return front_page()  # to a browser; whoever has a token is an API client, and gets HubSpot's 404
        house = self.house
        arrived_s = asyncio.get_running_loop().time()
        match = self._router.match(request.method, path)
        number = house.counts.arrive(match.operation)
        correlation_id = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        body: bytes | None = None
        try:
            body = await whole_body(request, self._idle_s)
        except Refusal as refusal:
            if refusal.status != 413:  # that one has its turn after the token and the limits
                self._leave_cut(request, match, number, refusal.status, correlation_id)
                return refused(refusal)
        except OSError:
            # The client left in the middle of its body: nobody to answer, nothing to carry out.
            self._leave_cut(request, match, number, 0, correlation_id)
            _tear_down(request)
            return web.Response()
        await self._wait(self._forward_latency_s)
        at = house.clock.steady_s()
        house.late.catch_up(at)
        try:
            reply = self._judge(request, match, number, body, correlation_id, at)
            house.keep(match.operation)
        except DataFileError as error:
            _logger.error("%s", error)
            reply = _refused(Refusal(500, str(error)), correlation_id, {})
        except Exception:
            # A hole in the emulator: say so in its log, and answer as HubSpot would.
            _logger.exception("the emulator failed on %s %s", request.method, path)
            reply = _refused(Refusal(500, "internal error"), correlation_id, {})
        house.counts.judge()
        self._tell_watchers()
        fault = reply.fault
        await self._wait(self._service_latency_s, 0.0 if fault is None else fault.wait_s(self._rng))
        answered = fault is None or fault.kind not in ("reset", "hang")
        entry = RequestEntry(
            number,
            at - house.counts.started_s,
            request.method,
            _loggable(path, match),
            match.operation,
            reply.status if answered else 0,
            None if fault is None else fault.name,
            correlation_id,
            reply.app,
            asyncio.get_running_loop().time() - arrived_s,
            len(body or b""),
            len(reply.body or b"") if answered else 0,
            *self._kept(request, body or b""),
        )
        house.counts.leave(entry)
        if fault is not None and fault.kind == "hang":
            await self._hang(request)
        if fault is not None and fault.kind in ("reset", "hang"):
            _tear_down(request)
        elif fault is not None and fault.kind in BROKEN_KINDS and reply.body:
            return await send_spoiled(request, reply.status, reply.body, reply.headers, fault, self.closing)
        elif reply.body and house.behaviour.gzip_answers and "gzip" in request.headers.get("Accept-Encoding", ""):
            reply.body = gzip.compress(reply.body, compresslevel=1, mtime=0)
            reply.headers["Content-Encoding"] = "gzip"
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)

    def _leave_cut(self, request: web.Request, match: Match, number: int, status: int, correlation_id: str) -> None:
        """Note a request whose body did not come whole: it was neither judged nor carried out."""
        path = _loggable(request.rel_url.raw_path, match)
        entry = RequestEntry(number, 0.0, request.method, path, match.operation, status, "cut", correlation_id, None)
        self.house.counts.leave(entry)

    def _judge(
        self, request: web.Request, match: Match, number: int, body: bytes | None, correlation_id: str, at: float
    ) -> _Reply:
        """Decide and carry out, all at once: nothing else happens between the stamp and the write."""
        house = self.house
        wall_ms = house.clock.wall_ms()
        headers = {"X-HubSpot-Correlation-Id": correlation_id, "Date": http_date(wall_ms // 1000)}
        line = f"{request.method} {request.path}"
        fault: Fault | None = None
        if match.operation.startswith(_OPEN):
            fault = house.faults.draw(match.operation, line, body or b"")
            return self._carry_out(request, match, number, body, wall_ms, correlation_id, headers, fault, None)
        try:
            bearer = house.bearer(request.headers.get("Authorization"))
        except Refusal as refusal:
            return _refused(refusal, correlation_id, headers)
        app = bearer.app
        lane = _lane(match.operation, house.behaviour)
        policy = house.quota.judge(app, at, house.day.number(wall_ms), lane)
        if policy is not None:
            house.quota.refuse(app, at, policy, lane)
        else:
            fault = house.faults.draw(match.operation, line, body or b"")
            if fault is None or fault.status != 429:
                house.quota.accept(app, at, lane)
        if lane == "window":
            headers.update(house.quota.headers(app, at, daily=house.behaviour.daily_headers))
        if policy is not None:
            reply = self._over_limit(app, at, wall_ms, policy, correlation_id, headers)
        else:
            reply = self._carry_out(request, match, number, body, wall_ms, correlation_id, headers, fault, bearer)
        reply.app = app
        return reply

    def _over_limit(
        self, app: str, at: float, wall_ms: int, policy: Policy, correlation_id: str, headers: dict[str, str]
    ) -> _Reply:
        if self.house.behaviour.retry_after_on_429:
            rest_s = self.house.day.ends_in_s(wall_ms)
            headers["Retry-After"] = str(self.house.quota.retry_after_s(app, at, policy, rest_s))
        status, body = rate_limited(policy, correlation_id, self._request_id())
        return _json_reply(status, body, headers)

    def _carry_out(
        self,
        request: web.Request,
        match: Match,
        number: int,
        body: bytes | None,
        wall_ms: int,
        correlation_id: str,
        headers: dict[str, str],
        fault: Fault | None,
        bearer: Bearer | None,
    ) -> _Reply:
        def carry_out(now_ms: int = wall_ms, headers: dict[str, str] = headers) -> _Reply:
            try:
                endpoint = _checked(request, match, body, self.house.behaviour.max_url_length)
                _check_scopes(match.operation, bearer)
                call = Call(
                    operation=match.operation,
                    captures=match.captures,
                    query=_query(request),
                    body=body or b"",
                    url=f"{request.scheme}://{request.host}{request.rel_url.raw_path}",
                    number=number,
                    now_ms=now_ms,
                    only_inputs=None if fault is None else fault.applied_inputs,
                )
                answer: Answer = endpoint(self.house.portal, call)
                headers.update(answer.headers)
                return _json_reply(answer.status, answer.payload, headers)
            except Refusal as refusal:
                return _refused(refusal, correlation_id, headers)

        if fault is None:
            return carry_out()
        if fault.applied_after_s is not None:
            self._carry_out_late(fault.applied_after_s, lambda now_ms: carry_out(now_ms, {}))
        reply = carry_out() if fault.carried_out else _json_reply(200, None, headers)
        if fault.kind == "twice":
            reply = carry_out()
        elif fault.kind == "html":
            reply = _Reply(200, PAGE, {**headers, "Content-Type": fault.content_type})
        elif fault.kind == "expire_token" and bearer is not None:
            reply = _refused(self.house.expire(bearer), correlation_id, headers)
        elif fault.status is not None:
            reply = self._faulty(fault, fault.status, correlation_id, headers)
        reply.fault = fault
        return reply

    def _carry_out_late(self, after_s: float, carry_out: Callable[[int], _Reply]) -> None:
        """Remember a write for later. A clock that stands still is asked again by the next request."""
        house = self.house

        def late() -> None:
            try:
                carry_out(house.clock.wall_ms())
                house.keep()
            except Exception:
                _logger.exception("the emulator failed on a late write")

        def time_is_up() -> None:
            self._timers.discard(timer)
            house.late.catch_up(house.clock.steady_s() + _TIMER_EARLY_S)

        house.late.add(house.clock.steady_s() + after_s, late)
        timer = asyncio.get_running_loop().call_later(after_s, time_is_up)
        self._timers.add(timer)

    def _faulty(self, fault: Fault, status: int, correlation_id: str, headers: dict[str, str]) -> _Reply:
        if status == 429:
            self.house.counts.injected_429 += 1
        if fault.retry_after is not None:
            headers["Retry-After"] = str(fault.retry_after)
        elif status == 477:
            headers["Retry-After"] = str(MOVING_RETRY_AFTER_S)
        headers.update(fault.headers)
        if fault.body is not None:
            headers.setdefault("Content-Type", fault.content_type)
            return _Reply(status, fault.body.encode(), headers)
        if status == 429 and fault.message is None:
            return _json_reply(*rate_limited(fault.policy, correlation_id, self._request_id()), headers)
        return _json_reply(status, fault.refusal().body(correlation_id), headers)

    def _kept(self, request: web.Request, body: bytes) -> tuple[str, bytes | None]:
        """Query and body for the log. Calls for tokens have secrets in both, also when their path is misspelt."""
        if request.path.startswith("/oauth"):
            return "", None
        return request.rel_url.raw_query_string, body if self.house.counts.keep_bodies else None

    async def until_judged(self, number: int) -> None:
        """Wait until so many requests were stamped, and refused or carried out."""
        if self.house.counts.judged < number:
            event = asyncio.Event()
            self._watchers.append((number, event))
            await event.wait()
            if self.house.counts.judged < number:
                raise RuntimeError(f"the emulator closed before request {number} came")

    def close(self) -> None:
        """Let go of everyone who waits: hanging requests, late writes, and those who wait for requests."""
        self.closing.set()
        self.house.late.clear()
        for timer in self._timers:
            timer.cancel()
        for _, event in self._watchers:
            event.set()
        self._watchers = []

    def _tell_watchers(self) -> None:
        if self._watchers:
            judged = self.house.counts.judged
            for number, event in self._watchers:
                if number <= judged:
                    event.set()
            self._watchers = [(number, event) for number, event in self._watchers if number > judged]

    def _request_id(self) -> str:
        return f"{self._rng.getrandbits(64):016x}"

    async def _wait(self, latency: Latency, extra_s: float = 0.0) -> None:
        seconds = extra_s + drawn_s(latency, self._rng)
        if seconds > 0:
            await asyncio.sleep(seconds)

    async def _hang(self, request: web.Request) -> None:
        """Hold the request until the client has gone or the emulator closes."""
        while not self.closing.is_set() and request.transport is not None and not request.transport.is_closing():
            try:
                await asyncio.wait_for(self.closing.wait(), _CLIENT_GONE_POLL_S)
            except TimeoutError:
                continue


def _checked(request: web.Request, match: Match, body: bytes | None, max_url_length: int) -> Any:
    """The endpoint of a well-formed request. Raises: Refusal."""
    if len(request.rel_url.raw_path_qs) > max_url_length:
        raise Refusal(414, f"The URL is longer than {max_url_length} characters")
    if match.endpoint is None:
        if match.allowed:
            raise Refusal(405, f"HTTP 405 Method Not Allowed; this path takes {', '.join(match.allowed)}")
        raise Refusal(404, "resource not found")
    if body is None:
        raise Refusal(413, "The request body is too large", category="VALIDATION_ERROR")
    if body and request.method in ("POST", "PATCH", "PUT"):  # some calls take none, and then no type either
        form = match.operation.startswith(_OPEN) and match.operation != "oauth.private_app_info"
        wanted = _FORM if form else "application/json"
        if request.content_type != wanted:
            raise Refusal(415, f"HTTP 415 Unsupported Media Type; send {wanted}")
    return match.endpoint


def _check_scopes(operation: str, bearer: Bearer | None) -> None:
    """Raises: Refusal (403) for tokens whose scopes do not suffice."""
    if bearer is not None and bearer.known is not None and bearer.known.scopes is not None:
        refusal = missing_scopes(operation, bearer.known.scopes)
        if refusal is not None:
            raise refusal


def _loggable(path: str, match: Match) -> str:
    """The path without the tokens that stand in some."""
    return path.rpartition("/")[0] + "/…" if "token" in match.captures else path


def _query(request: web.Request) -> Mapping[str, list[str]]:
    if not request.query_string:
        return {}
    query: dict[str, list[str]] = {}
    for name, value in request.query.items():
        query.setdefault(name, []).append(value)
    return query


def _lane(operation: str, behaviour: Behaviour) -> Lane:
    """Which limit a request meets; answers of searches and of exempt calls carry no rate headers."""
    if operation.endswith(".search"):
        return "search"
    if behaviour.association_batches_exempt and operation.startswith("associations.batch_"):
        return "exempt"
    return "window"


def _json_reply(status: int, payload: Any, headers: dict[str, str]) -> _Reply:
    if payload is None:
        return _Reply(status, None, headers)
    headers["Content-Type"] = _JSON
    return _Reply(status, _encode(payload), headers)


def _refused(refusal: Refusal, correlation_id: str, headers: dict[str, str]) -> _Reply:
    headers.setdefault("X-HubSpot-Correlation-Id", correlation_id)
    return _json_reply(refusal.status, refusal.body(correlation_id), headers)


def _tear_down(request: web.Request) -> None:
    """Close with RST: what was not sent is lost, and the client sees a reset instead of an orderly end."""
    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
