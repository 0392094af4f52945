"""Meeting links, free slots and bookings: HubSpot's forms, the walk through months, and the emulator's account."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_meetings_async import MeetingsClient, NoLimit, RetryPolicy
from hubspot_meetings_async.emulator import Behaviour, Consent, Emulator, Fault, FormField, FormOption, ManualClock
from hubspot_meetings_async.emulator.scheduler_links import LinkType
from hubspot_meetings_async.errors import (
    AmbiguousWriteError,
    CalendarNotConnected,
    ConfigurationError,
    DurationNotOffered,
    FormFieldMissing,
    HubSpotUnavailable,
    InvalidRecord,
    NotFound,
    RateLimited,
    RequestRejected,
    SlotTaken,
    TransportFailed,
    UnexpectedResponse,
)
from hubspot_meetings_async.models.scheduler import (
    AvailabilityPage,
    BookedMeeting,
    BookingInformation,
    BookingRequest,
    FormValue,
    LinkPage,
    MinuteRange,
    Slot,
)
from hubspot_meetings_async.models.tolerant import Moment, Several, Text, moment, tolerant_decoder
from hubspot_meetings_async.moments import duration_ms, utc, zone
from hubspot_meetings_async.scheduler.booking import booking_request, made, refusal
from hubspot_meetings_async.scheduler.resource import Scheduler
from hubspot_meetings_async.scheduler.slots import MOST_MONTHS, SlotQuery, Slots
from hubspot_meetings_async.wire import Replay, Request, Trail, encode

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
SWIFT = RetryPolicy(base_s=0.001, cap_s=0.002, locked_s=0.0)
HALF_HOUR = 1_800_000
HOUR = 3_600_000


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def arguments(**changes: Any) -> dict[str, Any]:
    """A booking as `Scheduler.book` takes it."""
    return {
        "first_name": "Grace",
        "last_name": "Hopper",
        "email": "grace@example.com",
        "start": datetime(2026, 11, 24, 16, 0, tzinfo=BERLIN),
        "duration": 1800,
        **changes,
    }


def request(slug: str = "ada/intro", **changes: Any) -> BookingRequest:
    """A booking as it travels."""
    rest: dict[str, Any] = {
        "form_fields": {},
        "legal_consents": {},
        "guest_emails": (),
        "likely_available_user_ids": (),
        "timezone": None,
        "locale": None,
    }
    return booking_request(slug, **{**arguments(), **rest, **changes})


# ---- forms --------------------------------------------------------------------------------------------------------


class Bag(msgspec.Struct):
    at: Moment | None = None
    text: Text = ""
    several: Several = ()


BAG = tolerant_decoder(Bag)


class TestTolerance:
    @pytest.mark.parametrize(
        "written",
        [
            1_795_532_400_123,
            1_795_532_400_123.0,
            "1795532400123",
            "2026-11-24T15:00:00.123Z",
            "2026-11-24T16:00:00.123+01:00",
            "2026-11-24T15:00:00.123",
        ],
    )
    def test_one_moment_in_all_its_spellings(self, written: object) -> None:
        """Milliseconds, digits, and ISO times with any offset or none are the same aware datetime in UTC."""
        found = BAG.decode(json.dumps({"at": written})).at
        assert found == datetime(2026, 11, 24, 15, 0, 0, 123_000, tzinfo=UTC)
        assert found.utcoffset() == timedelta(0)

    def test_a_fraction_may_be_missing(self) -> None:
        """HubSpot drops the fraction when it is zero."""
        assert moment("2026-11-24T15:00:00Z") == datetime(2026, 11, 24, 15, tzinfo=UTC)

    @given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)))  # noqa: DTZ001 - made aware below
    def test_milliseconds_are_exact(self, naive: datetime) -> None:
        """No millisecond is lost on the way, in any century."""
        at = naive.replace(microsecond=naive.microsecond // 1000 * 1000, tzinfo=UTC)
        assert moment((at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)) == at

    @pytest.mark.parametrize("written", ["", "soon", True, [], {}, 10**30, "9" * 30, "0001-01-01T00:00:00+14:00"])
    def test_what_is_no_moment_is_refused_as_such(self, written: object) -> None:
        """An unreadable time is a decoding error, never another time."""
        with pytest.raises(msgspec.ValidationError):
            BAG.decode(json.dumps({"at": written}))

    def test_ids_and_lists_in_their_spellings(self) -> None:
        """Ids may be numbers; lists may be joined by semicolons or null."""
        assert BAG.decode(b'{"text": 9007199254740993}').text == "9007199254740993"
        assert BAG.decode(b'{"text": null}').text == ""
        assert BAG.decode(b'{"text": true, "several": [1, "b"]}') == Bag(text="true", several=("1", "b"))
        assert BAG.decode(b'{"several": "1;b;"}').several == ("1", "b")
        assert BAG.decode(b'{"several": null}').several == ()
        with pytest.raises(msgspec.ValidationError):
            BAG.decode(b'{"text": {}}')

    def test_the_values_are_plain(self) -> None:
        """What was read can be written and pickled: the tolerant types leave no trace."""
        bag = BAG.decode(b'{"at": 0, "text": 5, "several": "a;b"}')
        assert (type(bag.at), type(bag.text), type(bag.several)) == (datetime, str, tuple)
        assert pickle.loads(pickle.dumps(bag)) == bag  # noqa: S301 - our own bytes
        assert msgspec.json.encode(bag) == b'{"at":"1970-01-01T00:00:00Z","text":"5","several":["a","b"]}'


class TestForms:
    def test_links_with_iso_or_millisecond_times(self) -> None:
        """The schema's notes say milliseconds, its samples ISO; both are read, and only id and slug are needed."""
        page = tolerant_decoder(LinkPage).decode(
            json.dumps(
                {
                    "total": 3,
                    "results": [
                        {
                            "id": "11",
                            "slug": "ada/intro",
                            "type": "SOMETHING_NEW",
                            "organizerUserId": 5,
                            "userIdsOfLinkMembers": [5, "6"],
                            "createdAt": "2026-11-24T15:00:00.5Z",
                            "updatedAt": 1795532400500,
                            "later": {},
                        },
                        {"id": 12, "slug": "b"},
                    ],
                    "paging": {"next": {"after": "2", "link": "x"}, "prev": {"before": "1"}},
                }
            )
        )
        first, second = page.results
        assert (page.total, page.after) == (3, "2")
        assert first.created_at == first.updated_at == datetime(2026, 11, 24, 15, 0, 0, 500_000, tzinfo=UTC)
        assert (first.type, first.organizer_user_id) == ("SOMETHING_NEW", "5")
        assert first.user_ids_of_link_members == ("5", "6")
        assert (second.id, second.name, second.default_link) == ("12", None, None)

    def test_hours_as_a_range_or_as_a_list(self) -> None:
        """The schema has one range a day group, the sample a list; `working_hours` is the same for both."""
        decode = tolerant_decoder(BookingInformation).decode
        one = decode(b'{"customParams": {"availability": {"MON_FRI": {"start": 540, "end": 1020}}}}')
        many = decode(b'{"customParams": {"availability": {"MON_FRI": [{"start": 540, "end": 1020}]}}}')
        assert one.custom_params.working_hours == many.custom_params.working_hours
        assert many.custom_params.working_hours == {"MON_FRI": (MinuteRange(start=540, end=1020),)}

    def test_everything_else_may_be_missing_or_null(self) -> None:
        """A booking page without anything, and one with branding of nulls and words not known here."""
        decode = tolerant_decoder(BookingInformation).decode
        assert decode(b"{}").custom_params.durations_s == ()
        page = decode(
            json.dumps(
                {
                    "linkId": 7,
                    "brandingMetadata": {"logoUrl": None, "accent2Color": "#fff", "companyAddressLine1": "x"},
                    "customParams": {
                        "durations": [9007199254740993, "1800000"],
                        "startTimeIncrementMinutes": "FORTY_FIVE",
                        "meetingBufferTime": 900000,
                        "customAvailabilityStartDate": 1795532400000,
                        "formFields": [{"name": "company", "isRequired": True, "options": None}, {"name": "phone"}],
                        "legalConsentOptions": None,
                    },
                    "allUsersBusyTimes": [
                        {"meetingsUser": {"id": 1, "userId": "2"}},
                        {"isOffline": True, "busyTimes": [{"start": 0, "end": "2026-11-24T15:00:00Z"}]},
                    ],
                }
            )
        )
        settings = page.custom_params
        assert settings.durations_ms == (9007199254740993, 1_800_000)
        assert settings.durations_s[1] == 1800.0
        assert (settings.start_increment_s, settings.required_fields) == (2700.0, ("company",))
        assert settings.custom_availability_starts_at == datetime(2026, 11, 24, 15, tzinfo=UTC)
        assert page.branding_metadata is not None
        assert page.branding_metadata.accent2_color == "#fff"
        assert page.branding_metadata.company_address_line1 == "x"
        first, second = page.all_users_busy_times or ()
        assert first.busy_times is None
        assert first.meetings_user is not None
        assert first.meetings_user.id == "1"
        assert second.busy_times is not None
        assert second.busy_times[0].end_at == datetime(2026, 11, 24, 15, tzinfo=UTC)

    @pytest.mark.parametrize(("word", "seconds"), [("FIVE", 300.0), ("MEETING_DURATION", None), ("NEW_WORD", None)])
    def test_increments_are_words(self, word: str, seconds: float | None) -> None:
        """HubSpot writes minutes as words; one that is not a number of minutes is None."""
        body = json.dumps({"customParams": {"startTimeIncrementMinutes": word}})
        assert tolerant_decoder(BookingInformation).decode(body).custom_params.start_increment_s == seconds

    def test_a_booking_answer_without_its_lists(self) -> None:
        """The guide's sample leaves out what the schema requires."""
        booked = tolerant_decoder(BookedMeeting).decode(
            b'{"calendarEventId": "e1", "start": "2026-11-24T15:00:00Z", "end": 1795534200000, "duration": 1800000,'
            b' "contactId": 17, "guestEmails": null, "isOffline": false, "formFields": [{"value": 5}]}'
        )
        assert (booked.calendar_event_id, booked.contact_id, booked.duration_s) == ("e1", "17", 1800.0)
        assert booked.end_at == datetime(2026, 11, 24, 15, 30, tzinfo=UTC)
        assert booked.legal_consent_responses is None


