"""The short way of plain requests: the same bytes as aiohttp's own way, and that way for everything else."""

from __future__ import annotations

import asyncio
import functools
import gzip
import socket
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from unittest.mock import patch

import aiohttp
import pytest
from yarl import URL

from hubspot_meetings_async.errors import ConfigurationError, TransportFailed, UnexpectedResponse
from hubspot_meetings_async.secret import Secret
from hubspot_meetings_async.settings import Proxy
from hubspot_meetings_async.transport import AiohttpTransport, Timeouts, exchange
from hubspot_meetings_async.transport.bodies import body_of
from hubspot_meetings_async.transport.direct import Direct, direct
from hubspot_meetings_async.wire import Request, Response

from .raw_server import Connection, listening

TOKEN = "pat-na1-c4n4ry"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
TYPED = BEARER | {"Content-Type": "application/json"}
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n" + b'{"n":1}'


async def serve_ok(connection: Connection) -> None:
    while True:
        await connection.request()
        await connection.send(OK)


def transport(base_url: str, **options: Any) -> AiohttpTransport:
    settings: dict[str, Any] = {
        "headers": {"User-Agent": "tests/1", "X-Team": "a"},
        "timeouts": Timeouts(attempt_s=20.0, connect_s=5.0, read_s=20.0),
        "max_connections": 4,
        "max_response_bytes": 2**20,
    }
    return AiohttpTransport(base_url=base_url, **(settings | options))


async def send(over: AiohttpTransport, request: Request[Any], headers: Mapping[str, str] = BEARER) -> Response:
    return await over.send(request, headers, on_written=lambda: None, on_answered=lambda headers: None)


class Hidden(dict[str, str]):
    """Headers as the caller room gives them: without a token in their repr."""

    def __repr__(self) -> str:
        return "<headers>"


class Watch:
    """Which way requests went."""

    def __init__(self) -> None:
        self.ways: list[str] = []


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Notes for each request whether it went directly, or by the session."""
    noted = Watch()
    original = Direct.send

    async def noting(self: Direct, *args: Any) -> Response | None:
        answer = await original(self, *args)
        noted.ways.append("directly" if answer is not None else "by session")
        return answer

    monkeypatch.setattr(Direct, "send", noting)
    return noted


@pytest.fixture
async def opened() -> AsyncIterator[Callable[..., AiohttpTransport]]:
    """Makes transports, and closes them when the test is over."""
    made: list[AiohttpTransport] = []

    def make(base_url: str, **options: Any) -> AiohttpTransport:
        made.append(transport(base_url, **options))
        return made[-1]

    yield make
    for one in made:
        await one.aclose()


Opened = Callable[..., AiohttpTransport]

REQUESTS: dict[str, tuple[Request[Any], Mapping[str, str]]] = {
    "get": (Request(method="GET", path="/m/1"), BEARER),
    "list": (Request(method="GET", path="/m", query="limit=100&properties=a,b%2Cc&after=x%3D%3D"), BEARER),
    "encoded": (Request(method="GET", path="/m/..%2F%C3%A9%3Fx%23f/%252e", query="q=%25'(*)"), BEARER),
    "dots": (Request(method="GET", path="/m/./a/../b"), BEARER),
    "create": (Request(method="POST", path="/m", body=b'{"a":1}'), TYPED),
    "batch": (Request(method="POST", path="/m/batch/create", body=b"x" * 80_000), TYPED),
    "empty": (Request(method="POST", path="/m", body=b""), TYPED),
    "no type": (Request(method="POST", path="/m", body=b"{}"), BEARER),
    "no body": (Request(method="POST", path="/m"), BEARER),
    "patch": (Request(method="PATCH", path="/m/1", body=b"{}"), TYPED),
    "put": (Request(method="PUT", path="/m/1/associations/2"), BEARER),
    "delete": (Request(method="DELETE", path="/m/1"), BEARER),
    "no token": (Request(method="POST", path="/oauth/v1/token", body=b"a=1"), {"Content-Type": "x/y"}),
    "no headers": (Request(method="GET", path="/m"), {}),
    "body of a get": (Request(method="GET", path="/m", body=b"{}"), TYPED),
}


def printed(error: BaseException) -> str:
    """An error with the local variables of its frames."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


