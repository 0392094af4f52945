"""FastAPI: one client an app, each error an answer that tells whose fault it is, deliveries checked."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import httpx
import pytest
from fastapi import Depends, FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse

from hubspot_meetings_async import (
    AmbiguousWriteError,
    CalendarNotConnected,
    CircuitBreaker,
    CircuitOpen,
    ConfigurationError,
    Conflict,
    DailyLimitExceeded,
    DeadlineExceeded,
    DurationNotOffered,
    ErrorDetail,
    Forbidden,
    FormFieldMissing,
    HubSpotError,
    HubSpotUnavailable,
    InvalidRecord,
    MeetingsClient,
    NoLimit,
    NotFound,
    RateLimited,
    RequestRejected,
    RetryPolicy,
    SlotTaken,
    Timeouts,
    TokenRefused,
    TokenUnavailable,
    TransportFailed,
    Unauthorized,
    UnexpectedResponse,
    WebhookRefused,
    errors,
)
from hubspot_meetings_async.emulator import Emulator
from hubspot_meetings_async.integrations.fastapi import (
    Hubspot,
    add_error_answers,
    hubspot_client,
    hubspot_lifespan,
    install,
    webhook_events,
)
from hubspot_meetings_async.integrations.webhooks import Event, PropertyChange

from ..conftest import SWIFT
from ..faults.conftest import nothing_left, sockets  # noqa: F401 - a fixture
from ..security.canaries import CLIENT_SECRET, TOKEN
from .deliveries import EVENT, NOW_S, SECRET, delivery, signed
from .served import started, under_uvicorn

MakeClient = Callable[[], MeetingsClient]


def maker(emulator: Emulator, **options: Any) -> MakeClient:
    settings: dict[str, Any] = {"limiter": NoLimit(), "retry": SWIFT} | options
    return lambda: MeetingsClient(TOKEN, base_url=emulator.url, **settings)


class TestOneClient:
    async def test_every_request_has_the_same(self, emulator: Emulator) -> None:
        """Made once when the app starts, closed when it ends."""
        made: list[MeetingsClient] = []
        seen: list[MeetingsClient] = []

        def make() -> MeetingsClient:
            made.append(maker(emulator)())
            return made[-1]

        app = FastAPI()
        install(app, make)

        @app.get("/")
        async def look(hubspot: Hubspot, request: Request) -> int:
            seen.extend((hubspot, request.app.state.hubspot))
            return len([meeting async for meeting in hubspot.meetings.list()])

        assert made == []
        async with started(app) as client:
            assert [(await client.get("/")).json() for _ in range(3)] == [0, 0, 0]
        assert len(made) == 1
        assert {id(one) for one in seen} == {id(made[0])}
        assert not hasattr(app.state, "hubspot")
        with pytest.raises(ConfigurationError, match="closed"):
            await made[0].meetings.get(1)
        async with started(app) as client:
            assert (await client.get("/")).json() == 0
        assert len(made) == 2

    async def test_an_own_lifespan_runs_within(self, emulator: Emulator) -> None:
        """It has the client from its first line to its last, and its state reaches the handlers."""
        steps: list[str] = []

        @asynccontextmanager
        async def own(app: FastAPI) -> AsyncGenerator[dict[str, str], None]:
            await app.state.hubspot.properties.all()
            steps.append("up")
            yield {"greeting": "hello"}
            await app.state.hubspot.properties.all()
            steps.append("down")

        app = FastAPI(lifespan=own)
        install(app, maker(emulator))

        @app.get("/")
        async def greet(request: Request, hubspot: Hubspot) -> str:
            return str(request.state.greeting)

        # uvicorn, which hands the lifespan's state to the requests.
        async with under_uvicorn(app) as url, httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/")).json() == "hello"
        assert steps == ["up", "down"]

    async def test_within_an_own_lifespan(self, emulator: Emulator) -> None:
        """The other way round."""

        @asynccontextmanager
        async def own(app: FastAPI) -> AsyncGenerator[None, None]:
            async with hubspot_lifespan(maker(emulator))(app):
                yield

        app = FastAPI(lifespan=own)

        @app.get("/")
        async def look(hubspot: Hubspot) -> str:
            return repr(hubspot)

        async with started(app) as client:
            assert "MeetingsClient" in (await client.get("/")).text

    async def test_a_failing_start_closes_it(self, emulator: Emulator) -> None:
        """What the app's own lifespan raises comes out, and the connection is closed."""

        @asynccontextmanager
        async def own(app: FastAPI) -> AsyncGenerator[None, None]:
            await app.state.hubspot.properties.all()
            raise LookupError("no database")
            yield

        app = FastAPI(lifespan=own)
        install(app, maker(emulator))
        before = sockets()
        with pytest.raises(LookupError, match="no database"):
            async with started(app):
                pass
        for _ in range(200):  # the emulator's end of it goes when the news has come
            if sockets() <= before:
                break
            await asyncio.sleep(0.01)
        assert sockets() <= before
        assert not hasattr(app.state, "hubspot")

    async def test_a_mounted_app(self, emulator: Emulator) -> None:
        """Shares the state of the app around it, as the docstring says."""
        app, mounted = FastAPI(), FastAPI()
        install(app, maker(emulator))
        mounted.state = app.state
        app.mount("/inner", mounted)

        @mounted.get("/")
        async def look(hubspot: Hubspot) -> bool:
            return hubspot is app.state.hubspot

        async with started(app) as client:
            assert (await client.get("/inner/")).json() is True

    async def test_tests_may_give_another(self, emulator: Emulator) -> None:
        """By FastAPI's own means."""
        app = FastAPI()
        stub = object()
        app.dependency_overrides[hubspot_client] = lambda: stub

        @app.get("/")
        async def look(hubspot: Hubspot) -> bool:
            return hubspot is stub

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
            assert (await client.get("/")).json() is True


