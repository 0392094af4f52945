"""A request in, a complete answer or a `TransportFailed` out.

This module knows aiohttp, sockets and time-outs. It must not know HubSpot, JSON, retries, or what headers mean.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import ssl as ssl_module
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import cache
from typing import Any, Final

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from ..calling.alarms import Alarms
from ..errors import ConfigurationError, HubSpotError, TransportFailed
from ..settings import Proxy
from ..wire import Request, Response
from .bodies import WHOLE_BYTES, body_of
from .direct import __name__ as direct_name
from .direct import direct
from .frames import leave_out
from .protocol import Timeouts

__all__ = ["Exchange"]

_LARGE_BYTES = 2**20
_MOMENT_S = 1.0
_WORTH_PACKING_BYTES = 1024
_FAILURES: Final = (aiohttp.ClientError, aiohttp.http.HttpProcessingError, TimeoutError, OSError)


class _Departure:
    """When a request leaves: told once."""

    __slots__ = ("on_written", "sent")

    def __init__(self, on_written: Callable[[], None]) -> None:
        self.on_written: Callable[[], None] | None = on_written
        self.sent = False

    def now(self) -> None:
        """Its headers are written next."""
        self.sent = True
        if self.on_written is not None:
            self.on_written()


_departure: Final[ContextVar[_Departure]] = ContextVar("hubspot_meetings_async_departure")
"""That of the request which is sent in this context."""


class _Request(aiohttp.ClientRequest):
    """Says when it has a connection and leaves. aiohttp's tracing says it too, with fifty calls more a request."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        _departure.get().now()
        return await super().send(conn)


class Exchange:
    """Requests and answers over one session. Raises: RuntimeError for a connector of another loop."""

    def __init__(
        self,
        *,
        base_url: str,
        headers: Mapping[str, str],
        limits: Timeouts,
        max_connections: int,
        max_response_bytes: int,
        ssl: ssl_module.SSLContext | None,
        proxy: Proxy | None,
        connector: aiohttp.BaseConnector | None,
        compress_requests: bool,
    ) -> None:
        self._base_url = base_url
        self._max_response_bytes = max_response_bytes
        self._proxy = proxy
        # The proxy of a plain http:// address gets its headers with each request, others with the CONNECT.
        self._through = proxy.headers if proxy is not None and base_url[:5].lower() == "http:" else None
        self._compress_requests = compress_requests
        self._loop = asyncio.get_running_loop()
        self._alarms = Alarms(self._loop, limits.attempt_s, moment_s=_MOMENT_S)
        timeout = aiohttp.ClientTimeout(
            # The whole attempt is the alarms'. A silence as long as that needs no timer of its own at every read.
            total=None,
            connect=limits.connect_s,
            sock_connect=limits.connect_s,
            sock_read=limits.read_s if limits.read_s < limits.attempt_s else None,
        )
        self.session = aiohttp.ClientSession(
            connector=connector
            if connector is not None
            else aiohttp.TCPConnector(
                limit=max_connections,
                # Below what servers and load balancers keep, so that few requests meet a connection that just closed.
                keepalive_timeout=15.0,
                ttl_dns_cache=300,
                ssl=ssl if ssl is not None else True,
            ),
            connector_owner=connector is None,
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            # Bodies are decompressed by us: aiohttp returns a gzip body that was cut midway without an error.
            auto_decompress=False,
            timeout=timeout,
            read_bufsize=WHOLE_BYTES,
            trust_env=False,
            request_class=_Request,
        )
        # aiohttp sends GET, PUT and DELETE again by itself when a pooled connection turns out dead: one slot of quota
        # taken, two requests counted. Its own test client switches that off the same way; there is no public switch.
        self.session._retry_connection = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        self._direct = None if proxy is not None else direct(self.session, base_url, limits=timeout)
        _keep_large_blocks()

    async def send(
        self,
        request: Request[Any],
        headers: Mapping[str, str],
        on_written: Callable[[], None],
        on_answered: Callable[[Mapping[str, str]], None],
    ) -> Response:
        """Send once; see `Transport.send`."""
        size = len(request.body or b"")
        packed = self._compress_requests and size >= _WORTH_PACKING_BYTES
        departure = _Departure(on_written)
        alarm = self._alarms.set(self._loop.time())
        try:
            if self._direct is not None and not packed and size <= _LARGE_BYTES:
                cap = self._max_response_bytes
                answer = await self._direct.send(request, headers, cap, departure, on_answered)
                if answer is not None:
                    return answer
            _departure.set(departure)
            return await self._by_session(request, headers, on_answered, packed=packed)
        except _FAILURES as error:
            failure = _failure(error, sent=departure.sent, host=self._base_url, proxy=self._proxy)
        except BaseException as error:
            if not alarm.is_over(error):
                leave_out(error, "aiohttp", "aiosignal", direct_name)
                raise
            failure = _failure(TimeoutError(), sent=departure.sent, host=self._base_url)
        finally:
            alarm.end()
            # A connection remembers the context it was made in as long as it lives, and would keep the caller.
            departure.on_written = None
        # Outside the handler: aiohttp's exceptions hold the request with its token, and must not stay chained to ours.
        raise failure

    async def _by_session(
        self,
        request: Request[Any],
        headers: Mapping[str, str],
        on_answered: Callable[[Mapping[str, str]], None],
        *,
        packed: bool,
    ) -> Response:
        if self.session.closed:
            raise ConfigurationError("the session or connector given to this client is closed")
        target = self._base_url + request.path
        proxy = self._proxy
        async with self.session.request(
            request.method,
            URL(f"{target}?{request.query}" if request.query else target, encoded=True),
            # Both made here and not kept in variables, which a traceback would show.
            data=_payload(request.body, packed=packed),
            headers=_plain(headers, self._through, packed=packed),
            allow_redirects=False,
            proxy=proxy.url if proxy is not None else None,
            proxy_headers=proxy.headers() if proxy is not None else None,
        ) as answer:
            on_answered(answer.headers)
            try:
                body = await body_of(answer.status, answer.headers, answer.content, self._max_response_bytes)
            except BaseException:
                answer.close()
                raise
            return Response(answer.status, answer.headers, body)