class TestBytes:
    @pytest.mark.parametrize("prefix", ["", "/hub/v1"])
    async def test_the_same_both_ways(
        self, opened: Opened, watch: Watch, monkeypatch: pytest.MonkeyPatch, prefix: str
    ) -> None:
        """Every request is, byte for byte, the one that aiohttp would have made: line, headers, their order, body."""
        async with listening(serve_ok) as server:
            for request, headers in REQUESTS.values():
                await send(opened(server.url + prefix), request, headers)
            assert watch.ways == ["directly"] * len(REQUESTS)
            monkeypatch.setattr(exchange, "direct", lambda *args, **kwargs: None)
            for request, headers in REQUESTS.values():
                await send(opened(server.url + prefix), request, headers)
        assert watch.ways == ["directly"] * len(REQUESTS)
        ways = server.requests[: len(REQUESTS)], server.requests[len(REQUESTS) :]
        for name, short, long in zip(REQUESTS, *ways, strict=True):
            assert short == long, name

    @pytest.mark.parametrize(
        ("request_", "headers"),
        [
            (Request(method="GET", path="/a b"), BEARER),
            (Request(method="GET", path="/é"), BEARER),
            (Request(method="GET", path="/m#x"), BEARER),
            (Request(method="OPTIONS", path="/m"), BEARER),
            (Request(method="GET", path="/m"), BEARER | {"X-Other": "1"}),
            (Request(method="GET", path="/m"), {"authorization": "Bearer other"}),
            (Request(method="GET", path="/m"), {"Authorization": "Bearer é"}),
        ],
        ids=[
            "space",
            "non-ASCII path",
            "fragment",
            "method",
            "another header",
            "a name in other case",
            "non-ASCII token",
        ],
    )
    async def test_unusual_ones_go_the_long_way(
        self, opened: Opened, watch: Watch, request_: Request[Any], headers: Mapping[str, str]
    ) -> None:
        """What is not plain is left to aiohttp, and arrives."""
        async with listening(serve_ok) as server:
            assert (await send(opened(server.url), request_, headers)).status == 200
        assert watch.ways == ["by session"]
        assert len(server.requests) == 1

    @pytest.mark.parametrize("breaking", ["Bearer a\r\nX-Evil: 1", "Bearer a\nX: 1", "Bearer a\x00"])
    async def test_nothing_ends_its_line(self, opened: Opened, breaking: str) -> None:
        """A header that would end its line is refused as by aiohttp; nothing arrives, and nobody is told it."""
        async with listening(serve_ok) as server:
            with pytest.raises(ValueError, match="control character") as caught:
                await send(opened(server.url), Request(method="GET", path="/m"), Hidden(Authorization=breaking))
        assert server.requests == []
        assert caught.value.__traceback__ is not None
        below = caught.value.__traceback__.tb_next  # this frame knows it
        assert "Bearer a" not in printed(caught.value.with_traceback(below))

    async def test_packed_and_large_bodies(self, opened: Opened, watch: Watch) -> None:
        """Bodies to be compressed, and those of megabytes, are aiohttp's business."""
        async with listening(serve_ok) as server:
            packing = opened(server.url, compress_requests=True)
            await send(packing, Request(method="POST", path="/m", body=b"x" * 5_000), TYPED)
            await send(packing, Request(method="POST", path="/m", body=b"x" * 3_000_000), TYPED)
        assert watch.ways == []
        assert b"\r\nContent-Encoding: gzip\r\n" in server.requests[0]


