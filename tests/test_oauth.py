"""OAuth: one refresh for everybody, nothing lost on the way, no secret in sight."""

import asyncio
import base64
import hashlib
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest

from hubspot_meetings_async import MeetingsClient, NoLimit, RetryPolicy, Secret
from hubspot_meetings_async.auth.endpoints import TOKEN_VERSIONS, TokenEndpoints
from hubspot_meetings_async.auth.oauth import OAuth, new_code_verifier
from hubspot_meetings_async.bulk.outcomes import NotSent
from hubspot_meetings_async.emulator import Emulator, Fault
from hubspot_meetings_async.errors import (
    ConfigurationError,
    HubSpotError,
    HubSpotUnavailable,
    NotFound,
    TokenRefused,
    TokenUnavailable,
    Unauthorized,
)
from hubspot_meetings_async.models import Tokens
from hubspot_meetings_async.wire import Quota, Replay, Request, Response, Trail, parse

from . import sampling

T = TypeVar("T")

CLIENT_SECRET = "s3cr3t-c4n4ry-client"
SWIFT = RetryPolicy(attempts=2, base_s=0.001, cap_s=0.002)


def app(emulator: Emulator, *, rotates: bool = True, lifetime_s: int = 1800) -> str:
    """An app that the account has installed; its refresh token."""
    emulator.portal.add_app("app-1", CLIENT_SECRET, rotates=rotates, token_lifetime_s=lifetime_s)
    refresh = emulator.portal.issue_tokens("app-1").refresh
    assert refresh is not None
    return refresh.value


def client(emulator: Emulator, auth: Any, **options: Any) -> MeetingsClient:
    settings: dict[str, Any] = {"limiter": NoLimit(), "retry": SWIFT} | options
    return MeetingsClient(auth=auth, base_url=emulator.url, **settings)


def refreshes(emulator: Emulator) -> int:
    return emulator.portal.keyring.grants["refresh_token"]


def all_words(error: BaseException) -> str:
    """Everything that prints an error and what hangs on it, local variables included."""
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is not None:
            shown += f"{link} {link!r} {vars(link)} {link.args}"
            links += [link.__cause__, link.__context__]
    return shown


def assert_hides(error: BaseException, *secrets: str) -> None:
    # Not in the test itself: pytest keeps what it compares in local variables, which are looked through here.
    shown = all_words(error)
    assert [secret for secret in ("c4n4ry", *secrets) if secret in shown] == []


