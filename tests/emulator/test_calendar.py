"""A calendar event and its record are made together, on every version."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from hubspot_meetings_async.emulator import Behaviour, Emulator, ManualClock
from tests.emulator.account import MEETINGS

URL = "/scheduler/v3/meetings/calendar"
PROPERTIES = {
    "hs_meeting_title": "Review",
    "hs_meeting_start_time": "2026-11-24T19:00:00+01:00",
    "hs_meeting_end_time": "2026-11-24T19:00:00Z",
    "hs_timestamp": "2026-11-24T18:00:00Z",
    "hs_meeting_outcome": "SCHEDULED",
    "hubspot_owner_id": "41629779",
    "hs_attachment_ids": ["1", "2"],
}
EVENT: dict[str, Any] = {
    "associations": [
        {"to": {"id": "101"}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 200}]}
    ],
    "timezone": "Europe/Berlin",
    "emailReminderSchedule": {
        "reminders": [{"numberOfTimeUnits": 1, "timeUnit": "HOURS"}],
        "shouldIncludeInviteDescription": True,
    },
    "properties": PROPERTIES,
}


@pytest.fixture
async def hubspot() -> AsyncIterator[Emulator]:
    """An emulator whose time is a test's own."""
    async with Emulator(limit=None, clock=ManualClock()) as emulator:
        yield emulator


async def post(
    http: aiohttp.ClientSession, hubspot: Emulator, body: Any, query: str = "?organizerUserId=51204417", path: str = URL
) -> tuple[int, Any]:
    async with http.post(hubspot.url + path + query, json=body) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("version", ["v3", "2025-09", "2026-03", "2026-09"])
async def test_makes_the_event_and_the_record(hubspot: Emulator, http: aiohttp.ClientSession, version: str) -> None:
    status, event = await post(http, hubspot, EVENT, path=URL.replace("v3", version))
    assert status == 200, event
    assert event.keys() == {"id", "createdAt", "lastUpdatedAt", "properties"}
    shown = event["properties"]
    assert (shown["hs_engagement_source"], shown["hs_engagement_source_id"]) == ("MEETINGS", "")
    assert (shown["hs_meeting_start_time"], shown["hs_attachment_ids"]) == ("2026-11-24T18:00:00Z", ["1", "2"])
    assert shown["hs_include_description_in_reminder"] == "true"
    query = "?properties=hs_attachment_ids,hs_engagement_source,hubspot_owner_id&associations=contacts"
    async with http.get(f"{hubspot.url}{MEETINGS}/{event['id']}{query}") as response:
        record = await response.json()
    assert record["properties"]["hs_attachment_ids"] == "1;2"
    assert record["properties"]["hubspot_owner_id"] == "41629779"
    assert record["associations"]["contacts"]["results"][0]["id"] == "101"
    assert record["createdAt"] == event["createdAt"]


async def test_takes_the_time_of_all_who_attend(hubspot: Emulator, http: aiohttp.ClientSession) -> None:
    maya, tomas = hubspot.portal.scheduler.users
    attendees = {**EVENT, "properties": {**PROPERTIES, "hs_attendee_owner_ids": [tomas.owner_id]}}
    assert (await post(http, hubspot, attendees, f"?organizerUserId={maya.user_id}"))[0] == 200
    assert len(maya.busy.between(0, 2**50)) == len(tomas.busy.between(0, 2**50)) == 1


async def test_unknown_organizers_are_taken_unless_the_account_checks(http: aiohttp.ClientSession) -> None:
    for check, status in ((False, 200), (True, 404)):
        async with Emulator(behaviour=Behaviour(check_organizers=check)) as hubspot:
            body = {**EVENT, "properties": {k: v for k, v in PROPERTIES.items() if k != "hubspot_owner_id"}}
            answered, event = await post(http, hubspot, body, "?organizerUserId=7")
            assert answered == status
            if status == 200:
                user = hubspot.portal.scheduler.user("7")
                assert user is not None
                assert event["properties"]["hubspot_owner_id"] == user.owner_id


@pytest.mark.parametrize(
    ("changes", "query", "words"),
    [
        ({}, "", "organizerUserId"),
        ({"timezone": "Nowhere/Land"}, None, "Nowhere/Land"),
        ({"associations": None}, None, "Invalid input JSON"),
        ({"properties": {**PROPERTIES, "hs_meeting_title": ""}}, None, "[hs_meeting_title]"),
        ({"properties": {**PROPERTIES, "hs_meeting_end_time": "2026-11-24T17:00:00Z"}}, None, "must be after"),
        ({"properties": {**PROPERTIES, "hs_meeting_outcome": "FUN"}}, None, "INVALID_OPTION"),
        ({"properties": {**PROPERTIES, "hs_meeting_start_time": "soon"}}, None, "hs_meeting_start_time"),
        ({"properties": {**PROPERTIES, "hs_meeting_title": ["a"]}}, None, "not a list"),
        ({"properties": {**PROPERTIES, "hs_attachment_ids": "1;2"}}, None, "must be a list"),
        ({"properties": {**PROPERTIES, "hs_guest_emails": "x"}}, None, "hs_guest_emails"),
        ({"emailReminderSchedule": {"reminders": []}}, None, "shouldIncludeInviteDescription"),
        (
            {"emailReminderSchedule": {"reminders": [{"numberOfTimeUnits": 1, "timeUnit": "YEARS"}]}},
            None,
            "Invalid input JSON",
        ),
        (
            {
                "associations": [
                    {"to": {"id": 1}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 1}]}
                ]
            },
            None,
            "1",
        ),
    ],
)
async def test_is_refused_with_a_reason_and_leaves_nothing(
    hubspot: Emulator, http: aiohttp.ClientSession, changes: dict[str, Any], query: str | None, words: str
) -> None:
    status, body = await post(
        http, hubspot, {**EVENT, **changes}, "?organizerUserId=51204417" if query is None else query
    )
    assert status == 400, body
    assert words in body["message"]
    assert hubspot.stats().records.created == 0
    assert hubspot.portal.scheduler.users[0].busy.between(0, 2**50) == []


async def test_needs_a_calendar(hubspot: Emulator, http: aiohttp.ClientSession) -> None:
    user = hubspot.portal.add_user("off@example.com", calendar=None)
    status, body = await post(http, hubspot, EVENT, f"?organizerUserId={user.user_id}")
    assert (status, "calendar" in body["message"]) == (400, True)
