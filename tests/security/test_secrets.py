"""K5 to K8: tokens and client secrets are found nowhere but on the wire, and people's data in no log line."""

from __future__ import annotations

import asyncio
import copy
import gc
import gzip
import pickle
import pprint
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
import trustme

from hubspot_meetings_async import (
    CircuitBreaker,
    ConfigurationError,
    HubSpotError,
    MeetingsClient,
    NoLimit,
    OAuth,
    RetryPolicy,
    Secret,
    StaticToken,
    Timeouts,
    Unauthorized,
)
from hubspot_meetings_async.emulator import Emulator, Fault
from hubspot_meetings_async.models import Tokens

from ..proxy_server import proxying
from ..raw_server import Connection, Script, listening, refused_port
from .canaries import CLIENT_SECRET, CODE, MARK, PERSONAL, REFRESH, TOKEN, everything_told_by, watching

SWIFT = RetryPolicy(attempts=2, refusals=2, base_s=0.001, cap_s=0.002, locked_s=0.0)
FAST = Timeouts(call_s=5.0, attempt_s=0.3, connect_s=0.2, read_s=0.2)


def client(url: str, **options: Any) -> MeetingsClient:
    settings: dict[str, Any] = {"limiter": NoLimit(), "retry": SWIFT, "timeout": FAST} | options
    return MeetingsClient(TOKEN, base_url=url, **settings)


CALLS: dict[str, Callable[[MeetingsClient], Awaitable[Any]]] = {
    "get": lambda h: h.meetings.get(1),
    "create": lambda h: h.meetings.create({"hs_meeting_title": PERSONAL}),
    "update": lambda h: h.meetings.update(1, {"hs_meeting_title": PERSONAL}),
    "bulk": lambda h: h.bulk.create([{"hs_meeting_title": PERSONAL}]),
    "list": lambda h: _first(h.meetings.list()),
}


async def _first(stream: Any) -> None:
    async for _ in stream:
        return


def assert_nothing_shows(shown: str, *more: str) -> None:
    found = [word for word in (MARK, *more) if word in shown]
    # pytest would print what it compared: only the surroundings are told.
    at = shown.find(found[0]) if found else 0
    assert found == [], shown[max(0, at - 300) : at + 60]


async def _fail(hubspot: MeetingsClient, call: str) -> BaseException | None:
    """The error of a call, or what its outcomes hold."""
    try:
        given = await CALLS[call](hubspot)
    except HubSpotError as error:
        return error
    outcomes = getattr(given, "errors", None)
    assert_nothing_shows(repr(given))
    return outcomes[0] if outcomes else None


def sending(*parts: bytes, then: str = "close", tell: asyncio.Event | None = None) -> Script:
    async def script(connection: Connection) -> None:
        await connection.request()
        if tell is not None:
            tell.set()
        await connection.send(*parts)
        if then == "reset":
            connection.reset()
        elif then == "hold":
            await connection.gone()

    return script


def answer(body: bytes, head: str = "200 OK", kind: str = "application/json", more: str = "") -> bytes:
    return (
        f"HTTP/1.1 {head}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode("latin-1") + body
    )