@pytest.fixture(params=TOKEN_VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Endpoint:
    """A `Call` in place of the token endpoint: tokens t1, t2, …; a test may hold it at each moment."""

    def __init__(self, *, life_s: float = 1800.0) -> None:
        self.asked: list[str] = []
        self.life_s = life_s
        self.failing: HubSpotError | None = None
        self.leave = anyio.Event()
        self.answer = anyio.Event()
        self.leave.set()
        self.answer.set()

    async def __call__(self, request: Request[T], trail: Trail | None = None) -> T:
        await self.leave.wait()
        assert trail is not None
        assert trail.on_sent is not None
        trail.on_sent()
        self.asked.append((request.body or b"").decode())
        number = len(self.asked)
        await self.answer.wait()
        if self.failing is not None:
            raise self.failing
        body = {"access_token": f"t{number}", "refresh_token": f"r{number}", "expires_in": self.life_s}
        return parse(request, sampling.answer(200, body))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def attached(endpoint: Endpoint, **options: Any) -> OAuth:
    oauth = OAuth("app-1", CLIENT_SECRET, "r0", **options)
    oauth.attach(endpoint, api_version="v3")
    return oauth


class TestOneRefresh:
    async def test_a_thousand_tasks_on_an_expired_token(self, version: str) -> None:
        """1,000 tasks whose token HubSpot calls expired make one refresh, and all get their answer."""
        async with Emulator(limit=None) as emulator:
            oauth = OAuth("app-1", CLIENT_SECRET, app(emulator), version=version)
            async with client(emulator, oauth) as hubspot:
                meeting = await hubspot.meetings.create({"hs_meeting_title": "one"})
                assert refreshes(emulator) == 1
                assert emulator.portal.expire_tokens() == 2  # the one in use, and the one of the installation
                got = await asyncio.gather(*(hubspot.meetings.get(meeting.id) for _ in range(1000)))
                assert {one.id for one in got} == {meeting.id}
                assert refreshes(emulator) == 2
                assert {entry.path for entry in emulator.recent_requests if "/oauth/" in entry.path} <= {
                    f"/oauth/{version}/token"
                }

    async def test_a_thousand_tasks_without_a_token(self) -> None:
        """1,000 tasks that need the first token make one refresh."""
        endpoint = Endpoint()
        oauth = attached(endpoint)
        tokens = await asyncio.gather(*(oauth.token() for _ in range(1000)))
        assert {token.reveal() for token in tokens} == {"t1"}
        assert len(endpoint.asked) == 1

    async def test_a_thousand_tasks_and_a_dead_endpoint(self) -> None:
        """They share one failure too, and the next call tries anew."""
        endpoint = Endpoint()
        endpoint.failing = HubSpotUnavailable("down", status=503)
        oauth = attached(endpoint)
        got = await asyncio.gather(*(oauth.token() for _ in range(1000)), return_exceptions=True)
        assert {type(one) for one in got} == {TokenUnavailable}
        assert len({id(one) for one in got}) == 1000  # each has a traceback of its own
        assert len(endpoint.asked) == 1
        endpoint.failing = None
        assert (await oauth.token()).reveal() == "t2"

    async def test_a_refused_grant_is_not_asked_again_and_again(self) -> None:
        """A refusal is believed for ten seconds."""
        clock, endpoint = Clock(), Endpoint()
        endpoint.failing = Unauthorized("no", category="invalid_grant", status=400)
        oauth = attached(endpoint, clock=clock)
        for _ in range(5):
            with pytest.raises(TokenRefused):
                await oauth.token()
        assert len(endpoint.asked) == 1
        clock.now = 10.1
        endpoint.failing = None
        assert (await oauth.token()).reveal() == "t2"

    async def test_two_clients_share_it(self) -> None:
        """Clients of one OAuth use one token, also after one of them is closed."""
        async with Emulator(limit=None) as emulator:
            oauth = OAuth("app-1", CLIENT_SECRET, app(emulator))
            async with client(emulator, oauth) as one:
                async with client(emulator, oauth, api_version="2026-03") as other:
                    meeting = await other.meetings.create({"hs_meeting_title": "one"})
                    await one.meetings.get(meeting.id)
                emulator.portal.expire_tokens()
                await one.meetings.get(meeting.id)
            assert refreshes(emulator) == 2
            with pytest.raises(ConfigurationError, match="no open client"):
                await OAuth.introspect(oauth)


class TestInTime:
    async def test_ahead_of_the_end(self) -> None:
        """300 s before its end the token is renewed by one task; the others go on with the old one meanwhile."""
        clock, endpoint = Clock(), Endpoint(life_s=1800.0)
        oauth = attached(endpoint, clock=clock)
        await oauth.token()
        clock.now = 1499.9
        assert (await oauth.token()).reveal() == "t1"
        clock.now = 1500.1
        endpoint.answer = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(oauth.token)
            await anyio.wait_all_tasks_blocked()
            assert [(await oauth.token()).reveal() for _ in range(3)] == ["t1", "t1", "t1"]
            endpoint.answer.set()
        assert (await oauth.token()).reveal() == "t2"
        assert len(endpoint.asked) == 2

    async def test_short_lives(self) -> None:
        """A token that lives for 10 s is used for 8 of them."""
        clock, endpoint = Clock(), Endpoint(life_s=10.0)
        oauth = attached(endpoint, clock=clock)
        await oauth.token()
        clock.now = 7.9
        assert (await oauth.token()).reveal() == "t1"
        clock.now = 8.1
        assert (await oauth.token()).reveal() == "t2"

    async def test_a_failure_ahead_of_the_end_hurts_nobody(self, caplog: pytest.LogCaptureFixture) -> None:
        """The old token is used on, a warning is logged, and the next try is ten seconds later."""
        clock, endpoint = Clock(), Endpoint()
        oauth = attached(endpoint, clock=clock)
        await oauth.token()
        endpoint.failing = HubSpotUnavailable("down", status=503)
        clock.now = 1600.0
        with caplog.at_level(logging.WARNING):
            assert [(await oauth.token()).reveal() for _ in range(3)] == ["t1", "t1", "t1"]
        assert len(endpoint.asked) == 2
        assert len(caplog.records) == 1
        assert CLIENT_SECRET not in caplog.text
        clock.now = 1610.1
        endpoint.failing = None
        assert (await oauth.token()).reveal() == "t3"

    async def test_a_failure_at_the_end_does(self) -> None:
        """An ended token is never handed out."""
        clock, endpoint = Clock(), Endpoint()
        oauth = attached(endpoint, clock=clock)
        await oauth.token()
        endpoint.failing = HubSpotUnavailable("down", status=503)
        clock.now = 1800.0
        with pytest.raises(TokenUnavailable):
            await oauth.token()


class TestRotation:
    async def test_the_callback_comes_before_the_first_use(self) -> None:
        """When on_refresh runs, HubSpot has not seen the new token; it is used when the callback is done."""
        seen: list[tuple[int, str]] = []
        async with Emulator(limit=None) as emulator:

            async def store(tokens: Tokens) -> None:
                await anyio.lowlevel.checkpoint()
                assert tokens.refresh_token is not None
                meetings = sum("/oauth/" not in entry.path for entry in emulator.recent_requests)
                seen.append((meetings, tokens.refresh_token.reveal()))

            first = app(emulator)
            async with client(emulator, OAuth("app-1", CLIENT_SECRET, first, on_refresh=store)) as hubspot:
                meeting = await hubspot.meetings.create({"hs_meeting_title": "one"})
                emulator.portal.expire_tokens()
                await hubspot.meetings.get(meeting.id)
            # One create was carried out, and one get refused, when the second callback ran.
            assert [count for count, _ in seen] == [0, 2]
            assert len({first, *(token for _, token in seen)}) == 3
            # Whoever starts anew with what was stored gets on.
            async with client(emulator, OAuth("app-1", CLIENT_SECRET, seen[-1][1])) as hubspot:
                assert (await hubspot.meetings.get(meeting.id)).id == meeting.id
            async with client(emulator, OAuth("app-1", CLIENT_SECRET, first)) as hubspot:
                with pytest.raises(TokenRefused, match="invalid_grant"):
                    await hubspot.meetings.get(meeting.id)

    async def test_what_is_not_stored_is_not_used(self) -> None:
        """A callback that raises fails the call; before the next one it is called again, without another refresh."""
        calls: list[Tokens] = []

        def store(tokens: Tokens) -> None:
            calls.append(tokens)
            if len(calls) < 3:
                raise RuntimeError("database away")

        endpoint = Endpoint()
        oauth = attached(endpoint, on_refresh=store)
        for _ in range(2):
            with pytest.raises(TokenUnavailable, match="on_refresh raised RuntimeError") as caught:
                await oauth.token()
            assert isinstance(caught.value.__cause__, RuntimeError)
        assert (await oauth.token()).reveal() == "t1"
        assert len(endpoint.asked) == 1
        assert calls[0] is calls[2]

    async def test_the_newest_refresh_token_is_sent(self) -> None:
        """Each refresh sends what the last one gave, in the body."""
        clock, endpoint = Clock(), Endpoint()
        oauth = attached(endpoint, clock=clock)
        await oauth.token()
        clock.now = 1e6
        await oauth.token()
        assert [parse_qs(body)["refresh_token"] for body in endpoint.asked] == [["r0"], ["r1"]]

    async def test_a_lost_answer_is_asked_for_again(self) -> None:
        """A refresh whose answer got lost is sent again, and says so when that was in vain."""
        async with Emulator(limit=None) as emulator:
            refresh = app(emulator, rotates=False)
            emulator.faults.strike_next(Fault(kind="reset", applied=True), operation="oauth.*")
            async with client(emulator, OAuth("app-1", CLIENT_SECRET, refresh)) as hubspot:
                await hubspot.meetings.create({"hs_meeting_title": "one"})
            assert refreshes(emulator) == 2


class TestCancelling:
    async def test_a_waiter(self) -> None:
        """A cancelled waiter takes nothing from the others."""
        endpoint = Endpoint()
        endpoint.answer = anyio.Event()
        oauth = attached(endpoint)
        tasks = [asyncio.create_task(oauth.token()) for _ in range(10)]
        await anyio.wait_all_tasks_blocked()
        for task in tasks[3:6]:
            task.cancel()
        await anyio.wait_all_tasks_blocked()
        endpoint.answer.set()
        got = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(one, asyncio.CancelledError) for one in got] == [False] * 3 + [True] * 3 + [False] * 4
        assert len(endpoint.asked) == 1

    async def test_the_leader_before_its_refresh_left(self) -> None:
        """It is gone at once, and the next in line refreshes."""
        endpoint = Endpoint()
        endpoint.leave = anyio.Event()
        oauth = attached(endpoint)
        leader, follower = asyncio.create_task(oauth.token()), asyncio.create_task(oauth.token())
        await anyio.wait_all_tasks_blocked()
        leader.cancel()
        await anyio.wait_all_tasks_blocked()
        assert leader.cancelled()
        endpoint.leave.set()
        assert (await follower).reveal() == "t1"
        assert len(endpoint.asked) == 1

    @pytest.mark.parametrize("cancels", [1, 3])
    async def test_the_leader_after_its_refresh_left(self, cancels: int) -> None:
        """It is seen through to the storing, and the next in line finds the token; the leader is cancelled all the
        same."""
        stored: list[Tokens] = []
        endpoint = Endpoint()
        endpoint.answer = anyio.Event()
        oauth = attached(endpoint, on_refresh=stored.append)
        leader, follower = asyncio.create_task(oauth.token()), asyncio.create_task(oauth.token())
        await anyio.wait_all_tasks_blocked()
        for _ in range(cancels):
            leader.cancel()
            await anyio.wait_all_tasks_blocked()
        endpoint.answer.set()
        with pytest.raises(asyncio.CancelledError):
            await leader
        assert (await follower).reveal() == "t1"
        assert (len(endpoint.asked), len(stored)) == (1, 1)

    async def test_a_deadline_of_anyio(self) -> None:
        """The same for a cancel scope around the leader."""
        endpoint = Endpoint()
        endpoint.answer = anyio.Event()
        oauth = attached(endpoint)

        async def lead() -> None:
            with scope:
                await oauth.token()

        scope = anyio.CancelScope()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lead)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            endpoint.answer.set()
        assert scope.cancelled_caught
        assert (await oauth.token()).reveal() == "t1"
        assert len(endpoint.asked) == 1

    async def test_closing_waits_for_a_refresh(self) -> None:
        """A client is not closed under a refresh."""
        endpoint = Endpoint()
        endpoint.answer = anyio.Event()
        oauth = attached(endpoint)
        task = asyncio.create_task(oauth.token())
        await anyio.wait_all_tasks_blocked()
        closing = asyncio.create_task(oauth.detach(endpoint))
        await anyio.wait_all_tasks_blocked()
        assert not closing.done()
        endpoint.answer.set()
        await closing
        assert (await task).reveal() == "t1"