@cache
def _keep_large_blocks() -> None:
    # As long as glibc has never seen a larger block freed, it maps and unmaps memory for each of the 256 KiB that
    # asyncio reads into, and the pages are new each time: as dear as the rest of an exchange. Now it keeps them.
    bytes(_LARGE_BYTES)


def _payload(body: bytes | None, *, packed: bool) -> bytes | io.BytesIO | None:
    if packed and body is not None:
        # The lightest level: JSON shrinks to a fraction with it, and the loop stands still meanwhile.
        body = gzip.compress(body, compresslevel=1, mtime=0)
    # aiohttp writes large bytes in one go, and warns that this blocks the loop; a stream it writes piece by piece.
    return io.BytesIO(body) if body is not None and len(body) > _LARGE_BYTES else body


def _plain(
    headers: Mapping[str, str], through: Callable[[], Mapping[str, str]] | None, *, packed: bool
) -> CIMultiDict[str]:
    # What aiohttp would make of a mapping, with fewer steps.
    plain: CIMultiDict[str] = CIMultiDict()
    for name in headers:
        plain[name] = headers[name]
    if packed:
        plain["Content-Encoding"] = "gzip"
    if through is not None:
        plain.update(through())
    return plain


def _failure(error: Exception, *, sent: bool, host: str, proxy: Proxy | None = None) -> HubSpotError:
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
        case aiohttp.http.HttpProcessingError(message=message):
            return TransportFailed(f"the answer of {host} is no HTTP: {message!r}", sent=sent)
        case aiohttp.InvalidURL():
            return ConfigurationError(f"base_url makes no valid URL: {host!r}")
        case _:
            return TransportFailed(f"the connection to {host} broke: {type(error).__name__}: {error}", sent=sent)