# ---- arguments ----------------------------------------------------------------------------------------------------


class TestArguments:
    def test_what_travels(self) -> None:
        """Unix ms for start and duration, all three lists even when empty, and the zone of `start`."""
        assert json.loads(encode(request())) == {
            "slug": "ada/intro",
            "firstName": "Grace",
            "lastName": "Hopper",
            "email": "grace@example.com",
            "startTime": 1_795_532_400_000,
            "duration": HALF_HOUR,
            "formFields": [],
            "legalConsentResponses": [],
            "likelyAvailableUserIds": [],
            "timezone": "Europe/Berlin",
        }

    def test_answers_and_consents(self) -> None:
        """Form values are strings on the wire; what is None or empty counts as not answered."""
        asked = request(
            form_fields={"company": "Acme", "seats": 3, "interests": ["a", "b"], "phone": None, "fax": ""},
            legal_consents={77: True, "78": False},
            likely_available_user_ids=[5, "6"],
            guest_emails=["x@example.com"],
            timezone=NEW_YORK,
            locale="en-us",
        )
        body = json.loads(encode(asked))
        assert asked.form_fields == (
            FormValue("company", "Acme"),
            FormValue("seats", "3"),
            FormValue("interests", "a;b"),
        )
        assert body["legalConsentResponses"] == [
            {"communicationTypeId": "77", "consented": True},
            {"communicationTypeId": "78", "consented": False},
        ]
        assert body["likelyAvailableUserIds"] == ["5", "6"]
        assert (body["timezone"], body["locale"]) == ("America/New_York", "en-us")
        assert body["guestEmails"] == ["x@example.com"]

    def test_a_start_with_an_offset_only_names_no_zone(self) -> None:
        """`timezone` is told only where there is an IANA name for it."""
        assert "timezone" not in json.loads(encode(request(start=datetime(2026, 11, 24, 15, tzinfo=UTC))))

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"slug": ""}, "slug"),
            ({"slug": "https://meetings.hubspot.com/ada/intro"}, "behind the host"),
            ({"slug": ".."}, "slug"),
            ({"slug": 5}, "slug"),
            ({"last_name": " "}, "last_name"),
            ({"first_name": None}, "first_name"),
            ({"email": ""}, "email"),
            ({"start": datetime(2026, 11, 24)}, "time zone"),  # noqa: DTZ001 - naive is the point
            ({"start": 1_795_532_400_000}, "datetime"),
            ({"start": datetime.min.replace(tzinfo=BERLIN)}, "UTC"),
            ({"duration": 0}, "above 0"),
            ({"duration": timedelta(minutes=-5)}, "above 0"),
            ({"duration": HALF_HOUR}, "milliseconds"),
            ({"duration": 10**400}, "duration"),
            ({"duration": float("nan")}, "duration"),
            ({"duration": float("inf")}, "duration"),
            ({"duration": True}, "duration"),
            ({"duration": "1800"}, "duration"),
            ({"guest_emails": "x@example.com"}, "list"),
            ({"guest_emails": [""]}, "guest_emails"),
            ({"likely_available_user_ids": "12"}, "list"),
            ({"likely_available_user_ids": [None]}, "ids"),
            ({"form_fields": [("company", "Acme")]}, "mapping"),
            ({"legal_consents": ["77"]}, "mapping"),
            ({"legal_consents": {"77": "yes"}}, "True or False"),
            ({"timezone": "Europe/Nowhere"}, "IANA"),
            ({"timezone": "+01:00"}, "IANA"),
            ({"timezone": "../../etc/passwd"}, "IANA"),
            ({"timezone": "Europe"}, "IANA"),
            ({"timezone": "a\0b"}, "IANA"),
            ({"timezone": ""}, "IANA"),
            ({"timezone": 5}, "IANA"),
        ],
    )
    def test_wrong_arguments_are_named(self, wrong: dict[str, Any], words: str) -> None:
        """Nothing is sent for what can not be right, and the message says which argument."""
        with pytest.raises(ConfigurationError, match=words):
            request(**wrong)

    def test_values_that_can_not_be_sent(self) -> None:
        """A form value HubSpot has no form for is named."""
        with pytest.raises(InvalidRecord, match="company"):
            request(form_fields={"company": object()})

    def test_zones(self) -> None:
        """Names and ZoneInfos are the same; a ZoneInfo without a name is refused."""
        assert zone("Europe/Berlin") == zone(BERLIN) == ("Europe/Berlin", BERLIN)
        assert zone("UTC").tz is UTC

    @given(st.integers(1, 86_400_000))
    def test_durations_are_exact(self, length_ms: int) -> None:
        """Seconds and timedeltas of whole milliseconds arrive as those."""
        assert duration_ms(length_ms / 1000) == duration_ms(timedelta(milliseconds=length_ms)) == length_ms

    def test_moments_are_in_utc(self) -> None:
        """Whatever the zone, and in the hour that comes twice too."""
        first = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
        assert utc("start", first) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
        assert utc("start", first.replace(fold=1)) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


