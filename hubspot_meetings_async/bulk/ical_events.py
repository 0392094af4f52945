"""An event of a calendar file, and the record of a meeting that it is.

This module knows the properties of events (RFC 5545) and those of meetings. It must not know files, or which
occurrences an event has.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from ..errors import ConfigurationError
from ..inputs import Record
from ..lots import MAX_KEY
from .columns import Columns
from .ical_lines import Part, Property, property_of, text_of
from .ical_zones import Zones
from .lines import Unreadable

__all__ = ["Event", "EventSettings", "Happening", "Moment", "event_of", "record_of"]

Moment = date | datetime
Span = Moment | tuple[Moment, Moment | timedelta]
"""What `RDATE` adds: a start, or a start with its end or duration."""

KEY_PROPERTY: Final = "ical_uid"
_MOST_PEOPLE: Final = 2_000
_YEAR: Final = timedelta(days=365)
_LONGEST: Final = 10 * _YEAR
_YEARS: Final = range(1500, 2501)
"""Of which meetings may be: whatever is done with them stays within what can be counted."""


class EventSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How events become meetings.

    Attributes:
        since: Events that begin earlier are left out; aware. By default a year before today.
        until: Events that begin then or later are left out; aware. By default a year after today.
        timezone: The zone of times and days that name none, where the calendar does not name its own
            (`X-WR-TIMEZONE`). Days without a zone begin at midnight UTC.
        id_property: The unique property that keeps the event's UID.
        owners: HubSpot's owner ids by the e-mail address of an organizer.
    """

    since: datetime | None = None
    until: datetime | None = None
    timezone: str | None = None
    id_property: str = KEY_PROPERTY
    owners: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        for name, moment in (("since", self.since), ("until", self.until)):
            if moment is not None and moment.utcoffset() is None:
                raise ConfigurationError(f"{name} must be aware, such as datetime(2026, 1, 1, tzinfo=UTC)")
        since, until = self.window()
        if since >= until:
            raise ConfigurationError(f"the window of events is empty: it is from {since} until {until}")
        self.zone()

    def zone(self) -> ZoneInfo | None:
        """The time zone, looked up. Raises: ConfigurationError."""
        return Columns(timezone=self.timezone).zone()

    def window(self) -> tuple[datetime, datetime]:
        """From when on, and until when."""
        today = datetime.combine(datetime.now(UTC).date(), time(tzinfo=UTC))
        return (self.since or today - _YEAR).astimezone(UTC), (self.until or today + _YEAR).astimezone(UTC)


