"""Meeting links: listed, shown, their free time computed, booked once and refused with a reason."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from hubspot_meetings_async.emulator import Behaviour, Consent, Emulator, FormField, FormOption, ManualClock
from tests.emulator.account import MEETINGS

BASE = "/scheduler/v3/meetings/meeting-links"
VERSIONS = ("v3", "2025-09", "2026-03", "2026-09")
MINUTE = 60_000
HALF_HOUR = 30 * MINUTE
# The clock of these tests stands at Saturday 2026-11-21, 09:10 UTC; Monday morning in Berlin is 08:00 UTC.
NOW = 1_795_252_200_000
MONDAY_9_BERLIN = 1_795_420_800_000


@pytest.fixture
async def hubspot() -> AsyncIterator[Emulator]:
    """An emulator on a Saturday, with one link of Ada's, who works in Berlin."""
    async with Emulator(
        limit=None, clock=ManualClock(wall_ms=NOW), behaviour=Behaviour(default_meeting_links=False)
    ) as emulator:
        add_ada(emulator)
        yield emulator


def add_ada(emulator: Emulator) -> None:
    ada = emulator.portal.add_user("ada@example.com", first_name="Ada", last_name="Byron", timezone="Europe/Berlin")
    emulator.portal.add_meeting_link(
        "ada/intro", organizer=ada.user_id, name="Intro call", durations=(30, 60), hours={"MON_FRI": "09:00-12:00"}
    )


async def call(http: aiohttp.ClientSession, method: str, url: str, **words: Any) -> tuple[int, Any]:
    async with http.request(method, URL(url, encoded=True), **words) as response:
        return response.status, await response.json()


async def availability(
    http: aiohttp.ClientSession, hubspot: Emulator, slug: str = "ada/intro", query: str = "timezone=UTC"
) -> Any:
    status, page = await call(http, "GET", f"{hubspot.url}{BASE}/book/availability-page/{quote(slug, '')}?{query}")
    assert status == 200, page
    return page


def starts(page: Any, duration: int = HALF_HOUR) -> list[int]:
    found = page["linkAvailability"]["linkAvailabilityByDuration"][str(duration)]
    assert found["meetingDurationMillis"] == duration
    assert all(slot["endMillisUtc"] - slot["startMillisUtc"] == duration for slot in found["availabilities"])
    return [slot["startMillisUtc"] for slot in found["availabilities"]]


def booking(**changes: Any) -> dict[str, Any]:
    return {
        "slug": "ada/intro",
        "firstName": "Grace",
        "lastName": "Hopper",
        "email": "Grace@example.com",
        "startTime": MONDAY_9_BERLIN,
        "duration": HALF_HOUR,
        "formFields": [],
        "legalConsentResponses": [],
        "likelyAvailableUserIds": [],
        "timezone": "America/New_York",
        "locale": "en-us",
        **changes,
    }


async def book(http: aiohttp.ClientSession, hubspot: Emulator, **changes: Any) -> tuple[int, Any]:
    return await call(http, "POST", f"{hubspot.url}{BASE}/book", json=booking(**changes))