class TestRefusals:
    async def test_401_for_ever(self) -> None:
        """A call refreshes once and then lets the refusal stand; 1,000 calls refresh once together, more calls a few
        times."""
        async with Emulator(limit=None) as emulator:
            oauth = OAuth("app-1", CLIENT_SECRET, app(emulator))
            async with client(emulator, oauth) as hubspot:
                await hubspot.meetings.create({"hs_meeting_title": "one"})
                emulator.faults.strike_next(Fault(status=401), times=None, operation="meetings.*")
                got = await asyncio.gather(*(hubspot.meetings.get(1) for _ in range(1000)), return_exceptions=True)
                assert {type(one) for one in got} == {Unauthorized}
                assert refreshes(emulator) == 2
                for _ in range(50):
                    with pytest.raises(Unauthorized):
                        await hubspot.meetings.get(1)
                assert refreshes(emulator) == 6

    async def test_a_revoked_grant(self, version: str) -> None:
        """The refusal says so with RFC 6749's word, and shows no secret anywhere."""
        async with Emulator(limit=None) as emulator:
            oauth = OAuth("app-1", CLIENT_SECRET, "r3fr3sh-c4n4ry", version=version)
            app(emulator)
            async with client(emulator, oauth) as hubspot:
                with pytest.raises(TokenRefused) as caught:
                    await hubspot.meetings.get(1)
        error = caught.value
        assert (error.error, error.status) == ("invalid_grant", 400)
        assert (error.method, error.path) == ("POST", f"/oauth/{version}/token")
        assert isinstance(error, Unauthorized)
        assert_hides(error)

    async def test_a_wrong_secret(self) -> None:
        """invalid_client, without the secret."""
        async with Emulator(limit=None) as emulator:
            refresh = app(emulator)
            async with client(emulator, OAuth("app-1", "wr0ng-c4n4ry", refresh)) as hubspot:
                with pytest.raises(TokenRefused) as caught:
                    await hubspot.meetings.get(1)
        assert caught.value.error == "invalid_client"
        assert_hides(caught.value)

    async def test_what_a_server_repeats_is_taken_out(self) -> None:
        """Whoever sits on the way and repeats the request in its error does not get our secrets into logs."""

        async def echoing(request: Request[T], trail: Trail | None = None) -> T:
            body = {"error": "invalid_request", "message": f"bad request: {(request.body or b'').decode()}"}
            return parse(request, sampling.answer(400, body))

        oauth = OAuth("app-1", CLIENT_SECRET, "r3fr3sh-c4n4ry")
        oauth.attach(echoing, api_version="v3")
        with pytest.raises(TokenRefused) as caught:
            await oauth.token()
        assert "bad request" in str(caught.value)
        assert "c4n4ry" not in f"{caught.value!r}{vars(caught.value)}"

    @pytest.mark.parametrize(
        "body",
        [
            b'{"access_token":"c4n4ry","expires_in":"soon"}',
            b'{"token":"c4n4ry"}',
            b'"c4n4ry"',
            b"<html>c4n4ry",
            b'{"access_token":"c4n4ry\\r\\n"}',
            b'{"access_token":""}',
        ],
    )
    async def test_an_odd_answer_is_not_quoted(self, body: bytes) -> None:
        """A token answer that can not be read fails without showing what came."""

        async def odd(request: Request[T], trail: Trail | None = None) -> T:
            return parse(request, Response(200, {"Content-Type": "application/json"}, body))

        oauth = OAuth("app-1", CLIENT_SECRET, "r0")
        oauth.attach(odd, api_version="v3")
        with pytest.raises(TokenUnavailable) as caught:
            await oauth.token()
        cause = caught.value.__cause__
        assert "c4n4ry" not in f"{caught.value!r}{vars(caught.value)}{cause!r}"

    async def test_nothing_of_a_call_without_token_was_sent(self) -> None:
        """While the token endpoint is down, creates are surely not done: bulk says NotSent, never Ambiguous."""
        async with Emulator(limit=None) as emulator:
            refresh = app(emulator)
            emulator.faults.strike_next(Fault(status=503), times=None, operation="oauth.*")
            async with client(emulator, OAuth("app-1", CLIENT_SECRET, refresh)) as hubspot:
                with pytest.raises(TokenUnavailable) as caught:
                    await hubspot.meetings.create({"hs_meeting_title": "one"})
                assert caught.value.sent is False
                outcomes: list[object] = []
                with pytest.raises(TokenUnavailable):
                    async with hubspot.bulk.create([{"hs_meeting_title": "one"}]) as run:
                        async for outcome in run:
                            outcomes.append(outcome)
            assert [type(outcome) for outcome in outcomes] == [NotSent]