# ---- refusals -----------------------------------------------------------------------------------------------------

FAMILY = "MeetingsBookingSchedulingError."


class TestRefusals:
    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (RequestRejected("x", status=400, sub_category=FAMILY + "MEETING_TIME_NOT_AVAILABLE"), SlotTaken),
            (RequestRejected("x", status=409, sub_category=FAMILY + "MEETING_TIME_NOT_AVAILABLE"), SlotTaken),
            (RequestRejected("x", status=400, sub_category=FAMILY + "MEETING_START_TIME_NOT_VALID"), SlotTaken),
            (RequestRejected("x", status=400, sub_category=FAMILY + "MEETING_DURATION_NOT_VALID"), DurationNotOffered),
            # The subCategory counts, whatever the words.
            (
                RequestRejected("time not available", status=400, sub_category=FAMILY + "MEETING_DURATION_NOT_VALID"),
                DurationNotOffered,
            ),
            (RequestRejected("Start time must be contained in availability settings", status=400), SlotTaken),
            (RequestRejected("The selected time slot is no longer available", status=400), SlotTaken),
            (RequestRejected("conflict", status=409), SlotTaken),
            (RequestRejected("Duration is not accepted by link", status=400), DurationNotOffered),
            (
                RequestRejected("required form field phone does not have a corresponding value", status=400),
                FormFieldMissing,
            ),
            (RequestRejected("Missing required form field", status=400), FormFieldMissing),
            (RequestRejected("no such link", status=404), NotFound),
        ],
    )
    def test_each_has_its_kind(self, error: RequestRejected, kind: type[RequestRejected]) -> None:
        """By subCategory first, by words where there is none; all of them stay RequestRejected."""
        told = refusal(error, request())
        assert type(told) is kind
        assert error.message in told.message
        assert (told.status, told.sub_category) == (error.status, error.sub_category)

    @pytest.mark.parametrize(
        "error",
        [
            RequestRejected("blue is not an option of the form field color", status=400),
            RequestRejected("Email address x is invalid", status=400, category="VALIDATION_ERROR"),
            RequestRejected("The required consent 77 was not given", status=400),
            RequestRejected("time not available", status=403),
            RateLimited("slot taken", status=429),
        ],
    )
    def test_others_stay_what_they_are(self, error: RequestRejected) -> None:
        """No kind is made up for a refusal that is something else."""
        assert refusal(error, request()) is error

    @pytest.mark.parametrize(
        ("message", "context", "field"),
        [
            ("required form field phone does not have a corresponding value", {}, "phone"),
            ('The required form field "Company name" does not have a value', {}, "Company name"),
            ("Missing required form fields: company, phone", {}, "company"),
            ("Missing required form field", {}, None),
            ("Missing required form field", {"fieldName": ("company",)}, "company"),
        ],
    )
    def test_the_missing_field_is_named(self, message: str, context: dict[str, Any], field: str | None) -> None:
        """By HubSpot's context, else from its words; None where it does not tell."""
        told = refusal(RequestRejected(message, status=400, context=context), request())
        assert isinstance(told, FormFieldMissing)
        assert told.field == field

    def test_no_person_in_a_message(self) -> None:
        """Messages reach logs: they name the link and the time, not who booked."""
        asked = request()
        told = refusal(RequestRejected("x", status=409), asked)
        with pytest.raises(CalendarNotConnected) as offline:
            made(BookedMeeting(is_offline=True), asked)
        for text in (str(told), str(offline.value), repr(offline.value)):
            assert "ada/intro at 2026-11-24T15:00:00+00:00 for 30 min" in text
            assert "grace" not in text.lower()

    @pytest.mark.parametrize(
        "answer",
        [
            BookedMeeting(calendar_event_id="", is_offline=True),
            BookedMeeting(calendar_event_id=None, is_offline=True),
            # Users saw it with isOffline false, too.
            BookedMeeting(calendar_event_id="", is_offline=False, contact_id="5"),
        ],
    )
    def test_an_answer_without_an_event_is_no_booking(self, answer: BookedMeeting) -> None:
        """200 and no event is an error of its own, which carries the answer."""
        with pytest.raises(CalendarNotConnected) as caught:
            made(answer, request())
        assert caught.value.answer is answer
        assert not isinstance(caught.value, RequestRejected)
        assert pickle.loads(pickle.dumps(caught.value)).answer == answer  # noqa: S301 - our own bytes

    def test_an_answer_that_is_no_booking_proves_nothing(self) -> None:
        """Some 200 with JSON that says nothing of an event leaves the booking in doubt."""
        asked = request()
        with pytest.raises(AmbiguousWriteError) as caught:
            made(tolerant_decoder(BookedMeeting).decode(b'{"ok": true}'), asked)
        assert (caught.value.why, caught.value.asked) == ("unreadable", asked)

    def test_an_event_is_a_booking(self) -> None:
        """An event id is what counts, even with an offline member in the round."""
        booked = BookedMeeting(calendar_event_id="e1", is_offline=True)
        assert made(booked, request()) is booked


# ---- the walk through months, on pages made up here ---------------------------------------------------------------


def page_of(
    starts: Sequence[datetime], *, more: bool | None, lengths: Sequence[int] = (HALF_HOUR,), keyed_only: bool = False
) -> AvailabilityPage:
    by_duration: dict[str, Any] = {}
    for length in lengths:
        free = [{"startMillisUtc": ms(start), "endMillisUtc": ms(start) + length} for start in starts]
        by_duration[str(length)] = {"availabilities": free}
        if not keyed_only:
            by_duration[str(length)]["meetingDurationMillis"] = length
    availability: dict[str, Any] = {"linkAvailabilityByDuration": by_duration}
    if more is not None:
        availability["hasMore"] = more
    return tolerant_decoder(AvailabilityPage).decode(json.dumps({"linkAvailability": availability}))


class Months:
    """Pages by offset, and what was asked for."""

    def __init__(self, pages: Callable[[int], AvailabilityPage], *, offered_s: tuple[float, ...] = (1800.0,)) -> None:
        self.pages = pages
        self.offered_s = offered_s
        self.asked: list[int | str] = []
        self.now = datetime(2026, 11, 10, 12, tzinfo=UTC)

    async def page(self, offset: int) -> AvailabilityPage:
        self.asked.append(offset)
        return self.pages(offset)

    async def durations_s(self) -> tuple[float, ...]:
        self.asked.append("information")
        return self.offered_s

    def slots(self, *, timezone: str = "Europe/Berlin", **query: Any) -> Slots:
        rest: dict[str, Any] = {"duration_ms": HALF_HOUR, "start": None, "end": None, "months": None, **query}
        asked = SlotQuery(slug="ada/intro", zone=zone(timezone), **rest)
        return Slots(asked, page=self.page, durations_s=self.durations_s, now=lambda: self.now)


