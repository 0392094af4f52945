"""The life of a session: opened at the first request, bound to its loop and process, closed once.

This module knows loops, processes and who owns the connections. It must not know HubSpot, JSON, retries, or how a
request travels. aiohttp is imported (`transport.exchange`) when the first session opens: its import alone builds a TLS
context and costs a fifth of a second.
"""

from __future__ import annotations

import asyncio
import os
import ssl as ssl_module
import warnings
import weakref
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import ConfigurationError, ForkedClientError
from ..settings import Proxy
from ..wire import Request, Response
from .protocol import Timeouts

if TYPE_CHECKING:
    import aiohttp

    from .exchange import Exchange

    SharedSession: TypeAlias = aiohttp.ClientSession | aiohttp.BaseConnector
else:
    SharedSession = Any

__all__ = ["AiohttpTransport", "SharedSession"]


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
        self._connector = None if shared is None else _connector_of(shared)
        self._compress_requests = compress_requests
        self._exchange: Exchange | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._unclosed: weakref.finalize[..., AiohttpTransport] | None = None
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._exchange is not None else "not opened"
        return f"<AiohttpTransport to {self._base_url}, {state}>"

    def send(
        self,
        request: Request[Any],
        headers: Mapping[str, str],
        *,
        on_written: Callable[[], None],
        on_answered: Callable[[Mapping[str, str]], None],
    ) -> Coroutine[Any, Any, Response]:
        """Send once; see `Transport.send`."""
        if self._closed:
            raise ConfigurationError("this client is closed; make a new one, or keep its `async with` block open")
        exchange = self._exchange
        if exchange is None:
            exchange = self._opened()
        elif self._pid != os.getpid():
            raise ForkedClientError(
                "this client was used before this process was forked off, and its connections are the parent's; "
                "nothing was sent. Make a client in the child, or start children by multiprocessing's 'spawn'"
            )
        elif self._loop is not asyncio.get_running_loop():
            raise ConfigurationError(
                "this client belongs to the event loop it was first used on; make one for each asyncio.run()"
            )
        return exchange.send(request, headers, on_written, on_answered)

    def _opened(self) -> Exchange:
        from .exchange import Exchange

        if self._connector is not None and self._connector.closed:
            raise ConfigurationError("the session or connector given to this client is closed")
        try:
            exchange = Exchange(
                base_url=self._base_url,
                headers=self._headers,
                limits=self._timeouts,
                max_connections=self._max_connections,
                max_response_bytes=self._max_response_bytes,
                ssl=self._ssl,
                proxy=self._proxy,
                connector=self._connector,
                compress_requests=self._compress_requests,
            )
        except RuntimeError:
            raise ConfigurationError("the session or connector given to this client is another loop's") from None
        self._exchange, self._loop, self._pid = exchange, asyncio.get_running_loop(), os.getpid()
        # Not `__del__`: of garbage in a circle, aiohttp's own parts may be finalized first, with noise of theirs.
        self._unclosed = weakref.finalize(
            self, _thrown_away, exchange.session, self._connector is None, self._pid, self._base_url
        )
        return exchange

    async def aclose(self) -> None:
        """Close all connections; the transport can not be used again."""
        self._closed = True
        if self._exchange is None:
            return
        if self._unclosed is not None:
            self._unclosed.detach()
        if self._pid != os.getpid():
            _drop(self._exchange.session, own=self._connector is None, pid=self._pid)
        else:
            await self._exchange.session.close()


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