class TestGettingTokens:
    async def test_authorization_code_with_pkce(self, version: str) -> None:
        """Without a refresh token: the user agrees, the code becomes tokens, and calls work. They pass on_refresh."""
        stored: list[Tokens] = []
        verifier = new_code_verifier()
        async with Emulator(limit=None) as emulator:
            emulator.portal.add_app("app-1", CLIENT_SECRET, redirect_uris=["https://me.example/cb?x=1"])
            oauth = OAuth("app-1", CLIENT_SECRET, on_refresh=stored.append, version=version)
            async with client(emulator, oauth) as hubspot:
                with pytest.raises(ConfigurationError, match="exchange_code"):
                    await hubspot.meetings.get(1)
                url = oauth.authorization_url(
                    "https://me.example/cb?x=1", ["crm.objects.contacts.read"], state="a b", code_verifier=verifier
                )
                query = {name: value[0] for name, value in parse_qs(urlsplit(url).query).items()}
                assert query["state"] == "a b"
                assert query["scope"] == "crm.objects.contacts.read"
                digest = hashlib.sha256(verifier.reveal().encode()).digest()
                assert query["code_challenge"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")

                def code() -> str:
                    return emulator.portal.authorize(
                        query["client_id"], query["redirect_uri"], challenge=query["code_challenge"]
                    )

                for wrong in ({"code_verifier": new_code_verifier()}, {"redirect_uri": "https://me.example/cb"}, {}):
                    arguments: dict[str, Any] = {"redirect_uri": query["redirect_uri"], **wrong}
                    with pytest.raises(TokenRefused, match="invalid_grant"):
                        await oauth.exchange_code(code(), **arguments)
                tokens = await oauth.exchange_code(code(), redirect_uri=query["redirect_uri"], code_verifier=verifier)
                assert stored == [tokens]
                assert tokens.hub_id == emulator.portal.portal_id
                await hubspot.meetings.create({"hs_meeting_title": "one"})
                emulator.portal.expire_tokens()
                await hubspot.meetings.create({"hs_meeting_title": "two"})
            assert refreshes(emulator) == 1

    async def test_introspection_and_revocation(self, version: str) -> None:
        """What a token stands for, and its end; on v1 too, without tokens in paths."""
        async with Emulator(limit=None) as emulator:
            oauth = OAuth("app-1", CLIENT_SECRET, app(emulator), version=version)
            async with client(emulator, oauth):
                access = await oauth.introspect()
                assert (access.active, access.token_use, access.client_id) == (True, "access_token", "app-1")
                assert access.expires_in is not None
                assert access.expires_in <= 1800
                refresh = await oauth.introspect(refresh_token=True)
                assert (refresh.active, refresh.token_use, refresh.expires_in) == (True, "refresh_token", None)
                assert (await oauth.introspect("made-up")).active is False
                await oauth.revoke()
                assert (await oauth.introspect(refresh_token=True)).active is False
                await oauth.revoke("made-up", refresh_token=False)
                emulator.portal.expire_tokens()
                assert (await oauth.introspect(await oauth.token())).active is False
            paths = {entry.path for entry in emulator.recent_requests}
            shown = "v3" if version == "v1" else version
            assert paths == {
                f"/oauth/{version}/token",
                f"/oauth/{shown}/token/introspect",
                f"/oauth/{shown}/token/revoke",
            }

    async def test_client_credentials(self, version: str) -> None:
        """A token of the app itself, where the version has it."""
        async with Emulator(limit=None) as emulator:
            oauth = OAuth("app-1", CLIENT_SECRET, app(emulator), version=version)
            async with client(emulator, oauth):
                if version == "v1":
                    with pytest.raises(ConfigurationError, match="version='v3'"):
                        await oauth.client_credentials()
                    return
                tokens = await oauth.client_credentials(["crm.objects.contacts.read"])
                assert tokens.refresh_token is None
                assert tokens.scopes == ("crm.objects.contacts.read",)

    async def test_private_app_token_info(self) -> None:
        """A private app's token is described; an unknown one is not found. The token is in no error."""
        async with Emulator(limit=None) as emulator:
            emulator.portal.add_token("pat-c4n4ry-1", scopes=["crm.objects.contacts.read"])
            async with MeetingsClient("pat-c4n4ry-1", base_url=emulator.url, limiter=NoLimit()) as hubspot:
                info = await hubspot.private_app_token_info("pat-c4n4ry-1")
                assert (info.hub_id, info.scopes) == (emulator.portal.portal_id, ("crm.objects.contacts.read",))
                with pytest.raises(NotFound) as caught:
                    await hubspot.private_app_token_info("pat-c4n4ry-2")
                assert "c4n4ry" not in f"{caught.value!r}{vars(caught.value)}"

    async def test_requests_of_the_endpoints(self) -> None:
        """They carry no bearer token, count against no limit, have a form, and may be repeated."""
        sent: list[Request[Any]] = []

        async def call(request: Request[T], trail: Trail | None = None) -> T:
            sent.append(request)
            return parse(request, sampling.answer(200, {"access_token": "t", "active": True}))

        endpoints = TokenEndpoints(call, client_id="a&b", client_secret=Secret("=%"), version="2026-09")
        await endpoints.refresh(Secret("r t"))
        (request,) = sent
        assert (request.bearer, request.quota, request.replay) == (False, Quota.NONE, Replay.ALWAYS)
        assert request.content_type == "application/x-www-form-urlencoded"
        assert parse_qs((request.body or b"").decode()) == {
            "grant_type": ["refresh_token"],
            "refresh_token": ["r t"],
            "client_id": ["a&b"],
            "client_secret": ["=%"],
        }


class TestWrongValues:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"client_id": ""},
            {"client_secret": "a b"},
            {"client_secret": None},
            {"refresh_token": "c4n4ry\n"},
            {"on_refresh": "store"},
            {"version": "v2"},
            {"refresh_ahead_s": 0},
            {"refresh_ahead_s": True},
        ],
    )
    def test_at_once(self, wrong: dict[str, Any]) -> None:
        """Each is refused when the OAuth is made, without repeating it where it may be secret."""
        values: dict[str, Any] = {"client_id": "app-1", "client_secret": CLIENT_SECRET, "refresh_token": "r"} | wrong
        with pytest.raises(ConfigurationError) as caught:
            OAuth(**values)
        assert "c4n4ry" not in str(caught.value)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"redirect_uri": "/cb"},
            {"redirect_uri": "https://x/#f"},
            {"redirect_uri": "https://x/ y"},
            {"scopes": "crm.read"},
            {"scopes": ["a b"]},
            {"state": ""},
            {"code_verifier": "short"},
        ],
    )
    def test_of_the_address(self, wrong: dict[str, Any]) -> None:
        """An address HubSpot would refuse is not made."""
        values: dict[str, Any] = {"redirect_uri": "https://me.example/cb", "scopes": ["a"], "state": "s"} | wrong
        uri, scopes = values.pop("redirect_uri"), values.pop("scopes")
        with pytest.raises(ConfigurationError):
            OAuth("app-1", CLIENT_SECRET).authorization_url(uri, scopes, **values)

    def test_nothing_shows(self) -> None:
        """repr of an OAuth and of tokens holds no secret."""
        tokens = Tokens(access_token=Secret("c4n4ry"), refresh_token=Secret("c4n4ry"))
        assert "c4n4ry" not in f"{OAuth('app-1', CLIENT_SECRET, 'r-c4n4ry')!r}{tokens!r}{tokens}"


