"""One booking: what is asked for, and what HubSpot's answer or refusal means.

This module knows what a booking must have and the words of HubSpot's refusals. It must not know paths, or how anything
travels.

HubSpot: https://developers.hubspot.com/docs/api-reference/scheduler-meetings-v3/guide
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from ..errors import (
    AmbiguousWriteError,
    CalendarNotConnected,
    ConfigurationError,
    DurationNotOffered,
    FormFieldMissing,
    NotFound,
    RequestRejected,
    SlotTaken,
    printable,
    shown,
)
from ..models import property_values
from ..models.scheduler import BookedMeeting, BookingRequest, ConsentResponse, FormValue
from ..moments import duration_ms, named_zone, unix_ms, utc, zone

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = ["booking_request", "checked_slug", "in_doubt", "made", "refusal", "unknown_slug"]


def booking_request(
    slug: str,
    *,
    first_name: str,
    last_name: str,
    email: str,
    start: datetime,
    duration: timedelta | float,
    form_fields: Mapping[str, Any],
    legal_consents: Mapping[str | int, bool],
    guest_emails: Iterable[str],
    likely_available_user_ids: Iterable[str | int],
    timezone: str | ZoneInfo | None,
    locale: str | None,
) -> BookingRequest:
    """The body of a booking. Raises: ConfigurationError, InvalidRecord (a form value that can not be sent)."""
    start_at = utc("start", start)
    if timezone is None:
        timezone = named_zone(start)
    return BookingRequest(
        slug=checked_slug(slug),
        first_name=_filled("first_name", first_name),
        last_name=_filled("last_name", last_name),
        email=_filled("email", email),
        start_ms=unix_ms(start_at),
        duration_ms=duration_ms(duration),
        form_fields=tuple(_form_values(form_fields)),
        legal_consent_responses=tuple(_consents(legal_consents)),
        likely_available_user_ids=tuple(_ids("likely_available_user_ids", likely_available_user_ids)),
        guest_emails=tuple(_filled("guest_emails", email) for email in _listed("guest_emails", guest_emails)),
        timezone=None if timezone is None else zone(timezone).name,
        locale=locale,
    )


def checked_slug(slug: object) -> str:
    """A meeting link's slug, such as `ada/intro`. Raises: ConfigurationError."""
    if not isinstance(slug, str) or not slug.strip("/. ") or not slug.isprintable():
        raise ConfigurationError(f"slug must be the end of a meeting link, such as 'ada/intro', not {shown(slug)}")
    if "://" in slug or slug.startswith("/") or slug.endswith("/"):
        short = printable(slug)[:80]
        raise ConfigurationError(f"slug is what stands behind the host in a meeting link ('ada/intro'), not {short!r}")
    return slug


def made(booking: BookedMeeting, asked: BookingRequest) -> BookedMeeting:
    """The booking, if it is one.

    Raises: CalendarNotConnected for a 200 without an event; AmbiguousWriteError for one that says neither.
    """
    # Where answers are not validated, this may be any JSON.
    is_answer = isinstance(booking, BookedMeeting)  # pyright: ignore[reportUnnecessaryIsInstance]
    if is_answer and booking.calendar_event_id:
        return booking
    if is_answer and (booking.is_offline or booking.calendar_event_id is not None):
        raise CalendarNotConnected(
            f"nothing was booked: HubSpot answered 200 without a calendar event for {_what(asked)}. The calendar of "
            "the organizer, or of the member whose turn it was, is not connected; reconnect it in HubSpot, or book "
            "through another link",
            answer=booking,
            status=200,
        )
    unread = AmbiguousWriteError("HubSpot answered 200, but not with a booking", why="unreadable", status=200)
    raise in_doubt(unread, asked)


def in_doubt(error: AmbiguousWriteError, asked: BookingRequest) -> AmbiguousWriteError:
    """A booking whose answer was lost: what was asked for, and where to look."""
    return error.about(
        asked,
        f"{_what(asked)} may have been booked, and was not sent again. Before you do: if availability() still offers "
        "this time it was not booked, or search the meetings for its start",
    )


# ---- refusals -----------------------------------------------------------------------------------------------------