RAW: dict[str, Script] = {
    "closed at once": sending(),
    "reset": sending(then="reset"),
    "silence": sending(then="hold"),
    "status line cut": sending(b"HTTP/1."),
    "headers cut": sending(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "body cut": sending(answer(b'{"id":"1","properties":{}}')[:-4]),
    "chunked cut": sending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"),
    "no HTTP": sending(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "bad chunk": sending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "broken JSON": sending(answer(b'{"id":')),
    "wrong shape": sending(answer(b"[]")),
    "a page": sending(answer(b"<html>log in</html>", kind="text/html")),
    "false gzip": sending(answer(b"{}", more="Content-Encoding: gzip\r\n")),
    "cut gzip": sending(answer(gzip.compress(b"{}")[:-3], more="Content-Encoding: gzip\r\n")),
    "br": sending(answer(b"{}", more="Content-Encoding: br\r\n")),
    "too large": sending(answer(b" " * 70_000)),
    "redirect": sending(answer(b"", head="307 Moved", more="Location: https://elsewhere.example/\r\n")),
    "500 in HTML": sending(answer(b"<h1>Oops</h1>", head="500 Oops", kind="text/html")),
}

STATUSES = (400, 401, 403, 404, 405, 408, 409, 413, 414, 415, 422, 423, 425, 429, 431, 477, 500, 502, 503, 504, 520,
            521, 522, 523, 524, 525, 526, 530, 599)  # fmt: skip


class TestErrors:
    """Every kind of failure, for every kind of call, with asyncio's debug mode on."""

    @pytest.fixture(autouse=True)
    async def debug(self) -> None:
        asyncio.get_running_loop().set_debug(True)

    async def check(self, url: str, *, without: str = "", **options: Any) -> None:
        with watching() as watch:
            for call in CALLS:
                if call == without:
                    continue
                async with client(url, max_response_bytes=65_536, **options) as hubspot:
                    error = await _fail(hubspot, call)
                    if error is not None:
                        assert_nothing_shows(everything_told_by(error))
                    assert_nothing_shows(repr(hubspot) + repr(vars(hubspot)) + pprint.pformat(vars(hubspot)))
                    assert error is not None or call == "bulk"
        assert_nothing_shows(watch.text(), PERSONAL)

    @pytest.mark.parametrize("case", RAW)
    async def test_broken_answers(self, case: str) -> None:
        """No answer, half an answer, no HTTP, no JSON."""
        async with listening(RAW[case]) as server:
            await self.check(server.url)

    @pytest.mark.parametrize("status", STATUSES)
    async def test_statuses(self, status: int) -> None:
        """Every refusal and every breakdown."""
        async with Emulator(limit=None) as emulator:
            emulator.faults.fail_next(status, times=None, retry_after=0)
            # A bulk run waits patiently for what HubSpot did not do; it has a few of each kind here.
            await self.check(emulator.url, without="" if status in (400, 401, 403, 500) else "bulk")

    async def test_nobody_there(self) -> None:
        """A refused connection."""
        await self.check(f"http://127.0.0.1:{refused_port()}")

    async def test_an_open_circuit(self) -> None:
        """Calls that the breaker holds back."""
        url = f"http://127.0.0.1:{refused_port()}"
        async with client(url, circuit_breaker=CircuitBreaker(failures=1, open_s=60.0)) as hubspot:
            for _ in range(2):
                error = await _fail(hubspot, "get")
            assert error is not None
            assert_nothing_shows(everything_told_by(error))

    async def test_no_such_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A name that does not resolve."""
        import aiohttp

        async def resolve(*args: Any, **kwargs: Any) -> Any:
            raise OSError(-2, "Name or service not known")

        monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
        await self.check("https://nowhere.invalid")

    @pytest.mark.parametrize("case", ["unknown CA", "wrong host", "plain text"])
    async def test_tls(self, case: str) -> None:
        """Certificates that are not trusted, and no TLS at all."""
        ca = trustme.CA()
        served, trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
        ca.issue_cert("127.0.0.1" if case == "unknown CA" else "elsewhere.example").configure_cert(served)
        if case != "unknown CA":
            ca.configure_trust(trust)
        script = sending(answer(b"{}"))
        async with listening(script, tls=None if case == "plain text" else served) as server:
            await self.check(server.url.replace("http:", "https:"), ssl=trust, without="bulk")
            assert b"".join(server.requests) == b""

    async def test_a_proxy_that_refuses(self) -> None:
        """A proxy in between: its password shows as little."""
        async with proxying(refuse=407) as proxy:
            url = proxy.url.replace("//", f"//user:{CLIENT_SECRET}@")
            await self.check("https://api.hubapi.com", proxy=url)

    async def test_cancelled(self) -> None:
        """A call that is cancelled in flight: aiohttp's frames, which hold the headers, are not in its traceback."""
        for call in CALLS.values():
            arrived = asyncio.Event()
            async with listening(sending(then="hold", tell=arrived)) as server:
                slow = Timeouts(call_s=60.0)
                async with client(server.url, timeout=slow) as hubspot:
                    with watching() as watch:
                        task = asyncio.ensure_future(call(hubspot))
                        await arrived.wait()
                        task.cancel()
                        with pytest.raises(asyncio.CancelledError) as caught:
                            await task
                    assert_nothing_shows(everything_told_by(caught.value))
                    assert_nothing_shows(watch.text(), PERSONAL)

    async def test_the_users_deadline(self) -> None:
        """`asyncio.timeout` around a call."""
        async with listening(sending(then="hold")) as server, client(server.url, timeout=Timeouts()) as hubspot:
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.1):
                    await hubspot.meetings.get(1)
            assert_nothing_shows(everything_told_by(caught.value))

    async def test_a_bug_on_the_way(self, emulator: Emulator) -> None:
        """An exception that nobody foresaw passes through aiohttp: its own frames are left out, and no others."""

        class Broken(NoLimit):
            def slot(self, lane: Any, *, at_head: bool = False) -> Any:
                return BrokenSlot()

        class BrokenSlot:
            async def __aenter__(self) -> Any:
                return self

            async def __aexit__(self, *_: object) -> None:
                pass

            def written(self) -> None:
                raise KeyError("a bug of the user's own limiter")

        async with client(emulator.url, limiter=Broken()) as hubspot:
            with pytest.raises(KeyError, match="own limiter") as caught:
                await hubspot.meetings.get(1)
        assert_nothing_shows(everything_told_by(caught.value))
        names = [entry.name for entry in caught.traceback]
        assert names[-1] == "written"
        assert not [entry for entry in caught.traceback if "aiohttp" in str(entry.path)]


def oauth(emulator: Emulator, **options: Any) -> OAuth:
    emulator.portal.add_app("app-1", CLIENT_SECRET)
    return OAuth("app-1", CLIENT_SECRET, REFRESH, **options)


class TestOAuth:
    @pytest.mark.parametrize(
        "fault",
        [
            Fault(status=400),
            Fault(status=401),
            Fault(status=429),
            Fault(status=500),
            Fault(status=503),
            Fault(kind="reset"),
            Fault(kind="cut"),
            Fault(kind="html"),
            Fault(kind="wrong_type"),
            Fault(kind="hang"),
            None,
        ],
        ids=lambda fault: "wrong grant" if fault is None else fault.name,
    )
    async def test_the_token_endpoint_fails(self, fault: Fault | None) -> None:
        """Client secret, refresh token and code are in no error, however the token endpoint fails."""
        async with Emulator(limit=None) as emulator:
            auth = oauth(emulator)
            if fault is not None:
                emulator.faults.strike_next(fault, operation="oauth.*", times=None)
            with watching() as watch:
                async with MeetingsClient(
                    auth=auth, base_url=emulator.url, limiter=NoLimit(), retry=SWIFT, timeout=FAST
                ) as hubspot:
                    for ask in (
                        lambda: hubspot.meetings.get(1),
                        lambda: auth.exchange_code(Secret(CODE), redirect_uri="https://x.example/"),
                        lambda: auth.introspect(refresh_token=True),
                        lambda: hubspot.private_app_token_info(Secret(TOKEN)),
                    ):
                        try:
                            await ask()
                        except HubSpotError as error:
                            assert_nothing_shows(everything_told_by(error))
                    assert_nothing_shows(repr(auth) + repr(vars(auth)) + pprint.pformat(vars(auth)))
            assert_nothing_shows(watch.text())

    async def test_on_refresh_raises(self) -> None:
        """The tokens that could not be stored are in no error and no log line."""
        async with Emulator(limit=None) as emulator:
            emulator.portal.add_app("app-1", CLIENT_SECRET)
            issued = emulator.portal.issue_tokens("app-1")
            assert issued.refresh is not None
            given: list[str] = []

            def store(tokens: Tokens) -> None:
                given.append(tokens.access_token.reveal())
                raise OSError("disk full")

            auth = OAuth("app-1", CLIENT_SECRET, issued.refresh.value, on_refresh=store)
            with watching() as watch:
                async with MeetingsClient(auth=auth, base_url=emulator.url, retry=SWIFT) as hubspot:
                    with pytest.raises(HubSpotError) as caught:
                        await hubspot.meetings.get(1)
            shown = everything_told_by(caught.value) + watch.text() + repr(vars(auth))
            assert given
            assert [value for value in (*given, issued.refresh.value) if value in shown] == []
            assert_nothing_shows(shown)


class TestTokens:
    @pytest.mark.row("U1")
    @pytest.mark.parametrize(
        "wrap", ["{} ", " {}", "{}\n", "{}\r\nX-Evil: 1", "{}\x00", "{}\t", "é{}", "{}\u202e", "{}\u00a0", "Bearer {}"]
    )
    async def test_what_is_no_token(self, wrap: str) -> None:
        """A token with anything around it is refused, and is not repeated; nothing is sent."""
        for make in (StaticToken, lambda token: MeetingsClient(token), lambda token: OAuth("id", token, "r")):
            with pytest.raises(ConfigurationError) as caught:
                make(wrap.format(TOKEN))
            assert_nothing_shows(f"{caught.value} {caught.value!r} {vars(caught.value)}")

    async def test_a_source_that_gives_one(self, emulator: Emulator) -> None:
        """Nor is it in the frames of the call that asked for it: a file with a line end, say."""
        async with MeetingsClient(auth=lambda: TOKEN + "\n", base_url=emulator.url) as hubspot:
            with pytest.raises(ConfigurationError) as caught:
                await hubspot.meetings.get(1)
        assert_nothing_shows(everything_told_by(caught.value))
        assert emulator.stats().requests == 0

    @pytest.mark.row("U1")
    def test_empty(self) -> None:
        """An empty token is refused in the constructor."""
        with pytest.raises(ConfigurationError, match="empty"):
            MeetingsClient("")


class TestSecretType:
    def test_nothing_shows_it(self) -> None:
        """repr, str, format, %-formatting, members, copies of containers, JSON: none of them gives it out."""
        secret = Secret(TOKEN)
        shown = [repr(secret), str(secret), f"{secret}", f"{secret:}", "%s %r" % (secret, secret)]  # noqa: UP031
        shown += [repr([secret]), repr({"a": secret}), pprint.pformat({"a": [secret]}), repr(dir(secret))]
        shown += [repr(getattr(secret, name)) for name in dir(secret) if not callable(getattr(secret, name))]
        shown += [repr(secret._reveal), repr(copy.copy([secret]))]
        assert_nothing_shows("".join(shown))
        assert not hasattr(secret, "__dict__")
        for export in (pickle.dumps, copy.copy, copy.deepcopy, msgspec.json.encode, msgspec.msgpack.encode):
            with pytest.raises(TypeError):
                export(secret)

    def test_public_objects_are_not_pickled_with_it(self) -> None:
        """A client, an OAuth, a token: pickling any of them fails, or would hold no secret."""
        tokens = Tokens(access_token=Secret(TOKEN), refresh_token=Secret(REFRESH), expires_in=1.0)
        for thing in (StaticToken(TOKEN), OAuth("id", CLIENT_SECRET, REFRESH), MeetingsClient(TOKEN), tokens):
            assert_nothing_shows(repr(thing))
            with pytest.raises((TypeError, AttributeError, pickle.PicklingError)) as caught:
                pickle.dumps(thing)
            assert_nothing_shows(str(caught.value))

    def test_a_client_says_why_it_is_not_pickled(self) -> None:
        for export in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="make one in each process"):
                export(MeetingsClient(TOKEN))

    async def test_reprs_of_everything_a_client_holds(self, emulator: Emulator) -> None:
        """Every object that a client leads to, whatever it is, has a repr without the token."""
        async with client(emulator.url, headers={"X-Team": "a"}) as hubspot:
            await hubspot.meetings.create({"hs_meeting_title": "x"})
            seen: set[int] = set()
            left: list[Any] = [hubspot]
            while left:
                thing = left.pop()
                module = type(thing).__module__.split(".")[0]
                if id(thing) in seen or module not in ("hubspot_meetings_async", "builtins", "aiohttp", "collections"):
                    continue
                seen.add(id(thing))
                if module != "builtins":
                    assert_nothing_shows(repr(thing))
                    assert_nothing_shows(str(thing))
                    left += [getattr(thing, name, None) for name in getattr(type(thing), "__slots__", ())]
                    left += getattr(thing, "__dict__", {}).values()
                elif isinstance(thing, (list, tuple, set, dict)):
                    left += thing.values() if isinstance(thing, dict) else thing
                elif isinstance(thing, str):
                    assert_nothing_shows(thing)
            assert len(seen) > 50