async def taken(slots: Awaitable[Any] | Slots) -> list[Slot]:
    assert isinstance(slots, Slots)
    return [slot async for slot in slots]


def at(day: int, hour: int = 9, *, month: int = 11, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


class TestWalk:
    async def test_months_follow_each_other_while_there_is_more(self) -> None:
        """Page after page as long as HubSpot says so; a missing `hasMore` is the end."""
        pages = [page_of([at(1)], more=True), page_of([], more=True), page_of([at(1, month=12)], more=None)]
        months = Months(lambda offset: pages[offset])
        found = await taken(months.slots())
        assert [slot.start_at for slot in found] == [at(1), at(1, month=12)]
        assert months.asked == [0, 1, 2]
        assert {slot.start_at.tzinfo for slot in found} == {BERLIN}

    async def test_an_account_without_availability_has_no_slots(self) -> None:
        """Offline organizers have no `linkAvailability` at all."""
        months = Months(lambda _: AvailabilityPage(), offered_s=())
        assert await taken(months.slots()) == []

    async def test_nothing_twice_and_all_in_order(self) -> None:
        """Pages that overlap and lists out of order change nothing."""
        pages = [
            page_of([at(30), at(29), at(29), at(1, month=12)], more=True),
            page_of([at(30), at(1, month=12), at(2, month=12)], more=False),
        ]
        found = await taken(Months(lambda offset: pages[offset]).slots())
        assert [slot.start_at for slot in found] == [at(29), at(30), at(1, month=12), at(2, month=12)]

    async def test_all_lengths_when_none_is_asked_for(self) -> None:
        """At each start the shortest first; the key tells the length where the member is missing."""
        one = page_of([at(2), at(1)], more=False, lengths=(HOUR, HALF_HOUR), keyed_only=True)
        found = await taken(Months(lambda _: one).slots(duration_ms=None))
        assert [(slot.start_at, slot.duration_s) for slot in found] == [
            (at(1), 1800.0),
            (at(1), 3600.0),
            (at(2), 1800.0),
            (at(2), 3600.0),
        ]
        assert [slot.end_at - slot.start_at for slot in found[:2]] == [timedelta(minutes=30), timedelta(hours=1)]

    async def test_start_and_end(self) -> None:
        """Slots that begin in [start, end); the walk ends with the first slot behind it, of any length."""
        pages = [page_of([at(1), at(2), at(3), at(4)], more=True, lengths=(HALF_HOUR, HOUR))] * 2
        months = Months(lambda offset: pages[offset])
        found = await taken(months.slots(start=at(2), end=at(4)))
        assert [slot.start_at for slot in found] == [at(2), at(3)]
        assert months.asked == [0]

    async def test_a_bound_in_months(self) -> None:
        """`months` ends the stream in peace; without it, a HubSpot that never ends is an error."""
        months = Months(lambda _: page_of([], more=True))
        assert await taken(months.slots(months=3)) == []
        assert months.asked == [0, 1, 2]
        with pytest.raises(UnexpectedResponse, match="months="):
            await taken(months.slots())
        assert len(months.asked) == 3 + MOST_MONTHS

    async def test_pages_are_asked_for_when_they_are_needed(self) -> None:
        """Whoever wants one slot pays for one page."""
        months = Months(lambda _: page_of([at(1), at(2)], more=True))
        stream = aiter(months.slots())
        assert (await anext(stream)).start_at == at(1)
        assert months.asked == [0]

    async def test_a_length_that_is_not_offered(self) -> None:
        """A length missing from the page is looked up in the settings: not offered is an error, busy is no slot."""
        months = Months(lambda _: page_of([at(1)], more=False), offered_s=(1800.0, 3600.0))
        with pytest.raises(DurationNotOffered, match="1800, 3600") as caught:
            await taken(months.slots(duration_ms=900_000))
        assert caught.value.offered_s == (1800.0, 3600.0)
        assert await taken(months.slots(duration_ms=HOUR)) == []
        assert months.asked == [0, "information"] * 2

    async def test_a_length_that_is_no_number(self) -> None:
        """A page that can not be understood is not taken for an empty one."""
        odd = tolerant_decoder(AvailabilityPage).decode(
            b'{"linkAvailability": {"linkAvailabilityByDuration": {"half an hour": {"availabilities": []}}}}'
        )
        with pytest.raises(UnexpectedResponse, match="half an hour"):
            await taken(Months(lambda _: odd).slots())

    @pytest.mark.parametrize("turns_after", [1, 2, 3, 4])
    async def test_no_month_is_lost_when_one_ends_meanwhile(self, turns_after: int) -> None:
        """HubSpot counts from its current month: when midnight passes between two calls, no month is skipped."""
        calendar = [(2026, 11), (2026, 12), (2027, 1), (2027, 2), (2027, 3)]
        months = Months(lambda offset: AvailabilityPage())
        months.now = datetime(2026, 11, 30, 22, 59, 59, tzinfo=UTC)

        def page(offset: int) -> AvailabilityPage:
            turned = len(months.asked) > turns_after
            months.now = datetime(2026, 11, 30, 23, 0, 1 if turned else 0, tzinfo=UTC)
            place = offset + turned
            year, month = calendar[min(place, 4)]
            starts = [datetime(year, month, 5, 9, tzinfo=UTC)] if place <= 4 else []
            return page_of(starts, more=place < 4)

        months.pages = page
        found = await taken(months.slots())
        assert [(slot.start_at.year, slot.start_at.month) for slot in found] == calendar

    async def test_only_the_call_after_the_turn_is_doubled(self) -> None:
        """A consumer that lingers over a month's end costs one call more, not one for each month that follows."""
        months = Months(lambda offset: page_of([datetime(2027, 1 + offset, 5, tzinfo=UTC)], more=offset < 3))
        async for _ in months.slots():
            months.now = datetime(2026, 12, 10, tzinfo=UTC)
        assert months.asked == [0, 1, 0, 2, 3]

    async def test_no_call_is_spent_on_that_in_the_middle_of_a_month(self) -> None:
        """A page is asked for once where no month can have ended."""
        months = Months(lambda offset: page_of([], more=offset < 2))
        await taken(months.slots())
        assert months.asked == [0, 1, 2]

    async def test_the_hour_that_comes_twice(self) -> None:
        """In autumn both are slots, in real order, and the length is the real one."""
        starts = [
            datetime(2026, 10, 25, 0, minute, tzinfo=UTC) + timedelta(hours=h) for h in (0, 1) for minute in (0, 30)
        ]
        found = await taken(Months(lambda _: page_of(starts, more=False)).slots())
        assert [slot.start_at.astimezone(UTC) for slot in found] == starts
        assert [(slot.start_at.hour, slot.start_at.minute, slot.start_at.fold) for slot in found] == [
            (2, 0, 0),
            (2, 30, 0),
            (2, 0, 1),
            (2, 30, 1),
        ]
        assert {slot.duration_s for slot in found} == {1800.0}

    @given(
        st.lists(st.lists(st.integers(0, 5_000), max_size=8), min_size=1, max_size=5),
        st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]),
    )
    def test_any_pages_give_ordered_unique_slots(self, offsets: list[list[int]], timezone: str) -> None:
        """Whatever HubSpot sends: no slot twice, none before an earlier one, all of them from a page."""
        begin = datetime(2026, 10, 1, tzinfo=UTC)
        starts = [[begin + timedelta(minutes=15 * n) for n in page] for page in offsets]
        pages = [page_of(page, more=place + 1 < len(starts)) for place, page in enumerate(starts)]
        months = Months(lambda offset: pages[offset])

        found = asyncio.run(taken(months.slots(timezone=timezone)))
        given = [ms(slot.start_at) for slot in found]
        assert given == sorted(set(given))
        assert set(given) <= {ms(start) for page in starts for start in page}
        ascending = sorted({start for page in starts for start in page})
        if [start for page in starts for start in sorted(set(page))] == ascending:
            assert given == [ms(start) for start in ascending]