class TestList:
    async def test_a_fresh_account_has_two_links(self, http: aiohttp.ClientSession) -> None:
        async with Emulator() as hubspot:
            status, page = await call(http, "GET", hubspot.url + BASE)
            assert (status, page["total"], "paging" in page) == (200, 2, False)
            intro, demo = page["results"]
            assert (intro["slug"], intro["type"], intro["defaultLink"]) == (
                "maya.lindqvist/intro",
                "PERSONAL_LINK",
                True,
            )
            assert intro["link"] == "https://meetings.hubspot.com/maya.lindqvist/intro"
            assert intro["userIdsOfLinkMembers"] == [intro["organizerUserId"]]
            assert (demo["type"], len(demo["userIdsOfLinkMembers"])) == ("ROUND_ROBIN_CALENDAR", 2)

    @pytest.mark.parametrize("version", VERSIONS)
    async def test_pages_follow_each_other(self, hubspot: Emulator, http: aiohttp.ClientSession, version: str) -> None:
        for n in range(24):
            hubspot.portal.add_meeting_link(f"team/{n}")
        url = f"{hubspot.url}{BASE.replace('v3', version)}?name=&limit=10"
        slugs: list[str] = []
        while url:
            status, page = await call(http, "GET", url)
            assert (status, page["total"]) == (200, 25)
            slugs += [link["slug"] for link in page["results"]]
            url = page.get("paging", {}).get("next", {}).get("link", "")
        assert slugs == ["ada/intro", *(f"team/{n}" for n in range(24))]

    async def test_filters_narrow_it(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        bob = hubspot.portal.add_user("bob@example.com")
        hubspot.portal.add_meeting_link("bob/demo", organizer="bob@example.com", type="ROUND_ROBIN_CALENDAR")
        for query in ("name=INTRO", f"organizerUserId={bob.user_id}", "type=ROUND_ROBIN_CALENDAR"):
            _, page = await call(http, "GET", f"{hubspot.url}{BASE}?{query}")
            assert (query, page["total"]) == (query, 1)
            assert [link["slug"] for link in page["results"]] == ["ada/intro" if "name" in query else "bob/demo"]

    @pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=101", "after=x", "type=NONE"])
    async def test_wrong_queries_are_refused(self, hubspot: Emulator, http: aiohttp.ClientSession, query: str) -> None:
        status, body = await call(http, "GET", f"{hubspot.url}{BASE}?{query}")
        assert (status, body["category"]) == (400, "VALIDATION_ERROR")


class TestInformation:
    @pytest.mark.parametrize("version", VERSIONS)
    async def test_shows_all_that_a_page_needs(
        self, hubspot: Emulator, http: aiohttp.ClientSession, version: str
    ) -> None:
        url = f"{hubspot.url}{BASE.replace('v3', version)}/book/ada%2Fintro?timezone=Europe/Berlin"
        status, info = await call(http, "GET", url)
        assert (status, info["linkType"], info["isOffline"]) == (200, "PERSONAL_LINK", False)
        assert info["customParams"]["availability"] == {"MON_FRI": [{"start": 540, "end": 720}]}
        assert info["customParams"]["durations"] == [HALF_HOUR, 2 * HALF_HOUR]
        assert info["customParams"]["startTimeIncrementMinutes"] == "FIFTEEN"
        [ada] = info["allUsersBusyTimes"]
        assert (ada["busyTimes"], ada["meetingsUser"]["calendarProvider"]) == ([], "GOOGLE")
        assert ada["meetingsUser"]["userProfile"]["fullName"] == "Ada Byron"
        assert ada["meetingsUser"]["id"] != ada["meetingsUser"]["userId"]
        assert starts(info)[0] == MONDAY_9_BERLIN

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/book/ada%2Fintro", 400),
            ("/book/ada%2Fintro?timezone=Nowhere/Land", 400),
            ("/book/nobody?timezone=UTC", 404),
            ("/book/availability-page/ada%2Fintro", 400),
            ("/book/availability-page/nobody?timezone=UTC", 404),
            ("/book/availability-page/ada%2Fintro?timezone=UTC&monthOffset=-1", 400),
            ("/book/availability-page/ada%2Fintro?timezone=UTC&monthOffset=x", 400),
            ("/book/ada/intro?timezone=UTC", 404),
        ],
    )
    async def test_wrong_questions_are_refused(
        self, hubspot: Emulator, http: aiohttp.ClientSession, path: str, status: int
    ) -> None:
        answered, body = await call(http, "GET", hubspot.url + BASE + path)
        assert (answered, body["status"]) == (status, "error")

    async def test_both_shapes_of_hours_can_be_had(self, http: aiohttp.ClientSession) -> None:
        behaviour = Behaviour(availability_hours="object", availability_users="full")
        async with Emulator(behaviour=behaviour) as hubspot:
            _, info = await call(http, "GET", f"{hubspot.url}{BASE}/book/sales%2Fdemo?timezone=UTC")
            assert info["customParams"]["availability"] == {"MON_FRI": {"start": 540, "end": 1020}}
            page = await availability(http, hubspot, "sales/demo")
            assert "userProfile" in page["allUsersBusyTimes"][0]["meetingsUser"]


