"""One session, request in, complete answer or error out: on mocks for the shape, on real sockets for the rest."""

import asyncio
import gzip
import json
import ssl
import sys
import traceback
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from unittest.mock import Mock

import aiohttp
import aioresponses
import pytest
import trustme
from multidict import CIMultiDict
from yarl import URL

from hubspot_meetings_async.errors import ConfigurationError, HubSpotError, TransportFailed, UnexpectedResponse
from hubspot_meetings_async.transport import AiohttpTransport, Timeouts
from hubspot_meetings_async.wire import Request, Response

from .raw_server import Connection, RawServer, Script, listening, refused_port

TOKEN = "pat-na1-c4n4ry"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
HOST = "https://api.hubapi.com"
MIB = 1024 * 1024


def transport(base_url: str = HOST, **options: Any) -> AiohttpTransport:
    settings: dict[str, Any] = {
        "headers": {"User-Agent": "tests/1"},
        "timeouts": Timeouts(attempt_s=20.0, connect_s=5.0, read_s=20.0),
        "max_connections": 4,
        "max_response_bytes": MIB,
    }
    return AiohttpTransport(base_url=base_url, **(settings | options))


def get(path: str = "/m", query: str = "") -> Request[Any]:
    return Request(method="GET", path=path, query=query)


def post(body: bytes = b'{"a":1}') -> Request[Any]:
    return Request(method="POST", path="/m", body=body)


class Notes:
    """What a transport told while it sent."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def send(self, over: AiohttpTransport, request: Request[Any]) -> Response:
        return await over.send(
            request,
            HEADERS,
            on_written=lambda: self.events.append("written"),
            on_answered=lambda headers: self.events.append("answered"),
        )


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
async def opened() -> AsyncIterator[Callable[..., AiohttpTransport]]:
    """Makes transports, and closes them when the test is over."""
    made: list[AiohttpTransport] = []

    def make(base_url: str = HOST, **options: Any) -> AiohttpTransport:
        made.append(transport(base_url, **options))
        return made[-1]

    yield make
    for one in made:
        await one.aclose()


def assert_no_token(error: BaseException) -> None:
    """No token in anything that prints an error: its words, its chain, its traceback with local variables."""
    seen: list[BaseException] = []
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is None or link in seen:
            continue
        seen.append(link)
        assert TOKEN not in f"{link} {link!r} {vars(link)}"
        links += [link.__cause__, link.__context__]
    # aiohttp's exceptions hold the request with its headers: none may hang on ours.
    assert [link for link in seen if isinstance(link, aiohttp.ClientError)] == []
    assert TOKEN not in "".join(traceback.format_exception(error))


# ---- shapes, on aioresponses


class Mocked:
    """aioresponses, made to work with aiohttp ≥ 3.14 (its issue 289)."""

    def __init__(self, mocks: aioresponses.aioresponses) -> None:
        self._mocks = mocks
        self.response_class: Any = partial(aiohttp.ClientResponse, stream_writer=Mock(output_size=0))

    def add(self, method: str, url: str, **options: Any) -> None:
        self._mocks.add(url, method, response_class=self.response_class, **options)

    def calls(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Method, URL and keywords of each request."""
        return [
            (method, str(url), call.kwargs) for (method, url), calls in self._mocks.requests.items() for call in calls
        ]


@pytest.fixture
def mocked() -> Iterator[Mocked]:
    with aioresponses.aioresponses() as mocks:
        yield Mocked(mocks)


