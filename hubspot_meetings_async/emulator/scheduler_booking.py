"""The endpoint that books: `POST /scheduler/v3/meetings/meeting-links/book` and its dated twins.

Knows what makes a booking valid and what it leaves behind: a taken slot, a contact, a meeting. Must not know HTTP
beyond a `Call` and its `Answer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from .availability import DAY_MS, zone
from .bodies import decoder, missing_fields, parse
from .calls import Answer, Call
from .crm import Tie
from .definitions import Definition
from .portal import Portal
from .records import Record
from .refusals import Problem, Refusal, bad_values, validation
from .scheduler import link_named, zone_asked
from .scheduler_links import Booking, FormField, MeetingLink, User
from .times import iso, parse_ms

__all__ = ["book"]

MEETING_TO_CONTACT = 200
_SUB_CATEGORY = "MeetingsBookingSchedulingError"

Json = dict[str, Any]


class FieldValue(msgspec.Struct):
    """An answer to one question of the form."""

    name: str
    value: str | int | float | bool


class ConsentGiven(msgspec.Struct, rename="camel"):
    """A consent, given or withheld."""

    communication_type_id: str | int
    consented: bool


class BookingBody(msgspec.Struct, rename="camel"):
    """The body of a booking."""

    slug: str
    first_name: str
    last_name: str
    email: str
    start_time: int | str
    duration: int
    form_fields: list[FieldValue] | None = None
    legal_consent_responses: list[ConsentGiven] | None = None
    likely_available_user_ids: list[str] | None = None
    guest_emails: list[str] = []
    timezone: str | None = None
    locale: str | None = None


_body = decoder(BookingBody)


def book(portal: Portal, call: Call) -> Answer:
    """`POST /meeting-links/book`: takes a slot, or says why not. HubSpot knows no key that would make it repeatable."""
    given = parse(_body, call.body)
    if portal.behaviour.strict_booking_body:
        _need_lists(given)
    link = link_named(portal, given.slug)
    timezone = given.timezone or call.one("timezone") or link.timezone
    zone_asked(timezone)
    _check_person(portal, given)
    answers = _form(link, given.form_fields or ())
    _check_consents(link, given.legal_consent_responses or ())
    _check_guests(link, given.guest_emails)
    start_ms = _start(portal, given.start_time)
    if given.duration not in link.durations_ms:
        offered = ", ".join(str(duration) for duration in link.durations_ms)
        raise _refused(
            400, "MEETING_DURATION_NOT_VALID", f"Duration {given.duration} is not one of those offered: {offered}"
        )
    end_ms = start_ms + given.duration
    user: User | None = None
    if not link.offline:
        _check_time(portal, link, start_ms, end_ms, call.now_ms)
        user = _chosen(portal, link, start_ms, end_ms, given)
    contact = _contact(portal, given, answers, call)
    event_id = "" if user is None else portal.scheduler.event_id()
    if user is not None:
        meeting = _log(portal, link, user, given, start_ms, timezone, contact, call)
        booking = Booking(
            event_id=event_id,
            slug=link.slug,
            user_id=user.user_id,
            start_ms=start_ms,
            end_ms=end_ms,
            email=given.email,
            contact_id=str(contact.id),
            meeting_id=str(meeting.id),
            request=call.number,
        )
        portal.scheduler.take(link, user, booking)
    three_digits = portal.behaviour.always_milliseconds
    payload: Json = {
        "calendarEventId": event_id,
        "start": iso(start_ms, three_digits),
        "end": iso(end_ms, three_digits),
        "duration": given.duration,
        "contactId": str(contact.id),
        "bookingTimezone": timezone,
        "guestEmails": given.guest_emails,
        "subject": link.name,
        "location": link.location,
        "isOffline": user is None,
        "formFields": [
            {
                "name": field.name,
                "label": field.label or field.name,
                "value": value,
                "isCustom": field.is_custom,
                "fieldType": field.field_type,
            }
            for field, value in answers
        ],
        "legalConsentResponses": given.legal_consent_responses or [],
    }
    if given.locale is not None:
        payload["locale"] = given.locale
    return Answer(200, payload)


# checks


def _need_lists(given: BookingBody) -> None:
    lists = {
        "formFields": given.form_fields,
        "legalConsentResponses": given.legal_consent_responses,
        "likelyAvailableUserIds": given.likely_available_user_ids,
    }
    missing = [name for name, value in lists.items() if value is None]
    if missing:
        raise missing_fields(*missing)


def _check_person(portal: Portal, given: BookingBody) -> None:
    for name, value in (("firstName", given.first_name), ("lastName", given.last_name), ("email", given.email)):
        if not value.strip():
            raise validation(f"{name} must not be empty", context={"fieldName": [name]})
    local, at, host = given.email.partition("@")
    if not (local and at and "." in host) or " " in given.email:
        text = f"Email address {given.email} is invalid"
        raise bad_values([Problem("email", "INVALID_EMAIL", text)], portal.portal_id)


def _form(link: MeetingLink, given: Sequence[FieldValue]) -> list[tuple[FormField, str]]:
    """The answers to the page's questions; others are not kept. Raises: Refusal."""
    values = {answer.name: _text(answer.value) for answer in given}
    answers: list[tuple[FormField, str]] = []
    for field in link.form_fields:
        value = values.get(field.name, "")
        if not value.strip():
            if field.is_required:
                raise validation(
                    f"The required form field {field.name} does not have a value", context={"fieldName": [field.name]}
                )
            continue
        if field.options and value not in [option.value for option in field.options]:
            raise validation(
                f"{value} is not an option of the form field {field.name}", context={"fieldName": [field.name]}
            )
        answers.append((field, value))
    return answers


