"""The connections themselves: what is no HTTP is refused in HubSpot's shape, and nobody holds a place for nothing.

Knows aiohttp's server side and open files. Must not know what is asked for or answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec
from aiohttp import StreamReader, web

from .refusals import Refusal

if sys.platform != "win32":
    import resource

__all__ = ["Connections", "allow_open_files", "queue_length", "refused", "whole_body"]

_logger = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
_OPTIONS: dict[str, Any] = {
    "access_log": None,
    "max_line_size": 1024 * 1024,  # far longer than any URL HubSpot takes, so that the 414 is ours
    "max_field_size": 64 * 1024,
}
_MOST = 4096
_MANY = 65_536
_LONGEST_QUEUE = 1024
_SWEEPS = 4
"""How often in the time that a connection may wait the waiting ones are looked at."""

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Connection(web.RequestHandler):
    """One connection; words its own errors."""

    __slots__ = ("awaited",)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.awaited: StreamReader | None = None
        """The body that somebody waits for."""

    def data_received(self, data: bytes) -> None:
        """Tell whoever waits for a body when what came is none: aiohttp only queues the error behind the request."""
        super().data_received(data)
        if self.awaited is not None and self._messages and not self.awaited.is_eof():
            self.awaited.set_exception(web.RequestPayloadError("broken chunks"))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, and what went wrong on the way to an answer; then close."""
        if status >= 500:
            _logger.error("the emulator failed on a connection", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has left already")
        why = "internal error" if status >= 500 else f"This is not valid HTTP: {_first_words(message)}"
        return refused(Refusal(status, why))


class Connections(web.Server):
    """A server that knows which of its connections wait for a request.

    Those are closed after a time, and when the places run out: then the one that waited longest makes room. So however
    many connect and say nothing, others are served. Connections in the middle of a request are left alone.

    Args:
        handle: answers one request.
        idle_s: how long a connection may wait for a request, or take to send its head.
        max_body_bytes: the longest body that `handle` can read.
    """

    def __init__(self, handle: Handle, *, idle_s: float, max_body_bytes: int) -> None:
        super().__init__(self._answer, request_factory=self._request)
        self._handle = handle
        self._idle_s = idle_s
        self._max_body_bytes = max_body_bytes
        self._most = _most_connections()
        self._open = 0
        self._waiting: dict[web.RequestHandler, float] = {}
        self._clock = asyncio.get_running_loop()
        self._sweep = self._clock.call_later(idle_s / _SWEEPS, self._close_idle)

    def __call__(self) -> web.RequestHandler:
        """A protocol for a new connection."""
        return _Connection(self, loop=self._clock, **_OPTIONS)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take a connection, and let go of another when there are too many."""
        super().connection_made(handler, transport)
        self._waiting[handler] = self._clock.time()
        self._open += 1
        if self._open > self._most:
            longest = next(iter(self._waiting))
            del self._waiting[longest]
            longest.force_close()

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        super().connection_lost(handler, exc)
        self._open -= 1
        self._waiting.pop(handler, None)

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # aiohttp's signature
        """Close all of them."""
        self._sweep.cancel()
        await super().shutdown(timeout)

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.Request:
        size = self._max_body_bytes
        return web.Request(message, payload, protocol, writer, task, self._clock, client_max_size=size)

    async def _answer(self, request: Any) -> web.StreamResponse:
        connection: web.RequestHandler = request.protocol
        self._waiting.pop(connection, None)
        try:
            if "Expect" in request.headers:
                if request.headers["Expect"].lower() != "100-continue":
                    return refused(Refusal(417, "The only expectation that can be met is 100-continue"))
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0  # of the answer itself nothing has left
            return await self._handle(request)
        finally:
            if connection.transport is not None:
                self._waiting[connection] = self._clock.time()

    def _close_idle(self) -> None:
        self._sweep = self._clock.call_later(self._idle_s / _SWEEPS, self._close_idle)
        since = self._clock.time() - self._idle_s
        for connection in [connection for connection, at in self._waiting.items() if at <= since]:
            connection.force_close()


async def whole_body(request: web.Request, within_s: float) -> bytes:
    """The body of a request.

    Raises: Refusal for one that is too long (413), does not arrive in time (408), or breaks the rules of its encoding
        (400); OSError when the client has left in the middle of it.
    """
    if request.content.is_eof():
        return await _read(request)
    connection = cast("_Connection", request.protocol)  # of ours there is no other kind
    connection.awaited = request.content
    try:
        async with asyncio.timeout(within_s):
            return await _read(request)
    except TimeoutError:
        raise Refusal(408, "The request body did not arrive in time") from None
    finally:
        connection.awaited = None


async def _read(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise Refusal(413, "The request body is too large", category="VALIDATION_ERROR") from None
    except web.RequestPayloadError as error:
        if request.transport is None:
            raise ConnectionResetError("the client has left") from error
        request.content.feed_eof()  # there is nothing more to wait for
        raise Refusal(400, "The request body is broken: its chunks or its compression") from None


def refused(refusal: Refusal) -> web.Response:
    """A refusal after which the connection is closed."""
    correlation_id = str(uuid.uuid4())
    response = web.Response(
        status=refusal.status,
        body=_encode(refusal.body(correlation_id)),
        headers={"Content-Type": "application/json;charset=utf-8", "X-HubSpot-Correlation-Id": correlation_id},
    )
    response.force_close()
    return response


def _first_words(message: str | None) -> str:
    """What the parser says, without the bytes it found: they may be somebody's token."""
    return (message or "").partition("\n")[0].partition(":")[0].strip() or "bad request"


def allow_open_files() -> None:
    """Raise this process's soft limit of open files to its hard one: each connection takes one."""
    if sys.platform != "win32":
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(ValueError, OSError):  # some systems have a hard limit that they do not grant
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def queue_length() -> int:
    """How many may queue to be taken: asyncio takes them all at once, before any other can be let go."""
    return min(_LONGEST_QUEUE, _open_files() // 4)


def _most_connections() -> int:
    """How many at once: never too many, and few enough that two full queues of new ones can still be taken."""
    return min(_MOST, (_open_files() - 2 * queue_length()) * 3 // 4)


def _open_files() -> int:
    """How many files this process may have open."""
    if sys.platform == "win32":
        return _MANY
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MANY if soft == resource.RLIM_INFINITY else soft