class TestLogs:
    async def test_a_days_work_logs_no_values(self) -> None:
        """Creates, reads, searches, bulk runs with refusals and retries: no property value is in a log line."""
        with watching() as watch:
            async with Emulator(limit=None) as emulator:
                emulator.portal.add_property("ref", unique=True)
                emulator.portal.settle_search()
                emulator.faults.fail_next(503, times=2, operation="meetings.batch_*")
                async with client(emulator.url) as hubspot:
                    made = await hubspot.meetings.create({"hs_meeting_title": PERSONAL, "ref": f"{PERSONAL}-0"})
                    await hubspot.meetings.get(made.id, properties=["hs_meeting_title"])
                    records = [{"ref": f"{PERSONAL}-{n}", "hs_meeting_title": PERSONAL} for n in range(250)]
                    records.append({"ref": f"{PERSONAL}-x", "nonsense": PERSONAL})
                    report = await hubspot.bulk.upsert(records, id_property="ref")
                    assert report.rejected == 1
                    emulator.faults.reset_next(operation="meetings.create")
                    with pytest.raises(HubSpotError):
                        await hubspot.meetings.create({"hs_meeting_title": PERSONAL})
        assert_nothing_shows(watch.text(), PERSONAL)

    async def test_an_unreadable_answer_is_not_quoted(self) -> None:
        """JSON that can not be read stays out of the error: it holds people's data. A page is quoted, it has none."""
        body = f'{{"id":"1","properties":{{"hs_meeting_title":"{PERSONAL}"'.encode()
        for kind in ("application/json", "text/plain"):
            async with listening(sending(answer(body, kind=kind))) as server, client(server.url) as hubspot:
                error = await _fail(hubspot, "get")
                assert error is not None
                assert_nothing_shows(everything_told_by(error), PERSONAL)
        page = sending(answer(b"<html>Hotel Wi-Fi", kind="text/html"))
        async with listening(page) as server, client(server.url) as hubspot:
            assert "Hotel Wi-Fi" in str(await _fail(hubspot, "get"))

    async def test_an_echo_of_the_request(self) -> None:
        """A host that repeats the request's headers in its answer does not bring the token into errors."""

        async def echo(connection: Connection) -> None:
            while True:
                request = await connection.request()
                await connection.send(answer(b"<pre>" + request, head="502 Bad", kind="text/html"))

        async with listening(echo) as server, client(server.url) as hubspot:
            error = await _fail(hubspot, "get")
            assert error is not None
            assert_nothing_shows(everything_told_by(error))


def test_a_client_that_is_thrown_away_tells_nothing() -> None:
    """Warnings at the end of a client name its host, and no secret."""

    async def forget() -> None:
        async with Emulator(limit=None) as emulator:
            hubspot = client(emulator.url)
            await hubspot.meetings.create({})
            del hubspot
            gc.collect()

    with watching() as watch:
        asyncio.run(forget())
    assert "aclose" in watch.text()
    assert_nothing_shows(watch.text())


async def test_a_refused_token_is_told_without_it(emulator: Emulator) -> None:
    """401: the advice names what to check, not the token."""
    emulator.faults.fail_next(401, times=None)
    async with client(emulator.url) as hubspot:
        with pytest.raises(Unauthorized, match="Check that the token") as caught:
            await hubspot.meetings.get(1)
    assert_nothing_shows(everything_told_by(caught.value))