# ---- calls that are never made ------------------------------------------------------------------------------------


class Recorder:
    """A `Call` that writes down requests and gives one answer."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.requests: list[Request[Any]] = []

    async def __call__(self, request: Request[Any], trail: Trail | None = None) -> Any:
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return request.decoder.decode(json.dumps(self.answer).encode()) if request.decoder else None


class TestRequests:
    @pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
    async def test_paths(self, version: str) -> None:
        """A slug with a slash is one segment of a path, and raw in a body."""
        call = Recorder({"calendarEventId": "e"})
        scheduler = Scheduler(call, api_version=version)
        await scheduler.booking_information("ada/intro", timezone=BERLIN)
        await scheduler.availability_page("ada/in tro", timezone="UTC", month_offset=2)
        await scheduler.book("ada/intro", **arguments())
        root = f"/scheduler/{version}/meetings/meeting-links"
        assert [f"{r.method} {r.path}?{r.query}" for r in call.requests] == [
            f"GET {root}/book/ada%2Fintro?timezone=Europe%2FBerlin",
            f"GET {root}/book/availability-page/ada%2Fin%20tro?timezone=UTC&monthOffset=2",
            f"POST {root}/book?timezone=Europe%2FBerlin",
        ]
        assert [r.replay for r in call.requests] == [Replay.ALWAYS, Replay.ALWAYS, Replay.IF_NOT_SENT]
        assert json.loads(call.requests[2].body or b"")["slug"] == "ada/intro"

    @pytest.mark.parametrize(("version", "path"), [("v3", "v3"), ("2026-09", "2026-09-beta")])
    async def test_the_update_of_a_link(self, version: str, path: str) -> None:
        """HubSpot has it for v3 and as a beta of 2026-09."""
        call = Recorder({"id": "1", "slug": "ada/intro"})
        link = await Scheduler(call, api_version=version).update_link("ada/intro", payment_link_id=5)
        assert link.slug == "ada/intro"
        assert call.requests[0].path == f"/scheduler/{path}/meetings/meeting-links/ada%2Fintro"
        assert (call.requests[0].method, call.requests[0].body) == ("PATCH", b'{"paymentLinkId":"5"}')

    async def test_no_update_where_the_version_has_none(self) -> None:
        """2026-03 has no such call: that is said at once, and nothing is sent."""
        call = Recorder({})
        with pytest.raises(ConfigurationError, match="v3"):
            await Scheduler(call, api_version="2026-03").update_link("ada/intro", payment_link_id=5)
        assert call.requests == []

    async def test_wrong_arguments_send_nothing(self) -> None:
        """Settings, zones, naive datetimes, sizes and months are checked before a call is spent."""
        call = Recorder({})
        scheduler = Scheduler(call, api_version="v3")
        naive = datetime(2026, 11, 24)  # noqa: DTZ001 - naive is the point
        wrong: list[Callable[[], object]] = [
            lambda: Scheduler(call, api_version="v4"),
            lambda: scheduler.links(limit=0),
            lambda: scheduler.links(limit=True),
            lambda: scheduler.availability("ada/intro", timezone="Nowhere"),
            lambda: scheduler.availability("https://x/y", timezone="UTC"),
            lambda: scheduler.availability("ada/intro", timezone="UTC", start=naive),
            lambda: scheduler.availability("ada/intro", timezone="UTC", end=naive),
            lambda: scheduler.availability("ada/intro", timezone="UTC", duration=-1),
            lambda: scheduler.availability("ada/intro", timezone="UTC", months=0),
            lambda: scheduler.availability("ada/intro", timezone="UTC", months=MOST_MONTHS + 1),
        ]
        for attempt in wrong:
            with pytest.raises(ConfigurationError):
                attempt()
        with pytest.raises(InvalidRecord, match="organizer_user_id"):
            scheduler.links(organizer_user_id="me")
        with pytest.raises(ConfigurationError, match="month_offset"):
            await scheduler.availability_page("ada/intro", timezone="UTC", month_offset=-1)
        with pytest.raises(ConfigurationError, match="IANA"):
            await scheduler.booking_information("ada/intro", timezone="CET+1")
        with pytest.raises(ConfigurationError, match="time zone"):
            await scheduler.book("ada/intro", **arguments(start=naive))
        assert call.requests == []

    async def test_a_list_that_does_not_go_on(self) -> None:
        """A page that names itself as the next is an error, not the end."""
        call = Recorder({"results": [], "total": 0, "paging": {"next": {"after": "5"}}})
        with pytest.raises(UnexpectedResponse, match="'5'"):
            async for _ in Scheduler(call, api_version="v3").links():
                pass
        assert len(call.requests) == 2

    async def test_a_lost_answer_carries_the_booking(self) -> None:
        """The error says what was asked for and where to look, keeps its cause, and names nobody."""
        cause = TransportFailed("reset", sent=True)
        lost = AmbiguousWriteError("w" * 490, why="reset", method="POST", path="/x", attempt=1)
        lost.__cause__ = cause
        with pytest.raises(AmbiguousWriteError) as caught:
            await Scheduler(Recorder(lost), api_version="v3").book("ada/intro", **arguments())
        error = caught.value
        assert error.asked == request()
        assert (error.why, error.path, error.__cause__) == ("reset", "/x", cause)
        assert error.message.startswith("ada/intro at 2026-11-24T15:00:00+00:00 for 30 min may have been booked")
        assert "availability()" in error.message
        assert "grace" not in f"{error}{error!r}".lower()
        assert pickle.loads(pickle.dumps(error)).asked == request()  # noqa: S301 - our own bytes


# ---- against the emulator -----------------------------------------------------------------------------------------

# Saturday 2026-11-21, 09:10 UTC; Monday morning in Berlin begins at 08:00 UTC.
NOW = datetime(2026, 11, 21, 9, 10, tzinfo=UTC)
MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=BERLIN)


def account(now: datetime = NOW, *, clock: ManualClock | None = None, **behaviour: Any) -> Emulator:
    """An account with one link of Ada's, who works in Berlin, at a time of our choice."""
    emulator = Emulator(
        limit=None,
        clock=clock or ManualClock(wall_ms=ms(now)),
        behaviour=Behaviour(default_meeting_links=False, **behaviour),
    )
    ada = emulator.portal.add_user("ada@example.com", first_name="Ada", timezone="Europe/Berlin")
    emulator.portal.add_meeting_link(
        "ada/intro", organizer=ada.user_id, name="Intro call", durations=(30, 60), hours={"MON_FRI": "09:00-12:00"}
    )
    return emulator


