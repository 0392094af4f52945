"""A plain request and its answer straight over a connection of aiohttp's pool, in half the steps of aiohttp's own way.

This module knows how a request looks in bytes, which parts of aiohttp carry it (connector, connection, parser), and
which requests and which aiohttp are not that plain. It must not know HubSpot, retries, or what a failure means.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import chain
from types import FunctionType
from typing import Any, Final, Protocol

import aiohttp
from aiohttp import client, client_proto, connector
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from ..wire import Request, Response
from .bodies import WHOLE_BYTES, body_of

__all__ = ["Direct", "Leaving", "direct"]

_LENGTH_ALWAYS: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_TYPE_ALWAYS: Final = frozenset({"POST", "PUT", "PATCH"})
_METHODS: Final = _LENGTH_ALWAYS | {"GET"}
_NAMES: Final = ("Authorization", "Content-Type")
"""Headers of single requests; one with others goes the long way."""
_TRIES: Final = 10
_USED: Final = (
    (aiohttp.ClientRequest, "__init__", {"method", "url", "headers", "loop", "session"}),
    (connector.BaseConnector, "connect", {"self", "req", "traces", "timeout"}),
    (connector.Connection, "release", {"self"}),
    (connector.Connection, "close", {"self"}),
    (
        client_proto.ResponseHandler,
        "set_response_params",
        {"read_until_eof", "auto_decompress", "read_timeout", "read_bufsize"},
    ),
    (client_proto.ResponseHandler, "read", {"self"}),
    (client_proto.ResponseHandler, "start_timeout", {"self"}),
    (aiohttp.StreamReader, "wait_eof", {"self"}),
    (aiohttp.StreamReader, "read_nowait", {"self"}),
)
"""What is used of aiohttp, with the arguments."""


class Leaving(Protocol):
    """Wants to know when a request leaves."""

    def now(self) -> None:
        """Its first byte is written next."""


class _Destination(aiohttp.ClientRequest):
    """What a connector asks of a request: where it goes. The same for all."""

    _key: ConnectionKey | None = None

    @property
    def connection_key(self) -> ConnectionKey:
        if self._key is None:
            self._key = super().connection_key
        return self._key


def direct(session: aiohttp.ClientSession, base_url: str, *, limits: aiohttp.ClientTimeout) -> Direct | None:
    """The short way for requests of `session`, all to `base_url`. None: this aiohttp, this connector or this address
    is not what it is made for, or somebody watches what the session does."""
    if not _known() or not _own(_ways()) or session.trace_configs or getattr(session, "_middlewares", None):
        return None
    through = session.connector
    if through is None or through.force_close or type(through).connect is not aiohttp.BaseConnector.connect:
        return None
    try:
        url = URL(base_url, encoded=True)
        if url.scheme not in ("http", "https") or url.raw_query_string or url.raw_fragment:
            return None
        destination = _Destination(
            "GET", url, headers=session.headers, loop=asyncio.get_running_loop(), session=session
        )
    except ValueError:
        return None
    standing = destination.headers
    # Such as name:password@ in the address makes.
    if any(name in standing for name in _NAMES) or not all(map(_is_plain, chain(standing.keys(), standing.values()))):
        return None
    return Direct(destination, through, limits)


def _ways() -> tuple[object, object]:
    """How requests travel else. Who records or fakes them (vcrpy, aioresponses, a patch in a test) puts a function of
    his own here, and is to see ours as well."""
    session = aiohttp.ClientSession
    return session.request, session._request  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _own(functions: tuple[object, ...]) -> bool:
    # By their globals: names are copied by functools.wraps.
    return all(isinstance(each, FunctionType) and each.__globals__ is client.__dict__ for each in functions)


def _known() -> bool:
    if not aiohttp.__version__.startswith("3."):
        return False
    return all(arguments <= _parameters(getattr(owner, name, None)) for owner, name, arguments in _USED)


@lru_cache(64)
def _parameters(function: Callable[..., object] | None) -> frozenset[str]:
    return frozenset() if function is None else frozenset(inspect.signature(function).parameters)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _is_spoilt(connection: connector.Connection) -> bool:
    """Whether something came over it while it waited in the pool: aiohttp would take it for the next answer."""
    return connection.protocol is None or connection.protocol.should_close


class Direct:
    """Sends plain requests: bytes of a moderate size, to one address, with no header that asks for more."""

    def __init__(
        self, destination: aiohttp.ClientRequest, through: aiohttp.BaseConnector, limits: aiohttp.ClientTimeout
    ) -> None:
        self._destination = destination
        self._connector = through
        self._limits = limits
        self._ways = _ways()
        self._prefix = destination.url.raw_path.rstrip("/")
        # As aiohttp has made them of the session's headers: with Host, and with those that it adds.
        lines = [f"{name}: {value}\r\n" for name, value in destination.headers.items()]
        self._standing = f" HTTP/1.1\r\n{''.join(lines)}"

    async def send(
        self,
        request: Request[Any],
        headers: Mapping[str, str],
        cap: int,
        leaving: Leaving,
        on_answered: Callable[[Mapping[str, str]], None],
    ) -> Response | None:
        """Send once. None: it is not that plain, and nothing was sent. Raises: what aiohttp raises, and what `body_of`
        does; the connection is closed then."""
        head = self._head(request, headers)
        if head is None or self._connector.closed or _ways() != self._ways:
            return None
        limits = self._limits
        connection = await self._connector.connect(self._destination, [], limits)
        if _is_spoilt(connection):
            connection = await self._another_than(connection)
        try:
            protocol, transport = connection.protocol, connection.transport
            if protocol is None or transport is None:
                raise aiohttp.ServerDisconnectedError
            protocol.set_response_params(
                read_until_eof=True,
                # See the session.
                auto_decompress=False,
                read_timeout=limits.sock_read,
                read_bufsize=WHOLE_BYTES,
            )
            body = request.body
            leaving.now()
            transport.write(head if not body else b"".join((head, body)))
            if not protocol.writing_paused:
                # Else silence means that the request is still on its way; `attempt_s` bounds that.
                protocol.start_timeout()
            message, content = await protocol.read()
            while message.code < 200 and message.code != 101:
                message, content = await protocol.read()
            on_answered(message.headers)
            answer = Response(message.code, message.headers, await body_of(message.code, message.headers, content, cap))
            if transport.get_write_buffer_size():
                # This answers a request that has not left as a whole: the rest would stand before the next one.
                connection.close()
        except BaseException:
            connection.close()
            raise
        connection.release()
        return answer

    async def _another_than(self, connection: connector.Connection) -> connector.Connection:
        for _ in range(_TRIES):
            connection.close()
            connection = await self._connector.connect(self._destination, [], self._limits)
            if not _is_spoilt(connection):
                return connection
        connection.close()
        raise aiohttp.ClientConnectionError("it answers before it is asked")

    def _head(self, request: Request[Any], headers: Mapping[str, str]) -> bytes | None:
        """The request up to its body; None if anything about it is unusual."""
        method, body = request.method, request.body
        target = f"{self._prefix}{request.path}?{request.query}" if request.query else self._prefix + request.path
        # No space, and no fragment, which would not be sent.
        if not _is_plain(target) or " " in target or "#" in target:
            return None
        if method not in _METHODS:
            return None
        lines, typed = "", False
        for name in headers:
            if name == "Content-Type":
                typed = True
            elif name not in _NAMES:
                return None
            value = headers[name]
            if not _is_plain(value):
                return None
            lines += f"{name}: {value}\r\n"
        # What aiohttp adds, in its order.
        if body is not None or method in _LENGTH_ALWAYS:
            lines += f"Content-Length: {len(body or b'')}\r\n"
        if not typed and (body is not None or method in _TYPE_ALWAYS):
            lines += "Content-Type: application/octet-stream\r\n"
        return f"{method} {target}{self._standing}{lines}\r\n".encode()
