"""What goes over the socket: headers, status codes, error bodies for requests that never reach a rule."""

import asyncio
import io
import uuid
from typing import Any

import aiohttp
import pytest

from hubspot_meetings_async.emulator import Behaviour, Emulator
from tests.emulator.account import MEETINGS

BATCH = f"{MEETINGS}/batch/create"
NO_CREDENTIALS = (
    "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details"
    " at https://developers.hubspot.com/docs/methods/auth/oauth-overview"
)


async def call(http: aiohttp.ClientSession, method: str, url: str, **words: Any) -> tuple[int, Any]:
    async with http.request(method, url, **words) as response:
        return response.status, await response.json() if response.content_length else None


async def test_a_batch_and_a_list_over_the_wire(hubspot: Emulator, http: aiohttp.ClientSession) -> None:
    inputs = [{"properties": {"hs_meeting_title": str(n)}} for n in range(100)]
    status, body = await call(http, "POST", hubspot.url + BATCH, json={"inputs": inputs})
    assert (status, len(body["results"])) == (201, 100)
    status, page = await call(http, "GET", hubspot.url + MEETINGS, params={"limit": "60"})
    assert (status, len(page["results"])) == (200, 60)
    status, page = await call(http, "GET", page["paging"]["next"]["link"])
    assert (status, len(page["results"]), "paging" in page) == (200, 40, False)


async def test_answers_are_json_with_a_correlation_id(hubspot: Emulator, http: aiohttp.ClientSession) -> None:
    async with http.get(hubspot.url + MEETINGS + "/1") as response:
        body = await response.json()
        assert response.headers["Content-Type"] == "application/json;charset=utf-8"
        assert response.headers["X-HubSpot-Correlation-Id"] == body["correlationId"]
        assert str(uuid.UUID(body["correlationId"])) == body["correlationId"]
    async with http.get(hubspot.url + MEETINGS) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/json;charset=utf-8"
        assert "X-HubSpot-Correlation-Id" in response.headers


async def test_a_delete_answers_without_a_body(hubspot: Emulator, http: aiohttp.ClientSession) -> None:
    async with http.delete(hubspot.url + MEETINGS + "/1") as response:
        assert (response.status, await response.read()) == (204, b"")


@pytest.mark.parametrize("header", [{}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer "}])
async def test_without_a_token_there_is_nothing(hubspot: Emulator, header: dict[str, str]) -> None:
    async with aiohttp.ClientSession(headers=header) as session, session.get(hubspot.url + MEETINGS) as response:
        body = await response.json()
        assert response.status == 401
        assert (body["category"], body["message"]) == ("INVALID_AUTHENTICATION", NO_CREDENTIALS)
        assert not [name for name in response.headers if "RateLimit" in name]
    assert hubspot.stats().apps == {}


async def test_any_token_is_an_app_unless_tokens_are_given(http: aiohttp.ClientSession) -> None:
    async with Emulator(tokens=["token-b"]) as hubspot:
        assert (await call(http, "GET", hubspot.url + MEETINGS))[0] == 401
        right = {"Authorization": "Bearer token-b"}
        assert (await call(http, "GET", hubspot.url + MEETINGS, headers=right))[0] == 200
    async with Emulator(tokens=["token-b"], behaviour=Behaviour(unknown_token="expired")) as hubspot:
        status, body = await call(http, "GET", hubspot.url + MEETINGS)
        assert (status, body["category"], list(body["context"])) == (401, "EXPIRED_AUTHENTICATION", ["expire time"])


async def test_tokens_can_share_an_app_and_stay_out_of_the_statistics(http: aiohttp.ClientSession) -> None:
    async with Emulator(limit=1, tokens={"token-a": "sync", "token-b": "sync", "token-c": "other"}) as hubspot:
        statuses = [
            (await call(http, "GET", hubspot.url + MEETINGS, headers={"Authorization": f"Bearer token-{x}"}))[0]
            for x in "abc"
        ]
        assert statuses == [200, 429, 200]
        assert sorted(hubspot.stats().apps) == ["other", "sync"]
    async with Emulator() as hubspot:
        await call(http, "GET", hubspot.url + MEETINGS)
        _, stats = await call(http, "GET", hubspot.url + "/__emulator/stats")
        assert list(stats["apps"]) == ["app-1"]
        assert "token-a" not in str(stats) + repr(hubspot) + str(hubspot.recent_requests)


@pytest.mark.parametrize(
    ("method", "path", "words", "status"),
    [
        ("GET", "/", {}, 404),
        ("GET", "/crm/v9/objects/meetings", {}, 404),
        ("GET", "/crm/v3/objects/unicorns", {}, 404),
        ("GET", "/%00%ff/..%2f..%2fetc/passwd", {}, 404),
        ("PUT", MEETINGS, {"json": {}}, 405),
        ("GET", MEETINGS + "/batch/create", {}, 405),
        ("POST", MEETINGS, {"data": b"{}"}, 415),
        ("POST", MEETINGS, {"data": {"properties": "x"}}, 415),
        ("POST", MEETINGS, {"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ("GET", MEETINGS + "?properties=" + "x" * 8_000, {}, 414),
    ],
)
async def test_requests_that_reach_no_rule_get_hubspots_error_shape(
    hubspot: Emulator, http: aiohttp.ClientSession, method: str, path: str, words: dict[str, Any], status: int
) -> None:
    answered, body = await call(http, method, hubspot.url + path, **words)
    assert (answered, body["status"]) == (status, "error")
    assert {"message", "correlationId"} <= set(body)


async def test_five_mebibytes_are_taken_and_more_are_not(hubspot: Emulator, http: aiohttp.ClientSession) -> None:
    headers = {"Content-Type": "application/json"}
    body = b'{"properties": {"hs_meeting_title": "big"}' + b" " * 5 * 1024 * 1024
    fitting, large = body[: 5 * 1024 * 1024 - 1] + b"}", body + b"}"
    assert (await call(http, "POST", hubspot.url + MEETINGS, data=io.BytesIO(fitting), headers=headers))[0] == 201
    status, answer = await call(http, "POST", hubspot.url + MEETINGS, data=io.BytesIO(large), headers=headers)
    assert (status, answer["status"]) == (413, "error")


async def test_a_client_that_leaves_in_its_body_leaves_no_trace(hubspot: Emulator) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", hubspot.port)
    head = f"POST {MEETINGS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nContent-Type: application/json\r\n"
    writer.write(head.encode() + b'Content-Length: 100\r\n\r\n{"prop')
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer a"}) as session:
        _, page = await call(session, "GET", hubspot.url + MEETINGS)
    assert page["results"] == []


async def test_garbage_is_answered_with_400_or_closed(hubspot: Emulator, http: aiohttp.ClientSession) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hubspot.port)
    writer.write(b"\x00\xff this is no request\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer == b"" or answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
    assert b"Traceback" not in answer
    assert (await call(http, "GET", hubspot.url + MEETINGS))[0] == 200