def scheduler_of(client: MeetingsClient, api_version: str, now: datetime = NOW) -> Scheduler:
    return Scheduler(client.meetings._call, api_version=api_version, now=lambda: now)


@pytest.fixture
async def hubspot() -> AsyncIterator[Emulator]:
    """The account, with every reading that is hard on a careless client."""
    async with account(strict_booking_body=True, booking_start_time="milliseconds") as emulator:
        yield emulator


@pytest.fixture
async def scheduler(hubspot: Emulator, api_version: str) -> AsyncIterator[Scheduler]:
    """Its scheduler, in each version of the API."""
    async with connected(hubspot, api_version) as client:
        yield scheduler_of(client, api_version)


def connected(emulator: Emulator, api_version: str = "v3") -> MeetingsClient:
    return MeetingsClient("token", base_url=emulator.url, api_version=api_version, limiter=NoLimit(), retry=SWIFT)


def bookings(emulator: Emulator) -> int:
    return len(emulator.portal.scheduler.bookings)


class TestLinks:
    async def test_pages_filters_and_total(self, hubspot: Emulator, scheduler: Scheduler) -> None:
        """All links over many pages, each once; filters; the total without reading them."""
        bob = hubspot.portal.add_user("bob@example.com")
        for number in range(24):
            kind: LinkType = "ROUND_ROBIN_CALENDAR" if number % 2 else "PERSONAL_LINK"
            hubspot.portal.add_meeting_link(f"bob/{number}", organizer=bob.user_id, name=f"Demo {number}", type=kind)
        everything = scheduler.links(limit=10)
        assert [link.slug async for link in everything] == ["ada/intro", *(f"bob/{n}" for n in range(24))]
        assert [len(page.results) async for page in everything.pages()] == [10, 10, 5]
        assert await everything.total() == 25
        pages = [page async for page in scheduler.links(type="ROUND_ROBIN_CALENDAR", limit=7).pages()]
        assert [page.total for page in pages] == [12, 12]
        resumed = scheduler.links(type="ROUND_ROBIN_CALENDAR", after=pages[0].after)
        assert [link.slug async for link in resumed] == [f"bob/{n}" for n in range(15, 24, 2)]
        assert await scheduler.links(organizer_user_id=int(bob.user_id)).total() == 24
        (named,) = [link async for link in scheduler.links(name="intro call")]
        assert named.created_at == NOW

    async def test_a_link_is_updated(self, hubspot: Emulator, api_version: str, scheduler: Scheduler) -> None:
        """Where the version has the call, and more than once without harm."""
        if api_version == "2026-03":
            with pytest.raises(ConfigurationError):
                await scheduler.update_link("ada/intro", payment_link_id="77")
            return
        hubspot.faults.reset_next(applied=True, operation="scheduler.update")
        link = await scheduler.update_link("ada/intro", payment_link_id="77")
        assert (link.slug, link.payment_link_id) == ("ada/intro", "77")
        with pytest.raises(NotFound, match="no/body"):
            await scheduler.update_link("no/body", payment_link_id="77")


class TestPages:
    @pytest.mark.parametrize("hours", ["array", "object"])
    async def test_booking_information(self, hours: str, api_version: str) -> None:
        """All that a booking page shows, in either form of its hours."""
        async with account(availability_hours=hours) as hubspot, connected(hubspot, api_version) as client:
            hubspot.portal.add_meeting_link(
                "ada/form",
                organizer="ada@example.com",
                form_fields=[
                    FormField(name="company", is_required=True),
                    FormField(name="size", options=(FormOption(value="s"), FormOption(value="l"))),
                ],
                consents=[Consent(communication_type_id="77", required=True)],
                buffer=15,
                increment=30,
            )
            information = await scheduler_of(client, api_version).booking_information("ada/form", timezone="UTC")
        settings = information.custom_params
        assert settings.working_hours == {"MON_FRI": (MinuteRange(start=540, end=1020),)}
        assert (settings.durations_s, settings.start_increment_s) == ((1800.0,), 1800.0)
        assert (settings.meeting_buffer_time_ms, settings.required_fields) == (900_000, ("company",))
        assert settings.legal_consent_options is not None
        consents = settings.legal_consent_options.communication_consent_checkboxes or ()
        assert [(consent.communication_type_id, consent.required) for consent in consents] == [("77", True)]
        assert [option.value for question in settings.form_fields or () for option in question.options or ()] == [
            "s",
            "l",
        ]
        assert information.link_availability is not None
        assert information.branding_metadata is not None

    @pytest.mark.parametrize("users", ["lean", "full"])
    async def test_an_availability_page(self, users: str, api_version: str) -> None:
        """One month, with users who have their ids only or everything."""
        async with account(availability_users=users) as hubspot, connected(hubspot, api_version) as client:
            hubspot.portal.scheduler.add_busy("ada@example.com", ms(MONDAY), ms(MONDAY) + HOUR)
            page = await scheduler_of(client, api_version).availability_page("ada/intro", timezone=BERLIN)
        assert page.link_availability is not None
        assert page.link_availability.has_more is True
        (user,) = page.all_users_busy_times or ()
        assert user.meetings_user is not None
        assert (user.busy_times is None) == (users == "lean")
        free = page.link_availability.link_availability_by_duration[str(HALF_HOUR)].availabilities
        assert free[0].start_at == MONDAY + timedelta(hours=1)

    async def test_an_unknown_slug_is_said_so(self, scheduler: Scheduler) -> None:
        """NotFound with words, from every call that names a link."""
        with pytest.raises(NotFound, match=r"no meeting link 'no/body'.*links\(\)"):
            await scheduler.booking_information("no/body", timezone="UTC")
        with pytest.raises(NotFound, match="no/body"):
            await scheduler.availability_page("no/body", timezone="UTC")
        with pytest.raises(NotFound, match="no/body"):
            await taken(scheduler.availability("no/body", timezone="UTC"))
        with pytest.raises(NotFound, match="no/body"):
            await scheduler.book("no/body", **arguments())


