"""`MeetingsClient`: settings that are wrong fail at once and in words; tokens stay hidden; closing is closing."""

import asyncio
import gc
import logging
import pickle
import ssl
import traceback
import warnings
from typing import Any

import anyio
import pytest

from hubspot_meetings_async import (
    PROFESSIONAL,
    AmbiguousWriteError,
    ConfigurationError,
    DeadlineExceeded,
    HubSpotError,
    Limits,
    MeetingsClient,
    NoLimit,
    QuotaGate,
    RetryPolicy,
    Secret,
    StaticToken,
    Timeouts,
    TransportFailed,
    Unauthorized,
)
from hubspot_meetings_async.emulator import Emulator

from .conftest import SWIFT
from .raw_server import Connection, listening, refused_port

TOKEN = "pat-na1-c4n4ry-0000"


def unchecked(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    if not verify:
        context.verify_mode = ssl.CERT_NONE
    return context


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("timeout number", {"timeout": 30}, "Timeouts"),
    ("timeout None is default", {"timeout": "10"}, "Timeouts"),
    ("retry number", {"retry": 3}, "RetryPolicy"),
    ("retry False", {"retry": False}, "RetryPolicy"),
    ("limits number", {"limits": 190}, "PROFESSIONAL"),
    ("limiter number", {"limiter": 190}, "limiter"),
    ("limiter class", {"limiter": object()}, r"slot\(\) is missing"),
    ("both limits", {"limiter": NoLimit(), "limits": PROFESSIONAL}, "not both"),
    ("auth string", {"auth": TOKEN, "token": None}, "a token itself goes first"),
    ("auth object", {"auth": object(), "token": None}, "renew"),
    ("both tokens", {"auth": StaticToken("x")}, "one of the two"),
    ("no token", {"token": None}, "one of the two"),
    ("version", {"api_version": "v2"}, "v3, 2026-03, 2026-09"),
    ("version None", {"api_version": None}, "v3"),
    ("no ssl", {"ssl": False}, "always checked"),
    ("ssl True", {"ssl": True}, "SSLContext"),
    ("ssl path", {"ssl": "ca.pem"}, "SSLContext"),
    ("ssl unverified", {"ssl": unchecked(verify=False)}, "does not check"),
    ("ssl any host", {"ssl": unchecked(verify=True)}, "does not check"),
    *[
        (f"{name} {wrong!r}", {name: wrong}, name)
        for name in ("max_connections", "max_response_bytes")
        for wrong in (0, -1, "5", 1.5, True)
    ],
    *[
        (f"user_agent {wrong!r}", {"user_agent": wrong}, "user_agent")
        for wrong in ("a\r\nX-Evil: 1", "a\nb", "é", "\x00", 5, b"x")
    ],
    *[
        (f"base_url {wrong!r}", {"base_url": wrong}, "base_url")
        for wrong in (
            "", "api.hubapi.com", "ftp://api.hubapi.com", "https://", "https:///crm", "https://[::1", "file:///etc/x",
            "https://host:99999", "https://host:x", "https://host?x=1", "https://host#f", "https://host?", "https://host#",
            "https://ho st", "https://host/ a", "https://host\n", " https://host", "https://ho\tst", "https://hüst",
            "https://host\\@evil", None, 5, b"https://host",
        )
    ],
]  # fmt: skip


