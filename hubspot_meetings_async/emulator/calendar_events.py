"""The endpoint that makes a calendar event and its record at once: `POST /scheduler/v3/meetings/calendar`.

Must not know HTTP beyond a `Call` and its `Answer`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from .bodies import Association, decoder, missing_fields, parse
from .calls import Answer, Call
from .portal import Portal
from .refusals import Refusal, validation
from .scheduler import zone_asked
from .scheduler_links import User
from .times import iso, parse_ms
from .values import Raw

__all__ = ["create_event"]

REQUIRED = ("hs_meeting_title", "hs_meeting_start_time", "hs_meeting_end_time", "hs_timestamp", "hs_meeting_outcome")
LISTS = ("hs_attachment_ids", "hs_attendee_owner_ids")
"""Arrays here; the record has them joined by semicolons."""
TAKEN = (
    *REQUIRED,
    *LISTS,
    "hubspot_owner_id",
    "hs_activity_type",
    "hs_internal_meeting_notes",
    "hs_meeting_body",
    "hs_meeting_location",
    "hs_meeting_location_type",
)

Json = dict[str, Any]


class Reminder(msgspec.Struct, rename="camel"):
    """When to send a mail before the meeting."""

    number_of_time_units: int
    time_unit: Literal["WEEKS", "DAYS", "HOURS", "MINUTES"]


class ReminderSchedule(msgspec.Struct, rename="camel"):
    """The mails before the meeting."""

    reminders: list[Reminder]
    should_include_invite_description: bool


class EventBody(msgspec.Struct, rename="camel"):
    """The body of a create."""

    associations: list[Association]
    timezone: str
    email_reminder_schedule: ReminderSchedule
    properties: dict[str, Raw | list[str | int]]


_body = decoder(EventBody)


def create_event(portal: Portal, call: Call) -> Answer:
    """`POST /calendar?organizerUserId=`."""
    organizer = _organizer(portal, call.one("organizerUserId"))
    given = parse(_body, call.body)
    zone_asked(given.timezone)
    if organizer.calendar is None:
        raise validation(f"User {organizer.user_id} has not connected a calendar")
    lists = {name: _list(name, given.properties.get(name)) for name in LISTS if name in given.properties}
    values = _screened(portal, given, lists, call.now_ms)
    start_ms, end_ms = (parse_ms(values[name]) for name in ("hs_meeting_start_time", "hs_meeting_end_time"))
    if end_ms <= start_ms:
        raise validation("hs_meeting_end_time must be after hs_meeting_start_time")
    ties = portal.meetings.ties(given.associations)
    values.setdefault("hubspot_owner_id", organizer.owner_id)
    # From here on what only HubSpot itself can set.
    values["hs_engagement_source"] = "MEETINGS"
    values["hs_timezone"] = given.timezone
    values["hs_unique_id"] = portal.scheduler.event_id()
    reminded = given.email_reminder_schedule.should_include_invite_description
    values["hs_include_description_in_reminder"] = "true" if reminded else "false"
    record = portal.meetings.add(values, ties, now_ms=call.now_ms, request=call.number)
    attendees = (portal.scheduler.owner(owner_id) for owner_id in lists.get("hs_attendee_owner_ids", ()))
    for user in {organizer.user_id: organizer, **{user.user_id: user for user in attendees if user}}.values():
        user.busy.add(start_ms, end_ms)
    del values["hs_timezone"]
    three_digits = portal.behaviour.always_milliseconds
    payload: Json = {
        "id": str(record.id),
        "createdAt": iso(record.created_ms, three_digits),
        "lastUpdatedAt": iso(record.updated_ms, three_digits),
        "properties": {"hs_engagement_source_id": "", **values, **lists},
    }
    return Answer(200, payload)


def _organizer(portal: Portal, user_id: str | None) -> User:
    if not user_id:
        raise validation("The query parameter organizerUserId is required", context={"missing": ["organizerUserId"]})
    user = next((user for user in portal.scheduler.users if user.user_id == user_id), None)
    if user is None:
        if portal.behaviour.check_organizers or not (user_id.isascii() and user_id.isdigit() and len(user_id) < 19):
            raise Refusal(404, f"No user with the id {user_id} exists", category="OBJECT_NOT_FOUND")
        user = portal.scheduler.add_user(f"user-{user_id}@example.com", user_id=user_id)
    return user


def _screened(portal: Portal, given: EventBody, lists: dict[str, list[str]], now_ms: int) -> dict[str, str]:
    """The values as the record will have them. Raises: Refusal."""
    missing = [name for name in REQUIRED if given.properties.get(name) in (None, "", [])]
    if missing:
        raise missing_fields(*missing)
    plain: dict[str, Raw] = {}
    for name, value in given.properties.items():
        if name not in TAKEN:
            if portal.behaviour.unknown_property == "refuse":
                raise validation(f"{name} can not be set on a calendar event", context={"propertyName": [name]})
        elif name in lists:
            plain[name] = ";".join(lists[name])
        elif isinstance(value, list):
            raise validation(f"{name} must be one value, not a list", context={"propertyName": [name]})
        else:
            plain[name] = value
    return portal.meetings.screen_new(plain, now_ms)


def _list(name: str, value: Raw | list[str | int]) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise validation(f"{name} must be a list", context={"propertyName": [name]})
    return [str(part) for part in value]
