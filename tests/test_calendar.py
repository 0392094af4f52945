"""Calendar events: what travels, what comes back, and never two for one."""

from __future__ import annotations

import json
import pickle
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hubspot_meetings_async import MeetingsClient, NoLimit, RetryPolicy, to_company, to_contact
from hubspot_meetings_async.emulator import Emulator, Fault
from hubspot_meetings_async.errors import (
    AmbiguousWriteError,
    ConfigurationError,
    InvalidRecord,
    NotFound,
    RateLimited,
    RequestRejected,
)
from hubspot_meetings_async.models import CalendarEvent, CalendarEventProperties, CalendarEventRequest, Reminder
from hubspot_meetings_async.models.tolerant import tolerant_decoder
from hubspot_meetings_async.scheduler.calendar import Calendar
from hubspot_meetings_async.wire import Replay, Request, Trail

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 11, 24, 19, 0, tzinfo=BERLIN)
SWIFT = RetryPolicy(base_s=0.001, cap_s=0.002, locked_s=0.0)


def properties(**changes: Any) -> CalendarEventProperties:
    given: dict[str, Any] = {
        "hs_meeting_title": "Review",
        "hs_meeting_start_time": START,
        "hs_meeting_end_time": START + timedelta(hours=1),
        "hubspot_owner_id": 41629779,
        **changes,
    }
    return CalendarEventProperties(**given)


def arguments(**changes: Any) -> dict[str, Any]:
    return {"organizer_user_id": 2195101, "timezone": BERLIN, "properties": properties(), **changes}