class TestShape:
    async def test_request_and_answer(self, mocked: Mocked, opened: Callable[..., AiohttpTransport]) -> None:
        """Method, encoded path and query, body and headers go out; status, headers and body come back whole."""
        mocked.add("POST", f"{HOST}/m/a%2Fb?q=%25", status=207, body=b'{"x":1}', headers={"X-Thing": "1"})
        request: Request[Any] = Request(method="POST", path="/m/a%2Fb", query="q=%25", body=b"{}")
        answer = await Notes().send(opened(), request)
        assert (answer.status, answer.body, answer.headers["x-thing"]) == (207, b'{"x":1}', "1")
        ((method, url, kwargs),) = mocked.calls()
        assert (method, url) == ("POST", f"{HOST}/m/a%2Fb?q=%25")
        assert kwargs["data"] == b"{}"
        assert kwargs["headers"].items() >= HEADERS.items()
        assert kwargs["allow_redirects"] is False

    async def test_statuses_are_not_its_business(self, mocked: Mocked, opened: Callable[..., AiohttpTransport]) -> None:
        """Every status is an answer, not an error."""
        over = opened()
        for status in (204, 302, 400, 401, 404, 429, 477, 500, 503):
            mocked.add("GET", f"{HOST}/m", status=status, headers={"Location": "https://elsewhere.example/"})
            assert (await Notes().send(over, get())).status == status
        assert len(mocked.calls()) == 9

    @pytest.mark.parametrize(
        ("raised", "sent", "fatal", "timeout"),
        [
            (aiohttp.ServerDisconnectedError(), False, False, False),
            (aiohttp.ClientOSError(104, "reset"), False, False, False),
            (aiohttp.ClientPayloadError("cut"), False, False, False),
            (aiohttp.SocketTimeoutError("x"), False, False, True),
            (aiohttp.ConnectionTimeoutError("x"), False, False, True),
            (TimeoutError(), False, False, True),
            (OSError("odd"), False, False, False),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
    )
    async def test_kinds(
        self,
        mocked: Mocked,
        opened: Callable[..., AiohttpTransport],
        raised: Exception,
        sent: bool,
        fatal: bool,
        timeout: bool,
    ) -> None:
        """Each of aiohttp's failures is one TransportFailed that names the host, and hangs on nothing of aiohttp's."""
        mocked.add("GET", f"{HOST}/m", exception=raised)
        with pytest.raises(TransportFailed, match=HOST) as caught:
            await Notes().send(opened(), get())
        assert (caught.value.sent, caught.value.fatal, caught.value.timeout) == (sent, fatal, timeout)
        assert_no_token(caught.value)

    async def test_an_error_that_holds_the_token(self, mocked: Mocked, opened: Callable[..., AiohttpTransport]) -> None:
        """aiohttp's ClientResponseError carries the request's headers; ours does not, and none is chained to it."""
        info = aiohttp.RequestInfo(URL(f"{HOST}/m"), "GET", CIMultiDict(HEADERS), URL(f"{HOST}/m"))  # type: ignore[arg-type]
        mocked.add("GET", f"{HOST}/m", exception=aiohttp.ClientResponseError(info, (), status=400, message="bad line"))
        with pytest.raises(TransportFailed) as caught:
            await Notes().send(opened(), get())
        assert_no_token(caught.value)


class TestLife:
    async def test_nothing_is_opened_before_the_first_request(self) -> None:
        """A transport that never sent has nothing to close, and says so."""
        idle = transport()
        assert "not opened" in repr(idle)
        await idle.aclose()
        assert "closed" in repr(idle)

    async def test_closed_is_closed(self, notes: Notes) -> None:
        """After aclose(), which may be called twice, sending is refused in words and nothing leaves."""
        over = transport()
        await over.aclose()
        await over.aclose()
        with pytest.raises(ConfigurationError, match="closed"):
            await notes.send(over, get())
        assert notes.events == []

    def test_one_loop(self) -> None:
        """Used on a second event loop it says whose it is, instead of hanging."""

        async def serve(connection: Connection) -> None:
            await connection.request()
            await connection.send(b"HTTP/1.1 204 No Content\r\n\r\n")

        over: list[AiohttpTransport] = []

        async def first() -> None:
            async with listening(serve) as server:
                over.append(transport(server.url))
                await Notes().send(over[0], get())

        async def second() -> None:
            with pytest.raises(ConfigurationError, match="event loop"):
                await Notes().send(over[0], get())

        async def last() -> None:
            await over[0].aclose()

        with asyncio.Runner() as runner:
            runner.run(first())
            asyncio.run(second())
            runner.run(last())


class TestTimeouts:
    @pytest.mark.parametrize("name", ["call_s", "attempt_s", "connect_s", "read_s"])
    @pytest.mark.parametrize("wrong", [0, -1, float("inf"), float("nan"), "5", True, b"1"])
    def test_wrong(self, name: str, wrong: Any) -> None:
        """A length of time that makes no sense fails at once, by name."""
        with pytest.raises(ConfigurationError, match=name):
            Timeouts(**{name: wrong})

    def test_none(self) -> None:
        """Only the whole call may be without a bound."""
        assert Timeouts(call_s=None).call_s is None
        with pytest.raises(ConfigurationError, match="attempt_s"):
            Timeouts(attempt_s=None)  # type: ignore[arg-type]


# ---- real sockets


@pytest.fixture(params=["directly", "by session"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How requests travel: both ways keep the same promises."""
    if request.param == "by session":
        take_the_long_way(monkeypatch)
    return str(request.param)


def take_the_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubspot_meetings_async.transport.exchange.direct", lambda *args, **kwargs: None)


OK_BODY = b'{"n":1}'
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n" + OK_BODY


async def serve_ok(connection: Connection) -> None:
    while True:
        await connection.request()
        await connection.send(OK)


def sending(*parts: bytes, then: str = "close") -> Script:
    """Read a request, send these bytes, then close in order, reset, or hold the line."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(*parts)
        if then == "reset":
            connection.reset()
        elif then == "hold":
            await connection.gone()

    return script


def gzipped(body: bytes, *, length: int | None = None, coding: bytes = b"gzip") -> bytes:
    size = len(body) if length is None else length
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: " + coding + b"\r\nContent-Length: " + str(size).encode() + b"\r\n\r\n"
    )
    return head + body


@pytest.mark.usefixtures("way")
class TestOnTheWire:
    async def test_the_whole_request(self, opened: Callable[..., AiohttpTransport], notes: Notes) -> None:
        """Exactly these headers go out, and the hooks come in order."""
        async with listening(serve_ok) as server:
            answer = await notes.send(opened(server.url), post(b'{"a":1}'))
        assert answer.body == OK_BODY
        assert notes.events == ["written", "answered"]
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        line, *headers = head.decode().split("\r\n")
        assert line == "POST /m HTTP/1.1"
        assert body == b'{"a":1}'
        sent = dict(header.split(": ", 1) for header in headers)
        assert sent.pop("Content-Type", "application/octet-stream") == "application/octet-stream"
        assert sent == {
            "Host": f"127.0.0.1:{server.port}",
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": "tests/1",
            "Authorization": f"Bearer {TOKEN}",
            "Content-Length": "7",
        }

    async def test_paths_are_sent_as_they_are(self, opened: Callable[..., AiohttpTransport], notes: Notes) -> None:
        """What is encoded stays encoded: nothing is decoded, normalized or encoded again."""
        path = "/m/..%2F..%2Fcontacts%2F1%3Fx%23f/%252e%252e"
        async with listening(serve_ok) as server:
            await notes.send(opened(server.url + "/"), get(path, "a=%2C,%26&b=%C3%A9"))
        assert server.requests[0].split(b"\r\n")[0] == f"GET {path}?a=%2C,%26&b=%C3%A9 HTTP/1.1".encode()

    async def test_connections_are_kept(self, opened: Callable[..., AiohttpTransport], notes: Notes) -> None:
        """Requests one after the other share a connection."""
        async with listening(serve_ok) as server:
            over = opened(server.url)
            for _ in range(5):
                await notes.send(over, post())
        assert (server.connections, len(server.requests)) == (1, 5)

    async def test_no_cookies_come_back(self, opened: Callable[..., AiohttpTransport], notes: Notes) -> None:
        """What the server sets as cookies is forgotten."""

        async def serve(connection: Connection) -> None:
            while True:
                await connection.request()
                await connection.send(b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=1; Path=/\r\n\r\n")

        async with listening(serve) as server:
            over = opened(server.url)
            for _ in range(3):
                await notes.send(over, get())
        assert len(server.requests) == 3
        assert b"cookie" not in b"".join(server.requests).lower()

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("request_", [get(), post()], ids=["get", "post"])
    async def test_redirects_are_not_followed(
        self, opened: Callable[..., AiohttpTransport], notes: Notes, status: int, request_: Request[Any]
    ) -> None:
        """A redirect, to this host or another, is an answer; its target sees nothing."""
        async with listening(serve_ok) as target:
            for location in (f"{target.url}/x", "/elsewhere"):
                reply = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
                async with listening(sending(reply)) as server:
                    answer = await notes.send(opened(server.url), request_)
                assert (answer.status, len(server.requests)) == (status, 1)
        assert target.connections == 0

    async def test_the_environments_proxy_gets_nothing(
        self, opened: Callable[..., AiohttpTransport], notes: Notes, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
    ) -> None:
        """HTTP_PROXY and .netrc are not read."""
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login eve password other\n")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        monkeypatch.setenv("HOME", str(tmp_path))
        async with listening(serve_ok) as proxy, listening(serve_ok) as server:
            for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, proxy.url)
            await notes.send(opened(server.url), get())
        assert proxy.connections == 0
        assert f"Bearer {TOKEN}".encode() in server.requests[0]

    @pytest.mark.parametrize(
        "interim", [b"HTTP/1.1 100 Continue\r\n\r\n" * 3, b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"]
    )
    async def test_interim_answers(self, opened: Callable[..., AiohttpTransport], notes: Notes, interim: bytes) -> None:
        """1xx answers before the real one are passed over."""
        async with listening(sending(interim + OK)) as server:
            answer = await notes.send(opened(server.url), get())
        assert (answer.status, answer.body) == (200, OK_BODY)
        assert notes.events == ["written", "answered"]


@pytest.mark.usefixtures("way")
class TestLostAnswers:
    """Whatever breaks after the headers left is `sent`; nothing is sent a second time."""

    async def lost(
        self,
        script: Script,
        opened: Callable[..., AiohttpTransport],
        notes: Notes,
        request: Request[Any],
        **options: Any,
    ) -> tuple[HubSpotError, RawServer]:
        async with listening(script) as server:
            with pytest.raises(HubSpotError) as caught:
                await notes.send(opened(server.url, **options), request)
        assert_no_token(caught.value)
        assert str(caught.value).isprintable()
        return caught.value, server

    @pytest.mark.parametrize("request_", [get(), post(), post(b"x" * 300_000)], ids=["get", "post", "large"])
    @pytest.mark.parametrize("how", ["close", "reset"])
    async def test_accepted_and_closed(
        self, opened: Callable[..., AiohttpTransport], notes: Notes, request_: Request[Any], how: str
    ) -> None:
        """A connection accepted and closed without reading counts as sent: nothing proves the contrary."""

        async def script(connection: Connection) -> None:
            if how == "reset":
                connection.reset()

        error, server = await self.lost(script, opened, notes, request_)
        assert isinstance(error, TransportFailed)
        assert (error.sent, error.fatal, error.timeout) == (True, False, False)
        assert server.connections == 1

    @pytest.mark.parametrize(
        "begun",
        [
            b"",
            b"HTTP/1.",
            b"HTTP/1.1 200 OK\r\nContent-Le",
            b"HTTP/1.1 201 Created\r\nContent-Length: 50\r\n\r\n",
            b"HTTP/1.1 201 Created\r\nContent-Length: 50\r\n\r\n{\"id\":",
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"id\"\r\n",
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"i",
        ],
        ids=["nothing", "status line", "headers", "no body", "body", "no chunk", "last chunk", "in a chunk"],
    )  # fmt: skip
    @pytest.mark.parametrize("then", ["close", "reset"])
    async def test_cut(self, opened: Callable[..., AiohttpTransport], notes: Notes, begun: bytes, then: str) -> None:
        """An answer cut anywhere, in order or by reset, is TransportFailed(sent=True); the request was seen once."""
        error, server = await self.lost(sending(begun, then=then), opened, notes, get())
        assert isinstance(error, TransportFailed)
        assert (error.sent, error.timeout) == (True, False)
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "garbage",
        [
            b"\x00\x01\x02\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"HTTP/9.9 abc\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ],
        ids=range(8),
    )
    async def test_garbage(self, opened: Callable[..., AiohttpTransport], notes: Notes, garbage: bytes) -> None:
        """What is no HTTP is TransportFailed(sent=True), in a short printable line."""
        error, _ = await self.lost(sending(garbage), opened, notes, get())
        assert isinstance(error, TransportFailed)
        assert error.sent
        assert len(str(error)) < 600

    async def test_half_the_body_read(self, opened: Callable[..., AiohttpTransport], notes: Notes) -> None:
        """A reset in the middle of a large body is sent: HubSpot may act on what it read."""

        async def script(connection: Connection) -> None:
            await connection.reader.readexactly(20_000)
            connection.reset()

        error, _ = await self.lost(script, opened, notes, post(b"x" * 4_000_000))
        assert isinstance(error, TransportFailed)
        assert error.sent

    @pytest.mark.parametrize("request_", [get(), post()], ids=["get", "post"])
    async def test_never_answering(
        self, opened: Callable[..., AiohttpTransport], notes: Notes, request_: Request[Any]
    ) -> None:
        """Silence ends in a timeout that says it was sent."""
        error, server = await self.lost(
            sending(then="hold"), opened, notes, request_, timeouts=Timeouts(attempt_s=5.0, read_s=0.2)
        )
        assert isinstance(error, TransportFailed)
        assert (error.sent, error.timeout) == (True, True)
        assert len(server.requests) == 1
        assert notes.events == ["written"]

    async def test_drip(self, opened: Callable[..., AiohttpTransport], notes: Notes) -> None:
        """A byte now and then defeats the read timeout, and not the attempt's."""

        async def script(connection: Connection) -> None:
            await connection.request()
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not connection.writer.is_closing():
                await connection.send(b" ")
                with suppress(TimeoutError):
                    await asyncio.wait_for(connection.gone(), 0.02)

        error, _ = await self.lost(script, opened, notes, get(), timeouts=Timeouts(attempt_s=0.5, read_s=0.4))
        assert isinstance(error, TransportFailed)
        assert (error.sent, error.timeout) == (True, True)
        assert notes.events == ["written", "answered"]

    async def test_never_reading(self, opened: Callable[..., AiohttpTransport], notes: Notes) -> None:
        """A server that takes no body in ends in a timeout."""

        async def script(connection: Connection) -> None:
            connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.Event().wait()

        error, _ = await self.lost(
            script, opened, notes, post(b"x" * 20_000_000), timeouts=Timeouts(attempt_s=0.5, read_s=5.0)
        )
        assert isinstance(error, TransportFailed)
        assert (error.sent, error.timeout) == (True, True)

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
    async def test_a_dead_pooled_connection_is_not_tried_again(
        self, opened: Callable[..., AiohttpTransport], notes: Notes, method: str
    ) -> None:
        """On a kept connection that turns out dead, no method is sent a second time behind our back."""

        async def script(connection: Connection) -> None:
            await connection.request()
            await connection.send(OK)
            await connection.request()  # taken, and never answered

        async with listening(script) as server:
            over = opened(server.url)
            await notes.send(over, get())
            with pytest.raises(TransportFailed) as caught:
                await notes.send(over, Request(method=method, path="/m"))
            assert caught.value.sent
            assert (server.connections, len(server.requests)) == (1, 2)
            assert notes.events == ["written", "answered", "written"]

    async def test_garbage_behind_an_answer(self, opened: Callable[..., AiohttpTransport], notes: Notes) -> None:
        """Bytes behind an answer spoil neither it nor the next, which gets a connection of its own."""
        async with listening(sending(OK + b"HTTP/1.1 500 Oops\r\n\r\n", then="hold")) as server:
            over = opened(server.url)
            assert (await notes.send(over, get())).status == 200
            assert (await notes.send(over, get())).status == 200
        assert server.connections == 2

    async def test_an_html_page_is_an_answer(self, opened: Callable[..., AiohttpTransport], notes: Notes) -> None:
        """What a body means is not the transport's business."""
        page = b"<html>Log in</html>"
        reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n" + page
        async with listening(sending(reply)) as server:
            answer = await notes.send(opened(server.url), get())
        assert (answer.status, answer.body) == (200, page)

    async def test_cancelled_in_flight(self, opened: Callable[..., AiohttpTransport], notes: Notes) -> None:
        """A cancelled request ends in the cancellation, and leaves a transport that works."""
        arrived = asyncio.Event()

        async def script(connection: Connection) -> None:
            await connection.request()
            if not arrived.is_set():
                arrived.set()
                await connection.gone()
            await connection.send(OK)

        async with listening(script) as server:
            over = opened(server.url)
            task = asyncio.ensure_future(notes.send(over, post()))
            await arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert notes.events == ["written"]
            assert (await notes.send(over, post())).status == 200


@pytest.mark.usefixtures("way")
class TestNotSent:
    async def test_refused(self, opened: Callable[..., AiohttpTransport], notes: Notes) -> None:
        """A refused connection proves that nothing left, and the message says where to look."""
        url = f"http://127.0.0.1:{refused_port()}"
        with pytest.raises(TransportFailed, match="base_url") as caught:
            await notes.send(opened(url), post())
        assert (caught.value.sent, caught.value.fatal) == (False, False)
        assert url in str(caught.value)
        assert notes.events == []
        assert_no_token(caught.value)

    async def test_unknown_host(
        self, opened: Callable[..., AiohttpTransport], notes: Notes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A name that does not resolve proves that nothing left, and is named."""

        async def resolve(*args: Any, **kwargs: Any) -> Any:
            raise OSError(-2, "Name or service not known")

        monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
        with pytest.raises(TransportFailed, match=r"nowhere\.invalid") as caught:
            await notes.send(opened("https://nowhere.invalid"), get())
        assert not caught.value.sent
        assert_no_token(caught.value)

    async def test_a_resolver_that_hangs(
        self, opened: Callable[..., AiohttpTransport], notes: Notes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Name resolution is within the connect timeout."""

        async def resolve(*args: Any, **kwargs: Any) -> Any:
            await asyncio.Event().wait()

        monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
        limits = Timeouts(connect_s=0.2, attempt_s=30.0)
        with pytest.raises(TransportFailed) as caught:
            await notes.send(opened("https://nowhere.invalid", timeouts=limits), get())
        assert (caught.value.sent, caught.value.timeout) == (False, True)

    async def test_all_connections_busy(self, opened: Callable[..., AiohttpTransport]) -> None:
        """A request that never got a connection was not sent, and says so."""
        arrived = asyncio.Event()

        async def script(connection: Connection) -> None:
            await connection.request()
            arrived.set()
            await connection.gone()

        async with listening(script) as server:
            over = opened(server.url, max_connections=1, timeouts=Timeouts(connect_s=0.2, attempt_s=5.0, read_s=5.0))
            first = asyncio.ensure_future(Notes().send(over, post()))
            await arrived.wait()
            notes = Notes()
            with pytest.raises(TransportFailed) as caught:
                await notes.send(over, post())
            assert (caught.value.sent, caught.value.timeout, notes.events) == (False, True, [])
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first


@pytest.mark.usefixtures("way")
class TestBodies:
    async def body(self, opened: Callable[..., AiohttpTransport], *parts: bytes, **options: Any) -> bytes:
        async with listening(sending(*parts)) as server:
            return (await Notes().send(opened(server.url, **options), get())).body

    async def refused(self, opened: Callable[..., AiohttpTransport], *parts: bytes, **options: Any) -> str:
        with pytest.raises(UnexpectedResponse) as caught:
            await self.body(opened, *parts, **options)
        assert caught.value.status == 200
        assert_no_token(caught.value)
        return str(caught.value)

    async def test_gzip(self, opened: Callable[..., AiohttpTransport]) -> None:
        """A gzip answer comes out as what was packed, in one piece or in many."""
        plain = json.dumps(list(range(50_000))).encode()
        packed = gzipped(gzip.compress(plain), coding=b"GZIP")
        assert await self.body(opened, packed) == plain
        assert await self.body(opened, *[packed[at : at + 997] for at in range(0, len(packed), 997)]) == plain

    async def test_gzip_of_nothing(self, opened: Callable[..., AiohttpTransport]) -> None:
        """An empty body stays empty, packed or not."""
        assert await self.body(opened, gzipped(b"")) == b""
        assert await self.body(opened, gzipped(gzip.compress(b""))) == b""

    @pytest.mark.parametrize("kept", [1, 9, 11, 40, -9, -8, -1])
    async def test_gzip_cut_midway(self, opened: Callable[..., AiohttpTransport], kept: int) -> None:
        """A gzip answer that is complete as HTTP and cut inside is no answer, wherever it was cut."""
        packed = gzip.compress(json.dumps(list(range(5_000))).encode())
        assert "midway" in await self.refused(opened, gzipped(packed[:kept]))

    @pytest.mark.parametrize("body", [OK_BODY, b"\x1f\x8b" + b"\xff" * 40, zlib.compress(OK_BODY)], ids=range(3))
    async def test_no_gzip(self, opened: Callable[..., AiohttpTransport], body: bytes) -> None:
        """What calls itself gzip and is not, is refused."""
        assert "gzip" in await self.refused(opened, gzipped(body))

    async def test_gzip_with_a_wrong_checksum(self, opened: Callable[..., AiohttpTransport]) -> None:
        """Bytes that were changed on the way are noticed."""
        packed = bytearray(gzip.compress(OK_BODY))
        packed[-8] ^= 1
        assert "gzip" in await self.refused(opened, gzipped(bytes(packed)))

    @pytest.mark.parametrize("coding", [b"br", b"deflate", b"zstd", b"gzip, gzip", b"x\x7fy"])
    async def test_unasked_codings(self, opened: Callable[..., AiohttpTransport], coding: bytes) -> None:
        """A coding that was not asked for is refused by name."""
        assert "not asked for" in await self.refused(opened, gzipped(OK_BODY, coding=coding))

    @pytest.mark.parametrize("behind", [b"x", gzip.compress(b"more", mtime=0), b"\x00" * 10])
    async def test_gzip_that_goes_on(self, opened: Callable[..., AiohttpTransport], behind: bytes) -> None:
        """Bytes behind the end of the packed data are refused, together with it or in a piece of their own."""
        packed = gzip.compress(OK_BODY)
        whole = gzipped(packed + behind)
        assert "behind its end" in await self.refused(opened, whole)
        assert "behind its end" in await self.refused(opened, whole[: -len(behind)], behind)

    @pytest.mark.parametrize("size", [MIB, MIB + 1])
    @pytest.mark.parametrize("packed", [True, False])
    async def test_the_cap_to_the_byte(self, opened: Callable[..., AiohttpTransport], size: int, packed: bool) -> None:
        """A body of exactly the cap passes; one byte more does not."""
        plain = b" " * size
        reply = gzipped(gzip.compress(plain)) if packed else gzipped(plain, coding=b"identity")
        if size == MIB:
            assert len(await self.body(opened, reply)) == size
        else:
            assert f"{MIB:,}" in await self.refused(opened, reply)

    async def test_an_oversized_chunked_body(self, opened: Callable[..., AiohttpTransport]) -> None:
        """A body without an end is cut at the cap, and the connection with it."""
        written = 0

        async def script(connection: Connection) -> None:
            nonlocal written
            await connection.request()
            await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
            for _ in range(1_000_000):
                await connection.send(chunk)
                written += len(chunk)

        async with listening(script) as server:
            with pytest.raises(UnexpectedResponse, match="cut off"):
                await Notes().send(opened(server.url), get())
        assert written < 64 * MIB

    @pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
    @pytest.mark.parametrize("tail", [False, True], ids=["bomb", "tail"])
    async def test_memory_is_bounded(self, opened: Callable[..., AiohttpTransport], tail: bool) -> None:
        """Half a MiB that unpacks to 512 MiB, or an endless tail behind a small packet, costs no memory to speak of."""
        if tail:
            pieces = [gzip.compress(OK_BODY)] + [b"\x00" * MIB] * 256
        else:
            pack = zlib.compressobj(wbits=31)
            pieces = [pack.compress(b" " * MIB) for _ in range(512)] + [pack.flush()]
        length = sum(map(len, pieces))

        async def script(connection: Connection) -> None:
            await connection.request()
            await connection.send(gzipped(b"", length=length), *filter(None, pieces))

        before = _peak_bytes()
        async with listening(script) as server:
            with pytest.raises(UnexpectedResponse):
                await Notes().send(opened(server.url, max_response_bytes=32 * MIB), get())
        assert _peak_bytes() - before < 100 * MIB


def _peak_bytes() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


class TestTls:
    def server_side(self, ca: trustme.CA, *names: str) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        ca.issue_cert(*names).configure_cert(context)
        return context

    def trusting(self, ca: trustme.CA) -> ssl.SSLContext:
        context = ssl.create_default_context()
        ca.configure_trust(context)
        return context

    async def test_a_ca_of_ones_own(
        self, ca: trustme.CA, opened: Callable[..., AiohttpTransport], notes: Notes
    ) -> None:
        """With a context that trusts the CA, a good certificate passes."""
        async with listening(serve_ok, tls=self.server_side(ca, "127.0.0.1")) as server:
            answer = await notes.send(opened(server.url, ssl=self.trusting(ca)), get())
        assert answer.status == 200

    @pytest.mark.parametrize("case", ["unknown CA", "wrong host"])
    async def test_bad_certificates(
        self, ca: trustme.CA, opened: Callable[..., AiohttpTransport], notes: Notes, case: str
    ) -> None:
        """A certificate of an unknown CA or for another host ends it for good: nothing is sent, the advice is clear."""
        name = "127.0.0.1" if case == "unknown CA" else "api.hubapi.com"
        trust = None if case == "unknown CA" else self.trusting(ca)
        async with listening(serve_ok, tls=self.server_side(ca, name)) as server:
            with pytest.raises(TransportFailed, match="certificate") as caught:
                await notes.send(opened(server.url, ssl=trust), post())
            assert (caught.value.sent, caught.value.fatal) == (False, True)
            assert server.requests == []
        assert notes.events == []
        assert_no_token(caught.value)

    async def test_plain_text_where_tls_should_be(self, opened: Callable[..., AiohttpTransport], notes: Notes) -> None:
        """A server that speaks no TLS gets no token."""

        async def script(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await connection.gone()

        async with listening(script) as server:
            with pytest.raises(TransportFailed, match="TLS") as caught:
                await notes.send(opened(server.url.replace("http:", "https:")), post())
        assert (caught.value.sent, caught.value.fatal) == (False, True)

    async def test_the_default_context_checks(
        self, ca: trustme.CA, opened: Callable[..., AiohttpTransport], notes: Notes
    ) -> None:
        """The context that is used without one of the user's checks certificates and host, from TLS 1.2 on."""
        seen: list[Mapping[str, Any]] = []
        original = asyncio.BaseEventLoop.create_connection

        async def watching(loop: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(kwargs)
            return await original(loop, *args, **kwargs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio.BaseEventLoop, "create_connection", watching)
            async with listening(serve_ok, tls=self.server_side(ca, "127.0.0.1")) as server:
                with pytest.raises(TransportFailed):
                    await notes.send(opened(server.url), get())
        context = seen[0]["ssl"]
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