class TestAvailability:
    async def test_months_as_one_stream(self, scheduler: Scheduler) -> None:
        """Eight weeks over three months: each slot once, in order, in the asked zone, all within working hours."""
        found = await taken(scheduler.availability("ada/intro", timezone=NEW_YORK, duration=1800))
        assert found[0].start_at == MONDAY
        assert {slot.start_at.tzinfo for slot in found} == {NEW_YORK}
        assert {(slot.start_at.year, slot.start_at.month) for slot in found} == {(2026, 11), (2026, 12), (2027, 1)}
        expected = [
            MONDAY + timedelta(days=day, minutes=15 * step)
            for day in range(56)
            for step in range(11)
            if (MONDAY + timedelta(days=day)).weekday() < 5
        ]
        assert [slot.start_at for slot in found] == [start for start in expected if start < NOW + timedelta(weeks=8)]
        assert all(slot.end_at - slot.start_at == timedelta(minutes=30) for slot in found)

    @pytest.mark.parametrize("timezone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"])
    async def test_the_same_slots_in_every_zone(self, timezone: str, scheduler: Scheduler) -> None:
        """Months end at other moments elsewhere; no slot is lost or doubled for it."""
        here = [ms(slot.start_at) for slot in await taken(scheduler.availability("ada/intro", timezone=BERLIN))]
        there = [ms(slot.start_at) for slot in await taken(scheduler.availability("ada/intro", timezone=timezone))]
        assert there == here

    async def test_windows_lengths_and_months(self, scheduler: Scheduler) -> None:
        """`start`, `end` in any zone, `duration` as a timedelta, `months` from the current one."""
        stream = scheduler.availability(
            "ada/intro",
            timezone="UTC",
            duration=timedelta(hours=1),
            start=datetime(2026, 12, 1, 4, 30, tzinfo=NEW_YORK),
            end=datetime(2026, 12, 1, 10, 30, tzinfo=UTC),
        )
        found = await taken(stream)
        assert [slot.start_at for slot in found] == [
            datetime(2026, 12, 1, 9, minute, tzinfo=UTC) for minute in (30, 45)
        ] + [datetime(2026, 12, 1, 10, 0, tzinfo=UTC)]
        assert await taken(stream) == found
        one = await taken(scheduler.availability("ada/intro", timezone="UTC", months=1))
        assert {slot.start_at.month for slot in one} == {11}
        assert {slot.duration_s for slot in one} == {1800.0, 3600.0}

    async def test_a_length_the_link_does_not_have(self, scheduler: Scheduler) -> None:
        """It is an error that names those it has, not an empty calendar."""
        with pytest.raises(DurationNotOffered) as caught:
            await taken(scheduler.availability("ada/intro", timezone="UTC", duration=900))
        assert caught.value.offered_s == (1800.0, 3600.0)

    @pytest.mark.parametrize(
        ("now", "day", "hours", "count"),
        [
            # Clocks go forward: 01:00-04:00 is two real hours; 02:30 does not exist.
            (datetime(2026, 3, 27, 12, tzinfo=UTC), datetime(2026, 3, 29, tzinfo=BERLIN), "01:00-04:00", 4),
            # Clocks go back: 01:00-04:00 is four real hours; 02:30 comes twice.
            (datetime(2026, 10, 23, 12, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=BERLIN), "01:00-04:00", 8),
        ],
    )
    async def test_days_when_the_clocks_change(
        self, now: datetime, day: datetime, hours: str, count: int, api_version: str
    ) -> None:
        """Slots are real times: none in the hour that is skipped, both of the hour that comes twice."""
        async with account(now) as hubspot, connected(hubspot, api_version) as client:
            hubspot.portal.add_meeting_link(
                "ada/night", organizer="ada@example.com", hours={"SUN": hours}, increment=30, weeks=1
            )
            scheduler = scheduler_of(client, api_version, now)
            found = await taken(scheduler.availability("ada/night", timezone=BERLIN))
            assert len(found) == count
            assert {slot.start_at.date() for slot in found} == {day.date()}
            assert {(slot.end_at.timestamp() - slot.start_at.timestamp(), slot.duration_s) for slot in found} == {
                (1800.0, 1800.0)
            }
            assert all(slot.start_at.astimezone(UTC).astimezone(BERLIN) == slot.start_at for slot in found)
            # Each of them can be booked as it came, also the second 02:30.
            for slot in found:
                booked = await scheduler.book("ada/night", **arguments(start=slot.start_at, duration=slot.duration_s))
                assert booked.start_at is not None
                assert booked.start_at.timestamp() == slot.start_at.timestamp()
            assert await taken(scheduler.availability("ada/night", timezone=BERLIN)) == []

    @pytest.mark.parametrize("timezone", ["Europe/Berlin", "America/New_York"])
    async def test_the_last_minutes_of_a_month(self, timezone: str, api_version: str) -> None:
        """Slots around midnight of the last day, seen from zones where it is still, or already, another month."""
        now = datetime(2027, 1, 31, 20, 0, tzinfo=UTC)
        async with account(now) as hubspot, connected(hubspot, api_version) as client:
            hubspot.portal.add_meeting_link(
                "ada/always",
                organizer="ada@example.com",
                timezone="UTC",
                hours={"MON_SUN": "00:00-24:00"},
                durations=(60,),
                increment=60,
                weeks=5,
            )
            found = await taken(scheduler_of(client, api_version, now).availability("ada/always", timezone=timezone))
        # Working hours end at midnight, so every hour of every day is one slot.
        assert [slot.start_at for slot in found] == [now + timedelta(hours=hour) for hour in range(35 * 24)]

    async def test_a_month_that_ends_on_the_way(self, api_version: str) -> None:
        """Midnight between the first page and the second: HubSpot's months move on, and the stream loses nothing."""
        now = datetime(2026, 11, 30, 22, 59, tzinfo=UTC)  # 23:59 in Berlin
        clock = ManualClock(wall_ms=ms(now))
        async with account(now, clock=clock) as hubspot, connected(hubspot, api_version) as client:
            calm = await taken(scheduler_of(client, api_version, now).availability("ada/intro", timezone=BERLIN))

            async def call(request: Request[Any], trail: Trail | None = None) -> Any:
                answer = await client.meetings._call(request, trail)
                if clock.wall_ms() == ms(now):
                    clock.advance(120)
                return answer

            turning = Scheduler(call, api_version=api_version, now=lambda: moment(clock.wall_ms()))
            found = await taken(turning.availability("ada/intro", timezone=BERLIN))
        assert {slot.start_at.month for slot in calm} == {12, 1}
        assert found == calm