Source = Callable[[], str | Secret | Awaitable[str | Secret]]


class TestTokenSource:
    @pytest.mark.parametrize("kind", ["sync", "async", "secret"])
    async def test_any_callable(self, kind: str) -> None:
        """A function that returns a token is asked for each request; after a 401 it is asked again, and once."""
        current = ["one"]

        def sync() -> str:
            return current[0]

        async def later() -> str:
            await anyio.lowlevel.checkpoint()
            return current[0]

        def wrapped() -> Secret:
            return Secret(current[0])

        sources: dict[str, Source] = {"sync": sync, "async": later, "secret": wrapped}
        source = sources[kind]
        async with Emulator(limit=None, tokens=["one", "two"]) as emulator, client(emulator, source) as hubspot:
            meeting = await hubspot.meetings.create({"hs_meeting_title": "one"})
            current[0] = "gone"
            with pytest.raises(Unauthorized):
                await hubspot.meetings.get(meeting.id)
            current[0] = "two"
            assert (await hubspot.meetings.get(meeting.id)).id == meeting.id
            assert emulator.stats().requests == 3

    async def test_another_token_after_a_401(self) -> None:
        """A source that gives another token after the refusal saves the call."""
        given: list[str] = []

        def source() -> str:
            given.append("old" if not given else "new")
            return given[-1]

        async with Emulator(limit=None, tokens=["new"]) as emulator, client(emulator, source) as hubspot:
            assert (await hubspot.meetings.create({"hs_meeting_title": "one"})).id
        assert given[0] == "old"

    async def test_a_source_that_raises(self) -> None:
        """Its error is the cause of a TokenUnavailable; nothing was sent."""

        def source() -> str:
            raise KeyError("vault away")

        async with Emulator(limit=None) as emulator, client(emulator, source) as hubspot:
            with pytest.raises(TokenUnavailable) as caught:
                await hubspot.meetings.create({"hs_meeting_title": "one"})
            assert caught.value.sent is False
            assert isinstance(caught.value.__cause__, KeyError)
            assert emulator.stats().requests == 0

    @pytest.mark.parametrize("token", ["c4n4ry\r\nX: 1", "", None, 5])
    async def test_a_source_of_rubbish(self, token: Any) -> None:
        """What is no token is refused, and not repeated."""
        async with Emulator(limit=None) as emulator, client(emulator, lambda: token) as hubspot:
            with pytest.raises(ConfigurationError) as caught:
                await hubspot.meetings.get(1)
            assert "c4n4ry" not in str(caught.value)