class Happening(msgspec.Struct, frozen=True):
    """What an event's record says beside its properties; it is the record's `ref`.

    `line`: where the event begins. `occurrence`: which one of a series, as its `RECURRENCE-ID` in UTC. `attendees`:
    their e-mail addresses in lower case, the organizer's too; without rooms, owners, and those who declined.
    """

    line: int
    occurrence: str | None = None
    attendees: tuple[str, ...] = ()


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A `VEVENT`. `end` or `duration` may be missing, or both."""

    line: int
    uid: str
    start: Moment
    end: Moment | None = None
    duration: timedelta | None = None
    recurrence_id: Moment | None = None
    and_future: bool = False
    sequence: int = 0
    rules: tuple[str, ...] = ()
    added: tuple[Span, ...] = ()
    excluded: tuple[Moment, ...] = ()
    cancelled: bool = False
    title: str = ""
    body: str = ""
    location: str = ""
    conference: str = ""
    url: str = ""
    organizer: str | None = None
    attendees: tuple[str, ...] = ()

    @property
    def repeats(self) -> bool:
        """Whether there may be other occurrences than this one."""
        return bool(self.rules or self.added)

    @property
    def length(self) -> timedelta:
        """From start to end: as given, else a day for a day and nothing for a time."""
        if self.duration is not None:
            return self.duration
        if self.end is None:
            return timedelta(0) if isinstance(self.start, datetime) else timedelta(days=1)
        if isinstance(self.start, datetime) and isinstance(self.end, datetime):
            return self.end - self.start
        return _day(self.end) - _day(self.start)


def event_of(part: Part, zones: Zones, *, cancelled: bool = False) -> Event:
    """Read an event. Raises: Unreadable; UnknownZone where a zone may yet be defined."""
    if part.trouble is not None:
        raise Unreadable(part.trouble)
    given: dict[str, list[Property]] = {}
    for number, line in part.lines:
        each = property_of(number, line)
        given.setdefault(each.name, []).append(each)

    def first(name: str) -> Property | None:
        return given[name][0] if name in given else None

    def text(name: str) -> str:
        found = first(name)
        return text_of(found.value).strip() if found is not None else ""

    uid, start = text("UID"), first("DTSTART")
    if not uid:
        raise Unreadable("the event has no UID: a second push could not know it again")
    if start is None:
        raise Unreadable("the event has no DTSTART")
    end, instance = first("DTEND"), first("RECURRENCE-ID")
    organizer = first("ORGANIZER")
    people = [address for one in given.get("ATTENDEE", ()) if (address := _attendee(one)) is not None]
    host = _address(organizer) if organizer is not None else None
    if len(people) > _MOST_PEOPLE:
        raise Unreadable(f"the event has {len(people):,} attendees; {_MOST_PEOPLE:,} are the most")
    event = Event(
        line=part.start,
        uid=uid,
        start=_moment(start, zones),
        end=_moment(end, zones) if end is not None else None,
        duration=_duration(given["DURATION"][0]) if "DURATION" in given else None,
        recurrence_id=_moment(instance, zones) if instance is not None else None,
        and_future=instance is not None and instance.parameters.get("RANGE", "").upper() == "THISANDFUTURE",
        sequence=_sequence(first("SEQUENCE")),
        rules=tuple(one.value.strip().upper() for one in given.get("RRULE", ())),
        added=tuple(span for one in given.get("RDATE", ()) for span in _spans(one, zones)),
        excluded=tuple(_at(one, value, zones) for one in given.get("EXDATE", ()) for value in one.value.split(",")),
        cancelled=cancelled or text("STATUS").upper() in ("CANCELLED", "CANCELED"),
        title=text("SUMMARY"),
        body=text("DESCRIPTION"),
        location=text("LOCATION"),
        conference=_link(given),
        url=text("URL"),
        organizer=host,
        attendees=tuple(dict.fromkeys([*people, *([host] if host else [])])),
    )
    if event.length < timedelta(0):
        raise Unreadable("the event ends before it begins")
    if event.length > _LONGEST:
        raise Unreadable(f"the event lasts {event.length.days:,} days; {_LONGEST.days:,} are the most")
    return event


def record_of(
    event: Event, start: Moment, end: Moment, instance: Moment | None, zones: Zones, settings: EventSettings
) -> Record:
    """The meeting of an event, or of one of its occurrences: `instance` is the occurrence's `RECURRENCE-ID`."""
    occurrence = _stamp(instance) if instance is not None else None
    start_at, end_at = _iso(instant(start, zones)), _iso(instant(end, zones))
    properties: dict[str, Any] = {
        settings.id_property: _key(event.uid, occurrence),
        "hs_timestamp": start_at,
        "hs_meeting_start_time": start_at,
        "hs_meeting_end_time": end_at,
    }
    where = event.location or event.conference
    link = event.url or (event.conference if event.conference != where else "")
    given = {
        "hs_meeting_title": event.title,
        "hs_meeting_body": _as_html(event.body),
        "hs_meeting_location": where,
        "hs_meeting_location_type": _location_type(where),
        "hs_meeting_external_url": link,
        "hubspot_owner_id": settings.owners.get(event.organizer or "", ""),
        # Other outcomes are people's to set; a second push must not undo them.
        "hs_meeting_outcome": "CANCELED" if event.cancelled else "",
    }
    properties.update((name, value) for name, value in given.items() if value)
    people = tuple(address for address in event.attendees if address not in settings.owners)
    return Record(properties=properties, ref=Happening(event.line, occurrence, people))


def instant(moment: Moment, zones: Zones) -> datetime:
    """When it is, in UTC; a day is its midnight."""
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time(), tzinfo=zones.default or UTC)
    return moment.astimezone(UTC)


# ---- values ------------------------------------------------------------------------------------------------------

_MOMENT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?")
_DURATION = re.compile(
    r"([+-]?)P(?:(\d{1,5})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,7})H)?(?:(\d{1,7})M)?(?:(\d{1,9})S)?)?", re.IGNORECASE
)
_MARKUP = re.compile(r"<(?:/?(?:a|b|br|div|em|html|i|li|ol|p|span|strong|table|u|ul))\b[^>]*>", re.IGNORECASE)
_PHONE = re.compile(r"(?:tel:)?\+?[\d\s()/.-]{6,}", re.IGNORECASE)
_ADDRESS = re.compile(r"[^\s@,;:<>]+@[^\s@,;:<>]+")