# What follows the last dot of `MeetingsBookingSchedulingError.MEETING_TIME_NOT_AVAILABLE`, as seen by users.
_BY_SUB_CATEGORY: Mapping[str, type[RequestRejected]] = {
    "MEETING_TIME_NOT_AVAILABLE": SlotTaken,
    "MEETING_START_TIME_NOT_VALID": SlotTaken,
    "MEETING_DURATION_NOT_VALID": DurationNotOffered,
}
_ADVICE: Mapping[type[RequestRejected], str] = {
    SlotTaken: "ask availability() for what is free now",
    DurationNotOffered: "booking_information(slug, timezone=…).custom_params.durations_s are the lengths it has",
    FormFieldMissing: "booking_information(slug, timezone=…).custom_params.required_fields are those it needs",
}
_FIELD_MISSING = r"(missing|required)\b.*\bform ?field|\bform ?field.*(does not have|has no|lacks|missing|required)"
_FIELD_NAME = (
    r"form ?fields?:? +[\"'\[(]?(?P<name>[^\"'\])]+?)[\"'\])]? +(?:does not have|has no|lacks|is missing|is required)"
    r"|(?:missing|required) form ?fields?: *[\"'\[(]?(?P<listed>[\w.-]+)"
)
_NOT_OFFERED = r"\bduration\b.*\bnot\b|\binvalid\b.*\bduration\b"
_TAKEN = (
    r"\b(time|slot)\b.*\b(not available|no longer available|unavailable|taken|already booked)\b"
    r"|\bstart time must be contained\b"
)
_FIELD_KEYS = ("fieldName", "formField", "field", "name", "propertyName")


def refusal(error: RequestRejected, asked: BookingRequest) -> RequestRejected:
    """The telling kind of a refused booking: by HubSpot's subCategory, else by its words; else the error itself."""
    if error.status == 404:
        return unknown_slug(error, asked.slug)
    if error.status not in (400, 409):
        return error
    kind = _BY_SUB_CATEGORY.get((error.sub_category or "").rpartition(".")[2]) or _by_words(error)
    if kind is None:
        return error
    message = f"{_what(asked)} was refused: {error.message}; {_ADVICE[kind]}"
    if kind is FormFieldMissing:
        return error.told_as(FormFieldMissing, message, field=_field(error))
    return error.told_as(kind, message)


def unknown_slug(error: RequestRejected, slug: str) -> RequestRejected:
    """A 404 of a call that names a meeting link."""
    return error.told_as(
        NotFound,
        f"there is no meeting link {slug!r}; scheduler.links() lists those there are. HubSpot: {error.message}",
    )


def _by_words(error: RequestRejected) -> type[RequestRejected] | None:
    words = error.message
    if re.search(_FIELD_MISSING, words, re.IGNORECASE):
        return FormFieldMissing
    if re.search(_NOT_OFFERED, words, re.IGNORECASE):
        return DurationNotOffered
    # HubSpot has no other conflict for a booking than its time.
    return SlotTaken if error.status == 409 or re.search(_TAKEN, words, re.IGNORECASE) else None


def _field(error: RequestRejected) -> str | None:
    for context in (error.context, *(detail.context for detail in error.details)):
        for key in _FIELD_KEYS:
            if names := context.get(key):
                return names[0]
    found = re.search(_FIELD_NAME, error.message, re.IGNORECASE)
    return None if found is None else found["name"] or found["listed"]


# ---- arguments ----------------------------------------------------------------------------------------------------


def _what(asked: BookingRequest) -> str:
    # No name and no address: messages reach logs.
    start = timedelta(milliseconds=asked.start_ms) + datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return f"{asked.slug} at {start.isoformat()} for {asked.duration_ms / 60_000:g} min"


def _filled(what: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{what} must be a string that is not empty, not {value!r}")
    return value


def _listed(what: str, values: object) -> Iterable[object]:
    # A string is an iterable, too, and would be taken for a list of letters.
    kind = type(values).__name__
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise ConfigurationError(f"{what} takes a list, not one {kind}")
    return cast("Iterable[object]", values)


def _ids(what: str, values: object) -> Iterable[str]:
    for value in _listed(what, values):
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise ConfigurationError(f"{what} takes ids, not a {type(value).__name__}")
        yield str(value)


def _form_values(fields: Mapping[str, Any]) -> Iterable[FormValue]:
    """Form fields as HubSpot takes them: strings. What is None or empty counts as not answered, and is left out."""
    if not isinstance(fields, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"form_fields takes a mapping of names to values, not a {type(fields).__name__}")
    for name, value in property_values(fields).items():
        if value:
            yield FormValue(name, value)


def _consents(consents: Mapping[str | int, bool]) -> Iterable[ConsentResponse]:
    if not isinstance(consents, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError("legal_consents takes a mapping of communication type ids to True or False")
    for type_id, consented in consents.items():
        if not isinstance(consented, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"legal_consents: {type_id!r} must be True or False, not {consented!r}")
        yield ConsentResponse(str(type_id), consented)
