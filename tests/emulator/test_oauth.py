"""Tokens are given, hold for their time, open what their scopes allow, and can be asked about and taken back."""

import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from hubspot_meetings_async.emulator import Behaviour, Emulator, ManualClock
from tests.emulator.account import MEETINGS
from tests.emulator.test_server import start

CLIENT = {"client_id": "app", "client_secret": "secret"}
SCOPES = ("crm.objects.contacts.read", "crm.objects.contacts.write")
VERSIONS = ("v3", "2026-03", "2026-09")
CALLBACK = "https://example.com/back?x=1"
LINKS = "/scheduler/v3/meetings/meeting-links"


@pytest.fixture
async def hubspot() -> AsyncIterator[Emulator]:
    """An emulator with one app, whose time is a test's own."""
    async with Emulator(limit=None, clock=ManualClock(), tokens=[]) as emulator:
        emulator.portal.add_app("app", "secret", scopes=SCOPES)
        yield emulator


async def form(http: aiohttp.ClientSession, hubspot: Emulator, path: str, **fields: str) -> tuple[int, Any]:
    async with http.post(hubspot.url + path, data={**CLIENT, **fields}) as response:
        return response.status, await response.json() if response.content_length else None


async def refresh(http: aiohttp.ClientSession, hubspot: Emulator, token: str, version: str = "v3") -> tuple[int, Any]:
    return await form(http, hubspot, f"/oauth/{version}/token", grant_type="refresh_token", refresh_token=token)


async def call(
    http: aiohttp.ClientSession, hubspot: Emulator, token: str, method: str = "GET", path: str = MEETINGS, **words: Any
) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    async with http.request(method, hubspot.url + path, headers=headers, **words) as response:
        return response.status, await response.json()


def refresh_token(hubspot: Emulator) -> str:
    issued = hubspot.portal.issue_tokens("app")
    assert issued.refresh is not None
    return issued.refresh.value


def advance(hubspot: Emulator, seconds: float) -> None:
    clock = hubspot.portal.clock
    assert isinstance(clock, ManualClock)
    clock.advance(seconds)