class TestSettings:
    @pytest.mark.parametrize(("settings", "words"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
    def test_wrong_ones(self, settings: dict[str, Any], words: str) -> None:
        """A wrong setting is a ConfigurationError from the constructor, naming it, on one line."""
        given = {"token": TOKEN} | settings
        with pytest.raises(ConfigurationError, match=words) as caught:
            MeetingsClient(**given)
        assert str(caught.value).isprintable()
        assert TOKEN not in str(caught.value)

    def test_right_ones(self) -> None:
        """Every setting takes what its docstring says."""
        client = MeetingsClient(
            Secret(TOKEN),
            base_url="https://api.hubspot.com/",
            api_version="2026-09",
            limits=PROFESSIONAL,
            retry=RetryPolicy(attempts=1),
            timeout=Timeouts(call_s=None),
            ssl=ssl.create_default_context(),
            max_connections=1,
            max_response_bytes=1,
            user_agent="crm-sync/2.1 (ops@example.com)",
        )
        assert "https://api.hubspot.com" in repr(client)
        assert MeetingsClient(auth=StaticToken(TOKEN)).quota.limit > 0

    def test_limits_reach_the_gate(self) -> None:
        """The plan's limit is the gate's, and a limiter of one's own is asked instead."""
        assert MeetingsClient(TOKEN, limits=PROFESSIONAL).quota.limit == PROFESSIONAL.per_ten_seconds
        assert MeetingsClient(TOKEN, limits=Limits(per_ten_seconds=33)).quota.limit == 33
        assert MeetingsClient(TOKEN, limiter=NoLimit()).quota.name == "unlimited"
        assert MeetingsClient(TOKEN, limiter=QuotaGate(limit=7)).quota.limit == 7

    def test_positional_token_only(self) -> None:
        """Everything but the token goes by name."""
        with pytest.raises(TypeError):
            MeetingsClient(TOKEN, None)  # type: ignore[call-arg]

    @pytest.mark.parametrize(
        "url",
        ["http://api.hubapi.com", "http://10.0.0.1", "http://127.0.0.1.evil.example", "http://localhost.evil.example",
         "http://[::2]", "http://0.0.0.0", "HTTP://example.com"],
    )  # fmt: skip
    def test_plain_http_is_for_loopback(self, url: str) -> None:
        """http:// to another machine is refused, unless one insists."""
        with pytest.raises(ConfigurationError, match="allow_insecure"):
            MeetingsClient(TOKEN, base_url=url)
        MeetingsClient(TOKEN, base_url=url, allow_insecure=True)

    @pytest.mark.parametrize(
        "url",
        ["http://127.0.0.1:8080", "http://localhost", "http://LOCALHOST:1/", "http://[::1]:9", "http://127.0.0.2"],
    )
    def test_loopback(self, url: str) -> None:
        """This machine may be reached in clear: the emulator lives there."""
        MeetingsClient(TOKEN, base_url=url)

    @pytest.mark.parametrize(
        "url", ["https://user:s3cret@host", "https://:s3cret@host", "https://s3cret@host", "http://a:s3cret@[::1"]
    )
    def test_passwords_in_urls(self, url: str) -> None:
        """A URL with credentials is refused without repeating them."""
        with pytest.raises(ConfigurationError, match="base_url") as caught:
            MeetingsClient(TOKEN, base_url=url)
        assert "s3cret" not in f"{caught.value} {caught.value!r}"


class TestFromEnv:
    def test_with(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The token comes from HUBSPOT_ACCESS_TOKEN, line end and all; options go along."""
        monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", TOKEN + "\n")
        client = MeetingsClient.from_env(limiter=NoLimit())
        assert client.quota.name == "unlimited"

    @pytest.mark.parametrize("value", [None, "", "  ", "\n"])
    def test_without(self, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
        """A missing or empty variable says which one to set."""
        monkeypatch.delenv("HUBSPOT_ACCESS_TOKEN", raising=False)
        if value is not None:
            monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", value)
        with pytest.raises(ConfigurationError, match="HUBSPOT_ACCESS_TOKEN"):
            MeetingsClient.from_env()

    def test_two_tokens_in_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A variable with a space inside is refused without repeating it."""
        monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", f"Bearer {TOKEN}")
        with pytest.raises(ConfigurationError, match="space") as caught:
            MeetingsClient.from_env()
        assert TOKEN not in str(caught.value)


class TestClosing:
    async def test_use_after_close(self, emulator: Emulator) -> None:
        """After the block, or after aclose() however often, every call is refused in words and nothing is sent."""
        async with MeetingsClient(TOKEN, base_url=emulator.url) as client:
            await client.meetings.create({"hs_meeting_title": "x"})
        await client.aclose()
        await client.aclose()
        seen = emulator.stats().requests
        for call in (client.meetings.get(1), client.meetings.create({"a": "b"}), client.meetings.archive(1)):
            with pytest.raises(ConfigurationError, match="closed"):
                await call
        with pytest.raises(ConfigurationError, match="closed"):
            [meeting async for meeting in client.meetings.list()]
        with pytest.raises(ConfigurationError, match="closed"):
            await client.bulk.create([{"hs_meeting_title": "x"}])
        assert emulator.stats().requests == seen

    async def test_without_the_block(self, emulator: Emulator) -> None:
        """A client works without `async with`, and aclose() leaves nothing open."""
        client = MeetingsClient(TOKEN, base_url=emulator.url)
        await client.meetings.create({"hs_meeting_title": "x"})
        await client.aclose()
        del client
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            gc.collect()

    async def test_an_error_in_the_block_is_the_one_that_comes_out(self, emulator: Emulator) -> None:
        """Leaving by an exception closes, and hands that exception on."""
        with pytest.raises(ZeroDivisionError):
            async with MeetingsClient(TOKEN, base_url=emulator.url) as client:
                raise ZeroDivisionError
        with pytest.raises(ConfigurationError, match="closed"):
            await client.meetings.get(1)

    async def test_closed_under_a_call(self, emulator: Emulator) -> None:
        """A call that is out when the client closes ends in an error that tells the truth about it, and soon."""
        client = MeetingsClient(TOKEN, base_url=emulator.url, retry=SWIFT)
        emulator.faults.hang_next(times=None, applied=True)
        caught: list[BaseException] = []

        async def create() -> None:
            try:
                await client.meetings.create({"hs_meeting_title": "x"})
            except HubSpotError as error:
                caught.append(error)

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(create)
                while not emulator.stats().records.created:
                    await anyio.lowlevel.checkpoint()
                await client.aclose()
        assert [type(error) for error in caught] == [AmbiguousWriteError]

    def test_two_loops(self) -> None:
        """A client that was used on one loop refuses the next in words, instead of hanging or half working."""

        async def serve(connection: Connection) -> None:
            await connection.request()
            await connection.send(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"id":"1"}')

        clients: list[MeetingsClient] = []

        async def first() -> None:
            async with listening(serve) as server:
                clients.append(MeetingsClient(TOKEN, base_url=server.url))
                assert (await clients[0].meetings.get(1)).id == "1"

        async def second() -> None:
            with anyio.fail_after(10), pytest.raises(ConfigurationError, match="event loop"):
                await clients[0].meetings.get(1)

        with asyncio.Runner() as runner:
            runner.run(first())
            asyncio.run(second())
            runner.run(clients[0].aclose())

    async def test_never_used(self) -> None:
        """A client that was never used needs no closing, and can be closed."""
        client = MeetingsClient(TOKEN)
        await client.aclose()
        assert "closed" in repr(client)


class TestWholeCalls:
    async def test_user_agent(self) -> None:
        """The library names itself behind the user's own name."""

        async def serve(connection: Connection) -> None:
            await connection.request()
            await connection.send(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"id":"1"}')

        async with listening(serve) as server:
            async with MeetingsClient(TOKEN, base_url=server.url, user_agent="crm-sync/2") as client:
                await client.meetings.get(1)
            head = server.requests[0]
        assert b"User-Agent: crm-sync/2 hubspot-meetings-async/" in head
        assert head.count(TOKEN.encode()) == 1

    async def test_a_base_url_with_a_path(self) -> None:
        """A gateway's prefix stays in front, with or without a slash at its end."""

        async def serve(connection: Connection) -> None:
            while True:
                await connection.request()
                await connection.send(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"id":"1"}')

        async with listening(serve) as server:
            for end in ("", "/"):
                async with MeetingsClient(TOKEN, base_url=f"{server.url}/gate/hub{end}") as client:
                    await client.meetings.get(1)
        assert {head.split(b" ")[1] for head in server.requests} == {b"/gate/hub/crm/v3/objects/meetings/1"}

    async def test_nobody_there(self) -> None:
        """An unreachable host ends in TransportFailed after the attempts, with the address and advice."""
        url = f"http://127.0.0.1:{refused_port()}"
        async with MeetingsClient(TOKEN, base_url=url, retry=SWIFT) as client:
            with pytest.raises(TransportFailed, match="base_url") as caught:
                await client.meetings.create({"hs_meeting_title": "x"})
        assert (caught.value.sent, caught.value.attempt) == (False, SWIFT.attempts)
        assert url in str(caught.value)

    async def test_the_budget_of_a_call(self, emulator: Emulator) -> None:
        """`call_s` ends a call that hangs; a write that had left is ambiguous."""
        emulator.faults.hang_next(times=None)
        async with MeetingsClient(TOKEN, base_url=emulator.url, timeout=Timeouts(call_s=0.2)) as client:
            with pytest.raises(DeadlineExceeded) as late:
                await client.meetings.get(1)
            assert late.value.sent
            with pytest.raises(AmbiguousWriteError) as lost:
                await client.meetings.create({"hs_meeting_title": "x"})
            assert lost.value.why == "timeout"

    async def test_the_users_own_timeout(self, emulator: Emulator) -> None:
        """asyncio.timeout around a call stays a TimeoutError, and the client goes on working."""
        emulator.faults.hang_next()
        async with MeetingsClient(TOKEN, base_url=emulator.url) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await client.meetings.create({"hs_meeting_title": "x"})
            assert (await client.meetings.create({"hs_meeting_title": "y"})).id
            assert client.quota.in_flight == 0


class TestNoTokenAnywhere:
    async def test_canary(self, caplog: pytest.LogCaptureFixture) -> None:
        """Logs at DEBUG, reprs, errors with their chains and tracebacks, pickles: none of them holds the token."""
        caplog.set_level(logging.DEBUG)
        shown: list[str] = []
        async with Emulator(limit=None, tokens=["other"]) as emulator:
            for url in (emulator.url, f"http://127.0.0.1:{refused_port()}"):
                async with MeetingsClient(TOKEN, base_url=url, retry=SWIFT, timeout=Timeouts(connect_s=2.0)) as client:
                    with pytest.raises(HubSpotError) as caught:
                        await client.meetings.create({"hs_meeting_title": "x"})
                    with pytest.raises(HubSpotError) as run:
                        await client.bulk.create([{"hs_meeting_title": "x"}])
                    for error in (caught.value, run.value):
                        shown += [f"{error} {error!r} {vars(error)}", "".join(traceback.format_exception(error))]
                        shown.append(repr(pickle.dumps(error)))
                    parts = [client, client.meetings, client.bulk, client.quota, client._gate, client._transport]
                    shown += [f"{part!r} {part}" for part in parts]
        shown.append(caplog.text)
        assert [text for text in shown if TOKEN in text] == []

    async def test_locals_in_tracebacks(self, emulator: Emulator) -> None:
        """Tracebacks that print local variables show no token in the frames of a call."""
        emulator.faults.fail_next(401, times=None)
        async with MeetingsClient(TOKEN, base_url=emulator.url) as client:
            with pytest.raises(Unauthorized) as caught:
                await client.meetings.get(1)
        dump = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        frames = [frame for frame in dump.stack if "hubspot_meetings_async" in frame.filename]
        assert len(frames) >= 4
        assert TOKEN not in repr([frame.locals for frame in frames])