class TestBooking:
    async def test_a_slot_becomes_a_meeting(self, hubspot: Emulator, scheduler: Scheduler) -> None:
        """What availability gave can be booked as it is; the answer is typed, the account has it."""
        slot = await anext(aiter(scheduler.availability("ada/intro", timezone=NEW_YORK, duration=1800)))
        booked = await scheduler.book(
            "ada/intro",
            **arguments(
                start=slot.start_at, duration=slot.duration_s, guest_emails=["bob@example.com"], locale="en-us"
            ),
        )
        assert booked.calendar_event_id
        assert (booked.start_at, booked.end_at) == (slot.start_at, slot.end_at)
        assert (booked.duration_s, booked.booking_timezone) == (1800.0, "America/New_York")
        assert (booked.guest_emails, booked.subject) == (("bob@example.com",), "Intro call")
        (kept,) = hubspot.portal.scheduler.bookings
        assert (kept.start_ms, kept.email, kept.contact_id) == (ms(MONDAY), "grace@example.com", booked.contact_id)

    @pytest.mark.parametrize("status", [400, 409])
    async def test_a_slot_is_booked_once(self, status: int, api_version: str) -> None:
        """The second one is told that the time is taken, by either status."""
        async with account(slot_taken_status=status) as hubspot, connected(hubspot, api_version) as client:
            scheduler = scheduler_of(client, api_version)
            await scheduler.book("ada/intro", **arguments(start=MONDAY))
            with pytest.raises(SlotTaken) as caught:
                await scheduler.book("ada/intro", **arguments(start=MONDAY + timedelta(minutes=15)))
            assert caught.value.status == status
            assert caught.value.correlation_id
            assert bookings(hubspot) == 1
            free = await taken(scheduler.availability("ada/intro", timezone=BERLIN, duration=1800))
            assert free[0].start_at == MONDAY + timedelta(minutes=30)

    async def test_times_and_lengths_not_on_offer(self, hubspot: Emulator, scheduler: Scheduler) -> None:
        """A time outside of the hours, and a length the link has not."""
        with pytest.raises(SlotTaken):
            await scheduler.book("ada/intro", **arguments(start=MONDAY + timedelta(hours=8)))
        with pytest.raises(DurationNotOffered, match="2700000"):
            await scheduler.book("ada/intro", **arguments(start=MONDAY, duration=timedelta(minutes=45)))
        assert bookings(hubspot) == 0

    async def test_forms_and_consents(self, hubspot: Emulator, scheduler: Scheduler) -> None:
        """A missing field is named; a wrong option and a withheld consent are refusals of the common kind."""
        hubspot.portal.add_meeting_link(
            "ada/form",
            organizer="ada@example.com",
            form_fields=[
                FormField(name="company", is_required=True),
                FormField(name="size", options=(FormOption(value="s"),)),
            ],
            consents=[Consent(communication_type_id="77", required=True)],
        )
        with pytest.raises(FormFieldMissing, match="required_fields") as caught:
            await scheduler.book("ada/form", **arguments(start=MONDAY))
        assert caught.value.field == "company"
        for wrong in ({"company": "Acme", "size": "xl"}, {"company": "Acme"}):
            with pytest.raises(RequestRejected) as refused:
                await scheduler.book("ada/form", **arguments(start=MONDAY, form_fields=wrong))
            assert type(refused.value) is RequestRejected
        booked = await scheduler.book(
            "ada/form",
            **arguments(start=MONDAY, form_fields={"company": "Acme", "size": "s"}, legal_consents={77: True}),
        )
        assert {field.name: field.value for field in booked.form_fields or ()} == {"company": "Acme", "size": "s"}
        assert booked.legal_consent_responses == [{"communicationTypeId": "77", "consented": True}]

    async def test_a_calendar_that_is_not_connected(self, hubspot: Emulator, scheduler: Scheduler) -> None:
        """200 and no event is no success: an error that carries HubSpot's answer."""
        hubspot.portal.add_user("off@example.com", calendar=None)
        hubspot.portal.add_meeting_link("off/line", organizer="off@example.com")
        with pytest.raises(CalendarNotConnected, match="nothing was booked") as caught:
            await scheduler.book("off/line", **arguments(start=MONDAY))
        assert caught.value.answer.is_offline is True
        assert (caught.value.answer.contact_id is not None, caught.value.status) == (True, 200)
        assert caught.value.path is not None
        assert caught.value.path.endswith("/book")
        assert bookings(hubspot) == 0
        assert await taken(scheduler.availability("off/line", timezone="UTC")) == []


class TestFaults:
    @pytest.mark.parametrize("applied", [False, True])
    @pytest.mark.parametrize(
        ("fault", "why"),
        [
            ({"kind": "reset"}, "reset"),
            ({"status": 500}, "5xx"),
            ({"status": 502}, "5xx"),
            ({"status": 504}, "5xx"),
            ({"status": 423}, "locked"),
            ({"kind": "html"}, "unreadable"),
        ],
    )
    async def test_a_lost_answer_is_never_followed_by_a_second_booking(
        self, fault: dict[str, Any], why: str, applied: bool, hubspot: Emulator, scheduler: Scheduler
    ) -> None:
        """Whether HubSpot booked before the answer was lost or not: one request, at most one booking, and the truth."""
        hubspot.faults.strike_next(Fault(**fault, applied=applied), operation="scheduler.book")
        with pytest.raises(AmbiguousWriteError, match=r"ada/intro at .* may have been booked") as caught:
            await scheduler.book("ada/intro", **arguments(start=MONDAY))
        assert caught.value.why == why
        assert isinstance(caught.value.asked, BookingRequest)
        assert caught.value.asked.start_ms == ms(MONDAY)
        assert bookings(hubspot) == applied
        assert requests(hubspot, "scheduler.book") == 1
        # The advice holds: availability tells which it was.
        free = await taken(scheduler.availability("ada/intro", timezone=BERLIN, duration=1800))
        assert (free[0].start_at == MONDAY) == (not applied)

    @pytest.mark.parametrize("kind", ["cut", "cut_gzip", "wrong_type"])
    async def test_a_spoilt_answer(self, kind: Any, hubspot: Emulator, scheduler: Scheduler) -> None:
        """The booking is made and its answer spoilt on the way: never a second one."""
        hubspot.faults.strike_next(kind, operation="scheduler.book")
        with suppress(AmbiguousWriteError):  # a wrong content type alone does not spoil a JSON body
            await scheduler.book("ada/intro", **arguments(start=MONDAY))
        assert (bookings(hubspot), requests(hubspot, "scheduler.book")) == (1, 1)

    @pytest.mark.parametrize("validate", [True, False])
    @pytest.mark.parametrize("body", ["[]", "{}", '"ok"', '{"contactId": "5"}'])
    async def test_an_answer_that_is_no_booking(self, body: str, validate: bool, hubspot: Emulator) -> None:
        """JSON that speaks of no event leaves the booking in doubt, validated or not."""
        hubspot.faults.fail_next(200, applied=True, body=body, content_type="application/json")
        async with MeetingsClient(
            "token", base_url=hubspot.url, limiter=NoLimit(), retry=SWIFT, validate_responses=validate
        ) as client:
            with pytest.raises(AmbiguousWriteError) as caught:
                await client.scheduler.book("ada/intro", **arguments(start=MONDAY))
        assert (caught.value.why, caught.value.asked) == ("unreadable", request(start=MONDAY))
        assert (bookings(hubspot), requests(hubspot, "scheduler.book")) == (1, 1)

    @pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (477, HubSpotUnavailable)])
    async def test_a_refusal_for_now_is_left_to_the_caller(
        self, status: int, kind: type[Exception], hubspot: Emulator, scheduler: Scheduler
    ) -> None:
        """Not repeated on its own, and not in doubt either: nothing was booked."""
        hubspot.faults.fail_next(status, operation="scheduler.book")
        with pytest.raises(kind):
            await scheduler.book("ada/intro", **arguments(start=MONDAY))
        assert (bookings(hubspot), requests(hubspot, "scheduler.book")) == (0, 1)
        await scheduler.book("ada/intro", **arguments(start=MONDAY))

    async def test_nothing_left_is_nothing_booked(self, hubspot: Emulator, api_version: str) -> None:
        """When no byte can have left, the error is a plain one."""
        async with connected(hubspot, api_version) as client:
            await hubspot.close()
            with pytest.raises(TransportFailed) as caught:
                await scheduler_of(client, api_version).book("ada/intro", **arguments(start=MONDAY))
        assert caught.value.sent is False

    async def test_reads_are_tried_again(self, hubspot: Emulator, scheduler: Scheduler) -> None:
        """Lost and refused pages do not disturb the stream."""
        calm = await taken(scheduler.availability("ada/intro", timezone=BERLIN))
        hubspot.faults.reset_next(operation="scheduler.availability")
        hubspot.faults.fail_next(503, operation="scheduler.availability", skip=1)
        hubspot.faults.fail_next(429, operation="scheduler.availability", skip=1)
        assert await taken(scheduler.availability("ada/intro", timezone=BERLIN)) == calm


def requests(emulator: Emulator, operation: str) -> int:
    """How often an operation was asked for, faults included."""
    return sum(entry.operation == operation for entry in emulator.recent_requests)