class TestAvailability:
    async def test_slots_start_at_the_increments_of_real_hours(
        self, hubspot: Emulator, http: aiohttp.ClientSession
    ) -> None:
        page = await availability(http, hubspot)
        halves, hours = starts(page), starts(page, 2 * HALF_HOUR)
        first_day = [MONDAY_9_BERLIN + n * 15 * MINUTE for n in range(11)]
        assert (halves[:11], hours[:9]) == (first_day, first_day[:9])
        assert (len(halves), len(hours)) == (6 * 11, 6 * 9)
        assert page["linkAvailability"]["hasMore"] is True
        assert page["allUsersBusyTimes"][0].keys() == {"isOffline", "meetingsUser"}

    async def test_months_follow_until_the_weeks_run_out(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        seen: list[int] = []
        more: list[bool] = []
        for offset in range(4):
            page = await availability(http, hubspot, query=f"timezone=Europe/Berlin&monthOffset={offset}")
            seen += starts(page)
            more.append(page["linkAvailability"]["hasMore"])
        assert more == [True, True, False, False]
        assert seen == sorted(set(seen))
        assert len(seen) == 8 * 5 * 11
        assert NOW < seen[0] < seen[-1] < NOW + 8 * 7 * 86_400_000

    async def test_nothing_lies_in_the_past(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        clock = ManualClock(wall_ms=MONDAY_9_BERLIN + 20 * MINUTE)
        async with Emulator(clock=clock) as later:
            add_ada(later)
            assert starts(await availability(http, later))[0] == MONDAY_9_BERLIN + HALF_HOUR

    async def test_busy_times_and_the_buffer_take_slots_away(
        self, hubspot: Emulator, http: aiohttp.ClientSession
    ) -> None:
        hubspot.portal.add_meeting_link(
            "ada/slow", organizer="ada@example.com", hours={"MON_FRI": "09:00-12:00"}, buffer=15, increment=None
        )
        busy = MONDAY_9_BERLIN + 60 * MINUTE
        hubspot.portal.add_busy("ada@example.com", busy, busy + HALF_HOUR)
        for slug, minutes in (("ada/intro", [0, 15, 30, 90, 105, 120, 135, 150]), ("ada/slow", [0, 120, 150])):
            monday = [
                start for start in starts(await availability(http, hubspot, slug)) if start < busy + 4 * 3_600_000
            ]
            assert [(start - MONDAY_9_BERLIN) // MINUTE for start in monday] == minutes
        _, info = await call(http, "GET", f"{hubspot.url}{BASE}/book/ada%2Fintro?timezone=UTC")
        assert info["allUsersBusyTimes"][0]["busyTimes"] == [{"start": busy, "end": busy + HALF_HOUR}]

    async def test_a_group_needs_everyone_and_a_round_robin_anyone(
        self, hubspot: Emulator, http: aiohttp.ClientSession
    ) -> None:
        portal = hubspot.portal
        portal.add_user("bob@example.com")
        hours = {"MON_FRI": "08:00-09:00"}
        kinds: dict[str, Any] = {"g": "GROUP_CALENDAR", "r": "ROUND_ROBIN_CALENDAR"}
        for slug, kind in kinds.items():
            portal.add_meeting_link(
                slug,
                organizer="bob@example.com",
                members=["ada@example.com"],
                type=kind,
                hours=hours,
                increment=30,
            )
        portal.add_busy("ada@example.com", MONDAY_9_BERLIN, MONDAY_9_BERLIN + HALF_HOUR)
        assert starts(await availability(http, hubspot, "r"))[0] == MONDAY_9_BERLIN
        assert starts(await availability(http, hubspot, "g"))[0] == MONDAY_9_BERLIN + HALF_HOUR


class TestBooking:
    @pytest.mark.parametrize("version", VERSIONS)
    async def test_takes_the_slot_and_leaves_a_contact_and_a_meeting(
        self, hubspot: Emulator, http: aiohttp.ClientSession, version: str
    ) -> None:
        url = f"{hubspot.url}{BASE.replace('v3', version)}/book?timezone=Europe/Berlin"
        status, answer = await call(http, "POST", url, json=booking(guestEmails=["x@example.com"]))
        assert status == 200, answer
        assert (answer["start"], answer["end"]) == ("2026-11-23T08:00:00Z", "2026-11-23T08:30:00Z")
        assert (answer["bookingTimezone"], answer["subject"]) == ("America/New_York", "Intro call")
        assert (answer["isOffline"], bool(answer["calendarEventId"])) == (False, True)
        assert MONDAY_9_BERLIN not in starts(await availability(http, hubspot))
        [booked] = hubspot.portal.scheduler.bookings
        assert (booked.contact_id, booked.event_id) == (answer["contactId"], answer["calendarEventId"])
        names = "hs_meeting_title,hs_meeting_source,hs_meeting_outcome,hs_meeting_start_time,hubspot_owner_id"
        _, meeting = await call(
            http, "GET", f"{hubspot.url}{MEETINGS}/{booked.meeting_id}?properties={names}&associations=contacts"
        )
        properties = meeting["properties"]
        assert (properties["hs_meeting_source"], properties["hs_meeting_outcome"]) == ("INTEGRATION", "SCHEDULED")
        assert properties["hs_meeting_start_time"] == answer["start"]
        ada = hubspot.portal.scheduler.user("ada@example.com")
        assert ada is not None
        assert properties["hubspot_owner_id"] == ada.owner_id
        [tie] = meeting["associations"]["contacts"]["results"][:1]
        assert tie["id"] == answer["contactId"]
        [contact] = hubspot.portal.objects("contacts")
        assert (contact["email"], contact["firstname"]) == ("grace@example.com", "Grace")

    async def test_the_same_visitor_stays_one_contact(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        known = hubspot.portal.add_object("contacts", id="101", properties={"email": "grace@example.com"})
        _, first = await book(http, hubspot)
        _, second = await book(http, hubspot, startTime=MONDAY_9_BERLIN + 2 * HALF_HOUR, lastName="Murray")
        assert first["contactId"] == second["contactId"] == known
        assert [contact["lastname"] for contact in hubspot.portal.objects("contacts")] == ["Murray"]

    async def test_iso_times_are_read_unless_the_account_wants_numbers(self, http: aiohttp.ClientSession) -> None:
        readings: dict[Any, int] = {"any": 200, "milliseconds": 400}
        for reading, status in readings.items():
            behaviour = Behaviour(booking_start_time=reading)
            async with Emulator(clock=ManualClock(wall_ms=NOW), behaviour=behaviour) as hubspot:
                add_ada(hubspot)
                assert (await book(http, hubspot, startTime="2026-11-23T09:00:00+01:00"))[0] == status

    @pytest.mark.parametrize(
        ("changes", "status", "words"),
        [
            ({"duration": 45 * MINUTE}, 400, "MEETING_DURATION_NOT_VALID"),
            ({"startTime": NOW - 86_400_000}, 400, "MEETING_TIME_NOT_AVAILABLE"),
            ({"startTime": MONDAY_9_BERLIN + 7 * MINUTE}, 400, "MEETING_TIME_NOT_AVAILABLE"),
            ({"startTime": MONDAY_9_BERLIN - HALF_HOUR}, 400, "MEETING_TIME_NOT_AVAILABLE"),
            ({"startTime": MONDAY_9_BERLIN + 60 * 7 * 86_400_000}, 400, "MEETING_TIME_NOT_AVAILABLE"),
            ({"startTime": 10**18}, 400, "startTime is not a time"),
            ({"startTime": "tomorrow"}, 400, "startTime is not a time"),
            ({"slug": "nobody"}, 404, "nobody"),
            ({"lastName": ""}, 400, "lastName"),
            ({"email": "grace"}, 400, "INVALID_EMAIL"),
            ({"timezone": "Nowhere/Land"}, 400, "Nowhere/Land"),
            ({"guestEmails": ["g@example.com"] * 11}, 400, "guests"),
            ({"duration": "long"}, 400, "Invalid input JSON"),
        ],
    )
    async def test_is_refused_with_a_reason_and_leaves_nothing(
        self, hubspot: Emulator, http: aiohttp.ClientSession, changes: dict[str, Any], status: int, words: str
    ) -> None:
        answered, body = await book(http, hubspot, **changes)
        assert answered == status, body
        assert words in str(body)
        assert list(hubspot.portal.objects("contacts")) == []
        assert hubspot.stats().records.created == 0

    async def test_a_taken_slot_is_refused(self, http: aiohttp.ClientSession) -> None:
        for status in (400, 409):
            behaviour = Behaviour(slot_taken_status=status)
            async with Emulator(clock=ManualClock(wall_ms=NOW), behaviour=behaviour) as hubspot:
                add_ada(hubspot)
                assert (await book(http, hubspot))[0] == 200
                answered, body = await book(http, hubspot, startTime=MONDAY_9_BERLIN + 15 * MINUTE)
                assert (answered, body["category"]) == (status, "VALIDATION_ERROR")
                assert body["subCategory"] == "MeetingsBookingSchedulingError.MEETING_TIME_NOT_AVAILABLE"
                assert hubspot.stats().records.created == 1

    async def test_missing_members_are_named(self, http: aiohttp.ClientSession) -> None:
        body = {name: value for name, value in booking().items() if name not in ("email", "formFields")}
        async with Emulator(clock=ManualClock(wall_ms=NOW)) as hubspot:
            _, answer = await call(http, "POST", f"{hubspot.url}{BASE}/book", json=body)
            assert "Some required fields were not set: [email]" in answer["message"]
        async with Emulator(behaviour=Behaviour(strict_booking_body=True)) as hubspot:
            body["email"] = "grace@example.com"
            _, answer = await call(http, "POST", f"{hubspot.url}{BASE}/book", json=body)
            assert "Some required fields were not set: [formFields]" in answer["message"]

    async def test_the_form_must_be_filled_in(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        fields = [
            FormField(name="company", label="Company", is_required=True),
            FormField(name="size", is_custom=True, options=(FormOption(value="small"), FormOption(value="big"))),
        ]
        consents = [Consent(communication_type_id="77", required=True)]
        hubspot.portal.add_meeting_link("ada/form", organizer="ada@example.com", form_fields=fields, consents=consents)
        given: dict[str, Any] = {
            "slug": "ada/form",
            "legalConsentResponses": [{"communicationTypeId": "77", "consented": True}],
            "formFields": [{"name": "company", "value": "ACME"}, {"name": "size", "value": "big"}],
        }
        for wrong, words in (
            ({"formFields": []}, "required form field company does not have a value"),
            ({"formFields": [{"name": "company", "value": " "}]}, "company"),
            ({"formFields": [*given["formFields"], {"name": "size", "value": "huge"}]}, "size"),
            ({"legalConsentResponses": []}, "consent 77"),
        ):
            status, body = await book(http, hubspot, **{**given, **wrong})
            assert (status, words in body["message"]) == (400, True)
        status, answer = await book(http, hubspot, **given)
        assert (status, [field["value"] for field in answer["formFields"]]) == (200, ["ACME", "big"])
        assert answer["legalConsentResponses"] == given["legalConsentResponses"]
        [contact] = hubspot.portal.objects("contacts")
        assert (contact["company"], "size" in contact) == ("ACME", False)
        _, info = await call(http, "GET", f"{hubspot.url}{BASE}/book/ada%2Fform?timezone=UTC")
        assert info["customParams"]["legalConsentEnabled"] is True
        assert [field["isRequired"] for field in info["customParams"]["formFields"]] == [True, False]

    async def test_without_a_calendar_there_is_no_event(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        hubspot.portal.add_user("off@example.com", calendar=None)
        hubspot.portal.add_meeting_link("off", organizer="off@example.com")
        status, answer = await book(http, hubspot, slug="off")
        assert (status, answer["isOffline"], answer["calendarEventId"]) == (200, True, "")
        assert (hubspot.stats().records.created, hubspot.portal.scheduler.bookings) == (0, [])
        assert starts(await availability(http, hubspot, "off")) == []

    async def test_a_round_robin_shares_out_and_heeds_wishes(
        self, hubspot: Emulator, http: aiohttp.ClientSession
    ) -> None:
        portal = hubspot.portal
        users = [portal.add_user(f"{name}@example.com") for name in ("x", "y")]
        portal.add_meeting_link(
            "team", organizer=users[0].user_id, members=[users[1].user_id], type="ROUND_ROBIN_CALENDAR"
        )
        late = MONDAY_9_BERLIN + 4 * 3_600_000
        for _ in range(2):
            assert (await book(http, hubspot, slug="team", startTime=late))[0] == 200
        assert (await book(http, hubspot, slug="team", startTime=late))[0] == 400
        for n, wish in enumerate((users[1].id, users[1].user_id)):
            start = late + (n + 1) * 3_600_000
            await book(http, hubspot, slug="team", startTime=start, likelyAvailableUserIds=[wish])
        assert [booked.user_id for booked in portal.scheduler.bookings] == [
            user.user_id for user in (users[0], users[1], users[1], users[1])
        ]

    async def test_the_owner_of_the_contact_comes_first_where_the_page_says_so(
        self, hubspot: Emulator, http: aiohttp.ClientSession
    ) -> None:
        portal = hubspot.portal
        first, second = (portal.add_user(f"{name}@example.com") for name in ("x", "y"))
        portal.add_meeting_link(
            "team",
            organizer=first.user_id,
            members=[second.user_id],
            type="ROUND_ROBIN_CALENDAR",
            owner_prioritized=True,
        )
        portal.add_object("contacts", properties={"email": "grace@example.com", "hubspot_owner_id": second.owner_id})
        assert (await book(http, hubspot, slug="team", startTime=MONDAY_9_BERLIN + 3_600_000))[0] == 200
        assert portal.scheduler.bookings[0].user_id == second.user_id


class TestUpdate:
    @pytest.mark.parametrize("version", ["v3", "2026-09", "2026-09-beta"])
    async def test_changes_the_payment_link(self, hubspot: Emulator, http: aiohttp.ClientSession, version: str) -> None:
        url = f"{hubspot.url}{BASE.replace('v3', version)}/ada%2Fintro"
        status, link = await call(http, "PATCH", url, json={"paymentLinkId": "9"})
        assert (status, link["slug"], link["paymentLinkId"]) == (200, "ada/intro", "9")
        assert (await call(http, "PATCH", url + "x", json={}))[0] == 404

    async def test_exists_only_in_some_versions(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        url = f"{hubspot.url}{BASE.replace('v3', '2026-03')}/ada%2Fintro"
        assert (await call(http, "PATCH", url, json={}))[0] == 404


class TestPython:
    @pytest.mark.parametrize(
        "words",
        [
            {"slug": "a b"},
            {"slug": "ada/intro"},
            {"slug": "ADA/Intro"},
            {"organizer": "nobody"},
            {"increment": 7},
            {"durations": ()},
            {"hours": {"MON": "late"}},
            {"timezone": "Nowhere/Land"},
            {"weeks": 0},
            {"buffer": -1},
        ],
    )
    def test_links_that_make_no_sense_are_refused(self, words: dict[str, Any]) -> None:
        hubspot = Emulator()
        add_ada(hubspot)
        with pytest.raises(ValueError, match=r"\w+"):
            hubspot.portal.add_meeting_link(**{"slug": "x", **words})

    def test_reset_brings_the_first_links_back(self) -> None:
        portal = Emulator().portal
        portal.remove_meeting_link("sales/demo")
        portal.add_meeting_link("mine")
        portal.reset()
        assert [link.slug for link in portal.scheduler.links] == ["maya.lindqvist/intro", "sales/demo"]
        with pytest.raises(ValueError, match="no meeting link"):
            portal.remove_meeting_link("mine")

    async def test_the_admin_api_does_the_same(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        admin = f"{hubspot.url}/__emulator"
        user = {"email": "bob@example.com", "timezone": "Asia/Tokyo"}
        status, bob = await call(http, "POST", f"{admin}/users", json=user)
        assert (status, bob["timezone"]) == (200, "Asia/Tokyo")
        link = {"slug": "bob", "organizer": bob["user_id"], "hours": {"MON": ["09:00-10:00"]}, "durations": [20]}
        assert (await call(http, "POST", f"{admin}/meeting-links", json=link))[1]["timezone"] == "Asia/Tokyo"
        assert (await call(http, "POST", f"{admin}/meeting-links", json=link))[0] == 400
        monday_9_tokyo = MONDAY_9_BERLIN - 8 * 3_600_000
        busy = {"user": "bob@example.com", "start_ms": monday_9_tokyo, "end_ms": monday_9_tokyo + 1}
        assert (await call(http, "POST", f"{admin}/busy", json=busy))[0] == 200
        assert (await book(http, hubspot, slug="bob", startTime=monday_9_tokyo, duration=20 * MINUTE))[0] == 400
        start = monday_9_tokyo + 15 * MINUTE
        assert (await book(http, hubspot, slug="bob", startTime=start, duration=20 * MINUTE))[0] == 200
        _, body = await call(http, "GET", f"{admin}/bookings")
        assert [(entry["slug"], entry["start_ms"]) for entry in body["bookings"]] == [("bob", start)]
        _, body = await call(http, "GET", f"{admin}/users")
        assert [(user["email"], user["bookings"]) for user in body["users"]][-1] == ("bob@example.com", 1)
        assert len((await call(http, "GET", f"{admin}/meeting-links"))[1]["links"]) == 2


async def test_anything_in_a_booking_is_answered_without_a_500(hubspot: Emulator, http: aiohttp.ClientSession) -> None:
    junk: list[Any] = [
        None,
        -1,
        2**70,
        1.5,
        "",
        "\x00",
        "x" * 70_000,
        [],
        {},
        [[]],
        True,
        "9999-12-31T23:59:59Z",
        -(10**15),
    ]
    for name in booking():
        for value in (*junk, 253_402_300_799_000):
            status, body = await book(http, hubspot, **{name: value})
            assert (name, value, status < 500) == (name, value, True), body
    for name in ("timezone", "monthOffset"):
        for value in junk:
            query = {"timezone": "UTC", name: str(value)[:3000]}
            for path in ("/book/ada%2Fintro", "/book/availability-page/ada%2Fintro"):
                async with http.get(URL(hubspot.url + BASE + path, encoded=True).with_query(query)) as response:
                    assert (name, value, response.status < 500) == (name, value, True)
