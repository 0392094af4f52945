"""One aiohttp session: a request in, a complete answer or a `TransportFailed` out.

This module knows aiohttp, sockets and time-outs. It must not know HubSpot, JSON, retries, or what headers mean.
aiohttp is imported when the first session opens: its import alone builds a TLS context and costs a fifth of a second.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import ssl as ssl_module
import warnings
import weakref
import zlib
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from msgspec import Struct

from .errors import (
    ConfigurationError,
    ForkedClientError,
    HubSpotError,
    TransportFailed,
    UnexpectedResponse,
    printable,
)
from .settings import Proxy
from .wire import Request, Response

if TYPE_CHECKING:
    import aiohttp

    SharedSession: TypeAlias = aiohttp.ClientSession | aiohttp.BaseConnector
else:
    SharedSession = Any

__all__ = ["AiohttpTransport", "SharedSession", "Timeouts", "Transport"]


_LARGE_BYTES = 2**20
_WORTH_PACKING_BYTES = 1024
_STOOD_STILL_S = 0.1
"""A timer that is late by more says that the loop stood still."""
_MOMENT_S = 1.0


class Timeouts(Struct, frozen=True, kw_only=True):
    """Time limits, all in seconds.

    `call_s` bounds a whole interactive call: waiting for quota, all attempts and the pauses between them (None = no
    bound; bulk runs have none). `attempt_s` bounds one attempt from the first byte to the last; HubSpot's own edge
    gives up after 100 s. `connect_s` bounds getting a connection, TLS included; `read_s` the silence between two reads.
    """

    call_s: float | None = 120.0
    attempt_s: float = 60.0
    connect_s: float = 10.0
    read_s: float = 60.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is None and name == "call_s":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
                raise ConfigurationError(f"Timeouts: {name} must be a number of seconds above 0, not {value!r}")


class Transport(Protocol):
    """What the caller room needs of a transport."""

    async def send(
        self,
        request: Request[Any],
        headers: Mapping[str, str],
        *,
        on_written: Callable[[], None],
        on_answered: Callable[[Mapping[str, str]], None],
    ) -> Response:
        """Send once. `on_written` runs when the request's headers have left, `on_answered` when the answer's
        headers are here; both at once, in the loop. Raises TransportFailed or UnexpectedResponse."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