def _moment(found: Property, zones: Zones) -> Moment:
    return _at(found, found.value, zones)


def _at(found: Property, value: str, zones: Zones) -> Moment:
    match = _MOMENT.fullmatch(value.strip().upper())
    if match is None:
        raise Unreadable(f"line {found.line}: {found.name} is no date or time: {value.strip()[:40]!r}")
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    if year not in _YEARS:
        raise Unreadable(f"line {found.line}: {found.name} is in the year {year}: {value.strip()!r}")
    try:
        if match[4] is None:
            return date(year, month, day)
        # A leap second is the minute's last one here.
        second = min(int(match[6]), 59)
        moment = datetime(year, month, day, int(match[4]), int(match[5]), second, tzinfo=UTC if match[7] else None)
    except ValueError as error:
        raise Unreadable(f"line {found.line}: {found.name} is no date or time: {value.strip()!r} ({error})") from error
    return zones.aware(moment, found.parameters.get("TZID"))


def _spans(found: Property, zones: Zones) -> list[Span]:
    spans: list[Span] = []
    for value in found.value.split(","):
        start, slash, end = value.partition("/")
        begin = _at(found, start, zones)
        if not slash:
            spans.append(begin)
        elif end.strip()[:1].upper() in ("P", "+"):
            spans.append((begin, _duration(found._replace(value=end))))
        else:
            spans.append((begin, _at(found, end, zones)))
    return spans


def _duration(found: Property) -> timedelta:
    match = _DURATION.fullmatch(found.value.strip())
    if match is None:
        raise Unreadable(f"line {found.line}: {found.name} is no duration: {found.value.strip()[:40]!r}")
    weeks, days, hours, minutes, seconds = (int(match[place] or 0) for place in range(2, 7))
    length = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    return -length if match[1] == "-" else length


def _sequence(found: Property | None) -> int:
    digits = found.value.strip() if found is not None else ""
    return int(digits) if digits.isdecimal() and len(digits) < 10 else 0


def _address(found: Property) -> str | None:
    """The e-mail address of a person, in lower case."""
    value = found.value.strip()
    if value[:7].lower() == "mailto:":
        value = value[7:]
    elif not _ADDRESS.fullmatch(value):
        value = found.parameters.get("EMAIL", "")
    return value.lower() if _ADDRESS.fullmatch(value) and len(value) <= 254 else None


def _attendee(found: Property) -> str | None:
    kind, answer = (found.parameters.get(name, "").upper() for name in ("CUTYPE", "PARTSTAT"))
    return None if kind in ("ROOM", "RESOURCE") or answer == "DECLINED" else _address(found)


def _link(given: Mapping[str, list[Property]]) -> str:
    """The address of the video conference, where there is one."""
    for name in ("X-GOOGLE-CONFERENCE", "X-MICROSOFT-SKYPETEAMSMEETINGURL", "CONFERENCE"):
        for found in given.get(name, ()):
            if _is_link(found.value.strip()):
                return found.value.strip()
    return ""


def _is_link(text: str) -> bool:
    return re.match(r"https?://\S+$", text, re.IGNORECASE) is not None


def _location_type(where: str) -> str:
    if not where:
        return ""
    if _is_link(where):
        return "CUSTOM"
    return "PHONE" if _PHONE.fullmatch(where) else "ADDRESS"


def _as_html(text: str) -> str:
    """A description as HubSpot shows it: it takes HTML, and some calendars write that already."""
    if not text or _MARKUP.search(text):
        return text
    return html.escape(text, quote=False).replace("\n", "<br>")


# ---- keys and times ----------------------------------------------------------------------------------------------


def _key(uid: str, occurrence: str | None) -> str:
    suffix = f"/{occurrence}" if occurrence else ""
    if len(uid) + len(suffix) > MAX_KEY:
        uid = f"sha256:{sha256(uid.encode()).hexdigest()}"
    return uid + suffix


def _stamp(moment: Moment) -> str:
    if isinstance(moment, datetime):
        return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return moment.strftime("%Y%m%d")


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _day(moment: Moment) -> date:
    return moment.date() if isinstance(moment, datetime) else moment
