"""Calendar events that are records at the same time: what HubSpot's calendar call takes and answers.

This module knows the fields and their forms. It must not know URLs, status codes, or how anything travels. Property
keys stay as HubSpot spells them. Unlike the meetings object, lists are lists here, and `updated_at` is called
`last_updated_at`.

HubSpot: https://developers.hubspot.com/docs/api-reference/latest/scheduler/meetings/create-calendar-meeting
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from .associations import Association
from .forms import Received, Sent
from .tolerant import Moment, Several, Text

__all__ = [
    "CalendarEvent",
    "CalendarEventProperties",
    "CalendarEventRequest",
    "CalendarEventValues",
    "EmailReminderSchedule",
    "Reminder",
]


class Reminder(Sent, frozen=True):
    """An e-mail so long before the meeting: `Reminder(1, "HOURS")`."""

    number_of_time_units: int
    time_unit: Literal["WEEKS", "DAYS", "HOURS", "MINUTES"]


class EmailReminderSchedule(Sent, frozen=True, kw_only=True):
    """All e-mails before the meeting, and whether they repeat the invitation's text."""

    reminders: tuple[Reminder, ...]
    should_include_invite_description: bool


class CalendarEventProperties(Struct, kw_only=True, frozen=True):
    """The properties a calendar event can be made with.

    Datetimes must be aware. `hs_timestamp` is the start unless it is given. `hubspot_owner_id` is the owner's id, not
    the user's; HubSpot's schema requires it. `hs_meeting_location_type` is `ADDRESS`, `CUSTOM` or `PHONE`. A field left
    `UNSET` is not sent.
    """

    hs_meeting_title: str
    hs_meeting_start_time: datetime
    hs_meeting_end_time: datetime
    hubspot_owner_id: str | int
    hs_timestamp: datetime | UnsetType = UNSET
    hs_meeting_outcome: str = "SCHEDULED"
    hs_activity_type: str | UnsetType = UNSET
    hs_attachment_ids: tuple[str | int, ...] | UnsetType = UNSET
    hs_attendee_owner_ids: tuple[str | int, ...] | UnsetType = UNSET
    hs_internal_meeting_notes: str | UnsetType = UNSET
    hs_meeting_body: str | UnsetType = UNSET
    hs_meeting_location: str | UnsetType = UNSET
    hs_meeting_location_type: str | UnsetType = UNSET


class CalendarEventRequest(Sent, frozen=True, kw_only=True):
    """What a calendar event asks for, as it travels."""

    associations: tuple[Association, ...]
    timezone: str
    email_reminder_schedule: EmailReminderSchedule
    properties: Mapping[str, Any]


class CalendarEventValues(Struct, frozen=True, kw_only=True):
    """The properties of a calendar event as HubSpot answers them; what it leaves out is None."""

    hs_meeting_title: Text | None = None
    hs_meeting_start_time: Moment | None = None
    hs_meeting_end_time: Moment | None = None
    hs_timestamp: Moment | None = None
    hs_meeting_outcome: Text | None = None
    hubspot_owner_id: Text | None = None
    hs_activity_type: Text | None = None
    hs_attachment_ids: Several | None = None
    hs_attendee_owner_ids: Several | None = None
    hs_engagement_source: Text | None = None
    hs_engagement_source_id: Text | None = None
    hs_include_description_in_reminder: Text | None = None
    hs_internal_meeting_notes: Text | None = None
    hs_meeting_body: Text | None = None
    hs_meeting_external_url: Text | None = None
    hs_meeting_location: Text | None = None
    hs_meeting_location_type: Text | None = None
    hs_unique_id: Text | None = None


class CalendarEvent(Received, frozen=True, kw_only=True):
    """A calendar event; `id` is the id of its meeting record."""

    id: Text
    created_at: Moment | None = None
    last_updated_at: Moment | None = None
    properties: CalendarEventValues = CalendarEventValues()