def _check_consents(link: MeetingLink, given: Sequence[ConsentGiven]) -> None:
    consented = {str(response.communication_type_id) for response in given if response.consented}
    for consent in link.consents:
        if consent.required and consent.communication_type_id not in consented:
            raise validation(f"The required consent {consent.communication_type_id} was not given")


def _check_guests(link: MeetingLink, guests: Sequence[str]) -> None:
    if len(guests) > link.max_guests:
        raise validation(f"At most {link.max_guests} guests can be added to this meeting, not {len(guests)}")


def _start(portal: Portal, given: int | str) -> int:
    if isinstance(given, str) and portal.behaviour.booking_start_time == "milliseconds":
        raise validation(f"startTime must be a number of milliseconds, not {given}")
    try:
        start_ms = given if isinstance(given, int) else parse_ms(given)
        iso(start_ms + DAY_MS)
    except (ValueError, OverflowError):
        raise validation(f"startTime is not a time: {str(given)[:100]}") from None
    return start_ms


def _check_time(portal: Portal, link: MeetingLink, start_ms: int, end_ms: int, now_ms: int) -> None:
    """Raises: Refusal when the page does not offer this start, or somebody has it."""
    if now_ms <= start_ms < link.ends_ms(now_ms):
        step_ms = link.step_ms(end_ms - start_ms)
        for opens, closes in link.hours.spans(zone(link.timezone), start_ms - DAY_MS, end_ms):
            if opens <= start_ms and end_ms <= closes and not (start_ms - opens) % step_ms:
                if link.free(start_ms, end_ms):
                    return
                break
    status = portal.behaviour.slot_taken_status
    raise _refused(status, "MEETING_TIME_NOT_AVAILABLE", f"The time {iso(start_ms)} is not available")


def _refused(status: int, name: str, message: str) -> Refusal:
    return Refusal(status, message, category="VALIDATION_ERROR", extra={"subCategory": f"{_SUB_CATEGORY}.{name}"})


# what it leaves behind


def _chosen(portal: Portal, link: MeetingLink, start_ms: int, end_ms: int, given: BookingBody) -> User:
    """Who takes the meeting: the contact's owner where the page says so, then whom the visitor named, then whoever has
    the fewest bookings. HubSpot does not say which of a user's ids the visitor names; both are understood."""
    free = link.free(start_ms, end_ms)
    if link.type != "ROUND_ROBIN_CALENDAR":
        return link.organizer
    if link.owner_prioritized:
        known = portal.crm("contacts").find(given.email.lower(), "email")
        owner = None if known is None else known.value("hubspot_owner_id")
        free = [user for user in free if user.owner_id == owner] or free
    likely = given.likely_available_user_ids or ()
    named = [user for user in free if user.id in likely or user.user_id in likely]
    return min(named or free, key=lambda user: user.bookings)


def _contact(portal: Portal, given: BookingBody, answers: list[tuple[FormField, str]], call: Call) -> Record:
    contacts = portal.crm("contacts")
    email = given.email.lower()
    wanted: dict[str, str | int | float | bool | None] = {
        "firstname": given.first_name,
        "lastname": given.last_name,
        **{field.name: value for field, value in answers if not field.is_custom and field.name != "email"},
    }
    for name in wanted:
        if name not in contacts.book:
            contacts.book.put(Definition(name=name, label=name, group_name="contactinformation"))
    record = contacts.find(email, "email")
    if record is None:
        values = contacts.screen_new({"email": email, **wanted}, call.now_ms)
        return contacts.add(values, (), now_ms=call.now_ms, request=call.number)
    contacts.change(record, contacts.screen_changes(record, wanted), now_ms=call.now_ms, request=call.number)
    return record


def _log(
    portal: Portal,
    link: MeetingLink,
    user: User,
    given: BookingBody,
    start_ms: int,
    timezone: str,
    contact: Record,
    call: Call,
) -> Record:
    three_digits = portal.behaviour.always_milliseconds
    start, end = iso(start_ms, three_digits), iso(start_ms + given.duration, three_digits)
    # Written past the checks: some of these only HubSpot itself can set.
    values = {
        "hs_timestamp": start,
        "hs_meeting_title": link.name,
        "hs_meeting_start_time": start,
        "hs_meeting_end_time": end,
        "hs_meeting_outcome": "SCHEDULED",
        "hs_meeting_source": "INTEGRATION",
        "hs_meeting_created_from_link_id": link.id,
        "hs_engagement_source": "MEETINGS",
        "hs_timezone": timezone,
        "hubspot_owner_id": user.owner_id,
    }
    if link.location:
        values["hs_meeting_location"] = link.location
    if given.guest_emails:
        values["hs_guest_emails"] = ";".join(given.guest_emails)
    kind = portal.associations.type("HUBSPOT_DEFINED", MEETING_TO_CONTACT)
    ties: list[Tie] = [] if kind is None else [(kind, contact.id)]
    return portal.meetings.add(values, ties, now_ms=call.now_ms, request=call.number)


def _text(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