class Recorder:
    """A `Call` that writes down requests and gives one answer."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer if answer is not None else {"id": "1"}
        self.requests: list[Request[Any]] = []

    async def __call__(self, request: Request[Any], trail: Trail | None = None) -> Any:
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return request.decoder.decode(json.dumps(self.answer).encode()) if request.decoder else None

    @property
    def body(self) -> Any:
        (request,) = self.requests
        return json.loads(request.body or b"")


class TestForms:
    def test_lists_and_times(self) -> None:
        """Lists as lists (or joined, as the CRM has them), times in any spelling, `lastUpdatedAt`."""
        decode = tolerant_decoder(CalendarEvent).decode
        event = decode(
            b'{"id": 77, "createdAt": "2026-11-21T09:00:00Z", "lastUpdatedAt": 1795252200000, "archived": false,'
            b' "properties": {"hs_attachment_ids": ["1", 2], "hs_attendee_owner_ids": "3;4", "hs_timestamp":'
            b' "1795543200000", "hubspot_owner_id": 5, "hs_meeting_location_type": "SOMEWHERE", "hs_new": [{}]}}'
        )
        assert (event.id, event.created_at) == ("77", datetime(2026, 11, 21, 9, tzinfo=UTC))
        assert event.last_updated_at == datetime(2026, 11, 21, 9, 10, tzinfo=UTC)
        assert event.properties.hs_attachment_ids == ("1", "2")
        assert event.properties.hs_attendee_owner_ids == ("3", "4")
        assert event.properties.hs_timestamp == datetime(2026, 11, 24, 18, tzinfo=UTC)
        assert (event.properties.hubspot_owner_id, event.properties.hs_meeting_location_type) == ("5", "SOMEWHERE")
        assert event.properties.hs_meeting_body is None

    def test_only_the_id_is_needed(self) -> None:
        """An event is an event when it has an id."""
        assert tolerant_decoder(CalendarEvent).decode(b'{"id": "77"}').properties.hs_meeting_title is None


class TestRequest:
    @pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
    async def test_what_travels(self, version: str) -> None:
        """All four members, times in UTC, lists as lists, the timestamp from the start; the organizer in the query."""
        call = Recorder()
        await Calendar(call, api_version=version).create(
            **arguments(
                properties=properties(hs_attachment_ids=(8, "9"), hs_attendee_owner_ids=(), hs_meeting_body="x"),
                associations=[to_contact(101), to_company("7")],
                reminders=[Reminder(1, "HOURS"), Reminder(2, "DAYS")],
                include_invite_description=False,
            )
        )
        (request,) = call.requests
        assert (request.method, request.path) == ("POST", f"/scheduler/{version}/meetings/calendar")
        assert (request.query, request.replay) == ("organizerUserId=2195101", Replay.IF_NOT_SENT)
        assert call.body == {
            "associations": [
                {"to": {"id": "101"}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 200}]},
                {"to": {"id": "7"}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 188}]},
            ],
            "timezone": "Europe/Berlin",
            "emailReminderSchedule": {
                "reminders": [
                    {"numberOfTimeUnits": 1, "timeUnit": "HOURS"},
                    {"numberOfTimeUnits": 2, "timeUnit": "DAYS"},
                ],
                "shouldIncludeInviteDescription": False,
            },
            "properties": {
                "hs_meeting_title": "Review",
                "hs_meeting_start_time": "2026-11-24T18:00:00.000Z",
                "hs_meeting_end_time": "2026-11-24T19:00:00.000Z",
                "hubspot_owner_id": "41629779",
                "hs_timestamp": "2026-11-24T18:00:00.000Z",
                "hs_meeting_outcome": "SCHEDULED",
                "hs_meeting_body": "x",
                "hs_attachment_ids": ["8", "9"],
                "hs_attendee_owner_ids": [],
            },
        }

    async def test_a_mapping_will_do(self) -> None:
        """Plain dicts may leave the owner out and join their lists as the CRM does; the empty lists still travel."""
        call = Recorder()
        given = {
            "hs_meeting_title": "Review",
            "hs_meeting_start_time": "2026-11-24T18:00:00Z",
            "hs_meeting_end_time": "2026-11-24T19:00:00Z",
            "hs_meeting_outcome": "SCHEDULED",
            "hs_attendee_owner_ids": "3;4",
        }
        await Calendar(call, api_version="v3").create(**arguments(properties=given))
        assert call.body["properties"] == {
            **given,
            "hs_timestamp": "2026-11-24T18:00:00Z",
            "hs_attendee_owner_ids": ["3", "4"],
        }
        assert call.body["associations"] == []
        assert call.body["emailReminderSchedule"] == {"reminders": [], "shouldIncludeInviteDescription": True}
        assert "hs_timestamp" not in given

    @pytest.mark.parametrize(
        ("wrong", "kind", "words"),
        [
            ({"organizer_user_id": "me"}, InvalidRecord, "organizer_user_id"),
            ({"timezone": "Mars/Base"}, ConfigurationError, "IANA"),
            ({"associations": to_contact(1)}, ConfigurationError, "to_contact"),
            ({"associations": [101]}, ConfigurationError, "to_contact"),
            ({"reminders": Reminder(1, "HOURS")}, ConfigurationError, "Reminder"),
            ({"reminders": [Reminder(0, "HOURS")]}, ConfigurationError, "MINUTES"),
            ({"reminders": [Reminder(1, "YEARS")]}, ConfigurationError, "MINUTES"),  # type: ignore[arg-type]
            ({"properties": [("hs_meeting_title", "x")]}, InvalidRecord, "CalendarEventProperties"),
            ({"properties": {"hs_meeting_title": "x"}}, InvalidRecord, "hs_meeting_start_time.*hs_meeting_outcome"),
            ({"properties": properties(hs_meeting_title="")}, InvalidRecord, "hs_meeting_title"),
            (
                {"properties": properties(hs_meeting_start_time=START.replace(tzinfo=None))},
                InvalidRecord,
                "hs_meeting_start_time",
            ),
            (
                {"properties": properties(hs_meeting_end_time=datetime(2026, 11, 25))},  # noqa: DTZ001 - the point
                InvalidRecord,
                "hs_meeting_end_time",
            ),
            ({"properties": properties(hs_meeting_end_time=START)}, InvalidRecord, "after"),
            ({"properties": properties(hs_attachment_ids=5)}, InvalidRecord, "hs_attachment_ids"),
            ({"properties": properties(hs_attachment_ids=(None,))}, InvalidRecord, "hs_attachment_ids"),
        ],
    )
    async def test_wrong_arguments_send_nothing(self, wrong: dict[str, Any], kind: type[Exception], words: str) -> None:
        """What can not be right is named before a call is spent."""
        call = Recorder()
        with pytest.raises(kind, match=words):
            await Calendar(call, api_version="v3").create(**arguments(**wrong))
        assert call.requests == []

    async def test_the_end_in_the_hour_that_comes_twice(self) -> None:
        """02:45 before the change and 02:15 after it are half an hour apart: real time counts, not the clocks."""
        call = Recorder()
        start = datetime(2026, 10, 25, 2, 45, tzinfo=BERLIN)
        end = datetime(2026, 10, 25, 2, 15, tzinfo=BERLIN, fold=1)
        event = properties(hs_meeting_start_time=start, hs_meeting_end_time=end)
        await Calendar(call, api_version="v3").create(**arguments(properties=event))
        assert call.body["properties"]["hs_meeting_start_time"] == "2026-10-25T00:45:00.000Z"
        assert call.body["properties"]["hs_meeting_end_time"] == "2026-10-25T01:15:00.000Z"

    def test_unknown_versions(self) -> None:
        """A version this library does not speak is refused."""
        with pytest.raises(ConfigurationError, match="2026-03"):
            Calendar(Recorder(), api_version="v1")

    async def test_a_lost_answer_carries_the_event(self) -> None:
        """The error says what was asked for and where to look."""
        lost = AmbiguousWriteError("gone", why="timeout")
        with pytest.raises(AmbiguousWriteError, match=r"2026-11-24T18:00:00.000Z may have been made.*search") as caught:
            await Calendar(Recorder(lost), api_version="v3").create(**arguments())
        assert isinstance(caught.value.asked, CalendarEventRequest)
        assert caught.value.asked.properties["hs_meeting_title"] == "Review"
        assert "Review" not in str(caught.value)
        again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes
        assert (again.asked, again.why) == (caught.value.asked, "timeout")


# ---- against the emulator -----------------------------------------------------------------------------------------


@pytest.fixture
async def hubspot() -> AsyncIterator[Emulator]:
    """An account with Ada, who has a calendar, and Bob, who connected none."""
    async with Emulator(limit=None) as emulator:
        emulator.portal.add_user("ada@example.com", user_id="2195101", owner_id="41629779")
        emulator.portal.add_user("bob@example.com", user_id="2195102", calendar=None)
        yield emulator


@pytest.fixture
async def client(hubspot: Emulator, api_version: str) -> AsyncIterator[MeetingsClient]:
    """A client of it, in each version of the API."""
    async with MeetingsClient(
        "token", base_url=hubspot.url, api_version=api_version, limiter=NoLimit(), retry=SWIFT
    ) as client:
        yield client


@pytest.fixture
def calendar(client: MeetingsClient) -> Calendar:
    """Its calendar."""
    return client.calendar


class TestEmulator:
    async def test_an_event_is_a_meeting_too(self, client: MeetingsClient, calendar: Calendar) -> None:
        """Event and record in one call, tied to the contact; what came back is typed."""
        event = await calendar.create(
            **arguments(
                properties=properties(hs_attendee_owner_ids=(41629779,), hs_meeting_location="Berlin"),
                associations=[to_contact(101)],
                reminders=[Reminder(1, "HOURS")],
            )
        )
        assert event.last_updated_at is not None
        assert event.created_at is not None
        assert event.created_at <= event.last_updated_at
        assert event.properties.hs_meeting_start_time == START
        assert event.properties.hs_attendee_owner_ids == ("41629779",)
        assert event.properties.hs_engagement_source == "MEETINGS"
        meeting = await client.meetings.get(
            event.id, properties=["hs_meeting_title", "hs_meeting_location"], associations=["contacts"]
        )
        assert meeting.properties["hs_meeting_title"] == "Review"
        assert meeting.properties["hs_meeting_location"] == "Berlin"
        assert meeting.associations is not None
        assert [tied.id for tied in meeting.associations["contacts"].results][:1] == ["101"]

    async def test_refusals(self, calendar: Calendar) -> None:
        """An organizer without a calendar, and one whose number can be none."""
        with pytest.raises(RequestRejected, match="calendar"):
            await calendar.create(**arguments(organizer_user_id=2195102))
        with pytest.raises(NotFound):
            await calendar.create(**arguments(organizer_user_id="9" * 20))

    @pytest.mark.parametrize("applied", [False, True])
    @pytest.mark.parametrize("fault", [{"kind": "reset"}, {"status": 500}, {"status": 504}, {"kind": "html"}])
    async def test_never_two_events_for_one(
        self, fault: dict[str, Any], applied: bool, hubspot: Emulator, calendar: Calendar
    ) -> None:
        """An answer lost before or after HubSpot made the event: one request, and the caller is told."""
        hubspot.faults.strike_next(Fault(**fault, applied=applied), operation="scheduler.calendar")
        with pytest.raises(AmbiguousWriteError) as caught:
            await calendar.create(**arguments())
        assert caught.value.asked.timezone == "Europe/Berlin"
        assert len(hubspot.portal.meetings.store) == applied
        assert [entry.operation for entry in hubspot.recent_requests] == ["scheduler.calendar"]

    @pytest.mark.parametrize("validate", [True, False])
    @pytest.mark.parametrize("body", ["[]", "{}", '{"id": ""}'])
    async def test_an_answer_that_is_no_event_proves_nothing(
        self, body: str, validate: bool, hubspot: Emulator
    ) -> None:
        """JSON that names no event leaves the call in doubt, validated or not."""
        hubspot.faults.fail_next(200, applied=True, body=body, content_type="application/json")
        async with MeetingsClient(
            "token", base_url=hubspot.url, limiter=NoLimit(), retry=SWIFT, validate_responses=validate
        ) as client:
            with pytest.raises(AmbiguousWriteError) as caught:
                await client.calendar.create(**arguments())
        assert (caught.value.why, caught.value.status) == ("unreadable", 200)
        assert len(hubspot.recent_requests) == 1

    async def test_a_429_is_left_to_the_caller(self, hubspot: Emulator, calendar: Calendar) -> None:
        """Nothing was made, nothing is in doubt, and nothing is repeated on its own."""
        hubspot.faults.fail_next(429, operation="scheduler.calendar")
        with pytest.raises(RateLimited):
            await calendar.create(**arguments())
        assert len(hubspot.portal.meetings.store) == 0
        await calendar.create(**arguments())
        assert len(hubspot.portal.meetings.store) == 1
