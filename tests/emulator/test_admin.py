"""The emulator's own paths: no token, not counted, plain JSON."""

from typing import Any

import aiohttp
import pytest

from hubspot_meetings_async.emulator import Emulator
from tests.emulator.account import MEETINGS


async def admin(hubspot: Emulator, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{hubspot.url}/__emulator/{path}", json=body) as response,
    ):
        return response.status, await response.json()


async def test_statistics_count_requests_but_not_themselves(hubspot: Emulator, http: aiohttp.ClientSession) -> None:
    await http.post(hubspot.url + MEETINGS, json={"properties": {}})
    await http.get(hubspot.url + MEETINGS)
    await http.get(hubspot.url + "/nowhere")
    await admin(hubspot, "GET", "stats")
    status, stats = await admin(hubspot, "GET", "stats")
    assert status == 200
    assert stats["requests"] == 3
    assert stats["by_operation"] == {"meetings.create": 1, "meetings.list": 1, "unknown": 1}
    assert stats["by_status"] == {"201": 1, "200": 1, "404": 1}
    assert stats["records"] == {"created": 1, "updated": 0, "archived": 0, "stored": 1}
    assert len((await admin(hubspot, "GET", "stamps"))[1]["app-1"]) == 3
    _, log = await admin(hubspot, "GET", "requests")
    assert [entry["operation"] for entry in log["requests"]] == ["meetings.create", "meetings.list", "unknown"]


async def test_faults_come_and_go(hubspot: Emulator, http: aiohttp.ClientSession) -> None:
    rules = [
        {"fault": {"status": 503, "retry_after": 1}, "operation": "meetings.list", "times": 2},
        {"fault": {"kind": "reset", "applied": True}, "rate": 0.5},
        {"fault": {"kind": "hang"}, "times": None, "operation": "nothing"},
    ]
    status, body = await admin(hubspot, "POST", "faults", {"rules": rules})
    assert (status, [rule["left"] for rule in body["rules"]]) == (200, [2, None, None])
    async with http.get(hubspot.url + MEETINGS) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
    _, body = await admin(hubspot, "GET", "faults")
    assert (body["rules"][0]["left"], body["injected"]) == (1, {"503": 1})
    _, body = await admin(hubspot, "DELETE", "faults")
    assert body["rules"] == []


async def test_the_truth_is_there_to_read(hubspot: Emulator, http: aiohttp.ClientSession) -> None:
    for title in ("x", "y", "x"):
        await http.post(hubspot.url + MEETINGS, json={"properties": {"hs_meeting_title": title}})
    _, body = await admin(hubspot, "GET", "ledger?property=hs_meeting_title")
    assert [(entry["value"], entry["created_by"]) for entry in body["objects"]] == [("x", 1), ("y", 2), ("x", 3)]
    first = body["objects"][0]["id"]
    _, body = await admin(hubspot, "GET", f"ledger?after={first}&limit=1")
    assert [entry["value"] for entry in body["objects"]] == [None]
    _, body = await admin(hubspot, "GET", "duplicates?property=hs_meeting_title")
    assert {value: len(found) for value, found in body["duplicates"].items()} == {"x": 2}


async def test_objects_and_properties_can_be_given(hubspot: Emulator) -> None:
    assert await admin(hubspot, "POST", "objects", {"type": "contacts", "id": "101"}) == (200, {"id": "101"})
    status, body = await admin(hubspot, "POST", "properties", {"name": "booking_ref", "unique": True})
    assert (status, body["hasUniqueValue"]) == (200, True)
    assert hubspot.stats().records.created == 0


async def test_everything_can_start_anew(hubspot: Emulator, http: aiohttp.ClientSession) -> None:
    hubspot.portal.add_property("booking_ref", unique=True)
    hubspot.faults.fail_next(500, skip=5)
    await http.post(hubspot.url + MEETINGS, json={"properties": {"booking_ref": "a"}})
    status, _ = await admin(hubspot, "POST", "reset", {"properties": False, "faults": False})
    stats = hubspot.stats()
    assert (status, stats.requests, stats.records.stored, len(hubspot.faults.rules())) == (200, 0, 0, 1)
    assert "booking_ref" in hubspot.portal.meetings.book
    await admin(hubspot, "POST", "reset")
    assert "booking_ref" not in hubspot.portal.meetings.book
    assert hubspot.faults.rules() == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "nope", None, 404),
        ("POST", "faults", {"rules": [{"fault": {"kind": "flood"}}]}, 400),
        ("POST", "faults", {"rules": [{"fault": {"status": 503}, "rate": 2}]}, 400),
        ("POST", "faults", {}, 400),
        ("POST", "reset", {"everything": True}, 400),
        ("POST", "objects", {"type": "unicorns"}, 400),
        ("GET", "duplicates", None, 400),
        ("GET", "ledger?limit=x", None, 400),
    ],
)
async def test_wrong_calls_are_told_why(hubspot: Emulator, method: str, path: str, body: Any, status: int) -> None:
    answered, answer = await admin(hubspot, method, path, body)
    assert (answered, bool(answer["message"])) == (status, True)