class TestMistakes:
    async def test_no_lifespan(self) -> None:
        """The error says what to call, also for tests, where it is forgotten most."""
        app = FastAPI()

        @app.get("/")
        async def look(hubspot: Hubspot) -> None: ...

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
            with pytest.raises(ConfigurationError, match=r"install\(app\).*with TestClient\(app\)"):
                await client.get("/")

    async def test_twice(self, emulator: Emulator) -> None:
        """A second client for the same app would share nothing of the quota: refused at the start."""
        app = FastAPI()
        install(app, maker(emulator))
        install(app, maker(emulator))
        with pytest.raises(ConfigurationError, match="install it once"):
            async with started(app):
                pass

    async def test_what_makes_no_client(self, emulator: Emulator) -> None:
        """A client itself, and a function that makes something else."""
        async with maker(emulator)() as client:
            with pytest.raises(ConfigurationError, match="takes a function"):
                install(FastAPI(), client)  # type: ignore[arg-type]
        app = FastAPI()
        install(app, lambda: "pat-na1-c4n4ry")  # type: ignore[arg-type, return-value]
        with pytest.raises(ConfigurationError, match="MeetingsClient, not a str") as caught:
            async with started(app):
                pass
        assert "c4n4ry" not in str(caught.value)

    async def test_no_token(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without `make_client` the token comes from the environment; the app does not start without."""
        monkeypatch.delenv("HUBSPOT_ACCESS_TOKEN", raising=False)
        app = FastAPI()
        install(app)
        with pytest.raises(ConfigurationError, match="HUBSPOT_ACCESS_TOKEN"):
            async with started(app):
                pass

    def test_without_fastapi(self) -> None:
        """The import error names the extra."""
        code = "import sys; sys.modules['fastapi'] = None; import hubspot_meetings_async.integrations.fastapi"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "pip install 'hubspot-meetings-async[fastapi]'" in done.stderr.splitlines()[-1]


LEAK = "anna@example.com owns pat-na1-c4n4ry"
SOON = datetime.now(UTC) + timedelta(hours=2)

ANSWERS: list[tuple[HubSpotError, int, dict[str, Any], int | None]] = [
    (RateLimited(LEAK, retry_after_s=2.2, correlation_id="c-1"), 503, {"correlation_id": "c-1"}, 3),
    (RateLimited(LEAK), 503, {}, 10),
    (CircuitOpen(LEAK, retry_in_s=0.01), 503, {}, 1),
    (HubSpotUnavailable(LEAK, retry_after_s=7, correlation_id="c-2"), 503, {"correlation_id": "c-2"}, 7),
    (HubSpotUnavailable(LEAK), 503, {}, 5),
    (TokenUnavailable(LEAK), 503, {}, 5),
    (DeadlineExceeded(LEAK, sent=False), 504, {}, None),
    (TransportFailed(LEAK, sent=True), 502, {}, None),
    (NotFound(LEAK, correlation_id="c-3"), 404, {"correlation_id": "c-3"}, None),
    (Conflict(LEAK), 409, {}, None),
    (SlotTaken(LEAK), 409, {}, None),
    (DurationNotOffered(LEAK), 422, {}, None),
    (FormFieldMissing(LEAK, field="phone"), 422, {}, None),
    (InvalidRecord(LEAK), 422, {}, None),
    (RequestRejected(LEAK, category="VALIDATION_ERROR"), 422, {}, None),
    (
        RequestRejected(LEAK, details=(ErrorDetail(message=LEAK, property_name="hs_x"),)),
        422,
        {"properties": ["hs_x"]},
        None,
    ),
    (RequestRejected(LEAK, status=415), 502, {}, None),
    (Unauthorized(LEAK, details=(ErrorDetail(message=LEAK, property_name="hs_x"),)), 502, {}, None),
    (TokenRefused(LEAK, error="invalid_grant"), 502, {}, None),
    (Forbidden(LEAK, correlation_id="c-4"), 502, {"correlation_id": "c-4"}, None),
    (UnexpectedResponse(LEAK), 502, {}, None),
    (CalendarNotConnected(LEAK, answer={"a": LEAK}), 502, {}, None),
    (AmbiguousWriteError(LEAK, why="5xx", asked=LEAK), 502, {"ambiguous": True}, None),
    (ConfigurationError(LEAK), 500, {}, None),
    (HubSpotError(LEAK), 500, {}, None),
]


def raising(error: Exception) -> FastAPI:
    app = FastAPI()
    add_error_answers(app)

    @app.get("/{anything:path}")
    async def fail() -> None:
        raise error

    return app


class TestAnswers:
    @pytest.mark.parametrize(
        ("error", "status", "more", "retry_after"), ANSWERS, ids=[type(a[0]).__name__ for a in ANSWERS]
    )
    async def test_each_error(
        self, error: HubSpotError, status: int, more: dict[str, Any], retry_after: int | None
    ) -> None:
        """RFC 9457, with a code to go by, and not a word of the error's own, which may be HubSpot's."""
        async with started(raising(error)) as client:
            answer = await client.get("/")
        problem = answer.json()
        assert answer.status_code == problem["status"] == status
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers.get("Retry-After") == (None if retry_after is None else str(retry_after))
        assert problem["code"] == type(error).__name__
        words = {"type", "title", "status", "detail", "code"}
        assert {name: value for name, value in problem.items() if name not in words} == more
        assert problem["title"]
        assert problem["detail"]
        assert "c4n4ry" not in answer.text
        assert "anna" not in answer.text

    async def test_the_day_is_spent(self) -> None:
        """`Retry-After` leads to the reset."""
        async with started(
            raising(DailyLimitExceeded(LEAK, resets_at=datetime.now(UTC) + timedelta(hours=2)))
        ) as client:
            answer = await client.get("/")
        assert 7_190 <= int(answer.headers["Retry-After"]) <= 7_200

    async def test_the_correlation_id_of_a_cause(self) -> None:
        """A write in doubt has the id of the failure that it was seen by."""
        error = AmbiguousWriteError("lost", why="5xx")
        error.__cause__ = HubSpotUnavailable("503", correlation_id="c-9")
        async with started(raising(error)) as client:
            assert (await client.get("/")).json()["correlation_id"] == "c-9"

    @pytest.mark.parametrize("name", [name for name in errors.__all__ if name != "ErrorDetail"])
    async def test_no_error_is_forgotten(self, name: str) -> None:
        """An error that only bulk runs and copies have is this service's failure; others are in the table."""
        kind: type[HubSpotError] = getattr(errors, name)
        error = kind.__new__(kind)
        error.__dict__.update(
            message="", method=None, path=None, status=None, attempt=None, category=None, details=(),
            retry_after_s=None, resets_at=None, retry_in_s=1.0, why="forged",
        )  # fmt: skip
        async with started(raising(error)) as client:
            status = (await client.get("/")).status_code
        inner = (
            "AccountingError",
            "ConfigurationError",
            "ForkedClientError",
            "HubSpotError",
            "PoisonRecord",
            "StoreError",
        )
        assert (status == 500) == (name in inner or name.startswith("Journal"))

    @pytest.mark.parametrize(
        ("error", "level"),
        [
            (NotFound("gone"), logging.INFO),
            (InvalidRecord("bad"), logging.INFO),
            (HubSpotUnavailable("down"), logging.WARNING),
            (Unauthorized("no"), logging.WARNING),
            (ConfigurationError("wrong"), logging.ERROR),
        ],
    )
    async def test_operators_read_it_in_the_log(
        self, error: HubSpotError, level: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One line with HubSpot's words; a traceback for what is this service's own failure. Paths forge no lines."""
        caplog.set_level(logging.INFO, "hubspot_meetings_async.integrations.fastapi")
        async with started(raising(error)) as client:
            await client.get("/a%E2%80%AEb%1B[2J")
        (record,) = [record for record in caplog.records if record.name.startswith("hubspot_meetings_async")]
        assert record.levelno == level
        assert error.message in record.getMessage()
        assert record.getMessage().isprintable()
        assert bool(record.exc_info) == (level == logging.ERROR)

    async def test_web_sockets_are_left_alone(self) -> None:
        """There is nobody to read an answer: the error goes on to the server."""
        app = FastAPI()
        add_error_answers(app)

        @app.websocket("/")
        async def talk(socket: WebSocket) -> None:
            await socket.accept()
            raise NotFound("gone")

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message["type"])

        with pytest.raises(NotFound):
            await app({"type": "websocket", "path": "/", "headers": [], "query_string": b""}, receive, send)
        assert sent == ["websocket.accept"]

    async def test_an_unsigned_delivery_checked_by_hand(self) -> None:
        """`check_signature` in an endpoint needs no catching."""
        async with started(raising(WebhookRefused("no", why="forged"))) as client:
            assert (await client.get("/")).status_code == 401
        async with started(raising(WebhookRefused("no", why="unreadable"))) as client:
            assert (await client.get("/")).status_code == 400


def meetings_app(make: MakeClient) -> FastAPI:
    app = FastAPI()
    install(app, make)

    @app.get("/meetings/{meeting_id}")
    async def get(meeting_id: str, hubspot: Hubspot) -> str:
        return (await hubspot.meetings.get(meeting_id)).id

    @app.post("/meetings")
    async def create(body: dict[str, str], hubspot: Hubspot) -> str:
        return (await hubspot.meetings.create(body)).id

    return app


class TestAgainstTheEmulator:
    async def test_what_hubspot_says_is_answered(self, emulator: Emulator) -> None:
        """Records that are not there, ids that are none, values that are taken or wrong."""
        async with started(meetings_app(maker(emulator))) as client:
            assert (await client.get("/meetings/1")).status_code == 404
            assert (await client.get("/meetings/nobody")).status_code == 422
            assert (await client.post("/meetings", json={"booking_ref": "B-1"})).status_code == 200
            taken = await client.post("/meetings", json={"booking_ref": "B-1"})
            assert taken.status_code == 409
            assert "B-1" not in taken.text
            wrong = await client.post("/meetings", json={"hs_meeting_outcom": "SCHEDULED"})
            assert (wrong.status_code, wrong.json()["properties"]) == (422, ["hs_meeting_outcom"])
            assert wrong.json()["correlation_id"]

    async def test_a_lost_answer(self, emulator: Emulator) -> None:
        """A create that may have happened says so in a word that programs read."""
        async with started(meetings_app(maker(emulator))) as client:
            emulator.faults.fail_next(502, applied=True)
            answer = await client.post("/meetings", json={"hs_meeting_title": "new"})
        assert (answer.status_code, answer.json()["ambiguous"]) == (502, True)
        assert emulator.stats().records.stored == 1

    async def test_down_and_slow(self, emulator: Emulator) -> None:
        """503 while HubSpot fails, also when the breaker opens; 504 when the time is over."""
        make = maker(
            emulator,
            retry=RetryPolicy(attempts=1),
            timeout=Timeouts(call_s=0.2),
            circuit_breaker=CircuitBreaker(failures=2, open_s=30),
        )
        async with started(meetings_app(make)) as client:
            emulator.faults.hang_next(times=1)
            assert (await client.get("/meetings/1")).status_code == 504
            emulator.faults.fail_next(503, times=5)
            found = [(await client.get("/meetings/1")) for _ in range(3)]
        assert [answer.status_code for answer in found] == [503] * 3
        assert found[-1].json()["code"] == "CircuitOpen"
        assert 1 <= int(found[-1].headers["Retry-After"]) <= 30

    async def test_our_token_is_refused(self, caplog: pytest.LogCaptureFixture) -> None:
        """502 without details: the visitor did nothing wrong. The token is nowhere."""
        async with Emulator(tokens=["another"]) as emulator, started(meetings_app(maker(emulator))) as client:
            answer = await client.get("/meetings/1")
        assert answer.status_code == 502
        assert "token" not in answer.text.lower()
        assert TOKEN not in caplog.text + answer.text


URL = "https://app.example.com/hubspot/webhooks"


def webhook_app(*, secret: str = SECRET, **options: Any) -> FastAPI:
    app = FastAPI()
    settings: dict[str, Any] = {"public_url": "https://app.example.com", "now": lambda: NOW_S} | options

    @app.post("/{anything:path}")
    async def changed(events: tuple[Event, ...] = Depends(webhook_events(secret, **settings))) -> list[str]:
        return [event.object_id for event in events if isinstance(event, PropertyChange)]

    return app


async def deliver(app: FastAPI, url: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
    async with started(app) as client:
        return await client.post(url, content=body, headers=headers)


class TestWebhooks:
    async def test_events_arrive(self) -> None:
        """Signed with the public URL, delivered to the one behind the proxy."""
        body = delivery(EVENT, EVENT | {"objectId": 502})
        answer = await deliver(webhook_app(), "/hubspot/webhooks", body, signed(body, url=URL))
        assert (answer.status_code, answer.json()) == (200, ["501", "502"])

    @pytest.mark.parametrize(
        ("headers", "words"),
        [
            ({}, "missing"),
            (signed(delivery(EVENT), url=URL, at_s=NOW_S - 301), "clock"),
            (signed(delivery(EVENT), url=URL, secret="another"), "does not fit"),
            (signed(delivery(EVENT), url="https://evil.example/hubspot/webhooks"), "does not fit"),
        ],
        ids=["unsigned", "stale", "wrong secret", "another URL"],
    )
    async def test_what_is_not_hubspots(
        self, headers: dict[str, str], words: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """401 in words, which the operator finds in the log beside the URL that was checked. No secret is told."""
        body = delivery(EVENT)
        answer = await deliver(webhook_app(), "/hubspot/webhooks", body, headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"]
        assert words in answer.json()["detail"]
        assert URL in caplog.text
        right = signed(body, url=URL)["X-HubSpot-Signature-v3"]
        for secret in (SECRET, CLIENT_SECRET, right):
            assert secret not in answer.text + caplog.text

    async def test_a_signed_body_without_events(self) -> None:
        """400."""
        answer = await deliver(webhook_app(), "/hubspot/webhooks", b"{}", signed(b"{}", url=URL))
        assert answer.status_code == 400

    async def test_too_large(self) -> None:
        """No more than the limit is read, whatever the headers say."""
        read = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal read
            for _ in range(100):
                read += 1000
                yield b"x" * 1000

        app = webhook_app(max_body_bytes=5000)
        async with started(app) as client:
            answer = await client.post("/", content=endless(), headers=signed(b"", url=URL))
        assert answer.status_code == 413
        assert read <= 7000

    async def test_it_breaks_off(self) -> None:
        """A sender that goes away in the middle is answered 400, if anybody still listens, and is no failure."""
        messages: list[dict[str, Any]] = [{"type": "http.request", "body": b"[", "more_body": True}]
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b"", "root_path": ""}
        await webhook_app()(scope, receive, send)
        assert sent[0]["status"] == 400

    @pytest.mark.parametrize(
        ("public_url", "called", "signs"),
        [
            ("https://a.example/", "/w?b=2&a=1", "https://a.example/w?b=2&a=1"),
            ("https://a.example/prefix", "/w", "https://a.example/prefix/w"),
            ("https://a.example", "/caf%C3%A9/a%20b%2Bc?q=%20%40", "https://a.example/caf%C3%A9/a%20b%2Bc?q=%20@"),
            ("https://a.example", "/w?", "https://a.example/w"),
            (None, "/w?a=1", "http://app/w?a=1"),
        ],
        ids=range(5),
    )
    async def test_the_url_that_hubspot_calls(self, public_url: str | None, called: str, signs: str) -> None:
        """Path and query as they came, behind the public URL; without one, the URL that the app sees."""
        body = delivery(EVENT)
        answer = await deliver(webhook_app(public_url=public_url), called, body, signed(body, url=signs))
        assert answer.status_code == 200, answer.text

    async def test_mounted_and_under_a_root_path(self) -> None:
        """The whole path counts, wherever the app sits."""
        outer = FastAPI()
        outer.mount("/inner", webhook_app())
        body = delivery(EVENT)
        answer = await deliver(outer, "/inner/w", body, signed(body, url="https://app.example.com/inner/w"))
        assert answer.status_code == 200, answer.text

    @pytest.mark.parametrize("public_url", ["app.example.com", "ftp://a", ""])
    def test_a_public_url_that_is_none(self, public_url: str) -> None:
        """Told when the app is made, not when the first delivery fails."""
        with pytest.raises(ConfigurationError, match="public_url"):
            webhook_events(SECRET, public_url=public_url)

    def test_no_secret(self) -> None:
        """An empty client secret fails at once."""
        with pytest.raises(ConfigurationError, match="client_secret"):
            webhook_events("")
        with pytest.raises(ConfigurationError, match="max_body_bytes"):
            webhook_events(SECRET, max_body_bytes=0)


# ---- clients that leave -------------------------------------------------------------------------------------------


@asynccontextmanager
async def while_connected(request: Request) -> AsyncGenerator[None, None]:
    """What a service does that wants to stop working for nobody: cancel the handler when its client has left."""

    async def watch(scope: anyio.CancelScope) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch, tasks.cancel_scope)
        yield
        tasks.cancel_scope.cancel()


async def call_and_leave(url: str, path: str, emulator: Emulator, *, after_requests: int) -> None:
    """Ask, wait until HubSpot was asked so many times, and close the connection."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    del reader
    writer.write(f"GET {path} HTTP/1.1\r\nHost: app\r\n\r\n".encode())
    await emulator.until_requests(after_requests)
    writer.close()
    await writer.wait_closed()


@pytest.mark.row("X7")
@pytest.mark.usefixtures("nothing_left")
async def test_clients_that_leave(emulator: Emulator) -> None:
    """Under uvicorn, handlers whose clients hang up are cancelled in mid-call: the pool stays whole, and all is closed.

    Ten connections to HubSpot, six rounds of ten handlers that never get their answer, plain and streaming: a single
    connection that is not given back would show in the rounds that follow.
    """
    left = asyncio.Semaphore(0)
    app = FastAPI()
    install(app, maker(emulator, max_connections=10))

    @app.get("/plain")
    async def plain(request: Request, hubspot: Hubspot) -> int:
        async with while_connected(request):
            try:
                await hubspot.meetings.get(1)
            except asyncio.CancelledError:
                left.release()
                raise
        return 0

    @app.get("/stream")
    async def stream(hubspot: Hubspot) -> StreamingResponse:
        async def lines() -> AsyncGenerator[str, None]:
            yield "[\n"
            try:
                async for meeting in hubspot.meetings.list():
                    yield f"{meeting.id}\n"
            except asyncio.CancelledError:
                left.release()
                raise

        return StreamingResponse(lines())

    @app.get("/count")
    async def count(hubspot: Hubspot) -> int:
        return len([meeting async for meeting in hubspot.meetings.list()])

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        async with under_uvicorn(app) as url, httpx.AsyncClient(base_url=url) as client:
            for path in ("/plain", "/stream") * 3:
                emulator.faults.hang_next(times=10)
                before = emulator.stats().requests
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(10):
                        tasks.create_task(call_and_leave(url, path, emulator, after_requests=before + 10))
                with anyio.fail_after(20):
                    for _ in range(10):
                        await left.acquire()
                emulator.faults.clear()
                answers = await asyncio.gather(*(client.get("/count") for _ in range(20)))
                assert [answer.status_code for answer in answers] == [200] * 20
            assert app.state.hubspot.quota.in_flight == 0
        gc.collect()
    assert [str(warning.message) for warning in seen] == []


async def test_json_reads_back(emulator: Emulator) -> None:
    """The example of the module's docstring."""
    app = FastAPI()
    install(app, maker(emulator))

    @app.get("/meetings/{meeting_id}")
    async def meeting(meeting_id: str, hubspot: Hubspot) -> dict[str, str | None]:
        return (await hubspot.meetings.get(meeting_id, properties=["hs_meeting_title"])).properties

    meeting_id = emulator.portal.add_object("meetings", properties={"hs_meeting_title": "Kick-off"})
    async with started(app) as client:
        assert json.loads((await client.get(f"/meetings/{meeting_id}")).text)["hs_meeting_title"] == "Kick-off"