class TestWhenItIsTaken:
    async def test_usually(self) -> None:
        """With the aiohttp that is installed. If this fails after an update: look at what `direct` uses of it."""
        async with aiohttp.ClientSession() as session:
            assert direct(session, "https://api.hubapi.com", limits=aiohttp.ClientTimeout()) is not None

    @pytest.mark.parametrize(
        "base_url",
        ["ftp://host", "https://", "https://me:secret@host", "https://:secret@host", "https://host?a=1", "host"],
    )
    async def test_odd_addresses(self, base_url: str) -> None:
        """An address that is more than scheme, host and path is aiohttp's to judge."""
        async with aiohttp.ClientSession() as session:
            assert direct(session, base_url, limits=aiohttp.ClientTimeout()) is None

    @pytest.mark.parametrize(
        "breaking", [{"X-A": "1\r\nX-Evil: 1"}, {"X-A\r\nX-Evil": "1"}, {"authorization": "Basic x"}]
    )
    async def test_odd_headers_of_the_session(self, breaking: dict[str, str]) -> None:
        """Nor do headers of all requests end their line, or come twice."""
        async with aiohttp.ClientSession(headers=breaking) as session:
            assert direct(session, "https://host", limits=aiohttp.ClientTimeout()) is None

    async def test_a_connector_that_keeps_no_connection(self) -> None:
        """What aiohttp adds for one is left to it."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            assert direct(session, "https://host", limits=aiohttp.ClientTimeout()) is None

    async def test_another_aiohttp(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another major version, or one whose parts have changed, is used the ordinary way."""
        async with aiohttp.ClientSession() as session:
            for owner, name, value in (
                (aiohttp, "__version__", "4.0.0"),
                (aiohttp.BaseConnector, "connect", lambda self, request: None),
                (aiohttp.client_proto.ResponseHandler, "set_response_params", lambda self, **more: None),
                (aiohttp.StreamReader, "wait_eof", None),
            ):
                with monkeypatch.context() as patched:
                    patched.setattr(owner, name, value)
                    assert direct(session, "https://host", limits=aiohttp.ClientTimeout()) is None

    async def test_a_connector_with_a_connect_of_its_own(self, opened: Opened, watch: Watch) -> None:
        """Of a shared connector that does something else to connect, that is used."""
        asked: list[URL] = []

        class Own(aiohttp.TCPConnector):
            async def connect(self, req: aiohttp.ClientRequest, *args: Any, **kwargs: Any) -> Any:
                asked.append(req.url)
                return await super().connect(req, *args, **kwargs)

        async with listening(serve_ok) as server, Own() as shared:
            await send(opened(server.url, shared=shared), Request(method="GET", path="/m"))
        assert (watch.ways, len(asked)) == ([], 1)

    async def test_a_shared_connector(self, opened: Opened, watch: Watch) -> None:
        """Its pool serves both, one after the other, each with what it wants of the parser."""
        async with listening(serve_ok) as server, aiohttp.ClientSession() as shared:
            over = opened(server.url, shared=shared)
            for _ in range(2):
                assert (await send(over, Request(method="GET", path="/m"))).status == 200
                async with shared.get(server.url) as answer:
                    assert await answer.json() == {"n": 1}
        assert (watch.ways, server.connections) == (["directly"] * 2, 1)

    async def test_a_proxy(self, opened: Opened, watch: Watch) -> None:
        """Whatever goes through a proxy goes by the session."""
        async with listening(serve_ok) as server:
            over = opened("http://hubspot.invalid", proxy=Proxy(server.url, {}))
            await send(over, Request(method="GET", path="/m"))
        assert server.requests[0].startswith(b"GET http://hubspot.invalid/m HTTP/1.1\r\n")
        assert watch.ways == []

    @pytest.mark.parametrize("name", ["request", "_request"])
    @pytest.mark.parametrize("when", ["before the first request", "later"])
    async def test_who_patches_sessions_sees_our_requests(
        self, opened: Opened, watch: Watch, name: str, when: str
    ) -> None:
        """Libraries that record or fake requests put a function into aiohttp's session, wrapped to look the same."""
        seen: list[str] = []
        original = getattr(aiohttp.ClientSession, name)

        @functools.wraps(original)
        def recording(session: aiohttp.ClientSession, method: str, url: URL, **more: Any) -> Any:
            seen.append(f"{method} {url.path}")
            return original(session, method, url, **more)

        async with listening(serve_ok) as server:
            over = opened(server.url)
            if when == "later":
                await send(over, Request(method="GET", path="/m"))
            with patch.object(aiohttp.ClientSession, name, recording):
                await send(over, Request(method="GET", path="/n"))
        assert seen == ["GET /n"]

    async def test_who_traces_sessions_sees_our_requests(self, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
        """So do libraries that give every session a tracing of theirs."""
        seen: list[str] = []

        async def started(session: Any, context: Any, params: aiohttp.TraceRequestStartParams) -> None:
            seen.append(params.url.path)

        tracing = aiohttp.TraceConfig()
        tracing.on_request_start.append(started)
        original = aiohttp.ClientSession.__init__

        def instrumented(self: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs, trace_configs=[tracing])

        monkeypatch.setattr(aiohttp.ClientSession, "__init__", instrumented)
        async with listening(serve_ok) as server:
            await send(opened(server.url), Request(method="GET", path="/m"))
        assert seen == ["/m"]


class TestConnections:
    async def test_cancelled_midway(self, opened: Opened) -> None:
        """The connection of a cancelled request is closed: the late answer meets nobody."""
        arrived, left = asyncio.Event(), asyncio.Event()
        request: Request[Any] = Request(method="POST", path="/m", body=b"pat-na1-c4n4ry", secrets=(Secret(TOKEN),))

        async def script(connection: Connection) -> None:
            await connection.request()
            arrived.set()
            await connection.gone()
            left.set()

        async with listening(script) as server:
            task = asyncio.ensure_future(send(opened(server.url), request, Hidden(BEARER)))
            await arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            await asyncio.wait_for(left.wait(), 10.0)
        assert TOKEN not in printed(caught.value)

    async def test_an_answer_nobody_asked_for(self, opened: Opened) -> None:
        """What comes over a connection that waits in the pool is not the answer to the next request."""
        stale, sent = asyncio.Event(), asyncio.Event()

        async def script(connection: Connection) -> None:
            await connection.request()
            await connection.send(OK)
            if not sent.is_set():
                await stale.wait()
                await connection.send(b"HTTP/1.1 500 Stale\r\nContent-Length: 0\r\n\r\n")
                sent.set()
            await connection.gone()

        async with listening(script) as server:
            over = opened(server.url)
            assert (await send(over, Request(method="GET", path="/m"))).status == 200
            stale.set()
            await sent.wait()
            for _ in range(5):
                await asyncio.sleep(0)
            assert (await send(over, Request(method="GET", path="/m"))).status == 200
        assert server.connections == 2

    async def test_an_answer_to_half_a_request(self, opened: Opened) -> None:
        """Who answers before he has read all is believed; what had not left yet does not stand before the next one."""

        async def script(connection: Connection) -> None:
            await connection.reader.readuntil(b"\r\n\r\n")
            connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await connection.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            await asyncio.Event().wait()

        def narrow(address: Any) -> socket.socket:
            made = socket.socket(*address[:3])
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            made.setblocking(False)
            return made

        large: Request[Any] = Request(method="POST", path="/m", body=b"x" * 2**20)
        async with listening(script) as server, aiohttp.TCPConnector(socket_factory=narrow) as shared:
            over = opened(server.url, shared=shared)
            for _ in range(2):
                assert (await send(over, large, TYPED)).status == 413
        assert server.connections == 2

    @pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun"], ids=["none", "half"])
    async def test_silence(self, opened: Opened, begun: bytes) -> None:
        """`read_s` counts from the request on, and from each piece of the answer."""

        async def script(connection: Connection) -> None:
            await connection.request()
            await connection.send(begun)
            await connection.gone()

        async with listening(script) as server:
            over = opened(server.url, timeouts=Timeouts(attempt_s=1000.0, read_s=0.1))
            with pytest.raises(TransportFailed) as caught:
                await asyncio.wait_for(send(over, Request(method="GET", path="/m")), 30.0)
        assert (caught.value.sent, caught.value.timeout) == (True, True)

    async def test_a_shared_connector_that_is_closed(self, opened: Opened) -> None:
        """Whose connector was closed under him is told so."""
        async with listening(serve_ok) as server:
            async with aiohttp.TCPConnector() as shared:
                over = opened(server.url, shared=shared)
                await send(over, Request(method="GET", path="/m"))
            with pytest.raises(ConfigurationError, match="connector given to this client is closed"):
                await send(over, Request(method="GET", path="/m"))
        assert (server.connections, len(server.requests)) == (1, 1)


class TestBodies:
    @pytest.mark.parametrize("cap", [6, 7])
    @pytest.mark.parametrize("framing", ["length", "chunks", "end"])
    @pytest.mark.parametrize("packed", [False, True])
    async def test_the_cap_of_a_body_that_comes_at_once(
        self, opened: Opened, cap: int, framing: str, packed: bool
    ) -> None:
        """However a body says where it ends, and if it is there before anybody looks: no byte above the cap."""
        body = gzip.compress(b"1234567") if packed else b"1234567"
        head = b"HTTP/1.1 200 OK\r\n" + (b"Content-Encoding: gzip\r\n" if packed else b"")
        reply = {
            "length": head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body),
            "chunks": head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
            "end": head + b"\r\n" + body,
        }[framing]

        async def script(connection: Connection) -> None:
            await connection.request()
            await connection.send(reply)

        async with listening(script) as server:
            over = opened(server.url, max_response_bytes=cap)
            if cap == 7:
                assert (await send(over, Request(method="GET", path="/m"))).body == b"1234567"
            else:
                with pytest.raises(UnexpectedResponse, match="larger than 6 bytes"):
                    await send(over, Request(method="GET", path="/m"))

    async def test_broken_before_it_is_looked_at(self) -> None:
        """A body whose connection was lost before anybody waited for it raises, and does not wait for its end."""
        content = aiohttp.StreamReader(asyncio.Protocol(), 2**16, loop=asyncio.get_running_loop())  # type: ignore[arg-type]
        content.set_exception(aiohttp.ClientPayloadError("cut"))
        with pytest.raises(aiohttp.ClientPayloadError, match="cut"):
            await asyncio.wait_for(body_of(200, {"Content-Length": "7"}, content, 100), 10.0)
