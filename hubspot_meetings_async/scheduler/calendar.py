"""`/scheduler/…/meetings/calendar`: a calendar event and its meeting record in one call.

This module knows the path and the body. It must not know the transport, the limiter, or how to sleep; it is given a
`Call`.

HubSpot: https://developers.hubspot.com/docs/api-reference/latest/scheduler/meetings/create-calendar-meeting
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, cast

from msgspec import UNSET, Struct

from ..errors import AmbiguousWriteError, ConfigurationError, InvalidRecord
from ..models import Association, property_values
from ..models.calendar import (
    CalendarEvent,
    CalendarEventProperties,
    CalendarEventRequest,
    EmailReminderSchedule,
    Reminder,
)
from ..models.tolerant import tolerant_decoder
from ..moments import zone
from ..versions import known_version
from ..wire import Call, Replay, Request, encode, query_string, segment

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = ["Calendar"]

REQUIRED: Final = ("hs_meeting_title", "hs_meeting_start_time", "hs_meeting_end_time", "hs_meeting_outcome")
LISTS: Final = ("hs_attachment_ids", "hs_attendee_owner_ids")
_TIME_UNITS: Final = ("WEEKS", "DAYS", "HOURS", "MINUTES")

_event = tolerant_decoder(CalendarEvent)


class Calendar:
    """Events in a user's calendar that are meeting records, too."""

    def __init__(self, call: Call, *, api_version: str) -> None:
        self._call = call
        self._path = f"/scheduler/{known_version(api_version)}/meetings/calendar"

    async def create(
        self,
        *,
        organizer_user_id: str | int,
        properties: CalendarEventProperties | Mapping[str, Any],
        timezone: str | ZoneInfo,
        associations: Sequence[Association] = (),
        reminders: Sequence[Reminder] = (),
        include_invite_description: bool = True,
    ) -> CalendarEvent:
        """Put an event into a user's calendar and record it (`POST …/meetings/calendar`).

            event = await hubspot.calendar.create(
                organizer_user_id=2195101, timezone="Europe/Berlin", associations=[to_contact(101)],
                reminders=[Reminder(1, "HOURS")],
                properties=CalendarEventProperties(
                    hs_meeting_title="Review", hs_meeting_start_time=start, hs_meeting_end_time=end,
                    hubspot_owner_id=41629779))

        `organizer_user_id` is a user's id; `hubspot_owner_id` among the properties is an owner's. The user must have
        connected a calendar. `reminders` are e-mails before the meeting; with `include_invite_description` they repeat
        the invitation's text. HubSpot publishes this call for v3 and for both dated versions.

        Never sent twice unless no byte left, not even after a 429: HubSpot has no idempotency key, and a second event
        writes to people. Needs a write scope such as `crm.objects.contacts.write`.

        Raises: InvalidRecord for properties that can not be sent; RequestRejected when HubSpot refuses;
        AmbiguousWriteError when the answer was lost: its `asked` is the event, its message says where to look.
        """
        asked = CalendarEventRequest(
            associations=tuple(_listed("associations", associations, Association, "to_contact(101)")),
            timezone=zone(timezone).name,
            email_reminder_schedule=EmailReminderSchedule(
                reminders=tuple(
                    _checked(reminder) for reminder in _listed("reminders", reminders, Reminder, _REMINDER)
                ),
                should_include_invite_description=include_invite_description,
            ),
            properties=_event_values(properties),
        )
        request = Request(
            method="POST",
            path=self._path,
            query=query_string({"organizerUserId": segment(organizer_user_id, what="organizer_user_id")}),
            body=encode(asked),
            decoder=_event,
            replay=Replay.IF_NOT_SENT,
        )
        try:
            return _made(await self._call(request), request)
        except AmbiguousWriteError as error:
            start = asked.properties["hs_meeting_start_time"]
            raise error.about(
                asked,
                f"the calendar event at {start} may have been made, and was not sent again. Before you do, search the "
                "meetings for its title and start (new ones are found after some seconds)",
            ) from error.__cause__


def _made(event: CalendarEvent, request: Request[CalendarEvent]) -> CalendarEvent:
    # Where answers are not validated, this may be any JSON.
    if getattr(event, "id", None):
        return event
    unread = AmbiguousWriteError("HubSpot answered 200, but not with an event", why="unreadable", status=200)
    raise unread.at(method=request.method, path=request.path, attempt=1)


_REMINDER = 'Reminder(1, "HOURS")'


def _listed(what: str, values: object, kind: type, example: str) -> Iterable[Any]:
    given = cast("Iterable[object]", values) if isinstance(values, (list, tuple)) else None
    if given is None or not all(isinstance(value, kind) for value in given):
        raise ConfigurationError(f"{what} takes a list of them, as in [{example}], not {values!r}"[:300])
    return given


def _checked(reminder: Reminder) -> Reminder:
    units = reminder.number_of_time_units
    if type(units) is not int or units < 1 or reminder.time_unit not in _TIME_UNITS:
        raise ConfigurationError(
            f"a reminder is a number from 1 on and one of {', '.join(_TIME_UNITS)}, not {reminder!r}"
        )
    return reminder


def _event_values(properties: object) -> Mapping[str, Any]:
    """The properties as this call takes them: strings, but lists as lists. Raises: InvalidRecord."""
    given = _given(properties)
    start, end = given.get("hs_meeting_start_time"), given.get("hs_meeting_end_time")
    given.setdefault("hs_timestamp", start)
    missing = [name for name in (*REQUIRED, "hs_timestamp") if given.get(name) in (None, "")]
    if missing:
        raise InvalidRecord(f"a calendar event needs {', '.join(missing)}")
    plain = property_values({name: value for name, value in given.items() if name not in LISTS})
    # After the values were checked, so that both datetimes are aware.
    if isinstance(start, datetime) and isinstance(end, datetime) and not start.timestamp() < end.timestamp():
        raise InvalidRecord("hs_meeting_end_time must be after hs_meeting_start_time")
    return {**plain, **{name: _ids(name, given[name]) for name in LISTS if name in given}}


def _given(properties: object) -> dict[str, Any]:
    if isinstance(properties, Struct):
        names = zip(properties.__struct_encode_fields__, properties.__struct_fields__, strict=True)
        pairs = {name: getattr(properties, field) for name, field in names}
    elif isinstance(properties, Mapping):
        pairs = dict(cast("Mapping[str, Any]", properties))
    else:
        raise InvalidRecord(
            f"properties are CalendarEventProperties(…) or a mapping of properties, not a {type(properties).__name__}"
        )
    return {name: value for name, value in pairs.items() if value is not UNSET}


def _ids(name: str, value: object) -> list[str]:
    if isinstance(value, str):  # as the meetings object has them
        return [part for part in value.split(";") if part]
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise InvalidRecord(f"{name} is a list of ids, not {value!r}")
    found = list(cast("Iterable[object]", value))
    if any(isinstance(item, bool) or not isinstance(item, (str, int)) for item in found):
        raise InvalidRecord(f"{name} is a list of ids, strings or numbers")
    return [str(item) for item in found]