class TestCode:
    @pytest.mark.parametrize("version", ["v1", *VERSIONS])
    async def test_the_whole_dance(self, hubspot: Emulator, http: aiohttp.ClientSession, version: str) -> None:
        query = {"client_id": "app", "redirect_uri": CALLBACK, "scope": " ".join(SCOPES), "state": "s 1"}
        url = hubspot.url + "/oauth/authorize"
        async with http.get(url, params=query, headers={"Authorization": ""}, allow_redirects=False) as response:
            assert response.status == 302
            location = response.headers["Location"]
        assert location.startswith(CALLBACK + "&code=")
        assert location.endswith("&state=s+1")
        code = location.partition("code=")[2].partition("&")[0]
        fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        status, tokens = await form(http, hubspot, f"/oauth/{version}/token", **fields)
        assert (status, tokens["token_type"], tokens["expires_in"]) == (200, "bearer", 1800)
        assert (tokens["hub_id"], tokens["scopes"]) == (1_234_567, list(SCOPES))
        assert len(tokens["access_token"]) > 300
        assert (await call(http, hubspot, tokens["access_token"]))[0] == 200
        status, again = await form(http, hubspot, f"/oauth/{version}/token", **fields)
        assert (status, again["error"], again["status"]) == (400, "invalid_grant", "BAD_AUTH_CODE")
        assert hubspot.portal.keyring.grants == {"authorization_code": 1, "refused": 1}

    async def test_codes_hold_ten_minutes_for_one_address(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        for seconds, address, status in ((599, CALLBACK, 200), (600, CALLBACK, 400), (0, "https://x", 400)):
            code = hubspot.portal.authorize("app", CALLBACK)
            advance(hubspot, seconds)
            fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": address}
            answered, body = await form(http, hubspot, "/oauth/v3/token", **fields)
            assert (answered, body.get("error", "")) == (status, "" if status == 200 else "invalid_grant")

    async def test_a_challenge_wants_its_verifier(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(b"verifier").digest()).rstrip(b"=").decode()
        for verifier, status in (("verifier", 200), ("other", 400)):
            code = hubspot.portal.authorize("app", CALLBACK, challenge=challenge)
            fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
            assert (await form(http, hubspot, "/oauth/v3/token", **fields, code_verifier=verifier))[0] == status

    @pytest.mark.parametrize(
        "query",
        [
            {"client_id": "nobody", "redirect_uri": CALLBACK},
            {"client_id": "app"},
            {"client_id": "app", "redirect_uri": "/relative"},
            {"client_id": "app", "redirect_uri": "https://example.com/\r\nSet-Cookie: a=b"},
            {"client_id": "app", "redirect_uri": CALLBACK, "scope": "tickets"},
            {"client_id": "app", "redirect_uri": CALLBACK, "code_challenge_method": "plain"},
        ],
    )
    async def test_wrong_authorizations_are_refused(
        self, hubspot: Emulator, http: aiohttp.ClientSession, query: dict[str, str]
    ) -> None:
        async with http.get(hubspot.url + "/oauth/authorize", params=query, allow_redirects=False) as response:
            assert response.status == 400

    async def test_registered_addresses_are_the_only_ones(self, http: aiohttp.ClientSession) -> None:
        async with Emulator() as hubspot:
            hubspot.portal.add_app("app", "secret", redirect_uris=["https://example.com/ok"])
            for address, status in (("https://example.com/ok", 302), (CALLBACK, 400)):
                query = {"client_id": "app", "redirect_uri": address}
                async with http.get(hubspot.url + "/oauth/authorize", params=query, allow_redirects=False) as response:
                    assert response.status == status


class TestRefresh:
    @pytest.mark.parametrize("version", ["v1", *VERSIONS])
    async def test_gives_a_new_access_token_and_the_same_refresh_token(
        self, hubspot: Emulator, http: aiohttp.ClientSession, version: str
    ) -> None:
        first = refresh_token(hubspot)
        _, one = await refresh(http, hubspot, first, version)
        _, two = await refresh(http, hubspot, first, version)
        assert one["refresh_token"] == two["refresh_token"] == first
        assert one["access_token"] != two["access_token"]
        assert hubspot.portal.keyring.grants["refresh_token"] == 2

    async def test_can_rotate_the_refresh_token(self, http: aiohttp.ClientSession) -> None:
        async with Emulator(behaviour=Behaviour(refresh_tokens="rotated", token_lifetime_s=60)) as hubspot:
            hubspot.portal.add_app("app", "secret")
            first = refresh_token(hubspot)
            _, tokens = await refresh(http, hubspot, first)
            assert (tokens["refresh_token"] != first, tokens["expires_in"]) == (True, 60)
            status, body = await refresh(http, hubspot, first)
            assert (status, body["error"], body["status"]) == (400, "invalid_grant", "BAD_REFRESH_TOKEN")
            assert body["error_description"] == body["message"]
            assert (await refresh(http, hubspot, tokens["refresh_token"]))[0] == 200

    @pytest.mark.parametrize(
        ("fields", "error", "word"),
        [
            ({"client_id": "nobody"}, "invalid_client", "BAD_CLIENT_ID"),
            ({"client_secret": "wrong"}, "invalid_client", "BAD_CLIENT_SECRET"),
            ({"grant_type": "password"}, "unsupported_grant_type", "BAD_GRANT_TYPE"),
            ({"refresh_token": ""}, "invalid_request", "MISSING_REFRESH_TOKEN"),
            ({"refresh_token": "made up"}, "invalid_grant", "BAD_REFRESH_TOKEN"),
        ],
    )
    async def test_is_refused_as_rfc_6749_says(
        self, hubspot: Emulator, http: aiohttp.ClientSession, fields: dict[str, str], error: str, word: str
    ) -> None:
        given = {"grant_type": "refresh_token", "refresh_token": refresh_token(hubspot), **fields}
        status, body = await form(http, hubspot, "/oauth/v3/token", **given)
        assert (status, body["error"], body["status"]) == (400, error, word)
        assert body.keys() == {"error", "error_description", "status", "message"}

    async def test_only_the_body_counts_and_only_as_a_form(
        self, hubspot: Emulator, http: aiohttp.ClientSession
    ) -> None:
        fields = {**CLIENT, "grant_type": "refresh_token", "refresh_token": refresh_token(hubspot)}
        async with http.post(hubspot.url + "/oauth/v3/token", params=fields, data={"x": "y"}) as response:
            assert (response.status, (await response.json())["error"]) == (400, "invalid_client")
        async with http.post(hubspot.url + "/oauth/v3/token", json=fields) as response:
            assert response.status == 415

    @pytest.mark.parametrize("body", [b"", b"\xff\x00=%zz&&&", b"&".join([b"a=1"] * 200)])
    async def test_a_body_that_is_no_form_is_refused(
        self, hubspot: Emulator, http: aiohttp.ClientSession, body: bytes
    ) -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        async with http.post(hubspot.url + "/oauth/v3/token", data=body, headers=headers) as response:
            assert (response.status, "error" in await response.json()) == (400, True)

    async def test_faults_strike_here_too(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        hubspot.faults.fail_next(503, operation="oauth.token")
        token = refresh_token(hubspot)
        assert [(await refresh(http, hubspot, token))[0] for _ in range(2)] == [503, 200]

    async def test_client_credentials_are_for_the_newer_versions(
        self, hubspot: Emulator, http: aiohttp.ClientSession
    ) -> None:
        for version in VERSIONS:
            fields = {"grant_type": "client_credentials", "scope": SCOPES[0]}
            status, tokens = await form(http, hubspot, f"/oauth/{version}/token", **fields)
            assert (status, tokens["scopes"], "refresh_token" in tokens) == (200, [SCOPES[0]], False)
        status, body = await form(http, hubspot, "/oauth/v1/token", grant_type="client_credentials")
        assert (status, body["error"]) == (400, "unsupported_grant_type")
        status, body = await form(http, hubspot, "/oauth/v3/token", grant_type="client_credentials", scope="x")
        assert (status, body["error"]) == (400, "invalid_scope")


class TestBearer:
    async def test_expires_by_the_emulators_clock(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        token = hubspot.portal.issue_tokens("app").access.value
        advance(hubspot, 1799)
        assert (await call(http, hubspot, token))[0] == 200
        advance(hubspot, 76)
        status, body = await call(http, hubspot, token)
        assert (status, body["category"]) == (401, "EXPIRED_AUTHENTICATION")
        assert body["message"] == "The OAuth token used to make this call expired 75 second(s) ago."
        assert list(body["context"]) == ["expire time"]
        advance(hubspot, 86_400)
        assert "expired 1 day(s) ago" in (await call(http, hubspot, token))[1]["message"]

    async def test_a_refresh_token_opens_nothing(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        status, body = await call(http, hubspot, refresh_token(hubspot))
        assert (status, body["category"]) == (401, "INVALID_AUTHENTICATION")

    async def test_all_can_be_expired_at_once(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        tokens = [hubspot.portal.issue_tokens("app").access.value for _ in range(3)]
        assert (hubspot.portal.expire_tokens(), hubspot.portal.expire_tokens()) == (3, 0)
        assert {(await call(http, hubspot, token))[0] for token in tokens} == {401}

    @pytest.mark.parametrize("known", [True, False])
    async def test_a_fault_lets_one_expire_in_mid_run(self, http: aiohttp.ClientSession, known: bool) -> None:
        async with Emulator() as hubspot:
            hubspot.portal.add_app("app", "secret")
            token = hubspot.portal.issue_tokens("app").access.value if known else "static"
            hubspot.faults.strike_next("expire_token", skip=1)
            statuses = [(await call(http, hubspot, token))[0] for _ in range(3)]
            assert statuses == [200, 401, 401]
            assert (await call(http, hubspot, "another"))[0] == 200
            hubspot.reset()
            assert (await call(http, hubspot, token))[0] == (401 if known else 200)

    async def test_apps_of_the_marketplace_have_a_window_of_their_own(self, http: aiohttp.ClientSession) -> None:
        async with Emulator(limit=190) as hubspot:
            for name, private, limit in (("public", False, "110"), ("private", True, "190")):
                hubspot.portal.add_app(name, "secret", private=private)
                headers = {"Authorization": f"Bearer {hubspot.portal.issue_tokens(name).access.value}"}
                async with http.get(hubspot.url + MEETINGS, headers=headers) as response:
                    assert response.headers["X-HubSpot-RateLimit-Max"] == limit
            assert sorted(hubspot.stats().apps) == ["private", "public"]

    async def test_tokens_stay_out_of_the_log(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        token = hubspot.portal.issue_tokens("app").access.value
        assert (await call(http, hubspot, token, path=f"/oauth/v1/access-tokens/{token}"))[0] == 200
        assert token not in str(hubspot.recent_requests) + str(hubspot.stats())


class TestScopes:
    async def test_reading_is_not_writing(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        hubspot.portal.add_token("reader", scopes=[SCOPES[0]])
        assert (await call(http, hubspot, "reader"))[0] == 200
        status, body = await call(http, hubspot, "reader", "POST", json={"properties": {}})
        assert (status, body["category"]) == (403, "MISSING_SCOPES")
        assert SCOPES[1] in body["errors"][0]["context"]["requiredGranularScopes"]
        assert body["links"] == {"scopes": "https://developers.hubspot.com/scopes"}
        assert hubspot.stats().records.created == 0

    async def test_every_object_type_has_its_own(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        for scope, right, wrong in (
            (SCOPES[0], "contacts", "companies"),
            ("crm.objects.companies.read", "companies", "deals"),
            ("tickets", "tickets", "meetings"),
        ):
            hubspot.portal.add_token(scope, scopes=[scope])
            assert (await call(http, hubspot, scope, path=f"/crm/v3/objects/{right}"))[0] == 200
            assert (await call(http, hubspot, scope, path=f"/crm/v3/objects/{wrong}"))[0] == 403

    async def test_the_scheduler_has_scopes_of_its_own(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        hubspot.portal.add_token("reader", scopes=["scheduler.meetings.meeting-link.read"], app="a")
        hubspot.portal.add_token("writer", scopes=["crm.objects.deals.highly_sensitive.write.v2"], app="a")
        assert (await call(http, hubspot, "reader", path=LINKS))[0] == 200
        assert (await call(http, hubspot, "writer", path=LINKS))[0] == 403
        assert (await call(http, hubspot, "reader", "POST", LINKS + "/book", json={}))[0] == 403
        assert (await call(http, hubspot, "writer", "POST", LINKS + "/book", json={}))[0] == 400

    async def test_tokens_without_scopes_open_everything(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        hubspot.portal.add_token("all")
        assert (await call(http, hubspot, "all", path=LINKS))[0] == 200


class TestQuestions:
    @pytest.mark.parametrize("version", VERSIONS)
    async def test_introspection_tells_what_is_good(
        self, hubspot: Emulator, http: aiohttp.ClientSession, version: str
    ) -> None:
        path = f"/oauth/{version}/token/introspect"
        issued = hubspot.portal.issue_tokens("app")
        assert issued.refresh is not None
        advance(hubspot, 800)
        for name in ("token", "access_token"):
            fields = {name: issued.access.value, "token_type_hint": "access_token"}
            status, body = await form(http, hubspot, path, **fields)
            assert (status, body["active"], body["expires_in"], body["client_id"]) == (200, True, 1000, "app")
            assert (body["token_use"], body["hub_id"], body["scopes"]) == ("access_token", 1_234_567, list(SCOPES))
        _, body = await form(http, hubspot, path, token=issued.refresh.value, token_type_hint="refresh_token")
        assert (body["active"], body["token_use"], "expires_in" in body) == (True, "refresh_token", False)
        advance(hubspot, 1000)
        assert await form(http, hubspot, path, token=issued.access.value) == (200, {"active": False})
        assert await form(http, hubspot, path, token="made up") == (200, {"active": False})
        assert (await form(http, hubspot, path))[1]["error"] == "invalid_request"
        assert (await form(http, hubspot, path, token="x", client_secret="wrong"))[1]["error"] == "invalid_client"

    @pytest.mark.parametrize("version", VERSIONS)
    async def test_revocation_takes_effect_at_once(
        self, hubspot: Emulator, http: aiohttp.ClientSession, version: str
    ) -> None:
        path = f"/oauth/{version}/token/revoke"
        issued = hubspot.portal.issue_tokens("app")
        assert issued.refresh is not None
        assert (await form(http, hubspot, path, token=issued.refresh.value))[0] == 200
        assert (await refresh(http, hubspot, issued.refresh.value))[0] == 400
        assert (await call(http, hubspot, issued.access.value))[0] == 200
        assert (await form(http, hubspot, path, token=issued.access.value))[0] == 200
        assert (await call(http, hubspot, issued.access.value))[0] == 401
        assert (await form(http, hubspot, path, token="made up"))[0] == 200
        assert (await form(http, hubspot, path, token="x", token_type_hint="cookie"))[0] == 400

    async def test_one_app_can_not_touch_the_tokens_of_another(
        self, hubspot: Emulator, http: aiohttp.ClientSession
    ) -> None:
        hubspot.portal.add_app("other", "secret")
        token = hubspot.portal.issue_tokens("other")
        assert token.refresh is not None
        for path in ("introspect", "revoke"):
            status, body = await form(http, hubspot, f"/oauth/v3/token/{path}", token=token.access.value)
            assert (status, body) == (200, {"active": False} if path == "introspect" else None)
        assert (await call(http, hubspot, token.access.value))[0] == 200
        assert (await refresh(http, hubspot, token.refresh.value))[0] == 400

    async def test_version_1_asks_and_revokes_by_path(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        issued = hubspot.portal.issue_tokens("app")
        assert issued.refresh is not None
        async with http.get(f"{hubspot.url}/oauth/v1/access-tokens/{issued.access.value}") as response:
            body = await response.json()
            assert (body["token_type"], body["expires_in"], body["app_id"] > 0) == ("access", 1800, True)
        url = f"{hubspot.url}/oauth/v1/refresh-tokens/{issued.refresh.value}"
        async with http.get(url) as response:
            assert (await response.json())["client_id"] == "app"
        async with http.delete(url) as response:
            assert response.status == 204
        for gone in (url, f"{hubspot.url}/oauth/v1/access-tokens/x"):
            async with http.get(gone) as response:
                assert response.status == 404

    async def test_a_private_apps_token_can_be_asked_about(
        self, hubspot: Emulator, http: aiohttp.ClientSession
    ) -> None:
        hubspot.portal.add_token("pat-eu1-x", scopes=["oauth", "tickets"])
        url = hubspot.url + "/oauth/v2/private-apps/get/access-token-info"
        async with http.post(url, json={"tokenKey": "pat-eu1-x"}) as response:
            body = await response.json()
            assert (body["hubId"], body["scopes"]) == (1_234_567, ["oauth", "tickets"])
        async with http.post(url, json={"tokenKey": "nope"}) as response:
            assert response.status == 404


class TestPython:
    def test_apps_and_tokens_that_make_no_sense_are_refused(self) -> None:
        portal = Emulator().portal
        portal.add_app("app", "secret", scopes=["a"])
        portal.add_token("t")
        for wrong in (
            lambda: portal.add_app("app", "secret"),
            lambda: portal.add_app("", "secret"),
            lambda: portal.add_app("b", "secret", scopes="a b"),
            lambda: portal.add_app("b", "secret", token_lifetime_s=0),
            lambda: portal.add_token("t"),
            lambda: portal.add_token("u", scopes="a"),
            lambda: portal.issue_tokens("nobody"),
            lambda: portal.issue_tokens("app", scopes=["b"]),
        ):
            with pytest.raises(ValueError, match=r"\w+"):
                wrong()

    async def test_apps_outlive_a_reset_and_counts_do_not(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        token = refresh_token(hubspot)
        await refresh(http, hubspot, token)
        hubspot.reset()
        assert not hubspot.portal.keyring.grants
        assert (await refresh(http, hubspot, token))[0] == 200

    async def test_the_admin_api_does_the_same(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        admin = f"{hubspot.url}/__emulator"
        app = {"client_id": "x", "client_secret": "y", "scopes": list(SCOPES), "rotates": True}
        for path, body, status in (
            ("oauth/apps", app, 200),
            ("oauth/apps", app, 400),
            ("tokens", {"token": "t", "scopes": []}, 200),
            ("oauth/issue", {"client_id": "nobody"}, 400),
        ):
            async with http.post(f"{admin}/{path}", json=body) as response:
                assert (path, response.status) == (path, status)
        async with http.post(f"{admin}/oauth/issue", json={"client_id": "x"}) as response:
            issued = await response.json()
        assert (await call(http, hubspot, issued["access_token"]))[0] == 200
        assert (await call(http, hubspot, "t"))[0] == 403
        async with http.post(f"{admin}/oauth/expire") as response:
            assert await response.json() == {"expired": 1}
        assert (await call(http, hubspot, issued["access_token"]))[0] == 401
        fields = {"client_id": "x", "client_secret": "y", "grant_type": "refresh_token"}
        await form(http, hubspot, "/oauth/v3/token", **fields, refresh_token=issued["refresh_token"])
        async with http.get(f"{admin}/oauth") as response:
            assert await response.json() == {"apps": ["app", "x"], "grants": {"refresh_token": 1}}


async def test_the_command_line_registers_apps(http: aiohttp.ClientSession) -> None:
    process = await start("--oauth-app", "app:secret:tickets oauth", "--behaviour", "refresh_tokens=rotated")
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().split()[-1]
    async with http.post(f"{url}/oauth/v3/token", data={**CLIENT, "grant_type": "client_credentials"}) as response:
        assert (response.status, (await response.json())["scopes"]) == (200, ["tickets", "oauth"])
    process.terminate()
    assert await process.wait() == 0
    await process.communicate()


async def test_wrong_apps_exit_with_2_and_a_line() -> None:
    process = await start("--oauth-app", "app")
    output, errors = await process.communicate()
    assert (process.returncode, output, b"client secret" in errors) == (2, b"", True)