class AiohttpTransport:
    """A `Transport` on one `aiohttp.ClientSession`, opened at the first request and bound to its event loop.

    Never follows redirects, keeps no cookies, reads no proxy settings from the environment, and never sends a request
    a second time by itself. Of a `shared` session or connector it uses the connections (pool, TLS, name resolution) and
    nothing else, so that all this holds there too; and it never closes them.

    In a child process that was forked after the first request it sends nothing (ForkedClientError).
    """

    def __init__(
        self,
        *,
        base_url: str,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        max_connections: int,
        max_response_bytes: int,
        ssl: ssl_module.SSLContext | None = None,
        proxy: Proxy | None = None,
        shared: SharedSession | None = None,
        compress_responses: bool = True,
        compress_requests: bool = False,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        coding = "gzip" if compress_responses else "identity"
        self._headers = {"Accept": "application/json", "Accept-Encoding": coding, **headers}
        self._timeouts = timeouts
        self._max_connections = max_connections
        self._max_response_bytes = max_response_bytes
        self._ssl = ssl
        self._proxy = proxy
        # The proxy of a plain http:// address gets its headers with each request, others with the CONNECT.
        self._through = proxy.headers if proxy is not None and self._base_url[:5].lower() == "http:" else dict[str, str]
        self._connector = None if shared is None else _connector_of(shared)
        self._compress_requests = compress_requests
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._unclosed: weakref.finalize[..., AiohttpTransport] | None = None
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._session is not None else "not opened"
        return f"<AiohttpTransport to {self._base_url}, {state}>"

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        written = aiohttp.TraceConfig()
        written.on_request_headers_sent.append(_headers_sent)
        limits = self._timeouts
        connector = self._connector
        if connector is not None and connector.closed:
            raise ConfigurationError("the session or connector given to this client is closed")
        session = aiohttp.ClientSession(
            connector=connector
            if connector is not None
            else aiohttp.TCPConnector(
                limit=self._max_connections,
                # Below what servers and load balancers keep, so that few requests meet a connection that just closed.
                keepalive_timeout=15.0,
                ttl_dns_cache=300,
                ssl=self._ssl if self._ssl is not None else True,
            ),
            connector_owner=connector is None,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            # Bodies are decompressed here: aiohttp returns a gzip body that was cut midway without an error.
            auto_decompress=False,
            # The total is `_Within`.
            timeout=aiohttp.ClientTimeout(
                total=None, connect=limits.connect_s, sock_connect=limits.connect_s, sock_read=limits.read_s
            ),
            trust_env=False,
            trace_configs=[written],
        )
        # aiohttp sends GET, PUT and DELETE again by itself when a pooled connection turns out dead: one slot of quota
        # taken, two requests counted. Its own test client switches that off the same way; there is no public switch.
        session._retry_connection = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        return session

    async def send(
        self,
        request: Request[Any],
        headers: Mapping[str, str],
        *,
        on_written: Callable[[], None],
        on_answered: Callable[[Mapping[str, str]], None],
    ) -> Response:
        """Send once; see `Transport.send`."""
        if self._closed:
            raise ConfigurationError("this client is closed; make a new one, or keep its `async with` block open")
        loop = asyncio.get_running_loop()
        if self._session is None:
            try:
                session = self._session = self._open()
            except RuntimeError:
                raise ConfigurationError("the session or connector given to this client is another loop's") from None
            self._loop, self._pid = loop, os.getpid()
            # Not `__del__`: of garbage in a circle, aiohttp's own parts may be finalized first, with noise of theirs.
            self._unclosed = weakref.finalize(
                self, _thrown_away, session, self._connector is None, self._pid, self._base_url
            )
        elif self._pid != os.getpid():
            raise ForkedClientError(
                "this client was used before this process was forked off, and its connections are the parent's; "
                "nothing was sent. Make a client in the child, or start children by multiprocessing's 'spawn'"
            )
        elif self._loop is not loop:
            raise ConfigurationError(
                "this client belongs to the event loop it was first used on; make one for each asyncio.run()"
            )
        import aiohttp
        from yarl import URL

        sent = False

        def note_written() -> None:
            nonlocal sent
            sent = True
            on_written()

        target = self._base_url + request.path
        proxy = self._proxy
        coding = self._coding(request.body)
        try:
            async with (
                _Within(self._timeouts.attempt_s),
                self._session.request(
                    request.method,
                    URL(f"{target}?{request.query}" if request.query else target, encoded=True),
                    # Both made here and not kept in variables, which a traceback would show.
                    data=_payload(request.body, packed=bool(coding)),
                    headers={**headers, **coding, **self._through()} if coding or proxy is not None else headers,
                    allow_redirects=False,
                    proxy=proxy.url if proxy is not None else None,
                    proxy_headers=proxy.headers() if proxy is not None else None,
                    trace_request_ctx=note_written,
                ) as answer,
            ):
                on_answered(answer.headers)
                return Response(answer.status, answer.headers, await self._body(answer))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            failure = _failure(error, sent=sent, host=self._base_url, proxy=proxy)
        except BaseException as error:
            _leave_out_aiohttp(error)
            raise
        # Outside the handler: aiohttp's exceptions hold the request with its token, and must not stay chained to ours.
        raise failure

    def _coding(self, body: bytes | None) -> dict[str, str]:
        if not self._compress_requests or body is None or len(body) < _WORTH_PACKING_BYTES:
            return {}
        return {"Content-Encoding": "gzip"}

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        cap = self._max_response_bytes
        coding = answer.headers.get("Content-Encoding", "identity").lower()
        if coding not in ("identity", "gzip"):
            answer.close()
            raise UnexpectedResponse(
                f"the answer is {printable(coding)}-encoded, which was not asked for", status=answer.status
            )
        inflate = zlib.decompressobj(wbits=31) if coding == "gzip" else None
        parts: list[bytes] = []
        received = size = 0
        try:
            async for chunk in answer.content.iter_any():
                received += len(chunk)
                part = chunk if inflate is None else inflate.decompress(chunk, cap + 1 - size)
                size += len(part)
                if inflate is not None and inflate.unused_data:
                    # Whatever comes behind the end is kept by zlib without a bound, and would be lost on the reader.
                    answer.close()
                    raise UnexpectedResponse("the gzip answer goes on behind its end", status=answer.status)
                if size > cap:
                    answer.close()
                    raise UnexpectedResponse(
                        f"the answer is larger than {cap:,} bytes; it was cut off", status=answer.status
                    )
                parts.append(part)
        except zlib.error:
            answer.close()
            raise UnexpectedResponse("the answer says gzip, and is not", status=answer.status) from None
        if inflate is not None and received and not inflate.eof:
            raise UnexpectedResponse("the gzip answer ends midway", status=answer.status)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def aclose(self) -> None:
        """Close all connections; the transport can not be used again."""
        self._closed = True
        if self._session is None:
            return
        if self._unclosed is not None:
            self._unclosed.detach()
        if self._pid != os.getpid():
            _drop(self._session, own=self._connector is None, pid=self._pid)
        else:
            await self._session.close()


class _Within:
    """`async with`: raises TimeoutError after so many seconds.

    When the loop itself stood still meanwhile (code that blocks, a stopped process), the answer may lie in the socket:
    it gets a moment to be read before it is called lost.
    """

    __slots__ = ("_due_at", "_limit", "_loop", "_seconds", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __aenter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(None)
        await self._limit.__aenter__()
        self._due_at = self._loop.time() + self._seconds
        self._timer = self._loop.call_at(self._due_at, self._due)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._limit.__aexit__(kind, error, trace)

    def _due(self) -> None:
        now = self._loop.time()
        self._limit.reschedule(now + _MOMENT_S if now - self._due_at > _STOOD_STILL_S else now)


def _thrown_away(session: aiohttp.ClientSession, own: bool, pid: int, base_url: str) -> None:
    """A transport was collected, or the program ends, and `aclose()` was never called."""
    if pid == os.getpid():
        warnings.warn(
            f"a client of {base_url} was thrown away with its connections open; use it by `async with`, or call "
            "`await client.aclose()`",
            ResourceWarning,
            stacklevel=3,
            source=session,
        )
    _drop(session, own=own, pid=pid)


def _drop(session: aiohttp.ClientSession, *, own: bool, pid: int) -> None:
    """Let go of the connections, without a loop to wait in."""
    connector = session.connector
    session.detach()
    if connector is None or not own:
        return
    if pid == os.getpid():
        connector._close()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    else:
        # Nobody closes them here: that would take them from the parent's loop, whose epoll the child shares.
        connector._closed = True  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _payload(body: bytes | None, *, packed: bool) -> bytes | io.BytesIO | None:
    if packed and body is not None:
        # The lightest level: JSON shrinks to a fraction with it, and the loop stands still meanwhile.
        body = gzip.compress(body, compresslevel=1, mtime=0)
    # aiohttp writes large bytes in one go, and warns that this blocks the loop; a stream it writes piece by piece.
    return io.BytesIO(body) if body is not None and len(body) > _LARGE_BYTES else body


async def _headers_sent(_session: object, context: SimpleNamespace, params: object) -> None:
    del params  # they hold the token, and a traceback would show them
    context.trace_request_ctx()


def _leave_out_aiohttp(error: BaseException) -> None:
    """Take aiohttp's frames out of the tracebacks of a cancellation or a bug: their local variables hold the token."""
    seen: set[int] = set()
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        links += [link.__cause__, link.__context__]
        kept: TracebackType | None = None
        for step in reversed(list(_steps(link.__traceback__))):
            if step.tb_frame.f_globals.get("__name__", "").split(".")[0] not in ("aiohttp", "aiosignal"):
                kept = TracebackType(kept, step.tb_frame, step.tb_lasti, step.tb_lineno)
        link.__traceback__ = kept


def _steps(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _connector_of(shared: SharedSession) -> aiohttp.BaseConnector:
    import aiohttp

    connector = shared.connector if isinstance(shared, aiohttp.ClientSession) else shared
    if not isinstance(connector, aiohttp.BaseConnector):
        raise ConfigurationError("session takes an open aiohttp.ClientSession or a connector, for example TCPConnector")
    if connector.closed:
        raise ConfigurationError("the session or connector given to this client is closed")
    # There is no public way to ask. A fingerprint is a check of its own.
    tls: object = getattr(connector, "_ssl", True)
    if tls is False or (isinstance(tls, ssl_module.SSLContext) and tls.verify_mode is not ssl_module.CERT_REQUIRED):
        raise ConfigurationError("session: this connector does not check certificates; make it without ssl=False")
    return connector


def _failure(error: Exception, *, sent: bool, host: str, proxy: Proxy | None = None) -> HubSpotError:
    import aiohttp

    through = "" if proxy is None else proxy.url
    match error:
        case aiohttp.ClientProxyConnectionError():
            return TransportFailed(
                f"the proxy {through} can not be reached: {error.os_error}. Check proxy=.", sent=sent
            )
        case aiohttp.ClientHttpProxyError(status=status):
            advice = " It wants a name and password, or others; see proxy=." if status == 407 else ""
            return TransportFailed(
                f"the proxy {through} opens no way to {host}: it answered {status}.{advice}",
                sent=False,
                fatal=status in (400, 403, 405, 407),
            )
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return TransportFailed(
                f"no trusted TLS connection to {host}: {error}. "
                "Check base_url, the machine's clock and its CA certificates.",
                sent=False,
                fatal=True,
            )
        case aiohttp.ClientConnectorError():
            return TransportFailed(f"{host} can not be reached: {error}. Check base_url and the network.", sent=sent)
        case TimeoutError():
            stage = "no answer in time" if sent else "no connection in time"
            return TransportFailed(f"{stage} from {host}", sent=sent, timeout=True)
        case aiohttp.ServerDisconnectedError():
            # aiohttp puts what it had read of the answer into the words of this one.
            return TransportFailed(f"{host} closed the connection before its answer was whole", sent=sent)
        case aiohttp.InvalidURL():
            return ConfigurationError(f"base_url makes no valid URL: {host!r}")
        case _:
            return TransportFailed(f"the connection to {host} broke: {type(error).__name__}: {error}", sent=sent)
